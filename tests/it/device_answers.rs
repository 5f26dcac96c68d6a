//! Answers that say less than they seem to: null, nothing, a refusal with 200, a value that cannot be one. None of
//! them is a state, and no command takes one for "there is none".

use std::time::Duration;

use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use poly2mqtt_test_support::client::text;
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{SOON, until};

const CALLS: &str = "/rest/conferences";

fn body(text: &str) -> FaultKind {
    FaultKind::Body(text.to_owned())
}

#[tokio::test]
async fn one_answer_that_says_nothing_is_no_end_of_a_call() {
    let it = Gateway::start_online(Options::default()).await;
    it.device.person_calls_in("alice@example.com");
    it.device.person_answers();
    it.client.expect("room/1/call/state", "connected").await;
    for kind in [
        FaultKind::Null,
        body(""),
        FaultKind::Status(204),
        FaultKind::Status(404),
        FaultKind::Status(500),
        body(r#"{"success":false,"reason":"busy"}"#),
    ] {
        it.device
            .add_fault(Fault::on(CALLS, kind.clone()).method("GET"));
        it.device.clear_journal();
        for command in ["call/state/get", "calls/get", "call/answer", "call/hangup"] {
            let result = it.client.command(&format!("room/1/{command}"), "").await;
            assert_eq!(result["ok"], false, "{kind:?} {command}: {result}");
            let code = result["error"]["code"].as_str().unwrap();
            assert!(
                ["device_error", "unsupported"].contains(&code),
                "{kind:?} {command}: {result}"
            );
        }
        it.device.clear_faults();
        // What the device was thought to lack is asked for again.
        it.client.command("room/1/session/renew", "").await;
    }
    let result = it.client.command("room/1/call/hangup", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.client.expect("room/1/call/state", "idle").await;
    // Nothing to hang up is no failure, and nothing was sent to the calls that a device could have accepted.
    it.device.clear_journal();
    let result = it.client.command("room/1/call/hangup", "").await;
    assert_eq!(result["ok"], true, "{result}");
    assert!(result["warning"].is_null(), "{result}");
    let sent = it.device.journal();
    let mut of_calls = sent.iter().filter(|entry| entry.path.starts_with(CALLS));
    assert!(of_calls.all(|entry| entry.method == "GET"), "{sent:?}");
    it.stop().await;
}

/// However large the page of another product is, it is no answer.
#[tokio::test]
async fn a_page_of_any_size_is_no_answer_to_a_command() {
    let it = Gateway::start_online(Options::default()).await;
    for size in [1000, 70_000, 1_100_000] {
        let page = format!("<!DOCTYPE html>{}", "x".repeat(size));
        let fault = Fault::on("/rest/audio/volume", FaultKind::Body(page)).method("POST");
        it.device.add_fault(fault.times(1));
        let result = it.client.command("room/1/audio/volume/set", "33").await;
        assert_eq!(result["error"]["code"], "device_error", "{size}: {result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.ends_with("is unknown"), "{message}");
    }
    it.stop().await;
}

/// `{"success":false}` with 200 to a read: each state stays as it was.
#[tokio::test]
async fn a_refusal_with_200_takes_no_state_away() {
    let it = Gateway::start_quick(Options::default()).await;
    let states = [
        ("/rest/calendar/meetings", "calendar/meetings"),
        ("/rest/calendar", "calendar/status"),
        ("/rest/collaboration", "collaboration"),
        ("/rest/system/apps/environment", "system/environment_app"),
        ("/rest/system/sipservers", "system/sip_servers"),
        (
            "/rest/cameras/near/selectedpeople",
            "camera/near/selected_people",
        ),
        ("/rest/mediastats", "content/media_stats"),
        ("/rest/directory/local/server", "directory/local_server"),
    ];
    for (_, state) in states {
        it.client.message(&format!("room/1/{state}")).await;
    }
    let newest = |state: &str| it.client.last(&format!("room/1/{state}")).unwrap();
    let before = states.map(|(_, state)| newest(state));
    it.device.clear_journal();
    for (path, _) in states {
        let refusal = body(r#"{"success":false,"reason":"busy"}"#);
        it.device.add_fault(Fault::on(path, refusal).method("GET"));
    }
    for (path, state) in states {
        // Read so often that what is gone for good would be taken away.
        let read = |device: &SimulatedDevice| {
            let journal = device.journal();
            let reads = journal.iter().filter(|entry| entry.path == path);
            reads.filter(|entry| entry.fault.is_some()).count() >= 5
        };
        assert!(it.device.wait_for(SOON, read).await, "{path}");
        let said = it.client.messages(&format!("room/1/{state}"));
        assert!(said.iter().all(|said| !text(said).is_empty()), "{state}");
    }
    assert_eq!(states.map(|(_, state)| newest(state)), before);
    it.never_offline();
    it.stop().await;
}

/// What is no volume is not published as one, and does not keep the mute from being read.
#[tokio::test]
async fn a_value_that_a_state_cannot_have_leaves_the_state_as_it_is() {
    let it = Gateway::start_online(Options::default()).await;
    it.client.expect("room/1/audio/volume", "62").await;
    for (volume, muted) in [
        ("-1", true),
        ("101", false),
        ("[62]", true),
        ("1e+400", false),
    ] {
        it.device.clear_faults();
        let answer = format!(r#"{{"volume":{volume},"muted":{muted},"numOfMicsConnected":-3.5}}"#);
        it.device
            .add_fault(Fault::on("/rest/audio", body(&answer)).method("GET"));
        it.client
            .expect("room/1/audio/muted", &muted.to_string())
            .await;
        let result = it.client.command("room/1/audio/volume/get", "").await;
        assert_eq!(
            result["error"]["code"], "device_error",
            "{volume}: {result}"
        );
    }
    let said = it.client.messages("room/1/audio/volume");
    assert_eq!(said.len(), 1, "{said:?}");
    it.device.clear_faults();
    it.stop().await;
}

/// MQTT cannot keep an empty text, so no door has it as a state.
#[tokio::test]
async fn an_empty_text_is_no_state_at_any_door() {
    let it = Gateway::start_quick(Options::default()).await;
    it.client.message("room/1/system/state").await;
    let mut system: serde_json::Value = it.device.state()["system"].clone();
    system["model"] = "X".into();
    system["softwareVersion"] = "4".into();
    system["state"] = "".into();
    it.device
        .add_fault(Fault::on("/rest/system", body(&system.to_string())).method("GET"));
    let gone = |_: &_| it.service.store().get("room/1/system/state").is_none();
    it.client.until("the state is gone", gone).await;
    it.client.expect("room/1/system/state", "").await;
    it.stop().await;
}

/// The first path answers no more, and the second does: the state goes on.
#[tokio::test]
async fn the_second_path_of_a_read_is_used_when_the_first_is_lost() {
    let it = Gateway::start_quick(Options::default()).await;
    it.client.message("room/1/system/mode").await;
    it.device
        .add_fault(Fault::on("/rest/system/mode", FaultKind::Status(404)).method("GET"));
    it.device.person_sets_mode("Teams");
    let teams = |client: &poly2mqtt_test_support::client::Client| {
        let mode = client.last("room/1/system/mode");
        mode.is_some_and(|mode| mode.contains("Teams"))
    };
    it.client.until("the mode", teams).await;
    it.device.clear_faults();
    it.device.person_sets_mode("Zoom");
    let zoom = |client: &poly2mqtt_test_support::client::Client| {
        let mode = client.last("room/1/system/mode");
        mode.is_some_and(|mode| mode.contains("Zoom"))
    };
    it.client.until("the mode", zoom).await;
    let said = it.client.messages("room/1/system/mode");
    assert!(said.iter().all(|said| !text(said).is_empty()));
    it.stop().await;
}

/// A device that has only the paths with `current`.
#[tokio::test]
async fn a_device_with_the_other_paths_alone_is_used_like_any() {
    const FIRST: [&str; 6] = [
        "/rest/session",
        "/rest/session/sessions",
        "/rest/system/mode",
        "/rest/system/apps",
        "/rest/system/apps/state",
        "/rest/devicemanagement/devices",
    ];
    let options = Options {
        lacks: FIRST.map(str::to_owned).into(),
        provider_switch: Duration::from_millis(100),
        ..Options::default()
    };
    let it = Gateway::start_quick(options).await;
    for state in [
        "system/mode",
        "system/providers",
        "system/apps",
        "system/devices",
    ] {
        it.client.message(&format!("room/1/{state}")).await;
    }
    let result = it.client.command("room/1/session/list/get", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.client.command("room/1/session/renew", "").await;
    assert_eq!(it.device.sessions(), 1);
    it.device.person_sets_mode("Teams");
    let result = it.client.command("room/1/call/dial", "a@b").await;
    assert_eq!(result["error"]["code"], "mode_locked", "{result}");
    it.device.person_sets_mode("Poly");
    it.service.stop().await;
    assert_eq!(it.device.sessions(), 0);
    it.device.stop().await;
}

/// A device that has only the path without `current` for a switch of the provider.
#[tokio::test]
async fn a_provider_is_switched_at_the_path_that_the_device_has() {
    let options = Options {
        lacks: vec!["/rest/current/system/mode".into()],
        provider_switch: Duration::from_millis(100),
        ..Options::default()
    };
    let it = Gateway::start_quick(options).await;
    let result = it
        .client
        .command("room/1/system/provider/set", "Teams")
        .await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(it.device.state()["provider"]["active"], "Teams");
    it.stop().await;
}

/// Firmware without calls has no call of any id, and one with calls has none of this id.
#[tokio::test]
async fn an_id_of_what_the_device_lacks_altogether_is_unsupported() {
    let it = Gateway::start_online(Options::default()).await;
    let commands = [
        "call/77/hangup",
        "call/connection/77/answer",
        "call/77/media_stats/get",
        "directory/local/entry/e77/dial",
        "directory/query/q77/get",
    ];
    let code = async |command: &str| {
        let result = it.client.command(&format!("room/1/{command}"), "").await;
        result["error"]["code"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    for command in commands {
        assert_eq!(code(command).await, "not_found", "{command}");
    }
    for branch in [CALLS, "/rest/directory"] {
        it.device
            .add_fault(Fault::on(branch, FaultKind::Status(404)));
    }
    // Another firmware, perhaps.
    it.device.expire_sessions();
    for command in commands {
        let what = || format!("{command} is unsupported");
        until(what, async || code(command).await == "unsupported").await;
    }
    // A part of a branch says nothing of the rest.
    it.device.clear_faults();
    it.device.add_fault(Fault::on(
        "/rest/conferences/capabilities",
        FaultKind::Status(404),
    ));
    it.device.expire_sessions();
    let what = || "the call is not found".to_owned();
    until(what, async || code("call/77/hangup").await == "not_found").await;
    it.stop().await;
}

/// Each key is a request of its own. What follows the one that failed is not played, and the result says how far it
/// got: who sends all of it again plays the first ones twice.
#[tokio::test]
async fn keys_that_break_off_say_how_far_they_got() {
    let it = Gateway::start_online(Options::default()).await;
    for (kind, code) in [
        (FaultKind::Status(500), "device_error"),
        (FaultKind::RetryAfter(429, "9".into()), "device_error"),
        (FaultKind::DropAfter, "outcome_unknown"),
    ] {
        for done in [0, 2] {
            let fault = Fault::on("/rest/audio", kind.clone()).method("POST");
            it.device.add_fault(fault.after(done).times(1));
            it.device.clear_journal();
            let result = it.client.command("room/1/audio/dtmf/play", "12#4").await;
            assert_eq!(result["error"]["code"], code, "{kind:?} {done}: {result}");
            let message = result["error"]["message"].as_str().unwrap();
            let told = message.ends_with("; 2 of 4 steps were carried out");
            assert_eq!(told, done == 2, "{message}");
            let journal = it.device.journal().into_iter();
            let played =
                journal.filter(|entry| (&*entry.method, &*entry.path) == ("POST", "/rest/audio"));
            let played: Vec<_> = played
                .map(|entry| String::from_utf8_lossy(&entry.body).into_owned())
                .collect();
            assert_eq!(played.len() as u32, done + 1, "{played:?}");
            let last = if done == 0 { "\"1\"" } else { "\"#\"" };
            assert!(played.last().unwrap().contains(last), "{played:?}");
            it.device.clear_faults();
        }
    }
    let result = it.client.command("room/1/audio/dtmf/play", "12#4").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}
