//! A broker that is killed and comes back with the messages that it had saved before: what is gone does not stay.
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt::state::{RoomStatus, StateValue};
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version, kind, packet, user_property};
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker};
use poly2mqtt_test_support::{Mosquitto, SOON, free_port, mosquitto, plain_tcp, until};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, timeout};

use super::{Setup, connected, setup};

const COMPLETE: RoomStatus = RoomStatus {
    online: true,
    known: true,
    complete: true,
};
/// Of a room that is taken out, and of one that stays.
const GONE: [&str; 3] = [
    "room/2/availability",
    "room/2/audio/volume",
    "room/1/audio/muted",
];
const STAYS: &str = "room/1/audio/volume";
const CAME_BACK: &str = "the broker came back with retained messages from before";

/// Rooms 1 and 2, whose states the broker has told of before.
async fn two_rooms(settings: MqttSettings) -> Setup {
    let it = setup(settings).await;
    for room in ["1", "2"] {
        it.store.set_room(&room.into(), COMPLETE);
        let topic = format!("room/{room}/availability");
        it.store.set(&topic, StateValue::text("online"));
    }
    for topic in GONE.into_iter().chain([STAYS]) {
        it.store.set(topic, StateValue::text("online"));
    }
    tell(&it, r#"{"1":null,"2":null}"#);
    let mut may_clear = it.door.may_clear();
    let settled = may_clear.wait_for(|may_clear| *may_clear);
    timeout(SOON, settled).await.expect("settles").unwrap();
    it
}

fn tell(it: &Setup, rooms: &str) {
    let info = format!(r#"{{"id":"{}","rooms":{rooms}}}"#, it.settings.gateway_id);
    it.store.set("gateway/info", StateValue::text(info));
}

/// Room 2 is taken out, and one state of room 1 is gone.
fn take_out(it: &Setup) {
    it.store.remove_room("2");
    it.store.clear("room/1/audio/muted");
    tell(it, r#"{"1":null}"#);
}

fn persistent(port: u16, directory: &Path) -> Mosquitto {
    let directory = directory.display();
    let more = format!("user root\npersistence true\npersistence_location {directory}/");
    Mosquitto::start(port, &more)
}

#[test]
fn what_a_killed_mosquitto_brings_back_is_cleared() {
    if mosquitto().is_none() {
        println!("skipped: Mosquitto is not installed");
        return;
    }
    // With the session, which it has saved too, and without.
    at_the_same_time(
        [Duration::from_secs(60), Duration::ZERO],
        |expiry| async move {
            let (log, _guard) = thread_log();
            let directory = tempfile::tempdir().unwrap();
            let broker = persistent(free_port(), directory.path());
            let port = broker.port;
            let it = two_rooms(MqttSettings {
                session_expiry: expiry,
                ..MqttSettings::new(plain_tcp(port))
            })
            .await;
            let client = Client::connect(port).await;
            for topic in GONE.into_iter().chain([STAYS]) {
                client.expect(topic, "online").await;
            }
            let id = Pid::from_raw(broker.id().try_into().unwrap()).unwrap();
            kill_process(id, Signal::USR1).unwrap();
            let saved = directory.path().join("mosquitto.db");
            until(|| "it is saved".into(), async || saved.is_file()).await;
            take_out(&it);
            for topic in GONE {
                client.expect(topic, "").await;
            }
            let mut connection = it.door.connected();
            drop((client, broker));
            let ended = connection.wait_for(|connected| !connected);
            timeout(SOON, ended).await.expect("ends").unwrap();
            let broker = persistent(port, directory.path());
            connected(&it.door).await;
            let client = Client::connect(broker.port).await;
            for topic in GONE {
                client.expect(topic, "").await;
            }
            let topics = Client::retained(port).await;
            let has = |topic: &str| topics.iter().any(|it| it.topic == topic.as_bytes());
            assert!(has(STAYS) && !GONE.into_iter().any(has));
            // It comes when everything is read.
            log.contains(CAME_BACK).await;
            let text = log.text();
            assert_eq!(text.matches(CAME_BACK).count(), 1, "{text}");
            it.door.stop(Instant::now() + SOON).await;
        },
    );
}

/// A standby that had been given states of room 2 takes the broker's place. There are rooms that nobody can tell of but
/// the broker.
#[tokio::test]
async fn what_only_the_broker_knows_is_found_and_only_own_messages_are_cleared() {
    let tells = || Script {
        tells_retained: Box::new(|_, _| true),
        ..Script::default()
    };
    let broker = ScriptedBroker::start(tells()).await;
    let it = two_rooms(MqttSettings::new(plain_tcp(broker.port))).await;
    for topic in GONE {
        broker.holds(topic, "online").await;
    }
    let own = broker.messages(GONE[0]).remove(0);
    take_out(&it);
    for topic in GONE {
        broker.holds(topic, "").await;
    }
    for topic in ["room/7/availability", "room/7/audio/volume", GONE[2]] {
        broker.retain_copy(Publish {
            topic: topic.into(),
            ..own.clone()
        });
    }
    broker.retain("room/8/availability", "online");
    broker.retain_copy(Publish::new(Version::V5, "room/7/call/state", 0));
    broker.send(packet(kind::DISCONNECT << 4, &[0x8B]));
    for topic in ["room/7/availability", "room/7/audio/volume", GONE[2]] {
        broker.holds(topic, "").await;
    }
    assert_eq!(
        broker.retained("room/8/availability").as_deref(),
        Some("online")
    );
    assert_eq!(broker.retained("room/7/call/state").as_deref(), Some("x"));
    assert_eq!(broker.retained(STAYS).as_deref(), Some("online"));
    it.door.stop(Instant::now() + SOON).await;
}

/// With this gateway's mark.
fn marked(topic: &str, payload: &str) -> Publish {
    let settings = MqttSettings::new(plain_tcp(1883));
    Publish::new(Version::V5, topic, 1)
        .packet_id(1)
        .payload(payload)
        .properties(&user_property("gateway", settings.gateway_id.as_str()))
}

/// The broker's queue for one client is full after so many messages of a subscription of QoS 1, as Mosquitto's is
/// after a thousand.
const QUEUE: usize = 150;
const STATES: [&str; 4] = ["audio/muted", "audio/volume", "availability", "calls"];

/// A broker that holds what an earlier run has left of 60 rooms, the last of it without a mark.
async fn with_many(refuses: &'static str) -> (ScriptedBroker, Vec<String>) {
    let told = AtomicUsize::new(0);
    let broker = ScriptedBroker::start(Script {
        tells_retained: Box::new(move |filter, _| {
            filter != "room/#" || told.fetch_add(1, Ordering::Relaxed) < QUEUE
        }),
        subscribe: Box::new(move |filters| {
            let grant = |filter: &String| if filter == refuses { 0x87 } else { 1 };
            Some(filters.iter().map(grant).collect())
        }),
        ..Script::default()
    })
    .await;
    let rooms = (1000..1060).map(|n| n.to_string());
    let topics = rooms.flat_map(|room| STATES.map(|state| format!("room/{room}/{state}")));
    let topics: Vec<String> = topics.collect();
    for topic in &topics {
        broker.retain_copy(marked(topic, "5"));
    }
    for state in STATES {
        broker.retain(&format!("room/nobody/{state}"), "5");
    }
    (broker, topics)
}

#[tokio::test]
async fn what_an_earlier_run_left_is_cleared_although_the_door_is_told_a_part() {
    let (log, _guard) = thread_log();
    let (broker, topics) = with_many("none").await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    for topic in &topics {
        broker.holds(topic, "").await;
    }
    for state in STATES {
        let topic = format!("room/nobody/{state}");
        assert_eq!(broker.retained(&topic).as_deref(), Some("5"), "{topic}");
    }
    log.contains("topics=4").await;
    let text = log.text();
    assert!(text.contains("nobody"), "{text}");
    assert!(!text.contains("WARN"), "{text}");
    assert_eq!(broker.connections(), 2, "the door, and what reads once");
    it.door.stop(Instant::now() + SOON).await;
}

/// A right that is missing is told, and what the door was told is cleared all the same.
#[tokio::test]
async fn what_was_told_is_cleared_although_the_rest_cannot_be_read() {
    let (log, _guard) = thread_log();
    let (broker, topics) = with_many("room/+/availability").await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    for topic in &topics[..QUEUE] {
        broker.holds(topic, "").await;
    }
    log.contains("the broker refuses the subscription to room/+/availability: not authorized")
        .await;
    assert_eq!(broker.retained(&topics[QUEUE]).as_deref(), Some("5"));
    it.door.stop(Instant::now() + SOON).await;
}
