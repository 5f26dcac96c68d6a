//! Several gateways at one broker: each leaves the others' topics alone, and tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, Config, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{Mosquitto, mosquitto};

/// Longer than leftovers wait before they are cleared, and than documents wait.
const SETTLED: Duration = Duration::from_secs(5);

/// A gateway with a device for each of its rooms.
struct Site {
    app: App,
    config: Config,
    devices: Vec<SimulatedDevice>,
}

impl Site {
    async fn start(broker: &Mosquitto, client_id: &str, prefix: &str, rooms: &[&str]) -> Self {
        let mut devices = Vec::new();
        let mut configured = BTreeMap::new();
        for id in rooms {
            let device = SimulatedDevice::start(Options::default()).await.unwrap();
            configured.insert(RoomId::new(id).unwrap(), room(&device));
            devices.push(device);
        }
        let url = BrokerUrl::Tcp {
            host: "127.0.0.1".into(),
            port: broker.port,
        };
        let mut config = config(url, configured);
        config.mqtt.client_id = Some(client_id.into());
        config.mqtt.topic_prefix = prefix.into();
        let app = start(&config).await;
        Self {
            app,
            config,
            devices,
        }
    }

    async fn restart(self) -> Self {
        self.app.stop().await;
        Self {
            app: start(&self.config).await,
            ..self
        }
    }

    async fn stop(self) {
        self.app.stop().await;
        for device in self.devices {
            device.stop().await;
        }
    }
}

async fn start(config: &Config) -> App {
    let app = App::start(config.clone(), timings()).await.unwrap();
    app.connected().await;
    app
}

async fn retained(broker: &Mosquitto) -> BTreeMap<String, String> {
    let all = Client::retained(broker.port).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    all.iter()
        .map(|one| (text(&one.topic), text(&one.payload)))
        .collect()
}

/// The topics below this, without those that only exist at times.
fn topics(retained: &BTreeMap<String, String>, below: &str) -> BTreeSet<String> {
    let topics = retained.keys().filter(|topic| topic.starts_with(below));
    topics.cloned().collect()
}

async fn online(client: &Client, topic: &str) {
    client
        .expect(&format!("{topic}/availability"), "online")
        .await;
    client.message(&format!("{topic}/call/state")).await;
    client.message(&format!("{topic}/calendar/status")).await;
}

async fn others(client: &Client, count: u64) {
    client
        .until(&format!("{count} other gateways"), |client| {
            let health = client.last("gateway/health").unwrap_or_default();
            let health: Value = serde_json::from_str(&health).unwrap_or_default();
            health["mqtt"]["other_gateways"] == count
        })
        .await;
}

fn results(client: &Client, topic: &str) -> usize {
    client.messages(&format!("{topic}/result")).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_without_a_prefix_leave_each_other_alone() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let one = Site::start(&broker, "one", "", &["1", "goes"]).await;
    let mut two = Site::start(&broker, "two", "", &["7", "8"]).await;
    for id in ["1", "goes", "7", "8"] {
        online(&client, &format!("room/{id}")).await;
        let document = format!("homeassistant/device/poly2mqtt_{id}/config");
        client.message(&document).await;
    }
    tokio::time::sleep(SETTLED).await;
    let before = retained(&broker).await;
    for below in ["room/1/", "room/goes/", "room/7/", "room/8/"] {
        assert!(topics(&before, below).len() > 30, "{below}");
    }
    others(&client, 1).await;

    // Each command has one result: of the gateway that has the room, or of one of them.
    client.clear();
    for topic in [
        "room/1/audio/mute",
        "room/7/audio/mute",
        "room/nobody/audio/mute",
        "room/7/no/such/command",
    ] {
        client.command(topic, "").await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for topic in [
        "room/1/audio/mute",
        "room/7/audio/mute",
        "room/nobody/audio/mute",
        "room/7/no/such/command",
    ] {
        assert_eq!(results(&client, topic), 1, "{topic}");
    }
    let unknown = client.last("room/nobody/audio/mute/result").unwrap();
    assert!(unknown.contains("unknown_room"), "{unknown}");

    // One is restarted without a room of it: only that room goes.
    client.clear();
    let mut config = one.config.clone();
    config.rooms.remove("goes");
    let one = Site { config, ..one }.restart().await;
    client.expect("room/goes/audio/volume", "").await;
    client
        .expect("homeassistant/device/poly2mqtt_goes/config", "")
        .await;
    online(&client, "room/1").await;
    tokio::time::sleep(SETTLED).await;
    assert!(
        client
            .messages("gateway/availability")
            .iter()
            .all(|one| one.payload == "online"),
        "the other one is never said to be offline"
    );
    let after = retained(&broker).await;
    assert!(topics(&after, "room/goes/").is_empty());
    for below in ["room/7/", "room/8/", "homeassistant/device/poly2mqtt_7"] {
        assert_eq!(topics(&after, below), topics(&before, below), "{below}");
    }

    // A room that the second loses while it runs goes alone too.
    two.config.rooms.remove("8");
    two.app.reload(two.config.clone()).await.unwrap();
    client.expect("room/8/audio/volume", "").await;

    // The last one to stop says offline.
    one.stop().await;
    client.expect("room/1/availability", "offline").await;
    assert_eq!(client.last("gateway/availability").unwrap(), "online");
    let left = retained(&broker).await;
    assert_eq!(left["room/7/availability"], "online");
    two.stop().await;
    client.expect("gateway/availability", "offline").await;
}

/// A gateway that is killed leaves its word to the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_will_of_one_is_not_the_offline_of_another() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let lives = Site::start(&broker, "lives", "", &["1"]).await;
    online(&client, "room/1").await;
    let port = broker.port;
    // Its runtime is shut down at once, as if the process were killed.
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let url = BrokerUrl::Tcp {
                host: "127.0.0.1".into(),
                port,
            };
            let mut config = config(url, BTreeMap::new());
            config.mqtt.client_id = Some("dies".into());
            config.mqtt.session_expiry = Duration::ZERO;
            let app = start(&config).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::mem::forget(app);
        });
        runtime.shutdown_background();
    });
    dying.join().unwrap();
    client
        .until("offline, then online", |client| {
            let said = client.messages("gateway/availability");
            let said: Vec<_> = said
                .iter()
                .rev()
                .take(2)
                .map(|one| &one.payload[..])
                .collect();
            said == [b"online", &b"offline"[..]]
        })
        .await;
    lives.stop().await;
    client.expect("gateway/availability", "offline").await;
}

