//! Home Assistant discovery: the documents, and when they are at the broker.
//!
//! `tests/live/home_assistant.rs` tests with the real program.
mod earlier_ids;
mod examples;
mod limits;
mod schema;
mod sharing;

use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::catalogue::{PresetNames, SelectOption};
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt::home_assistant::{
    Namespace, RoomFacts, cluster_document, gateway_document, member_document, room_document,
};
use poly2mqtt_simulator::{Firmware, Options, SimulatedDevice};
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{Gateway, config, room, timings};
use poly2mqtt_test_support::{BrokerKind, Mosquitto, mosquitto};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};

const STATUS: &str = "homeassistant/status";
const ROOM: &str = "homeassistant/device/poly2mqtt_1/config";
const GATEWAY: &str = "homeassistant/device/poly2mqtt-gateway/config";

fn namespace(topic_prefix: &str) -> Namespace {
    Namespace {
        topic_prefix: topic_prefix.into(),
        discovery_prefix: "homeassistant".into(),
    }
}

fn facts(states: &[&str]) -> RoomFacts {
    let option = |index: i64, name: &str| SelectOption {
        keys: vec![index.to_string()],
        name: name.into(),
    };
    let provider = |persona: &str, name: &str| SelectOption {
        keys: [persona, name].map(str::to_lowercase).into(),
        name: name.into(),
    };
    let people = vec![option(1, "Main"), option(3, "A \"quoted\" caf\u{e9}")];
    RoomFacts {
        options: [
            ("people_source", people),
            ("content_source", vec![option(2, "HDMI Input")]),
            (
                "provider",
                vec![
                    provider("Teams", "Teams"),
                    provider("camuvc", "Device Mode"),
                ],
            ),
        ]
        .map(|(key, options)| (key.to_owned(), options))
        .into(),
        id: "1".into(),
        name: Some("Boardroom".into()),
        url: "https://192.0.2.1/".into(),
        allow: ["system/reboot".to_owned()].into(),
        online: true,
        model: Some("StudioX50".into()),
        serial: Some("8G1".into()),
        firmware: Some("4.6.2".into()),
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        stored: [1, 3].into(),
        preset_names: PresetNames::default(),
        panels: [("8L1".to_owned(), "Poly TC8".to_owned())].into(),
    }
}

const ALL: &[&str] = &[
    "audio",
    "calendar/meetings",
    "calendar/status",
    "call/in_meeting",
    "call/last",
    "calls",
    "camera/near/connected",
    "camera/near/selected_content",
    "camera/near/selected_people",
    "camera/presets",
    "system/boot_time",
    "system/device_mode",
    "system/devices",
    "system/h323_gatekeepers",
    "system/info",
    "system/lan",
    "system/log_full",
    "system/mode",
    "system/providers",
    "system/reboot_needed",
    "system/signage",
    "system/sip_servers",
    "system/status",
    "system/status/ipnetwork",
    "system/status/mr.audio",
    "system/time_server",
    "system/touch_panel/8L1",
    "video/muted",
];

fn room_value(topic_prefix: &str, facts: &RoomFacts) -> Value {
    serde_json::to_value(room_document(&namespace(topic_prefix), facts)).unwrap()
}

fn good(document: &Value) {
    let wrong = schema::check(document);
    assert!(wrong.is_empty(), "{}\n{document:#}", wrong.join("\n"));
    let text = document.to_string();
    assert!(!text.contains("null"), "{text}");
}

#[test]
fn every_document_is_as_home_assistant_wants_it() {
    let mut unnamed = facts(ALL);
    unnamed.name = None;
    unnamed.model = None;
    unnamed.serial = None;
    unnamed.firmware = None;
    for prefix in ["", "av/x"] {
        good(&room_value(prefix, &facts(ALL)));
        good(&room_value(prefix, &facts(&[])));
        good(&room_value(prefix, &unnamed));
        good(&serde_json::to_value(gateway_document(&namespace(prefix))).unwrap());
        good(&cluster_document(&namespace(prefix)).value());
        good(&member_document(&namespace(prefix), "gw-1").value());
    }
}

