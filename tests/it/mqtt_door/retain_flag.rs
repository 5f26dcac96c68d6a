//! Brokers and bridges that send what they retain without the flag. The broker is a script.
use poly2mqtt::command::ErrorCode;
use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::plain_tcp;
use poly2mqtt_test_support::raw_mqtt::{Publish, Version, user_property};
use poly2mqtt_test_support::scripted_broker::{Script, ScriptedBroker, connack};
use tokio::time::Instant;

use super::{connected, start};

fn message(topic: &str) -> Publish {
    Publish::new(Version::V5, topic, 1)
        .packet_id(1)
        .payload("5")
}

/// With the mark of the gateway.
fn state(topic: &str) -> Publish {
    let settings = MqttSettings::new(plain_tcp(1883));
    message(topic).properties(&user_property("gateway", settings.gateway_id.as_str()))
}

#[tokio::test]
async fn a_retained_command_without_the_flag_is_not_carried_out() {
    for (case, before, after, is_carried_out) in [
        ("no retained states", 0, 0, true),
        ("states before it", 3, 0, false),
        ("states after it", 0, 3, false),
        ("around it", 2, 2, false),
    ] {
        println!("{case}");
        let (log, _guard) = thread_log();
        // The broker sends all this with CONNACK, so the order is certain.
        let mut arrives = connack(0, &[]);
        for n in 0..before {
            arrives.extend(state(&format!("room/1/before/{n}")).bytes());
        }
        arrives.extend(message("room/1/audio/volume/set").bytes());
        for n in 0..after {
            arrives.extend(state(&format!("room/1/after/{n}")).bytes());
        }
        let script = Script {
            connack: arrives,
            ..Script::default()
        };
        let broker = ScriptedBroker::start(script).await;
        let it = start(MqttSettings::new(plain_tcp(broker.port)));
        let result = "room/1/audio/volume/set/result";
        broker
            .until("an answer", |broker| broker.messages(result).len() == 1)
            .await;
        connected(&it.door).await;
        let seen = it.gateway.seen.lock().unwrap().len();
        assert_eq!(seen, usize::from(is_carried_out), "{case}");
        let refused = it.gateway.refused.lock().unwrap().clone();
        let expected = ("audio/volume/set".to_owned(), ErrorCode::IgnoredRetained);
        let expected = Vec::from_iter((!is_carried_out).then_some(expected));
        assert_eq!(refused, expected, "{case}");
        let lines = log.text().matches("without the retain flag").count();
        assert_eq!(lines, usize::from(!is_carried_out), "{}", log.text());
        // From then on commands are carried out.
        broker.send(message("room/1/audio/mute").packet_id(2).bytes());
        let result = "room/1/audio/mute/result";
        broker
            .until("a result", |broker| broker.messages(result).len() == 1)
            .await;
        assert_eq!(it.gateway.seen.lock().unwrap().len(), seen + 1, "{case}");
        it.door.stop(Instant::now()).await;
    }
}
