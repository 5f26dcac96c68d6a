//! What a client may take after its log-in.

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
    let large = vec![b'x'; 1_000_000];
    let mut kept = 0;
    let code = loop {
        match client.publish(&format!("free/{kept}"), true, &large).await {
            0 => kept += 1,
            code => break code,
        }
    };
    assert_eq!((code, kept), (QUOTA_EXCEEDED, 16));
    let too_large = vec![b'x'; 2_000_000];
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
    for _ in 0..60 {
        assert_eq!(honest.publish("t", false, &payload).await, 0);
    }
    // It reads what is on its way, and then the end.
    let mut read = 0;
    while let Some((PUBLISH, _)) = slow.receive().await {
        read += 1;
    }
    assert!(read < 60, "{read}");
    assert!(honest.is_alive().await);
}
