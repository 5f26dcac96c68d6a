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
use crate::doors::mqtt::DoorContext;
use crate::doors::mqtt::packets::SubAck;
use crate::doors::mqtt::session::BrokerSession;
use crate::doors::mqtt::settings::MqttSettings;
use crate::doors::mqtt::shared::arbiter::ROOMS_A_MARKER;
use crate::doors::mqtt::shared::messages::{DONE, MOVED, done, marker};
use crate::doors::mqtt::shared::room_filters::{RefusedRoom, RoomFilterRequest, RoomFilters};
use crate::doors::mqtt::shared::{Inner, SharedRooms};
use crate::doors::mqtt::subscription::{filters, gateway_filter, rooms_filter};
use crate::topics::{MemberTopics, RoomTopics};

/// What it means that a room's filter is not granted.
const ROOM_NOT_GRANTED: &str = "no command of this room arrives here; others do. It is asked for again from \
                              time to time: check the broker's access rules for this user";
/// What it means that the filter of a room's document is not granted.
const DOCUMENT_NOT_GRANTED: &str = "what the broker holds of this room for Home Assistant is not known, so entities \
                                  may change for a moment when the room comes to this gateway";
/// What a packet of filters has beside them, and each filter beside its topic (MQTT 5, section 3.8).
const SUBSCRIBE_OVERHEAD: usize = 16;
const FILTER_OVERHEAD: usize = 3;

/// The two kinds of filters of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FilterKind {
    /// Everything of the room, for its commands.
    Room,
    /// Its document for Home Assistant.
    Document,
}

impl FilterKind {
    fn of(self, inner: &mut Inner) -> &mut RoomFilters {
        match self {
            Self::Room => &mut inner.filters,
            Self::Document => &mut inner.documents,
        }
    }
}

fn filter_path(settings: &MqttSettings, kind: FilterKind, room: &str) -> String {
    match kind {
        FilterKind::Room => settings.prefix.add(&RoomTopics::new(room).all()),
        // Without such documents nothing is asked for.
        FilterKind::Document => settings.discovery.of_room(room).unwrap_or_default(),
    }
}

impl Connection {
    /// Does what is due for shared rooms.
    pub(super) fn share(&mut self, session: &mut BrokerSession) -> Result<(), ConnectionLost> {
        let Some(shared) = self.context.settings.shared.clone() else {
            return Ok(());
        };
        self.outgoing.results_pending += self.receiver.act(&shared);
        let (found, mut dropped) = {
            let mut inner = shared.lock();
            let found = std::mem::take(&mut inner.found);
            (found, inner.arbiter.take_dropped_results())
        };
        if !found.is_empty() {
            for found in found {
                self.outgoing.results_pending += self.receiver.shared_publish(&shared, found);
            }
            dropped += shared.lock().arbiter.take_dropped_results();
        }
        let pending = &mut self.outgoing.results_pending;
        *pending = pending.saturating_sub(dropped);
        // The filter at which markers come back is asked for first.
        if !session.subscription.is_answered {
            return Ok(());
        }
        self.follow_filters(&shared, session, FilterKind::Room)?;
        if self.context.settings.discovery.room_devices.is_some() {
            self.follow_filters(&shared, session, FilterKind::Document)?;
        }
        self.publish_markers(&shared, session)?;
        if !session.is_ready {
            self.check_ready(session);
        }
        Ok(())
    }

    /// The broker has answered everything that was asked for, the filter at which markers come among it, or nothing was
    /// to be asked for. Said at that moment: what was released before may have missed its marker.
    pub(super) fn hear_markers(&self, session: &BrokerSession) {
        if let Some(shared) = &self.context.settings.shared
            && session.subscription.is_answered
        {
            shared.lock().arbiter.hears_markers();
        }
    }

    /// What time does to shared rooms.
    pub(super) fn share_by_time(&mut self) -> Result<(), ConnectionLost> {
        let Some(shared) = &self.context.settings.shared else {
            return Ok(());
        };
        let (is_open, now) = (shared.rules().may_act(), Instant::now());
        let mut inner = shared.lock();
        inner.arbiter.tick(is_open, now);
        for room in inner.arbiter.take_removed() {
            shared.follow(&mut inner, &room);
        }
        if inner.filters.is_overdue(now) || inner.documents.is_overdue(now) {
            return Err(ConnectionLost::SubscribeTimeout);
        }
        drop(inner);
        let told = shared.retained().told_rooms();
        let is_complete =
            |room: &Arc<str>| self.context.store.room(room).is_some_and(|it| it.complete);
        for room in told.iter().filter(|room| is_complete(room)) {
            shared.retained().compared(room);
        }
        shared.states_wait.notify_one();
        shared.grants_changed();
        shared.changed.notify_one();
        Ok(())
    }

    /// Whether the commands of every room that is this gateway's arrive.
    pub(super) fn has_commands(&self, session: &BrokerSession) -> bool {
        match &self.context.settings.shared {
            Some(shared) => session.subscription.is_answered && shared.receives_own_rooms(),
            None => session.subscription.has_commands,
        }
    }

