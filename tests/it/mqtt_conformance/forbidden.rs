//! What a client must not send. MQTT 5 is told why; MQTT 3.1.1 is closed without a word.

use poly2mqtt_test_support::raw_mqtt::{
    BOTH, Connect, PINGREQ, Publish, RawClient, Version, Will, acknowledge, kind, packet,
    subscribe, subscribe_with, text, unsubscribe, variable_integer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::OpenBroker;

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const TOPIC_NAME_INVALID: u8 = 0x90;
const TOO_LARGE: u8 = 0x95;
const ALIAS_INVALID: u8 = 0x94;

/// Sends each packet on a connection of its own, and expects its end with this reason.
async fn refuses(broker: &OpenBroker, version: Version, packets: &[(Vec<u8>, u8)]) {
    for (bytes, code) in packets {
        let mut client = broker.client(version, "wrong").await;
        client.send(bytes).await;
        let expected = (version == Version::V5).then_some(*code);
        assert_eq!(client.end().await, expected, "{version:?} {bytes:02x?}");
    }
}

#[tokio::test]
async fn packets_that_both_versions_forbid_end_the_connection() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let publish = |topic: &[u8], qos| Publish::new(version, topic, qos);
        let no_filter = if version == Version::V5 {
            PROTOCOL_ERROR
        } else {
            MALFORMED
        };
        let packets = [
            (publish(b"t", 1).packet_id(0).bytes(), PROTOCOL_ERROR),
            (publish(b"t", 2).packet_id(0).bytes(), PROTOCOL_ERROR),
            (publish(b"t", 3).bytes(), MALFORMED),
            (publish(b"t/#", 0).bytes(), PROTOCOL_ERROR),
            (publish(b"", 0).bytes(), PROTOCOL_ERROR),
            (publish(b"a\0b", 0).bytes(), MALFORMED),
            (publish(b"a\xFF", 0).bytes(), MALFORMED),
            (packet(0x32, &[0, 9, b't']), MALFORMED),
            (acknowledge(kind::PUBACK, 0), PROTOCOL_ERROR),
            (acknowledge(kind::PUBREL, 0), PROTOCOL_ERROR),
            (packet(0x60, &[0, 1]), MALFORMED),
            (subscribe_with(version, 0, &[], &[("t", 0)]), PROTOCOL_ERROR),
            (subscribe_with(version, 1, &[], &[]), no_filter),
            (subscribe(version, &[("t", 3)]), MALFORMED),
            (subscribe(version, &[("t", 0x30)]), MALFORMED),
            (subscribe(version, &[("t", 0xC0)]), MALFORMED),
            (
                packet(0x80, &subscribe(version, &[("t", 0)])[2..]),
                MALFORMED,
            ),
            (unsubscribe(version, 0, &["t"]), PROTOCOL_ERROR),
            (packet(0xC1, &[]), MALFORMED),
            (packet(0xC0, &[0]), MALFORMED),
            (packet(0xE1, &[]), MALFORMED),
            (packet(0xD0, &[]), PROTOCOL_ERROR),
            (packet(0x20, &[0, 0]), PROTOCOL_ERROR),
            (packet(0x00, &[]), MALFORMED),
            (Connect::new(version, "wrong").bytes(), PROTOCOL_ERROR),
            (vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], MALFORMED),
        ];
        refuses(&broker, version, &packets).await;
    }
}

#[tokio::test]
async fn mqtt_5_has_rules_for_properties_and_reasons() {
    let broker = OpenBroker::start().await;
    let publish = |properties: &[u8]| {
        Publish::new(Version::V5, "t", 1)
            .properties(properties)
            .bytes()
    };
    let no_topic = Publish::new(Version::V5, "", 1).properties(&[0x23, 0, 9]);
    let packets = [
        (publish(&[0x23, 0, 0]), ALIAS_INVALID),
        (publish(&[0x23, 0xFF, 0xFF]), ALIAS_INVALID),
        (no_topic.bytes(), ALIAS_INVALID),
        (publish(&[0x0B, 1]), PROTOCOL_ERROR),
        (publish(&[0x01, 2]), PROTOCOL_ERROR),
        (publish(&[0x03, 0, 0, 0x03, 0, 0]), PROTOCOL_ERROR),
        (publish(&[0x08, 0, 3, b'a', b'/', b'#']), PROTOCOL_ERROR),
        (publish(&[0x11, 0, 0, 0, 5]), MALFORMED),
        (publish(&[0x7F, 0]), MALFORMED),
        (
            subscribe_with(Version::V5, 1, &[0x0B, 0], &[("t", 0)]),
            PROTOCOL_ERROR,
        ),
        (subscribe(Version::V5, &[("$share/g/t", 4)]), PROTOCOL_ERROR),
        (packet(0x40, &[0, 1, 0x05]), MALFORMED),
        (packet(0xE0, &[0x05]), MALFORMED),
        (packet(0xE0, &[0, 5, 0x11, 0, 0, 0, 5]), PROTOCOL_ERROR),
        (packet(0xF0, &[]), PROTOCOL_ERROR),
    ];
    refuses(&broker, Version::V5, &packets).await;
    // No Local and Retain Handling are for MQTT 5 only.
    refuses(
        &broker,
        Version::V311,
        &[(subscribe(Version::V311, &[("t", 4)]), 0)],
    )
    .await;
}

