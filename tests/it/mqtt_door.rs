//! The MQTT front door against real brokers: the embedded one and, where installed, Mosquitto.
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use poly2mqtt::broker::BrokerUser;
use poly2mqtt::command::{
    DoorKind, ErrorCode, Failure, FileAnswer, Reply, Submission, Submit, Success,
};
use poly2mqtt::doors::mqtt::{MqttDoor, MqttSettings};
use poly2mqtt::state::{StateStore, StateValue};
use poly2mqtt::telemetry::{Sample, Telemetry};
use poly2mqtt::topics::Prefix;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::{Kind, SOON, TestBroker, door_settings, embedded, plain_tcp};

/// Answers each command according to its name, and remembers it.
#[derive(Default)]
struct FakeGateway {
    seen: Mutex<Vec<Submission2>>,
    refused: Mutex<Vec<(String, ErrorCode)>>,
    held: Mutex<Vec<Submission>>,
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Submission2 {
    room: String,
    command: String,
    payload: Bytes,
    expires: bool,
}

fn file(bytes: impl Into<Bytes>) -> Success {
    let bytes: Bytes = bytes.into();
    let file = FileAnswer {
        topic: "file".into(),
        content_type: "image/jpeg".into(),
        size: Some(bytes.len() as u64),
        bytes: Some(bytes),
        is_state: false,
    };
    Success::file(200, file)
}

impl Submit for FakeGateway {
    fn refuse(&self, _: DoorKind, reply: Reply, failure: Failure) {
        let refused = (reply.command().to_owned(), failure.code);
        self.refused.lock().unwrap().push(refused);
        reply.answer(Err(failure));
    }

    fn submit(&self, submission: Submission) {
        self.seen.lock().unwrap().push(Submission2 {
            room: submission.room.to_string(),
            command: submission.command.clone(),
            payload: submission.payload.clone(),
            expires: submission.expires.is_some(),
        });
        match submission.command.as_str() {
            "hold" => self.held.lock().unwrap().push(submission),
            "file/get" => submission.reply.answer(Ok(file(&b"\xff\xd8\xff"[..]))),
            "large/get" => submission.reply.answer(Ok(file(vec![0; 2 << 20]))),
            "bad" => {
                let failure = Failure::new(ErrorCode::NotFound, "there is none");
                submission.reply.answer(Err(failure));
            }
            _ => submission.reply.answer(Ok(Success::new(200, Value::Null))),
        }
        self.changed.notify_waiters();
    }
}

impl FakeGateway {
    async fn until(&self, what: &str, holds: impl Fn(&[Submission2]) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(&self.seen.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        timeout(SOON, wait)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }
}

struct Setup {
    store: Arc<StateStore>,
    gateway: Arc<FakeGateway>,
    telemetry: Arc<Telemetry>,
    door: MqttDoor,
    settings: MqttSettings,
}

fn settings(broker: &TestBroker) -> MqttSettings {
    let (username, password) = broker.gateway_login().unzip();
    MqttSettings {
        username,
        password,
        ..door_settings(plain_tcp(broker.port()))
    }
}

async fn setup(settings: MqttSettings) -> Setup {
    let (store, gateway) = (StateStore::new(), Arc::<FakeGateway>::default());
    let telemetry = Arc::<Telemetry>::default();
    let door = MqttDoor::start(
        settings.clone(),
        store.clone(),
        gateway.clone(),
        telemetry.clone(),
        None,
    )
    .unwrap();
    connected(&door).await;
    Setup {
        store,
        gateway,
        telemetry,
        door,
        settings,
    }
}

async fn connected(door: &MqttDoor) {
    let mut connected = door.connected();
    let up = connected.wait_for(|connected| *connected);
    timeout(SOON, up).await.expect("connects").unwrap();
}

fn result(client: &Client, topic: &str) -> Value {
    serde_json::from_str(&client.last(topic).unwrap()).unwrap()
}

/// Makes each function a test against both brokers.
macro_rules! against_both {
    ($($name:ident),* $(,)?) => {
        mod embedded_broker {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Embedded).await; })*
        }
        mod real_mosquitto {
            $(#[tokio::test] async fn $name() {
                if poly2mqtt_test_support::mosquitto().is_some() {
                    super::$name(super::Kind::Mosquitto).await;
                }
            })*
        }
    };
}