    fn follow_filters(
        &mut self,
        shared: &SharedRooms,
        session: &mut BrokerSession,
        kind: FilterKind,
    ) -> Result<(), ConnectionLost> {
        let largest = session.limits.largest_packet;
        let context = self.context.clone();
        let path = |room: &str| filter_path(&context.settings, kind, room);
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
            let request = kind.of(&mut shared.lock()).next(now, fits);
            let rooms = match request {
                None => return Ok(()),
                Some(RoomFilterRequest::Unsubscribe(rooms)) => {
                    let filters = rooms.iter().map(|room| path(room)).collect();
                    let unsubscribe = Unsubscribe {
                        pkid: session.inflight.next_id(),
                        filters,
                        properties: None,
                    };
                    session.link.put(&Packet::Unsubscribe(unsubscribe))?;
                    continue;
                }
                Some(RoomFilterRequest::Subscribe(rooms)) => rooms,
            };
            let filters = rooms.iter().map(|room| Filter {
                path: path(room),
                retain_forward_rule: match kind {
                    FilterKind::Document => RetainForwardRule::OnEverySubscribe,
                    FilterKind::Room => RetainForwardRule::Never,
                },
                ..rooms_filter(&self.context)
            });
            let mut subscribe = Subscribe::new_many(filters, None);
            subscribe.pkid = session.inflight.next_id();
            let id = subscribe.pkid;
            kind.of(&mut shared.lock()).asked(id, rooms, now);
            session.link.put(&Packet::Subscribe(subscribe))?;
        }
    }

    /// The broker answered a SUBSCRIBE of rooms. False if it answers another one.
    pub(super) fn rooms_answered(&mut self, ack: &SubAck) -> bool {
        let Some(shared) = &self.context.settings.shared else {
            return false;
        };
        let answered = [FilterKind::Room, FilterKind::Document].into_iter();
        let answered = answered.map(|kind| {
            let answered = kind.of(&mut shared.lock()).answered(ack, Instant::now());
            answered.map(|answered| (kind, answered))
        });
        let Some((kind, (refused, weakened))) = answered.flatten().next() else {
            return false;
        };
        for refused in refused {
            self.tell_refused(kind, &refused);
        }
        for room in weakened {
            let filter = filter_path(&self.context.settings, kind, &room);
            self.context.telemetry.broker_weakened_subscription(&filter);
        }
        match kind {
            FilterKind::Room => shared.grants_changed(),
            FilterKind::Document => shared.documents_changed(),
        }
        shared.changed.notify_one();
        shared.states_wait.notify_one();
        true
    }

    fn tell_refused(&self, kind: FilterKind, refused: &RefusedRoom) {
        let filter = filter_path(&self.context.settings, kind, &refused.room);
        let effect = match kind {
            FilterKind::Room => ROOM_NOT_GRANTED,
            FilterKind::Document => DOCUMENT_NOT_GRANTED,
        };
        let telemetry = &self.context.telemetry;
        telemetry.broker_refused_subscription(&filter, &refused.reason, effect);
    }

    /// The connection ended, perhaps because of a room's filter.
    pub(super) fn shared_connection_ended(&mut self, lost: &ConnectionLost) {
        let Some(shared) = &self.context.settings.shared else {
            return;
        };
        let mut inner = shared.lock();
        inner.arbiter.disconnected(Instant::now());
        let words = lost.to_string();
        let (can_mean_filter, now) = (lost.can_mean_filter(), Instant::now());
        let left_out = [FilterKind::Room, FilterKind::Document].map(|kind| {
            let filters = kind.of(&mut inner);
            let left_out = filters.connection_ended(&words, can_mean_filter, now);
            left_out.map(|left_out| (kind, left_out))
        });
        drop(inner);
        shared.retained().disconnected();
        shared.grants_changed();
        for (kind, left_out) in left_out.into_iter().flatten() {
            self.tell_refused(kind, &left_out);
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
        let most = session.inflight.room();
        if most == 0 {
            return Ok(());
        }
        let mut inner = shared.lock();
        let inner = &mut *inner;
        let filters = &inner.filters;
        let due = (inner.arbiter).markers(|room| filters.is_granted(room), most, Instant::now());
        let topic = MemberTopics::new(shared.name()).below(MOVED);
        let topic = self.context.settings.prefix.add(&topic);
        for ((arrival, revision), rooms) in due {
            for rooms in rooms.chunks(ROOMS_A_MARKER) {
                let payload = marker(arrival, revision, rooms);
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
    let topic = MemberTopics::new(shared.name()).below(DONE);
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
    let of_all = |kind: &str| settings.prefix.add(&MemberTopics::ANY.below(kind));
    let live = |path: String, nolocal: bool| Filter {
        path,
        nolocal,
        ..rooms_filter(context)
    };
    let info = Filter {
        path: settings
            .prefix
            .add(&MemberTopics::new(shared.name()).info()),
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
