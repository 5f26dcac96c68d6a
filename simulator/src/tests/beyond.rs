//! The endpoints beyond the guide: what they answer, and what they refuse.

use std::time::Duration;

use super::*;

const PAIRED: &str = "devicemanagement/devices";

#[test]
fn config_reads_and_writes_by_name() {
    let mut room = Room::new(Firmware::V4_6_2);
    let name = "system.info.systemname";
    let read = room.post("config", &json!({"names": [name, "no.such.name"]}));
    let expected = json!({"vars": [
        {"name": name, "result": "NOERROR", "value": "Simulated room", "isEditable": true,
         "isHidden": false, "isSecure": false},
        {"name": "no.such.name", "result": "INVALIDNAME"},
    ]});
    assert_eq!(read, expected);
    let vars = json!({"vars": [
        {"name": name, "value": "Boardroom"},
        {"name": "audio.volume.speakervolume", "value": 40},
        {"name": "audio.volume.speakervolume", "value": 101},
        {"name": "system.network.wired.ipv4nic.address", "value": "192.0.2.1"},
        {"name": "no.such.name", "value": 1},
    ]});
    let written = room.post("config", &vars);
    let results: Vec<_> = written["vars"].as_array().unwrap().iter().collect();
    let results: Vec<_> = results.iter().map(|var| &var["result"]).collect();
    assert_eq!(
        results,
        [
            "NOERROR",
            "NOERROR",
            "INVALIDVALUE",
            "NOTEDITABLE",
            "INVALIDNAME"
        ]
    );
    assert_eq!(written["vars"][1]["requestedValue"], 40);
    assert_eq!(written["rebootNeeded"], false);
    assert_eq!(room.get("system")["systemName"], "Boardroom");
    assert_eq!(room.get("audio/volume"), 40);
}

#[test]
fn some_settings_are_secret_and_some_want_a_reboot() {
    let mut room = Room::new(Firmware::V4_6_2);
    let names = json!({"names": ["comm.nics.sipnic.sippassword", "system.internal.supportkey"]});
    let read = room.post("config", &names);
    assert_eq!(read["vars"][0]["isSecure"], true);
    assert_eq!(read["vars"][1]["isHidden"], true);
    let vars = json!({"vars": [{"name": "management.provisioning.enabled", "value": "True"}]});
    let written = room.post("config", &vars);
    let expected = json!({"vars": [{
        "name": "management.provisioning.enabled", "requestedValue": "True", "result": "NOERROR",
    }], "rebootNeeded": true});
    assert_eq!(written, expected);
    assert_eq!(room.get("system")["rebootNeeded"], true);
    room.world.restarted();
    room.credentials.session = room.log_in().session();
    assert_eq!(room.get("system")["rebootNeeded"], false);
}

