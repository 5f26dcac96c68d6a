//! Brokers that take fewer messages than the gateway has: refusals that pass, and silence above a
//! rate. Everything arrives in the end. The broker is a script.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use poly2mqtt::command::Success;
use poly2mqtt::doors::mqtt::{ExtraTopics, MqttDoor, MqttSettings, Survey};
use poly2mqtt::home_assistant::DocumentLimits;
use poly2mqtt::state::{StateStore, StateValue};
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::plain_tcp;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version, kind, packet};
use poly2mqtt_test_support::scripted_broker::{Answer, Script, ScriptedBroker, TAKEN, connack};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::{FakeGateway, connected, setup};

/// The reason codes whose meaning is a matter of time.
const PASSING: [u8; 8] = [0x88, 0x89, 0x8B, 0x91, 0x93, 0x96, 0x97, 0x9F];
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";
/// The line about a broker that takes fewer messages.
const SLOWER: &str = "takes fewer messages";

fn command(name: &str) -> Vec<u8> {
    let topic = format!("room/1/{name}");
    Publish::new(Version::V5, topic, 1).packet_id(9).bytes()
}

fn puback(_: &Publish, reason: u8) -> Answer {
    Answer::PubAck(reason)
}

fn pubrec(publish: &Publish, reason: u8) -> Answer {
    let id = publish.packet_id.to_be_bytes();
    Answer::Bytes(packet(kind::PUBREC << 4, &[&id[..], &[reason]].concat()))
}

fn broker_that(
    answers: impl Fn(&Publish) -> Answer + Send + Sync + 'static,
) -> impl Future<Output = ScriptedBroker> {
    ScriptedBroker::start(Script {
        publish: Box::new(answers),
        ..Script::default()
    })
}

/// Refuses the first messages of each topic with this in its name.
fn refuses_first(
    times: usize,
    part: &'static str,
    refusal: impl Fn(&Publish) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Publish) -> Answer + Send + Sync + 'static {
    let seen = Mutex::new(HashMap::<Vec<u8>, usize>::new());
    move |publish| {
        if !String::from_utf8_lossy(&publish.topic).contains(part) {
            return TAKEN;
        }
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(publish.topic.clone()).or_default();
        *count += 1;
        if *count <= times {
            refusal(publish)
        } else {
            TAKEN
        }
    }
}

/// What is above so many messages in a second gets the other answer.
fn above(
    rate: usize,
    otherwise: impl Fn(&Publish) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Publish) -> Answer + Send + Sync + 'static {
    let second = Mutex::new((Clock::now(), 0));
    move |publish| {
        let mut second = second.lock().unwrap();
        if second.0.elapsed() >= Duration::from_secs(1) {
            *second = (Clock::now(), 0);
        }
        second.1 += 1;
        if second.1 <= rate {
            TAKEN
        } else {
            otherwise(publish)
        }
    }
}

/// A door with documents for another program.
struct DoorWithDocuments {
    door: MqttDoor,
    states: Arc<StateStore>,
    documents: Arc<StateStore>,
    limits: watch::Receiver<DocumentLimits>,
}

impl DoorWithDocuments {
    async fn start(broker: &ScriptedBroker) -> Self {
        let (states, documents) = (StateStore::new(), StateStore::new());
        let document_limits = watch::Sender::new(DocumentLimits::new(usize::MAX));
        let limits = document_limits.subscribe();
        let extra = ExtraTopics {
            store: documents.clone(),
            encode: Bytes::copy_from_slice,
            filters: Vec::new(),
            inbound: mpsc::channel(1).0,
            document_limits,
        };
        let door = MqttDoor::start(
            MqttSettings::new(plain_tcp(broker.port)),
            states.clone(),
            Arc::new(FakeGateway::default()),
            Arc::default(),
            Some(extra),
        );
        let door = door.unwrap();
        connected(&door).await;
        Self {
            door,
            states,
            documents,
            limits,
        }
    }
}

async fn result(broker: &ScriptedBroker, topic: &str, times: usize) -> Value {
    broker
        .until(topic, |broker| broker.messages(topic).len() >= times)
        .await;
    serde_json::from_slice(&broker.messages(topic)[times - 1].payload).unwrap()
}

fn lines<'a>(log: &'a str, part: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(part)).collect()
}

