//! What a client may take after its log-in.

use poly2mqtt_test_support::raw_mqtt::{Connect, Version, unsubscribe};

use super::*;

fn id(client_id: &str) -> Login<'_> {
    Login {
        client_id,
        ..ANYONE
    }
}

/// Clients fill what may be retained for them, and the gateway's states are retained as before.
#[tokio::test]
async fn retained_messages_are_limited_and_the_gateways_are_not() {
    let broker = broker(&[], 100).await;
    let (name, password) = broker.gateway_login();
    let password = secrecy::ExposeSecret::expose_secret(&password).to_owned();
    let mut client = Wire::connect(&broker, id("client")).await;
    let large = vec![b'x'; 200_000];
    let mut kept = 0;
    let code = loop {
        match client.publish(&format!("free/{kept}"), true, &large).await {
            0 => kept += 1,
            code => break code,
        }
    };
    assert_eq!((code, kept), (QUOTA_EXCEEDED, 20));
    let too_large = vec![b'x'; 300_000];
    assert_eq!(
        client.publish("free/0", true, &too_large).await,
        QUOTA_EXCEEDED
    );
    assert_eq!(
        client.publish("free/x", false, &too_large).await,
        0,
        "not retained"
    );
    let login = Login {
        user: Some((&name, &password)),
        ..ANYONE
    };
    let mut gateway = Wire::connect(&broker, login).await;
    assert_eq!(gateway.publish("room/1/audio/volume", true, b"5").await, 0);
    assert_eq!(client.subscribe(&["room/1/audio/volume"]).await, [1]);
    assert!(client.expect(PUBLISH).await.ends_with(b"5"));
    // A cleared message makes room.
    assert_eq!(client.publish("free/0", true, b"").await, 0);
    assert_eq!(client.publish("free/more", true, &large).await, 0);
}

fn user_properties(count: usize, value: &str) -> Vec<u8> {
    [&[0x26, 0, 0], &text(value)[..]].concat().repeat(count)
}

/// A message may have some properties. They count as retained.
#[tokio::test]
async fn properties_are_limited_and_count_as_retained() {
    let broker = broker(&[], 100).await;
    let mut client = Wire::connect(&broker, id("client")).await;
    let mut publish = async |topic: &str, properties: &[u8]| {
        client
            .send(&publish_packet(topic, 1, 3, properties, b"x"))
            .await;
        let puback = client.expect(PUBACK).await;
        puback.get(2).copied().unwrap_or_default()
    };
    let long = "v".repeat(2_000);
    for (properties, expected) in [
        (user_properties(16, "value"), 0),
        (user_properties(17, ""), QUOTA_EXCEEDED),
        (user_properties(1, &long), 0),
        (user_properties(2, &long), QUOTA_EXCEEDED),
        (user_properties(10_000, ""), QUOTA_EXCEEDED),
    ] {
        assert_eq!(publish("free/x", &properties).await, expected);
    }
    let mut kept = 0;
    while publish(&format!("free/{kept}"), &user_properties(1, &long)).await == 0 {
        kept += 1;
        assert!(kept < 2_400, "4 MiB may be retained");
    }
    assert!(kept > 1_500, "{kept}");
}

/// A will with too many properties is refused with its CONNECT.
#[tokio::test]
async fn the_properties_of_a_will_are_limited() {
    let broker = broker(&[], 100).await;
    for (count, expected) in [(16, 0), (17, QUOTA_EXCEEDED)] {
        let properties = user_properties(count, "");
        let mut body = [text("MQTT"), vec![5, 0b0010_0110, 0, 60, 0], text("will")].concat();
        body.extend(variable_integer(properties.len()));
        body.extend([properties, text("free/will"), text("gone")].concat());
        let mut wire = Wire {
            socket: Wire::open(&broker).await,
            version: 5,
        };
        wire.send(&packet(0x10, &body)).await;
        assert_eq!(wire.expect(CONNACK).await[1], expected, "{count}");
    }
}

