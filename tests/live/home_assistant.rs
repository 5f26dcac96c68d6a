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
//! Its `configuration.yaml` must have `automation: !include automations.yaml`, as that of a new installation
//! has. The test's rooms, `try_a`, `try_b` and `try_old_…`, are removed again.
mod api;
mod examples;
mod templates;

use std::collections::BTreeMap;
use std::env::var;
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use reqwest::Method;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};

use api::{Api, SETTLED};

const GATEWAY: &str = "homeassistant/device/poly2mqtt-try-gateway/config";

/// The enabled entities of a document.
fn entities(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let components = document["components"].as_object().unwrap();
    components
        .values()
        .filter(|component| component["enabled_by_default"].is_null())
        .filter(|component| component["platform"] != "device_automation")
        .map(|component| component["default_entity_id"].as_str().unwrap().to_owned())
        .collect()
}

fn config_topic(room: &str) -> String {
    format!("homeassistant/device/poly2mqtt-try_{room}/config")
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
        let entity = format!("switch.try_a_{switch}");
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
        "number.try_a_volume",
        json!({"value": 37}),
    );
    reaches(api, device, volume, |state| state["audio"]["volume"] == 37).await;
    api.shows("number.try_a_volume", "37").await;
    let choose = |option: &str| json!({ "option": option });
    for (option, index) in [("Main", 1), ("EagleEye Cube USB", 3)] {
        let camera = "select.try_a_camera";
        let chosen = ("select/select_option", camera, choose(option));
        reaches(api, device, chosen, |state| {
            state["cameras"]["people"] == index
        })
        .await;
        api.shows(camera, option).await;
    }
    for option in ["Teams", "Poly"] {
        let provider = "select.try_a_provider";
        let chosen = ("select/select_option", provider, choose(option));
        reaches(api, device, chosen, |state| {
            state["provider"]["active"] == option
        })
        .await;
        api.shows(provider, option).await;
    }
    let press = |key: &str| format!("button.try_a_{key}");
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
    api.call("button/press", &press("take_snapshot"), none())
        .await;
    let image = "image.try_a_snapshot";
    api.until(image, "a picture", |state| {
        state.is_some_and(|state| state["state"].as_str().unwrap().starts_with("20"))
    })
    .await;
    let picture = format!("image_proxy/{image}");
    let picture = api.request(Method::GET, &picture, &Value::Null).await;
    assert_eq!(picture.headers()["content-type"], "image/jpeg");
    let picture = picture.bytes().await.unwrap();
    assert!(picture.starts_with(b"\xff\xd8\xff") && picture.ends_with(b"\xff\xd9"));
    let dial = (
        "text/set_value",
        "text.try_a_dial",
        json!({"value": "{odd}@example.com"}),
    );
    let dialled =
        |address: &'static str| move |state: &Value| state["dialled"].to_string().contains(address);
    reaches(api, device, dial, dialled("{odd}@example.com")).await;
    api.shows("text.try_a_dial", "{odd}@example.com").await;
    api.shows("sensor.try_a_call_state", "connected").await;
    api.shows("binary_sensor.try_a_in_call", "on").await;
    api.shows("binary_sensor.try_a_in_meeting", "on").await;
    let hang_up = press("hang_up");
    let no_call = |state: &Value| state["calls"].as_array().unwrap().is_empty();
    reaches(api, device, ("button/press", &hang_up, none()), no_call).await;
    api.shows("sensor.try_a_call_state", "idle").await;
    api.shows("text.try_a_dial", "").await;
    for (key, address) in [
        ("join_current_meeting", "standup@example.com"),
        ("join_next_meeting", "planning@example.com"),
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

/// A preset that is stored gets a button that works, with the name that the configuration gives it, and
/// loses it when it is cleared.
async fn presets_come_and_go(api: &Api, device: &SimulatedDevice, client: &Client) {
    let topic = |what: &str| format!("try/room/try_a/camera/preset/7/{what}");
    let button = "button.try_a_preset_7";
    assert!(api.state(button).await.is_none(), "{button} is there");
    for _ in 0..2 {
        client.command(&topic("store"), "").await;
        api.until(button, "there", |state| {
            let name = |state: &Value| state["attributes"]["friendly_name"].clone();
            state.is_some_and(|it| {
                it["state"] != "unavailable" && name(it) == "Try Boardroom Preset Lectern"
            })
        })
        .await;
        let pressed = ("button/press", button, json!({}));
        reaches(api, device, pressed, |state| {
            state["cameras"]["active_preset"] == 7
        })
        .await;
        client
            .command("try/room/try_a/camera/preset/3/activate", "")
            .await;
        client.command(&topic("clear"), "").await;
        api.until_in(SETTLED, button, "gone", |state| state.is_none())
            .await;
    }
}

async fn the_devices_changes_show(api: &Api, device: &SimulatedDevice) {
    device.person_mutes(true);
    api.shows("switch.try_a_microphone_mute", "on").await;
    device.person_mutes(false);
    api.shows("switch.try_a_microphone_mute", "off").await;
    let event = "event.try_a_call_event";
    let happened = |wanted: &'static str| {
        move |state: Option<&Value>| {
            state.is_some_and(|state| state["attributes"]["event_type"] == wanted)
        }
    };
    device.person_calls_in("alice@example.com");
    api.shows("sensor.try_a_call_state", "ringing").await;
    api.until(event, "incoming_call", happened("incoming_call"))
        .await;
    let answer = ("button/press", "button.try_a_answer", json!({}));
    reaches(api, device, answer, |state| {
        !state["calls"].to_string().contains("PENDING")
    })
    .await;
    api.until(event, "call_connected", happened("call_connected"))
        .await;
    device.person_hangs_up();
    api.until(event, "call_ended", happened("call_ended")).await;
    device.person_calls_in("bob@example.com");
    api.shows("sensor.try_a_call_state", "ringing").await;
    let reject = ("button/press", "button.try_a_reject", json!({}));
    reaches(api, device, reject, |state| state["calls"] == json!([])).await;
    api.shows("sensor.try_a_current_meeting", "Stand-up").await;
    api.shows("sensor.try_a_next_meeting", "Planning").await;
    // There is no call to answer, so this fails with a message.
    api.call("button/press", "button.try_a_answer", json!({}))
        .await;
    let failed = happened("command_failed");
    api.until("event.try_a_command_failed", "command_failed", failed)
        .await;
    // The device restarts: the room is offline and says why.
    api.call("button/press", "button.try_a_reboot", json!({}))
        .await;
    api.shows("binary_sensor.try_a_availability", "off").await;
    api.shows("binary_sensor.try_a_problem", "on").await;
    api.shows("number.try_a_volume", "unavailable").await;
    api.shows("binary_sensor.try_a_availability", "on").await;
    api.shows("binary_sensor.try_a_problem", "off").await;
}

