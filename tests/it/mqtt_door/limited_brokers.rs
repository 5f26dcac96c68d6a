//! Brokers that can do less, or stop in the middle. What they announce is honoured, or said in words
//! once. The broker is a script.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt::state::StateValue;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::plain_tcp;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version, text};
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker, connack};
use tokio::time::{Instant, sleep};

use super::{connected, setup, start};

/// The gateway's own limit of messages in flight while a result waits.
const MOST_WITH_RESULTS: usize = 256;

/// A CONNACK of success with these properties.
fn announces(properties: &[u8]) -> Script {
    Script {
        connack: connack(0, properties),
        ..Script::default()
    }
}

/// A CONNACK of these bytes, after which the broker closes the connection.
fn refuses(bytes: &[u8]) -> Script {
    Script {
        connack: bytes.to_vec(),
        refuses: true,
        ..Script::default()
    }
}

fn greets(greeting: &[u8]) -> Script {
    Script {
        greeting: greeting.to_vec(),
        ..refuses(&[])
    }
}

#[test]
fn what_a_broker_lacks_is_said_once() {
    let moved = [&[0x1C][..], &text("other.example:1883")].concat();
    let cases: Vec<(&str, Script, &str)> = vec![
        (
            "MQTT 3.1.1 only",
            refuses(&[0x20, 2, 0, 1]),
            "does not speak MQTT 5",
        ),
        (
            "MQTT 3.1.1 that takes it",
            announces_as(&[0x20, 2, 0, 0]),
            "does not speak MQTT 5",
        ),
        (
            "version",
            refuses(&connack(0x84, &[])),
            "does not speak MQTT 5",
        ),
        (
            "3.1.1 password",
            refuses(&[0x20, 2, 0, 4]),
            "mqtt.password_file",
        ),
        (
            "password",
            refuses(&connack(0x86, &[])),
            "mqtt.password_file",
        ),
        ("client id", refuses(&[0x20, 2, 0, 2]), "mqtt.client_id"),
        (
            "an unknown code",
            refuses(&connack(0xC3, &[])),
            "reason code 195",
        ),
        (
            "a code of MQTT 5 in short",
            refuses(&[0x20, 2, 0, 0x89]),
            "server busy",
        ),
        (
            "closes",
            refuses(&[]),
            "closed the connection instead of answering",
        ),
        (
            "HTTP",
            greets(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "web server",
        ),
        ("TLS", greets(&[0x15, 3, 1, 0, 2, 2, 10]), "mqtts://"),
        (
            "AUTH",
            refuses(&[0xF0, 2, 0x18, 0]),
            "enhanced authentication",
        ),
        (
            "no retained messages",
            announces(&[0x25, 0]),
            "Retain Available 0",
        ),
        (
            "refuses the will's retain",
            refuses(&connack(0x9A, &[])),
            "Retain Available 0",
        ),
        ("QoS 0 only", announces(&[0x24, 0]), "Maximum QoS 0"),
        (
            "refuses the will's QoS",
            refuses(&connack(0x9B, &[])),
            "Maximum QoS 0",
        ),
        ("no wildcards", announces(&[0x28, 0]), "wildcards"),
        (
            "tiny packets",
            announces(&[0x27, 0, 0, 0, 20]),
            "Maximum Packet Size",
        ),
        (
            "moved",
            refuses(&connack(0x9D, &moved)),
            "moved to other.example:1883",
        ),
        (
            "moved, not where",
            refuses(&connack(0x9D, &[])),
            "has moved",
        ),
        (
            "another server",
            refuses(&connack(0x9C, &moved)),
            "other.example:1883",
        ),
    ];
    at_the_same_time(cases, |(name, script, words)| async move {
        println!("{name}");
        let (log, _guard) = thread_log();
        let broker = ScriptedBroker::start(script).await;
        let it = start(MqttSettings::new(plain_tcp(broker.port)));
        it.store.set("room/1/good", StateValue::text("1"));
        broker
            .until(words, |_| {
                log.text().contains("no connection to the broker")
            })
            .await;
        sleep(Duration::from_millis(700)).await;
        let text = log.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{name}\n{text}");
        assert!(lines[0].contains(words), "{name}\n{text}");
        assert!(broker.published().is_empty(), "{name}");
        assert!(!*it.door.connected().borrow(), "{name}");
        // Where only a change helps, it is not tried on and on.
        if text.contains("tried again every") {
            assert_eq!(broker.connections(), 1, "{name}");
        }
        it.door.stop(Instant::now()).await;
    });
}

/// A CONNACK of these bytes, after which the broker goes on.
fn announces_as(bytes: &[u8]) -> Script {
    Script {
        connack: bytes.to_vec(),
        ..Script::default()
    }
}

#[tokio::test]
async fn what_a_broker_limits_is_honoured() {
    let named = [&[0x12][..], &text("assigned")].concat();
    let strange = [&[0x26][..], &text("key"), &text("value")].concat();
    let cases: Vec<(&str, Script, usize)> = vec![
        ("Receive Maximum 1", announces(&[0x21, 0, 1]), 1),
        ("Receive Maximum 2", announces(&[0x21, 0, 2]), 2),
        ("Receive Maximum 0", announces(&[0x21, 0, 0]), 1),
        ("Maximum QoS 1", announces(&[0x24, 1]), MOST_WITH_RESULTS),
        (
            "Session Expiry 0",
            announces(&[0x11, 0, 0, 0, 0]),
            MOST_WITH_RESULTS,
        ),
        (
            "Topic Alias Maximum 0",
            announces(&[0x22, 0, 0]),
            MOST_WITH_RESULTS,
        ),
        (
            "no shared subscriptions",
            announces(&[0x2A, 0]),
            MOST_WITH_RESULTS,
        ),
        (
            "no subscription identifiers",
            announces(&[0x29, 0]),
            MOST_WITH_RESULTS,
        ),
        ("assigned client id", announces(&named), MOST_WITH_RESULTS),
        ("user property", announces(&strange), MOST_WITH_RESULTS),
        (
            "packets of 500 bytes",
            announces(&[0x27, 0, 0, 1, 244]),
            MOST_WITH_RESULTS,
        ),
        (
            "a session that was never there",
            announces_as(&[0x20, 3, 1, 0, 0]),
            MOST_WITH_RESULTS,
        ),
        ("late CONNACK", late(), MOST_WITH_RESULTS),
        (
            "QoS 0 granted",
            grants(|_| Some(vec![0, 0])),
            MOST_WITH_RESULTS,
        ),
        (
            "QoS 2 granted",
            grants(|_| Some(vec![2, 2])),
            MOST_WITH_RESULTS,
        ),
        (
            "only the commands granted",
            grants(|_| Some(vec![1, 0x87])),
            MOST_WITH_RESULTS,
        ),
        (
            "an answer that is too short",
            grants(|_| Some(vec![1])),
            MOST_WITH_RESULTS,
        ),
        (
            "an answer that is too long",
            grants(|_| Some(vec![1; 9])),
            MOST_WITH_RESULTS,
        ),
    ];
    for (name, script, most) in cases {
        println!("{name}");
        let (log, _guard) = thread_log();
        let script = Script {
            puback_delay: Duration::from_millis(20),
            ..script
        };
        let broker = ScriptedBroker::start(script).await;
        let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
        for n in 0..30 {
            let topic = format!("room/1/good/{n}");
            it.store.set(&topic, StateValue::text("1"));
        }
        broker.holds("room/1/good/29", "1").await;
        // A file and its result are two messages of one command.
        let command = Publish::new(Version::V5, "room/1/file/get", 1).packet_id(9);
        broker.send(command.bytes());
        broker
            .until("a result", |broker| {
                !broker.messages("room/1/file/get/result").is_empty()
            })
            .await;
        assert_eq!(broker.messages("room/1/file").len(), 1, "{name}");
        let unacknowledged = broker.most_unacknowledged();
        assert!(unacknowledged <= most, "{name}: {unacknowledged}");
        assert_eq!(broker.connections(), 1, "{name}\n{}", log.text());
        assert!(*it.door.connected().borrow(), "{name}");
        it.door.stop(Instant::now()).await;
    }
}

fn late() -> Script {
    Script {
        connack_delay: Duration::from_secs(2),
        ..Script::default()
    }
}

fn grants(grants: fn(&[String]) -> Option<Vec<u8>>) -> Script {
    Script {
        subscribe: Box::new(grants),
        ..Script::default()
    }
}

#[tokio::test]
async fn without_the_commands_the_states_are_published_and_the_gateway_is_not_ready() {
    for reasons in [&[0x87, 1][..], &[0x8F, 1], &[0xA2, 0xA2], &[0xC3, 1], &[]] {
        let (log, _guard) = thread_log();
        let granted = reasons.to_vec();
        let script = Script {
            subscribe: Box::new(move |_| Some(granted.clone())),
            ..Script::default()
        };
        let broker = ScriptedBroker::start(script).await;
        let it = start(MqttSettings::new(plain_tcp(broker.port)));
        it.store.set("room/1/good", StateValue::text("1"));
        broker.holds("room/1/good", "1").await;
        assert!(!*it.door.connected().borrow());
        let text = log.text();
        let line = text.lines().find(|line| line.contains("filter=\"room/#\""));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("no command arrives"), "{line}");
        assert_eq!(broker.connections(), 1);
        it.door.stop(Instant::now()).await;
    }
}

