//! Wills that wait, and wills that the broker may have to retain.

use poly2mqtt_test_support::raw_mqtt::{Connect, RawClient, Version, Will};
use poly2mqtt_test_support::soon;

use super::*;

/// A client with a will of this size at a topic of its own, with these flags.
fn mortal(client_id: &str, more_flags: u8, properties: &[u8], size: usize) -> Connect {
    let will = Will {
        topic: format!("wills/{client_id}"),
        payload: "x".repeat(size),
        qos: 1,
        properties: properties.to_vec(),
    };
    Connect {
        will: Some(will),
        more_flags,
        ..Connect::new(Version::V5, client_id)
    }
}

/// Sessions that end for others leave no will behind: it is published then.
#[tokio::test]
async fn the_will_of_a_session_that_ends_is_published_then() {
    let broker = broker(&[], 400).await;
    let port = broker.addr().port();
    let mut watcher = RawClient::connect(port, Version::V5, "watcher").await;
    assert_eq!(watcher.subscribe("wills/#", 1).await, [1]);
    const WILL_DELAY: [u8; 5] = [0x18, 0, 0, 2, 0];
    for n in 0..102 {
        let connect = mortal(&n.to_string(), 0, &WILL_DELAY, 5).with_session(600);
        let (client, _) = RawClient::log_in(port, &connect).await;
        drop(client);
    }
    // They have gone in any order, so that any of the first may be the oldest.
    for _ in 0..2 {
        let will = watcher.message().await;
        assert_eq!(will.text(), "xxxxx");
        watcher.finish(&will).await;
    }
    watcher.ping().await;
}

/// Many wills may be published at the same time, and all of them be retained.
#[tokio::test]
async fn wills_that_may_have_to_be_retained_are_limited() {
    const RETAIN: u8 = 0x20;
    let broker = broker(&[], 1_000).await;
    let port = broker.addr().port();
    let mut clients = Vec::new();
    let connack = loop {
        let connect = mortal(&clients.len().to_string(), RETAIN, &[], 15_000);
        let mut client = RawClient::start(port, Version::V5, &connect.bytes()).await;
        let connack = client.expect(CONNACK).await;
        match connack[1] {
            0 => clients.push(client),
            _ => break connack,
        }
    };
    assert_eq!((connack[1], clients.len()), (QUOTA_EXCEEDED, 279), "4 MiB");
    let mut writer = Wire::connect(
        &broker,
        Login {
            client_id: "writer",
            ..ANYONE
        },
    )
    .await;
    let large = vec![b'x'; 15_000];
    assert_eq!(writer.publish("free/x", true, &large).await, QUOTA_EXCEEDED);
    // A will that is discarded makes room, one that is published does not.
    clients.remove(0).disconnect().await;
    let room = async { while writer.publish("free/x", true, &large).await != 0 {} };
    soon("there is room", room).await;
    let published = clients.len();
    let mut watcher = RawClient::connect(port, Version::V5, "watcher").await;
    assert_eq!(watcher.subscribe("wills/#", 0).await, [0]);
    drop(clients);
    for _ in 0..published {
        watcher.message().await;
    }
    assert_eq!(writer.publish("free/y", true, &large).await, QUOTA_EXCEEDED);
}