#[tokio::test]
#[ignore = "needs a running Home Assistant"]
async fn home_assistant_shows_and_operates_a_room() {
    let api = Api::new();
    examples::automations_can_be_made(&api).await;
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
    let mut boardroom = room(&devices[0]);
    boardroom.name = Some("Try Boardroom".into());
    boardroom.presets.insert(7, "Lectern".into()).unwrap();
    let both = BTreeMap::from([(id("try_a"), boardroom), (id("try_b"), room(&devices[1]))]);
    let url = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port,
    };
    let mut config = config(url, both);
    let both = config.rooms.clone();
    config.mqtt.topic_prefix = "try".into();
    let client = Client::connect(port).await;
    let mut service = App::start(config.clone(), timings()).await.unwrap();
    let (a, b) = (whole(&client, "try_a").await, whole(&client, "try_b").await);
    let gateway = entities(&client.last(GATEWAY).unwrap());
    assert!(a.len() > 40, "{}", a.len());
    for entities in [&a, &b, &gateway] {
        all_available(&api, entities).await;
    }
    let document: Value =
        serde_json::from_str(&client.last(&config_topic("try_a")).unwrap()).unwrap();
    templates::words_are_understood(&api, &document["components"]).await;
    examples::the_device_has_its_area_and_triggers(&api, "try_a", "Try Boardroom").await;
    examples::dashboards_show_what_there_is(&api).await;
    services_reach_the_device(&api, &devices[0]).await;
    presets_come_and_go(&api, &devices[0], &client).await;
    examples::blueprints_do_what_they_say(&api, &client, &devices[0]).await;
    for [entity, name, state] in api.list("try").await {
        println!("{entity}\t{name}\t{state}");
    }
    the_devices_changes_show(&api, &devices[0]).await;
    examples::an_unready_room_is_warned_of(&client).await;
    examples::clean_up(&api, &client).await;

    // A new configuration removes a room, another one adds it again.
    config.rooms.remove("try_b");
    service.reload(config.clone()).await.unwrap();
    all_gone(&api, &b).await;
    config.rooms = both;
    service.reload(config.clone()).await.unwrap();
    whole(&client, "try_b").await;
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
        "binary_sensor.poly2mqtt_try_availability",
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
    client.expect(&config_topic("try_a"), "").await;
    service.stop().await;
    let none = PublishProperties::default();
    client.publish_with(GATEWAY, "", true, none).await;
    for device in devices {
        device.stop().await;
    }
}

