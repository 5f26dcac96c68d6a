//! Walks every operation: over a real broker, through the gateway, to the simulated device, in every firmware.
//!
//! What is expected is data, written from the REST guide and from what else is known of devices: see
//! `walk/tables.rs`. What a firmware lacks must be told as such, its states and entities must not be
//! there, and it must not be asked for over and over.

mod tables;

use std::collections::{BTreeMap, BTreeSet};

use poly2mqtt_simulator::{Firmware, JournalEntry, Model, Options};
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{BrokerKind, mosquitto};
use tables::{
    OPERATIONS, Pair, Row, first_spellings, known, lacks, lines, pair_of, rows, second, states,
};

/// The document of Home Assistant about the room.
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";
/// How often something that a device lacks is asked for after each log-in.
const MOST_ASKED: usize = 4;

/// Whether a request is exactly that of a row.
fn is(entry: &JournalEntry, row: &Row) -> bool {
    let content_type = entry.content_type.as_deref();
    let same_body = if row.body.is_empty() {
        entry.body.is_empty() && content_type.is_none()
    } else if let Some(xml) = row.body.strip_prefix("xml:") {
        entry.body == xml && content_type == Some("application/xml")
    } else {
        let sent: Option<Value> = serde_json::from_slice(&entry.body).ok();
        content_type == Some("application/json")
            && sent.is_some()
            && (row.body == "*" || sent == serde_json::from_str(row.body).ok())
    };
    entry.method == row.method
        && entry.path == row.path
        && entry.query == row.query
        && same_body
        && (200..300).contains(&entry.status)
}

struct Walk {
    it: Gateway,
    firmware: Firmware,
    /// What the device carried out.
    carried_out: BTreeSet<Pair>,
    /// How often something was asked for that the device lacks.
    refused: BTreeMap<Pair, usize>,
    /// How many commands asked for what the device lacks, by area: `/rest/conferences`.
    commands: BTreeMap<String, usize>,
    log_ins: usize,
}

async fn walk(kind: BrokerKind, firmware: Firmware) {
    let model = if firmware == Firmware::V5_0 {
        Model::X52
    } else {
        Model::X50
    };
    let options = Options {
        firmware,
        model: Some(model),
        ..Options::default()
    };
    let it = Gateway::start_with(kind, options, |room| {
        // A state that is there only for those who name presets.
        room.presets.insert(1, "Whole table".into()).unwrap();
        room.settings = tables::SETTINGS.map(str::to_owned).into();
    })
    .await;
    it.online().await;
    let mut walk = Walk {
        it,
        firmware,
        carried_out: BTreeSet::new(),
        refused: BTreeMap::new(),
        commands: BTreeMap::new(),
        log_ins: 0,
    };
    walk.states_are_retained().await;
    for row in rows(firmware) {
        if let Some(ring) = row.topic.strip_prefix("!ring ") {
            let (from, id) = ring.split_once(' ').unwrap();
            if !lacks(firmware, "GET", "/rest/conferences") {
                assert_eq!(walk.it.device.person_calls_in(from), id);
            }
            continue;
        }
        walk.step(&row).await;
        if row.topic == "call/0/add" && row.payload.contains("bob") && firmware != Firmware::V5_0 {
            walk.call_states_come_and_go().await;
        }
    }
    walk.ends().await;
}

impl Walk {
    /// Sends the command of a row and checks its result and its request.
    async fn step(&mut self, row: &Row) {
        self.remember();
        self.it.device.clear_journal();
        let topic = format!("room/1/{}", row.topic);
        let result = self.it.client.command(&topic, row.payload).await;
        let has = |row: &Row| !lacks(self.firmware, row.method, row.path);
        let spellings: Vec<Row> = second(row).into_iter().chain([row.clone()]).collect();
        if !spellings.iter().any(has) && row.topic != "session/renew" {
            *self.commands.entry(area(row.path)).or_default() += 1;
            self.lacking(row, &result);
            return;
        }
        assert_eq!(
            result["ok"], true,
            "{} {}: {result}",
            row.topic, row.payload
        );
        let journal = self.it.device.journal();
        let sent = |row: &Row| journal.iter().any(|entry| is(entry, row));
        assert!(
            row.method.is_empty()
                || !has(row) && spellings.len() == 1
                || spellings.iter().any(sent),
            "{} {} did not send {spellings:?}: {journal:#?}",
            row.topic,
            row.payload
        );
    }