/// A large message reaches those that are connected, and is acknowledged; nobody has to keep it.
#[tokio::test]
async fn a_large_message_is_not_kept_for_clients_that_are_gone() {
    for version in [4, 5] {
        let broker = broker(&[], 100).await;
        let kept = Login {
            clean: false,
            session_expiry: 600,
            version,
            ..id("gone")
        };
        let mut gone = Wire::connect(&broker, kept).await;
        assert_eq!(gone.subscribe(&["t"]).await, [1]);
        gone.send(&[0xE0, 0]).await;
        ends(gone.socket).await;
        let mut present = Wire::connect(
            &broker,
            Login {
                version,
                ..id("present")
            },
        )
        .await;
        assert_eq!(present.subscribe(&["t"]).await, [1]);
        let mut sender = Wire::connect(&broker, id("sender")).await;
        let large = vec![b'x'; 20_000];
        assert_eq!(sender.publish("t", false, &large).await, 0);
        assert!(present.expect(PUBLISH).await.ends_with(&large));
        // The same with QoS 2, which is passed on once however often it is sent.
        let mut packet = publish_packet("t", 7, 4, &[], &large);
        sender.send(&packet).await;
        assert_eq!(sender.expect(PUBREC).await[..2], [0, 7]);
        packet[0] |= 8;
        sender.send(&packet).await;
        assert_eq!(sender.expect(PUBREC).await[..2], [0, 7]);
        sender.send(&[0x62, 2, 0, 7]).await;
        assert_eq!(sender.expect(7).await, [0, 7]);
        assert!(present.expect(PUBLISH).await.ends_with(&large));
        assert_eq!(sender.publish("t", false, b"small").await, 0);
        assert!(present.expect(PUBLISH).await.ends_with(b"small"));
        let (mut gone, connack) = Wire::try_connect(&broker, kept).await;
        assert_eq!(connack[..2], [1, 0], "the session is there");
        assert!(gone.expect(PUBLISH).await.ends_with(b"small"));
    }
}

/// One SUBSCRIBE cannot make the broker copy what is retained any number of times.
#[tokio::test]
async fn what_is_retained_is_copied_to_a_limit() {
    let broker = broker(&[], 100).await;
    let mut writer = Wire::connect(&broker, id("writer")).await;
    let payload = vec![b'x'; 200_000];
    for n in 0..20 {
        let topic = format!("free/{n}");
        assert_eq!(writer.publish(&topic, true, &payload).await, 0);
    }
    let mut client = Wire::connect(&broker, id("client")).await;
    let again = [&text("free/#")[..], &[0]].concat().repeat(1_000);
    let subscribe = [&[0, 9, 0], &again[..]].concat();
    client.send(&packet(0x82, &subscribe)).await;
    let mut messages = 0;
    let codes = loop {
        match client.receive().await.expect("it stays") {
            (SUBACK, body) => break body[body.len() - 1_000..].to_vec(),
            _ => messages += 1,
        }
    };
    let granted = codes.iter().filter(|code| **code == 0).count();
    assert_eq!(granted, 4, "16 MiB of copies");
    assert!(codes[granted..].iter().all(|code| *code == QUOTA_EXCEEDED));
    // It reads them, and may subscribe again.
    while messages < granted * 20 {
        client.expect(PUBLISH).await;
        messages += 1;
    }
    client.send(&packet(0x82, &subscribe)).await;
    loop {
        if let (SUBACK, body) = client.receive().await.expect("it stays") {
            let codes = &body[body.len() - 1_000..];
            assert_eq!(codes.iter().filter(|code| **code == 0).count(), 4);
            return;
        }
    }
}

/// A client that subscribes to everything gets all states, however many there are.
#[tokio::test]
async fn all_retained_states_reach_a_client_that_reads() {
    const STATES: usize = 5_000;
    let broker = broker(&[], 100).await;
    let (name, password) = broker.gateway_login();
    let password = secrecy::ExposeSecret::expose_secret(&password).to_owned();
    let login = Login {
        user: Some((&name, &password)),
        ..ANYONE
    };
    let mut gateway = Wire::connect(&broker, login).await;
    let state = "x".repeat(200);
    for n in 0..STATES {
        let topic = format!("room/{n}/state");
        assert_eq!(gateway.publish(&topic, true, state.as_bytes()).await, 0);
    }
    for qos in [0, 1] {
        let mut client = Wire::connect(&broker, id("panel")).await;
        let subscribe = [&[0, 9, 0], &text("#")[..], &[qos]].concat();
        client.send(&packet(0x82, &subscribe)).await;
        let mut seen = std::collections::HashSet::new();
        while seen.len() < STATES {
            let (kind, body) = client.receive().await.expect("it stays");
            if kind != PUBLISH {
                continue;
            }
            let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
            seen.insert(body[2..2 + length].to_vec());
            if qos == 1 {
                let identifier = &body[2 + length..4 + length];
                client.send(&packet(0x40, identifier)).await;
            }
        }
    }
}