/// The same room at both, by mistake: what one takes away is not taken from the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_both_have_stays_when_one_gives_it_up() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let mut one = Site::start(&broker, "one", "", &["1", "2"]).await;
    online(&client, "room/1").await;
    let two = Site::start(&broker, "two", "", &["1"]).await;
    tokio::time::sleep(SETTLED).await;
    let before = retained(&broker).await;
    one.config.rooms.remove("1");
    one.app.reload(one.config.clone()).await.unwrap();
    tokio::time::sleep(SETTLED).await;
    let after = retained(&broker).await;
    assert_eq!(topics(&after, "room/1/"), topics(&before, "room/1/"));
    assert_eq!(after["room/1/availability"], "online");
    let document = "homeassistant/device/poly2mqtt_1/config";
    assert!(after.contains_key(document));
    client.clear();
    client.command("room/1/audio/mute", "").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(results(&client, "room/1/audio/mute"), 1);
    one.stop().await;
    two.stop().await;
}

/// The id that the user property of a retained message names, for each of a gateway's messages.
async fn marks(broker: &Mosquitto) -> BTreeMap<String, String> {
    let all = Client::retained(broker.port).await;
    let mark = |one: &rumqttc::v5::mqttbytes::v5::Publish| {
        let properties = one.properties.as_ref()?;
        let user = properties.user_properties.iter();
        let (_, id) = user.clone().find(|(name, _)| name == "gateway")?;
        let topic = String::from_utf8_lossy(&one.topic).into_owned();
        Some((topic, id.clone()))
    };
    all.iter().filter_map(mark).collect()
}

/// The same rooms at both, by mistake, and the second one ends: whether it is stopped or killed, and whether it could
/// reach the devices or not, all topics are those of the first one again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_by_mistake_leaves_nothing_behind() {
    if mosquitto().is_none() {
        return;
    }
    for (is_killed, password) in [(false, "456"), (true, "wrong")] {
        let broker = Mosquitto::start(0, "");
        let client = Client::connect(broker.port).await;
        let one = Site::start(&broker, "one", "", &["1", "2"]).await;
        let document = "homeassistant/device/poly2mqtt_1/config";
        for room in ["room/1", "room/2"] {
            online(&client, room).await;
        }
        client.message(document).await;
        tokio::time::sleep(SETTLED).await;
        let before = retained(&broker).await;
        let own = marks(&broker).await["gateway/info"].clone();
        let mut mistake = one.config.clone();
        mistake.mqtt.client_id = Some("two".into());
        mistake.mqtt.session_expiry = Duration::ZERO;
        for room in ["1", "2"] {
            let room = poly2mqtt_test_support::gateway::configured(&mut mistake, room);
            room.name = Some("Mistake".into());
            room.password = poly2mqtt::config::Secret::new(password);
        }
        client.clear();
        // A runtime that is shut down at once is like a process that is killed.
        let (told, ends) = tokio::sync::oneshot::channel::<()>();
        let second = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let app = start(&mistake).await;
                let _ = ends.await;
                if is_killed {
                    std::mem::forget(app)
                } else {
                    app.stop().await
                }
            });
            runtime.shutdown_background();
        });
        others(&client, 1).await;
        // With the right password its `offline` may be over before it is sent.
        client
            .until("what the other gateway has written", |client| {
                if password == "456" {
                    let document = client.last(document);
                    return document.is_some_and(|it| it.contains("Mistake"));
                }
                let said = client.messages("room/1/availability");
                said.iter().any(|one| one.payload == "offline")
            })
            .await;
        told.send(()).unwrap();
        tokio::task::spawn_blocking(|| second.join().unwrap())
            .await
            .unwrap();
        poly2mqtt_test_support::until(
            || "everything is the first gateway's again".into(),
            async || marks(&broker).await.values().all(|mark| *mark == own),
        )
        .await;
        let after = retained(&broker).await;
        for topic in [
            "room/1/availability",
            "room/2/availability",
            "gateway/availability",
        ] {
            assert_eq!(after[topic], "online", "{topic}");
        }
        for topic in [
            "room/1/problem",
            "room/1/audio/volume",
            "gateway/info",
            document,
        ] {
            assert_eq!(after[topic], before[topic], "{topic}");
        }
        others(&client, 0).await;
        one.stop().await;
    }
}