#[test]
fn the_check_finds_what_home_assistant_drops_in_silence() {
    let document = room_value("", &facts(ALL));
    let found = |change: fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document);
        schema::check(&document).join("\n")
    };
    let told = found(|it| it["device"]["model"] = Value::Null);
    assert!(told.contains("device: model takes text"), "{told}");
    let told = found(|it| it["components"]["volume"]["minimum"] = 0.into());
    assert!(
        told.contains("volume: minimum is not known there"),
        "{told}"
    );
    let told = found(|it| it["qos"] = 1.into());
    assert!(told.contains("root: qos is not known there"), "{told}");
    let told = found(|it| it["components"]["lan"]["entity_category"] = "config".into());
    assert!(told.contains("lan: entity_category takes"), "{told}");
    let told = found(|it| it["components"]["trigger_incoming_call"]["unique_id"] = "x".into());
    assert!(
        told.contains("incoming_call: unique_id is not known"),
        "{told}"
    );
    let told = found(|it| it["components"]["reboot"]["device_class"] = "reboot".into());
    assert!(told.contains("reboot: device_class takes"), "{told}");
    let told = found(|it| it["components"]["dial"]["command_topic"] = "a/+".into());
    assert!(told.contains("dial: command_topic takes"), "{told}");
}

#[test]
fn components_say_what_their_entries_say() {
    let document = room_value("", &facts(ALL));
    let device = json!({
        "identifiers": ["poly2mqtt_1"],
        "name": "Boardroom",
        "manufacturer": "Poly",
        "model": "StudioX50",
        "serial_number": "8G1",
        "sw_version": "4.6.2",
        "suggested_area": "Boardroom",
        "configuration_url": "https://192.0.2.1/",
        "via_device": "poly2mqtt-gateway",
    });
    assert_eq!(document["device"], device);
    let both = json!([{"topic": "gateway/availability"}, {"topic": "room/1/availability"}]);
    assert_eq!(document["availability"], both);
    assert_eq!(document["availability_mode"], "all");
    let component = |key: &str| document["components"][key].clone();
    let mute = json!({
        "platform": "switch",
        "command_topic": "room/1/audio/muted/set",
        "state_topic": "room/1/audio/muted",
        "payload_on": "true",
        "payload_off": "false",
        "unique_id": "poly2mqtt_1_microphone_mute",
        "default_entity_id": "switch.room_1_microphone_mute",
        "name": "Microphone mute",
        "icon": "mdi:microphone-off",
        "qos": 1,
    });
    assert_eq!(component("microphone_mute"), mute);
    let volume = component("volume");
    assert_eq!((&volume["min"], &volume["max"]), (&json!(0), &json!(100)));
    let preset = json!({
        "platform": "button",
        "command_topic": "room/1/camera/preset/3/activate",
        "payload_press": "",
        "unique_id": "poly2mqtt_1_preset_3",
        "default_entity_id": "button.room_1_preset_3",
        "name": "Preset 3",
        "icon": "mdi:camera-control",
        "qos": 1,
    });
    assert_eq!(component("preset_3"), preset);
    assert_eq!(component("preset_2"), Value::Null);
    assert_eq!(component("preset_10_store")["name"], "Store preset 10");
    let own = json!([{"topic": "gateway/availability"}]);
    assert_eq!(component("availability")["availability"], own);
    assert_eq!(component("problem")["availability"], own);
    let image = component("snapshot");
    assert_eq!(image["image_topic"], "room/1/camera/snapshot/near");
    assert_eq!(image["content_type"], "image/jpeg");
    let dial = component("dial");
    assert_eq!(
        dial["command_template"],
        "{{ {'address': value} | tojson }}"
    );
    assert_eq!(dial["state_topic"], "room/1/calls");
    let last_call = component("last_call");
    assert_eq!(last_call["state_topic"], "room/1/call/last");
    assert_eq!(last_call["json_attributes_topic"], "room/1/call/last");
    let part = component("status_mr_audio");
    assert_eq!(part["state_topic"], "room/1/system/status/mr.audio");
    assert_eq!(part["name"], "System: audio");
    assert_eq!(
        part["default_entity_id"],
        "binary_sensor.room_1_system_audio"
    );
    assert_eq!(part["unique_id"], "poly2mqtt_1_status_mr_audio");
    let tracking = component("camera_tracking");
    assert_eq!(
        tracking["state_topic"],
        "room/1/camera/near/selected_people"
    );
    assert_eq!(tracking["command_topic"], "room/1/camera/tracking/set");
    let source = json!({
        "platform": "select",
        "command_topic": "room/1/camera/near/selected_people/set",
        "command_template": "{{ {'source': value} | tojson }}",
        "state_topic": "room/1/camera/near/selected_people",
        "value_template": "{% set names = {\"1\":\"Main\",\"3\":\"A \\\"quoted\\\" caf\u{e9}\"} %}\
            {{ names.get((value_json.get('cameraIndex') | int(-1) | string) \
            if value_json is mapping else '', 'None') }}",
        "options": ["Main", "A \"quoted\" caf\u{e9}"],
        "unique_id": "poly2mqtt_1_people_source",
        "default_entity_id": "select.room_1_camera",
        "name": "Camera",
        "icon": "mdi:cctv",
        "qos": 1,
    });
    assert_eq!(component("people_source"), source);
    let provider = component("provider");
    assert_eq!(provider["command_topic"], "room/1/system/provider/set");
    assert_eq!(provider["state_topic"], "room/1/system/mode");
    assert_eq!(provider["options"], json!(["Teams", "Device Mode"]));
    let template = provider["value_template"].as_str().unwrap();
    let names = r#"{"teams":"Teams","camuvc":"Device Mode","device mode":"Device Mode"}"#;
    assert!(template.contains(names), "{template}");
    // The switch is guarded.
    assert_eq!(provider["enabled_by_default"], false);
    let words = component("call_state")["options"].clone();
    assert_eq!(
        words,
        json!(["idle", "dialing", "ringing", "connected", "held", "unknown"])
    );
    let gateway = serde_json::to_value(gateway_document(&namespace("av"))).unwrap();
    let there = &gateway["components"]["availability"];
    assert!(there["availability"].is_null() && gateway["availability"].is_null());
    assert_eq!(there["state_topic"], "av/gateway/availability");
}

