//! Home Assistant discovery: when documents are at the broker; `documents` has what they say.
//!
//! `tests/live/home_assistant.rs` tests with the real program.
mod documents;
mod earlier_ids;
mod examples;
mod limits;
mod schema;
mod sharing;

use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::catalogue::{PresetNames, SelectOption};
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt::home_assistant::{Namespace, RoomFacts, room_document};
use poly2mqtt_simulator::{Firmware, Options, SimulatedDevice};
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{Gateway, config, room, timings};
use poly2mqtt_test_support::{BrokerKind, Mosquitto, mosquitto};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::Value;

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