/// Sensors that an earlier version of the gateway made: some have gone, some are binary sensors now.
#[tokio::test]
#[ignore = "needs a running Home Assistant"]
async fn what_an_earlier_version_left_goes() {
    let api = Api::new();
    let port = var("HA_BROKER_PORT").unwrap().parse().unwrap();
    let client = Client::connect(port).await;
    // Home Assistant remembers entities that it had: this one it has never seen.
    let id = format!("try_old_{}", std::process::id());
    let topic = format!("homeassistant/device/poly2mqtt-old_{id}/config");
    let sensor = |key: &str| {
        json!({
            "platform": "sensor", "unique_id": format!("poly2mqtt-old_{id}_{key}"),
            "default_entity_id": format!("sensor.{id}_{key}"), "name": key, "qos": 1,
            "state_topic": format!("old/room/{id}/old"),
        })
    };
    let availability = |topic: String| json!({"topic": topic});
    let preset = format!("button.{id}_preset_1");
    let document = json!({
        "device": {"identifiers": [format!("poly2mqtt-old_{id}")], "name": "Old"},
        "origin": {"name": "poly2mqtt"},
        "availability": [
            availability("old/gateway/availability".into()),
            availability(format!("old/room/{id}/availability")),
        ],
        "availability_mode": "all",
        "components": {
            "sip_registration": sensor("sip_registration"),
            "firmware": sensor("firmware"),
            "status_mr_audio": sensor("status_mr_audio"),
            "preset_1": {
                "platform": "button", "unique_id": format!("poly2mqtt-old_{id}_preset_1"),
                "default_entity_id": preset, "name": "Preset 1", "qos": 1,
                "command_topic": format!("old/room/{id}/camera/preset/1/activate"), "payload_press": "",
                "enabled_by_default": false,
            },
        },
    });
    let none = PublishProperties::default();
    client
        .publish_with(&topic, document.to_string(), true, none)
        .await;
    let [registration, firmware, audio] = ["sip_registration", "firmware", "status_mr_audio"];
    for key in [registration, firmware, audio] {
        let entity = format!("sensor.{id}_{key}");
        api.until(&entity, "there", |state| state.is_some()).await;
    }
    assert!(api.state(&preset).await.is_none());
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let url = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port,
    };
    let rooms = BTreeMap::from([(RoomId::new(&id).unwrap(), room(&device))]);
    let mut config = config(url, rooms);
    config.mqtt.topic_prefix = "old".into();
    let mut service = App::start(config.clone(), timings()).await.unwrap();
    api.shows(&format!("binary_sensor.{id}_sip_registration"), "on")
        .await;
    api.shows(&format!("binary_sensor.{id}_system_audio"), "off")
        .await;
    api.until(&preset, "enabled", |state| {
        state.is_some_and(|state| state["state"] != "unavailable")
    })
    .await;
    for key in [registration, firmware, audio] {
        let entity = format!("sensor.{id}_{key}");
        api.until_in(SETTLED, &entity, "gone", |state| state.is_none())
            .await;
    }
    api.shows(&format!("binary_sensor.{id}_sip_registration"), "on")
        .await;
    config.rooms.clear();
    service.reload(config).await.unwrap();
    client.expect(&topic, "").await;
    service.stop().await;
    let none = PublishProperties::default();
    let gateway = "homeassistant/device/poly2mqtt-old-gateway/config";
    client.publish_with(gateway, "", true, none).await;
    device.stop().await;
}
