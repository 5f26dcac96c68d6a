//! Bytes from a broker: any bytes give packets or an error, and only valid commands reach the
//! rooms.

use std::sync::Arc;

use bytes::Bytes;
use poly2mqtt::command::{DoorKind, Failure, Reply, Submission, Submit, Success};
use poly2mqtt::doors::mqtt::fuzzed::receive_bytes;
use poly2mqtt::doors::mqtt::{BrokerAddress, MqttSettings};
use poly2mqtt::topics::Prefix;

use super::fixed_header::packet;

const MAX_PAYLOAD: usize = 1000;

/// Stands for the rooms.
struct Rooms;

impl Submit for Rooms {
    fn submit(&self, submission: Submission) {
        let Submission {
            room,
            command,
            payload,
            ..
        } = &submission;
        assert!(!room.contains('/') && !command.is_empty());
        assert!(!command.ends_with("/result") && !command.starts_with("event/"));
        assert!(payload.len() <= MAX_PAYLOAD);
        submission
            .reply
            .answer(Ok(Success::new(200, "done".into())));
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        reply.answer(Err(failure));
    }
}

fn settings(prefix: &str) -> MqttSettings {
    let broker = BrokerAddress::Tcp {
        host: "broker.invalid".into(),
        port: 1883,
    };
    MqttSettings {
        prefix: Prefix::new(prefix),
        max_payload: MAX_PAYLOAD,
        ..MqttSettings::new(broker)
    }
}

/// The bytes as they are, and as the body of a packet whose type is the first byte.
pub fn run(data: &[u8]) {
    take(data);
    if let Some((kind, body)) = data.split_first() {
        take(&packet(*kind, body));
    }
}

fn take(bytes: &[u8]) {
    let receive = |bytes| receive_bytes(settings("av"), Arc::new(Rooms), bytes);
    let whole = receive(bytes);
    // What arrives in pieces gives the same packets: a part of the bytes never gives more.
    if let (Ok(whole), Ok(half)) = (whole, receive(&bytes[..bytes.len() / 2])) {
        assert!(half <= whole);
        assert!(whole * 2 <= bytes.len());
    }
    let _ = receive_bytes(settings(""), Arc::new(Rooms), bytes);
}
