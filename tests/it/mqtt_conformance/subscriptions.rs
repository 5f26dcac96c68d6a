//! Subscriptions: filters that are refused, options, identifiers, groups.

use poly2mqtt::broker::BrokerUser;
use poly2mqtt_test_support::embedded;
use poly2mqtt_test_support::raw_mqtt::{
    BOTH, Connect, Publish, RawClient, Version, kind, subscribe, subscribe_with, unsubscribe,
};

use super::OpenBroker;

const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAINED_IF_NEW: u8 = 0b0001_0000;
const NO_RETAINED: u8 = 0b0010_0000;

#[tokio::test]
async fn each_filter_has_its_answer() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let invalid = if version == Version::V5 { 0x8F } else { 0x80 };
        let mut client = broker.client(version, "client").await;
        let filters = [
            ("a/+", 0, 0),
            ("b/#", 1, 1),
            ("c", 2, 2),
            ("", 0, invalid),
            ("a/#/b", 0, invalid),
            ("a+", 0, invalid),
            ("$share//x", 0, invalid),
            ("$share/g", 0, invalid),
            ("$share/g/", 0, invalid),
            ("$share/+/x", 0, invalid),
            ("$share/g/x", 1, 1),
        ];
        let asked = filters.map(|(filter, options, _)| (filter, options));
        client.send(&subscribe(version, &asked)).await;
        let suback = client.expect(kind::SUBACK).await;
        let codes = &suback[suback.len() - filters.len()..];
        assert_eq!(codes, filters.map(|(_, _, code)| code), "{version:?}");
    }
}

#[tokio::test]
async fn what_is_unsubscribed_does_not_come() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut receiver = broker.client(version, "receiver").await;
        receiver.subscribe("first", 1).await;
        receiver.subscribe("second", 1).await;
        receiver
            .send(&unsubscribe(version, 3, &["first", "never"]))
            .await;
        let unsuback = receiver.expect(kind::UNSUBACK).await;
        let expected: &[u8] = match version {
            Version::V311 => &[0, 3],
            Version::V5 => &[0, 3, 0, 0x00, 0x11],
        };
        assert_eq!(unsuback, expected);
        let mut sender = broker.client(version, "sender").await;
        sender.publish(Publish::new(version, "first", 1)).await;
        sender.publish(Publish::new(version, "second", 1)).await;
        assert_eq!(receiver.message().await.topic, b"second");
    }
}

#[tokio::test]
async fn no_local_leaves_out_the_senders_own() {
    let broker = OpenBroker::start().await;
    let mut own = broker.client(Version::V5, "own").await;
    let mut other = broker.client(Version::V5, "other").await;
    own.subscribe("local", 1 | NO_LOCAL).await;
    other.subscribe("local", 1 | NO_LOCAL).await;
    own.publish(Publish::new(Version::V5, "local", 1).payload("own"))
        .await;
    let message = other.message().await;
    assert_eq!(message.text(), "own");
    other.finish(&message).await;
    other
        .publish(Publish::new(Version::V5, "local", 1).payload("other"))
        .await;
    assert_eq!(own.message().await.text(), "other");
}

#[tokio::test]
async fn retain_as_published_keeps_the_flag() {
    let broker = OpenBroker::start().await;
    let mut plain = broker.client(Version::V5, "plain").await;
    let mut kept = broker.client(Version::V5, "kept").await;
    plain.subscribe("flag", 0).await;
    kept.subscribe("flag", RETAIN_AS_PUBLISHED).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    for retain in [false, true] {
        let mut publish = Publish::new(Version::V5, "flag", 1);
        publish.retain = retain;
        sender.publish(publish).await;
        assert!(!plain.message().await.retain);
        assert_eq!(kept.message().await.retain, retain);
    }
}

#[tokio::test]
async fn retain_handling_says_when_retained_messages_come() {
    let broker = OpenBroker::start().await;
    let mut sender = broker.client(Version::V5, "sender").await;
    sender
        .publish(Publish::new(Version::V5, "kept", 1).retained())
        .await;
    let mut client = broker.client(Version::V5, "client").await;
    // The options, and whether the retained message comes: first, and again.
    for (options, first, again) in [
        (0, true, true),
        (RETAINED_IF_NEW, true, false),
        (NO_RETAINED, false, false),
    ] {
        client.send(&unsubscribe(Version::V5, 9, &["kept"])).await;
        client.expect(kind::UNSUBACK).await;
        for expected in [first, again] {
            client
                .send(&subscribe(Version::V5, &[("kept", options)]))
                .await;
            let marker = Publish::new(Version::V5, "kept", 1).payload("marker");
            let mut kinds = vec![client.next().await.unwrap()];
            sender.publish(marker).await;
            // The retained message comes before the marker, whenever SUBACK comes.
            while !kinds.last().unwrap().body.ends_with(b"marker") {
                kinds.push(client.next().await.unwrap());
            }
            let came = kinds.iter().any(|packet| packet.first & 0xF1 == 0x31);
            assert_eq!(came, expected, "options {options:#x}: {kinds:02x?}");
        }
    }
}

