//! Messages: they arrive as they were sent, retained ones are kept, old and large ones are not sent.

use std::time::Duration;

use poly2mqtt_test_support::raw_mqtt::{
    BOTH, Connect, Publish, RawClient, Version, acknowledge, kind, packet, text, user_property,
};
use tokio::time::{Instant, sleep};

use super::OpenBroker;

#[tokio::test]
async fn properties_arrive_as_they_were_sent() {
    let broker = OpenBroker::start().await;
    let properties = [
        user_property("b", "1"),
        vec![0x01, 1],
        [vec![0x03], text("text/plain")].concat(),
        [vec![0x08], text("answers/here")].concat(),
        [vec![0x09], text([0, 1, 0xFF])].concat(),
        user_property("a", "2"),
        user_property("b", "3"),
    ];
    let mut sorted = properties.to_vec();
    sorted.sort();
    let users: Vec<_> = [0, 5, 6].map(|n| properties[n].clone()).to_vec();
    let mut receiver = broker.client(Version::V5, "receiver").await;
    receiver.subscribe("as/sent/#", 2).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    for qos in [0, 1, 2] {
        for payload in [&b""[..], b"text"] {
            let publish = Publish::new(Version::V5, "as/sent/1", qos)
                .payload(payload)
                .properties(&properties.concat());
            sender.publish(publish).await;
            let message = receiver.message().await;
            assert_eq!((message.qos, &message.payload[..]), (qos, payload));
            let mut arrived = message.properties_list();
            let arrived_users = arrived.iter().filter(|property| property[0] == 0x26);
            // The order of user properties matters, that of others does not (MQTT 5, 3.3.2.3.7).
            assert_eq!(arrived_users.cloned().collect::<Vec<_>>(), users);
            arrived.sort();
            assert_eq!(arrived, sorted, "QoS {qos}");
            receiver.finish(&message).await;
        }
    }
}

#[tokio::test]
async fn retained_messages_come_with_the_subscription_until_an_empty_one_clears_them() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut sender = broker.client(version, "sender").await;
        for qos in [0, 1, 2] {
            let topic = format!("kept/{qos}");
            sender
                .publish(Publish::new(version, topic, qos).retained())
                .await;
        }
        sender.ping().await;
        let mut receiver = broker.client(version, "receiver").await;
        receiver.send(&subscribe_bytes(version, "kept/+")).await;
        let mut found = Vec::new();
        while found.len() < 3 {
            let packet = receiver.next().await.unwrap();
            if packet.kind() == kind::PUBLISH {
                let message = receiver.parse(&packet);
                assert!(message.retain);
                found.push((message.topic.clone(), message.qos));
            }
        }
        found.sort();
        assert_eq!(
            found,
            [0, 1, 2].map(|qos| (format!("kept/{qos}").into_bytes(), qos))
        );

        for qos in [0, 1, 2] {
            let topic = format!("kept/{qos}");
            sender
                .publish(Publish::new(version, topic, qos).payload("").retained())
                .await;
        }
        sender.ping().await;
        let mut late = broker.client(version, "late").await;
        late.subscribe("kept/+", 2).await;
        sender.publish(Publish::new(version, "kept/end", 1)).await;
        let message = late.message().await;
        assert_eq!(
            (&message.topic[..], message.retain),
            (&b"kept/end"[..], false)
        );
    }
}

fn subscribe_bytes(version: Version, filter: &str) -> Vec<u8> {
    poly2mqtt_test_support::raw_mqtt::subscribe(version, &[(filter, 2)])
}

