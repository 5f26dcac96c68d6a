//! The door's one task: it keeps a connection to the broker, and publishes what waits as the broker
//! takes it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, PingReq, PubAck, PubAckReason, Publish, PublishProperties,
    RetainForwardRule, SubAck, Subscribe, SubscribeReasonCode,
};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::inflight::Inflight;
use super::link::{Link, Lost};
use super::message::{
    Address, Publication, check_response, classify, is_own, overhead, prefixed, result_messages,
    unprefixed,
};
use super::subscriber::MqttSubscriber;
use super::{AVAILABILITY, Answer, ExtraTopics, INFO, Message, Settings};
use crate::command::{
    Authority, DoorKind, ErrorCode, Failure, Outcome, Reply, Submission, Submit, Transfer,
};
use crate::doors::flush_rule::FlushRule;
use crate::state::{Inbound, Item, StateStore, StateValue};
use crate::telemetry::Telemetry;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that lasts less than this is no success.
const BRIEF: Duration = Duration::from_secs(5);
/// How many received publishes are remembered, to know a repeat.
const REMEMBERED: usize = 64;
/// What follows a packet's fixed header has at most so many bytes, MQTT 5 section 1.5.5.
const LARGEST_IN_MQTT: usize = 268_435_455;
/// The answer to a command with the retain flag.
const RETAINED_COMMAND: &str = "a retained command is never carried out, because the broker would \
                                repeat it; publish it without the retain flag";
/// How long taking leave of the broker may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the task uses.
#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub store: Arc<StateStore>,
    pub foreign: Option<ExtraTopics>,
    pub subscriber: Arc<MqttSubscriber>,
    pub telemetry: Arc<Telemetry>,
    /// The door is to end: no more commands are taken, and what waits is said.
    pub ending: CancellationToken,
}

impl Shared {
    /// A topic's newest value, and the topic as the broker knows it.
    fn retained(&self, topic: &str) -> (Option<StateValue>, String) {
        match &self.foreign {
            Some(foreign) if !is_own(topic) => {
                let held = foreign.store.get(topic);
                let made = held.map(|held| StateValue::text((foreign.payload)(&held.payload)));
                (made, topic.to_owned())
            }
            _ => (
                self.store.get(topic),
                prefixed(&self.settings.prefix, topic),
            ),
        }
    }
}

/// The door's task.
pub struct Connection {
    shared: Shared,
    tls: Option<TlsConnector>,
    gateway: Arc<dyn Submit>,
    connected: watch::Sender<bool>,
    wait: Duration,
    since: Option<Instant>,
    brief: u32,
    reported: Option<String>,
    recent: VecDeque<u64>,
    /// The broker has told what an earlier run left there.
    told: bool,
    /// Commands that were handed on and whose results were not taken from the outbox yet.
    due: usize,
}

/// What belongs to one connection.
struct Session {
    link: Link,
    inflight: Inflight,
    /// The largest packet that the broker takes.
    largest_packet: usize,
    keep_alive: Duration,
}

impl Connection {
    pub fn new(
        shared: Shared,
        tls: Option<TlsConnector>,
        gateway: Arc<dyn Submit>,
        connected: watch::Sender<bool>,
    ) -> Self {
        Self {
            shared,
            tls,
            gateway,
            connected,
            wait: FIRST_WAIT,
            since: None,
            brief: 0,
            reported: None,
            recent: VecDeque::new(),
            told: false,
            due: 0,
        }
    }

