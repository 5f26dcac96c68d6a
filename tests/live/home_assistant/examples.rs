//! `examples/home-assistant`: blueprints make automations that do what they say, and each entity of the
//! dashboards exists.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use poly2mqtt_simulator::SimulatedDevice;
use poly2mqtt_test_support::client::Client;
use reqwest::Method;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};

use super::api::Api;

fn example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("examples/home-assistant").join(name)
}

/// A lamp and a door, which the test plays over MQTT.
async fn discover_lamp_and_door(client: &Client) {
    for (config, document) in [
        (
            "light/try_lamp",
            json!({
                "unique_id": "try_lamp", "name": "Try lamp", "default_entity_id": "light.try_lamp",
                "schema": "json", "brightness": true,
                "command_topic": "try/lamp/set", "state_topic": "try/lamp", "optimistic": true,
            }),
        ),
        (
            "binary_sensor/try_door",
            json!({
                "unique_id": "try_door", "name": "Try door", "device_class": "door",
                "default_entity_id": "binary_sensor.try_door", "state_topic": "try/door",
            }),
        ),
    ] {
        let topic = format!("homeassistant/{config}/config");
        let none = PublishProperties::default();
        client
            .publish_with(&topic, document.to_string(), true, none)
            .await;
    }
}

async fn make(api: &Api, name: &str, blueprint: &str, input: Value) {
    let yaml = std::fs::read_to_string(example(&format!("blueprints/{blueprint}.yaml"))).unwrap();
    let path = format!("poly2mqtt/{blueprint}.yaml");
    api.ask(json!({
        "type": "blueprint/save", "domain": "automation", "path": path, "yaml": yaml,
        "allow_override": true,
    }))
    .await;
    automate(
        api,
        name,
        json!({"use_blueprint": {"path": path, "input": input}}),
    )
    .await;
}

const NEEDS_AUTOMATIONS: &str = "Home Assistant's configuration.yaml needs the line `automation: \
    !include automations.yaml`, and beside it an automations.yaml that holds `[]`; then restart it";

/// Whether Home Assistant can be given automations, which the blueprints become.
pub async fn automations_can_be_made(api: &Api) {
    let answer = api.request(Method::GET, "config", &Value::Null).await;
    let config: Value = answer.json().await.unwrap();
    let components = config["components"].as_array().unwrap();
    let has_automations = components.iter().any(|name| name == "automation");
    assert!(has_automations, "{NEEDS_AUTOMATIONS}");
}

async fn automate(api: &Api, name: &str, mut automation: Value) {
    automation["alias"] = name.into();
    let path = format!("config/automation/config/{name}");
    let answer = api.request(Method::POST, &path, &automation).await;
    let (status, said) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{name}: {status} {said}");
    let entity = format!("automation.{name}");
    let what = format!("read from automations.yaml ({NEEDS_AUTOMATIONS})");
    api.until(&entity, &what, |state| state.is_some()).await;
}

/// An action that tells the test what a blueprint's variables are.
fn tell(topic: &str, payload: &str) -> Value {
    json!([{"action": "mqtt.publish", "data": {"topic": topic, "payload": payload}}])
}

/// The device of a room in Home Assistant.
async fn device_of(api: &Api, room: &str) -> Value {
    let devices = api
        .ask(json!({"type": "config/device_registry/list"}))
        .await;
    let id = format!("poly2mqtt-try_{room}");
    let is_its = |device: &&Value| device["identifiers"].to_string().contains(&id);
    let list = devices.as_array().unwrap();
    list.iter().find(is_its).unwrap().clone()
}

