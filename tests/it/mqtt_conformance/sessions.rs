//! Sessions: what is kept for a client that is away, and what is sent again when it comes back.

use poly2mqtt_test_support::raw_mqtt::{
    BOTH, Connect, Publish, RawClient, Version, acknowledge, kind, packet,
};

use super::OpenBroker;

/// A client with a session, and whether the broker had it already.
async fn with_session(broker: &OpenBroker, version: Version, id: &str) -> (RawClient, bool) {
    let connect = Connect::new(version, id).with_session(600);
    let (client, connack) = RawClient::log_in(broker.port(), &connect).await;
    (client, connack[0] == 1)
}

#[tokio::test]
async fn a_session_is_kept_until_it_is_cleaned() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (mut client, present) = with_session(&broker, version, &id).await;
        assert!(!present);
        client.subscribe("kept", 1).await;
        client.disconnect().await;

        let (mut client, present) = with_session(&broker, version, &id).await;
        assert!(present);
        // The subscription is still there.
        client.send(&Publish::new(version, "kept", 0).bytes()).await;
        assert_eq!(client.message().await.topic, b"kept");
        client.disconnect().await;

        let clean = broker.client(version, &id).await;
        clean.disconnect().await;
        let (_, present) = with_session(&broker, version, &id).await;
        assert!(!present, "{version:?}: a clean start ends the session");
    }
}

#[tokio::test]
async fn mqtt_5_says_how_long_a_session_is_kept() {
    let broker = OpenBroker::start().await;
    let connect = |seconds| Connect::new(Version::V5, "client").with_session(seconds);
    for (first, at_disconnect, kept) in [
        (0, None, false),
        (600, None, true),
        (600, Some(0), false),
        (1, Some(600_u32), true),
    ] {
        broker
            .client(Version::V5, "client")
            .await
            .disconnect()
            .await;
        let (mut client, connack) = RawClient::log_in(broker.port(), &connect(first)).await;
        assert_eq!(connack[0], 0);
        let disconnect = match at_disconnect {
            None => packet(0xE0, &[]),
            Some(seconds) => packet(0xE0, &[&[0, 5, 0x11][..], &seconds.to_be_bytes()].concat()),
        };
        client.send(&disconnect).await;
        assert_eq!(client.end().await, None);
        let (_, connack) = RawClient::log_in(broker.port(), &connect(600)).await;
        assert_eq!(connack[0] == 1, kept, "{first} s, then {at_disconnect:?}");
    }
}

#[tokio::test]
async fn messages_wait_for_a_client_that_is_away() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let (mut away, _) = with_session(&broker, version, "away").await;
        away.subscribe("queue/#", 2).await;
        away.disconnect().await;

        let mut sender = broker.client(version, "sender").await;
        for (topic, qos) in [("queue/1", 1), ("queue/2", 2)] {
            sender.publish(Publish::new(version, topic, qos)).await;
        }
        let (mut back, present) = with_session(&broker, version, "away").await;
        assert!(present);
        for (topic, qos) in [("queue/1", 1), ("queue/2", 2)] {
            let message = back.message().await;
            assert_eq!((&message.topic[..], message.qos), (topic.as_bytes(), qos));
            assert!(!message.duplicate, "it is sent for the first time");
            back.finish(&message).await;
        }
        back.ping().await;
        broker.client(version, "away").await.disconnect().await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let (mut client, _) = with_session(&broker, version, "client").await;
        client.subscribe("again/#", 2).await;
        let mut sender = broker.client(version, "sender").await;
        for (topic, qos) in [("again/1", 1), ("again/2", 2), ("again/3", 2)] {
            sender.publish(Publish::new(version, topic, qos)).await;
        }
        let first = [
            client.message().await,
            client.message().await,
            client.message().await,
        ];
        // The exchange of the last goes half way.
        client
            .send(&acknowledge(kind::PUBREC, first[2].packet_id))
            .await;
        assert_eq!(
            client.expect(kind::PUBREL).await[..2],
            first[2].packet_id.to_be_bytes()
        );
        drop(client);

        let (mut client, present) = with_session(&broker, version, "client").await;
        assert!(present);
        let mut messages = Vec::new();
        let mut released = Vec::new();
        while messages.len() + released.len() < 3 {
            let packet = client.next().await.unwrap();
            match packet.kind() {
                kind::PUBREL => released.push(packet.body),
                _ => messages.push(client.parse(&packet)),
            }
        }
        assert_eq!(
            released.len(),
            1,
            "{version:?}: the half-way exchange goes on with PUBREL"
        );
        assert_eq!(released[0][..2], first[2].packet_id.to_be_bytes());
        for (message, first) in messages.iter().zip(&first) {
            assert!(message.duplicate, "{version:?}");
            assert_eq!((&message.topic, message.qos), (&first.topic, first.qos));
            assert_eq!(message.packet_id, first.packet_id);
            client.finish(message).await;
        }
        client
            .send(&acknowledge(kind::PUBCOMP, first[2].packet_id))
            .await;
        client.disconnect().await;
        broker.client(version, "client").await.disconnect().await;
    }
}

#[tokio::test]
async fn a_message_of_qos_2_that_is_sent_twice_arrives_once() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut receiver = broker.client(version, "receiver").await;
        receiver.subscribe("once", 0).await;
        let (mut sender, _) = with_session(&broker, version, "sender").await;
        let mut publish = Publish::new(version, "once", 2).packet_id(7);
        sender.send(&publish.bytes()).await;
        sender.expect(kind::PUBREC).await;
        drop(sender);
        // The acknowledgement may be lost: the client sends the message again.
        let (mut sender, _) = with_session(&broker, version, "sender").await;
        publish.duplicate = true;
        assert_eq!(sender.publish(publish).await, 0);
        sender
            .publish(Publish::new(version, "once", 1).payload("end"))
            .await;
        assert_eq!(receiver.message().await.text(), "x");
        assert_eq!(receiver.message().await.text(), "end");
        broker.client(version, "sender").await.disconnect().await;
    }
}

#[tokio::test]
async fn an_empty_client_id_is_replaced_where_nothing_is_kept() {
    let broker = OpenBroker::start().await;
    let (_client, connack) = RawClient::log_in(broker.port(), &Connect::new(Version::V5, "")).await;
    let name = connack
        .windows(3)
        .position(|bytes| bytes[0] == 0x12 && bytes[1] == 0);
    assert!(
        name.is_some(),
        "CONNACK names the client id: {connack:02x?}"
    );
    broker.client(Version::V311, "").await.disconnect().await;
    let mut connect = Connect::new(Version::V311, "");
    connect.clean = false;
    let mut client = RawClient::start(broker.port(), Version::V311, &connect.bytes()).await;
    assert_eq!(client.expect(kind::CONNACK).await, [0, 2]);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn the_second_connection_with_a_client_id_takes_the_place_of_the_first() {
    let broker = OpenBroker::start().await;
    for (version, reason) in [(Version::V311, None), (Version::V5, Some(0x8E))] {
        let mut first = broker.client(version, "same").await;
        let mut second = broker.client(version, "same").await;
        assert_eq!(first.end().await, reason);
        second.ping().await;
    }
}