#[tokio::test]
async fn a_message_expires_while_its_receiver_is_away() {
    let broker = OpenBroker::start().await;
    let connect = Connect::new(Version::V5, "away").with_session(600);
    let (mut away, _) = RawClient::log_in(broker.port(), &connect).await;
    away.subscribe("old/#", 2).await;
    away.disconnect().await;
    let mut sender = broker.client(Version::V5, "sender").await;
    for (topic, qos, seconds) in [
        ("old/1", 1, 1),
        ("old/2", 2, 1),
        ("old/3", 1, 600),
        ("old/4", 2, 600_u32),
    ] {
        let expiry = [&[0x02][..], &seconds.to_be_bytes()].concat();
        sender
            .publish(Publish::new(Version::V5, topic, qos).properties(&expiry))
            .await;
        sender
            .publish(
                Publish::new(Version::V5, format!("{topic}/kept"), 1)
                    .properties(&expiry)
                    .retained(),
            )
            .await;
    }
    sleep(Duration::from_millis(2100)).await;
    let (mut back, _) = RawClient::log_in(broker.port(), &connect).await;
    for topic in ["old/3", "old/3/kept", "old/4", "old/4/kept"] {
        let message = back.message().await;
        assert_eq!(message.topic, topic.as_bytes());
        assert!((590..600).contains(&expiry_of(&message)), "{topic}");
    }
    // A retained message expires too.
    let mut late = broker.client(Version::V5, "late").await;
    late.subscribe("old/1/kept", 1).await;
    late.subscribe("old/3/kept", 0).await;
    let message = late.message().await;
    assert_eq!(message.topic, b"old/3/kept");
    assert!((590..600).contains(&expiry_of(&message)));
}

/// The message expiry in seconds.
fn expiry_of(message: &Publish) -> u32 {
    let properties = message.properties_list();
    let expiry = properties
        .iter()
        .find(|property| property[0] == 0x02)
        .unwrap();
    u32::from_be_bytes(expiry[1..].try_into().unwrap())
}

#[tokio::test]
async fn a_client_gets_no_packet_that_is_larger_than_it_takes() {
    let broker = OpenBroker::start().await;
    let mut receiver = Connect::new(Version::V5, "receiver").with_property(0x27, &[0, 0, 0, 64]);
    receiver = receiver.with_property(0x21, &[0, 2]);
    let (mut receiver, _) = RawClient::log_in(broker.port(), &receiver).await;
    receiver.subscribe("size", 2).await;
    let mut sender = broker.client(Version::V5, &"long".repeat(20)).await;
    // The largest that fits: the head has 2 + 2 + 4 + 2 + 1 bytes.
    let (fits, too_large) = ("x".repeat(53), "x".repeat(54));
    for qos in [1, 2] {
        // More of them than the client's Receive Maximum: they count as delivered.
        for _ in 0..5 {
            sender
                .publish(Publish::new(Version::V5, "size", qos).payload(&too_large))
                .await;
        }
        sender
            .publish(Publish::new(Version::V5, "size", qos).payload(&fits))
            .await;
        let message = receiver.message().await;
        assert_eq!((message.qos, message.text()), (qos, &fits[..]));
        receiver.finish(&message).await;
    }
    sender
        .publish(Publish::new(Version::V5, "size", 0).payload("x".repeat(56)))
        .await;
    sender
        .publish(Publish::new(Version::V5, "size", 0).payload("x".repeat(55)))
        .await;
    assert_eq!(receiver.message().await.text(), "x".repeat(55));
}

#[tokio::test]
async fn a_topic_alias_names_the_topic_for_one_connection() {
    let broker = OpenBroker::start().await;
    let mut receiver = broker.client(Version::V5, "receiver").await;
    receiver.subscribe("#", 0).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    for (topic, alias, expected) in [
        ("one", 1, "one"),
        ("two", 2, "two"),
        ("", 1, "one"),
        ("three", 1, "three"),
        ("", 1, "three"),
    ] {
        let publish = Publish::new(Version::V5, topic, 1).properties(&[0x23, 0, alias]);
        sender.publish(publish).await;
        let message = receiver.message().await;
        assert_eq!(message.topic, expected.as_bytes());
        assert_eq!(
            message.properties_list(),
            [[0; 0]; 0],
            "an alias is not passed on"
        );
    }
    let mut next = broker.client(Version::V5, "sender").await;
    next.send(
        &Publish::new(Version::V5, "", 1)
            .properties(&[0x23, 0, 1])
            .bytes(),
    )
    .await;
    assert_eq!(next.end().await, Some(0x94));
}

#[tokio::test]
async fn no_more_messages_than_receive_maximum_are_under_way() {
    let broker = OpenBroker::start().await;
    let receiver = Connect::new(Version::V5, "receiver").with_property(0x21, &[0, 2]);
    let (mut receiver, _) = RawClient::log_in(broker.port(), &receiver).await;
    receiver.subscribe("flow", 1).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    for n in 1..=4 {
        sender
            .publish(Publish::new(Version::V5, "flow", 1).payload(n.to_string()))
            .await;
    }
    let first = receiver.message().await;
    let second = receiver.message().await;
    // Nothing else comes before one of them is acknowledged.
    receiver.ping().await;
    receiver.finish(&first).await;
    assert_eq!(receiver.message().await.text(), "3");
    receiver.ping().await;
    receiver.finish(&second).await;
    assert_eq!(receiver.message().await.text(), "4");
}

