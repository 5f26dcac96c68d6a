//! Wills: when they are published, and as what.

use std::time::Duration;

use poly2mqtt_test_support::raw_mqtt::{
    BOTH, Connect, Publish, RawClient, Version, Will, user_property,
};
use tokio::time::Instant;

use super::OpenBroker;

fn with_will(version: Version, properties: &[u8]) -> Connect {
    let will = Will {
        topic: "will".into(),
        payload: "gone".into(),
        qos: 1,
        properties: properties.to_vec(),
    };
    Connect {
        will: Some(will),
        ..Connect::new(version, "mortal")
    }
}

#[tokio::test]
async fn a_will_is_published_unless_the_client_says_goodbye() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut watcher = broker.client(version, "watcher").await;
        watcher.subscribe("will", 0).await;
        let (client, _) = RawClient::log_in(broker.port(), &with_will(version, &[])).await;
        client.disconnect().await;
        let mut sender = broker.client(version, "sender").await;
        sender
            .publish(Publish::new(version, "will", 1).payload("none"))
            .await;
        assert_eq!(watcher.message().await.text(), "none");

        let (client, _) = RawClient::log_in(broker.port(), &with_will(version, &[])).await;
        drop(client);
        assert_eq!(watcher.message().await.text(), "gone");

        // The broker ends the connection because the client breaks the rules.
        let (mut client, _) = RawClient::log_in(broker.port(), &with_will(version, &[])).await;
        client.send(&Publish::new(version, "t", 3).bytes()).await;
        client.end().await;
        assert_eq!(watcher.message().await.text(), "gone");
    }
}

#[tokio::test]
async fn a_will_has_the_properties_that_its_client_gave_it() {
    let broker = OpenBroker::start().await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher.subscribe("will", 0).await;
    let own = [user_property("a", "1"), user_property("b", "2")];
    let (client, _) =
        RawClient::log_in(broker.port(), &with_will(Version::V5, &own.concat())).await;
    drop(client);
    assert_eq!(watcher.message().await.properties_list(), own);
}

#[tokio::test]
async fn a_client_that_is_silent_for_too_long_is_gone() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut watcher = broker.client(version, "watcher").await;
        watcher.subscribe("will", 0).await;
        let connect = Connect {
            keep_alive: 1,
            ..with_will(version, &[])
        };
        let started = Instant::now();
        let (_client, _) = RawClient::log_in(broker.port(), &connect).await;
        assert_eq!(watcher.message().await.text(), "gone");
        assert!(
            started.elapsed() >= Duration::from_millis(1500),
            "MQTT 5, 3.1.2.10"
        );
    }
}

#[tokio::test]
async fn a_delayed_will_waits_for_the_client_to_come_back() {
    let broker = OpenBroker::start().await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher.subscribe("will", 0).await;
    let delay = |seconds: u8| [0x18, 0, 0, 0, seconds];

    let connect = with_will(Version::V5, &delay(1)).with_session(600);
    let (client, _) = RawClient::log_in(broker.port(), &connect).await;
    let started = Instant::now();
    drop(client);
    assert_eq!(watcher.message().await.text(), "gone");
    assert!(started.elapsed() >= Duration::from_secs(1));

    // The session ends before the delay, and the will is published then.
    let connect = with_will(Version::V5, &delay(200)).with_session(1);
    let (client, _) = RawClient::log_in(broker.port(), &connect).await;
    drop(client);
    assert_eq!(watcher.message().await.text(), "gone");

    // The client is back in time.
    let connect = with_will(Version::V5, &delay(5)).with_session(600);
    let (client, _) = RawClient::log_in(broker.port(), &connect).await;
    drop(client);
    let back = Connect {
        will: None,
        ..connect
    };
    let (_back, _) = RawClient::log_in(broker.port(), &back).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    tokio::time::sleep(Duration::from_millis(5500)).await;
    sender
        .publish(Publish::new(Version::V5, "will", 1).payload("none"))
        .await;
    assert_eq!(watcher.message().await.text(), "none");
}
