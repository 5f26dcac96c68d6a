//! Messages that the broker refuses, by a reason code or by ending the connection: each costs itself
//! alone. The broker is a script, as some brokers answer that cannot be run here.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt::state::StateValue;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::plain_tcp;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version, acknowledge, kind, packet};
use poly2mqtt_test_support::scripted_broker::{Answer, Script, ScriptedBroker, TAKEN};
use serde_json::Value;
use tokio::time::Instant;

use super::{connected, setup, start};

/// Payloads of this size and above are refused.
const LIMIT: usize = 500;

fn is_bad(publish: &Publish) -> bool {
    publish.topic.starts_with(b"room/1/bad")
}

fn command(name: &str) -> Vec<u8> {
    let topic = format!("room/1/{name}");
    Publish::new(Version::V5, topic, 1).packet_id(9).bytes()
}

/// The lines about what is left out.
fn left_out(log: &str) -> Vec<&str> {
    let lines = log.lines();
    lines
        .filter(|line| line.contains("a message is left out"))
        .collect()
}

/// PUBREC instead of PUBACK, with a reason.
fn pubrec(publish: &Publish, reason: u8) -> Answer {
    let id = publish.packet_id.to_be_bytes();
    Answer::Bytes(packet(kind::PUBREC << 4, &[&id[..], &[reason]].concat()))
}

/// PUBACK with a reason string and a user property.
fn wordy(publish: &Publish, reason: u8) -> Answer {
    let id = publish.packet_id.to_be_bytes();
    let properties = b"\x0d\x1f\x00\x02no\x26\x00\x01a\x00\x02bc";
    let body = [&id[..], &[reason], properties].concat();
    Answer::Bytes(packet(kind::PUBACK << 4, &body))
}

type Refuse = Box<dyn Fn(&Publish) -> Answer + Send + Sync>;

/// Every way to refuse, with how many connections it may cost.
fn ways() -> Vec<(String, Refuse, usize)> {
    let mut ways: Vec<(String, Refuse, usize)> = Vec::new();
    for code in [0x80, 0x83, 0x87, 0x90, 0x95, 0x99, 0x9A, 0xA3, 0xC3, 0xFF] {
        let puback = move |_: &Publish| Answer::PubAck(code);
        ways.push((format!("PUBACK {code:#x}"), Box::new(puback), 1));
    }
    for code in [0x80, 0x95, 0xC3] {
        let answer = move |publish: &Publish| pubrec(publish, code);
        ways.push((format!("PUBREC {code:#x}"), Box::new(answer), 1));
        let answer = move |publish: &Publish| wordy(publish, code);
        ways.push((format!("PUBACK {code:#x} and why"), Box::new(answer), 1));
    }
    for (code, connections) in [
        (0x95, 3),
        (0x87, 3),
        (0x97, 4),
        (0x00, 4),
        (0x83, 4),
        (0xC3, 4),
    ] {
        let answer = move |_: &Publish| Answer::Disconnect(code);
        ways.push((
            format!("DISCONNECT {code:#x}"),
            Box::new(answer),
            connections,
        ));
    }
    ways.push(("a bare end".into(), Box::new(|_| Answer::Close), 4));
    ways
}

