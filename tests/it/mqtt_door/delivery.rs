//! Brokers that grant and do not deliver, do not tell what they hold, or lose it.
use std::fs;
use std::time::Duration;

use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt::state::StateValue;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::log::{Log, thread_log};
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker};
use poly2mqtt_test_support::{BrokerKind, Mosquitto, SOON, TestBroker, mosquitto, plain_tcp};
use tokio::time::{Instant, advance, pause, resume, sleep};

use super::{Setup, settings, setup};

const STATE: &str = "room/1/audio/volume";
const AVAILABILITY: &str = "gateway/availability";
const OF_ROOMS: &str = "nothing of these rooms";
const OF_GATEWAYS: &str = "another gateway with the same topics is not noticed";
/// What another client goes on to write over.
const DOES_NOT_STAY: &str = "again and again";
const OF_WILDCARDS: &str = "below a wildcard";
/// Longer than the gateway waits for the answer, and than it takes to look.
const ANSWERED: Duration = Duration::from_secs(4);
/// Longer than the gateway waits before it asks, and than it waits for the answer.
const FOUND_OUT: Duration = Duration::from_secs(6);

fn lines(log: &Log, words: &str) -> Vec<String> {
    let text = log.text();
    let lines = text.lines().filter(|line| line.contains(words));
    lines.map(str::to_owned).collect()
}

