//! What the documents say: entities, their ids and names, and triggers.

use std::collections::BTreeMap;

use poly2mqtt::home_assistant::{RoomFacts, cluster_document, gateway_document, member_document};
use serde_json::{Value, json};

use super::{ALL, facts, good, namespace, room_value, schema};

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

/// A topic that is cleared has no JSON: without the check Home Assistant logs an error for each entity.
#[test]
fn no_template_takes_a_payload_for_json_without_a_check() {
    for document in [
        room_value("", &facts(ALL)),
        gateway_document(&namespace("")).value(),
        cluster_document(&namespace("")).value(),
        member_document(&namespace(""), "gw-1").value(),
    ] {
        let components = document["components"].as_object().unwrap();
        for (key, component) in components {
            for name in ["value_template", "json_attributes_template"] {
                let template = component[name].as_str().unwrap_or_default();
                let checks = ["is mapping", "is not mapping", "is list"];
                let is_checked = checks.iter().any(|check| template.contains(check));
                assert!(
                    is_checked || !template.contains("value_json"),
                    "{key}: {template}"
                );
            }
        }
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

/// Events are triggers of automations, at the room's device.
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
