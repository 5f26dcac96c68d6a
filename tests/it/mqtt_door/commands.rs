//! Commands that arrive by MQTT and their results.
use std::process::Command;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::json;
use tokio::time::Instant;

use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::{BrokerKind, SOON, TestBroker};

use super::{settings, setup};

against_both!(
    a_command_gets_one_result,
    response_topic_and_correlation_are_used,
    an_older_client_is_served,
);

async fn a_command_gets_one_result(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    let answer = client.command("room/1/audio/volume/set", "40").await;
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["command"], "audio/volume/set");
    let message = client.message("room/1/audio/volume/set/result").await;
    assert!(!message.retain);
    let properties = message.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    let status = ("status".to_owned(), "ok".to_owned());
    assert!(properties.user_properties.contains(&status));
    let answer = client.command("room/x/bad", "").await;
    assert_eq!(answer["error"]["code"], "not_found");
    let properties = client
        .message("room/x/bad/result")
        .await
        .properties
        .unwrap();
    let code = ("code".to_owned(), "not_found".to_owned());
    assert!(properties.user_properties.contains(&code));
    let expiring = PublishProperties {
        message_expiry_interval: Some(60),
        ..PublishProperties::default()
    };
    client.publish_with("room/1/x", "p", false, expiring).await;
    it.gateway.until("the third", |seen| seen.len() == 3).await;
    {
        let seen = it.gateway.seen.lock().unwrap();
        assert!(!seen[0].expires && seen[2].expires);
        assert_eq!(
            (seen[0].room.as_str(), &seen[0].payload[..]),
            ("1", &b"40"[..])
        );
    }
    // A file comes before its result, with its own content type.
    client.command("room/1/file/get", "").await;
    let all = client.all();
    let place = |topic: &str| all.iter().position(|(known, _)| known == topic).unwrap();
    assert!(place("room/1/file") < place("room/1/file/get/result"));
    let file = client.message("room/1/file").await;
    assert_eq!(&file.payload[..], b"\xff\xd8\xff");
    assert_eq!(
        file.properties.unwrap().content_type.as_deref(),
        Some("image/jpeg")
    );
    // For a file that is too large, the result has only its URL.
    let result = client.command("room/1/large/get", "").await;
    let body = json!({"bytes": 2 << 20, "content_type": "image/jpeg", "url": "/room/1/large/get"});
    assert_eq!((&result["ok"], &result["body"]), (&json!(true), &body));
    assert_eq!(client.messages("room/1/file").len(), 1);
    it.door.stop(Instant::now() + SOON).await;
}

async fn response_topic_and_correlation_are_used(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let _it = setup(settings(&broker)).await;
    let properties = PublishProperties {
        response_topic: Some("panel/7/reply".into()),
        correlation_data: Some(Bytes::from_static(b"\x00id\xff")),
        ..PublishProperties::default()
    };
    client
        .publish_with("room/1/audio/mute", "", false, properties)
        .await;
    let message = client.message("panel/7/reply").await;
    let correlation = message.properties.unwrap().correlation_data;
    assert_eq!(correlation, Some(Bytes::from_static(b"\x00id\xff")));
    assert!(client.messages("room/1/audio/mute/result").is_empty());
}

/// `mosquitto_pub` speaks MQTT 3.1.1 unless told otherwise.
async fn an_older_client_is_served(kind: BrokerKind) {
    if Command::new("mosquitto_pub")
        .arg("--help")
        .output()
        .is_err()
    {
        return;
    }
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let _it = setup(settings(&broker)).await;
    let port = broker.port().to_string();
    let sent = tokio::task::spawn_blocking(move || {
        let topic = "room/1/camera/preset/3/activate";
        let args = ["-p", &port, "-t", topic, "-q", "1", "-n"];
        Command::new("mosquitto_pub").args(args).status().unwrap()
    });
    assert!(sent.await.unwrap().success());
    let answer = client
        .message("room/1/camera/preset/3/activate/result")
        .await;
    assert!(text(&answer).contains("\"ok\":true"));
}
