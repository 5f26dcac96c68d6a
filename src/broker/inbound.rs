//! What a client may send after its log-in: each packet is passed to the library, answered here, or
//! the end of the connection.
//!
//! Sees the head of a message, never its payload. Decides by `rights` and the limits.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::time::Instant;

use super::answers::{Answers, Denial};
use super::client::BrokerClient;
use super::frames::{FieldReader, Frame, Malformed, kind};
use super::gateway_retained::StoredMessage;
use super::limits::{
    LARGEST_CONTROL_PACKET, LARGEST_MESSAGE_HEAD, QUEUED_MESSAGE_BYTES, TOPIC_ALIASES,
};
use super::message::MessageHead;
use super::properties::MALFORMED;
use super::replay::ReplayBacklog;
use super::replays::{Replay, Replays};
use super::rights::{PublishAttempt, Recipients};
use super::rules::check_packet;
use super::subscriptions::{FilterRequest, RequestedFilter, Subscriptions};
use super::tickets::Tickets;
use super::topic_size::is_moderate;
use crate::topics::Filter;

/// What happens to a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum PacketVerdict {
    /// It cannot be decided before this many bytes of it are there.
    NeedMore(usize),
    /// The library gets it.
    Pass,
    /// The library gets these bytes instead of the first ones.
    Replace {
        /// How many bytes are replaced.
        length: usize,
        with: Vec<u8>,
        /// The client gets this when the library has the whole packet, if it is anything.
        answer: Vec<u8>,
    },
    /// The library does not get it; the client gets this, if anything.
    Answer(Vec<u8>),
    /// The client gets this, if anything, and the connection ends.
    End(Vec<u8>),
}

/// What is known of one client's packets.
#[derive(Debug)]
pub struct InboundPackets {
    client: Arc<BrokerClient>,
    answers: Answers,
    /// The topics of this client's aliases. The library never sees an alias.
    aliases: HashMap<u16, Box<str>>,
    /// Messages of QoS 2 that the library did not get as such, while the client goes on with PUBREL.
    answered: HashSet<u16>,
    /// Messages of QoS 2 that this connection brought to the client and that it has not finished.
    delivering: HashSet<u16>,
    /// What was asked for by SUBSCRIBE and not answered yet.
    subscriptions: Subscriptions,
    /// What clients had retained when the client subscribed, and was not sent yet.
    pub replay: ReplayBacklog,
    /// What the gateway had retained when the client subscribed, and was not sent yet.
    pub replays: Replays,
    /// What is to be sent when the SUBSCRIBE with this packet identifier is answered.
    replays_at_suback: HashMap<u16, Vec<Replay>>,
    /// Its commands on their way to the gateway.
    pub tickets: Tickets,
    /// Its commands of QoS 2 that are not released, with their bytes: only then does the library pass them on.
    unreleased_commands: HashMap<u16, usize>,
    /// The filters whose messages keep their retain flag.
    as_published: Vec<Filter>,
}

/// The flag of a PUBLISH that is sent again (MQTT 5, 3.3.1.1).
const DUPLICATE: u8 = 0b1000;

const TOO_LARGE: Denial = Denial::limit(
    "packet",
    ReasonCode::PacketTooLarge,
    "the packet is too large",
);
const BAD_ALIAS: Denial = Denial::limit(
    "alias",
    ReasonCode::TopicAliasInvalid,
    "there is no topic with this alias, or the alias is above Topic Alias Maximum",
);
const NOT_TAKEN: Denial = Denial::new(
    ReasonCode::QuotaExceeded,
    "the gateway does not carry this out, and cannot answer now",
);
const TOO_SLOW: Denial = Denial::limit(
    "slow",
    ReasonCode::QuotaExceeded,
    "the client does not take what it subscribed to",
);
const TAKEN: Denial = Denial::new(ReasonCode::Success, "");

impl InboundPackets {
    pub fn new(client: Arc<BrokerClient>, answers: Answers, replays: Replays) -> Self {
        Self {
            tickets: Tickets::new(client.shared.commands.clone()),
            unreleased_commands: HashMap::new(),
            client,
            answers,
            aliases: HashMap::new(),
            answered: HashSet::new(),
            delivering: HashSet::new(),
            subscriptions: Subscriptions::default(),
            replay: ReplayBacklog::default(),
            replays,
            replays_at_suback: HashMap::new(),
            as_published: Vec::new(),
        }
    }

    /// The answer to bytes that are no packet.
    pub fn malformed(&self) -> Vec<u8> {
        self.answers.disconnect(&MALFORMED)
    }