#[tokio::test]
async fn messages_carry_the_identifiers_of_their_subscriptions() {
    let broker = OpenBroker::start().await;
    let mut client = broker.client(Version::V5, "client").await;
    for (filter, identifier) in [
        ("id/x", &[0x0B, 0x95, 0xF0, 0x1B][..]),
        ("id/#", &[0x0B, 3]),
    ] {
        client
            .send(&subscribe_with(Version::V5, 1, identifier, &[(filter, 0)]))
            .await;
        client.expect(kind::SUBACK).await;
    }
    client.subscribe("other", 0).await;
    let mut sender = broker.client(Version::V5, "sender").await;
    sender.publish(Publish::new(Version::V5, "id/x", 1)).await;
    sender.publish(Publish::new(Version::V5, "other", 1)).await;
    let mut found = Vec::new();
    loop {
        let message = client.message().await;
        if message.topic == b"other" {
            assert!(message.properties_list().is_empty());
            break;
        }
        found.extend(message.properties_list());
    }
    found.sort();
    assert_eq!(found, [vec![0x0B, 3], vec![0x0B, 0x95, 0xF0, 0x1B]]);
}

#[tokio::test]
async fn one_of_a_group_gets_each_message() {
    let broker = OpenBroker::start().await;
    let mut first = broker.client(Version::V5, "first").await;
    let mut second = broker.client(Version::V5, "second").await;
    for client in [&mut first, &mut second] {
        client.subscribe("$share/group/work", 0).await;
        client.subscribe("end", 0).await;
    }
    let mut sender = broker.client(Version::V5, "sender").await;
    for n in 0..10 {
        sender
            .publish(Publish::new(Version::V5, "work", 1).payload(n.to_string()))
            .await;
    }
    sender.publish(Publish::new(Version::V5, "end", 1)).await;
    let mut all = texts_until_end(&mut first).await;
    all.extend(texts_until_end(&mut second).await);
    all.sort();
    assert_eq!(all, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn wildcards_do_not_reach_topics_that_begin_with_a_dollar() {
    let broker = OpenBroker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.subscribe("#", 0).await;
        client.subscribe("+/x", 0).await;
        client.publish(Publish::new(version, "$own/x", 1)).await;
        client.send(&Publish::new(version, "end", 0).bytes()).await;
        assert_eq!(client.message().await.topic, b"end");
    }
}

/// The messages that come before the one to `end`.
async fn texts_until_end(client: &mut RawClient) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let message = client.message().await;
        if message.topic == b"end" {
            return texts;
        }
        texts.push(message.text().to_owned());
    }
}

#[tokio::test]
async fn a_group_of_one_user_takes_nothing_from_the_same_group_of_another() {
    let user = |name: &str, control| BrokerUser {
        name: name.into(),
        password: format!("{name}'s password").into(),
        rooms: None,
        control,
    };
    let broker = embedded(vec![user("all", true), user("reader", false)]).await;
    let port = broker.addr().port();
    for version in BOTH {
        let log_in = async |user: &str, client_id: &str| {
            let mut connect = Connect::new(version, client_id);
            connect.login = Some((user.into(), format!("{user}'s password")));
            RawClient::log_in(port, &connect).await.0
        };
        let mut one = log_in("all", "one").await;
        let mut two = log_in("all", "two").await;
        let mut reader = log_in("reader", "reader").await;
        for client in [&mut one, &mut two, &mut reader] {
            // Beside a filter that is refused, so that the answers must be put together.
            let filters = [("end", 0), ("$share/g/+/work", 0), ("a#", 0)];
            client.send(&subscribe(version, &filters)).await;
            let suback = client.expect(kind::SUBACK).await;
            let refused = if version == Version::V5 { 0x8F } else { 0x80 };
            assert_eq!(suback[suback.len() - 3..], [0, 0, refused]);
        }
        let mut sender = log_in("all", "sender").await;
        let numbers = |numbers: std::ops::Range<u8>| -> Vec<String> {
            numbers.map(|n| n.to_string()).collect()
        };
        let mut send = async |numbers: &[String]| {
            for number in numbers {
                let publish = Publish::new(version, "some/work", 1).payload(number);
                sender.publish(publish).await;
            }
            sender.publish(Publish::new(version, "end", 1)).await;
        };
        send(&numbers(0..10)).await;
        assert_eq!(texts_until_end(&mut reader).await, numbers(0..10));
        let first = texts_until_end(&mut one).await;
        let second = texts_until_end(&mut two).await;
        assert!(!first.is_empty() && !second.is_empty());
        let mut both = [first, second].concat();
        both.sort();
        assert_eq!(both, numbers(0..10));
        // One leaves the group: the library finds it under the name that it knows.
        two.send(&unsubscribe(version, 3, &["$share/g/+/work"]))
            .await;
        let unsuback = two.expect(kind::UNSUBACK).await;
        let expected: &[u8] = match version {
            Version::V311 => &[0, 3],
            Version::V5 => &[0, 3, 0, 0x00],
        };
        assert_eq!(unsuback, expected);
        send(&numbers(0..4)).await;
        assert_eq!(texts_until_end(&mut one).await, numbers(0..4));
        assert_eq!(texts_until_end(&mut reader).await, numbers(0..4));
        assert!(texts_until_end(&mut two).await.is_empty());
    }
}