against_both!(
    states_are_published_once_and_cleared,
    a_command_gets_one_result,
    response_topic_and_correlation_are_used,
    a_bad_response_topic_is_refused,
    retained_and_own_messages,
    too_large_is_answered,
    the_will_says_offline,
    an_older_client_is_served,
);

async fn states_are_published_once_and_cleared(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    client.expect("gateway/availability", "online").await;
    it.store.set("room/1/audio/volume", StateValue::text("1"));
    client.expect("room/1/audio/volume", "1").await;
    it.store.set("room/1/audio/volume", StateValue::text("1"));
    it.store.set("room/1/audio/volume", StateValue::text("2"));
    it.store
        .event("room/1/event/call_ended", Bytes::from_static(b"{}"));
    client.expect("room/1/event/call_ended", "{}").await;
    assert_eq!(client.messages("room/1/audio/volume").len(), 2);
    // A client that connects later receives what is retained.
    let late = Client::connect(broker.port()).await;
    late.expect("room/1/audio/volume", "2").await;
    assert!(late.messages("room/1/audio/volume")[0].retain);
    assert!(late.messages("room/1/event/call_ended").is_empty());
    it.store.clear("room/1/audio/volume");
    client.expect("room/1/audio/volume", "").await;
    it.door.stop(Instant::now() + SOON).await;
    client.expect("gateway/availability", "offline").await;
}

async fn a_command_gets_one_result(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    let answer = client.command("room/1/audio/volume/set", "40").await;
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["command"], "audio/volume/set");
    let message = client.message("room/1/audio/volume/set/result").await;
    assert!(!message.retain);
    let properties = message.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    let status = ("status".to_owned(), "ok".to_owned());
    assert!(properties.user_properties.contains(&status));
    let answer = client.command("room/x/bad", "").await;
    assert_eq!(answer["error"]["code"], "not_found");
    let properties = client
        .message("room/x/bad/result")
        .await
        .properties
        .unwrap();
    let code = ("code".to_owned(), "not_found".to_owned());
    assert!(properties.user_properties.contains(&code));
    let expiring = PublishProperties {
        message_expiry_interval: Some(60),
        ..PublishProperties::default()
    };
    client.publish_with("room/1/x", "p", false, expiring).await;
    it.gateway.until("the third", |seen| seen.len() == 3).await;
    {
        let seen = it.gateway.seen.lock().unwrap();
        assert!(!seen[0].expires && seen[2].expires);
        assert_eq!(
            (seen[0].room.as_str(), &seen[0].payload[..]),
            ("1", &b"40"[..])
        );
    }
    // A file comes before its result, with its own content type.
    client.command("room/1/file/get", "").await;
    let all = client.all();
    let place = |topic: &str| all.iter().position(|(known, _)| known == topic).unwrap();
    assert!(place("room/1/file") < place("room/1/file/get/result"));
    let file = client.message("room/1/file").await;
    assert_eq!(&file.payload[..], b"\xff\xd8\xff");
    assert_eq!(
        file.properties.unwrap().content_type.as_deref(),
        Some("image/jpeg")
    );
    // For a file that is too large, the result has only its URL.
    let result = client.command("room/1/large/get", "").await;
    let body = json!({"bytes": 2 << 20, "content_type": "image/jpeg", "url": "/room/1/large/get"});
    assert_eq!((&result["ok"], &result["body"]), (&json!(true), &body));
    assert_eq!(client.messages("room/1/file").len(), 1);
    it.door.stop(Instant::now() + SOON).await;
}

async fn response_topic_and_correlation_are_used(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let _it = setup(settings(&broker)).await;
    let properties = PublishProperties {
        response_topic: Some("panel/7/reply".into()),
        correlation_data: Some(Bytes::from_static(b"\x00id\xff")),
        ..PublishProperties::default()
    };
    client
        .publish_with("room/1/audio/mute", "", false, properties)
        .await;
    let message = client.message("panel/7/reply").await;
    let correlation = message.properties.unwrap().correlation_data;
    assert_eq!(correlation, Some(Bytes::from_static(b"\x00id\xff")));
    assert!(client.messages("room/1/audio/mute/result").is_empty());
}

