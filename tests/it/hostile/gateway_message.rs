//! What gateways that share rooms say to each other at the broker: a message about some rooms changes nothing of
//! another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::command::{DoorKind, Failure, Reply, Submission, Submit, Success};
use poly2mqtt::doors::mqtt::fuzzed::{receive_bytes, rewrite_gateway_message};
use poly2mqtt::doors::mqtt::{
    Arrival, BrokerAddress, MqttSettings, RoomRole, SharedRooms, SharingRules,
};
use poly2mqtt::topics::Prefix;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::fixed_header::packet;

/// One for each role, and one that is not heard.
const ROOMS: [&str; 5] = ["1", "2", "3", "4", "5"];
const UNHEARD: &str = "5";
const OWN_NAME: &str = "gw-1";

thread_local! {
    // For its clock, which stands still: that the machine is busy lets nothing become late.
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
}

/// The first byte says what it is, whose, and its quality of service; the rest is its payload, or the body of any
/// packet.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let name = if first & 0x10 == 0 { "gw-2" } else { OWN_NAME };
    let qos = (first >> 5) & 1;
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        match first % 4 {
            0 => told(name, "moved", qos, rest),
            1 => told(name, "done", qos, rest),
            2 => result(qos, rest),
            _ => {
                let (kind, body) = rest.split_first().unwrap_or((&0x30, &[]));
                let seen = Seen::after(&packet(*kind, body));
                assert!(seen.is_none_or(|seen| !seen.commands.contains_key(UNHEARD)));
            }
        }
    });
}

/// A message of a gateway.
fn told(name: &str, kind: &str, qos: u8, payload: &[u8]) {
    let rewritten = rewrite_gateway_message(kind, payload);
    let named = match &rewritten {
        Some(text) => {
            let again = rewrite_gateway_message(kind, text.as_bytes());
            assert_eq!(again.as_ref(), Some(text));
            let text = serde_json::from_str(text).unwrap();
            match kind {
                "moved" => rooms_of_marker(payload, &text),
                _ => rooms_of_done(payload, &text),
            }
        }
        None => BTreeSet::new(),
    };
    // What a gateway says itself of finished commands tells it nothing.
    let is_heard = kind == "moved" || name != OWN_NAME;
    let message = publish(&format!("av/gateway/{name}/{kind}"), qos, &[0], payload);
    unchanged(&message, |room| !is_heard || !named.contains(room));
}

fn rooms_of_marker(payload: &[u8], text: &Value) -> BTreeSet<String> {
    let read: Value = serde_json::from_slice(payload).unwrap();
    assert!(read["revision"].is_u64(), "{read}");
    for field in ["how", "revision", "rooms"] {
        assert_eq!(read[field], text[field], "{field}");
    }
    let rooms = read["rooms"].as_array().unwrap().iter();
    rooms
        .map(|room| room.as_str().unwrap().to_owned())
        .collect()
}

fn rooms_of_done(payload: &[u8], text: &Value) -> BTreeSet<String> {
    let read: BTreeMap<String, Vec<String>> = serde_json::from_slice(payload).unwrap();
    let some = read.iter().filter(|(_, ids)| !ids.is_empty());
    let some: BTreeMap<&String, Vec<String>> = some
        .map(|(room, ids)| (room, ids.iter().map(|id| id.to_ascii_lowercase()).collect()))
        .collect();
    assert_eq!(json!(some), *text);
    read.into_keys().collect()
}

/// The result of a command of room 2, whose id is the payload.
fn result(qos: u8, id: &[u8]) {
    let id = &id[..id.len().min(100)];
    let length = |text: &[u8]| u16::try_from(text.len()).unwrap().to_be_bytes();
    let property = [
        &[0x26][..],
        &length(b"command"),
        b"command",
        &length(id),
        id,
    ]
    .concat();
    let properties = [&[u8::try_from(property.len()).unwrap()], &property[..]].concat();
    let message = publish("av/room/2/audio/mute/result", qos, &properties, b"{}");
    unchanged(&message, |room| room != "2");
}

/// What there was and came to be of these rooms does not depend on this message.
fn unchanged(message: &[u8], is_unchanged: impl Fn(&str) -> bool) {
    let without = Seen::after(&[]).unwrap();
    // The body may be what no packet has, such as text that is no UTF-8.
    let Some(with) = Seen::after(message) else {
        return;
    };
    for room in ROOMS.into_iter().filter(|room| is_unchanged(room)) {
        assert_eq!(with.roles[room], without.roles[room], "{room}");
        assert_eq!(
            with.commands.get(room),
            without.commands.get(room),
            "{room}"
        );
    }
    if ROOMS.into_iter().all(is_unchanged) {
        assert_eq!(with.remembered, without.remembered);
    }
    assert!(!with.commands.contains_key(UNHEARD));
}

