//! Walks every operation: over a real broker, through the gateway, to the simulated device.
//!
//! What is expected is data, written from the REST guide and from what else is known of devices:
//! `guide/operations.tsv` holds the guide's methods and paths, `guide/beyond.tsv` those beyond it,
//! `guide/walk.tsv` the exact request of each topic, `guide/states.tsv` the states.
use std::collections::BTreeSet;

use poly2mqtt_simulator::{Firmware, JournalEntry, Options};
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{BrokerKind, mosquitto};

const OPERATIONS: &str = include_str!("../guide/operations.tsv");
const BEYOND: &str = include_str!("../guide/beyond.tsv");
const WALK: &str = include_str!("../guide/walk.tsv");
const STATES: &str = include_str!("../guide/states.tsv");

fn lines(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').collect())
}

/// A method and a path, whose parameters stand in angle brackets.
type Pair = (&'static str, &'static str);

/// Every pair of the guide and beyond it that devices with this firmware have.
fn known(firmware: Firmware) -> Vec<Pair> {
    let there = |columns: &Vec<&str>| match columns.get(2) {
        None => true,
        Some(&OTHER_SPELLING) => false,
        Some(_) => firmware == Firmware::V4_6_2,
    };
    lines(OPERATIONS)
        .chain(lines(BEYOND).filter(there))
        .map(|columns| (columns[0], columns[1]))
        .collect()
}

/// The word in `beyond.tsv` for what is sent only where another spelling is missing: the module
/// `spellings` has the tests.
const OTHER_SPELLING: &str = "other spelling";

/// The pair that a request is: a literal segment wins over a parameter.
fn pair_of(method: &str, path: &str) -> Option<Pair> {
    let fits = |pattern: &str| {
        let (pattern, path) = (pattern.split('/'), path.split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(p, s)| p.starts_with('<') || p == s)
    };
    let parameters = |pattern: &str| {
        pattern
            .split('/')
            .map(|part| part.starts_with('<'))
            .collect::<Vec<_>>()
    };
    known(Firmware::V4_6_2)
        .into_iter()
        .filter(|(known, pattern)| *known == method && fits(pattern))
        .min_by_key(|(_, pattern)| parameters(pattern))
}

/// Whether a request is exactly this.
fn is(entry: &JournalEntry, method: &str, path: &str, query: &str, body: &str) -> bool {
    let content_type = entry.content_type.as_deref();
    let same_body = if body.is_empty() {
        entry.body.is_empty() && content_type.is_none()
    } else if let Some(xml) = body.strip_prefix("xml:") {
        entry.body == xml && content_type == Some("application/xml")
    } else {
        let sent: Option<Value> = serde_json::from_slice(&entry.body).ok();
        content_type == Some("application/json")
            && sent.is_some()
            && (body == "*" || sent == serde_json::from_str(body).ok())
    };
    entry.method == method
        && entry.path == path
        && entry.query == query
        && same_body
        && (200..300).contains(&entry.status)
}

async fn walk(kind: BrokerKind, firmware: Firmware) {
    let options = Options {
        firmware,
        ..Options::default()
    };
    let it = Gateway::start(kind, options).await;
    it.online().await;
    states_are_retained(&it, firmware).await;
    let mut seen = BTreeSet::new();
    for row in lines(WALK) {
        if let Some(ring) = row[0].strip_prefix("!ring ") {
            let (from, id) = ring.split_once(' ').unwrap();
            assert_eq!(it.device.person_calls_in(from), id);
            continue;
        }
        let [topic, payload, method, path, query, body] = row[..] else {
            panic!("not six columns: {row:?}");
        };
        remember(&it, &mut seen);
        it.device.clear_journal();
        let result = it.client.command(&format!("room/1/{topic}"), payload).await;
        assert_eq!(result["ok"], true, "{topic} {payload}: {result}");
        let journal = it.device.journal();
        let sent = method.is_empty()
            || journal
                .iter()
                .any(|entry| is(entry, method, path, query, body));
        assert!(
            sent,
            "{topic} {payload} did not send {method} {path} {query} {body}: {journal:#?}"
        );
        if topic == "call/0/add" && payload.contains("bob") {
            call_states_come_and_go(&it).await;
        }
    }
    remember(&it, &mut seen);
    let missing: Vec<_> = known(firmware)
        .into_iter()
        .filter(|pair| !seen.contains(pair))
        .collect();
    assert!(missing.is_empty(), "never sent: {missing:?}");
    assert_eq!(lines(OPERATIONS).count(), 107);
    assert!(
        it.device.most_at_a_time() <= 2,
        "{}",
        it.device.most_at_a_time()
    );
    it.stop().await;
}

fn remember(it: &Gateway, seen: &mut BTreeSet<Pair>) {
    for entry in it.device.journal() {
        // Nothing is ever sent that the device has to refuse, except what it lacks.
        assert!(entry.status < 400 || entry.status == 404, "{entry:?}");
        if entry.status < 400 {
            seen.extend(pair_of(&entry.method, &entry.path));
        }
    }
}

async fn states_are_retained(it: &Gateway, firmware: Firmware) {
    it.client
        .until("all states", |client| {
            client.last("room/1/directory/local_server").is_some()
        })
        .await;
    let wanted = lines(STATES).filter(|row| match row.get(1) {
        None => true,
        Some(&"4.6.2") => firmware == Firmware::V4_6_2,
        Some(_) => false,
    });
    let topics: Vec<String> = wanted.map(|row| format!("room/1/{}", row[0])).collect();
    for topic in &topics {
        it.client.message(topic).await;
    }
    // A client that comes later is told all of it at once.
    let late = Client::connect(it.port).await;
    for topic in &topics {
        assert!(late.message(topic).await.retain, "{topic}");
    }
    if firmware == Firmware::V4_0 {
        assert!(it.client.messages("room/1/system/info").is_empty());
    }
}

/// States of a call are there while it is up, and only then.
async fn call_states_come_and_go(it: &Gateway) {
    let of_call = || lines(STATES).filter(|row| row.get(1) == Some(&"call"));
    for row in of_call() {
        it.client.message(&format!("room/1/{}", row[0])).await;
    }
    it.client.expect("room/1/call/state", "connected").await;
    it.client.expect("room/1/call/count", "2").await;
}

#[tokio::test]
async fn every_operation_with_firmware_4_6_2() {
    walk(BrokerKind::Embedded, Firmware::V4_6_2).await;
}

#[tokio::test]
async fn every_operation_with_firmware_4_0() {
    let kind = match mosquitto() {
        Some(_) => BrokerKind::Mosquitto,
        None => BrokerKind::Embedded,
    };
    walk(kind, Firmware::V4_0).await;
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
    let known: BTreeSet<_> = lines(OPERATIONS)
        .chain(lines(BEYOND))
        .map(|columns| (columns[0], plain(columns[1], '<', '>')))
        .collect();
    let ours: BTreeSet<_> = poly2mqtt::catalogue::operations()
        .map(|operation| (operation.method.as_str(), plain(operation.path, '{', '}')))
        .collect();
    let strange: Vec<_> = ours.symmetric_difference(&known).collect();
    assert!(strange.is_empty(), "{strange:?}");
}
