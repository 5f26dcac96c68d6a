//! Commands that a broker repeats after a lost connection, or seems to. Each press is carried out once
//! and has one result. The broker is a script.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt_test_support::plain_tcp;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version, text};
use poly2mqtt_test_support::scripted_broker::{
    Answer, Script, ScriptedBroker, TAKEN, connack, session_present,
};
use tokio::time::Instant;

use super::{connected, setup};

/// The flag DUP in the first byte of PUBLISH.
const DUP: u8 = 0x08;
const RESULT: &str = "room/1/audio/volume/up/result";

/// A press of a button with this packet id, whose QoS is 1.
fn press(packet_id: u16) -> Publish {
    Publish::new(Version::V5, "room/1/audio/volume/up", 1).packet_id(packet_id)
}

fn with_dup(publish: &Publish) -> Vec<u8> {
    let mut bytes = publish.bytes();
    bytes[0] |= DUP;
    bytes
}

/// Ends the connection at the first result, or when it has taken it.
fn ends_once(reads_acknowledgement: bool, is_resumed: bool) -> Script {
    let results = Arc::<AtomicUsize>::default();
    Script {
        connack: if is_resumed {
            session_present()
        } else {
            connack(0, &[])
        },
        publish: Box::new(move |publish| {
            let is_result = publish.topic == RESULT.as_bytes();
            let is_first = is_result && results.fetch_add(1, Ordering::SeqCst) == 0;
            if is_first && !reads_acknowledgement {
                Answer::Close
            } else {
                TAKEN
            }
        }),
        ..Script::default()
    }
}

#[tokio::test]
async fn a_repeat_after_a_lost_connection_is_told_from_the_next_press() {
    for (case, reads_acknowledgement, is_resumed, dup, carried_out) in [
        ("its PUBACK was lost", false, true, false, 1),
        ("its PUBACK was lost, with DUP", false, true, true, 1),
        ("the next press", true, true, false, 2),
        (
            "the next press, sent before into the dead socket",
            true,
            true,
            true,
            2,
        ),
        ("a new session", false, false, false, 2),
        ("a new session, with DUP", false, false, true, 2),
    ] {
        println!("{case}");
        let script = ends_once(reads_acknowledgement, is_resumed);
        let broker = ScriptedBroker::start(script).await;
        let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
        broker.send(press(1).bytes());
        broker
            .until("a result", |broker| !broker.messages(RESULT).is_empty())
            .await;
        if reads_acknowledgement {
            // The gateway has read everything that was sent before, once it has answered this.
            let other = Publish::new(Version::V5, "room/1/other", 1).packet_id(2);
            broker.send(other.bytes());
            broker
                .until("another result", |broker| {
                    !broker.messages("room/1/other/result").is_empty()
                })
                .await;
            broker.send(Vec::new());
        }
        broker
            .until("connected again", |broker| broker.connections() == 2)
            .await;
        connected(&it.door).await;
        broker.send(if dup {
            with_dup(&press(1))
        } else {
            press(1).bytes()
        });
        // Another one shows that it was read.
        let last = Publish::new(Version::V5, "room/1/last", 1).packet_id(3);
        broker.send(last.bytes());
        broker
            .until("the last result", |broker| {
                !broker.messages("room/1/last/result").is_empty()
            })
            .await;
        let seen = it.gateway.seen.lock().unwrap().clone();
        let presses = seen.iter().filter(|one| one.command == "audio/volume/up");
        assert_eq!(presses.count(), carried_out, "{case}");
        // The broker has not taken the first result where it ended the connection.
        let not_taken = usize::from(!reads_acknowledgement);
        broker
            .until("all results", |broker| {
                broker.messages(RESULT).len() == carried_out + not_taken
            })
            .await;
        it.door.stop(Instant::now()).await;
    }
}

/// Some brokers repeat while the connection lasts, when an acknowledgement seems overdue.
#[tokio::test]
async fn a_repeat_within_a_connection_is_carried_out_once() {
    let broker = ScriptedBroker::start(Script::default()).await;
    let it = setup(MqttSettings::new(plain_tcp(broker.port))).await;
    let correlated = |data: &str| {
        let data = [&[0x09][..], &text(data)].concat();
        press(1).properties(&data)
    };
    for (case, bytes, carried_out) in [
        ("a press", press(1).bytes(), 1),
        ("its repeat", with_dup(&press(1)), 1),
        ("the next press, with the same id", press(1).bytes(), 2),
        ("its repeat", with_dup(&press(1)), 2),
        ("again", with_dup(&press(1)), 2),
        ("another id", with_dup(&press(2)), 3),
        ("other correlation data", with_dup(&correlated("a")), 4),
    ] {
        broker.send(bytes);
        let shown = format!("room/1/shown/{carried_out}/{case}").replace(' ', "-");
        let last = Publish::new(Version::V5, &shown, 1).packet_id(9);
        broker.send(last.bytes());
        let result = format!("{shown}/result");
        broker
            .until(case, |broker| !broker.messages(&result).is_empty())
            .await;
        let seen = it.gateway.seen.lock().unwrap().clone();
        let presses = seen.iter().filter(|one| one.command == "audio/volume/up");
        assert_eq!(presses.count(), carried_out, "{case}");
    }
}