async fn a_bad_response_topic_is_refused(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    let properties = PublishProperties {
        response_topic: Some("room/1/audio/volume".into()),
        ..PublishProperties::default()
    };
    client
        .publish_with("room/1/audio/mute", "", false, properties)
        .await;
    client.message("room/1/audio/mute/result").await;
    let answer = result(&client, "room/1/audio/mute/result");
    assert_eq!(answer["error"]["code"], "invalid_payload");
    assert!(it.gateway.seen.lock().unwrap().is_empty());
    assert_eq!(it.gateway.refused.lock().unwrap().len(), 1);
    assert!(client.messages("room/1/audio/volume").is_empty());
}

async fn retained_and_own_messages(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    // A command that was retained before the gateway connected is refused like a live one.
    let none = PublishProperties::default;
    client
        .publish_with("room/1/old/command", "x", true, none())
        .await;
    let it = setup(settings(&broker)).await;
    it.store.set("room/1/audio/volume", StateValue::text("5"));
    client.expect("room/1/audio/volume", "5").await;
    for own in [
        "room/1/audio/mute/result",
        "room/1/event/x",
        "room/1/problem",
        "room/1/availability",
    ] {
        client.publish(own, "x").await;
    }
    // Neither the clearing of a retained message nor another gateway's state is a command.
    client
        .publish_with("room/1/old/command", "", true, none())
        .await;
    client
        .publish_with("room/1/audio/volume", "9", true, none())
        .await;
    client
        .publish_with("room/1/live/command", "x", true, none())
        .await;
    client.command("room/1/last", "").await;
    let seen = it.gateway.seen.lock().unwrap();
    let commands: Vec<_> = seen.iter().map(|one| one.command.as_str()).collect();
    assert_eq!(commands, ["last"]);
    let ignored = |command: &str| (command.to_owned(), ErrorCode::IgnoredRetained);
    assert_eq!(
        *it.gateway.refused.lock().unwrap(),
        [ignored("old/command"), ignored("live/command")]
    );
}

async fn too_large_is_answered(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    let answer = client
        .command("room/1/directory/import", vec![b'x'; (1 << 20) + 1])
        .await;
    assert_eq!(answer["error"]["code"], "too_large");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("mqtt.max_payload allows 1048576"),
        "{message}"
    );
    assert!(it.gateway.seen.lock().unwrap().is_empty());
    assert_eq!(it.gateway.refused.lock().unwrap().len(), 1);
    assert_eq!(client.command("room/1/small", "x").await["ok"], true);
}

/// A command that arrives while the door stops is answered by it or by the next one.
#[tokio::test]
async fn commands_during_a_stop_have_one_result_each() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        println!("skipped: Mosquitto is not installed");
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let mut it = setup(settings(&broker)).await;
    let mut sent = 0;
    for _ in 0..20 {
        let sender = async {
            for _ in 0..30 {
                client.publish(&format!("room/1/x/{sent}"), "").await;
                sent += 1;
            }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            it.door.stop(Instant::now() + SOON).await;
        };
        tokio::join!(sender, stop);
        it = setup(settings(&broker)).await;
    }
    let results = |client: &Client| {
        let all = client.all();
        let results = all
            .into_iter()
            .filter(|(topic, _)| topic.ends_with("/result"));
        results.map(|(topic, _)| topic).collect::<Vec<_>>()
    };
    client
        .until("all results", |client| results(client).len() >= sent)
        .await;
    let mut distinct = results(&client);
    distinct.sort();
    distinct.dedup();
    assert_eq!((distinct.len(), results(&client).len()), (sent, sent));
    it.door.stop(Instant::now() + SOON).await;
}