#[test]
fn what_is_sent_beyond_the_guide_is_checked_strictly() {
    let mut room = Room::new(Firmware::V4_6_2);
    let null = Value::Null;
    for (method, path, body, status) in [
        ("GET", "config", &null, 405),
        ("POST", "config", &json!({}), 415),
        ("POST", "config", &json!({"names": []}), 400),
        ("POST", "config", &json!({"names": [1]}), 400),
        ("POST", "config", &json!({"names": "a.b"}), 400),
        (
            "POST",
            "config",
            &json!({"names": ["a"], "vars": [{"name": "a", "value": 1}]}),
            400,
        ),
        ("POST", "config", &json!({"vars": [{"name": "a"}]}), 400),
        (
            "POST",
            "config",
            &json!({"vars": [{"name": "a", "value": 1, "more": 2}]}),
            400,
        ),
        ("GET", PAIRED, &null, 405),
        ("POST", PAIRED, &json!({"deviceState": "LOST"}), 400),
        ("POST", PAIRED, &json!({}), 415),
        ("POST", "current/devicemanagement/devices", &json!({}), 400),
        ("POST", "system/apps", &null, 405),
        ("GET", "system/apps?all=1", &null, 400),
        (
            "POST",
            "current/system/mode",
            &json!({"enabledapps": []}),
            400,
        ),
        (
            "POST",
            "current/system/mode",
            &json!({"enabledapps": "Teams"}),
            415,
        ),
        (
            "POST",
            "current/system/mode",
            &json!({"apps": ["Teams"]}),
            400,
        ),
        ("GET", "calllog/entries?limit=0", &null, 400),
        ("GET", "calllog/entries?limit=x", &null, 400),
        ("GET", "calllog/entries?start=1", &null, 400),
        ("DELETE", "calllog/entries", &null, 405),
        ("POST", "current/session/sessions", &null, 405),
        ("POST", "security/password/USER", &json!({}), 404),
        (
            "POST",
            "security/password/ADMIN",
            &json!({"newPassword": "x"}),
            415,
        ),
        ("POST", "audio/playdtmf", &json!({"dtmfChar": "12"}), 400),
        (
            "POST",
            "audio/playdtmf",
            &json!({"action": "playDTMF", "dtmfChar": "1"}),
            400,
        ),
        ("GET", "audio/playdtmf", &null, 405),
        (
            "GET",
            "collaboration/contentsavestatus?status=true",
            &null,
            400,
        ),
        (
            "GET",
            "collaboration/contentssavestatus?status=True",
            &null,
            400,
        ),
        ("POST", "system/reboot", &json!({"restartAll": false}), 415),
    ] {
        assert_eq!(
            room.status(method, path, body),
            status,
            "{method} {path} {body}"
        );
    }
}

#[test]
fn the_panel_is_lost_and_comes_back() {
    let mut room = Room::new(Firmware::V4_6_2);
    let body = json!({"deviceState": "PAIRED"});
    let panel = |list: &Value| {
        let list = list.as_array().unwrap().iter();
        let mut panels = list.filter(|device| device["deviceType"] == "TOUCHCONTROL");
        panels.next().map(|panel| panel["deviceState"].clone())
    };
    assert_eq!(panel(&room.post(PAIRED, &body)), Some(json!("CONNECTED")));
    room.set(Condition::PanelLost);
    assert_eq!(
        panel(&room.post(PAIRED, &body)),
        Some(json!("DISCONNECTED"))
    );
    room.set(Condition::PanelUnpaired);
    assert_eq!(panel(&room.post(PAIRED, &body)), None);
    room.world.conditions.set(Condition::PanelUnpaired, false);
    room.world.conditions.set(Condition::PanelLost, false);
    let current = room.send("POST", "current/devicemanagement/devices", "null".into());
    let list = serde_json::from_slice(&current.body).unwrap();
    assert_eq!(panel(&list), Some(json!("CONNECTED")));
}

#[test]
fn a_switch_of_the_provider_takes_a_while() {
    let mut room = Room::with(Options {
        provider_switch: Duration::from_secs(3600),
        ..Options::default()
    });
    let to = |app: &str| json!({"enabledapps": [app]});
    let apps = room.get("system/apps");
    let names: Vec<_> = apps
        .as_array()
        .unwrap()
        .iter()
        .map(|app| &app["appName"])
        .collect();
    assert_eq!(names, ["Poly", "Teams", "Zoom", "Device Mode"]);
    let refused = room.post("current/system/mode", &to("Skype"));
    assert_eq!(refused, json!({"error": "INVALIDAPP"}));
    assert_eq!(
        room.post("current/system/mode", &to("Teams")),
        json!({"error": "NOERROR"})
    );
    assert_eq!(room.get("system/mode")["activePersona"], "Poly");
    assert_eq!(room.get("system")["state"], "INITIALIZING");
    assert_eq!(room.status("GET", "audio", &Value::Null), 503);
    assert_eq!(room.status("POST", "audio/muted", &json!(true)), 503);
}

