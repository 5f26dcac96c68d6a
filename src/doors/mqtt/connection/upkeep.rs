//! What a connection does now and then: it finds out whether the broker delivers and holds what it should,
//! and publishes again what may be lost.
//!
//! Runs once a second. Decides by [`DeliveryCheck`], [`RetainedWatch`], [`BrokerMemory`] and the subscriber's
//! restores.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, Unsubscribe};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Connection, ConnectionLost, SETTLE_TIME};
use crate::doors::mqtt::DoorContext;
use crate::doors::mqtt::broker_memory::BrokerMemory;
use crate::doors::mqtt::delivery::{DELIVERY_TIMEOUT, DeliveryCheck};
use crate::doors::mqtt::inflight::SentMessage;
use crate::doors::mqtt::mark::Mark;
use crate::doors::mqtt::older_retained::{CERTAINLY_TOLD, Occasion, read_older, rooms};
use crate::doors::mqtt::retained_watch::{RetainedWatch, Retention};
use crate::doors::mqtt::session::BrokerSession;
use crate::doors::mqtt::subscription::{own_rooms_filter, retained_filter};
use crate::gateway_id::MessageOwner;
use crate::home_assistant::InboundMessage;
use crate::state::StateStore;
use crate::topics::{
    ALL_GATEWAY_TOPICS, ALL_ROOMS, GATEWAY_AVAILABILITY, GATEWAY_INFO, Topic,
    is_about_availability, is_gateway_topic,
};

/// How long after the start of a connection that is not the first `gateway/availability` is published
/// again. A broker that closes the earlier connection late publishes its will over it, at once or after the
/// will's delay; not every broker tells the gateway of that.
const AVAILABILITY_REPEATS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// How many states are repeated each second, so that results do not wait behind them.
const REPEATED_STATES: usize = 500;

/// What is under way of it.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    was_connected: bool,
    availability_due: VecDeque<Instant>,
    delivery: DeliveryCheck,
    retained: RetainedWatch,
    memory: BrokerMemory,
    /// How many retained messages of rooms have come on this connection, until the broker has told what it retains.
    retained_of_rooms: usize,
    /// Reads what the broker holds from before.
    reading: Option<JoinHandle<()>>,
    /// The gateway's own messages arrive at its own filter.
    is_heard: bool,
    /// The filter by which the gateway's own messages of rooms come is to be given up.
    brings_own: bool,
    /// The topics that are still to be repeated.
    repeats: VecDeque<Arc<str>>,
}

impl Upkeep {
    /// A connection came up, on which everything is published again. `is_resumed`: the broker knows the session.
    pub(super) fn connected(&mut self, is_resumed: bool, now: Instant) {
        self.memory.connected(is_resumed, now);
        if std::mem::replace(&mut self.was_connected, true) {
            self.availability_due = AVAILABILITY_REPEATS.map(|after| now + after).into();
        }
        self.delivery.connection_ended();
        self.retained.connected(now + SETTLE_TIME);
        self.brings_own = false;
        self.retained_of_rooms = 0;
        self.repeats.clear();
    }

    /// The connection ended.
    pub(super) fn connection_ended(&mut self, store: &StateStore) {
        (self.memory).connection_ended(|topic| store.get(topic).map(|value| value.payload));
    }

    /// The broker has told what it retains.
    pub(super) fn told_retained(&mut self) {
        self.memory.told();
    }

    /// The broker sent a message.
    pub(super) fn arrived(&mut self, context: &DoorContext, publish: &Publish) {
        self.delivery.arrived(&publish.topic);
        let topic = std::str::from_utf8(&publish.topic).ok();
        let Some(topic) = topic.and_then(|topic| context.settings.prefix.strip(topic)) else {
            return;
        };
        let is_of_room = Topic::parse(topic).is_some_and(|it| it.room().is_some());
        self.retained_of_rooms += usize::from(publish.retain && is_of_room);
        if self.retained.is_asked()
            && (topic == GATEWAY_INFO
                || publish.retain && Topic::parse(topic).is_some_and(|it| it.room().is_none()))
        {
            self.retained.told();
        }
        if publish.retain && Mark::of(publish).owner(&context.settings) == MessageOwner::ThisGateway
        {
            let current = context.store.get(topic);
            let current = current.as_ref().map(|value| &value.payload[..]);
            (self.memory).arrived(topic, &publish.payload, current, Instant::now());
        }
    }
}

impl Connection {
    /// The broker has had time to tell what it retains: what is left over can be cleared. Where it holds much, it may
    /// have told only a part, so that is read before.
    pub(super) fn settle(&mut self) {
        let context = &self.context;
        let is_part = self.upkeep.retained_of_rooms > CERTAINLY_TOLD;
        if is_part && self.asked_for_leftovers && context.settings.marks_messages {
            self.read_older(Occasion::Start);
        } else {
            context.subscriber.settle(&context.store, Instant::now());
        }
    }

    fn read_older(&mut self, occasion: Occasion) {
        let reading = read_older(self.context.clone(), occasion);
        self.upkeep.reading = Some(tokio::spawn(reading.in_current_span()));
    }