/// For other brokers only: the embedded one starts and stops with the gateway.
#[tokio::test]
async fn a_broker_that_restarts_gets_everything_again() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    it.store.set("room/1/audio/volume", StateValue::text("5"));
    it.store.set("room/1/gone", StateValue::text("x"));
    client.expect("room/1/audio/volume", "5").await;
    client.publish("room/1/hold", "").await;
    it.gateway.until("held", |seen| seen.len() == 1).await;
    let mut connected = it.door.connected();
    let broker = broker.restart();
    let down = connected.wait_for(|connected| !connected);
    timeout(SOON, down).await.expect("notices").unwrap();
    // Changes while the broker is away are not lost.
    it.store.set("room/1/audio/muted", StateValue::text("true"));
    it.store.clear("room/1/gone");
    for held in it.gateway.held.lock().unwrap().drain(..) {
        held.reply.answer(Ok(Success::new(200, Value::Null)));
    }
    let client = Client::connect(broker.port()).await;
    client.expect("room/1/audio/volume", "5").await;
    client.expect("room/1/audio/muted", "true").await;
    client.expect("room/1/gone", "").await;
    client.expect("gateway/availability", "online").await;
    client.message("room/1/hold/result").await;
    assert_eq!(client.command("room/1/audio/mute", "").await["ok"], true);
}

#[tokio::test]
async fn a_command_sent_while_away_is_delivered() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto).await;
    let client = Client::connect(broker.port()).await;
    let it = setup(settings(&broker)).await;
    client.command("room/1/first", "").await;
    it.door.stop(Instant::now() + SOON).await;
    client.expect("gateway/availability", "offline").await;
    client.publish("room/1/meanwhile", "").await;
    let back = setup(it.settings).await;
    client.message("room/1/meanwhile/result").await;
    let seen = back.gateway.seen.lock().unwrap();
    assert_eq!(
        seen.iter().filter(|one| one.command == "meanwhile").count(),
        1
    );
}

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
            ..door_settings(plain_tcp(broker.addr().port()))
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

/// A broker that accepts the connection and then sends nothing, with a keep-alive of one second.
#[tokio::test]
async fn a_broker_that_falls_silent_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = door_settings(plain_tcp(listener.local_addr().unwrap().port()));
    let (store, gateway) = (StateStore::new(), Arc::<FakeGateway>::default());
    let door = MqttDoor::start(settings, store, gateway, Arc::default(), None).unwrap();
    for _ in 0..2 {
        let (mut broker, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        broker
            .write_all(&[0x20, 6, 0, 0, 3, 0x13, 0, 1])
            .await
            .unwrap();
        let mut heard = Vec::new();
        timeout(SOON, broker.read_to_end(&mut heard))
            .await
            .expect("leaves")
            .unwrap();
        assert!(heard.ends_with(&[0xC0, 0]), "it asked before it left");
    }
    door.stop(Instant::now() + SOON).await;
}

async fn the_will_says_offline(kind: Kind) {
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    // Its runtime is shut down at once, as if the process were killed.
    let settings = MqttSettings {
        session_expiry: Duration::ZERO,
        prefix: Prefix::new("av/x"),
        ..settings(&broker)
    };
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let it = setup(settings).await;
            it.store.set("room/1/audio/volume", StateValue::text("5"));
            let published = async {
                let sample = Sample {
                    broker_connected: Some(true),
                    ..Sample::default()
                };
                let published = || it.telemetry.health(&sample, 0)["mqtt"]["published"].as_u64();
                while published() < Some(2) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(SOON, published).await.unwrap();
        });
        runtime.shutdown_background();
    });
    client.message("av/x/gateway/availability").await;
    dying.join().unwrap();
    client.expect("av/x/gateway/availability", "offline").await;
    assert!(client.messages("gateway/availability").is_empty());
}

/// `mosquitto_pub` speaks MQTT 3.1.1 unless told otherwise.
async fn an_older_client_is_served(kind: Kind) {
    if Command::new("mosquitto_pub")
        .arg("--help")
        .output()
        .is_err()
    {
        return;
    }
    let broker = TestBroker::start(kind).await;
    let client = Client::connect(broker.port()).await;
    let _it = setup(settings(&broker)).await;
    let port = broker.port().to_string();
    let sent = tokio::task::spawn_blocking(move || {
        let topic = "room/1/camera/preset/3/activate";
        let args = ["-p", &port, "-t", topic, "-q", "1", "-n"];
        Command::new("mosquitto_pub").args(args).status().unwrap()
    });
    assert!(sent.await.unwrap().success());
    let answer = client
        .message("room/1/camera/preset/3/activate/result")
        .await;
    assert!(text(&answer).contains("\"ok\":true"));
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
        ..door_settings(plain_tcp(port))
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
