//! Providers: which there are, the switch from one to another, and the meetings in their apps.

use std::time::{Duration, Instant};

use poly2mqtt_simulator::{Condition, Fault, FaultKind, Firmware, Options, SimulatedDevice};
use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::gateway::Gateway;
use serde_json::{Value, json};

const SET: &str = "room/1/system/provider/set";
const MODE: &str = "/rest/current/system/mode";
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";
/// How long a switch takes.
const SWITCH: Duration = Duration::from_secs(5);

async fn start(firmware: Firmware) -> Gateway {
    let options = Options {
        firmware,
        provider_switch: SWITCH,
        ..Options::default()
    };
    Gateway::start_quick(options).await
}

/// The bodies of the requests to switch since the last call.
fn switch_requests(it: &Gateway) -> Vec<Value> {
    let entries = it.device.take_journal().into_iter();
    let switch_requests = entries.filter(|entry| entry.path == MODE && entry.method == "POST");
    switch_requests
        .map(|entry| serde_json::from_slice(&entry.body).unwrap())
        .collect()
}

/// The provider that a message about the mode names.
fn active(mode: &str) -> String {
    let mode: Value = serde_json::from_str(mode).unwrap();
    mode["activePersona"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_result_says_when_the_provider_is_active() {
    let it = start(Firmware::V4_6_2).await;
    let providers = it.client.message("room/1/system/providers").await;
    let providers: Value = serde_json::from_slice(&providers.payload).unwrap();
    assert_eq!(providers[1]["appName"], "Teams");
    it.client.message("room/1/system/mode").await;
    it.device.clear_journal();
    let began = Instant::now();
    let switching = it.client.command(SET, "teams");
    // Other commands and polls do not wait for it.
    let others = async {
        let begun = |device: &SimulatedDevice| device.state()["provider"]["switching"] == "Teams";
        assert!(it.device.wait_for(SOON, begun).await);
        let result = it.client.command("room/1/system/state/get", "").await;
        assert_eq!(result["body"], "INITIALIZING", "{result}");
        let result = it.client.command("room/1/audio/mute", "").await;
        assert_eq!(result["error"]["code"], "device_error", "{result}");
        let before = it.device.journal().len();
        let polled = |device: &SimulatedDevice| device.journal().len() > before + 3;
        assert!(it.device.wait_for(SOON, polled).await, "polls wait");
        assert!(it.client.messages(&format!("{SET}/result")).is_empty());
    };
    let (result, ()) = tokio::join!(switching, others);
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(result["body"], json!({"provider": "Teams"}));
    assert!(result["warning"].is_null(), "{result}");
    assert!(began.elapsed() >= SWITCH);
    assert_eq!(switch_requests(&it), [json!({"enabledapps": ["Teams"]})]);
    // The state came before the result.
    assert_eq!(
        active(&it.client.last("room/1/system/mode").unwrap()),
        "Teams"
    );
    it.never_offline();
    // And back.
    let result = it.client.command(SET, r#"{"provider":"Poly"}"#).await;
    assert_eq!(result["ok"], true, "{result}");
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}

#[tokio::test]
async fn an_unknown_provider_is_told_the_known_ones() {
    let it = start(Firmware::V4_6_2).await;
    it.device.clear_journal();
    let result = it.client.command(SET, "Webex").await;
    assert_eq!(result["error"]["code"], "invalid_payload", "{result}");
    let wanted = "the device has no provider \"Webex\"; it has Poly, Teams, Zoom, Device Mode";
    assert_eq!(result["error"]["message"], wanted);
    let result = it.client.command(SET, "").await;
    assert_eq!(result["error"]["code"], "invalid_payload", "{result}");
    assert_eq!(switch_requests(&it), Vec::<Value>::new());
    it.stop().await;
}

#[tokio::test]
async fn a_switch_that_does_not_end_is_told_as_it_is() {
    let it = start(Firmware::V4_6_2).await;
    it.device
        .set_condition(Condition::ProviderSwitchFails, true);
    it.device.clear_journal();
    let result = it.client.command(SET, "Zoom").await;
    assert_eq!(result["error"]["code"], "timeout", "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    let start = "the device accepted the switch to Zoom, but Poly was still active after 1";
    assert!(message.starts_with(start), "{message}");
    assert_eq!(switch_requests(&it).len(), 1);
    it.never_offline();
    it.stop().await;
}

#[test]
fn lost_answers_and_a_silent_device_make_no_false_result() {
    at_the_same_time(
        [
            (Fault::on(MODE, FaultKind::DropAfter).method("POST"), 1),
            (Fault::on(MODE, FaultKind::Null).method("POST"), 1),
            (Fault::on("/rest/system/mode", FaultKind::Status(503)), 9),
            (Fault::on("/rest/system/mode", FaultKind::DropBefore), 9),
            (Fault::on("/rest/system/mode", FaultKind::Garbage), 9),
            (Fault::on("/rest/system/mode", FaultKind::ExpireSession), 1),
        ],
        |(fault, times)| async move {
            let it = start(Firmware::V4_6_2).await;
            it.device.add_fault(fault.clone().times(times));
            it.device.clear_journal();
            let result = it.client.command(SET, "Teams").await;
            assert_eq!(result["ok"], true, "{fault:?} {result}");
            assert_eq!(result["body"], json!({"provider": "Teams"}), "{fault:?}");
            // It is sent once, whatever becomes of the answer.
            assert_eq!(
                switch_requests(&it),
                [json!({"enabledapps": ["Teams"]})],
                "{fault:?}"
            );
            it.stop().await;
        },
    );
}

#[tokio::test]
async fn what_the_device_says_to_the_switch_is_told_at_once() {
    for (kind, code, words) in [
        (FaultKind::Status(500), "device_error", "500"),
        (FaultKind::Status(404), "unsupported", "404"),
        (
            FaultKind::Body(r#"{"error":"BUSY_NOW"}"#.into()),
            "device_error",
            "does not switch: BUSY_NOW",
        ),
    ] {
        let it = start(Firmware::V4_6_2).await;
        it.device.add_fault(Fault::on(MODE, kind).method("POST"));
        let began = Instant::now();
        let result = it.client.command(SET, "Teams").await;
        assert_eq!(result["error"]["code"], code, "{result}");
        assert!(
            result["error"]["message"].as_str().unwrap().contains(words),
            "{result}"
        );
        assert!(began.elapsed() < SWITCH, "{:?}", began.elapsed());
        it.stop().await;
    }
}

#[tokio::test]
async fn each_apps_meeting_is_a_state_and_a_sensor() {
    let it = start(Firmware::V4_6_2).await;
    let topics =
        ["in_meeting", "teams_meeting", "zoom_meeting"].map(|key| format!("room/1/call/{key}"));
    let expect = async |wanted: [bool; 3]| {
        for (topic, wanted) in topics.iter().zip(wanted) {
            it.client.expect(topic, &wanted.to_string()).await;
        }
    };
    expect([false, false, false]).await;
    it.device.person_meets("Teams", true);
    expect([true, true, false]).await;
    it.device.person_meets("Zoom", true);
    it.device.person_meets("Teams", false);
    expect([true, false, true]).await;
    it.device.person_meets("Zoom", false);
    expect([false, false, false]).await;
    it.client
        .until(DOCUMENT, |client| {
            let document = client.last(DOCUMENT).unwrap_or_default();
            let document: Value = serde_json::from_str(&document).unwrap_or_default();
            ["teams_meeting", "zoom_meeting"].iter().all(|key| {
                let sensor = &document["components"][key];
                sensor["platform"] == "binary_sensor"
                    && sensor["state_topic"] == format!("room/1/call/{key}")
            })
        })
        .await;
    it.stop().await;
}

#[tokio::test]
async fn a_device_that_cannot_switch_says_so() {
    let it = start(Firmware::V3_12).await;
    for (payload, code) in [("Device Mode", "unsupported"), ("Teams", "invalid_payload")] {
        let result = it.client.command(SET, payload).await;
        assert_eq!(result["error"]["code"], code, "{result}");
    }
    it.stop().await;
}

#[tokio::test]
async fn mode_and_providers_are_read_below_current_where_that_is_what_the_device_has() {
    let options = Options {
        provider_switch: Duration::from_secs(1),
        lacks: ["/rest/system/mode", "/rest/system/apps"]
            .map(str::to_owned)
            .into(),
        ..Options::default()
    };
    let it = Gateway::start_quick(options).await;
    it.client.message("room/1/system/providers").await;
    let mode = it.client.message("room/1/system/mode").await;
    assert_eq!(active(std::str::from_utf8(&mode.payload).unwrap()), "Poly");
    let result = it.client.command(SET, "Zoom").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(
        active(&it.client.last("room/1/system/mode").unwrap()),
        "Zoom"
    );
    it.stop().await;
}