#[tokio::test]
async fn filters_are_limited_and_each_is_answered() {
    let broker = broker(&[], 100).await;
    for version in [4, 5] {
        let mut client = Wire::connect(
            &broker,
            Login {
                version,
                ..id("many")
            },
        )
        .await;
        for n in 0..200 {
            let filter = format!("{n}/#");
            assert_eq!(client.subscribe(&[&filter]).await, [1]);
        }
        let code = if version == 5 { QUOTA_EXCEEDED } else { 0x80 };
        let codes = client.subscribe(&["plain", "one/more/#", "0/#"]).await;
        assert_eq!(codes, [1, code, 1]);
        // The refused one matches nothing, the others do.
        let mut other = Wire::connect(&broker, id("other")).await;
        assert_eq!(other.publish("one/more/x", false, b"no").await, 0);
        assert_eq!(other.publish("plain", false, b"yes").await, 0);
        assert!(client.expect(PUBLISH).await.ends_with(b"yes"));
    }
}

/// Filters with many levels take time for every message, so fewer of them are accepted.
#[tokio::test]
async fn filters_with_many_levels_count_more() {
    let broker = broker(&[], 100).await;
    let mut client = Wire::connect(&broker, id("deep")).await;
    let filters: Vec<String> = (0..200)
        .map(|n| format!("{n}{}", "/+".repeat(15)))
        .collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let codes = client.subscribe(&filters).await;
    let accepted = codes.iter().filter(|code| **code == 1).count();
    let refused = codes.iter().filter(|code| **code == QUOTA_EXCEEDED).count();
    assert_eq!((accepted, refused), (187, 13));
    let too_deep = format!("x{}", "/+".repeat(16));
    assert_eq!(client.subscribe(&[&too_deep]).await, [0x8F]);
}

/// A user with too many sessions loses the oldest; nobody else does.
#[tokio::test]
async fn sessions_are_limited_for_each_user() {
    let broker = broker(&["greedy", "honest"], 100).await;
    fn kept<'a>(user: (&'a str, &'a str), client_id: &'a str) -> Login<'a> {
        Login {
            version: 5,
            client_id,
            user: Some(user),
            clean: false,
            session_expiry: 600,
        }
    }
    let (greedy, honest) = (("greedy", "greedy-secret"), ("honest", "honest-secret"));
    let leave = async |login: Login<'_>| {
        let mut wire = Wire::connect(&broker, login).await;
        wire.send(&[0xE0, 0]).await;
        ends(wire.socket).await;
    };
    leave(kept(honest, "panel")).await;
    for n in 0..102 {
        leave(kept(greedy, &n.to_string())).await;
    }
    let present = async |login: Login<'_>| Wire::try_connect(&broker, login).await.1[0] == 1;
    assert!(present(kept(honest, "panel")).await);
    assert!(present(kept(greedy, "101")).await);
    assert!(!present(kept(greedy, "0")).await);
}

#[tokio::test]
async fn messages_of_qos_2_that_are_not_released_are_limited() {
    let broker = broker(&[], 100).await;
    let mut client = Wire::connect(&broker, id("client")).await;
    let payload = vec![b'x'; 600_000];
    let mut codes = Vec::new();
    for n in 1..=3 {
        client.send(&publish_packet("t", n, 4, &[], &payload)).await;
        let pubrec = client.expect(PUBREC).await;
        codes.push(pubrec.get(2).copied().unwrap_or_default());
    }
    assert_eq!(codes, [0, QUOTA_EXCEEDED, QUOTA_EXCEEDED]);
    client.send(&[0x62, 2, 0, 1]).await;
    client.expect(7).await;
    client.send(&publish_packet("t", 4, 4, &[], &payload)).await;
    assert_eq!(
        client
            .expect(PUBREC)
            .await
            .get(2)
            .copied()
            .unwrap_or_default(),
        0
    );
}

