//! A client id belongs to the user that has it.

use super::*;

fn user<'a>(user: (&'a str, &'a str), client_id: &'a str) -> Login<'a> {
    Login {
        client_id,
        user: Some(user),
        ..ANYONE
    }
}

const ALICE: (&str, &str) = ("alice", "alice-secret");
const BOB: (&str, &str) = ("bob", "bob-secret");

#[tokio::test]
async fn nobody_takes_the_place_of_another_users_client() {
    let broker = broker(&["alice", "bob"], 100).await;
    let (name, password) = broker.gateway_login();
    let password = secrecy::ExposeSecret::expose_secret(&password).to_owned();
    let mut gateway = Wire::connect(&broker, user((&name, &password), "poly2mqtt")).await;
    let mut alice = Wire::connect(&broker, user(ALICE, "panel")).await;
    let mut bob = Wire::connect(&broker, user(BOB, "panel")).await;
    let mut intruder = Wire::connect(&broker, user(BOB, "poly2mqtt")).await;
    for wire in [&mut gateway, &mut alice, &mut bob, &mut intruder] {
        assert!(wire.is_alive().await);
    }
    // The same user takes over, as MQTT says.
    let mut again = Wire::connect(&broker, user(ALICE, "panel")).await;
    assert_eq!(alice.expect(DISCONNECT).await[0], 0x8E);
    assert!(again.is_alive().await && bob.is_alive().await);
}

#[tokio::test]
async fn nobody_finds_the_session_of_another_user() {
    let broker = broker(&["alice", "bob"], 100).await;
    let kept = |login| Login {
        clean: false,
        session_expiry: 60,
        ..login
    };
    let mut alice = Wire::connect(&broker, kept(user(ALICE, "panel"))).await;
    assert_eq!(alice.subscribe(&["letters/#"]).await, [1]);
    alice.send(&[0xE0, 0]).await;
    ends(alice.socket).await;
    let (mut bob, connack) = Wire::try_connect(&broker, kept(user(BOB, "panel"))).await;
    assert_eq!(connack[..2], [0, 0]);
    assert_eq!(bob.publish("letters/1", false, b"for alice").await, 0);
    let (mut alice, connack) = Wire::try_connect(&broker, kept(user(ALICE, "panel"))).await;
    assert_eq!(connack[..2], [1, 0], "her session is there");
    let message = alice.expect(PUBLISH).await;
    assert!(message.ends_with(b"for alice"));
    assert!(bob.is_alive().await);
}

/// The client id that the broker assigned is the one to come back with.
#[tokio::test]
async fn an_assigned_client_id_leads_back_to_its_session() {
    let broker = broker(&[], 100).await;
    let kept = Login {
        clean: false,
        session_expiry: 60,
        ..ANYONE
    };
    let (mut first, connack) = Wire::try_connect(&broker, kept).await;
    assert_eq!(connack[3], 0x12, "Assigned Client Identifier");
    let length = usize::from(connack[5]);
    let client_id = String::from_utf8(connack[6..6 + length].to_vec()).unwrap();
    first.send(&[0xE0, 0]).await;
    ends(first.socket).await;
    let back = Login {
        client_id: &client_id,
        ..kept
    };
    let (_, connack) = Wire::try_connect(&broker, back).await;
    assert_eq!(connack[..2], [1, 0]);
}
