//! What is paired and how the device is: states, events, and Home Assistant's sensors.

use std::time::Duration;

use poly2mqtt_simulator::{Condition, Fault, FaultKind, Firmware, Options};
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::gateway::Gateway;
use serde_json::{Value, json};
use tokio::time::sleep;

/// The topic of the simulated touch panel, by its serial number.
const PANEL: &str = "room/1/system/touch_panel/8L000000000002";
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";

async fn start(firmware: Firmware) -> Gateway {
    let options = Options {
        firmware,
        reboot: Duration::from_secs(3),
        ..Options::default()
    };
    Gateway::start_quick(options).await
}

async fn until(it: &Gateway, topic: &str, holds: impl Fn(&Value) -> bool) {
    let parsed = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    let holds = |it: &poly2mqtt_test_support::client::Client| {
        it.last(topic)
            .map(parsed)
            .is_some_and(|value| holds(&value))
    };
    it.client.until(topic, holds).await;
}

/// The payloads of all events of this name.
fn events(it: &Gateway, name: &str) -> Vec<Value> {
    let messages = it.client.messages(&format!("room/1/event/{name}"));
    let payload = |message: &rumqttc::v5::mqttbytes::v5::Publish| {
        serde_json::from_slice(&message.payload).unwrap()
    };
    messages.iter().map(payload).collect()
}

#[tokio::test]
async fn the_health_of_a_device_is_told() {
    let it = start(Firmware::V4_6_2).await;
    for (topic, condition, well, amiss) in [
        (
            "reboot_needed",
            Condition::RebootNeeded,
            json!(false),
            json!(true),
        ),
        ("log_full", Condition::LogFull, json!(false), json!(true)),
        (
            "time_server",
            Condition::TimeServerDown,
            json!("TIMESERVER_UP"),
            json!("TIMESERVER_DOWN"),
        ),
        (
            "lan",
            Condition::LanSlow,
            json!({"duplex": "FULL", "speedMbps": 1000, "state": "LAN_UP"}),
            json!({"duplex": "HALF", "speedMbps": 100, "state": "LAN_UP"}),
        ),
    ] {
        let topic = format!("room/1/system/{topic}");
        until(&it, &topic, |value| *value == well).await;
        it.device.set_condition(condition, true);
        until(&it, &topic, |value| *value == amiss).await;
        let result = it.client.command(&format!("{topic}/get"), "").await;
        assert_eq!(result["body"], amiss, "{topic}");
        it.device.set_condition(condition, false);
        until(&it, &topic, |value| *value == well).await;
    }
    it.stop().await;
}

#[tokio::test]
async fn the_start_of_a_device_changes_only_when_it_starts() {
    let it = start(Firmware::V4_6_2).await;
    let topic = "room/1/system/boot_time";
    it.client.message(topic).await;
    let system = |entry: &&poly2mqtt_simulator::JournalEntry| entry.path == "/rest/system";
    let reads = || it.device.journal().iter().filter(system).count();
    poly2mqtt_test_support::until(|| "many reads".into(), async || reads() > 15).await;
    it.client.command("room/1/session/renew", "").await;
    let first = it.client.last(topic).unwrap();
    let result = it.client.command(&format!("{topic}/get"), "").await;
    assert_eq!(result["body"], json!(first));
    assert_eq!(it.client.messages(topic).len(), 1);
    it.client.command("room/1/system/reboot", "").await;
    it.client
        .until("another start", |client| client.messages(topic).len() > 1)
        .await;
    sleep(Duration::from_secs(2)).await;
    let values = it.client.messages(topic);
    assert_eq!(values.len(), 2, "{values:?}");
    let second = it.client.last(topic).unwrap();
    assert!(second > first && second.ends_with('Z'), "{first} {second}");
    it.stop().await;
}

