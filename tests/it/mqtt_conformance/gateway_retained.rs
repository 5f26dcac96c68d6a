//! What the gateway retains comes to subscribers as MQTT says, although the library does not know it.

use std::time::Duration;

use poly2mqtt_test_support::raw_mqtt::{
    BOTH, Connect, PINGREQ, Publish, RawClient, Version, Will, kind, subscribe, subscribe_with,
    unsubscribe,
};
use secrecy::ExposeSecret;
use tokio::time::sleep;

use super::OpenBroker;

const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAINED_IF_NEW: u8 = 0b0001_0000;
const NO_RETAINED: u8 = 0b0010_0000;
/// Retain in the flags of CONNECT, for the will (MQTT 5, 3.1.2.7).
const WILL_RETAIN: u8 = 0b0010_0000;

impl OpenBroker {
    /// The gateway itself, with the will that it has.
    async fn gateway(&self) -> RawClient {
        let (user, password) = self.broker.gateway_login();
        let connect = Connect {
            login: Some((user, password.expose_secret().to_owned())),
            will: Some(Will {
                topic: "gateway/availability".into(),
                payload: "offline".into(),
                qos: 1,
                properties: Vec::new(),
            }),
            more_flags: WILL_RETAIN,
            ..Connect::new(Version::V5, "gateway")
        };
        RawClient::log_in(self.port(), &connect).await.0
    }
}

fn state(topic: &str, payload: &str) -> Publish {
    Publish::new(Version::V5, topic, 1)
        .payload(payload)
        .retained()
}

#[tokio::test]
async fn it_comes_at_every_qos_with_its_properties() {
    let content_type = [&[3, 0, 10][..], b"image/jpeg"].concat();
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    let picture = state("room/1/camera/snapshot/near", "\u{1F5BC}").properties(&content_type);
    gateway.publish(picture).await;
    gateway.publish(state("room/1/audio/volume", "40")).await;
    gateway.publish(state("room/1/audio/volume", "41")).await;
    gateway.publish(state("room/10/audio/volume", "10")).await;
    for version in BOTH {
        for qos in 0..=2 {
            let mut client = broker.client(version, "client").await;
            assert_eq!(client.subscribe("room/1/#", qos).await, [qos]);
            let volume = client.message().await;
            client.finish(&volume).await;
            let picture = client.message().await;
            client.finish(&picture).await;
            assert_eq!(volume.topic, b"room/1/audio/volume");
            assert_eq!(volume.text(), "41");
            assert_eq!(picture.topic, b"room/1/camera/snapshot/near");
            assert_eq!(picture.text(), "\u{1F5BC}");
            for message in [volume, picture.clone()] {
                assert_eq!((message.qos, message.retain), (qos.min(1), true));
            }
            if version == Version::V5 {
                assert_eq!(picture.properties, content_type);
            }
            // The exact topic, with an identifier where there are some.
            let filter = [("room/10/audio/volume", qos)];
            let identifier = [0x0B, 7];
            client
                .send(&subscribe_with(version, 2, &identifier, &filter))
                .await;
            client.expect(kind::SUBACK).await;
            let other = client.message().await;
            client.finish(&other).await;
            assert_eq!(other.text(), "10");
            if version == Version::V5 {
                assert_eq!(other.properties, identifier);
            }
            client.ping().await;
            client.disconnect().await;
        }
    }
}

#[tokio::test]
async fn what_is_cleared_does_not_come() {
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    gateway.publish(state("room/1/problem", "x")).await;
    gateway
        .publish(state("room/1/availability", "online"))
        .await;
    gateway.publish(state("room/1/problem", "")).await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.subscribe("room/#", 1).await;
        let message = client.message().await;
        assert_eq!(message.topic, b"room/1/availability");
        client.finish(&message).await;
        client.ping().await;
    }
}