#[test]
fn a_switch_of_the_provider_ends_one_way_or_the_other() {
    let mut room = Room::with(Options {
        provider_switch: Duration::ZERO,
        ..Options::default()
    });
    let to = |app: &str| json!({"enabledapps": [app]});
    room.set(Condition::ProviderSwitchFails);
    room.post("current/system/mode", &to("Teams"));
    assert_eq!(room.get("system/mode")["activePersona"], "Poly");
    room.world
        .conditions
        .set(Condition::ProviderSwitchFails, false);
    room.post("current/system/mode", &to("Teams"));
    assert_eq!(room.get("system/mode")["activePersona"], "Teams");
    // Changes are refused now, reading is not, and the way back is open.
    assert_eq!(room.status("POST", "audio/muted", &json!(true)), 403);
    assert_eq!(room.status("POST", "config", &json!({"names": ["a"]})), 200);
    let write = json!({"vars": [{"name": "a", "value": 1}]});
    assert_eq!(room.status("POST", "config", &write), 403);
    room.post("current/system/mode", &to("Poly"));
    assert_eq!(room.get("current/system/mode")["activePersona"], "Poly");
    // Only the path with `current` takes a POST.
    assert_eq!(room.status("POST", "system/mode", &to("Poly")), 405);
}

#[test]
fn a_meeting_shows_in_the_apps() {
    let mut room = Room::new(Firmware::V4_6_2);
    assert!(room.world.providers.meeting("Zoom", true));
    assert!(!room.world.providers.meeting("Skype", true));
    let zoom = json!({"appPackageName": "us.zoom.zoompresence", "inMeeting": true});
    assert_eq!(room.get("system/apps/state")[1], zoom);
    room.world.providers.meeting("Zoom", false);
    assert_eq!(room.get("system/apps/state").as_array().unwrap().len(), 1);
}

#[test]
fn a_call_that_has_ended_is_in_the_log() {
    let mut room = Room::with(Options {
        call_setup: Duration::ZERO,
        ..Options::default()
    });
    let before = room.get("calllog/entries").as_array().unwrap().len();
    room.post("conferences", &json!({"address": "alice@example.com"}));
    room.world.calls.ring("bob@example.com");
    assert_eq!(
        room.get("calllog/entries").as_array().unwrap().len(),
        before
    );
    room.world.calls.end_all();
    let newest = room.get("calllog/entries?limit=2");
    let seen = |entry: &Value| {
        let fields = ["address", "type", "outgoingCall", "connected"];
        fields.map(|field| entry[field].clone()).to_vec()
    };
    let bob = vec![
        json!("bob@example.com"),
        json!("MISSED"),
        json!(false),
        json!(false),
    ];
    let alice = vec![
        json!("alice@example.com"),
        json!("PLACED"),
        json!(true),
        json!(true),
    ];
    assert_eq!(seen(&newest[0]), bob);
    assert_eq!(seen(&newest[1]), alice);
    assert_eq!(newest.as_array().unwrap().len(), 2);
    assert!(newest[0]["rowId"].as_u64() > newest[1]["rowId"].as_u64());
}

/// As the guide has it: true sets the coordinates, false is an offset from the current position.
#[test]
fn a_position_is_set_or_an_offset() {
    let mut room = Room::new(Firmware::V4_6_2);
    let path = "cameras/near/position/SELECTED_PEOPLE";
    for (pan, relative, reached) in [
        (100, None, 100),
        (50, Some(false), 150),
        (50, Some(true), 50),
        (-50_000, Some(false), -49_950),
        (-50_000, Some(false), -50_000),
    ] {
        let mut body = json!({"camPosition": {"pan": pan, "tilt": 0, "zoom": 0}});
        if let Some(relative) = relative {
            body["relative"] = relative.into();
        }
        assert_eq!(room.status("POST", path, &body), 200);
        let state = room.world.describe();
        assert_eq!(
            state["cameras"]["position"]["pan"], reached,
            "{pan} {relative:?}"
        );
    }
}