#[tokio::test]
async fn a_packet_that_is_larger_than_connack_says_is_refused_at_its_head() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let connect = Connect::new(version, "wrong");
        let (mut client, connack) = RawClient::log_in(broker.port(), &connect).await;
        let maximum = connack
            .iter()
            .position(|byte| *byte == 0x27)
            .map(|at| u32::from_be_bytes(connack[at + 1..at + 5].try_into().unwrap()));
        let maximum = maximum.unwrap_or(11 << 20) as usize;
        let head = [&[0x30], &variable_integer(maximum)[..], &text("t"), &[0]].concat();
        client.send(&head).await;
        let expected = (version == Version::V5).then_some(TOO_LARGE);
        assert_eq!(client.end().await, expected, "{version:?}");
    }
}

/// The answer to a CONNECT that is refused: the code, or `None` if the connection just ends.
async fn refusal(broker: &OpenBroker, version: Version, bytes: &[u8]) -> Option<u8> {
    let mut client = RawClient::start(broker.port(), version, bytes).await;
    let connack = client.next().await?;
    assert_eq!(connack.kind(), kind::CONNACK);
    assert_eq!(client.next().await, None);
    Some(connack.body[1])
}

#[tokio::test]
async fn a_connect_that_is_wrong_is_refused() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let connect = Connect::new(version, "wrong");
        let code = |code| (version == Version::V5).then_some(code);
        let with_flags = |more_flags| {
            Connect {
                more_flags,
                ..connect.clone()
            }
            .bytes()
        };
        let with_will = |topic: &str, qos| {
            let will = Will {
                topic: topic.to_owned(),
                qos,
                ..Will::default()
            };
            Connect {
                will: Some(will),
                ..connect.clone()
            }
            .bytes()
        };
        let right = connect.bytes();
        let longer = packet(0x10, &[&right[2..], b"more"].concat());
        for (bytes, expected) in [
            (with_flags(0b0000_0001), code(MALFORMED)),
            (with_flags(0b0000_1000), code(MALFORMED)),
            (with_flags(0b0010_0000), code(MALFORMED)),
            (with_will("t", 3), code(MALFORMED)),
            (with_will("t/#", 0), code(TOPIC_NAME_INVALID)),
            (with_will("", 0), code(TOPIC_NAME_INVALID)),
            (longer, code(MALFORMED)),
            (packet(0x11, &right[2..]), None),
            (PINGREQ.to_vec(), None),
        ] {
            assert_eq!(
                refusal(&broker, version, &bytes).await,
                expected,
                "{bytes:02x?}"
            );
        }
    }
    for (identifier, value, code) in [
        (0x21, &[0, 0][..], PROTOCOL_ERROR),
        (0x27, &[0, 0, 0, 0], PROTOCOL_ERROR),
        (0x17, &[2], PROTOCOL_ERROR),
        (0x19, &[2], PROTOCOL_ERROR),
        (0x16, &[0, 1, b'x'], PROTOCOL_ERROR),
        (0x23, &[0, 1], MALFORMED),
        (0x15, &[0, 1, b'x'], 0x8C),
    ] {
        let connect = Connect::new(Version::V5, "wrong").with_property(identifier, value);
        let answer = refusal(&broker, Version::V5, &connect.bytes()).await;
        assert_eq!(answer, Some(code), "property {identifier:#x}");
    }
}