#[test]
fn a_refusal_costs_one_message_whatever_it_looks_like() {
    at_the_same_time(ways(), |(way, refuse, connections)| async move {
        println!("{way}");
        let (log, _guard) = thread_log();
        let script = Script {
            publish: Box::new(move |publish| {
                if publish.payload.len() >= LIMIT && is_bad(publish) {
                    refuse(publish)
                } else {
                    TAKEN
                }
            }),
            ..Script::default()
        };
        let broker = ScriptedBroker::start(script).await;
        let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
        for n in 0..5 {
            let topic = format!("room/1/good/{n}");
            it.store.set(&topic, StateValue::text("1"));
            if n == 2 {
                it.store
                    .set("room/1/bad", StateValue::text("x".repeat(LIMIT + 100)));
            }
        }
        for n in 0..5 {
            broker.holds(&format!("room/1/good/{n}"), "1").await;
        }
        broker
            .until("the bad one is left out", |_| {
                !left_out(&log.text()).is_empty()
            })
            .await;
        connected(&it.door).await;
        // Everything else goes on, commands too.
        it.store.set("room/1/good/3", StateValue::text("2"));
        broker.holds("room/1/good/3", "2").await;
        broker.send(command("audio/mute"));
        broker
            .until("a result", |broker| {
                !broker.messages("room/1/audio/mute/result").is_empty()
            })
            .await;
        // A new value that the broker takes is published.
        it.store.set("room/1/bad", StateValue::text("small"));
        broker.holds("room/1/bad", "small").await;
        assert!(
            broker.connections() <= connections,
            "{way}: {}",
            broker.connections()
        );
        let text = log.text();
        let lines = left_out(&text);
        assert_eq!(lines.len(), 1, "{way}\n{text}");
        let size = format!("size={}", LIMIT + 100);
        assert!(
            lines[0].contains("topic=\"room/1/bad\"") && lines[0].contains(&size),
            "{text}"
        );
        for wrong in ["another client", "not MQTT 5", "ERROR"] {
            assert!(!text.contains(wrong), "{way}\n{text}");
        }
        it.door.stop(Instant::now()).await;
    });
}

#[tokio::test]
async fn many_messages_that_end_the_connection_are_all_found() {
    let (log, _guard) = thread_log();
    let script = Script {
        publish: Box::new(|publish| {
            if is_bad(publish) {
                Answer::Close
            } else {
                TAKEN
            }
        }),
        ..Script::default()
    };
    let broker = ScriptedBroker::start(script).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    for n in 0..30 {
        let name = if n % 10 == 5 { "bad" } else { "good" };
        let topic = format!("room/1/{name}/{n}");
        it.store.set(&topic, StateValue::text("1"));
    }
    broker
        .until("every good one", |broker| {
            (0..30).filter(|n| n % 10 != 5).all(|n| {
                let topic = format!("room/1/good/{n}");
                broker.retained(&topic).is_some()
            })
        })
        .await;
    broker
        .until("every bad one", |_| left_out(&log.text()).len() >= 3)
        .await;
    connected(&it.door).await;
    it.store.set("room/1/good/0", StateValue::text("2"));
    broker.holds("room/1/good/0", "2").await;
    let text = log.text();
    let topics: BTreeSet<_> = left_out(&text)
        .into_iter()
        .filter_map(|line| line.split("topic=").nth(1)?.split(' ').next())
        .collect();
    assert_eq!(topics.len(), 3, "{text}");
    assert!(!text.contains("another client"), "{text}");
}

/// As AWS IoT Core ends it at topics with more than seven slashes, and other brokers at topics that their rules deny.
#[test]
fn a_kind_of_topic_that_ends_the_connection_costs_nothing_else() {
    const BAD: usize = 7;
    at_the_same_time(
        [Answer::Close, Answer::Disconnect(0x87)],
        |answer| async move {
            let (log, _guard) = thread_log();
            let ends = answer.clone();
            let script = Script {
                publish: Box::new(
                    move |publish| if is_bad(publish) { ends.clone() } else { TAKEN },
                ),
                ..Script::default()
            };
            let broker = ScriptedBroker::start(script).await;
            let it = start(MqttSettings::new(plain_tcp(broker.port)));
            for n in 0..BAD {
                let topic = format!("room/1/bad/{n}");
                it.store.set(&topic, StateValue::text("1"));
            }
            // Urgent, and behind them in the same queue.
            it.store
                .set("room/1/availability", StateValue::text("online"));
            broker.holds("room/1/availability", "online").await;
            broker
                .until("every bad one", |_| left_out(&log.text()).len() >= BAD)
                .await;
            connected(&it.door).await;
            it.store.set("room/1/good", StateValue::text("1"));
            broker.holds("room/1/good", "1").await;
            assert!(!log.text().contains("every message"), "{}", log.text());
            let published = broker.published();
            let online = published
                .iter()
                .filter(|it| it.topic == b"gateway/availability");
            assert!(online.count() > BAD, "each connection begins with it");
            it.door.stop(Instant::now()).await;
        },
    );
}

