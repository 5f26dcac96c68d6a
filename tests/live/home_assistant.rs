//! The real Home Assistant: which entities it makes of the documents, and whether its services reach
//! the device.
//!
//! Needs a running Home Assistant whose MQTT integration uses the given broker:
//!
//! ```text
//! HA_URL=http://127.0.0.1:8123 HA_TOKEN_FILE=token HA_BROKER_PORT=1883 \
//!     cargo test --test live home_assistant -- --ignored
//! ```
//!
//! The test's rooms, `live_a` and `live_b`, are removed again.
use std::collections::BTreeMap;
use std::env::var;
use std::time::{Duration, Instant};

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};

const GATEWAY: &str = "homeassistant/device/poly2mqtt-live-gateway/config";

/// Home Assistant's own interface.
struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = std::fs::read_to_string(var("HA_TOKEN_FILE").unwrap()).unwrap();
        Self {
            http: reqwest::Client::new(),
            url: var("HA_URL").unwrap(),
            token: token.trim().to_owned(),
        }
    }

    /// The state of an entity; `None` if Home Assistant does not know it.
    async fn state(&self, entity: &str) -> Option<Value> {
        let url = format!("{}/api/states/{entity}", self.url);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await;
        let answer = answer.unwrap();
        match answer.status().as_u16() {
            200 => Some(answer.json().await.unwrap()),
            _ => None,
        }
    }

    async fn call(&self, service: &str, entity: &str, mut data: Value) {
        let url = format!("{}/api/services/{service}", self.url);
        data["entity_id"] = entity.into();
        let request = self.http.post(url).bearer_auth(&self.token).json(&data);
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "{service} {entity}: {status}");
    }

    async fn until(&self, entity: &str, what: &str, holds: impl Fn(Option<&Value>) -> bool) {
        let deadline = Instant::now() + SOON;
        loop {
            let state = self.state(entity).await;
            if holds(state.as_ref()) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{entity}: never {what}, but {state:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn shows(&self, entity: &str, wanted: &str) {
        self.until(entity, wanted, |state| {
            state.is_some_and(|state| state["state"] == wanted)
        })
        .await;
    }
}

/// The enabled entities of a document.
fn entities(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let components = document["components"].as_object().unwrap();
    components
        .values()
        .filter(|component| component["enabled_by_default"].is_null())
        .map(|component| component["default_entity_id"].as_str().unwrap().to_owned())
        .collect()
}

fn config_topic(room: &str) -> String {
    format!("homeassistant/device/poly2mqtt-live_{room}/config")
}

async fn whole(client: &Client, room: &str) -> Vec<String> {
    let topic = config_topic(room);
    client
        .until("the whole document", |client| {
            let document = client.last(&topic);
            document.is_some_and(|document| document.contains("\"sip_registration\""))
        })
        .await;
    entities(&client.last(&topic).unwrap())
}

async fn all_available(api: &Api, entities: &[String]) {
    for entity in entities {
        api.until(entity, "available", |state| {
            state.is_some_and(|state| state["state"] != "unavailable")
        })
        .await;
    }
}

async fn all_gone(api: &Api, entities: &[String]) {
    for entity in entities {
        api.until(entity, "gone", |state| state.is_none()).await;
    }
}

/// Calls a service and checks that the device received it.
async fn reaches(
    api: &Api,
    device: &SimulatedDevice,
    (service, entity, data): (&str, &str, Value),
    holds: impl Fn(&Value) -> bool,
) {
    api.call(service, entity, data).await;
    let reached = device.wait_for(SOON, |device| holds(&device.state())).await;
    assert!(
        reached,
        "{service} {entity} did not reach {:#}",
        device.state()
    );
}

async fn services_reach_the_device(api: &Api, device: &SimulatedDevice) {
    let none = || json!({});
    for (switch, place) in [
        ("microphone_mute", "/audio/muted"),
        ("video_mute", "/video_muted"),
        ("device_mode", "/system/device_mode"),
        ("signage", "/system/signage"),
        ("camera_tracking", "/cameras/tracking"),
    ] {
        let entity = format!("switch.live_a_{switch}");
        for (service, on) in [("switch/turn_on", true), ("switch/turn_off", false)] {
            let call = (service, entity.as_str(), none());
            reaches(api, device, call, |state| {
                state.pointer(place) == Some(&on.into())
            })
            .await;
            api.shows(&entity, if on { "on" } else { "off" }).await;
        }
    }
    let volume = (
        "number/set_value",
        "number.live_a_volume",
        json!({"value": 37}),
    );
    reaches(api, device, volume, |state| state["audio"]["volume"] == 37).await;
    api.shows("number.live_a_volume", "37").await;
    let press = |key: &str| format!("button.live_a_{key}");
    let preset = press("preset_3");
    let pressed = ("button/press", preset.as_str(), none());
    reaches(api, device, pressed, |state| {
        state["cameras"]["active_preset"] == 3
    })
    .await;
    for (key, direction) in [
        ("camera_left", "MOVE_LEFT"),
        ("camera_right", "MOVE_RIGHT"),
        ("camera_up", "MOVE_UP"),
        ("camera_down", "MOVE_DOWN"),
        ("camera_zoom_in", "MOVE_ZOOMIN"),
        ("camera_zoom_out", "MOVE_ZOOMOUT"),
    ] {
        let button = press(key);
        let wanted = format!("near/selectedpeople {direction}");
        let pressed = ("button/press", button.as_str(), none());
        reaches(api, device, pressed, |state| {
            let moves = state["cameras"]["moves"].as_array().unwrap();
            moves.iter().any(|one| *one == *wanted)
                && moves.last().unwrap() == "near/selectedpeople stop"
        })
        .await;
    }
    api.call("button/press", &press("snapshot_take"), none())
        .await;
    let image = "image.live_a_snapshot";
    api.until(image, "a picture", |state| {
        state.is_some_and(|state| state["state"].as_str().unwrap().starts_with("20"))
    })
    .await;
    let dial = (
        "text/set_value",
        "text.live_a_dial",
        json!({"value": "{odd}@example.com"}),
    );
    let dialled =
        |address: &'static str| move |state: &Value| state["dialled"].to_string().contains(address);
    reaches(api, device, dial, dialled("{odd}@example.com")).await;
    api.shows("text.live_a_dial", "{odd}@example.com").await;
    api.shows("sensor.live_a_call_state", "connected").await;
    api.shows("binary_sensor.live_a_in_call", "on").await;
    api.shows("binary_sensor.live_a_in_meeting", "on").await;
    let hang_up = press("hang_up");
    let no_call = |state: &Value| state["calls"].as_array().unwrap().is_empty();
    reaches(api, device, ("button/press", &hang_up, none()), no_call).await;
    api.shows("sensor.live_a_call_state", "idle").await;
    api.shows("text.live_a_dial", "").await;
    for (key, address) in [
        ("current_meeting_join", "standup@example.com"),
        ("next_meeting_join", "planning@example.com"),
    ] {
        let join = press(key);
        reaches(
            api,
            device,
            ("button/press", &join, none()),
            dialled(address),
        )
        .await;
        reaches(api, device, ("button/press", &hang_up, none()), no_call).await;
    }
}

async fn the_devices_changes_show(api: &Api, device: &SimulatedDevice) {
    device.person_mutes(true);
    api.shows("switch.live_a_microphone_mute", "on").await;
    device.person_mutes(false);
    api.shows("switch.live_a_microphone_mute", "off").await;
    let event = "event.live_a_call_event";
    let happened = |wanted: &'static str| {
        move |state: Option<&Value>| {
            state.is_some_and(|state| state["attributes"]["event_type"] == wanted)
        }
    };
    device.person_calls_in("alice@example.com");
    api.shows("sensor.live_a_call_state", "ringing").await;
    api.until(event, "incoming_call", happened("incoming_call"))
        .await;
    let answer = ("button/press", "button.live_a_answer", json!({}));
    reaches(api, device, answer, |state| {
        !state["calls"].to_string().contains("PENDING")
    })
    .await;
    api.until(event, "call_connected", happened("call_connected"))
        .await;
    device.person_hangs_up();
    api.until(event, "call_ended", happened("call_ended")).await;
    device.person_calls_in("bob@example.com");
    api.shows("sensor.live_a_call_state", "ringing").await;
    let reject = ("button/press", "button.live_a_reject", json!({}));
    reaches(api, device, reject, |state| state["calls"] == json!([])).await;
    api.shows("sensor.live_a_current_meeting", "Stand-up").await;
    api.shows("sensor.live_a_next_meeting", "Planning").await;
    // There is no call to answer, so this fails with a message.
    api.call("button/press", "button.live_a_answer", json!({}))
        .await;
    let failed = happened("command_failed");
    api.until("event.live_a_command_event", "command_failed", failed)
        .await;
    // The device restarts: the room is offline and says why.
    api.call("button/press", "button.live_a_reboot", json!({}))
        .await;
    api.shows("binary_sensor.live_a_availability", "off").await;
    api.shows("binary_sensor.live_a_problem", "on").await;
    api.shows("number.live_a_volume", "unavailable").await;
    api.shows("binary_sensor.live_a_availability", "on").await;
    api.shows("binary_sensor.live_a_problem", "off").await;
}

#[tokio::test]
#[ignore = "needs a running Home Assistant"]
async fn home_assistant_shows_and_operates_a_room() {
    let api = Api::new();
    let port = var("HA_BROKER_PORT").unwrap().parse().unwrap();
    let mut devices = Vec::new();
    for name in ["A", "B"] {
        let options = Options {
            name: name.into(),
            reboot: Duration::from_secs(2),
            ..Options::default()
        };
        devices.push(SimulatedDevice::start(options).await.unwrap());
    }
    let id = |text: &str| RoomId::new(text).unwrap();
    let both = BTreeMap::from([
        (id("live_a"), room(&devices[0])),
        (id("live_b"), room(&devices[1])),
    ]);
    let url = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port,
    };
    let mut config = config(url, both.clone());
    config.mqtt.topic_prefix = "live".into();
    let client = Client::connect(port).await;
    let mut service = App::start(config.clone(), timings()).await.unwrap();
    let (a, b) = (
        whole(&client, "live_a").await,
        whole(&client, "live_b").await,
    );
    let gateway = entities(&client.last(GATEWAY).unwrap());
    assert!(a.len() > 40, "{}", a.len());
    for entities in [&a, &b, &gateway] {
        all_available(&api, entities).await;
    }
    services_reach_the_device(&api, &devices[0]).await;
    the_devices_changes_show(&api, &devices[0]).await;

    // A new configuration removes a room, another one adds it again.
    config.rooms.remove("live_b");
    service.reload(config.clone()).await.unwrap();
    all_gone(&api, &b).await;
    config.rooms = both;
    service.reload(config.clone()).await.unwrap();
    whole(&client, "live_b").await;
    all_available(&api, &b).await;
    all_available(&api, &a).await;

    // The gateway stops and starts again.
    service.stop().await;
    for entity in &a {
        let own = entity.ends_with("_availability");
        let wanted = |state: &Value| own || state["state"] == "unavailable";
        api.until(entity, "unavailable", |state| state.is_some_and(wanted))
            .await;
    }
    api.until(
        "binary_sensor.poly2mqtt_live_availability",
        "known",
        |state| state.is_some(),
    )
    .await;
    let mut service = App::start(config.clone(), timings()).await.unwrap();
    all_available(&api, &a).await;
    all_available(&api, &b).await;

    // Everything is removed.
    config.rooms.clear();
    service.reload(config).await.unwrap();
    all_gone(&api, &a).await;
    all_gone(&api, &b).await;
    client.expect(&config_topic("live_a"), "").await;
    service.stop().await;
    let none = PublishProperties::default();
    client.publish_with(GATEWAY, "", true, none).await;
    for device in devices {
        device.stop().await;
    }
}