#[tokio::test]
async fn mqtt_311_gets_messages_of_mqtt_5_without_their_properties() {
    let broker = OpenBroker::start().await;
    let mut receiver = broker.client(Version::V311, "receiver").await;
    receiver.subscribe("mixed", 1).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    let publish = Publish::new(Version::V5, "mixed", 1).properties(&user_property("a", "1"));
    sender.publish(publish).await;
    let packet = receiver.next().await.unwrap();
    assert_eq!(packet.first, 0x32);
    let message = receiver.parse(&packet);
    let body = [
        text("mixed"),
        message.packet_id.to_be_bytes().to_vec(),
        b"x".to_vec(),
    ]
    .concat();
    assert_eq!(packet.body, body);
    assert_eq!(self::packet(0x32, &body).len(), body.len() + 2);
}

/// MQTT 5, 3.6.2.1.
#[tokio::test]
async fn an_acknowledgement_of_no_message_is_told_so() {
    let broker = OpenBroker::start().await;
    let unknown = [0, 9, 0x92];
    let mut client = broker.client(Version::V5, "client").await;
    client.send(&acknowledge(kind::PUBREC, 9)).await;
    assert_eq!(client.expect(kind::PUBREL).await, unknown);
    client.send(&acknowledge(kind::PUBCOMP, 9)).await;
    // A refusal has no answer.
    client.send(&packet(0x50, &[0, 9, 0x80])).await;
    client.ping().await;
    // A message is known until it is finished, and an acknowledgement may come twice.
    client.subscribe("t", 2).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    sender.publish(Publish::new(Version::V5, "t", 2)).await;
    let message = client.message().await;
    for _ in 0..2 {
        client
            .send(&acknowledge(kind::PUBREC, message.packet_id))
            .await;
        let pubrel = client.expect(kind::PUBREL).await;
        assert_eq!(pubrel, message.packet_id.to_be_bytes());
    }
    client
        .send(&acknowledge(kind::PUBCOMP, message.packet_id))
        .await;
    client
        .send(&acknowledge(kind::PUBREC, message.packet_id))
        .await;
    assert_eq!(client.expect(kind::PUBREL).await[2..], [0x92]);
    // In a session that is resumed too.
    let connect = Connect::new(Version::V5, "kept").with_session(60);
    let mut kept = RawClient::log_in(broker.port(), &connect).await.0;
    kept.subscribe("t", 2).await;
    sender.publish(Publish::new(Version::V5, "t", 2)).await;
    let message = kept.message().await;
    kept.send(&acknowledge(kind::PUBREC, message.packet_id))
        .await;
    kept.expect(kind::PUBREL).await;
    drop(kept);
    let (mut kept, _) = RawClient::log_in(broker.port(), &connect).await;
    kept.expect(kind::PUBREL).await;
    kept.send(&acknowledge(kind::PUBREC, message.packet_id))
        .await;
    let pubrel = kept.expect(kind::PUBREL).await;
    assert_eq!(pubrel, message.packet_id.to_be_bytes());
}

/// Any packet shows that a client is alive (MQTT 5, 3.1.2.10), also a message that nobody gets.
#[tokio::test]
async fn a_client_whose_messages_are_refused_is_alive() {
    let broker = OpenBroker::start().await;
    let beats = BOTH.map(async |version| {
        let connect = Connect {
            keep_alive: 3,
            ..Connect::new(version, &format!("{version:?}"))
        };
        let (mut client, _) = RawClient::log_in(broker.port(), &connect).await;
        let begun = Instant::now();
        let mut qos = [0, 1, 2].into_iter().cycle();
        while begun.elapsed() < Duration::from_secs(7) {
            for qos in qos.by_ref().take(2) {
                client.publish(Publish::new(version, "$beat", qos)).await;
            }
            sleep(Duration::from_millis(900)).await;
        }
        // Nothing comes that it has not asked for.
        client.ping().await;
        client.ping().await;
        let silent = Instant::now();
        client.end().await;
        assert!(silent.elapsed() > Duration::from_secs(3));
    });
    let [classic, modern] = beats;
    tokio::join!(classic, modern);
}
