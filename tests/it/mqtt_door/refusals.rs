//! Messages that the door refuses: each gets its answer, and nothing reaches the rooms.
use poly2mqtt::command::ErrorCode;
use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt::state::StateValue;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::{BrokerKind, TestBroker};

use super::{settings, setup};

against_both!(
    a_bad_response_topic_is_refused,
    retained_and_own_messages,
    too_large_is_answered,
);

fn result(client: &Client, topic: &str) -> Value {
    serde_json::from_str(&client.last(topic).unwrap()).unwrap()
}

async fn a_bad_response_topic_is_refused(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    let properties = PublishProperties {
        response_topic: Some("room/1/audio/volume".into()),
        ..PublishProperties::default()
    };
    client
        .publish_with("room/1/audio/mute", "", false, properties)
        .await;
    client.message("room/1/audio/mute/result").await;
    let answer = result(&client, "room/1/audio/mute/result");
    assert_eq!(answer["error"]["code"], "invalid_payload");
    assert!(it.gateway.seen.lock().unwrap().is_empty());
    assert_eq!(it.gateway.refused.lock().unwrap().len(), 1);
    assert!(client.messages("room/1/audio/volume").is_empty());
}

async fn retained_and_own_messages(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    // A command that was retained before the gateway connected is refused like a live one, unless
    // the broker did not keep it: the embedded one never keeps a command.
    let none = PublishProperties::default;
    client
        .publish_with("room/1/old/command", "x", true, none())
        .await;
    let it = setup(settings(&broker)).await;
    it.store.set("room/1/audio/volume", StateValue::text("5"));
    client.expect("room/1/audio/volume", "5").await;
    for own in [
        "room/1/audio/mute/result",
        "room/1/event/x",
        "room/1/problem",
        "room/1/availability",
    ] {
        client.publish(own, "x").await;
    }
    // The clearing of a retained command is answered like the command; neither the clearing of a
    // state nor another gateway's state is one.
    client
        .publish_with("room/1/old/command", "", true, none())
        .await;
    client
        .publish_with("room/1/audio/muted", "", true, none())
        .await;
    client
        .publish_with("room/1/audio/volume", "9", true, none())
        .await;
    client
        .publish_with("room/1/live/command", "x", true, none())
        .await;
    client.command("room/1/last", "").await;
    let seen = it.gateway.seen.lock().unwrap();
    let commands: Vec<_> = seen.iter().map(|one| one.command.as_str()).collect();
    assert_eq!(commands, ["last"]);
    let ignored = |command: &str| (command.to_owned(), ErrorCode::IgnoredRetained);
    let expected = match kind {
        BrokerKind::Embedded => vec![ignored("old/command"), ignored("live/command")],
        BrokerKind::Mosquitto => vec![
            ignored("old/command"),
            ignored("old/command"),
            ignored("live/command"),
        ],
    };
    assert_eq!(*it.gateway.refused.lock().unwrap(), expected);
}

/// Above the size that is announced by default.
#[tokio::test]
async fn a_payload_as_large_as_the_configuration_allows_arrives() {
    const LARGE: usize = 65 << 20;
    if poly2mqtt_test_support::mosquitto().is_none() {
        println!("skipped: Mosquitto is not installed");
        return;
    }
    let broker = TestBroker::start(BrokerKind::Mosquitto).await;
    let client = Client::connect_with(
        broker.port(),
        |options| {
            options.set_max_packet_size(Some(80 << 20));
        },
        "room/1/directory/import/result",
    )
    .await;
    let it = setup(MqttSettings {
        max_payload: LARGE,
        ..settings(&broker)
    })
    .await;
    let file = vec![b'x'; LARGE];
    let answer = client.command("room/1/directory/import", file).await;
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(it.gateway.seen.lock().unwrap()[0].payload.len(), LARGE);
}

async fn too_large_is_answered(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    let answer = client
        .command("room/1/directory/import", vec![b'x'; (1 << 20) + 1])
        .await;
    assert_eq!(answer["error"]["code"], "too_large");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("mqtt.max_payload allows 1048576"),
        "{message}"
    );
    assert!(it.gateway.seen.lock().unwrap().is_empty());
    assert_eq!(it.gateway.refused.lock().unwrap().len(), 1);
    assert_eq!(client.command("room/1/small", "x").await["ok"], true);
}