/// Every code, in PUBACK and PUBREC, refuses the first message of this topic. Then it arrives.
fn passes(
    topic: &'static str,
    publish: impl Fn(&DoorWithDocuments, &ScriptedBroker) + Sync,
    expected: &str,
) {
    type Refuse = fn(&Publish, u8) -> Answer;
    let ways = [("PUBACK", puback as Refuse), ("PUBREC", pubrec)];
    let cases = ways
        .into_iter()
        .flat_map(|(name, answer)| PASSING.map(|reason| (name, answer, reason)));
    let publish = &publish;
    at_the_same_time(cases, |(name, answer, reason)| async move {
        println!("{name} {reason:#x}");
        let (log, _guard) = thread_log();
        let refuse = move |publish: &Publish| answer(publish, reason);
        let broker = broker_that(refuses_first(1, topic, refuse)).await;
        let it = DoorWithDocuments::start(&broker).await;
        publish(&it, &broker);
        broker
            .until(topic, |broker| broker.messages(topic).len() == 2)
            .await;
        let [first, second] = &broker.messages(topic)[..] else {
            panic!("it comes once more, and no oftener");
        };
        assert!(second.text().contains(expected), "{}", second.text());
        let size = first.payload.len();
        assert_eq!(size, second.payload.len());
        assert_eq!(it.limits.borrow().of_topics().count(), 0);
        broker.holds("gateway/availability", "online").await;
        assert_eq!(broker.connections(), 1);
        let text = log.text();
        assert_eq!(lines(&text, "left out").len(), 0, "{text}");
        assert_eq!(lines(&text, SLOWER).len(), 1, "{text}");
        it.door.stop(Instant::now()).await;
    });
}

#[test]
fn a_refusal_that_passes_costs_no_availability() {
    passes("gateway/availability", |_, _| {}, "online");
}

#[test]
fn a_refusal_that_passes_costs_no_state() {
    let state = |it: &DoorWithDocuments, _: &ScriptedBroker| {
        it.states.set("room/1/state", StateValue::text("1"));
    };
    passes("room/1/state", state, "1");
}

#[test]
fn a_refusal_that_passes_costs_no_event() {
    let event = |it: &DoorWithDocuments, _: &ScriptedBroker| {
        it.states.event("room/1/event/call", "rings".into());
    };
    passes("room/1/event/call", event, "rings");
}

#[test]
fn a_refusal_that_passes_costs_no_result() {
    for (name, expected) in [
        ("room/1/audio/mute/result", "\"ok\":true"),
        ("room/1/long/result", "\"ok\":true"),
        ("room/1/bad/result", "\"code\":\"not_found\""),
    ] {
        let command = |_: &DoorWithDocuments, broker: &ScriptedBroker| {
            let topic = name.strip_suffix("/result").unwrap();
            broker.send(Publish::new(Version::V5, topic, 1).packet_id(9).bytes());
        };
        passes(name, command, expected);
    }
}

#[test]
fn a_refusal_that_passes_costs_no_file() {
    let command = |_: &DoorWithDocuments, broker: &ScriptedBroker| {
        broker.send(command("large/get"));
    };
    passes("room/1/file", command, "");
}

#[test]
fn a_refusal_that_passes_cuts_no_document() {
    let document = |it: &DoorWithDocuments, _: &ScriptedBroker| {
        let document = "x".repeat(20_000);
        it.documents.set(DOCUMENT, StateValue::text(document));
    };
    passes(DOCUMENT, document, "xxx");
}

#[test]
fn a_result_that_is_refused_three_times_comes_in_the_end() {
    at_the_same_time(
        [("audio/mute", true), ("bad", false), ("long", true)],
        |(name, is_ok)| async move {
            let refuse = |publish: &Publish| puback(publish, 0x97);
            let broker = broker_that(refuses_first(3, "/result", refuse)).await;
            let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
            broker.send(command(name));
            let topic = format!("room/1/{name}/result");
            let told = result(&broker, &topic, 4).await;
            assert_eq!(told["ok"], is_ok, "{told}");
            if !is_ok {
                assert_eq!(told["error"]["code"], "not_found");
            }
            sleep(Duration::from_millis(500)).await;
            assert_eq!(broker.messages(&topic).len(), 4, "it comes once");
            assert_eq!(it.gateway.seen.lock().unwrap().len(), 1);
            it.door.stop(Instant::now()).await;
        },
    );
}