/// What is seen of the rooms at the end.
struct Seen {
    roles: BTreeMap<&'static str, Option<RoomRole>>,
    /// The commands that were handed in or refused, by room.
    commands: BTreeMap<String, Vec<String>>,
    remembered: usize,
}

impl Seen {
    /// Each room has a command before these packets and one after them; none if they are no packets.
    fn after(packets: &[u8]) -> Option<Self> {
        let shared = SharedRooms::new(OWN_NAME, Arc::new(Rules));
        let [owned, heard, leaving, lost, _] = ROOMS.map(|room| [Arc::<str>::from(room)]);
        shared.arrive(owned.iter().chain(&leaving).chain(&lost), Arrival::New, 5);
        shared.deputize(&heard);
        shared.hold(&leaving);
        shared.released(&leaving);
        shared.lose(&lost);
        let rooms = Arc::<Rooms>::default();
        let broker = BrokerAddress::Tcp {
            host: "broker.invalid".into(),
            port: 1883,
        };
        let settings = MqttSettings {
            prefix: Prefix::new("av"),
            ..MqttSettings::new(broker).sharing("cluster", shared.clone())
        };
        let command = |command: &str| -> Vec<u8> {
            let topic = |room| format!("av/room/{room}/{command}");
            let commands = ROOMS.map(|room| publish(&topic(room), 0, &[0], b""));
            commands.concat()
        };
        let bytes = [
            &command("audio/mute")[..],
            packets,
            &command("audio/unmute"),
        ]
        .concat();
        let taken = receive_bytes(settings, rooms.clone(), &bytes);
        let commands = rooms.0.lock().unwrap().clone();
        taken.ok()?;
        Some(Self {
            roles: ROOMS.map(|room| (room, shared.role(room))).into(),
            commands,
            remembered: shared.remembered().0,
        })
    }
}

struct Rules;

impl SharingRules for Rules {
    fn may_act(&self) -> bool {
        true
    }

    fn max_command_age(&self, _: &str) -> Duration {
        Duration::from_secs(5)
    }

    fn is_configured(&self, room: &str) -> bool {
        ROOMS.contains(&room)
    }

    fn agreed_rooms(&self) -> Option<String> {
        None
    }

    fn configured(&self) -> Vec<Arc<str>> {
        ROOMS.map(Arc::from).into()
    }
}

/// Stands for the rooms.
#[derive(Default)]
struct Rooms(Mutex<BTreeMap<String, Vec<String>>>);

impl Rooms {
    fn note(&self, reply: &Reply, end: &str) {
        let mut commands = self.0.lock().unwrap();
        let commands = commands.entry(reply.room().to_string()).or_default();
        commands.push(format!("{} {end}", reply.command()));
    }
}

impl Submit for Rooms {
    fn submit(&self, submission: Submission) {
        self.note(&submission.reply, "submitted");
        let reply = submission.reply;
        reply.answer(Ok(Success::new(200, "done".into())));
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        self.note(&reply, failure.code.as_str());
        reply.answer(Err(failure));
    }
}

fn publish(topic: &str, qos: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap().to_be_bytes();
    let id: &[u8] = if qos == 0 { &[] } else { &[0, 9] };
    let body = [&length, topic.as_bytes(), id, properties, payload].concat();
    packet(0x30 | (qos << 1), &body)
}

#[cfg(test)]
#[test]
fn messages_change_the_rooms_that_they_name() {
    let told = |kind: &str, qos: u8, payload: &str| {
        let topic = format!("av/gateway/gw-2/{kind}");
        publish(&topic, qos, &[0], payload.as_bytes())
    };
    let moved = r#"{"how":"moved","revision":9,"rooms":["3"]}"#;
    let both = [told("moved", 0, moved), told("moved", 1, moved)].concat();
    let (before, after) = (Seen::after(&[]).unwrap(), Seen::after(&both).unwrap());
    assert_eq!(before.roles["3"], Some(RoomRole::Leaving));
    assert_eq!(after.roles["3"], Some(RoomRole::Deputy));
    let done = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fuzz/seeds/gateway_message/done"
    ));
    let done = String::from_utf8(done.unwrap()[1..].to_vec()).unwrap();
    let after = Seen::after(&told("done", 0, &done)).unwrap();
    assert_eq!(after.remembered, before.remembered - 1);
}