#[tokio::test]
async fn a_filter_that_ends_the_connection_costs_itself_alone() {
    for (bad, reason, is_ready) in [
        ("gateway/+", 0, true),
        ("gateway/+", 0x87, true),
        ("gateway/+", 0xA2, true),
        ("gateway/+", 0xC3, true),
        ("room/#", 0, false),
    ] {
        println!("{bad} {reason:#x}");
        let (log, _guard) = thread_log();
        let script = Script {
            ends_at_filter: Box::new(move |filters| {
                filters.iter().any(|filter| filter == bad).then_some(reason)
            }),
            ..Script::default()
        };
        let broker = ScriptedBroker::start(script).await;
        let it = start(MqttSettings::new(plain_tcp(broker.port)));
        it.store.set("room/1/good", StateValue::text("1"));
        broker.holds("room/1/good", "1").await;
        if is_ready {
            connected(&it.door).await;
        }
        assert!(broker.connections() <= 5, "{}", broker.connections());
        let text = log.text();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains("filter="))
            .collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains(&format!("filter=\"{bad}\"")), "{text}");
        assert_eq!(lines[0].contains("no command arrives"), !is_ready, "{text}");
        it.door.stop(Instant::now()).await;
    }
}

/// What is larger than its packets is named.
#[tokio::test]
async fn a_state_that_is_larger_than_a_packet_is_named_with_the_limit() {
    let (log, _guard) = thread_log();
    let broker = ScriptedBroker::start(announces(&[0x27, 0, 0, 8, 0])).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    it.store.set("room/1/list", StateValue::text("[]"));
    broker.holds("room/1/list", "[]").await;
    for _ in 0..3 {
        it.store
            .set("room/1/list", StateValue::text("x".repeat(3000)));
        // The older value is not what the device says any more.
        broker.holds("room/1/list", "").await;
        it.store
            .set("room/1/list", StateValue::text("x".repeat(2000)));
        broker
            .until("the smaller one", |broker| {
                broker
                    .retained("room/1/list")
                    .is_some_and(|text| text.len() == 2000)
            })
            .await;
    }
    let command = Publish::new(Version::V5, "room/1/long", 1).packet_id(9);
    broker.send(command.bytes());
    broker
        .until("a result", |broker| {
            !broker.messages("room/1/long/result").is_empty()
        })
        .await;
    let result = broker.messages("room/1/long/result").remove(0);
    assert!(
        result.text().contains("its Maximum Packet Size"),
        "{}",
        result.text()
    );
    let text = log.text();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains("left out"))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    for part in [
        "room/1/list",
        "size=3000",
        "2048 bytes (its Maximum Packet Size)",
    ] {
        assert!(lines[0].contains(part), "{text}");
    }
    assert_eq!(broker.connections(), 1);
}

#[tokio::test]
async fn a_broker_that_was_changed_is_used_again() {
    let broker = ScriptedBroker::start(refuses(&connack(0x89, &[]))).await;
    let it = start(MqttSettings::new(plain_tcp(broker.port)));
    broker
        .until("a try", |broker| broker.connections() > 0)
        .await;
    broker.follow(Script::default());
    connected(&it.door).await;
    it.store.set("room/1/good", StateValue::text("1"));
    broker.holds("room/1/good", "1").await;
}

/// The commands arrive as soon as the broker is well again.
#[tokio::test]
async fn ends_before_the_subscription_is_answered_leave_no_filter_out() {
    let (log, _guard) = thread_log();
    let left = AtomicUsize::new(5);
    let script = Script {
        ends_at_filter: Box::new(move |_| {
            let one_less = |left: usize| left.checked_sub(1);
            let ends = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            ends.is_ok().then_some(0)
        }),
        ..Script::default()
    };
    let broker = ScriptedBroker::start(script).await;
    let it = start(MqttSettings::new(plain_tcp(broker.port)));
    connected(&it.door).await;
    assert_eq!(broker.connections(), 6);
    assert!(!log.text().contains("filter="), "{}", log.text());
}
