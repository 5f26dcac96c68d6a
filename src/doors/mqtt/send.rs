//! Which messages an item of the outbox becomes, and which are left out.
//!
//! Reads the newest value of a state when its turn comes. What is too large for the broker, or was
//! refused by it, is left out with a line, and everything else goes on. Keeps nothing:
//! [`Inflight`](super::inflight::Inflight) holds what is not acknowledged,
//! [`Refusals`] what was refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use tokio::time::Instant;

use super::DoorContext;
use super::inflight::SentMessage;
use super::mark::Mark;
use super::message::{Delivery, Message, result_messages};
use super::refusals::{Obstacle, Refusals};
use super::session::BrokerSession;
use super::shared::SharedRooms;
use super::shared::retained_states::{StateDigest, Turn};

use crate::command::{ErrorCode, Failure};
use crate::state::{Item, StateValue};
use crate::topics::{GATEWAY_AVAILABILITY, GATEWAY_CLUSTER, Topic, is_gateway_topic};

/// Adds an item's messages to those of the session that wait. The last message represents the item:
/// when it is acknowledged, the item is done.
pub fn add_messages(
    context: &DoorContext,
    session: &mut BrokerSession,
    refusals: &mut Refusals,
    item: Item<Delivery>,
) {
    let mut maker = MessageMaker {
        context,
        largest_packet: session.limits.largest_packet,
        refusals,
    };
    for topic in released(context, &item) {
        let state = maker.state(&topic);
        let state = state.map(|state| (state, Some(Item::State(topic))));
        session.unsent.extend(state);
    }
    let mut messages = maker.messages(&item);
    if let Item::Reply(delivery) = &item
        && delivery.address.response.is_some()
        && let Some(command) = delivery.address.command
    {
        let room = delivery.outcome.room.clone();
        session.finished.push((room, command));
    }
    let last = messages.pop();
    let before = messages.into_iter().map(|message| (message, None));
    session.unsent.extend(before);
    session.unsent.extend(last.map(|last| (last, Some(item))));
}

/// The states that go before an item although they wait to be compared with what the broker holds: those of the room
/// of a result or an event.
fn released(context: &DoorContext, item: &Item<Delivery>) -> BTreeSet<Arc<str>> {
    let room = match item {
        Item::State(_) => None,
        Item::Event(topic, _) => Topic::parse(topic).and_then(|topic| topic.room()),
        Item::Reply(delivery) => Some(&*delivery.outcome.room),
    };
    let shared = context.settings.shared.as_ref().zip(room);
    shared.map_or_else(BTreeSet::new, |(shared, room)| {
        shared.retained().release(room)
    })
}

/// Adds the next of the session's messages to the link's next write. There must be room for one.
/// False if there is none.
pub fn send_next(context: &DoorContext, session: &mut BrokerSession) -> bool {
    let Some((message, item)) = session.unsent.pop_front() else {
        return false;
    };
    let id = session.inflight.next_id();
    let file = item.is_none().then(|| message.clone());
    let publish = publish(id, message);
    let (topic, size) = (publish.topic.clone(), publish.payload.len());
    match session.link.put(&Packet::Publish(publish)) {
        Ok(()) => {
            session.inflight.push(id, topic, size, item, file);
            context.telemetry.message_published();
        }
        // Not expected: it was checked that it fits into a packet.
        Err(error) => context.telemetry.message_not_sent(&error),
    }
    true
}

/// The broker refused a message that was sent. A result is replaced by one that says so: true if one
/// waits now.
pub fn refused(
    context: &DoorContext,
    refusals: &mut Refusals,
    message: SentMessage,
    obstacle: &Obstacle,
) -> bool {
    context.telemetry.broker_refused_message();
    let (topic, size) = (&message.topic, message.size);
    leave_out(context, refusals, topic, size, obstacle);
    match message.item {
        Some(Item::State(topic)) => {
            let is_document = !is_gateway_topic(&topic);
            if is_document {
                context.document_refused(&topic, size, obstacle);
            } else if !is_document && obstacle.is_size() {
                // Its turn comes again, and then what the broker holds of it is cleared.
                context.subscriber.outbox.push_state(&topic);
            }
            false
        }
        Some(Item::Reply(delivery)) if obstacle.can_mean_size() => {
            if delivery.outcome.result.is_err() {
                return false;
            }
            let failed = failed(&delivery, size, obstacle);
            context.subscriber.outbox.push_reply(failed);
            true
        }
        _ => false,
    }
}

