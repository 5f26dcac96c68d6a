//! The door's one task: it polls the library, and publishes what waits as the broker takes it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Filter, Packet, PubAck, PubAckReason, Publish, PublishProperties,
    RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::flight::Flight;
use super::message::{
    Address, Meaning, check_response, is_own, meaning, overhead, prefixed, result_messages,
    unprefixed,
};
use super::{AVAILABILITY, Answer, Foreign, INFO, Message, Settings, Stats};
use crate::command::{
    Authority, Door, ErrorCode, Failure, Outcome, Reply, Submission, Submit, Transfer,
};
use crate::hub::{Heard, Hub, Item, Outbox, Retained};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that lasts less than this is no success.
const BRIEF: Duration = Duration::from_secs(5);
/// How many received publishes are remembered, to know a repeat.
const REMEMBERED: usize = 64;

/// What the task uses.
#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub hub: Arc<Hub>,
    pub foreign: Option<Foreign>,
    pub outbox: Arc<Outbox<Answer>>,
    pub flight: Arc<Flight>,
    pub client: AsyncClient,
    pub stats: Arc<Stats>,
}

impl Shared {
    /// A hub topic's newest value, and the topic as the broker knows it.
    fn retained(&self, topic: &str) -> (Option<Retained>, String) {
        match &self.foreign {
            Some(foreign) if !is_own(topic) => {
                let held = foreign.hub.get(topic);
                let made = held.map(|held| Retained::text((foreign.payload)(&held.payload)));
                (made, topic.to_owned())
            }
            _ => (self.hub.get(topic), prefixed(&self.settings.prefix, topic)),
        }
    }
}

/// How the door ends, step by step.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// No more commands are to be taken.
    pub asked: CancellationToken,
    /// None is taken any more; those that were have been handed on.
    pub closed: CancellationToken,
    /// All has been said.
    pub ended: CancellationToken,
}

/// The door's task.
pub struct Connection {
    shared: Shared,
    gateway: Arc<dyn Submit>,
    connected: watch::Sender<bool>,
    ending: Ending,
    wait: Duration,
    since: Option<Instant>,
    brief: u32,
    reported: Option<String>,
    recent: VecDeque<u64>,
    /// The broker has told what an earlier run left there.
    told: bool,
}

impl Connection {
    pub fn new(
        shared: Shared,
        gateway: Arc<dyn Submit>,
        connected: watch::Sender<bool>,
        ending: Ending,
    ) -> Self {
        Self {
            shared,
            gateway,
            connected,
            ending,
            wait: FIRST_WAIT,
            since: None,
            brief: 0,
            reported: None,
            recent: VecDeque::new(),
            told: false,
        }
    }

    /// Polls for ever. The library's own wait for a flush has no limit, hence the one here.
    pub async fn run(mut self, mut events: EventLoop) {
        let watchdog = self.shared.settings.keep_alive.max(BRIEF).mul_f32(2.4);
        loop {
            if self.ending.asked.is_cancelled() && !self.ending.closed.is_cancelled() {
                self.close(&mut events);
            }
            let ended = self.ending.ended.is_cancelled();
            let polled = timeout(watchdog, events.poll());
            match publishing(&self.shared, polled).await {
                Ok(Ok(Event::Outgoing(Outgoing::Disconnect))) if ended => break,
                Ok(Ok(event)) => self.event(event, &mut events),
                Ok(Err(_)) if self.ending.ended.is_cancelled() => break,
                Ok(Err(error)) => {
                    self.lost(&mut events, &told(&error));
                    self.pause().await;
                }
                Err(_) => {
                    self.lost(&mut events, "the broker does not answer any more");
                    self.pause().await;
                }
            }
        }
    }

    fn event(&mut self, event: Event, events: &mut EventLoop) {
        match event {
            Event::Incoming(packet) => self.incoming(packet, events),
            Event::Outgoing(Outgoing::Publish(id)) => self.shared.flight.sent(id),
            Event::Outgoing(_) => {}
        }
    }

    /// Takes no more commands. What the library has read it has acknowledged, so that is still
    /// handed on; what it reads from now on it does not, so the broker has it for the next run.
    fn close(&mut self, events: &mut EventLoop) {
        while let Some(event) = events.state.events.pop_front() {
            self.event(event, events);
        }
        events.state.manual_acks = true;
        self.ending.closed.cancel();
    }

    async fn pause(&mut self) {
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        tokio::select! {
            () = sleep(wait) => {}
            () = self.ending.ended.cancelled() => {}
        }
    }