    /// The result of a command for which the device has nothing.
    fn lacking(&self, row: &Row, result: &Value) {
        if result["body"] == "none" && row.path.starts_with("/rest/cameras/far/") {
            // That there is no far end is an answer.
            return;
        }
        assert_eq!(result["ok"], false, "{row:?}: {result}");
        let code = result["error"]["code"].as_str().unwrap();
        let of_call = ["not_found", "mode_locked"].contains(&code);
        assert!(
            code == "unsupported" || (self.firmware == Firmware::V5_0 && of_call),
            "{row:?}: {result}"
        );
        // A move that failed is followed by its stop.
        if row.method != "GET" && !row.topic.ends_with("/move") {
            // It was told at once: the device was asked no more than once.
            let journal = self.it.device.journal();
            let same =
                |entry: &&JournalEntry| (&*entry.method, &*entry.path) == (row.method, row.path);
            // The stop of an earlier row's move may come as late as now.
            let stops = |body: &[u8]| body.ends_with(b"\"moveStop\"}");
            let same = journal.iter().filter(same);
            let times = same.filter(|entry| !stops(&entry.body) || stops(row.body.as_bytes()));
            let times = times.count();
            assert!(times <= 1, "{row:?}: {journal:#?}");
        }
    }

    /// Notes what was sent.
    fn remember(&mut self) {
        for entry in self.it.device.journal() {
            let Some(pair) = pair_of(&entry.method, &entry.path) else {
                continue;
            };
            if pair == ("POST", "/rest/session") {
                self.log_ins += 1;
            }
            if entry.status < 400 {
                self.carried_out.insert(pair);
            } else if lacks(self.firmware, pair.0, pair.1) {
                *self.refused.entry(pair).or_default() += 1;
            } else {
                // Nothing is ever sent that the device has to refuse, except what it lacks: the first
                // spelling of a reboot has the same path as the second.
                let reboot = pair.1 == "/rest/system/reboot" && self.firmware >= Firmware::V4_7;
                assert!(entry.status == 404 || reboot, "{entry:?}");
            }
        }
    }

    async fn states_are_retained(&self) {
        let last = "room/1/directory/local_server";
        self.it
            .client
            .until("all states", |client| client.last(last).is_some())
            .await;
        let (there, absent) = states(self.firmware);
        for topic in &there {
            self.it.client.message(topic).await;
        }
        // A client that comes later is told all of it at once.
        let late = Client::connect(self.it.port).await;
        for topic in &there {
            assert!(late.message(topic).await.retain, "{topic}");
        }
        self.are_absent(&absent).await;
    }

    /// There is neither a state nor an entity of Home Assistant for these.
    async fn are_absent(&self, topics: &[String]) {
        let document = self.it.client.message(DOCUMENT).await;
        let document: Value = serde_json::from_slice(&document.payload).unwrap();
        let entities = document["components"].to_string();
        assert!(entities.contains("\"room/1/audio/volume\""), "{entities}");
        self.every_entity_works(&document["components"]);
        for topic in topics {
            assert!(self.it.client.messages(topic).is_empty(), "{topic}");
            let named = entities.contains(&format!("\"{topic}\""));
            assert!(!named, "{topic}: {entities}");
        }
    }

    /// Each entity that sends a command sends one that this firmware has.
    fn every_entity_works(&self, components: &Value) {
        let mut commands = BTreeSet::new();
        for (key, component) in components.as_object().unwrap() {
            let Some(topic) = component["command_topic"].as_str() else {
                continue;
            };
            let command = topic.strip_prefix("room/1/").unwrap();
            // The gateway's own: no request of the device's stands behind it.
            if command == "readiness/run" {
                continue;
            }
            // The walk has one preset for all.
            let levels = command.split('/');
            let preset = |level: &str| {
                if level.parse::<u8>().is_ok() {
                    "3"
                } else {
                    level
                }
                .to_owned()
            };
            let command = levels.map(preset).collect::<Vec<_>>().join("/");
            let works = |row: Row| {
                let has = |row: &Row| !lacks(self.firmware, row.method, row.path);
                has(&row) || second(&row).as_ref().is_some_and(has)
            };
            let is_sent = rows(self.firmware)
                .filter(|row| row.topic == command)
                .any(works);
            assert!(is_sent, "{key}: {topic}");
            commands.insert(command);
        }
        assert!(commands.contains("audio/muted/set"), "{commands:?}");
    }

