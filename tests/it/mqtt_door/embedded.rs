//! The embedded broker: its users' rights, its fairness, and its stop.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::broker::BrokerUser;
use poly2mqtt::command::{DoorKind, Failure, Reply, Submission, Submit, Success};
use poly2mqtt::doors::mqtt::{MqttDoor, MqttSettings};
use poly2mqtt::state::{StateStore, StateValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::raw_mqtt::{Connect, Publish, Version, acknowledge, kind};
use poly2mqtt_test_support::{SOON, embedded, plain_tcp};

use super::{FakeGateway, connected, setup};

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_brokers_clients_have_its_last_words() {
    for _ in 0..5 {
        let broker = embedded(Vec::new()).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(Client::connect(broker.addr().port()).await);
        }
        let (username, password) = broker.gateway_login();
        let settings = MqttSettings {
            username: Some(username),
            password: Some(password),
            ..MqttSettings::new(plain_tcp(broker.addr().port()))
        };
        let it = setup(settings).await;
        for client in &clients {
            client.expect("gateway/availability", "online").await;
        }
        it.door.stop(Instant::now() + SOON).await;
        broker.stop().await;
        for client in &clients {
            client.expect("gateway/availability", "offline").await;
        }
    }
}

/// They wait for the gateway among the large messages, and none is lost or stays there.
#[tokio::test]
async fn large_commands_are_answered_and_make_room_again() {
    let broker = embedded(Vec::new()).await;
    let (username, password) = broker.gateway_login();
    let settings = MqttSettings {
        username: Some(username),
        password: Some(password),
        ..MqttSettings::new(plain_tcp(broker.addr().port()))
    };
    let it = setup(settings).await;
    let client = Client::connect(broker.addr().port()).await;
    // More than all large messages may have together.
    let large = "1".repeat(9 << 20);
    for _ in 0..9 {
        let result = client
            .command("room/1/audio/volume/set", large.as_str())
            .await;
        assert_eq!(result["error"]["code"], "too_large", "{result}");
        client.clear();
    }
    let small = client.command("room/1/audio/mute", "").await;
    assert_eq!(small["ok"], true, "{small}");
    it.door.stop(Instant::now() + SOON).await;
    broker.stop().await;
}

#[tokio::test]
async fn the_embedded_brokers_users_see_and_do_what_they_may() {
    let store = StateStore::new();
    let user = |name: &str, rooms: Option<&str>, control| BrokerUser {
        name: name.into(),
        password: format!("{name}-secret").into(),
        rooms: rooms.map(|room| vec![room.into()]),
        control,
    };
    let users = vec![
        user("all", None, true),
        user("panel", Some("1"), true),
        user("screen", Some("1"), false),
    ];
    let broker = embedded(users).await;
    let port = broker.addr().port();
    let (name, password) = broker.gateway_login();
    let gateway = Arc::<FakeGateway>::default();
    let settings = MqttSettings {
        username: Some(name),
        password: Some(password),
        ..MqttSettings::new(plain_tcp(port))
    };
    let door = MqttDoor::start(
        settings,
        store.clone(),
        gateway.clone(),
        Arc::default(),
        None,
    )
    .unwrap();
    connected(&door).await;
    store.set("room/1/audio/volume", StateValue::text("5"));
    store.set("room/2/audio/volume", StateValue::text("6"));
    let login = |name: &'static str| {
        move |options: &mut rumqttc::v5::MqttOptions| {
            options.set_credentials(name, format!("{name}-secret"));
        }
    };
    let all = Client::connect_with(port, login("all"), "#").await;
    all.expect("room/2/audio/volume", "6").await;
    let panel = Client::connect_with(port, login("panel"), "room/1/#").await;
    panel.expect("room/1/audio/volume", "5").await;
    assert_eq!(panel.command("room/1/audio/mute", "").await["ok"], true);
    // Commands for another room, publishes to states, and commands of a reader are not passed on.
    let screen = Client::connect_with(port, login("screen"), "room/1/#").await;
    panel.publish("room/2/audio/mute", "").await;
    panel.publish("room/1/audio/volume", "99").await;
    panel.publish("gateway/availability", "no").await;
    screen.publish("room/1/audio/mute", "").await;
    let peeping = Client::connect_with(port, login("panel"), "#").await;
    all.command("room/2/last", "").await;
    let seen: Vec<_> = {
        let seen = gateway.seen.lock().unwrap();
        seen.iter()
            .map(|one| format!("{}/{}", one.room, one.command))
            .collect()
    };
    assert_eq!(seen, ["1/audio/mute", "2/last"]);
    assert_eq!(all.last("room/1/audio/volume").as_deref(), Some("5"));
    assert!(peeping.all().is_empty(), "{:?}", peeping.all());
}

/// Answers each command, and is slower than a flood. Keeps the rooms of the commands in their order.
#[derive(Default)]
struct SlowGateway(Mutex<Vec<String>>);

impl Submit for SlowGateway {
    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        reply.answer(Err(failure));
    }

    fn submit(&self, submission: Submission) {
        std::thread::sleep(Duration::from_micros(100));
        self.0.lock().unwrap().push(submission.room.to_string());
        submission.reply.answer(Ok(Success::new(200, Value::Null)));
    }
}

/// Sends commands as fast as the broker reads them.
async fn flood(port: u16, qos: u8) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let connect = Connect::new(Version::V5, &format!("flood-{qos}"));
    write.write_all(&connect.bytes()).await.unwrap();
    let send = async move {
        for id in (1..60_000).cycle() {
            let mut bytes = Publish::new(Version::V5, "room/1/audio/volume/up", qos)
                .packet_id(id)
                .bytes();
            if qos == 2 {
                bytes.extend(acknowledge(kind::PUBREL, id));
            }
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let receive = async move {
        let mut bytes = vec![0; 64 << 10];
        while read.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    tokio::join!(send, receive);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_commands_does_not_stand_before_those_of_others() {
    /// Commands of the flood before another's: those that are on their way, and those that the sockets
    /// between broker and gateway hold.
    const MOST_BEFORE: usize = 2000;
    for qos in [0, 1, 2] {
        let broker = embedded(Vec::new()).await;
        let (username, password) = broker.gateway_login();
        let port = broker.addr().port();
        let settings = MqttSettings {
            username: Some(username),
            password: Some(password),
            ..MqttSettings::new(plain_tcp(port))
        };
        let gateway = Arc::<SlowGateway>::default();
        let (store, submit) = (StateStore::new(), gateway.clone());
        let door = MqttDoor::start(settings, store, submit, Arc::default(), None).unwrap();
        connected(&door).await;
        let other = Client::connect_with(port, |_| {}, "room/2/#").await;
        let flooding = tokio::spawn(flood(port, qos));
        let seen = || gateway.0.lock().unwrap().len();
        while seen() < 2000 {
            sleep(Duration::from_millis(1)).await;
        }
        let mut waits = Vec::new();
        for _ in 0..5 {
            let (before, begun) = (seen(), Instant::now());
            other.command("room/2/audio/mute", "").await;
            let position = gateway
                .0
                .lock()
                .unwrap()
                .iter()
                .rposition(|room| room == "2");
            waits.push((position.unwrap() - before, begun.elapsed()));
            sleep(Duration::from_millis(100)).await;
        }
        assert!(
            waits.iter().all(|(before, _)| *before < MOST_BEFORE),
            "QoS {qos}: {waits:?}"
        );
        flooding.abort();
        door.stop(Instant::now() + SOON).await;
        broker.stop().await;
    }
}