/// A small result in the place of one that cannot be published.
fn failed(delivery: &Delivery, size: usize, obstacle: &Obstacle) -> Delivery {
    let mut outcome = delivery.outcome.clone();
    let message = format!("the answer has {size} bytes: {obstacle}");
    outcome.result = Err(Failure::new(ErrorCode::TooLarge, message));
    Delivery {
        address: delivery.address.clone(),
        outcome,
    }
}

/// Writes that a message is left out.
fn leave_out(
    context: &DoorContext,
    refusals: &mut Refusals,
    topic: &Bytes,
    size: usize,
    obstacle: &Obstacle,
) {
    refusals.not_sent(topic);
    let is_new = refusals.is_news(topic, obstacle);
    let topic = String::from_utf8_lossy(topic);
    let telemetry = &context.telemetry;
    telemetry.message_left_out(&topic, size, obstacle, is_new);
}

fn publish(id: u16, message: Message) -> Publish {
    Publish {
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
    }
}

/// Makes messages of items, and leaves out those that the broker would not take.
struct MessageMaker<'a> {
    context: &'a DoorContext,
    /// The broker's limit, in bytes.
    largest_packet: usize,
    refusals: &'a mut Refusals,
}

impl MessageMaker<'_> {
    fn messages(&mut self, item: &Item<Delivery>) -> Vec<Message> {
        match item {
            Item::State(topic) => self.state(topic).into_iter().collect(),
            Item::Event(topic, _) if !is_own_event(self.context, topic) => Vec::new(),
            Item::Event(topic, payload) => {
                let topic = self.context.settings.at_broker(topic);
                let event = self.checked(Message::plain(topic, payload.clone(), None));
                event.into_iter().collect()
            }
            Item::Reply(delivery) => self.result(delivery),
        }
    }

    /// Of a state that is left out because of its size, what the broker holds is cleared: it is not
    /// what the device says any more. A document of Home Assistant stays until a smaller one comes.
    fn state(&mut self, topic: &Arc<str>) -> Option<Message> {
        let message = state_message(self.context, topic)?;
        let Some(obstacle) = self.obstacle(&message) else {
            return Some(message);
        };
        self.leave_out(&message, &obstacle);
        if !is_gateway_topic(topic) {
            let size = message.payload.len();
            self.context.document_refused(topic, size, &obstacle);
            return None;
        }
        let cleared = Message {
            payload: Bytes::new(),
            content_type: None,
            ..message
        };
        let clears = obstacle.is_size() && self.obstacle(&cleared).is_none();
        clears.then_some(cleared)
    }

    /// A file that is left out costs nothing: its result names the URL where it can be fetched. An
    /// answer that is left out becomes a failure.
    fn result(&mut self, delivery: &Delivery) -> Vec<Message> {
        let prefix = &self.context.settings.prefix;
        let mut messages = result_messages(prefix, delivery);
        if messages.len() > 1
            && messages
                .iter()
                .any(|message| self.obstacle(message).is_some())
        {
            let file = messages.remove(0);
            self.refusals.not_sent(file.topic.as_bytes());
        }
        let obstacle = messages.iter().find_map(|message| {
            let obstacle = self.obstacle(message)?;
            Some((message.payload.len(), obstacle))
        });
        let Some((size, obstacle)) = obstacle else {
            return messages;
        };
        let failed = result_messages(prefix, &failed(delivery, size, &obstacle));
        let checked = failed
            .into_iter()
            .filter_map(|message| self.checked(message));
        checked.collect()
    }

    fn checked(&mut self, message: Message) -> Option<Message> {
        let Some(obstacle) = self.obstacle(&message) else {
            return Some(message);
        };
        self.leave_out(&message, &obstacle);
        None
    }

    /// Why a message cannot be sent, if it cannot.
    fn obstacle(&self, message: &Message) -> Option<Obstacle> {
        let (payload, limit) = (message.payload.len(), self.context.settings.max_payload);
        if payload > limit {
            return Some(Obstacle::MaxPayload(limit));
        }
        if message.packet_size() > self.largest_packet {
            return Some(Obstacle::MaximumPacketSize(self.largest_packet));
        }
        let topic = message.topic.as_bytes();
        self.refusals.left_out(topic, payload, Instant::now())
    }

    fn leave_out(&mut self, message: &Message, obstacle: &Obstacle) {
        let topic = Bytes::copy_from_slice(message.topic.as_bytes());
        let size = message.payload.len();
        leave_out(self.context, self.refusals, &topic, size, obstacle);
    }
}