#[test]
fn a_result_that_is_refused_is_followed_by_one_that_says_so() {
    at_the_same_time(
        [
            ("PUBACK", Answer::PubAck(0x95)),
            ("unknown PUBACK", Answer::PubAck(0xC3)),
            ("DISCONNECT", Answer::Disconnect(0x95)),
            ("end", Answer::Close),
        ],
        |(way, answer)| async move {
            println!("{way}");
            let script = Script {
                publish: Box::new(move |publish| {
                    if publish.payload.len() >= LIMIT {
                        answer.clone()
                    } else {
                        TAKEN
                    }
                }),
                ..Script::default()
            };
            let broker = ScriptedBroker::start(script).await;
            let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
            broker.send(command("long"));
            let result = |broker: &ScriptedBroker| {
                let messages = broker.messages("room/1/long/result");
                let small = messages.into_iter().find(|it| it.payload.len() < LIMIT)?;
                serde_json::from_slice::<Value>(&small.payload).ok()
            };
            broker
                .until("a small result", |broker| result(broker).is_some())
                .await;
            let result = result(&broker).unwrap();
            assert_eq!(result["error"]["code"], "too_large", "{result}");
            let message = result["error"]["message"].as_str().unwrap();
            assert!(message.contains("bytes"), "{message}");
            it.store.set("room/1/good", StateValue::text("1"));
            broker.holds("room/1/good", "1").await;
            it.door.stop(Instant::now()).await;
        },
    );
}

/// Without rights to publish, some brokers end the connection at every message.
#[test]
fn a_broker_that_takes_nothing_gets_one_final_message() {
    at_the_same_time(
        [Answer::Close, Answer::Disconnect(0x87)],
        |answer| async move {
            let (log, _guard) = thread_log();
            let refuses = answer.clone();
            let script = Script {
                publish: Box::new(move |_| refuses.clone()),
                ..Script::default()
            };
            let broker = ScriptedBroker::start(script).await;
            let it = start(MqttSettings::new(plain_tcp(broker.port)));
            for n in 0..50 {
                let topic = format!("room/1/good/{n}");
                it.store.set(&topic, StateValue::text("1"));
            }
            broker
                .until("the final message", |_| {
                    log.text().contains("ends the connection at every message")
                })
                .await;
            let connections = broker.connections();
            assert!(connections <= 20, "{connections}");
            assert!(!*it.door.connected().borrow());
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            assert_eq!(broker.connections(), connections, "it goes on trying");
            assert!(!log.text().contains("another client"), "{}", log.text());
            it.door.stop(Instant::now()).await;
        },
    );
}

#[tokio::test]
async fn acknowledgements_of_nothing_do_no_harm() {
    let broker = ScriptedBroker::start(Script::default()).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    for id in [500, 501] {
        for first in [kind::PUBACK, kind::PUBREC, kind::PUBCOMP, kind::UNSUBACK] {
            broker.send(acknowledge(first, id));
        }
        broker.send(packet(0x40, &[1, 244, 0xC3]));
        broker.send(packet(0x90, &[1, 244, 0, 0x87]));
    }
    it.store.set("room/1/good", StateValue::text("1"));
    broker.holds("room/1/good", "1").await;
    assert_eq!(broker.connections(), 1);
    assert!(*it.door.connected().borrow());
}

/// A broker that starts, or a node that shuts down: some connections end at the first message.
#[tokio::test]
async fn a_broker_that_recovers_gets_the_availability() {
    for (answer, ends) in [
        (Answer::Close, 3),
        (Answer::Disconnect(0x97), 3),
        (Answer::Disconnect(0x82), 2),
    ] {
        let left = AtomicUsize::new(ends);
        let script = Script {
            publish: Box::new(move |_| {
                let one_less = |left: usize| left.checked_sub(1);
                match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
                    Ok(_) => answer.clone(),
                    Err(_) => TAKEN,
                }
            }),
            ..Script::default()
        };
        let broker = ScriptedBroker::start(script).await;
        let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
        broker.holds("gateway/availability", "online").await;
        it.store.set("room/1/good", StateValue::text("1"));
        broker.holds("room/1/good", "1").await;
        it.door.stop(Instant::now()).await;
    }
}
