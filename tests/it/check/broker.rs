//! `check --connect` at a broker: it subscribes and publishes as the gateway would, and finds what is not delivered.

use std::fs;

use serde_json::json;

use poly2mqtt_test_support::{Mosquitto, free_port, mosquitto};

use super::{config, connect, json_of, stderr, stdout};

#[test]
fn the_broker_is_tried() {
    if mosquitto().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let try_broker = |port: u16, keys: &str, discovery: bool| {
        let text = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n{keys}\n[http]\nlisten = \"off\"\n\
             [home_assistant]\ndiscovery = {discovery}\n"
        );
        let tried = connect(&config(dir.path(), &text));
        (tried.status.code(), stdout(&tried) + &stderr(&tried))
    };
    let open = Mosquitto::start(0, "");
    let (status, told) = try_broker(open.port, "", true);
    assert_eq!(status, Some(0), "{told}");
    assert!(
        told.contains("MQTT 5, without user; the gateway may subscribe and publish"),
        "{told}"
    );
    let document = json_of(&dir.path().join("poly2mqtt.toml"));
    let rights = &document["checks"][0]["rights"];
    for wanted in [
        json!({"subscribe": "room/#", "ok": true}),
        json!({"subscribe": "gateway/+", "ok": true}),
        json!({"subscribe": "homeassistant/status", "ok": true}),
        json!({"publish": "gateway/check", "ok": true}),
        json!({"publish": "homeassistant/device/poly2mqtt-check/config", "ok": true}),
        json!({"publish": "response/poly2mqtt-check/check", "ok": true}),
    ] {
        assert!(
            rights.as_array().unwrap().contains(&wanted),
            "{wanted}: {rights}"
        );
    }
    drop(open);

    let nobody = free_port();
    let (status, told) = try_broker(nobody, "", true);
    assert_eq!(status, Some(1), "{told}");
    assert!(
        told.contains("Connection refused; nothing listens on that port"),
        "{told}"
    );
    assert!(told.contains("\nmqtt.url cannot be used\n"), "{told}");

    let closed = Mosquitto::start_with(0, "allow_anonymous false", |_| String::new());
    let (status, told) = try_broker(closed.port, "", true);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("check the user and password"), "{told}");
    drop(closed);

    // An access list without Home Assistant's topics, which the gateway then does not need.
    let limited = Mosquitto::start_with(0, "allow_anonymous true", |directory| {
        let list = directory.join("acl");
        fs::write(&list, "topic readwrite room/#\ntopic readwrite gateway/#\n").unwrap();
        format!("user root\nacl_file {}\n", list.display())
    });
    let (status, told) = try_broker(limited.port, "", true);
    assert_eq!(status, Some(1), "{told}");
    let refused =
        "refuses to publish to homeassistant/device/poly2mqtt-check/config (not authorized";
    assert!(told.contains(refused), "{told}");
    let (status, told) = try_broker(limited.port, "", false);
    assert_eq!(status, Some(0), "{told}");
    let (status, told) = try_broker(limited.port, "topic_prefix = \"av\"", false);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("av/gateway/check (not authorized"), "{told}");
}

/// Mosquitto grants every subscription and checks the right to read when it delivers.
#[test]
fn a_subscription_that_is_granted_and_silent_is_found() {
    if mosquitto().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let rooms = ["1", "2"].map(|id| {
        format!("[rooms.{id}]\nurl = \"https://127.0.0.1:1\"\npassword = \"x\"\ncertificate = \"system\"\n")
    });
    for (rights, says) in [
        (&["readwrite room/#", "readwrite gateway/#"][..], None),
        (
            &["write room/#", "readwrite gateway/#"],
            Some(
                "subscription to room/# and does not deliver room/1/event/check, room/2/event/check",
            ),
        ),
        (
            &["write room/#", "read room/1/#", "readwrite gateway/#"],
            Some("subscription to room/# and does not deliver room/2/event/check: "),
        ),
        (
            &["readwrite room/#", "write gateway/#"],
            Some("subscription to gateway/+ and does not deliver gateway/check"),
        ),
    ] {
        let broker = Mosquitto::start_with(0, "allow_anonymous true", |directory| {
            let list = directory.join("acl");
            let rights = rights.iter().map(|right| format!("topic {right}\n"));
            fs::write(&list, rights.collect::<String>()).unwrap();
            format!("user root\nacl_file {}\n", list.display())
        });
        let text = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[http]\nlisten = \"off\"\n[home_assistant]\n\
             discovery = false\n{}",
            broker.port,
            rooms.concat()
        );
        let tried = connect(&config(dir.path(), &text));
        let told = stdout(&tried);
        let line = told.lines().find(|line| line.starts_with("mqtt.url"));
        let line = line.unwrap_or_else(|| panic!("{told}"));
        match says {
            None => assert!(line.contains("may subscribe and publish"), "{line}"),
            Some(says) => {
                assert!(line.contains(says), "{line}");
                assert!(line.contains("topic readwrite "), "{line}");
                assert!(stderr(&tried).contains("mqtt.url and 2 rooms cannot be used"));
            }
        }
    }
}