#[tokio::test]
async fn retain_handling_says_when_it_comes() {
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    gateway.publish(state("room/1/audio/volume", "40")).await;
    for (options, expected) in [
        (0, [true, true]),
        (RETAINED_IF_NEW, [true, false]),
        (NO_RETAINED, [false, false]),
    ] {
        let mut client = broker.client(Version::V5, "client").await;
        for comes in expected {
            let filter = [("room/1/+/volume", options)];
            client.send(&subscribe(Version::V5, &filter)).await;
            client.expect(kind::SUBACK).await;
            if comes {
                assert!(client.message().await.retain);
            } else {
                // What is published after it comes next.
                gateway.publish(state("room/1/audio/volume", "41")).await;
                assert!(!client.message().await.retain);
            }
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn a_client_that_asks_for_it_sees_the_flag_of_what_changes() {
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    let mut plain = broker.client(Version::V5, "plain").await;
    plain.subscribe("room/#", 0).await;
    let mut kept = broker.client(Version::V5, "kept").await;
    kept.subscribe("room/#", RETAIN_AS_PUBLISHED).await;
    let result = Publish::new(Version::V5, "room/1/audio/volume/set/result", 1);
    for (message, retained) in [
        (state("room/1/audio/volume", "40"), true),
        (result, false),
        (state("room/1/audio/volume", ""), true),
    ] {
        gateway.publish(message).await;
        assert!(!plain.message().await.retain);
        assert_eq!(kept.message().await.retain, retained);
    }
}

#[tokio::test]
async fn the_gateways_will_is_retained_until_it_is_back() {
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    gateway
        .publish(state("gateway/availability", "online"))
        .await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher.subscribe("gateway/availability", 0).await;
    assert_eq!(watcher.message().await.text(), "online");
    drop(gateway);
    let gone = watcher.message().await;
    assert_eq!((gone.text(), gone.retain), ("offline", false));
    let mut newcomer = broker.client(Version::V311, "newcomer").await;
    newcomer.subscribe("gateway/#", 1).await;
    let gone = newcomer.message().await;
    assert_eq!((gone.text(), gone.retain), ("offline", true));
    let mut gateway = broker.gateway().await;
    gateway
        .publish(state("gateway/availability", "online"))
        .await;
    assert_eq!(watcher.message().await.text(), "online");
    let mut last = broker.client(Version::V5, "last").await;
    last.subscribe("gateway/#", 0).await;
    assert_eq!(last.message().await.text(), "online");
}

#[tokio::test]
async fn many_states_come_to_many_filters_each_once() {
    const ROOMS: usize = 40;
    const STATES: usize = 50;
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    for room in 0..ROOMS {
        for number in 0..STATES {
            let topic = format!("room/{room}/state/{number}");
            let message = Publish::new(Version::V5, topic, 0).retained();
            gateway.publish(message).await;
        }
    }
    gateway.ping().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.subscribe("#", 1).await;
        let mut topics = std::collections::BTreeSet::new();
        for _ in 0..ROOMS * STATES {
            topics.insert(client.message().await.topic);
        }
        assert_eq!(topics.len(), ROOMS * STATES);
        let filters: Vec<String> = (0..STATES).map(|n| format!("room/3/state/{n}")).collect();
        let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (&**filter, 0)).collect();
        client.send(&subscribe(version, &filters)).await;
        client.expect(kind::SUBACK).await;
        for (filter, _) in filters {
            assert_eq!(client.message().await.topic, filter.as_bytes());
        }
        client.ping().await;
        client.disconnect().await;
    }
}

/// MQTT 5, 3.10.4: what was on its way may come, and nothing is added.
#[tokio::test]
async fn it_stops_when_the_client_unsubscribes() {
    const STATES: usize = 1_000;
    let broker = OpenBroker::start().await;
    let mut gateway = broker.gateway().await;
    for n in 0..STATES {
        gateway.publish(state(&format!("room/{n}/x"), "y")).await;
    }
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        assert_eq!(client.subscribe("#", 1).await, [1]);
        client.send(&unsubscribe(version, 2, &["#"])).await;
        client.send(&PINGREQ).await;
        let (mut messages, mut quiet_pings) = (0, 0);
        while quiet_pings < 5 {
            let packet = client.next().await.unwrap();
            match packet.kind() {
                kind::PUBLISH => {
                    messages += 1;
                    quiet_pings = 0;
                    let message = client.parse(&packet);
                    client.finish(&message).await;
                }
                kind::PINGRESP => {
                    quiet_pings += 1;
                    // What would still be added comes meanwhile.
                    sleep(Duration::from_millis(50)).await;
                    client.send(&PINGREQ).await;
                }
                packet => assert_eq!(packet, kind::UNSUBACK),
            }
        }
        assert!(messages < STATES / 2, "{messages}");
    }
}