    /// The library has accepted the connection, with or without the session of a former one.
    pub fn connected(&mut self, session_present: bool) {
        if !session_present {
            self.client.shared.forget(&self.client.place);
        }
        self.load_as_published();
    }

    fn load_as_published(&mut self) {
        let filters = &self.client.shared.filters;
        self.as_published = filters.as_published(&self.client.place);
    }

    /// The library's name of the client.
    pub fn place(&self) -> &str {
        &self.client.place
    }

    /// Whether some of the client's filters keep the retain flag.
    pub fn wants_retain_flags(&self) -> bool {
        !self.as_published.is_empty()
    }

    /// Whether the client gets a message of this topic, which is not sent because of a subscription, with
    /// the retain flag. The library does not know of the gateway's.
    pub fn keeps_retain(&self, topic: &str, is_empty: bool) -> bool {
        let shared = &self.client.shared;
        self.as_published.iter().any(|filter| filter.matches(topic))
            && (shared.gateway_retained.get(topic).is_some()
                || is_empty && shared.rights.is_gateways(topic))
    }

    /// Whether an empty message of this topic only clears what has expired.
    pub fn is_clearing(&self, topic: &str) -> bool {
        self.client.shared.retained.is_clearing(topic)
    }

    /// What the gateway retains at a topic.
    pub fn gateway_retained(&self, topic: &str) -> Option<Arc<StoredMessage>> {
        self.client.shared.gateway_retained.get(topic)
    }

    /// Decides about the packet that these bytes begin with.
    pub fn inspect(&mut self, frame: &Frame, bytes: &[u8]) -> PacketVerdict {
        if frame.kind != kind::PUBLISH && frame.length() > LARGEST_CONTROL_PACKET {
            return self.end(&TOO_LARGE);
        }
        match frame.kind {
            kind::PUBLISH => self.publish(frame, bytes),
            _ => match bytes.get(..frame.length()) {
                None => PacketVerdict::NeedMore(frame.length()),
                Some(packet) => self.control_packet(frame, packet),
            },
        }
    }

    /// A packet without a payload, all of it.
    fn control_packet(&mut self, frame: &Frame, packet: &[u8]) -> PacketVerdict {
        if let Err(denial) = self.check(frame, packet) {
            return self.end(&denial);
        }
        match frame.kind {
            kind::PUBREL => self.pubrel(frame, packet),
            kind::PUBREC if self.answers.is_mqtt_5() => self.pubrec(frame, packet),
            kind::PUBCOMP => {
                if let Ok(packet_id) = FieldReader(frame.body_in(packet)).two_bytes() {
                    self.delivering.remove(&packet_id);
                }
                PacketVerdict::Pass
            }
            kind::SUBSCRIBE | kind::UNSUBSCRIBE => self.subscribe_or_unsubscribe(frame, packet),
            _ => PacketVerdict::Pass,
        }
    }

    fn check(&self, frame: &Frame, bytes: &[u8]) -> Result<(), Denial> {
        check_packet(self.answers.is_mqtt_5(), frame, frame.body_in(bytes))
    }