/// Rooms 1 and 2 are there.
fn two_rooms(it: &Setup) {
    for room in ["1", "2"] {
        let topic = format!("room/{room}/availability");
        it.store.set(&topic, StateValue::text("online"));
    }
    let info = format!(r#"{{"id":"{}","rooms":{{}}}}"#, it.settings.gateway_id);
    it.store.set("gateway/info", StateValue::text(info));
}

#[test]
fn what_mosquitto_grants_and_does_not_deliver_is_said_once() {
    if mosquitto().is_none() {
        return;
    }
    at_the_same_time(
        [
            (&["readwrite room/#", "readwrite gateway/#"][..], "", false),
            (&["write room/#", "readwrite gateway/#"], "1, 2", false),
            (
                &["write room/#", "read room/1/#", "readwrite gateway/#"],
                "2",
                false,
            ),
            (&["readwrite room/#", "write gateway/#"], "", true),
            (&["write room/#", "write gateway/#"], "1, 2", true),
        ],
        |(rights, rooms, gateways)| async move {
            let broker = Mosquitto::start_with(0, "allow_anonymous true", |directory| {
                let list = directory.join("acl");
                let rights = rights.iter().map(|right| format!("topic {right}\n"));
                let watcher = "user watcher\ntopic read #\n".to_owned();
                fs::write(&list, rights.chain([watcher]).collect::<String>()).unwrap();
                format!("user root\nacl_file {}\n", list.display())
            });
            let (log, _guard) = thread_log();
            let watcher = Client::connect_with(
                broker.port,
                |options| {
                    options.set_credentials("watcher", "none");
                },
                "#",
            )
            .await;
            let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
            two_rooms(&it);
            // It asks by publishing once more what it has published.
            watcher
                .until("the question", |watcher| {
                    watcher.messages(AVAILABILITY).len() > 1
                })
                .await;
            if !rooms.is_empty() {
                log.contains(OF_ROOMS).await;
            }
            if gateways {
                log.contains(OF_GATEWAYS).await;
            }
            sleep(ANSWERED).await;
            let of_rooms = lines(&log, OF_ROOMS);
            assert_eq!(
                of_rooms.len(),
                usize::from(!rooms.is_empty()),
                "{rights:?} {of_rooms:?}"
            );
            if let Some(line) = of_rooms.first() {
                assert!(line.contains("topic readwrite room/#"), "{line}");
                assert!(line.contains(&format!("rooms={rooms:?}")), "{line}");
            }
            let of_gateways = lines(&log, OF_GATEWAYS);
            assert_eq!(of_gateways.len(), usize::from(gateways), "{rights:?}");
            assert!(lines(&log, OF_WILDCARDS).is_empty(), "{}", log.text());
            it.door.stop(Instant::now() + SOON).await;
        },
    );
}

/// At the embedded broker too nothing is found that is not there, and no message is a command.
#[test]
fn what_is_delivered_is_not_spoken_of() {
    at_the_same_time(
        [BrokerKind::Embedded, BrokerKind::Mosquitto],
        |kind| async move {
            if kind == BrokerKind::Mosquitto && mosquitto().is_none() {
                return;
            }
            let broker = TestBroker::start(kind).await;
            let (log, _guard) = thread_log();
            let it = setup(MqttSettings {
                marks_messages: kind == BrokerKind::Mosquitto,
                ..settings(&broker)
            })
            .await;
            two_rooms(&it);
            it.store.set(STATE, StateValue::text("5"));
            sleep(FOUND_OUT).await;
            assert!(!log.text().contains("WARN"), "{}", log.text());
            let client = Client::connect(broker.port()).await;
            assert_eq!(client.command("room/1/audio/mute", "").await["ok"], true);
            assert_eq!(it.gateway.seen.lock().unwrap().len(), 1);
            it.door.stop(Instant::now() + SOON).await;
        },
    );
}

/// A broker that delivers, and tells what it retains as it is told to.
fn tells(tells: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Script {
    Script {
        delivers: Box::new(|_| true),
        tells_retained: Box::new(tells),
        ..Script::default()
    }
}

#[test]
fn a_broker_that_tells_nothing_below_a_wildcard_is_said_once() {
    at_the_same_time(
        [(true, 1), (false, 0)],
        |(by_name_only, expected)| async move {
            let broker =
                ScriptedBroker::start(tells(move |filter, topic| !by_name_only || filter == topic))
                    .await;
            let (log, _guard) = thread_log();
            let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
            two_rooms(&it);
            if expected > 0 {
                log.contains(OF_WILDCARDS).await;
            }
            sleep(FOUND_OUT).await;
            broker.send(Vec::new());
            broker
                .until("a second connection", |broker| broker.connections() == 2)
                .await;
            sleep(FOUND_OUT).await;
            let said = lines(&log, OF_WILDCARDS);
            assert_eq!(said.len(), expected, "{said:?}");
            assert!(lines(&log, "delivers nothing").is_empty(), "{}", log.text());
            broker
                .until("the states are wanted only for a moment", |broker| {
                    !broker.brings_own(STATE)
                })
                .await;
            it.door.stop(Instant::now() + SOON).await;
        },
    );
}

/// What somebody clears or writes over is there again: at once, then at most once a minute.
#[tokio::test]
async fn a_state_that_somebody_clears_or_overwrites_comes_back() {
    if mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let (log, _guard) = thread_log();
    let it = setup(settings(&broker)).await;
    let topics = [
        STATE,
        "room/1/problem",
        "room/2/availability",
        "gateway/info",
    ];
    two_rooms(&it);
    for topic in topics {
        it.store.set(topic, StateValue::text(r#"{"own":5}"#));
    }
    sleep(Duration::from_secs(3)).await;
    for topic in topics {
        client.clear();
        client
            .publish_with(topic, "", true, Default::default())
            .await;
        client
            .until("the clearing", |client| !client.messages(topic).is_empty())
            .await;
        client.expect(topic, r#"{"own":5}"#).await;
        for payload in ["", "99", ""] {
            client
                .publish_with(topic, payload, true, Default::default())
                .await;
        }
        sleep(Duration::from_millis(300)).await;
        let own = client.messages(topic);
        let own = own
            .iter()
            .filter(|one| one.payload == r#"{"own":5}"#)
            .count();
        assert_eq!(own, 1, "{topic}: no fight");
    }
    // Without the flag the broker still holds the state, but whoever is subscribed got this in its place.
    let others = ["room/1/call/state", "room/1/availability", "gateway/health"];
    for topic in others {
        it.store.set(topic, StateValue::text(r#"{"own":6}"#));
        client.expect(topic, r#"{"own":6}"#).await;
        client.clear();
        for payload in ["99", "99", "", r#"{"own":6}"#] {
            client
                .publish_with(topic, payload, false, Default::default())
                .await;
        }
        client
            .until("the state after what is wrong", |client| {
                let all = client.messages(topic);
                let own = all.iter().filter(|one| one.payload == r#"{"own":6}"#);
                // One of them is the client's own.
                all.len() == 5 && own.count() == 2
            })
            .await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(client.messages(topic).len(), 5, "{topic}: no fight");
        let said = lines(&log, DOES_NOT_STAY);
        let said: Vec<_> = said.iter().filter(|line| line.contains(topic)).collect();
        assert_eq!(said.len(), 1, "{topic}: {said:?}");
    }
    // What is not the gateway's stays cleared.
    client.clear();
    client
        .publish_with("room/9/audio/volume", "", true, Default::default())
        .await;
    client.expect("room/9/audio/volume", "").await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(client.messages("room/9/audio/volume").len(), 1);
    it.door.stop(Instant::now() + SOON).await;
}

/// The broker says nothing when it loses what it retained: it is asked every minute.
#[tokio::test]
async fn a_broker_that_loses_what_it_retained_gets_everything_again() {
    let broker = ScriptedBroker::start(tells(|_, _| true)).await;
    let (log, _guard) = thread_log();
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    two_rooms(&it);
    it.store.set(STATE, StateValue::text("5"));
    sleep(FOUND_OUT).await;
    broker.lose_retained();
    // A minute passes in a moment.
    for _ in 0..65 {
        pause();
        advance(Duration::from_secs(1)).await;
        resume();
        sleep(Duration::from_millis(20)).await;
    }
    let held = |broker: &ScriptedBroker| broker.retained(STATE).is_some();
    broker.until("it is published again", held).await;
    broker.holds("room/2/availability", "online").await;
    assert_eq!(
        lines(&log, "has lost the messages").len(),
        1,
        "{}",
        log.text()
    );
    assert_eq!(broker.connections(), 1);
    it.door.stop(Instant::now() + SOON).await;
}