    /// States of a call are there while it is up, and only then.
    async fn call_states_come_and_go(&self) {
        for row in tables::call_states() {
            self.it.client.message(&row).await;
        }
        self.it
            .client
            .expect("room/1/call/state", "connected")
            .await;
        self.it.client.expect("room/1/call/count", "2").await;
    }

    async fn ends(mut self) {
        self.remember();
        let missing: Vec<_> = first_spellings()
            .into_iter()
            .filter(|pair| !lacks(self.firmware, pair.0, pair.1))
            .filter(|pair| !self.carried_out.contains(pair))
            .collect();
        assert!(missing.is_empty(), "never sent: {missing:?}");
        // Polls give up; each command asks once.
        let polls = MOST_ASKED * self.log_ins.max(1);
        let most = |pair: &Pair| polls + self.commands.get(&area(pair.1)).unwrap_or(&0);
        let often: Vec<_> = self
            .refused
            .iter()
            .filter(|(pair, times)| **times > most(pair))
            .collect();
        assert!(often.is_empty(), "asked over and over: {often:?}");
        println!(
            "{}: {} log-ins, refused: {:?}",
            self.firmware, self.log_ins, self.refused
        );
        let (_, absent) = states(self.firmware);
        self.are_absent(&absent).await;
        assert_eq!(lines(OPERATIONS).count(), 107);
        let most = self.it.device.most_at_a_time();
        assert!(most <= 2, "{most}");
        self.it.stop().await;
    }
}

/// The first two segments of a path.
fn area(path: &str) -> String {
    let segments: Vec<_> = path.split('/').take(3).collect();
    segments.join("/")
}

fn mosquitto_or_embedded() -> BrokerKind {
    match mosquitto() {
        Some(_) => BrokerKind::Mosquitto,
        None => BrokerKind::Embedded,
    }
}

#[tokio::test]
async fn every_operation_with_firmware_3_12() {
    walk(BrokerKind::Embedded, Firmware::V3_12).await;
}

#[tokio::test]
async fn every_operation_with_firmware_4_0() {
    walk(mosquitto_or_embedded(), Firmware::V4_0).await;
}

#[tokio::test]
async fn every_operation_with_firmware_4_4() {
    walk(BrokerKind::Embedded, Firmware::V4_4).await;
}

#[tokio::test]
async fn every_operation_with_firmware_4_6_2() {
    walk(BrokerKind::Embedded, Firmware::V4_6_2).await;
}

#[tokio::test]
async fn every_operation_with_firmware_4_7() {
    walk(mosquitto_or_embedded(), Firmware::V4_7).await;
}

#[tokio::test]
async fn every_operation_with_firmware_5_0() {
    walk(BrokerKind::Embedded, Firmware::V5_0).await;
}

/// The catalogue has exactly the methods and paths that are in the guide or known beyond it.
#[test]
fn the_catalogue_is_the_guide() {
    let plain = |path: &str, open: char, close: char| {
        let parts = path.split('/').map(|part| {
            if part.starts_with(open) && part.ends_with(close) {
                "<>"
            } else {
                part
            }
        });
        parts.collect::<Vec<_>>().join("/")
    };
    let known: BTreeSet<_> = known()
        .into_iter()
        .map(|(method, path)| (method, plain(path, '<', '>')))
        .collect();
    let ours: BTreeSet<_> = poly2mqtt::catalogue::operations()
        .filter(|operation| !operation.is_gateways_own())
        .map(|operation| (operation.method.as_str(), plain(operation.path, '{', '}')))
        .collect();
    let strange: Vec<_> = ours.symmetric_difference(&known).collect();
    assert!(strange.is_empty(), "{strange:?}");
}
