//! Connections that have not logged in.

use super::*;

/// 200 connections that say nothing do not keep a client out, nor do they stay.
#[tokio::test]
async fn silent_connections_do_not_keep_clients_out() {
    let broker = broker(&[], 40).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(Wire::open(&broker).await);
    }
    let mut honest = Wire::connect(&broker, ANYONE).await;
    assert!(honest.is_alive().await);
    let (name, password) = broker.gateway_login();
    let password = secrecy::ExposeSecret::expose_secret(&password).to_owned();
    let gateway = Login {
        client_id: "poly2mqtt",
        user: Some((&name, &password)),
        ..ANYONE
    };
    assert!(Wire::connect(&broker, gateway).await.is_alive().await);
    for socket in silent {
        ends(socket).await;
    }
}

/// What a connection announces takes no memory: it is refused as soon as the length is known.
#[tokio::test]
async fn a_large_connect_is_refused_before_it_has_come() {
    let broker = broker(&[], 40).await;
    let mut socket = Wire::open(&broker).await;
    let start = [
        &[0x10, 0xFF, 0xFF, 0xFF, 0x04][..],
        &text("MQTT"),
        &[5, 2, 0, 60],
    ]
    .concat();
    socket.write_all(&start).await.unwrap();
    let mut wire = Wire { socket, version: 5 };
    let connack = wire.expect(CONNACK).await;
    assert_eq!(connack[1], 0x95, "packet too large");
    ends(wire.socket).await;
}

#[tokio::test]
async fn what_is_not_a_connect_ends_at_once() {
    let broker = broker(&[], 40).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0xC0, 0],
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &publish_packet("t", 0, 0, &[], b"x"),
    ] {
        let mut socket = Wire::open(&broker).await;
        socket.write_all(bytes).await.unwrap();
        ends(socket).await;
    }
}

/// After some wrong passwords of an address, others are not even checked. A right one that was used
/// before is let in all the same.
#[tokio::test]
async fn guesses_are_slowed_down() {
    let broker = broker(&["panel"], 1000).await;
    fn with(password: &str) -> Login<'_> {
        Login {
            user: Some(("panel", password)),
            ..ANYONE
        }
    }
    let honest = Login {
        client_id: "wall",
        ..with("panel-secret")
    };
    Wire::connect(&broker, honest).await;
    let mut codes: Vec<u8> = Vec::new();
    for guess in 0..1000 {
        if codes.iter().filter(|code| **code == 0x9F).count() >= 20 {
            break;
        }
        let guess = guess.to_string();
        let mut wire = Wire {
            socket: Wire::open(&broker).await,
            version: 5,
        };
        wire.send(&connect_packet(&with(&guess))).await;
        // Does not wait for the answer, as an attacker would not.
        let answer = timeout(Duration::from_millis(200), wire.receive()).await;
        codes.extend(answer.ok().flatten().map(|(_, connack)| connack[1]));
    }
    let checked = codes.iter().filter(|code| **code == 0x86).count();
    let not_checked = codes.iter().filter(|code| **code == 0x9F).count();
    assert!(checked <= 3, "{codes:x?}");
    assert!(not_checked >= 20, "{codes:x?}");
    let honest = Login {
        client_id: "wall",
        ..with("panel-secret")
    };
    Wire::connect(&broker, honest).await;
    // Whether the right one was guessed is not told to another client.
    // Where the block has just ended, the first is checked, and blocks the second.
    let mut codes = Vec::new();
    for _ in 0..2 {
        let (_, connack) = Wire::try_connect(&broker, with("panel-secret")).await;
        codes.push(connack[1]);
    }
    assert!(codes.contains(&0x9F), "{codes:x?}");
}

/// One user cannot take all connections.
#[tokio::test]
async fn a_user_has_a_share_of_the_connections() {
    let broker = broker(&["greedy", "honest"], 40).await;
    let login = |user| Login {
        user: Some(user),
        ..ANYONE
    };
    let mut all = Vec::new();
    let refused = loop {
        let (wire, connack) = Wire::try_connect(&broker, login(("greedy", "greedy-secret"))).await;
        if connack[1] != 0 {
            break connack[1];
        }
        all.push(wire);
    };
    assert_eq!((refused, all.len()), (QUOTA_EXCEEDED, 15));
    Wire::connect(&broker, login(("honest", "honest-secret"))).await;
}
