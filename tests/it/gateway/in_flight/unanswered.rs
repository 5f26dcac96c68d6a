//! Commands whose answer is lost, late or spoilt: which are repeated, and what their senders are told.

use super::*;

#[tokio::test]
async fn dialling_is_not_repeated_when_the_connection_breaks_after_it() {
    let it = Gateway::start_online(Options::default()).await;
    it.device.add_fault(
        Fault::on("/rest/conferences", FaultKind::DropAfter)
            .method("POST")
            .times(1),
    );
    let result = it.client.command("room/1/call/dial", "a@b").await;
    assert_eq!(result["error"]["code"], "outcome_unknown", "{result}");
    assert_eq!(it.device.state()["dialled"], json!(["a@b"]));
    it.stop().await;
}

/// Somebody may have turned the knob in between, and the next try would set what follows from the older value.
#[tokio::test]
async fn what_follows_from_a_value_that_was_read_is_not_repeated() {
    let it = Gateway::start_online(Options::default()).await;
    for (path, command, payload) in [
        ("/rest/audio/volume", "audio/volume/up", ""),
        ("/rest/audio/volume", "audio/volume/down", "10"),
        ("/rest/audio/muted", "audio/muted/set", "toggle"),
    ] {
        it.device.clear_journal();
        let fault = Fault::on(path, FaultKind::DropAfter).method("POST");
        it.device.add_fault(fault.times(1));
        let result = it
            .client
            .command(&format!("room/1/{command}"), payload)
            .await;
        assert_eq!(result["error"]["code"], "outcome_unknown", "{result}");
        assert_eq!(posted(&it, path).len(), 1, "{command}");
    }
    // Ending a call twice is the same as once.
    it.client.command("room/1/call/dial", "a@b").await;
    let fault = Fault::on("/rest/conferences/", FaultKind::DropBefore).method("DELETE");
    it.device.add_fault(fault.times(1));
    let result = it.client.command("room/1/call/hangup", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}

/// A command reads whether the room is muted, and fails seconds later. What was polled meanwhile is newer.
#[tokio::test]
async fn a_command_that_fails_does_not_bring_back_what_it_read_first() {
    let it = Gateway::start_online(Options::default()).await;
    let state = "room/1/audio/muted";
    it.client.expect(state, "false").await;
    hold(&it, "POST", "/rest/audio/muted", Duration::from_secs(5));
    let topic = "room/1/audio/muted/set";
    it.client.publish(topic, "toggle").await;
    let held = |device: &SimulatedDevice| device.delayed() == 1;
    assert!(it.device.wait_for(SOON, held).await);
    it.device.person_mutes(true);
    it.client.expect(state, "true").await;
    until_results(&it, topic, 1).await;
    assert_eq!(results(&it, topic)[0]["error"]["code"], "outcome_unknown");
    let told = it.client.messages(state);
    let last = told.last().map(|message| message.payload.clone());
    assert_eq!(last.as_deref(), Some(&b"true"[..]));
    it.device.clear_faults();
    it.stop().await;
}

#[tokio::test]
async fn setting_a_value_is_repeated_when_the_connection_breaks() {
    let it = Gateway::start_online(Options::default()).await;
    for kind in [FaultKind::DropBefore, FaultKind::DropAfter] {
        it.device.add_fault(
            Fault::on("/rest/audio/volume", kind)
                .method("POST")
                .times(1),
        );
    }
    let result = it.client.command("room/1/audio/volume/set", "33").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(posted(&it, "/rest/audio/volume"), ["33", "33", "33"]);
    it.client.expect("room/1/audio/volume", "33").await;
    it.stop().await;
}

#[tokio::test]
async fn a_device_that_does_not_answer_is_a_time_out_or_unknown() {
    let it = Gateway::start_online(Options::default()).await;
    let late = FaultKind::Delay(Duration::from_secs(5));
    it.device
        .add_fault(Fault::on("/rest/audio/volume", late.clone()).method("POST"));
    let result = it.client.command("room/1/audio/volume/set", "33").await;
    assert_eq!(result["error"]["code"], "timeout", "{result}");
    it.device.clear_faults();
    it.device
        .add_fault(Fault::on("/rest/audio", late).method("POST").times(1));
    let result = it.client.command("room/1/audio/dtmf/play", "1").await;
    assert_eq!(result["error"]["code"], "outcome_unknown", "{result}");
    it.device.clear_faults();
    it.stop().await;
}

/// The message contains the device's own explanation.
#[tokio::test]
async fn a_devices_refusals_are_told_apart() {
    let it = Gateway::start_online(Options::default()).await;
    for (status, code) in [
        (500, "device_error"),
        (503, "device_error"),
        (501, "unsupported"),
        (405, "unsupported"),
    ] {
        it.device.add_fault(
            Fault::on("/rest/audio/volume", FaultKind::Status(status))
                .method("POST")
                .times(1),
        );
        let result = it.client.command("room/1/audio/volume/set", "33").await;
        assert_eq!(result["error"]["code"], code, "{result}");
        assert_eq!(result["status"], status, "{result}");
        // What the device lacks is remembered until the next log-in.
        it.client.command("room/1/session/renew", "").await;
    }
    let result = it.client.command("room/1/call/7/get", "").await;
    assert_eq!(result["error"]["code"], "not_found", "{result}");
    for kind in [FaultKind::Garbage, FaultKind::Null] {
        it.device
            .add_fault(Fault::on("/rest/system/time", kind).times(1));
        let result = it.client.command("room/1/system/time/get", "").await;
        assert!(result["ok"] == true || result["error"]["code"] == "device_error");
    }
    it.device
        .add_fault(Fault::on("/rest/system/time", FaultKind::Huge(20 << 20)).times(1));
    let result = it.client.command("room/1/system/time/get", "").await;
    assert_eq!(result["error"]["code"], "too_large", "{result}");
    it.stop().await;
}

/// A command that the device carried out is not repeated, whatever the answer looks like. Where it
/// cannot be read, the result says that the outcome is unknown.
#[tokio::test]
async fn a_command_with_a_spoilt_answer_is_not_repeated() {
    let it = Gateway::start_online(Options::default()).await;
    for kind in spoilt() {
        let fault = Fault::on("/rest/conferences", kind.clone()).method("POST");
        it.device.add_fault(fault.times(1));
        let result = it.client.command("room/1/call/dial", "a@b").await;
        let readable = matches!(kind, FaultKind::Null);
        assert_eq!(result["ok"], readable, "{kind:?}: {result}");
        if !readable {
            assert_eq!(result["error"]["code"], "device_error", "{result}");
            let message = result["error"]["message"].as_str().unwrap();
            assert!(message.ends_with("is unknown"), "{message}");
        }
    }
    assert_eq!(
        it.device.state()["dialled"],
        json!(["a@b", "a@b", "a@b", "a@b"])
    );
    it.stop().await;
}
