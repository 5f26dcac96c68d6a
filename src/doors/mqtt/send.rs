//! Sends the messages of the outbox's items, and says what is left out.
//!
//! What is too large for the broker, or was refused by it, is left out with a line, and everything else
//! goes on. `message_maker` makes the messages. Keeps nothing:
//! [`Inflight`](super::inflight::Inflight) holds what is not acknowledged, [`Refusals`] what was refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};

use super::DoorContext;
use super::inflight::SentMessage;
use super::message::{Delivery, Message, too_large};
use super::message_maker::MessageMaker;
use super::refusals::{Obstacle, Refusals};
use super::session::BrokerSession;
use super::shared::messages::CommandId;

use crate::command::Outcome;
use crate::state::Item;
use crate::topics::{Topic, is_gateway_topic};

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
    let last = messages.pop();
    if last.is_none() {
        // Nothing of it will ever be sent.
        session.finished.extend(unseen_command(&item));
    }
    let before = messages.into_iter().map(|message| (message, None));
    session.unsent.extend(before);
    session.unsent.extend(last.map(|last| (last, Some(item))));
}

/// The command of a result that no deputy sees, because it goes to a response topic.
fn unseen_command(item: &Item<Delivery>) -> Option<(Arc<str>, CommandId)> {
    let Item::Reply(delivery) = item else {
        return None;
    };
    delivery.address.response.as_ref()?;
    Some((delivery.outcome.room.clone(), delivery.address.command?))
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
    let finished = item.as_ref().and_then(unseen_command);
    let publish = publish(id, message);
    let (topic, size) = (publish.topic.clone(), publish.payload.len());
    match session.link.put(&Packet::Publish(publish)) {
        Ok(()) => {
            session.inflight.push(id, topic, size, item, file);
            session.finished.extend(finished);
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
            let failed = failed(context, &delivery, size, obstacle);
            context.subscriber.outbox.push_reply(failed);
            true
        }
        _ => false,
    }
}

/// A small result in the place of one that cannot be published.
pub(super) fn failed(
    context: &DoorContext,
    delivery: &Delivery,
    size: usize,
    obstacle: &Obstacle,
) -> Delivery {
    let outcome = Outcome {
        result: Err(too_large(size, obstacle)),
        ..(*delivery.outcome).clone()
    };
    Delivery::new(delivery.address.clone(), outcome, &context.large_results)
}

/// Writes that a message is left out.
pub(super) fn leave_out(
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::sync::{mpsc, watch};

    use super::super::ExtraTopics;
    use super::super::error::SizeCause;
    use super::super::inflight::Inflight;
    use super::super::link::BrokerLink;
    use super::super::message_maker::tests::delivery;
    use super::super::reason::{BrokerWords, ReasonCode};
    use super::super::receive::tests::{FakeGateway, context};
    use super::super::session::SessionLimits;
    use super::super::settings::tests::settings;
    use super::*;
    use crate::command::{ErrorCode, FileAnswer, Success};
    use crate::home_assistant::DocumentLimits;
    use crate::state::StateStore;

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
            refused(
                &context,
                &mut refusals,
                sent,
                &Obstacle::Refused(reason, BrokerWords::default()),
            )
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

    /// Its owner may die before the rest is written.
    #[tokio::test]
    async fn a_command_is_named_finished_with_the_message_that_has_its_result() {
        let (context, _) = context();
        let link = BrokerLink::new(Box::new(tokio::io::duplex(1 << 20).0), 1 << 20);
        let limits = SessionLimits {
            receive_maximum: 1,
            largest_packet: 1 << 20,
            keep_alive: Duration::from_secs(30),
        };
        let mut session = BrokerSession::new(link, limits);
        let file = FileAnswer {
            topic: "camera/snapshot".into(),
            content_type: "image/jpeg".into(),
            size: Some(9),
            bytes: Some(vec![0; 9].into()),
            is_state: false,
        };
        let mut refusals = Refusals::default();
        for result in [Success::file(200, file), Success::new(200, true.into())] {
            let Item::Reply(mut reply) = delivery(Ok(result)) else {
                panic!("no result");
            };
            reply.address.response = Some("answers/here".into());
            reply.address.command = Some(CommandId::of(&Publish::default()));
            add_messages(&context, &mut session, &mut refusals, Item::Reply(reply));
        }
        let mut finished = Vec::new();
        while send_next(&context, &mut session) {
            finished.push(session.finished.len());
        }
        assert_eq!(finished, [0, 1, 2], "a file and two results");
    }

    #[test]
    fn a_document_that_is_refused_lowers_a_limit_only_where_size_is_the_reason() {
        let ends = |size| Obstacle::EndsConnection {
            words: "ends".into(),
            size,
        };
        for (obstacle, own, others) in [
            (
                Obstacle::Refused(ReasonCode(0x80), BrokerWords::default()),
                None,
                50_000,
            ),
            (
                Obstacle::Refused(ReasonCode(0x83), BrokerWords::default()),
                None,
                50_000,
            ),
            (
                Obstacle::Refused(ReasonCode(0x97), BrokerWords::default()),
                None,
                50_000,
            ),
            (
                Obstacle::Refused(ReasonCode(0x87), BrokerWords::default()),
                None,
                50_000,
            ),
            (ends(SizeCause::No), None, 50_000),
            (ends(SizeCause::Possible), Some(10_000), 50_000),
            (ends(SizeCause::Certain), Some(15_000), 19_999),
            (
                Obstacle::Refused(ReasonCode(0x95), BrokerWords::default()),
                Some(15_000),
                19_999,
            ),
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