#[test]
fn only_what_the_device_has_and_the_room_allows() {
    let keys = |facts: &RoomFacts| -> Vec<String> {
        let document = room_value("", facts);
        let components = document["components"].as_object().unwrap();
        components.keys().cloned().collect()
    };
    assert_eq!(keys(&facts(&[])), ["availability", "problem"]);
    let few = keys(&facts(&["audio", "calendar/meetings"]));
    for key in ["microphone_mute", "volume", "next_meeting", "reboot"] {
        assert!(few.contains(&key.to_owned()), "{key} is not in {few:?}");
    }
    for key in [
        "video_mute",
        "log_full",
        "preset_1",
        "call_state",
        "dial",
        "answer",
        "hang_up",
        "call_event",
        "next_meeting_join",
        "sip_registration",
    ] {
        assert!(!few.contains(&key.to_owned()), "{key} is in {few:?}");
    }
    // A meeting is joined by a call.
    for (states, there) in [
        (&["calendar/meetings", "calls"][..], true),
        (&["calls"][..], false),
    ] {
        let keys = keys(&facts(states));
        let joins = keys.contains(&"next_meeting_join".to_owned());
        assert_eq!(joins, there, "{states:?}");
    }
    let mut strict = facts(ALL);
    strict.allow.clear();
    let reboot = |facts: &RoomFacts| room_value("", facts)["components"]["reboot"].clone();
    assert_eq!(reboot(&strict)["enabled_by_default"], false);
    assert!(reboot(&facts(ALL))["enabled_by_default"].is_null());
}

