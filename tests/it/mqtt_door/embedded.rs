//! The embedded broker: its users' rights, and its stop.
use std::sync::Arc;

use poly2mqtt::broker::BrokerUser;
use poly2mqtt::doors::mqtt::{MqttDoor, MqttSettings};
use poly2mqtt::state::{StateStore, StateValue};
use tokio::time::Instant;

use poly2mqtt_test_support::client::Client;
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