    /// Empties the library's memory and takes back what was not acknowledged.
    fn lost(&mut self, events: &mut EventLoop, why: &str) {
        self.connected.send_replace(false);
        self.shared.outbox.put_back(self.shared.flight.close());
        events.clean();
        events.pending.clear();
        let address = self.shared.settings.address();
        if let Some(since) = self.since.take() {
            if since.elapsed() < BRIEF {
                self.brief += 1;
            } else {
                self.brief = 0;
                self.wait = FIRST_WAIT;
            }
            if self.brief >= 3 {
                tracing::warn!(
                    client_id = self.shared.settings.client_id,
                    "the broker keeps ending the connection soon after it is made: another \
                     client may be using this client id"
                );
            }
        }
        if self.reported.as_deref() != Some(why) {
            tracing::warn!(broker = address, "no connection to the broker: {why}");
            self.reported = Some(why.to_owned());
        }
    }

    fn incoming(&mut self, packet: Packet, events: &mut EventLoop) {
        match packet {
            Packet::ConnAck(connack) => self.connack(&connack, events),
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubAck(ack) => self.puback(&ack),
            Packet::SubAck(ack) => {
                // In the order of the filters.
                for (n, code) in ack.return_codes.iter().enumerate() {
                    if matches!(code, SubscribeReasonCode::Success(_)) {
                        continue;
                    }
                    Stats::count(&self.shared.stats.refused);
                    let to = match n {
                        0 => "the commands",
                        1 => INFO,
                        _ => "Home Assistant's topics",
                    };
                    tracing::error!(
                        ?code,
                        "the broker refuses the subscription to {to}; check its access rules for \
                         this user"
                    );
                }
                self.connected.send_replace(true);
            }
            Packet::Disconnect(disconnect) => {
                tracing::warn!(reason = ?disconnect.reason_code, "the broker ends the connection");
            }
            _ => {}
        }
    }

    fn connack(&mut self, connack: &ConnAck, events: &mut EventLoop) {
        // A server keep-alive of 0 would make the library ping without a pause.
        if events.options.keep_alive() < BRIEF {
            events
                .options
                .set_keep_alive(self.shared.settings.keep_alive.max(BRIEF));
        }
        let shared = &self.shared;
        Stats::count(&shared.stats.connects);
        self.since = Some(Instant::now());
        if self.brief < 3 {
            self.reported = None;
        }
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
        let filters = own.into_iter().chain(foreign);
        if shared.client.try_subscribe_many(filters).is_err() {
            tracing::error!("the subscription could not be handed over");
        }
        // The gateway's own availability first, then everything, in case the broker forgot.
        shared.outbox.push_state(&Arc::from(AVAILABILITY));
        let foreign = shared.foreign.iter().map(|foreign| &foreign.hub);
        for hub in std::iter::once(&shared.hub).chain(foreign) {
            for topic in hub.topics_below("") {
                shared.outbox.push_state(&topic);
            }
        }
        let limits = connack.properties.as_ref();
        let at_a_time = limits.and_then(|limits| limits.receive_max);
        let largest = limits.and_then(|limits| limits.max_packet_size);
        shared
            .flight
            .open(at_a_time.unwrap_or(u16::MAX), largest.unwrap_or(u32::MAX));
        self.connected.send_replace(true);
        tracing::info!(
            broker = shared.settings.address(),
            "connected to the broker"
        );
    }

    fn puback(&self, ack: &PubAck) {
        let item = self.shared.flight.acknowledged(ack.pkid);
        if !matches!(
            ack.reason,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        ) {
            Stats::count(&self.shared.stats.refused);
            let topic = match item {
                Some(Item::State(topic) | Item::Event(topic, _)) => topic.to_string(),
                Some(Item::Reply((_, outcome))) => format!("{}/result", outcome.command),
                None => String::new(),
            };
            tracing::error!(topic, reason = ?ack.reason, "the broker refuses a message");
        }
    }