/// A button is there while its preset is stored, and bears the preset's name. The ids stay.
#[test]
fn presets_have_their_names_and_no_button_while_they_are_not_stored() {
    let named = |stored: &[i64], names: &[(i64, &str)]| {
        let mut facts = facts(ALL);
        facts.stored = stored.iter().copied().collect();
        for (number, name) in names {
            let name = (*name).to_owned();
            facts.preset_names.insert(*number, name).unwrap();
        }
        let document = room_value("", &facts);
        good(&document);
        document["components"].clone()
    };
    let names = [(3, "Lectern"), (4, "\"Door\"")];
    let components = named(&[1, 3], &names);
    let name = |key: &str| components[key]["name"].clone();
    assert_eq!(name("preset_1"), "Preset 1");
    assert_eq!(name("preset_3"), "Preset Lectern");
    assert_eq!(name("preset_3_store"), "Store preset Lectern");
    assert_eq!(name("preset_4"), Value::Null);
    assert_eq!(name("preset_4_store"), "Store preset \"Door\"");
    let lectern = &components["preset_3"];
    assert_eq!(lectern["unique_id"], "poly2mqtt_1_preset_3");
    assert_eq!(lectern["default_entity_id"], "button.room_1_preset_3");
    assert_eq!(lectern["command_topic"], "room/1/camera/preset/3/activate");
    let buttons = |stored: &[i64]| {
        let components = named(stored, &names);
        let keys = components.as_object().unwrap().keys();
        let is_button = |key: &&String| key.starts_with("preset_") && !key.ends_with("_store");
        keys.filter(is_button).cloned().collect::<Vec<_>>()
    };
    assert_eq!(buttons(&[]), Vec::<String>::new());
    assert_eq!(buttons(&[4, 10, 11]), ["preset_10", "preset_4"]);
}

/// What is on or off is a binary sensor of the class that Home Assistant has for it.
#[test]
fn registrations_and_checks_are_binary_sensors() {
    let mut facts = facts(ALL);
    let parts = [
        ("autoanswerp2p", Value::Null),
        ("calendar", "connectivity".into()),
        ("gatekeeper", "connectivity".into()),
        ("globaldirectory", "connectivity".into()),
        ("microphones", "problem".into()),
        ("mr.camera", "problem".into()),
        ("provisioning", "connectivity".into()),
        ("remotecontrol", "connectivity".into()),
        ("sipserver", "connectivity".into()),
        ("trackablecamera", "problem".into()),
        ("what.comes.next", "problem".into()),
    ];
    for (part, _) in &parts {
        facts.states.insert(format!("system/status/{part}"));
    }
    facts.states.insert("system/status/logthreshold".into());
    let document = room_value("", &facts);
    good(&document);
    let components = &document["components"];
    let is = |key: &str, class: &Value| {
        let component = &components[key];
        assert_eq!(component["platform"], "binary_sensor", "{key}");
        assert_eq!(&component["device_class"], class, "{key}");
        assert!(component["json_attributes_template"].is_string(), "{key}");
    };
    for (part, class) in &parts {
        is(&format!("status_{}", part.replace('.', "_")), class);
    }
    for key in [
        "sip_registration",
        "gatekeeper_registration",
        "calendar_status",
        "time_server",
    ] {
        is(key, &"connectivity".into());
    }
    is("status_mr_audio", &"problem".into());
    // The device's own page in Home Assistant shows model and firmware, and the log has its sensor.
    for key in ["model", "firmware", "status_logthreshold"] {
        assert_eq!(components[key], Value::Null, "{key}");
    }
}

/// An entity is called what it is named, and no two are called the same.
#[test]
fn what_automations_call_an_entity_fits_its_name() {
    let mut facts = facts(ALL);
    facts.preset_names.insert(3, "Lectern".to_owned()).unwrap();
    let document = room_value("", &facts);
    let mut called = BTreeMap::new();
    for (key, component) in document["components"].as_object().unwrap() {
        let Some(id) = component["default_entity_id"].as_str() else {
            continue;
        };
        let (domain, id) = id.split_once('.').unwrap();
        assert_eq!(component["platform"], domain);
        let name = component["name"].as_str().unwrap().to_lowercase();
        let words: Vec<&str> = name
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let name = words
            .join("_")
            .replace("lectern", "3")
            .replace("poly_tc8", "8l1");
        assert_eq!(id, format!("room_1_{name}"), "{key}");
        assert_eq!(called.insert((domain, id), key), None, "{id}");
    }
    assert!(called.contains_key(&("button", "room_1_join_next_meeting")));
    assert!(called.contains_key(&("event", "room_1_command_failed")));
}