/// The device stands in the area that is called like its room, shows model and firmware, and has
/// triggers.
pub async fn the_device_has_its_area_and_triggers(api: &Api, room: &str, area: &str) {
    let device = device_of(api, room).await;
    assert_eq!(device["model"], "StudioX50", "{device}");
    assert!(device["sw_version"].is_string(), "{device}");
    let areas = api.ask(json!({"type": "config/area_registry/list"})).await;
    let mut areas = areas.as_array().unwrap().iter();
    let its = areas.find(|one| one["area_id"] == device["area_id"]);
    assert_eq!(its.unwrap()["name"], area);
    let question = json!({"type": "device_automation/trigger/list", "device_id": device["id"]});
    let triggers = api.ask(question).await;
    let list = triggers.as_array().unwrap().iter();
    let own = list.filter(|trigger| trigger["domain"] == "mqtt");
    let words = |trigger: &Value| format!("{} {}", trigger["subtype"], trigger["type"]);
    let mut told: Vec<_> = own.map(words).collect();
    told.sort();
    let wanted = [
        r#""Call" "connected""#,
        r#""Call" "ended""#,
        r#""Call" "incoming""#,
        r#""Command" "failed""#,
        r#""Paired device" "back""#,
        r#""Paired device" "lost""#,
        r#""Readiness" "failed""#,
    ];
    assert_eq!(told, wanted);
}

pub async fn blueprints_do_what_they_say(api: &Api, client: &Client, device: &SimulatedDevice) {
    discover_lamp_and_door(client).await;
    api.until("light.try_lamp", "there", |state| state.is_some())
        .await;
    api.until("binary_sensor.try_door", "there", |state| state.is_some())
        .await;
    let in_use = json!([
        "binary_sensor.try_a_in_call",
        "binary_sensor.try_a_in_meeting"
    ]);
    let lamp = json!({"busy": in_use, "lamp": {"entity_id": "light.try_lamp"}, "brightness": 40});
    make(api, "try_lamp_of_a", "busy_light", lamp).await;
    let announce = json!({
        "call_event": "event.try_a_call_event",
        "announce": tell("try/announced", "{{ caller }} <{{ address }}> calls {{ room }}"),
    });
    make(api, "try_caller_of_a", "announce_caller", announce).await;
    let mute = json!({
        "door": "binary_sensor.try_door",
        "microphone_mute": "switch.try_a_microphone_mute",
        "in_call": in_use, "unmute": true, "closed_for": 1,
    });
    make(api, "try_door_of_a", "mute_when_door_opens", mute).await;
    let warn = json!({
        "sensors": ["binary_sensor.try_a_readiness", "binary_sensor.try_a_problem"],
        "patience": 0, "warn": tell("try/warned", "{{ room }}: {{ message }}"),
    });
    make(api, "try_unready_a", "unready_room", warn).await;
    let trigger = device_of(api, "try_a").await["id"].clone();
    let list = json!({"type": "device_automation/trigger/list", "device_id": trigger});
    let list = api.ask(list).await;
    let is_ringing = |one: &&Value| one["type"] == "incoming";
    let ringing = list.as_array().unwrap().iter().find(is_ringing).unwrap();
    let mut ringing = ringing.clone();
    ringing["trigger"] = "device".into();
    ringing.as_object_mut().unwrap().remove("metadata");
    ringing.as_object_mut().unwrap().remove("platform");
    let by_device = json!({
        "triggers": [ringing],
        "actions": tell("try/triggered", "{{ trigger.payload_json.address }}"),
    });
    automate(api, "try_trigger_of_a", by_device).await;

    // Somebody calls, and is answered.
    device.person_calls_in("carol@example.com");
    let announced = "carol <carol@example.com> calls Try Boardroom";
    client.expect("try/announced", announced).await;
    client.expect("try/triggered", "carol@example.com").await;
    api.call("button/press", "button.try_a_answer", json!({}))
        .await;
    client
        .until("the lamp on", |client| {
            let said = client.last("try/lamp/set").unwrap_or_default();
            said.contains("\"ON\"") && said.contains("102")
        })
        .await;
    // The door opens and is closed.
    let mute = "switch.try_a_microphone_mute";
    client.publish("try/door", "OFF").await;
    api.shows("binary_sensor.try_door", "off").await;
    client.publish("try/door", "ON").await;
    api.shows(mute, "on").await;
    client.publish("try/door", "OFF").await;
    api.shows(mute, "off").await;
    // A person who takes the mute over keeps it.
    client.publish("try/door", "ON").await;
    api.shows(mute, "on").await;
    device.person_mutes(false);
    api.shows(mute, "off").await;
    device.person_mutes(true);
    api.shows(mute, "on").await;
    client.publish("try/door", "OFF").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    api.shows(mute, "on").await;
    device.person_mutes(false);
    device.person_hangs_up();
    client
        .until("the lamp off", |client| {
            let said = client.last("try/lamp/set").unwrap_or_default();
            said.contains("\"OFF\"")
        })
        .await;
    // Without a call a door does nothing.
    api.shows("binary_sensor.try_a_in_call", "off").await;
    client.publish("try/door", "ON").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    api.shows(mute, "off").await;
    assert_eq!(client.messages("try/announced").len(), 1);
}

