//! What a connection does for rooms that several gateways share: it follows their filters, publishes
//! markers, and names finished commands.
//!
//! Decides nothing: [`SharedRooms`] says what is to be done.

use std::sync::Arc;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, Packet, Publish, RetainForwardRule, Subscribe, Unsubscribe,
};
use tokio::time::Instant;

use super::{Connection, ConnectionLost};
use crate::doors::mqtt::packets::SubAck;
use crate::doors::mqtt::session::BrokerSession;
use crate::doors::mqtt::shared::SharedRooms;
use crate::doors::mqtt::shared::messages::{DONE, MOVED, ROOMS_A_MARKER, done, marker};
use crate::doors::mqtt::shared::room_filters::{FilterRequest, RefusedRoom};
use crate::doors::mqtt::subscription::{filters, gateway_filter, rooms_filter};
use crate::doors::mqtt::{DoorContext, RoomRole};
use crate::topics::{RoomTopics, gateway_topic};

/// What it means that a room's filter is not granted.
const ROOM_NOT_HEARD: &str = "no command of this room arrives here; others do. It is asked for again from \
                              time to time: check the broker's access rules for this user";
/// What a packet of filters has beside them, and each filter beside its topic (MQTT 5, section 3.8).
const SUBSCRIBE_OVERHEAD: usize = 16;
const FILTER_OVERHEAD: usize = 3;

impl Connection {
    /// Does what is due for shared rooms.
    pub(super) fn share(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let Some(shared) = self.context.settings.shared.clone() else {
            return Ok(());
        };
        self.outgoing.results_pending += self.receiver.act(&shared);
        let dropped = shared.lock().hearing.take_dropped_results();
        let pending = &mut self.outgoing.results_pending;
        *pending = pending.saturating_sub(dropped);
        // The filter at which markers come back is asked for first.
        if !session.subscription.is_answered {
            return Ok(());
        }
        self.follow_filters(&shared, session)?;
        self.publish_markers(&shared, session)?;
        if !session.is_ready {
            self.check_ready(session);
        }
        Ok(())
    }

    /// What time does to shared rooms.
    pub(super) fn share_by_time(&mut self, session: &BrokerSession) -> Result<(), ConnectionLost> {
        let Some(shared) = &self.context.settings.shared else {
            return Ok(());
        };
        let (is_open, now) = (shared.rules().may_act(), Instant::now());
        let mut inner = shared.lock();
        inner.hearing.tick(is_open, now);
        for room in inner.hearing.take_removed() {
            inner.follow(&room);
        }
        if inner.filters.is_overdue(now) {
            return Err(ConnectionLost::SubscribeTimeout);
        }
        if !self.receiver.lacks_retain_flag && session.is_ready {
            let own = (inner.hearing.roles()).filter(|(_, role)| *role == RoomRole::Owner);
            let unswept = own.filter(|(room, _)| !inner.swept.contains(*room));
            let store = &self.context.store;
            let is_complete = |room: &str| store.room(room).is_some_and(|it| it.complete);
            let complete = unswept.filter(|(room, _)| is_complete(room));
            let complete: Vec<_> = complete.map(|(room, _)| room.clone()).collect();
            for room in complete {
                inner.filters.sweep(&room);
                inner.swept.insert(room);
            }
        }
        drop(inner);
        shared.grants_changed();
        shared.changed.notify_one();
        Ok(())
    }

    /// Whether the commands of every room that is this gateway's arrive.
    pub(super) fn has_commands(&self, session: &BrokerSession) -> bool {
        match &self.context.settings.shared {
            Some(shared) => session.subscription.is_answered && shared.hears_own_rooms(),
            None => session.subscription.has_commands,
        }
    }

    fn follow_filters(
        &mut self,
        shared: &SharedRooms,
        session: &mut BrokerSession,
    ) -> Result<(), ConnectionLost> {
        let prefix = self.context.settings.prefix.clone();
        let largest = session.limits.largest_packet;
        let path = |room: &str| prefix.add(&RoomTopics::new(room).all());
        let fits = |rooms: &[Arc<str>]| {
            let mut size = SUBSCRIBE_OVERHEAD;
            let sizes = rooms.iter().map(|room| path(room).len() + FILTER_OVERHEAD);
            let fit = sizes.take_while(|filter| {
                size += filter;
                size <= largest
            });
            fit.count()
        };
        loop {
            let now = Instant::now();
            let request = shared.lock().filters.next(now, fits);
            let (rooms, is_sweep) = match request {
                None => return Ok(()),
                Some(FilterRequest::Unsubscribe(rooms)) => {
                    let filters = rooms.iter().map(|room| path(room)).collect();
                    let unsubscribe = Unsubscribe {
                        pkid: session.inflight.next_id(),
                        filters,
                        properties: None,
                    };
                    session.link.put(&Packet::Unsubscribe(unsubscribe))?;
                    continue;
                }
                Some(FilterRequest::Subscribe(rooms)) => (rooms, false),
                Some(FilterRequest::Sweep(rooms)) => (rooms, true),
            };
            let filters = rooms.iter().map(|room| Filter {
                path: path(room),
                retain_forward_rule: match is_sweep {
                    true => RetainForwardRule::OnEverySubscribe,
                    false => RetainForwardRule::Never,
                },
                ..rooms_filter(&self.context)
            });
            let mut subscribe = Subscribe::new_many(filters, None);
            subscribe.pkid = session.inflight.next_id();
            let id = subscribe.pkid;
            shared.lock().filters.asked(id, rooms, is_sweep, now);
            session.link.put(&Packet::Subscribe(subscribe))?;
        }
    }