#[tokio::test]
async fn aliases_and_topics_are_limited() {
    let broker = broker(&[], 100).await;
    let mut client = Wire::connect(&broker, id("client")).await;
    assert_eq!(client.subscribe(&["t/#"]).await, [1]);
    client
        .send(&publish_packet("t/1", 1, 2, &[0x23, 0, 32], b"a"))
        .await;
    client
        .send(&publish_packet("", 2, 2, &[0x23, 0, 32], b"b"))
        .await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Some((PUBLISH, body)) = client.receive().await {
            assert_eq!(body[2..5], *b"t/1");
            seen.push(body[body.len() - 1]);
        }
    }
    assert_eq!(seen, *b"ab");
    let deep = ["x"; 33].join("/");
    let mut other = Wire::connect(&broker, id("other")).await;
    assert_eq!(other.publish(&deep, false, b"").await, 0x90);
    assert_eq!(other.subscribe(&[&deep]).await, [0x8F]);
    assert_eq!(other.publish(&"x".repeat(1025), false, b"").await, 0x90);
    other
        .send(&publish_packet("t/1", 1, 2, &[0x23, 0, 33], b"a"))
        .await;
    assert_eq!(other.expect(DISCONNECT).await[0], 0x94);
    ends(other.socket).await;
}

/// A client that subscribes and does not read is dropped, and others are served meanwhile.
#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let broker = broker(&[], 100).await;
    let mut slow = Wire::connect(&broker, id("slow")).await;
    assert_eq!(slow.subscribe(&["t"]).await, [1]);
    let mut honest = Wire::connect(&broker, id("honest")).await;
    let payload = vec![b'x'; 1 << 20];
    let mut published = 0;
    // It can write until the broker has closed the connection.
    while slow.socket.write_all(&[0xC0, 0]).await.is_ok() {
        assert_eq!(honest.publish("t", false, &payload).await, 0);
        published += 1;
        assert!(published < 2_000);
    }
    assert!(published > 16, "{published} MiB");
    assert!(honest.is_alive().await);
}

/// A client that does not acknowledge is dropped, however few messages it lets the broker send before.
#[tokio::test]
async fn a_client_that_does_not_acknowledge_is_dropped() {
    const AT_ONCE: u16 = 50;
    for receive_maximum in [1, 19] {
        let broker = broker(&[], 100).await;
        let connect = Connect::new(Version::V5, "slow").with_property(0x21, &[0, receive_maximum]);
        let mut slow = Wire {
            socket: Wire::open(&broker).await,
            version: 5,
        };
        slow.send(&connect.bytes()).await;
        assert_eq!(slow.expect(CONNACK).await[1], 0);
        assert_eq!(slow.subscribe(&["t"]).await, [1]);
        let mut honest = Wire::connect(&broker, id("honest")).await;
        let payload = vec![b'x'; 15_000];
        let mut published = 0;
        // It can write until the broker has closed the connection.
        while slow.socket.write_all(&[0xC0, 0]).await.is_ok() {
            let messages = (1..=AT_ONCE).map(|id| publish_packet("t", id, 2, &[], &payload));
            let messages: Vec<u8> = messages.flatten().collect();
            honest.send(&messages).await;
            for _ in 0..AT_ONCE {
                honest.expect(PUBACK).await;
            }
            published += AT_ONCE;
            assert!(published < 3_000, "Receive Maximum {receive_maximum}");
        }
        assert!(published > 1_000, "{published} messages of 15 KB");
        assert!(honest.is_alive().await);
    }
}

/// The library keeps something of each shared subscription for ever.
#[tokio::test]
async fn shared_subscriptions_are_limited_also_if_they_end() {
    let broker = broker(&["greedy", "honest"], 100).await;
    let login = |name: &'static str, password: &'static str| Login {
        user: Some((name, password)),
        ..id("client")
    };
    let mut greedy = Wire::connect(&broker, login("greedy", "greedy-secret")).await;
    let mut granted = 0;
    for round in 0..6 {
        let filters: Vec<String> = (0..1_000)
            .map(|n| format!("$share/{round}-{n}/t"))
            .collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let codes = greedy.subscribe(&filters).await;
        granted += codes.iter().filter(|code| **code == 1).count();
        let refused = codes.iter().filter(|code| **code == QUOTA_EXCEEDED);
        assert_eq!(refused.count(), if round == 5 { 1_000 } else { 0 });
        greedy.send(&unsubscribe(Version::V5, 8, &filters)).await;
        greedy.expect(UNSUBACK).await;
    }
    assert_eq!(granted, 5_000);
    assert_eq!(greedy.subscribe(&["$share/0-0/t", "t"]).await, [1, 1]);
    let mut honest = Wire::connect(&broker, login("honest", "honest-secret")).await;
    assert_eq!(honest.subscribe(&["$share/group/t"]).await, [1]);
}