#[test]
fn a_touch_panel_is_lost_once_and_back_once() {
    at_the_same_time(
        [Condition::PanelLost, Condition::PanelUnpaired],
        |lost| async move {
            let it = start(Firmware::V4_6_2).await;
            until(&it, PANEL, |panel| panel["connected"] == true).await;
            let devices = it.client.last("room/1/system/devices").unwrap();
            assert!(devices.contains("TOUCHCONTROL") && devices.contains("local-camera"));
            assert!(
                !devices.contains("192.0.2") && !devices.contains("00e0db"),
                "{devices}"
            );
            assert!(events(&it, "device_lost").is_empty());
            it.device.set_condition(lost, true);
            it.client.message("room/1/event/device_lost").await;
            sleep(Duration::from_secs(1)).await;
            let told = events(&it, "device_lost");
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0]["event_type"], "device_lost");
            assert_eq!(told[0]["id"], "8L000000000002");
            assert_eq!(told[0]["name"], "Poly TC8");
            match lost {
                Condition::PanelLost => {
                    until(&it, PANEL, |panel| panel["connected"] == false).await
                }
                _ => assert!(it.client.last(PANEL).unwrap().is_empty()),
            }
            it.device.set_condition(lost, false);
            it.client.message("room/1/event/device_back").await;
            until(&it, PANEL, |panel| panel["connected"] == true).await;
            sleep(Duration::from_secs(1)).await;
            assert_eq!(events(&it, "device_back").len(), 1);
            assert_eq!(events(&it, "device_lost").len(), 1);
            it.stop().await;
        },
    );
}

#[tokio::test]
async fn nothing_is_lost_while_the_device_cannot_be_read() {
    let devices = "/rest/devicemanagement/devices";
    let it = start(Firmware::V4_6_2).await;
    until(&it, PANEL, |panel| panel["connected"] == true).await;
    for kind in [
        FaultKind::Status(503),
        FaultKind::Status(404),
        FaultKind::Null,
        FaultKind::Body("[]".into()),
        FaultKind::Page,
        FaultKind::Truncated,
    ] {
        it.device.add_fault(Fault::on(devices, kind));
        sleep(Duration::from_millis(500)).await;
        it.device.clear_faults();
        sleep(Duration::from_millis(300)).await;
    }
    it.device
        .add_fault(Fault::on("/rest/", FaultKind::DropBefore));
    it.client.expect("room/1/availability", "offline").await;
    it.device.clear_faults();
    it.client.expect("room/1/availability", "online").await;
    it.client.command("room/1/system/reboot", "").await;
    it.client.expect("room/1/availability", "offline").await;
    it.client.expect("room/1/availability", "online").await;
    until(&it, PANEL, |panel| panel["connected"] == true).await;
    assert!(events(&it, "device_lost").is_empty());
    assert!(events(&it, "device_back").is_empty());
    it.stop().await;
}

#[tokio::test]
async fn home_assistant_has_a_sensor_for_each_touch_panel_and_for_health() {
    let it = start(Firmware::V4_6_2).await;
    let panel = "touch_panel_8l000000000002";
    until(&it, DOCUMENT, |it| it["components"][panel].is_object()).await;
    let document: Value = serde_json::from_str(&it.client.last(DOCUMENT).unwrap()).unwrap();
    let component = &document["components"][panel];
    assert_eq!(component["platform"], "binary_sensor");
    assert_eq!(component["device_class"], "connectivity");
    assert_eq!(component["name"], "Touch panel Poly TC8");
    assert_eq!(component["state_topic"], PANEL);
    for (key, class) in [
        ("reboot_needed", "problem"),
        ("log_full", "problem"),
        ("time_server", "connectivity"),
        ("boot_time", "timestamp"),
    ] {
        assert_eq!(document["components"][key]["device_class"], class, "{key}");
    }
    assert_eq!(
        document["components"]["lan"]["unit_of_measurement"],
        "Mbit/s"
    );
    let types = json!(["device_lost", "device_back"]);
    assert_eq!(document["components"]["device_event"]["event_types"], types);
    it.stop().await;
}

#[tokio::test]
async fn a_device_that_does_not_tell_it_has_neither_states_nor_sensors() {
    let it = start(Firmware::V4_0).await;
    until(&it, DOCUMENT, |it| {
        it["components"]["status_sipserver"].is_object()
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    let keys = [
        "reboot_needed",
        "log_full",
        "boot_time",
        "lan",
        "time_server",
        "devices",
        "device_event",
    ];
    let document: Value = serde_json::from_str(&it.client.last(DOCUMENT).unwrap()).unwrap();
    for key in keys {
        assert!(
            it.client
                .messages(&format!("room/1/system/{key}"))
                .is_empty(),
            "{key}"
        );
        assert!(document["components"][key].is_null(), "{key}");
    }
    it.stop().await;
}