    /// The broker answered a SUBSCRIBE of rooms. False if it answers another one.
    pub(super) fn rooms_answered(&mut self, ack: &SubAck) -> bool {
        let Some(shared) = &self.context.settings.shared else {
            return false;
        };
        let answered = shared.lock().filters.answered(ack, Instant::now());
        let Some((refused, weakened)) = answered else {
            return false;
        };
        for refused in refused {
            self.tell_refused(&refused);
        }
        for room in weakened {
            let filter = self.room_filter(&room);
            self.context.telemetry.broker_weakened_subscription(&filter);
        }
        shared.grants_changed();
        shared.changed.notify_one();
        true
    }

    fn room_filter(&self, room: &str) -> String {
        let prefix = &self.context.settings.prefix;
        prefix.add(&RoomTopics::new(room).all())
    }

    fn tell_refused(&self, refused: &RefusedRoom) {
        let filter = self.room_filter(&refused.room);
        let telemetry = &self.context.telemetry;
        telemetry.broker_refused_subscription(&filter, &refused.reason, ROOM_NOT_HEARD);
    }

    /// The connection ended, perhaps because of a room's filter.
    pub(super) fn shared_connection_ended(&mut self, lost: &ConnectionLost) {
        let Some(shared) = &self.context.settings.shared else {
            return;
        };
        let mut inner = shared.lock();
        inner.hearing.disconnected();
        let words = lost.to_string();
        let left_out =
            (inner.filters).connection_ended(&words, lost.can_mean_filter(), Instant::now());
        inner.swept.clear();
        drop(inner);
        shared.grants_changed();
        if let Some(left_out) = left_out {
            self.tell_refused(&left_out);
            self.backoff.cause_found();
        }
    }

    /// A marker goes out once for each lane. It is not sent again by itself: on the next connection there is a
    /// new one.
    fn publish_markers(
        &mut self,
        shared: &SharedRooms,
        session: &mut BrokerSession,
    ) -> Result<(), ConnectionLost> {
        if !session.inflight.has_room(usize::MAX) {
            return Ok(());
        }
        let mut inner = shared.lock();
        let inner = &mut *inner;
        let filters = &inner.filters;
        let due = (inner.hearing).markers(|room| filters.is_granted(room), Instant::now());
        let topic = gateway_topic(shared.name(), MOVED);
        let topic = self.context.settings.prefix.add(&topic);
        for (arrival, rooms) in due {
            for rooms in rooms.chunks(ROOMS_A_MARKER) {
                let payload = marker(arrival, rooms);
                let size = payload.len();
                let mut publish = Publish {
                    topic: topic.clone().into(),
                    payload: payload.into(),
                    ..Publish::default()
                };
                session.link.put(&Packet::Publish(publish.clone()))?;
                publish.qos = QoS::AtLeastOnce;
                publish.pkid = session.inflight.next_id();
                let (id, topic) = (publish.pkid, publish.topic.clone());
                session.link.put(&Packet::Publish(publish))?;
                session.inflight.push(id, topic, size, None, None);
            }
        }
        Ok(())
    }
}

/// Names the commands whose results went to response topics, in the same write as those results.
pub(super) fn name_finished(
    context: &DoorContext,
    session: &mut BrokerSession,
) -> Result<(), ConnectionLost> {
    let Some(shared) = &context.settings.shared else {
        return Ok(());
    };
    if session.finished.is_empty() {
        return Ok(());
    }
    let finished = std::mem::take(&mut session.finished);
    let topic = gateway_topic(shared.name(), DONE);
    let publish = Publish {
        topic: context.settings.prefix.add(&topic).into(),
        payload: done(&finished).into(),
        ..Publish::default()
    };
    Ok(session.link.put(&Packet::Publish(publish))?)
}

/// The filters where several gateways share the rooms: what they say to each other, and the extra ones. The rooms'
/// filters come after them.
pub(super) fn shared_filters(context: &DoorContext, shared: &SharedRooms) -> Vec<Filter> {
    let settings = &context.settings;
    let of_all = |kind: &str| settings.prefix.add(&gateway_topic("+", kind));
    let live = |path: String, nolocal: bool| Filter {
        path,
        nolocal,
        ..rooms_filter(context)
    };
    let info = Filter {
        path: settings.prefix.add(&gateway_topic(shared.name(), "info")),
        ..gateway_filter(&settings.prefix)
    };
    let own = [
        live(of_all(MOVED), false),
        live(of_all(DONE), true),
        info,
        gateway_filter(&settings.prefix),
    ];
    let extra = filters(context, false);
    own.into_iter().chain(extra.into_iter().skip(2)).collect()
}

/// Something is to be done for shared rooms.
pub(super) async fn changed(shared: Option<&SharedRooms>) {
    match shared {
        Some(shared) => shared.changed.notified().await,
        None => std::future::pending().await,
    }
}
