//! The messages that an item of the outbox becomes: none, one, or a file and its result.
//!
//! Decides what this gateway publishes, what has its turn, and what the broker would not take. Reads the newest value
//! of a state. Sends nothing: [`send`](super::send) does.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::DoorContext;
use super::mark::Mark;
use super::message::{Delivery, Message, result_messages};
use super::refusals::{Obstacle, Refusals};
use super::send::{failed, leave_out};
use super::shared::SharedRooms;
use super::shared::retained_states::{PublishDecision, StateDigest};

use crate::state::{Item, StateValue};
use crate::topics::{GATEWAY_AVAILABILITY, GATEWAY_CLUSTER, ONLINE, Topic, is_gateway_topic};

/// Makes messages of items, and leaves out those that the broker would not take.
pub struct MessageMaker<'a> {
    pub context: &'a DoorContext,
    /// The broker's limit, in bytes.
    pub largest_packet: usize,
    pub refusals: &'a mut Refusals,
}

impl MessageMaker<'_> {
    pub fn messages(&mut self, item: &Item<Delivery>) -> Vec<Message> {
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
    pub fn state(&mut self, topic: &Arc<str>) -> Option<Message> {
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
        let failed = result_messages(prefix, &failed(self.context, delivery, size, &obstacle));
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
    let decision = shared.retained().decide(topic, digest);
    if decision == PublishDecision::Wait {
        shared.states_wait.notify_one();
    }
    decision == PublishDecision::Publish
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
            value = Some(StateValue::text(ONLINE));
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
pub mod tests {
    use std::time::Duration;

    use super::super::message::LARGE_RESULT_BYTES;
    use super::super::receive::tests::context;
    use super::*;
    use crate::byte_budget::ByteBudget;
    use crate::command::{Failure, FileAnswer, Outcome, Success};

    pub fn delivery(result: Result<Success, Failure>) -> Item<Delivery> {
        let outcome = Outcome {
            room: "1".into(),
            command: "camera/snapshot/get".into(),
            request_id: None,
            took: Duration::ZERO,
            result,
        };
        let large = ByteBudget::new(LARGE_RESULT_BYTES);
        Item::Reply(Delivery::new(Default::default(), outcome, &large))
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
}