/// What happens begins automations, by the room's device.
#[test]
fn events_are_device_triggers() {
    let document = room_value("av", &facts(ALL));
    let trigger = json!({
        "platform": "device_automation",
        "automation_type": "trigger",
        "topic": "av/room/1/event/incoming_call",
        "subtype": "Call",
        "type": "incoming",
        "qos": 1,
    });
    assert_eq!(document["components"]["trigger_incoming_call"], trigger);
    let keys = |states: &[&str]| {
        let document = room_value("", &facts(states));
        let keys = document["components"].as_object().unwrap().keys();
        let triggers = keys.filter_map(|key| key.strip_prefix("trigger_"));
        triggers.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(keys(&["audio"]), ["command_failed", "readiness_failed"]);
    assert_eq!(keys(&["audio", "calls", "system/devices"]).len(), 7);
    assert_eq!(keys(&[]), Vec::<String>::new());
}

/// `poly2mqtt_<room>_<key>` must name one entity of one room, whatever rooms are called.
#[test]
fn no_two_entities_can_have_one_id() {
    let document = room_value("", &facts(ALL));
    let keys: Vec<&String> = document["components"].as_object().unwrap().keys().collect();
    for one in &keys {
        for other in &keys {
            let end = format!("_{other}");
            assert!(
                !one.ends_with(&end),
                "room 1_x and key {other}, room 1 and key {one}"
            );
        }
    }
}

async fn document(client: &Client, topic: &str) -> Value {
    let message = client.message(topic).await;
    serde_json::from_slice(&message.payload).unwrap()
}

/// Waits for a document in which something holds.
async fn until(client: &Client, topic: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let newest = |client: &Client| -> Value {
        let text = client.last(topic).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    };
    client.until(what, |client| holds(&newest(client))).await;
    newest(client)
}

async fn lives_with_its_room(kind: BrokerKind) {
    let mut it = Gateway::start(kind, Options::default()).await;
    it.online().await;
    let whole = |it: &Value| it["components"]["sip_registration"].is_object();
    let first = until(&it.client, ROOM, "the whole document", whole).await;
    good(&first);
    good(&document(&it.client, GATEWAY).await);
    assert_eq!(first["components"]["preset_5"], Value::Null);
    assert_eq!(first["device"]["model"], "StudioX50");
    // A preset that gets stored gets its button.
    it.client.command("room/1/camera/preset/5/store", "").await;
    let stored = |it: &Value| {
        let preset = &it["components"]["preset_5"];
        preset.is_object() && preset["enabled_by_default"].is_null()
    };
    until(&it.client, ROOM, "a button for preset 5", stored).await;
    // Home Assistant starts, and finds everything again.
    it.client.clear();
    it.client.publish(STATUS, "offline").await;
    it.client.publish(STATUS, "online").await;
    until(&it.client, ROOM, "the document again", stored).await;
    it.client.message(GATEWAY).await;
    // A later client sees that it is retained.
    let late = Client::connect(it.port).await;
    assert!(late.message(ROOM).await.retain);
    // The room leaves the configuration.
    it.config.rooms.clear();
    it.service.reload(it.config.clone()).await.unwrap();
    it.client.expect(ROOM, "").await;
    it.stop().await;
}

#[tokio::test]
async fn a_document_lives_with_its_room_at_the_embedded_broker() {
    lives_with_its_room(BrokerKind::Embedded).await;
}

#[tokio::test]
async fn a_document_lives_with_its_room_at_mosquitto() {
    if mosquitto().is_some() {
        lives_with_its_room(BrokerKind::Mosquitto).await;
    }
}

#[tokio::test]
async fn a_device_deleted_in_home_assistant_is_not_fought() {
    let options = Options {
        firmware: Firmware::V4_0,
        ..Options::default()
    };
    let it = Gateway::start(BrokerKind::Embedded, options).await;
    it.online().await;
    let whole = |it: &Value| it["components"]["sip_registration"].is_object();
    let document = until(&it.client, ROOM, "the whole document", whole).await;
    good(&document);
    let components = &document["components"];
    assert!(components["firmware"].is_null() && components["in_meeting"].is_null());
    it.client
        .publish_with(ROOM, "", true, PublishProperties::default())
        .await;
    it.client.command("room/1/camera/preset/5/store", "").await;
    it.client.clear();
    it.client.publish(STATUS, "online").await;
    // The birth repeats what there is: the gateway's device, and not the room's.
    it.client.message(GATEWAY).await;
    let again = it.client.messages(ROOM);
    assert!(
        again.iter().all(|message| message.payload.is_empty()),
        "{again:?}"
    );
    it.stop().await;
}

/// Home Assistant starts, perhaps together with its broker: states of rooms come again too, a second's
/// share at a time.
#[tokio::test]
async fn states_are_repeated_when_home_assistant_starts() {
    for kind in [BrokerKind::Embedded, BrokerKind::Mosquitto] {
        if kind == BrokerKind::Mosquitto && mosquitto().is_none() {
            continue;
        }
        let it = Gateway::start(kind, Options::default()).await;
        it.online().await;
        it.client.message("room/1/audio/volume").await;
        it.client.clear();
        it.client.publish(STATUS, "online").await;
        for topic in [
            ROOM,
            "room/1/audio/volume",
            "room/1/availability",
            "room/1/system/info",
        ] {
            it.client.message(topic).await;
        }
        it.stop().await;
    }
}

/// Restarts with the broker's memory, which the embedded broker does not outlive.
#[tokio::test]
async fn what_the_broker_remembers_is_taken_up() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let devices = [
        SimulatedDevice::start(Options::default()).await.unwrap(),
        SimulatedDevice::start(Options::default()).await.unwrap(),
    ];
    let id = |text: &str| RoomId::new(text).unwrap();
    let url = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port: broker.port,
    };
    let rooms = BTreeMap::from([
        (id("stays"), room(&devices[0])),
        (id("goes"), room(&devices[1])),
    ]);
    let mut config = config(url, rooms);
    config.mqtt.topic_prefix = "av".into();
    config.home_assistant.prefix = "ha/x".into();
    config.home_assistant.status_topic = "ha/born".into();
    let client = Client::connect(broker.port).await;
    let service = App::start(config.clone(), timings()).await.unwrap();
    let (stays, goes) = (
        "ha/x/device/poly2mqtt-av_stays/config",
        "ha/x/device/poly2mqtt-av_goes/config",
    );
    let whole = |it: &Value| it["components"]["sip_registration"].is_object();
    let before = until(&client, stays, "the whole document", whole).await;
    good(&before);
    until(&client, goes, "the other", whole).await;
    let mute = &before["components"]["microphone_mute"];
    assert_eq!(mute["command_topic"], "av/room/stays/audio/muted/set");
    assert_eq!(mute["default_entity_id"], "switch.stays_microphone_mute");
    service.stop().await;
    // One room is taken out meanwhile; the other's device is away when the gateway comes back.
    devices[0].stop().await;
    config.rooms.remove("goes");
    client.clear();
    let service = App::start(config.clone(), timings()).await.unwrap();
    client.expect(goes, "").await;
    // A birth is answered when what is to be published has been.
    client.publish("ha/born", "online").await;
    client.message(stays).await;
    let texts = client.messages(stays);
    for text in texts {
        let kept: Value = serde_json::from_slice(&text.payload).unwrap();
        assert_eq!(kept, before);
    }
    service.stop().await;
    devices[1].stop().await;
}
