//! What the broker retains: states, and whether the gateway is there.
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::doors::mqtt::MqttSettings;
use poly2mqtt::state::StateValue;
use poly2mqtt::telemetry::Sample;
use poly2mqtt::topics::Prefix;
use tokio::time::Instant;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::{BrokerKind, SOON, TestBroker, until};

use super::{settings, setup};

against_both!(states_are_published_once_and_cleared, the_will_says_offline,);

async fn states_are_published_once_and_cleared(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    client.expect("gateway/availability", "online").await;
    it.store.set("room/1/audio/volume", StateValue::text("1"));
    client.expect("room/1/audio/volume", "1").await;
    it.store.set("room/1/audio/volume", StateValue::text("1"));
    it.store.set("room/1/audio/volume", StateValue::text("2"));
    it.store
        .event("room/1/event/call_ended", Bytes::from_static(b"{}"));
    client.expect("room/1/event/call_ended", "{}").await;
    assert_eq!(client.messages("room/1/audio/volume").len(), 2);
    // A client that connects later receives what is retained.
    let late = Client::connect(broker.port()).await;
    late.expect("room/1/audio/volume", "2").await;
    assert!(late.messages("room/1/audio/volume")[0].retain);
    assert!(late.messages("room/1/event/call_ended").is_empty());
    it.store.clear("room/1/audio/volume");
    client.expect("room/1/audio/volume", "").await;
    it.door.stop(Instant::now() + SOON).await;
    client.expect("gateway/availability", "offline").await;
}

async fn the_will_says_offline(kind: BrokerKind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    // Its runtime is shut down at once, as if the process were killed.
    let settings = MqttSettings {
        session_expiry: Duration::ZERO,
        prefix: Prefix::new("av/x"),
        ..settings(&broker)
    };
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let it = setup(settings).await;
            it.store.set("room/1/audio/volume", StateValue::text("5"));
            let sample = Sample {
                broker_connected: Some(true),
                ..Sample::default()
            };
            let published = || it.telemetry.health(&sample, 0)["mqtt"]["published"].as_u64();
            let what = || "two messages are published".into();
            until(what, async || published() >= Some(2)).await;
        });
        runtime.shutdown_background();
    });
    client.message("av/x/gateway/availability").await;
    dying.join().unwrap();
    client.expect("av/x/gateway/availability", "offline").await;
    assert!(client.messages("gateway/availability").is_empty());
}
