//! Which messages an item of the outbox becomes, and what is too large to be sent.
//!
//! Reads the newest value of a state when its turn comes. Keeps nothing:
//! [`Inflight`](super::inflight::Inflight) holds what is not acknowledged.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};

use super::DoorContext;
use super::message::{Delivery, Message, result_messages};
use super::session::BrokerSession;

use crate::command::{ErrorCode, Failure};
use crate::state::{Item, StateValue};
use crate::topics::is_gateway_topic;

/// An item becomes at most this many messages: a file and its result.
pub const MESSAGES_PER_ITEM: usize = 2;

/// Adds an item's messages to the link's next write. The last message represents the item: the
/// broker acknowledges in order, so when the last one is acknowledged, the item is done.
pub fn send(context: &DoorContext, session: &mut BrokerSession, item: Item<Delivery>) {
    let messages = messages(context, session.limits.largest_packet, &item);
    let last = messages.len().saturating_sub(1);
    let mut item = Some(item);
    for (n, message) in messages.into_iter().enumerate() {
        let id = session.inflight.next_id();
        match session.link.put(&packet(id, message)) {
            Ok(()) => {
                let carried = if n == last { item.take() } else { None };
                session.inflight.push(id, carried);
                context.telemetry.message_published();
            }
            // Not expected: `messages` has checked that it fits into a packet.
            Err(error) => context.telemetry.message_not_sent(&error),
        }
    }
}

fn packet(id: u16, message: Message) -> Packet {
    Packet::Publish(Publish {
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
    })
}

/// The messages of an item. What is too large is left out, or a failure is sent in its place.
fn messages(context: &DoorContext, largest_packet: usize, item: &Item<Delivery>) -> Vec<Message> {
    let prefix = &context.settings.prefix;
    let fits = |message: &Message| {
        message.payload.len() <= context.settings.max_payload
            && message.payload.len() + message.overhead() <= largest_packet
    };
    match item {
        Item::State(topic) => {
            let message = state_message(context, topic);
            if fits(&message) {
                vec![message]
            } else {
                context.telemetry.state_too_large(topic);
                Vec::new()
            }
        }
        Item::Event(topic, payload) => {
            vec![Message::plain(prefix.add(topic), payload.clone(), None)]
        }
        Item::Reply(delivery) => {
            let mut messages = result_messages(prefix, delivery);
            if messages.len() > 1 && !messages.iter().all(fits) {
                // The file. The result names the URL where it can be fetched.
                messages.remove(0);
            }
            if messages.iter().all(fits) {
                return messages;
            }
            let mut outcome = delivery.outcome.clone();
            outcome.result = Err(Failure::new(
                ErrorCode::TooLarge,
                "the answer is larger than mqtt.max_payload allows",
            ));
            let address = delivery.address.clone();
            result_messages(prefix, &Delivery { address, outcome })
        }
    }
}

/// The newest value of a topic; an empty payload clears the topic at the broker.
fn state_message(context: &DoorContext, topic: &str) -> Message {
    let (value, topic) = match &context.extra_topics {
        Some(extra) if !is_gateway_topic(topic) => {
            let value = extra.store.get(topic);
            let publish = |value: StateValue| StateValue::text((extra.encode)(&value.payload));
            (value.map(publish), topic.to_owned())
        }
        _ => (context.store.get(topic), context.settings.prefix.add(topic)),
    };
    let (payload, content_type) = match value {
        Some(value) => (
            value.payload,
            value
                .content_type
                .map(|content_type| content_type.to_string()),
        ),
        None => Default::default(),
    };
    Message {
        retain: true,
        ..Message::plain(topic, payload, content_type)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::receive::tests::context;
    use super::*;
    use crate::command::{FileAnswer, Outcome, Success};

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
        // One that the broker would not take is not sent at all.
        context
            .store
            .set(&topic, StateValue::text(vec![b'x'; 1000]));
        assert!(messages(&context, 1000, &Item::State(topic)).is_empty());
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
    fn the_overhead_is_an_upper_bound() {
        let message = Message {
            correlation: Some(Bytes::from_static(b"correlation")),
            user: vec![("status".into(), "ok".into()), ("code".into(), "x".into())],
            ..Message::plain(
                "a/topic".into(),
                "payload".into(),
                Some("text/plain".into()),
            )
        };
        let bound = message.payload.len() + message.overhead();
        let mut bytes = bytes::BytesMut::new();
        packet(1, message).write(&mut bytes, None).unwrap();
        assert!(bytes.len() <= bound, "{} {bound}", bytes.len());
    }
}
