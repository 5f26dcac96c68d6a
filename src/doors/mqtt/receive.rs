//! What a packet from the broker means: a command, something of an earlier run, a message for
//! another part of the program, or nothing.
//!
//! Owns the memory of what was received lately, by which a repeated command is known. Hands
//! commands in or refuses them; sends nothing to the broker itself.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{
    Packet, PubAck, PubAckReason, Publish, SubAck, SubscribeReasonCode,
};
use tokio::time::Instant;

use super::DoorContext;
use super::error::ConnectionLost;
use super::inflight::Inflight;
use super::message::{Delivery, ReplyAddress};
use super::packets::PacketReader;
use super::settings::MqttSettings;
use crate::command::{
    Authority, DoorKind, ErrorCode, Failure, Outcome, Reply, Submission, Submit, Transfer,
};
use crate::state::{Inbound, Item, StateStore};
use crate::topics::{GATEWAY_INFO, check_response, is_gateway_topic};

/// How many received publishes are remembered. A broker repeats what is not acknowledged; that is
/// at most what it had sent when the connection broke, and brokers send 20 by default.
const REMEMBERED_PUBLISHES: usize = 64;
/// The answer to a command with the retain flag.
const RETAINED_COMMAND: &str = "a retained command is never carried out, because the broker would \
                                repeat it; publish it without the retain flag";

/// Takes what the broker sends.
pub struct Receiver {
    context: Arc<DoorContext>,
    recent: RecentPublishes,
}

impl Receiver {
    pub fn new(context: Arc<DoorContext>) -> Self {
        Self {
            context,
            recent: RecentPublishes::default(),
        }
    }

    /// A publish arrived. True if it is a command, whose result will be in the outbox.
    pub fn publish(&mut self, publish: Publish) -> bool {
        let received = Instant::now();
        let context = &self.context;
        let prefix = &context.settings.prefix;
        let Ok(full_topic) = std::str::from_utf8(&publish.topic) else {
            return false;
        };
        let topic = prefix.strip(full_topic);
        let topic = topic.filter(|topic| is_gateway_topic(topic));
        let Some(topic) = topic else {
            self.hand_over(full_topic, &publish);
            return false;
        };
        // An empty retained message clears a topic; it is never a command.
        if publish.retain
            && (publish.payload.is_empty()
                || context
                    .subscriber
                    .retained_arrived(&context.store, topic, &publish.payload))
        {
            return false;
        }
        let Some((room, command)) = prefix.command(full_topic) else {
            return false;
        };
        if self.recent.is_repeated(&publish) {
            return false;
        }
        context.telemetry.command_received();
        let (room, command) = (Arc::from(room), command.to_owned());
        self.command(room, command, publish, received);
        true
    }

    /// Gives a message of another program to the part of the gateway that asked for it.
    fn hand_over(&self, topic: &str, publish: &Publish) {
        let Some(extra) = &self.context.extra_topics else {
            return;
        };
        let inbound = Inbound {
            topic: topic.to_owned(),
            payload: publish.payload.clone(),
        };
        if extra.inbound.try_send(inbound).is_err() {
            self.context.telemetry.inbound_dropped(topic);
        }
    }