#[tokio::test]
async fn a_state_that_was_refused_comes_with_its_newest_value_and_before_the_result() {
    let refuse = |publish: &Publish| puback(publish, 0x97);
    let broker = broker_that(refuses_first(2, "room/1/", refuse)).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    broker.send(command("hold"));
    it.gateway.until("held", |seen| !seen.is_empty()).await;
    it.store.set("room/1/audio/volume", StateValue::text("1"));
    broker
        .until("a refusal", |broker| {
            !broker.messages("room/1/audio/volume").is_empty()
        })
        .await;
    it.store.set("room/1/audio/volume", StateValue::text("2"));
    let held = it.gateway.held.lock().unwrap().pop().unwrap();
    held.reply.answer(Ok(Success::new(200, Value::Null)));
    it.store.set("room/1/audio/volume", StateValue::text("3"));
    let told = result(&broker, "room/1/hold/result", 3).await;
    assert_eq!(told["ok"], true);
    assert_eq!(
        broker.retained("room/1/audio/volume").as_deref(),
        Some("3"),
        "before the result"
    );
    let values = broker.messages("room/1/audio/volume");
    let values: Vec<_> = values.iter().map(Publish::text).collect();
    assert_eq!(values.len(), 3, "{values:?}");
}

#[tokio::test]
async fn everything_arrives_at_a_broker_with_a_quota() {
    let (log, _guard) = thread_log();
    let broker = broker_that(above(50, |publish| puback(publish, 0x97))).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    for n in 0..200 {
        let topic = format!("room/1/states/{n}");
        it.store.set(&topic, StateValue::text("1"));
    }
    broker.send(command("audio/mute"));
    broker
        .until("every state", |broker| {
            (0..200).all(|n| broker.retained(&format!("room/1/states/{n}")).is_some())
        })
        .await;
    let told = result(&broker, "room/1/audio/mute/result", 1).await;
    assert_eq!(told["ok"], true, "{told}");
    assert_eq!(broker.connections(), 1);
    // What was under way when the quota was reached comes once more; it does not try on and on.
    let sent = broker.published().len();
    assert!(sent < 202 + 256, "{sent}");
    let text = log.text();
    assert_eq!(lines(&text, "left out").len(), 0, "{text}");
    assert_eq!(lines(&text, SLOWER).len(), 1, "{text}");
}

#[tokio::test]
async fn everything_arrives_at_a_broker_that_is_silent_above_a_rate() {
    let (log, _guard) = thread_log();
    let broker = broker_that(above(100, |_| Answer::Silence)).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    for n in 0..300 {
        let topic = format!("room/1/states/{n}");
        it.store.set(&topic, StateValue::text("1"));
    }
    broker
        .until("every state", |broker| {
            (0..300).all(|n| broker.retained(&format!("room/1/states/{n}")).is_some())
        })
        .await;
    assert_eq!(broker.connections(), 1);
    let text = log.text();
    assert_eq!(lines(&text, "left out").len(), 0, "{text}");
    assert_eq!(lines(&text, SLOWER).len(), 1, "{text}");
}

/// A quota of one topic, such as one for retained messages.
#[tokio::test]
async fn a_topic_that_is_always_refused_for_now_holds_nothing_up() {
    let (log, _guard) = thread_log();
    let answers = |publish: &Publish| {
        if publish.topic.starts_with(b"room/1/bad") {
            Answer::PubAck(0x97)
        } else {
            TAKEN
        }
    };
    let broker = broker_that(answers).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    it.store.set("room/1/bad", StateValue::text("1"));
    for n in 0..100 {
        let topic = format!("room/1/states/{n}");
        it.store.set(&topic, StateValue::text("1"));
    }
    broker
        .until("every state", |broker| {
            (0..100).all(|n| broker.retained(&format!("room/1/states/{n}")).is_some())
        })
        .await;
    sleep(Duration::from_secs(4)).await;
    // The machine may stand still for one of them.
    let mut quickest = Duration::MAX;
    for n in 1..=5 {
        let began = Clock::now();
        broker.send(command("audio/mute"));
        result(&broker, "room/1/audio/mute/result", n).await;
        quickest = quickest.min(began.elapsed());
    }
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");
    let tries = broker.messages("room/1/bad").len();
    assert!((2..10).contains(&tries), "{tries}");
    let text = log.text();
    assert_eq!(lines(&text, "room/1/bad").len(), 1, "{text}");
    assert_eq!(broker.connections(), 1);
}

#[tokio::test]
async fn clear_keeps_to_the_receive_maximum() {
    for (maximum, most) in [(&[0x21, 0, 1][..], 1), (&[0x21, 0, 3], 3), (&[], 20)] {
        let script = Script {
            connack: connack(0, maximum),
            puback_delay: Duration::from_millis(20),
            ..Script::default()
        };
        let broker = ScriptedBroker::start(script).await;
        let settings = MqttSettings::new(plain_tcp(broker.port));
        let mut survey = Survey::connect(&settings).await.unwrap();
        let topics: Vec<_> = (0..40).map(|n| format!("room/1/{n}")).collect();
        survey.clear(&topics).await.unwrap();
        survey.close().await;
        assert_eq!(broker.published().len(), 40);
        assert_eq!(broker.most_unacknowledged(), most);
    }
}