/// Prefixes that contain each other, and one that looks like a room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_within_prefixes_do_not_meet() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let prefixes = ["", "a", "a/b", "room/x", "a/room"];
    let mut sites = Vec::new();
    for (n, prefix) in prefixes.iter().enumerate() {
        sites.push(Site::start(&broker, &format!("gateway-{n}"), prefix, &["1"]).await);
    }
    let at = |prefix: &str, topic: &str| match prefix {
        "" => topic.to_owned(),
        prefix => format!("{prefix}/{topic}"),
    };
    for prefix in prefixes {
        online(&client, &at(prefix, "room/1")).await;
    }
    tokio::time::sleep(SETTLED).await;
    let before = retained(&broker).await;
    client.clear();
    for prefix in prefixes {
        let topic = at(prefix, "room/1/audio/mute");
        let result = client.command(&topic, "").await;
        assert_eq!(result["ok"], true, "{topic} {result}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for prefix in prefixes {
        let topic = at(prefix, "room/1/audio/mute");
        assert_eq!(results(&client, &topic), 1, "{topic}");
    }
    // Each restarts and touches nothing of the others.
    let mut restarted = Vec::new();
    for site in sites {
        restarted.push(site.restart().await);
    }
    for prefix in prefixes {
        online(&client, &at(prefix, "room/1")).await;
    }
    tokio::time::sleep(SETTLED).await;
    assert_eq!(topics(&retained(&broker).await, ""), topics(&before, ""));
    for site in restarted {
        site.stop().await;
    }
}

/// The same gateway under another client id does not know its own messages, so it clears nothing;
/// what it publishes now is marked anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_id_clears_nothing_and_warns_of_nobody() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let site = Site::start(&broker, "before", "", &["1", "goes"]).await;
    online(&client, "room/1").await;
    online(&client, "room/goes").await;
    let mut config = site.config.clone();
    config.mqtt.client_id = Some("after".into());
    config.rooms.remove("goes");
    let site = Site { config, ..site }.restart().await;
    online(&client, "room/1").await;
    tokio::time::sleep(SETTLED).await;
    let after = retained(&broker).await;
    assert!(topics(&after, "room/goes/").len() > 30);
    assert_eq!(after["room/goes/availability"], "offline");
    others(&client, 0).await;
    client.clear();
    let result = client.command("room/goes/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "unknown_room", "{result}");
    site.stop().await;
    client.expect("gateway/availability", "offline").await;
}

/// A second process with the same configuration: both throw each other out of the broker, and
/// neither clears anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_the_same_configuration_wipes_nothing() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let site = Site::start(&broker, "twin", "", &["1"]).await;
    online(&client, "room/1").await;
    tokio::time::sleep(SETTLED).await;
    let before = retained(&broker).await;
    let twin = start(&site.config).await;
    tokio::time::sleep(SETTLED).await;
    let between = retained(&broker).await;
    assert!(topics(&between, "room/1/").is_superset(&topics(&before, "room/1/")));
    twin.stop().await;
    client.expect("gateway/availability", "online").await;
    site.stop().await;
}

/// What a version without marks has left: it cannot be told from another gateway's, so it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_mark_stays_at_the_first_start_after_an_upgrade() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    for (topic, payload) in [
        (
            "gateway/info",
            r#"{"version":"0.0.9","rooms":{"1":null,"old":null}}"#,
        ),
        ("room/old/audio/volume", "5"),
        ("room/1/call/media_stats", "[]"),
        ("room/1/audio/volume", "5"),
    ] {
        let none = rumqttc::v5::mqttbytes::v5::PublishProperties::default();
        client.publish_with(topic, payload, true, none).await;
    }
    let site = Site::start(&broker, "one", "", &["1"]).await;
    online(&client, "room/1").await;
    tokio::time::sleep(SETTLED).await;
    let held = retained(&broker).await;
    assert_eq!(held["room/old/audio/volume"], "5");
    assert_eq!(held["room/1/call/media_stats"], "[]");
    assert_eq!(held["room/1/audio/volume"], "62");
    others(&client, 0).await;
    site.stop().await;
}