    fn command(&self, room: Arc<str>, command: String, publish: Publish, received: Instant) {
        let context = &self.context;
        let properties = publish.properties.unwrap_or_default();
        let response = properties.response_topic;
        let checked = match response.as_deref() {
            Some(response) => {
                let settings = &context.settings;
                check_response(&settings.prefix, &settings.discovery, &room, response)
            }
            None => Ok(()),
        };
        let address = ReplyAddress {
            response: response.filter(|_| checked.is_ok()),
            correlation: properties.correlation_data,
        };
        let subscriber = context.subscriber.clone();
        let deliver = move |outcome: Outcome| {
            let outcome = Box::new(outcome);
            subscriber.outbox.push_reply(Delivery { address, outcome });
        };
        let reply = Reply::new(room.clone(), command.clone(), deliver);
        let (size, limit) = (publish.payload.len(), context.settings.max_payload);
        let refusal = if let Err(message) = checked {
            Some(Failure::new(ErrorCode::InvalidPayload, message))
        } else if size > limit {
            let message = format!("the payload has {size} bytes; mqtt.max_payload allows {limit}");
            Some(Failure::new(ErrorCode::TooLarge, message))
        } else if publish.retain {
            Some(Failure::new(ErrorCode::IgnoredRetained, RETAINED_COMMAND))
        } else {
            None
        };
        if let Some(failure) = refusal {
            return context.gateway.refuse(DoorKind::Mqtt, reply, failure);
        }
        let expiry = properties.message_expiry_interval;
        context.gateway.submit(Submission {
            room,
            command,
            payload: publish.payload,
            expires: expiry.map(|seconds| received + Duration::from_secs(seconds.into())),
            received,
            authority: Authority::RoomAllows,
            door: DoorKind::Mqtt,
            transfer: Transfer::None,
            reply,
        });
    }

    /// The broker acknowledged a publish, or refused it.
    pub fn puback(&self, ack: &PubAck, inflight: &mut Inflight) {
        let item = inflight.acknowledged(ack.pkid);
        if !matches!(
            ack.reason,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        ) {
            let topic = match item {
                Some(Item::State(topic) | Item::Event(topic, _)) => topic.to_string(),
                Some(Item::Reply(delivery)) => format!("{}/result", delivery.outcome.command),
                None => String::new(),
            };
            let telemetry = &self.context.telemetry;
            telemetry.broker_refused_message(&topic, &ack.reason);
        }
    }

    /// The broker answered the subscription, filter by filter in their order.
    pub fn suback(&self, ack: &SubAck) {
        for (n, code) in ack.return_codes.iter().enumerate() {
            if matches!(code, SubscribeReasonCode::Success(_)) {
                continue;
            }
            let to = match n {
                0 => "the commands",
                1 => GATEWAY_INFO,
                _ => "Home Assistant's topics",
            };
            let telemetry = &self.context.telemetry;
            telemetry.broker_refused_subscription(to, code);
        }
    }
}

/// The publishes received lately, by a hash of packet id, topic and payload.
#[derive(Debug, Default)]
struct RecentPublishes(VecDeque<u64>);

impl RecentPublishes {
    /// Whether the broker sends this one again after a lost connection: it has the DUP flag, and is
    /// known.
    fn is_repeated(&mut self, publish: &Publish) -> bool {
        let mut hasher = DefaultHasher::new();
        (publish.pkid, &publish.topic, &publish.payload).hash(&mut hasher);
        let hash = hasher.finish();
        if publish.dup && self.0.contains(&hash) {
            return true;
        }
        if self.0.len() >= REMEMBERED_PUBLISHES {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        false
    }
}

/// Takes bytes as if a broker had sent them, without a connection. Returns how many packets they
/// held. For the fuzz target `broker_packets`.
///
/// # Errors
/// As for a connection: the bytes are not MQTT 5, or hold a DISCONNECT.
pub fn receive_bytes(
    settings: MqttSettings,
    gateway: Arc<dyn Submit>,
    bytes: &[u8],
) -> Result<usize, ConnectionLost> {
    let context = Arc::new(DoorContext::new(
        settings,
        StateStore::new(),
        gateway,
        Arc::default(),
    ));
    let mut receiver = Receiver::new(context);
    let mut inflight = Inflight::new(1);
    let mut packets = PacketReader::default();
    packets.arrived.extend_from_slice(bytes);
    let mut count = 0;
    while let Some(packet) = packets.next()? {
        count += 1;
        match packet {
            Packet::Publish(publish) => drop(receiver.publish(publish)),
            Packet::PubAck(ack) => receiver.puback(&ack, &mut inflight),
            Packet::SubAck(ack) => receiver.suback(&ack),
            _ => {}
        }
    }
    Ok(count)
}

#[cfg(test)]
pub(super) mod tests;