/// The device goes away: the last blueprint warns of it.
pub async fn an_unready_room_is_warned_of(client: &Client) {
    client
        .until("a warning", |client| {
            let said = client.last("try/warned").unwrap_or_default();
            said.starts_with("Try Boardroom: ") && said.len() > "Try Boardroom: see".len()
        })
        .await;
    println!("warned: {}", client.last("try/warned").unwrap());
}

/// The texts of a JSON value that are the ids of entities.
fn entities(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(id) if ["entity", "entity_id"].contains(&name.as_str()) => {
                        found.push(id.clone());
                    }
                    value => entities(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| entities(value, found)),
        _ => {}
    }
}

/// Reads YAML with Python, which must have PyYAML.
fn yaml(file: &Path) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    let output = Command::new("python3")
        .args(["-c", script])
        .stdin(std::fs::File::open(file).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub async fn dashboards_show_what_there_is(api: &Api) {
    let mut list = api.ask(json!({"type": "lovelace/dashboards/list"})).await;
    for name in ["room", "all-rooms"] {
        let text = yaml(&example(&format!("dashboards/{name}.yaml"))).to_string();
        let text = text.replace("poly2mqtt_", "poly2mqtt_try_");
        let text = text
            .replace("room_1_", "try_a_")
            .replace("room_2_", "try_b_");
        let config: Value = serde_json::from_str(&text).unwrap();
        let path = format!("try-{name}");
        let mut known = list.as_array_mut().unwrap().iter();
        if !known.any(|one| one["url_path"] == path) {
            let title = config["title"].clone();
            let create = json!({
                "type": "lovelace/dashboards/create", "url_path": path, "title": title,
            });
            api.ask(create).await;
        }
        api.ask(json!({"type": "lovelace/config/save", "url_path": path, "config": config}))
            .await;
        let kept = api
            .ask(json!({"type": "lovelace/config", "url_path": path}))
            .await;
        assert_eq!(kept, config);
        let mut ids = Vec::new();
        entities(&kept, &mut ids);
        assert!(ids.len() > 10, "{ids:?}");
        for id in ids {
            assert!(api.state(&id).await.is_some(), "{name}: there is no {id}");
        }
    }
}

/// Takes away what the tests made, but for the dashboards' and blueprints' files.
pub async fn clean_up(api: &Api, client: &Client) {
    for name in [
        "try_lamp_of_a",
        "try_caller_of_a",
        "try_door_of_a",
        "try_unready_a",
        "try_trigger_of_a",
    ] {
        let path = format!("config/automation/config/{name}");
        api.request(Method::DELETE, &path, &Value::Null).await;
    }
    for config in ["light/try_lamp", "binary_sensor/try_door"] {
        let topic = format!("homeassistant/{config}/config");
        let none = PublishProperties::default();
        client.publish_with(&topic, "", true, none).await;
    }
}