/// Whether this gateway publishes a state. It may know the states of rooms that others have, and `gateway/cluster` is
/// published by the gateway that speaks for all.
fn is_own_state(context: &DoorContext, topic: &str) -> bool {
    topic != GATEWAY_CLUSTER && is_own(context, topic, SharedRooms::publishes_states)
}

fn is_own_event(context: &DoorContext, topic: &str) -> bool {
    is_own(context, topic, SharedRooms::publishes_events)
}

fn is_own(context: &DoorContext, topic: &str, is_own: fn(&SharedRooms, &str) -> bool) -> bool {
    let room = Topic::parse(topic).and_then(|topic| topic.room());
    let shared = context.settings.shared.as_ref().zip(room);
    shared.is_none_or(|(shared, room)| is_own(shared, room))
}

/// Whether this gateway publishes a document of Home Assistant, or clears it. Another one may have the room
/// since, and what is about the gateways stays.
fn is_own_document(context: &DoorContext, topic: &str, clears: bool) -> bool {
    let Some(shared) = context.settings.shared.as_ref() else {
        return true;
    };
    if is_gateway_topic(topic) {
        return true;
    }
    match context.settings.discovery.room_of(topic) {
        Some(room) => shared.owns(room) || (clears && !shared.rules().is_configured(room)),
        None => !clears,
    }
}

/// Whether a state is to be published now. It may have to wait for what the broker tells, or the broker holds it.
fn has_turn(context: &DoorContext, topic: &Arc<str>, value: Option<&StateValue>) -> bool {
    let Some(shared) = &context.settings.shared else {
        return true;
    };
    let digest = || {
        let content_type = value.and_then(|value| value.content_type.as_deref());
        StateDigest::of(value.map_or(b"", |value| &value.payload), content_type)
    };
    let turn = shared.retained().turn(topic, digest);
    if turn == Turn::Wait {
        shared.states_wait.notify_one();
    }
    turn == Turn::Publish
}