#[tokio::test]
async fn other_versions_are_told_which_there_are() {
    let broker = OpenBroker::start().await;
    let connect = |name: &str, version| {
        let body = [text(name), vec![version, 2, 0, 60], text("old")].concat();
        packet(0x10, &body)
    };
    for (bytes, code) in [(connect("MQIsdp", 3), 1), (connect("MQTT", 3), 1)] {
        assert_eq!(refusal(&broker, Version::V311, &bytes).await, Some(code));
    }
    let newer = refusal(&broker, Version::V5, &connect("MQTT", 6)).await;
    assert!(matches!(newer, Some(0x01 | 0x84)), "{newer:?}");
    assert_eq!(
        refusal(&broker, Version::V311, &connect("hj", 4)).await,
        None
    );
}

#[tokio::test]
async fn a_denied_message_is_acknowledged_and_dropped() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        let code = if version == Version::V5 { 0x87 } else { 0 };
        for topic in ["gateway/health", "$SYS/broker/x", "$share/g/x"] {
            for qos in [0, 1, 2] {
                let expected = if qos == 0 { 0 } else { code };
                let publish = Publish::new(version, topic, qos);
                assert_eq!(
                    client.publish(publish).await,
                    expected,
                    "{version:?} {topic} {qos}"
                );
            }
        }
        // The connection stays, and later messages are not affected.
        assert_eq!(client.publish(Publish::new(version, "free", 2)).await, 0);
        client.ping().await;
    }
}

#[tokio::test]
async fn mqtt_311_gets_acknowledgements_without_reasons() {
    let broker = OpenBroker::start().await;
    let mut client = broker.client(Version::V311, "client").await;
    client
        .send(&Publish::new(Version::V311, "gateway/health", 1).bytes())
        .await;
    assert_eq!(client.expect(kind::PUBACK).await, [0, 1]);
    client.send(&acknowledge(kind::PUBREL, 9)).await;
    assert_eq!(client.expect(kind::PUBCOMP).await, [0, 9]);
    // A server of 3.1.1 sends no DISCONNECT, also when another connection takes the client's place.
    let _other = broker.client(Version::V311, "client").await;
    assert_eq!(client.end().await, None);
}

/// MQTT 5, 1.5.5: a length has as few bytes as it can have.
#[tokio::test]
async fn a_length_with_more_bytes_than_it_needs_is_malformed() {
    let broker = OpenBroker::start().await;
    let stretched = |packet: Vec<u8>| {
        let (head, body) = packet.split_at(2);
        [&[head[0], head[1] | 0x80, 0], body].concat()
    };
    for version in BOTH {
        let packets = [
            (vec![0xC0, 0x80, 0], MALFORMED),
            (vec![0xC0, 0x80, 0x80, 0], MALFORMED),
            (vec![0xC0, 0x80, 0x80, 0x80, 0], MALFORMED),
            (stretched(Publish::new(version, "t", 1).bytes()), MALFORMED),
            (stretched(subscribe(version, &[("t", 0)])), MALFORMED),
        ];
        refuses(&broker, version, &packets).await;
        let connect = stretched(Connect::new(version, "client").bytes());
        assert_eq!(refusal(&broker, version, &connect).await, None);
    }
    let publish = Publish::new(Version::V5, "t", 0).bytes();
    let properties = [&publish[..2], &text("t"), &[0x80, 0]].concat();
    let properties = packet(properties[0], &properties[2..]);
    refuses(&broker, Version::V5, &[(properties, MALFORMED)]).await;
}

/// The system resets a connection that is closed while unread bytes are there; the reset could take
/// the answer away.
#[tokio::test]
async fn the_reason_arrives_although_the_client_is_still_sending() {
    let broker = OpenBroker::start().await;
    let unread = vec![0; 60 << 10];
    let connect = Connect::new(Version::V5, "client").bytes();
    let large = [&[0x10, 0xFF, 0xFF, 0x7F], &connect[2..], &unread].concat();
    let wrong = [&connect[..], &packet(0xC1, &[]), &unread].concat();
    for (bytes, answer, code) in [(large, 0x20, TOO_LARGE), (wrong, 0xE0, MALFORMED)] {
        let mut stream = TcpStream::connect(("127.0.0.1", broker.port()))
            .await
            .unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("no reset");
        if answer == 0xE0 {
            let connack = 2 + usize::from(received[1]);
            received.drain(..connack);
        }
        let place = if answer == 0x20 { 3 } else { 2 };
        assert_eq!((received[0], received[place]), (answer, code));
    }
}