    pub(super) fn keep_up(
        &mut self,
        session: &mut BrokerSession,
        now: Instant,
    ) -> Result<(), ConnectionLost> {
        self.repeat_states(now);
        // The embedded broker delivers to the gateway whatever it publishes, and holds it.
        if !self.context.settings.marks_messages {
            return Ok(());
        }
        self.conclude(session, now);
        if self.settles_at.is_some() || !session.subscription.can_renew() {
            return Ok(());
        }
        if self.upkeep.brings_own && !self.upkeep.delivery.is_expecting() {
            self.upkeep.brings_own = false;
            let mut unsubscribe = Unsubscribe::new(own_rooms_filter(&self.context).path, None);
            unsubscribe.pkid = session.inflight.next_id();
            session.link.put(&Packet::Unsubscribe(unsubscribe))?;
        }
        // Where several gateways share the rooms, each reads what the broker holds of a room when it takes it.
        let reading = self.upkeep.reading.as_ref();
        let is_idle = reading.is_none_or(JoinHandle::is_finished);
        let can_read = session.is_ready && !self.outgoing.pace.is_slow() && is_idle;
        if self.upkeep.memory.is_due(now) && can_read && self.context.settings.shared.is_none() {
            self.upkeep.memory.asked(now);
            self.read_older(Occasion::CameBack);
        }
        self.ask(session, now)
    }

    /// Publishes again what is due.
    fn repeat_states(&mut self, now: Instant) {
        let context = &self.context;
        let outbox = &context.subscriber.outbox;
        let upkeep = &mut self.upkeep;
        while upkeep.availability_due.front().is_some_and(|at| *at <= now) {
            upkeep.availability_due.pop_front();
            outbox.push_state(&Arc::from(GATEWAY_AVAILABILITY));
        }
        context.subscriber.restore_due(now);
        for topic in context.subscriber.returned(now) {
            take_back(context, topic, &mut upkeep.repeats);
        }
        if context.subscriber.take_wanted() {
            upkeep.repeats = context.store.topics_below("").into();
        }
        if outbox.len() < REPEATED_STATES {
            let some = upkeep.repeats.len().min(REPEATED_STATES);
            for topic in upkeep.repeats.drain(..some) {
                outbox.push_state(&topic);
            }
        }
    }

    /// Tells what has been found out.
    fn conclude(&mut self, session: &BrokerSession, now: Instant) {
        let (context, upkeep) = (&self.context, &mut self.upkeep);
        if !session
            .subscription
            .is_granted(&own_rooms_filter(context).path)
        {
            upkeep.delivery.rooms_not_granted();
        }
        let waits_long = |sent: &SentMessage| now.duration_since(sent.sent) >= DELIVERY_TIMEOUT;
        if self.outgoing.pace.is_slow() || session.inflight.iter().any(waits_long) {
            upkeep.delivery.abandon();
        }
        let (prefix, telemetry) = (&context.settings.prefix, &context.telemetry);
        if let Some(undelivered) = upkeep.delivery.concluded(now) {
            upkeep.is_heard = !undelivered.gateway;
            telemetry.undelivered_rooms(undelivered.rooms.len());
            if undelivered.is_mended {
                telemetry.delivered_again();
            }
            if undelivered.is_news && !undelivered.rooms.is_empty() {
                telemetry.rooms_not_delivered(&prefix.add(ALL_ROOMS), &undelivered.rooms);
            }
            if undelivered.is_news && undelivered.gateway {
                telemetry.gateways_not_delivered(&prefix.add(ALL_GATEWAY_TOPICS));
            }
        }
        match upkeep.retained.concluded(now) {
            Some(Retention::Lost) => {
                telemetry.broker_lost_retained();
                let topics = context.stores().flat_map(|store| store.topics_below(""));
                upkeep.repeats = topics.collect();
            }
            Some(Retention::Untold) if upkeep.is_heard => {
                upkeep.retained.give_up();
                telemetry.retained_untold();
            }
            Some(Retention::Untold | Retention::Held) | None => {}
        }
    }

    /// Asks the broker for the gateway's own messages, if that is due.
    fn ask(&mut self, session: &mut BrokerSession, now: Instant) -> Result<(), ConnectionLost> {
        let (context, upkeep) = (&self.context, &mut self.upkeep);
        let gateway = retained_filter(context);
        if !upkeep.retained.is_due(now) || !session.subscription.is_granted(&gateway.path) {
            return Ok(());
        }
        let mut filters = vec![gateway];
        upkeep.retained.asked(now);
        // Of shared rooms others would come too.
        let is_alone = context.settings.shared.is_none();
        let can_check =
            is_alone && session.subscription.has_commands && !self.outgoing.pace.is_slow();
        if upkeep.delivery.is_wanted() && can_check {
            let prefix = &context.settings.prefix;
            let rooms: Vec<_> = rooms(&context.store).into_iter().collect();
            let topics = upkeep.delivery.expect(rooms, prefix, now);
            for topic in topics {
                context.subscriber.outbox.push_state(&topic.into());
            }
            filters.push(own_rooms_filter(context));
            upkeep.brings_own = true;
        }
        session.subscription.renew(filters);
        self.subscribe(session)
    }
}

/// Another gateway has published this topic, and is gone. Its state is published again, whether a room can be used
/// before all else. Of a document Home Assistant's part decides: to it, the other gateway has given the device up.
fn take_back(context: &DoorContext, topic: Arc<str>, repeats: &mut VecDeque<Arc<str>>) {
    if is_gateway_topic(&topic) {
        let is_room = Topic::parse(&topic).and_then(|topic| topic.room());
        let is_own = context.store.get(&topic).is_some()
            || is_room.is_some_and(|room| context.store.room(room).is_some());
        match is_about_availability(&topic) {
            _ if !is_own => {}
            true => context.subscriber.outbox.push_state(&topic),
            false => repeats.push_back(topic),
        }
        return;
    }
    let extra = context.extra_topics.as_ref();
    let Some(extra) = extra.filter(|extra| extra.store.get(&topic).is_some()) else {
        return;
    };
    let given_up = InboundMessage {
        topic: topic.to_string(),
        payload: Bytes::new(),
        owner: MessageOwner::AnotherGateway,
    };
    if extra.inbound.try_send(given_up).is_err() {
        context.telemetry.inbound_dropped(&topic);
    }
}