    fn subscribe_or_unsubscribe(&mut self, frame: &Frame, packet: &[u8]) -> PacketVerdict {
        let request = FilterRequest::parse(frame, packet, self.answers.is_mqtt_5());
        let Ok(mut request) = request else {
            return self.end(&MALFORMED);
        };
        let client = &self.client;
        for filter in &mut request.filters {
            filter.for_library = client.filter_for_library(filter.text);
        }
        if frame.kind == kind::UNSUBSCRIBE {
            for filter in &request.filters {
                client.unsubscribe(filter.text);
            }
            self.load_as_published();
            return request.pass(|_| true);
        }
        let mut replays = Vec::new();
        let may = |filter: &RequestedFilter<'_>| {
            let decided = self
                .replays
                .check(replays.len() + 1)
                .and_then(|()| subscribe(client, &mut self.replay, filter));
            let is_new = decided.inspect_err(|denial| client.shared.denied(denial))?;
            if filter.wants_retained(is_new)
                && let Ok(wanted) = Filter::new(filter.text)
            {
                replays.push(Replay {
                    filter: wanted,
                    qos: filter.qos(),
                    identifier: request.identifier,
                });
            }
            Ok(())
        };
        let verdict = self.subscriptions.subscribe(&request, self.answers, may);
        if !replays.is_empty() {
            self.replays_at_suback.insert(request.packet_id, replays);
        }
        self.load_as_published();
        verdict
    }

    fn publish(&mut self, frame: &Frame, bytes: &[u8]) -> PacketVerdict {
        if frame.length() > self.client.shared.largest_packet {
            return self.end(&TOO_LARGE);
        }
        let head = match MessageHead::parse(frame, bytes, self.answers.is_mqtt_5()) {
            Ok(head) => head,
            Err(Malformed) if bytes.len() >= frame.length() => {
                return self.end(&MALFORMED);
            }
            Err(Malformed) if bytes.len() >= LARGEST_MESSAGE_HEAD => {
                return self.end(&TOO_LARGE);
            }
            Err(Malformed) => return PacketVerdict::NeedMore(bytes.len() + 1),
        };
        if let Err(denial) = self.check(frame, bytes) {
            return self.end(&denial);
        }
        let Some(topic) = self.resolve_alias(&head) else {
            return self.end(&BAD_ALIAS);
        };
        let attempt = PublishAttempt {
            topic: &topic,
            retain: head.retain,
            empty: head.payload == 0,
            response: head.response_topic,
            will: false,
        };
        match self.client.publish(&attempt) {
            Ok(Recipients::Everyone) => {}
            Ok(Recipients::Gateway) => return self.publish_to_gateway(frame, &head, &topic, bytes),
            Err(denial) => return self.answer(&head, &denial),
        }
        if let Err(denial) = self.limits(frame, &head, &topic) {
            return self.answer(&head, &denial);
        }
        let heads = &self.client.shared.published_heads;
        heads.add(topic.len() + head.property_size().in_memory());
        let is_large = head.qos > 0 && frame.length() > QUEUED_MESSAGE_BYTES;
        if self.client.shared.rights.is_command(&topic) {
            match head.qos {
                2 if !is_large => {
                    let commands = &mut self.unreleased_commands;
                    commands.insert(head.packet_id, frame.length());
                }
                _ => self.tickets.pass(frame.length()),
            }
        }
        if is_large {
            return self.publish_without_qos(frame, &head, &topic);
        }
        self.answered.remove(&head.packet_id);
        if head.topic_alias.is_none() {
            return PacketVerdict::Pass;
        }
        match head.with_topic(&topic, frame.flags) {
            Ok(with) => PacketVerdict::Replace {
                length: head.length,
                with,
                answer: Vec::new(),
            },
            Err(Malformed) => self.end(&MALFORMED),
        }
    }

    /// Whether the broker has room for a message.
    fn limits(&self, frame: &Frame, head: &MessageHead<'_>, topic: &str) -> Result<(), Denial> {
        head.property_size().check()?;
        if head.retain {
            self.client
                .retain(topic, head.payload, head.property_size())?;
        }
        if head.qos == 2 {
            let qos2_inflight = &self.client.shared.qos2_inflight;
            qos2_inflight.begin(&self.client.place, head.packet_id, frame.length())?;
        }
        Ok(())
    }

    /// The topic of a message, which an alias may name or rename; `None` if the alias is wrong.
    fn resolve_alias<'a>(&mut self, head: &MessageHead<'a>) -> Option<Cow<'a, str>> {
        let Some(alias) = head.topic_alias else {
            return Some(head.topic.into());
        };
        if alias == 0 || alias > TOPIC_ALIASES {
            return None;
        }
        if head.topic.is_empty() {
            let topic = self.aliases.get(&alias)?;
            return Some(topic.to_string().into());
        }
        if is_moderate(head.topic) {
            self.aliases.insert(alias, head.topic.into());
        }
        Some(head.topic.into())
    }

    /// Gives a message to the gateway alone.
    fn publish_to_gateway(
        &mut self,
        frame: &Frame,
        head: &MessageHead<'_>,
        topic: &str,
        bytes: &[u8],
    ) -> PacketVerdict {
        if frame.length() > LARGEST_CONTROL_PACKET {
            return self.answer(head, &NOT_TAKEN);
        }
        let Some(payload) = bytes.get(head.length..frame.length()) else {
            return PacketVerdict::NeedMore(frame.length());
        };
        let retain = frame.flags & 1;
        let taken = head.with_topic(topic, retain).is_ok_and(|mut packet| {
            packet.extend_from_slice(payload);
            self.client.shared.gateway_mail.send(packet)
        });
        let answer = if taken { TAKEN } else { NOT_TAKEN };
        self.answer(head, &answer)
    }

    /// The connection ends because the client does not take what it subscribed to.
    pub fn was_too_slow(&self) {
        self.client.shared.denied(&TOO_SLOW);
    }

    /// Ends the connection.
    fn end(&self, denial: &Denial) -> PacketVerdict {
        self.client.shared.denied(denial);
        PacketVerdict::End(self.answers.disconnect(denial))
    }

    /// Passes a message on with QoS 0, and acknowledges it here.
    fn publish_without_qos(
        &mut self,
        frame: &Frame,
        head: &MessageHead<'_>,
        topic: &str,
    ) -> PacketVerdict {
        let is_repeated = frame.flags & DUPLICATE != 0 && head.qos == 2;
        if is_repeated && self.answered.contains(&head.packet_id) {
            return self.answer(head, &TAKEN);
        }
        match head.without_qos(topic, self.answers.is_mqtt_5()) {
            Ok(with) => PacketVerdict::Replace {
                length: head.length,
                with,
                answer: self.acknowledge(head, &TAKEN),
            },
            Err(Malformed) => self.end(&MALFORMED),
        }
    }

    /// Answers a message that the library does not get.
    fn answer(&mut self, head: &MessageHead<'_>, denial: &Denial) -> PacketVerdict {
        self.client.shared.denied(denial);
        PacketVerdict::Answer(self.acknowledge(head, denial))
    }

    /// The acknowledgement of a message, with what remains to be done for it.
    fn acknowledge(&mut self, head: &MessageHead<'_>, denial: &Denial) -> Vec<u8> {
        let acknowledgement = match head.qos {
            0 => return Vec::new(),
            1 => kind::PUBACK,
            _ => kind::PUBREC,
        };
        let ends_here = self.answers.is_mqtt_5() && denial.code.is_error();
        if head.qos == 2 && !ends_here {
            self.answered.insert(head.packet_id);
        }
        self.answers
            .publish(acknowledgement, head.packet_id, denial)
    }

    fn pubrel(&mut self, frame: &Frame, packet: &[u8]) -> PacketVerdict {
        let Ok(packet_id) = FieldReader(frame.body_in(packet)).two_bytes() else {
            return PacketVerdict::Pass;
        };
        let qos2_inflight = &self.client.shared.qos2_inflight;
        qos2_inflight.release(&self.client.place, packet_id);
        if let Some(bytes) = self.unreleased_commands.remove(&packet_id) {
            self.tickets.pass(bytes);
        }
        if self.answered.remove(&packet_id) {
            return PacketVerdict::Answer(Answers::pubcomp(packet_id));
        }
        PacketVerdict::Pass
    }

    /// The library writes a message of QoS 2, or releases one.
    pub fn delivers(&mut self, packet_id: u16) {
        self.delivering.insert(packet_id);
    }

    /// The library would release a message that it never sent.
    fn pubrec(&mut self, frame: &Frame, packet: &[u8]) -> PacketVerdict {
        let mut reader = FieldReader(frame.body_in(packet));
        let Ok(packet_id) = reader.two_bytes() else {
            return PacketVerdict::Pass;
        };
        // MQTT 5, 4.3.3: a refusal ends the exchange, and is not answered.
        if reader.byte().is_ok_and(|code| code >= 0x80) {
            self.delivering.remove(&packet_id);
            return PacketVerdict::Pass;
        }
        if self.delivering.contains(&packet_id) {
            PacketVerdict::Pass
        } else {
            PacketVerdict::Answer(Answers::pubrel_unknown(packet_id))
        }
    }

    /// The SUBACK to send instead of the library's, if the library saw only some of the filters. What
    /// is retained may follow it.
    pub fn suback(&mut self, frame: &Frame, packet: &[u8]) -> Option<Vec<u8>> {
        if let Ok(packet_id) = FieldReader(frame.body_in(packet)).two_bytes() {
            let replays = self.replays_at_suback.remove(&packet_id);
            for replay in replays.into_iter().flatten() {
                self.replays.begin(replay);
            }
        }
        self.subscriptions.suback(frame, packet, self.answers)
    }
}

/// Decides about one filter. Says whether it is new.
fn subscribe(
    client: &BrokerClient,
    replay: &mut ReplayBacklog,
    filter: &RequestedFilter<'_>,
) -> Result<bool, Denial> {
    // First: a filter that is refused must cost nothing.
    let is_new = client.subscribe(filter.text)?;
    let mut replayed = 0;
    if filter.wants_retained(is_new) {
        replayed = client.shared.retained.replayed(filter.text);
    }
    replay.check(replayed).inspect_err(|_| {
        if is_new {
            client.unsubscribe(filter.text);
        }
    })?;
    replay.add(replayed, Instant::now());
    client.set_as_published(filter.text, filter.is_retain_as_published());
    Ok(is_new)
}