/// The newest value of a topic; an empty payload clears the topic at the broker. `None` for what is not to be published
/// now, and for what another gateway has published there since, and must not lose.
fn state_message(context: &DoorContext, topic: &Arc<str>) -> Option<Message> {
    let (mut value, full_topic) = match &context.extra_topics {
        Some(extra) if !is_gateway_topic(topic) => {
            let value = extra.store.get(topic);
            let publish = |value: StateValue| StateValue::text((extra.encode)(&value.payload));
            (value.map(publish), topic.to_string())
        }
        _ => (context.store.get(topic), context.settings.at_broker(topic)),
    };
    if !is_own_state(context, topic)
        || !is_own_document(context, topic, value.is_none())
        || !has_turn(context, topic, value.as_ref())
    {
        return None;
    }
    let subscriber = &context.subscriber;
    let mut user = Mark::own(&context.settings);
    match &value {
        None if !subscriber.may_clear_topic(topic) => return None,
        // The others stay, so the topic says online; the mark says that this one goes.
        Some(_) if **topic == *GATEWAY_AVAILABILITY && subscriber.stops_before_others() => {
            value = Some(StateValue::text("online"));
            user.push(Mark::stop());
        }
        _ => subscriber.published(topic),
    }
    let value = value.unwrap_or_else(|| StateValue::text(""));
    let content_type = value.content_type.map(|kind| kind.to_string());
    Some(Message {
        retain: true,
        user,
        ..Message::plain(full_topic, value.payload, content_type)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use tokio::sync::{mpsc, watch};

    use super::super::ExtraTopics;
    use super::super::error::SizeCause;
    use super::super::inflight::Inflight;
    use super::super::reason::ReasonCode;
    use super::super::receive::tests::{FakeGateway, context};
    use super::super::settings::tests::settings;
    use super::*;
    use crate::command::{FileAnswer, Outcome, Success};
    use crate::home_assistant::DocumentLimits;
    use crate::state::StateStore;

    fn delivery(result: Result<Success, Failure>) -> Item<Delivery> {
        Item::Reply(Delivery {
            address: Default::default(),
            outcome: Box::new(Outcome {
                room: "1".into(),
                command: "camera/snapshot/get".into(),
                request_id: None,
                took: Duration::ZERO,
                result,
            }),
        })
    }

    fn file(size: usize) -> Item<Delivery> {
        let file = FileAnswer {
            topic: "camera/snapshot".into(),
            content_type: "image/jpeg".into(),
            size: Some(size as u64),
            bytes: Some(vec![0; size].into()),
            is_state: false,
        };
        delivery(Ok(Success::file(200, file)))
    }

    /// With a broker that takes packets of this size.
    fn messages(
        context: &DoorContext,
        largest_packet: usize,
        item: &Item<Delivery>,
    ) -> Vec<Message> {
        let mut maker = MessageMaker {
            context,
            largest_packet,
            refusals: &mut Refusals::default(),
        };
        maker.messages(item)
    }

    fn topics(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| &*message.topic).collect()
    }

    #[test]
    fn a_state_is_sent_as_it_is_now() {
        let (context, _) = context();
        let topic: Arc<str> = "room/1/audio/volume".into();
        context.store.set(&topic, StateValue::text("1"));
        context.store.set(&topic, StateValue::text("2"));
        let sent = messages(&context, 1000, &Item::State(topic.clone()));
        assert_eq!(topics(&sent), ["av/room/1/audio/volume"]);
        assert!(sent[0].retain && sent[0].payload == "2");
        context.store.clear(&topic);
        let sent = messages(&context, 1000, &Item::State(topic.clone()));
        assert!(sent[0].retain && sent[0].payload.is_empty());
        // Of one that the broker would not take, the older value is cleared.
        context
            .store
            .set(&topic, StateValue::text(vec![b'x'; 1000]));
        let sent = messages(&context, 1000, &Item::State(topic.clone()));
        assert!(sent[0].retain && sent[0].payload.is_empty());
        let mark = "gateway".len() + context.settings.gateway_id.as_str().len() + 5;
        let packet = 1000 + "av/room/1/audio/volume".len() + 8 + mark;
        let sent = messages(&context, packet, &Item::State(topic.clone()));
        assert_eq!(sent[0].payload.len(), 1000);
        // Not even that fits.
        assert!(messages(&context, 20, &Item::State(topic)).is_empty());
    }

    #[test]
    fn a_file_that_does_not_fit_is_left_out_and_its_result_names_it() {
        let (context, _) = context();
        let result = "av/room/1/camera/snapshot/get/result";
        let small = messages(&context, 10_000, &file(100));
        assert_eq!(topics(&small), ["av/room/1/camera/snapshot", result]);
        let large = messages(&context, 10_000, &file(10_000));
        assert_eq!(topics(&large), [result]);
        let text = String::from_utf8(large[0].payload.to_vec()).unwrap();
        assert!(text.contains("\"url\""), "{text}");
    }

    #[test]
    fn an_answer_that_does_not_fit_becomes_a_failure() {
        let (context, _) = context();
        let body = "x".repeat(10_000).into();
        let sent = messages(&context, 5000, &delivery(Ok(Success::new(200, body))));
        assert_eq!(sent.len(), 1);
        let text = String::from_utf8(sent[0].payload.to_vec()).unwrap();
        assert!(text.contains("too_large"), "{text}");
        let status = ("status".to_owned(), "error".to_owned());
        assert!(sent[0].user.contains(&status));
    }

    #[test]
    fn a_result_that_is_refused_becomes_a_failure_once() {
        let (context, _) = context();
        let mut refusals = Refusals::default();
        let reason = ReasonCode::PACKET_TOO_LARGE;
        let mut refuse = |item| {
            let mut inflight = Inflight::new(1);
            let topic = "av/room/1/camera/snapshot/get/result";
            inflight.push(1, topic.into(), 900, item, None);
            let sent = inflight.acknowledged(1).unwrap();
            refused(&context, &mut refusals, sent, &Obstacle::Refused(reason))
        };
        assert!(refuse(Some(delivery(Ok(Success::new(200, true.into()))))));
        let failure = context.subscriber.outbox.try_next().unwrap();
        let Item::Reply(reply) = &failure else {
            panic!("{failure:?}");
        };
        let Err(told) = &reply.outcome.result else {
            panic!("{reply:?}");
        };
        assert_eq!(told.code, ErrorCode::TooLarge);
        assert!(told.message.contains("900 bytes"), "{}", told.message);
        assert!(!refuse(Some(failure)));
        // The file before a result is no item of its own.
        assert!(!refuse(None));
        assert!(context.subscriber.outbox.is_empty());
    }

    #[test]
    fn a_document_that_is_refused_lowers_a_limit_only_where_size_is_the_reason() {
        let ends = |size| Obstacle::EndsConnection {
            words: "ends".into(),
            size,
        };
        for (obstacle, own, others) in [
            (Obstacle::Refused(ReasonCode(0x80)), None, 50_000),
            (Obstacle::Refused(ReasonCode(0x83)), None, 50_000),
            (Obstacle::Refused(ReasonCode(0x97)), None, 50_000),
            (Obstacle::Refused(ReasonCode(0x87)), None, 50_000),
            (ends(SizeCause::No), None, 50_000),
            (ends(SizeCause::Possible), Some(10_000), 50_000),
            (ends(SizeCause::Certain), Some(15_000), 19_999),
            (Obstacle::Refused(ReasonCode(0x95)), Some(15_000), 19_999),
        ] {
            let gateway = Arc::<FakeGateway>::default();
            let mut context =
                DoorContext::new(settings(), StateStore::new(), gateway, Arc::default());
            context.extra_topics = Some(ExtraTopics {
                store: StateStore::new(),
                encode: Bytes::copy_from_slice,
                filters: Vec::new(),
                inbound: mpsc::channel(1).0,
                document_limits: watch::Sender::new(DocumentLimits::new(50_000)),
            });
            let topic = "homeassistant/device/poly2mqtt_1/config";
            let mut inflight = Inflight::new(1);
            let item = Some(Item::State(topic.into()));
            inflight.push(1, topic.into(), 20_000, item, None);
            let sent = inflight.acknowledged(1).unwrap();
            let mut refusals = Refusals::default();
            assert!(!refused(&context, &mut refusals, sent, &obstacle));
            let limits = context.extra_topics.unwrap().document_limits;
            let limits = limits.borrow();
            let lowered: Vec<_> = limits.of_topics().collect();
            let expected = own.map(|own| (topic, own));
            assert_eq!(lowered, Vec::from_iter(expected), "{obstacle:?}");
            assert_eq!(limits.largest(), others, "{obstacle:?}");
        }
    }

    #[test]
    fn the_size_of_a_packet_is_exact() {
        for (size, user, content_type) in [
            (0, 0, None),
            (100, 1, Some("text/plain")),
            (20_000, 5, None),
            (3 << 20, 200, Some("image/jpeg")),
        ] {
            let message = Message {
                correlation: content_type.map(|_| Bytes::from_static(b"correlation")),
                user: vec![("status".into(), "ok".into()); user],
                ..Message::plain(
                    "a/topic".into(),
                    vec![b'x'; size].into(),
                    content_type.map(Into::into),
                )
            };
            let expected = message.packet_size();
            let mut bytes = bytes::BytesMut::new();
            let packet = Packet::Publish(publish(1, message));
            packet.write(&mut bytes, None).unwrap();
            assert_eq!(bytes.len(), expected);
        }
    }
}