    /// A publish from the broker: a command, or nothing.
    fn publish(&mut self, publish: Publish) {
        if self.ending.closed.is_cancelled() {
            return;
        }
        let received = Instant::now();
        let shared = &self.shared;
        let prefix = &shared.settings.prefix;
        let Ok(topic) = std::str::from_utf8(&publish.topic) else {
            return;
        };
        let own = unprefixed(prefix, topic).unwrap_or_default();
        if let Some(foreign) = shared.foreign.as_ref().filter(|_| !is_own(own)) {
            let heard = Heard {
                topic: topic.to_owned(),
                payload: publish.payload,
            };
            if foreign.heard.try_send(heard).is_err() {
                tracing::warn!(topic, "too much comes at once to be heard");
            }
            return;
        }
        if publish.retain
            && (publish.payload.is_empty()
                || self.gateway.left_over(own, &publish.payload)
                || shared.hub.get(own).is_some())
        {
            return;
        }
        let Meaning::Command { room, command } = meaning(prefix, topic) else {
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
        Stats::count(&shared.stats.received);
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
        let outbox = shared.outbox.clone();
        let answer = move |outcome: Outcome| outbox.push_reply((address, Box::new(outcome)));
        let reply = Reply::new(room.clone(), command.clone(), answer);
        if let Some(message) = refused {
            return reply.answer(Err(Failure::new(ErrorCode::InvalidPayload, message)));
        }
        let (size, limit) = (publish.payload.len(), shared.settings.max_payload);
        if size > limit {
            let message = format!("the payload has {size} bytes; mqtt.max_payload allows {limit}");
            return reply.answer(Err(Failure::new(ErrorCode::TooLarge, message)));
        }
        let expires = properties
            .message_expiry_interval
            .map(|seconds| received + Duration::from_secs(seconds.into()));
        self.gateway.submit(Submission {
            room,
            command,
            payload: publish.payload,
            retained: publish.retain,
            expires,
            received,
            authority: Authority::RoomAllows,
            door: Door::Mqtt,
            transfer: Transfer::None,
            reply,
        });
    }
}

/// What makes a publish the same as one that came before.
fn fingerprint(publish: &Publish) -> u64 {
    let mut hasher = DefaultHasher::new();
    (publish.pkid, &publish.topic, &publish.payload).hash(&mut hasher);
    hasher.finish()
}

/// A connection error for a person. It holds neither user nor password.
fn told(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                "it refuses the user and password (mqtt.username, mqtt.password_file)".into()
            }
            ConnectReturnCode::ClientIdentifierNotValid => {
                "it refuses the client id (mqtt.client_id)".into()
            }
            ConnectReturnCode::UnsupportedProtocolVersion
            | ConnectReturnCode::RefusedProtocolVersion => {
                "it does not speak MQTT 5, which the gateway needs".into()
            }
            code => format!("it refuses the connection ({code:?})"),
        },
        // The library wraps what went wrong in its own words; people need the cause.
        error => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        }
    }
}

/// Polls to the end, since a poll that is broken off may lose what it holds, and meanwhile hands
/// over what waits, in order, as far as the broker takes it.
async fn publishing<T>(shared: &Shared, polled: impl Future<Output = T>) -> T {
    let mut polled = pin!(polled);
    loop {
        let item = async {
            shared.outbox.filled().await;
            shared.flight.room(2).await;
        };
        tokio::select! {
            biased;
            polled = &mut polled => return polled,
            () = item => {
                // Who waits for outbox and flight to be empty must not overlook what is between.
                shared.flight.carry(true);
                if let Some(item) = shared.outbox.try_next() {
                    send(shared, item);
                }
                shared.flight.carry(false);
            }
        }
    }
}

fn send(shared: &Shared, item: Item<Answer>) {
    let messages = messages(shared, &item);
    let last = messages.len().saturating_sub(1);
    let mut item = Some(item);
    for (n, message) in messages.into_iter().enumerate() {
        // The last message stands for the item: when it is acknowledged, so were the others.
        let named = if n == last { item.take() } else { None };
        if let Err(unsent) = shared.flight.push(named) {
            let unsent = unsent.or_else(|| item.take());
            shared.outbox.put_back(unsent.into_iter().collect());
            break;
        }
        hand_over(shared, message);
    }
}

fn hand_over(shared: &Shared, message: Message) {
    let properties = PublishProperties {
        correlation_data: message.correlation,
        content_type: message.content_type,
        user_properties: message.user,
        ..PublishProperties::default()
    };
    let handed = shared.client.try_publish_with_properties(
        message.topic,
        QoS::AtLeastOnce,
        message.retain,
        message.payload,
        properties,
    );
    match handed {
        Ok(()) => Stats::count(&shared.stats.published),
        // The window is smaller than the channel, so this cannot happen while connected.
        Err(error) => tracing::error!(%error, "a message could not be handed over"),
    }
}

/// The messages of an item that may be sent; what is too large is left out or told instead.
fn messages(shared: &Shared, item: &Item<Answer>) -> Vec<Message> {
    let prefix = &shared.settings.prefix;
    let plain = |topic: String, payload, retain, content_type| Message {
        topic,
        payload,
        retain,
        content_type,
        correlation: None,
        user: Vec::new(),
    };
    let largest = shared.flight.largest_packet();
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
                tracing::warn!(topic = &**topic, "a state is larger than mqtt.max_payload");
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