    /// Keeps a connection, until the door ends and all has been said.
    pub async fn run(mut self) {
        let ending = self.shared.ending.clone();
        while !ending.is_cancelled() {
            let opened = tokio::select! {
                opened = Link::open(&self.shared.settings, self.tls.as_ref()) => opened,
                () = ending.cancelled() => return,
            };
            let lost = match opened {
                Ok((link, ack)) => {
                    let mut session = self.begin(link, &ack);
                    let lost = match self.serve(&mut session).await {
                        Ok(()) => {
                            let _ = timeout(FAREWELL, session.link.close()).await;
                            return;
                        }
                        Err(lost) => lost,
                    };
                    self.take_back(session.inflight);
                    lost
                }
                Err(lost) => lost,
            };
            self.lost(&lost);
            tokio::select! {
                () = sleep(self.wait) => {}
                () = ending.cancelled() => {}
            }
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Takes what comes and sends what waits, until the door ends and all has been said.
    async fn serve(&mut self, session: &mut Session) -> Result<(), Lost> {
        let ending = self.shared.ending.clone();
        let subscriber = self.shared.subscriber.clone();
        let outbox = &subscriber.outbox;
        let period = session.keep_alive;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = true;
        let mut flush_rule = FlushRule::default();
        self.subscribe(session)?;
        loop {
            let ends = ending.is_cancelled();
            while let Some(packet) = session.link.next()? {
                self.incoming(packet, session)?;
            }
            let mut answers = false;
            while self.has_room(session)
                && let Some(item) = outbox.try_next()
            {
                answers = matches!(item, Item::Reply(_));
                self.send(session, item);
            }
            if ends && self.due == 0 && outbox.is_empty() && session.inflight.is_empty() {
                return Ok(());
            }
            // The turn of the others also sends a command's request to the device before the
            // command's acknowledgement to the broker.
            let is_last_answer = answers && self.due == 0;
            if session.link.has_put() && flush_rule.should_yield(is_last_answer) {
                yield_now().await;
                continue;
            }
            flush_rule.written();
            tokio::select! {
                biased;
                turned = session.link.turn() => {
                    turned?;
                    heard = true;
                }
                () = outbox.filled(), if self.has_room(session) => {}
                _ = ticks.tick() => {
                    if !std::mem::replace(&mut heard, false) {
                        return Err(Lost::Silent);
                    }
                    session.link.put(&Packet::PingReq(PingReq))?;
                }
                () = ending.cancelled(), if !ends => {}
            }
        }
    }

    /// For an item, which is two messages at most.
    fn has_room(&self, session: &Session) -> bool {
        session.inflight.has_room(2, self.due > 0) && !session.link.is_full()
    }

    /// What was not acknowledged waits again, before all else.
    fn take_back(&mut self, inflight: Inflight) {
        let items = inflight.lost();
        let replies = items.iter().filter(|item| matches!(item, Item::Reply(_)));
        self.due += replies.count();
        self.shared.subscriber.outbox.put_back(items);
    }

    fn lost(&mut self, why: &Lost) {
        self.connected.send_replace(false);
        if let Some(since) = self.since.take() {
            if since.elapsed() < BRIEF {
                self.brief += 1;
            } else {
                self.brief = 0;
                self.wait = FIRST_WAIT;
            }
            if self.brief >= 3 {
                let client_id = &self.shared.settings.client_id;
                self.shared.telemetry.broker_unsteady(client_id);
            }
        }
        let why = why.to_string();
        if self.reported.as_ref() != Some(&why) {
            self.shared.telemetry.broker_lost(&why);
            self.reported = Some(why);
        }
    }

    fn incoming(&mut self, packet: Packet, session: &mut Session) -> Result<(), Lost> {
        match packet {
            // Neither taken nor acknowledged, it is the next run's.
            Packet::Publish(_) if self.shared.ending.is_cancelled() => {}
            Packet::Publish(publish) => {
                let (id, qos) = (publish.pkid, publish.qos);
                self.publish(publish);
                if qos != QoS::AtMostOnce {
                    session.link.put(&Packet::PubAck(PubAck::new(id, None)))?;
                }
            }
            Packet::PubAck(ack) => self.puback(&ack, &mut session.inflight),
            Packet::SubAck(ack) => self.suback(&ack),
            _ => {}
        }
        Ok(())
    }

    fn suback(&self, ack: &SubAck) {
        // In the order of the filters.
        for (n, code) in ack.return_codes.iter().enumerate() {
            if matches!(code, SubscribeReasonCode::Success(_)) {
                continue;
            }
            let to = match n {
                0 => "the commands",
                1 => INFO,
                _ => "Home Assistant's topics",
            };
            let telemetry = &self.shared.telemetry;
            telemetry.broker_refused_subscription(to, code);
        }
        self.connected.send_replace(true);
    }

    /// A connection came up: everything is to be said, in case the broker forgot.
    fn begin(&mut self, link: Link, ack: &ConnAck) -> Session {
        let shared = &self.shared;
        self.since = Some(Instant::now());
        if self.brief < 3 {
            self.reported = None;
        }
        // The gateway's own availability first.
        shared
            .subscriber
            .outbox
            .push_state(&Arc::from(AVAILABILITY));
        let foreign = shared.foreign.iter().map(|foreign| &foreign.store);
        for store in std::iter::once(&shared.store).chain(foreign) {
            for topic in store.topics_below("") {
                shared.subscriber.outbox.push_state(&topic);
            }
        }
        let limits = ack.properties.as_ref();
        let at_a_time = limits.and_then(|limits| limits.receive_max);
        let largest = limits.and_then(|limits| limits.max_packet_size);
        let largest = largest.and_then(|largest| usize::try_from(largest).ok());
        // 0 turns the broker's watch off, not ours.
        let keep_alive = limits.and_then(|limits| limits.server_keep_alive);
        let keep_alive = keep_alive.filter(|seconds| *seconds > 0);
        self.connected.send_replace(true);
        shared.telemetry.broker_connected();
        Session {
            link,
            inflight: Inflight::new(at_a_time.unwrap_or(u16::MAX)),
            largest_packet: largest.unwrap_or(usize::MAX).min(LARGEST_IN_MQTT),
            keep_alive: keep_alive.map_or(shared.settings.keep_alive.max(BRIEF), |seconds| {
                Duration::from_secs(seconds.into())
            }),
        }
    }

    fn subscribe(&mut self, session: &mut Session) -> Result<(), Lost> {
        let shared = &self.shared;
        let filter = |path: String, retain_forward_rule| Filter {
            path,
            qos: QoS::AtLeastOnce,
            nolocal: true,
            preserve_retain: true,
            retain_forward_rule,
        };
        // The first connection is told what an earlier run left at the broker; later ones know.
        let first = !std::mem::replace(&mut self.told, true);
        let own = ["room/#", INFO].map(|topic| {
            let replay = if first {
                RetainForwardRule::OnEverySubscribe
            } else {
                RetainForwardRule::Never
            };
            filter(prefixed(&shared.settings.prefix, topic), replay)
        });
        let foreign = shared.foreign.iter().flat_map(|foreign| &foreign.filters);
        let foreign = foreign.map(|path| filter(path.clone(), RetainForwardRule::OnEverySubscribe));
        let mut subscribe = Subscribe::new_many(own.into_iter().chain(foreign), None);
        subscribe.pkid = session.inflight.next_id();
        Ok(session.link.put(&Packet::Subscribe(subscribe))?)
    }

    fn puback(&self, ack: &PubAck, inflight: &mut Inflight) {
        let item = inflight.acknowledged(ack.pkid);
        if !matches!(
            ack.reason,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        ) {
            let topic = match item {
                Some(Item::State(topic) | Item::Event(topic, _)) => topic.to_string(),
                Some(Item::Reply((_, outcome))) => format!("{}/result", outcome.command),
                None => String::new(),
            };
            let telemetry = &self.shared.telemetry;
            telemetry.broker_refused_message(&topic, &ack.reason);
        }
    }

    /// A publish from the broker: a command, or nothing.
    fn publish(&mut self, publish: Publish) {
        let received = Instant::now();
        let shared = &self.shared;
        let prefix = &shared.settings.prefix;
        let Ok(topic) = std::str::from_utf8(&publish.topic) else {
            return;
        };
        let own = unprefixed(prefix, topic).unwrap_or_default();
        if let Some(foreign) = shared.foreign.as_ref().filter(|_| !is_own(own)) {
            let heard = Inbound {
                topic: topic.to_owned(),
                payload: publish.payload,
            };
            if foreign.heard.try_send(heard).is_err() {
                shared.telemetry.inbound_dropped(topic);
            }
            return;
        }
        if publish.retain
            && (publish.payload.is_empty()
                || shared
                    .subscriber
                    .retained_arrived(&shared.store, own, &publish.payload))
        {
            return;
        }
        let Publication::Command { room, command } = classify(prefix, topic) else {
            return;
        };
        let repeat = fingerprint(&publish);
        if publish.dup && self.recent.contains(&repeat) {
            return;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(repeat);
        shared.telemetry.command_received();
        let properties = publish.properties.unwrap_or_default();
        let mut address = Address {
            response: None,
            correlation: properties.correlation_data,
        };
        let response = properties.response_topic;
        let refused = response
            .as_deref()
            .and_then(|response| check_response(prefix, &room, response).err());
        if refused.is_none() {
            address.response = response;
        }
        let room: Arc<str> = room.into();
        let subscriber = shared.subscriber.clone();
        let answer =
            move |outcome: Outcome| subscriber.outbox.push_reply((address, Box::new(outcome)));
        self.due += 1;
        let reply = Reply::new(room.clone(), command.clone(), answer);
        if let Some(message) = refused {
            let failure = Failure::new(ErrorCode::InvalidPayload, message);
            return self.gateway.refuse(DoorKind::Mqtt, reply, failure);
        }
        let (size, limit) = (publish.payload.len(), shared.settings.max_payload);
        if size > limit {
            let message = format!("the payload has {size} bytes; mqtt.max_payload allows {limit}");
            let failure = Failure::new(ErrorCode::TooLarge, message);
            return self.gateway.refuse(DoorKind::Mqtt, reply, failure);
        }
        if publish.retain {
            let failure = Failure::new(ErrorCode::IgnoredRetained, RETAINED_COMMAND);
            return self.gateway.refuse(DoorKind::Mqtt, reply, failure);
        }
        let expires = properties
            .message_expiry_interval
            .map(|seconds| received + Duration::from_secs(seconds.into()));
        self.gateway.submit(Submission {
            room,
            command,
            payload: publish.payload,
            expires,
            received,
            authority: Authority::RoomAllows,
            door: DoorKind::Mqtt,
            transfer: Transfer::None,
            reply,
        });
    }

    /// Puts an item's messages. The last stands for the item: when it is acknowledged, so were the
    /// others.
    fn send(&mut self, session: &mut Session, item: Item<Answer>) {
        if matches!(item, Item::Reply(_)) {
            self.due = self.due.saturating_sub(1);
        }
        let messages = messages(&self.shared, session.largest_packet, &item);
        let last = messages.len().saturating_sub(1);
        let mut item = Some(item);
        for (n, message) in messages.into_iter().enumerate() {
            let id = session.inflight.next_id();
            let publish = Publish {
                pkid: id,
                qos: QoS::AtLeastOnce,
                retain: message.retain,
                topic: message.topic.into(),
                payload: message.payload,
                properties: Some(PublishProperties {
                    correlation_data: message.correlation,
                    content_type: message.content_type,
                    user_properties: message.user,
                    ..PublishProperties::default()
                }),
                ..Publish::default()
            };
            match session.link.put(&Packet::Publish(publish)) {
                Ok(()) => {
                    let named = if n == last { item.take() } else { None };
                    session.inflight.push(id, named);
                    self.shared.telemetry.message_published();
                }
                // It is checked before that it fits into a packet.
                Err(error) => self.shared.telemetry.message_not_sent(&error),
            }
        }
    }
}

/// What makes a publish the same as one that came before.
fn fingerprint(publish: &Publish) -> u64 {
    let mut hasher = DefaultHasher::new();
    (publish.pkid, &publish.topic, &publish.payload).hash(&mut hasher);
    hasher.finish()
}

/// The messages of an item that may be sent; what is too large is left out or told instead.
fn messages(shared: &Shared, largest: usize, item: &Item<Answer>) -> Vec<Message> {
    let prefix = &shared.settings.prefix;
    let plain = |topic: String, payload, retain, content_type| Message {
        topic,
        payload,
        retain,
        content_type,
        correlation: None,
        user: Vec::new(),
    };
    let fits = |message: &Message| {
        message.payload.len() <= shared.settings.max_payload
            && message.payload.len() + overhead(message) <= largest
    };
    match item {
        Item::State(topic) => {
            let (retained, at) = shared.retained(topic);
            let (payload, content_type) = match retained {
                Some(value) => (
                    value.payload,
                    value.content_type.map(|kind| kind.to_string()),
                ),
                None => Default::default(),
            };
            let message = plain(at, payload, true, content_type);
            if fits(&message) {
                vec![message]
            } else {
                shared.telemetry.state_too_large(topic);
                Vec::new()
            }
        }
        Item::Event(topic, payload) => {
            vec![plain(prefixed(prefix, topic), payload.clone(), false, None)]
        }
        Item::Reply((address, outcome)) => {
            let mut messages = result_messages(prefix, address, outcome);
            if messages.len() > 1 && !messages.iter().all(fits) {
                // The result names the URL at which the file is to be had.
                messages.remove(0);
            }
            if messages.iter().all(fits) {
                return messages;
            }
            let mut outcome = outcome.as_ref().clone();
            outcome.result = Err(Failure::new(
                ErrorCode::TooLarge,
                "the answer is larger than mqtt.max_payload allows",
            ));
            result_messages(prefix, address, &outcome)
        }
    }
}
