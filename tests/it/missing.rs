//! What the device lacks is `unsupported`. It is asked each time, since a refusal may be about the moment, and no
//! single one takes a state away.

use std::time::Duration;

use poly2mqtt_simulator::{Fault, FaultKind, Firmware, Options, SimulatedDevice};
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::{BrokerKind, SOON};

/// How often something was sent since the journal was cleared.
fn sent(it: &Gateway, method: &str, path: &str) -> usize {
    let journal = it.device.journal();
    let same = journal.iter();
    let same = same.filter(|entry| (&*entry.method, &*entry.path) == (method, path));
    same.count()
}

#[tokio::test]
async fn what_the_device_lacks_is_asked_for_each_time() {
    let it = Gateway::start_online(Options::default()).await;
    for (topic, payload, method, path, status) in [
        (
            "audio/acoustic_fence/start",
            "",
            "POST",
            "/rest/audio/acousticfence",
            404,
        ),
        ("audio/volume/set", "5", "POST", "/rest/audio/volume", 405),
        (
            "system/network/ping",
            "192.0.2.1",
            "POST",
            "/rest/system/network/ping",
            501,
        ),
        ("system/time/get", "", "GET", "/rest/system/time", 404),
        ("audio/muted/get", "", "GET", "/rest/audio/muted", 405),
    ] {
        it.device
            .add_fault(Fault::on(path, FaultKind::Status(status)).method(method));
        it.device.clear_journal();
        let send = async || it.client.command(&format!("room/1/{topic}"), payload).await;
        for times in 1..=2 {
            let result = send().await;
            assert_eq!(result["error"]["code"], "unsupported", "{topic}: {result}");
            assert_eq!(result["status"], status, "{topic}: {result}");
            assert_eq!(sent(&it, method, path), times, "{topic}");
        }
        it.device.clear_faults();
        let result = send().await;
        assert_eq!(result["ok"], true, "{topic}: {result}");
    }
    it.stop().await;
}

/// A gateway whose polls are so rare that only commands read.
async fn start_without_polls() -> Gateway {
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        let rarely = Duration::from_secs(600);
        room.poll.fast = rarely;
        room.poll.normal = rarely;
        room.poll.slow = rarely;
    })
    .await;
    it.client.message("room/1/system/status").await;
    it.online().await;
    it
}

/// The next read of this path is refused with 404, and all others are answered.
fn one_read_is_missing(it: &Gateway, path: &str) {
    let missing = Fault::on(path, FaultKind::Status(404)).method("GET");
    it.device.add_fault(missing.times(1));
}

/// Checks that a state was never taken away.
fn never_empty(it: &Gateway, state: &str) {
    let told = it.client.messages(&format!("room/1/{state}"));
    assert!(!told.is_empty(), "{state}");
    assert!(told.iter().all(|it| !it.payload.is_empty()), "{state}");
}

#[tokio::test]
async fn one_read_that_is_missing_takes_no_state_away_and_is_asked_for_again() {
    let it = start_without_polls().await;
    let command = async |topic: &str, payload: &str| {
        let topic = format!("room/1/{topic}");
        it.client.command(&topic, payload).await
    };
    one_read_is_missing(&it, "/rest/audio");
    let result = command("audio/volume/set", "44").await;
    let warning = result["warning"].as_str().unwrap();
    assert!(warning.contains("could not be read back"), "{result}");
    let result = command("audio/volume/set", "45").await;
    assert!(
        result["ok"] == true && result["warning"].is_null(),
        "{result}"
    );
    it.client.expect("room/1/audio/volume", "45").await;
    for state in ["audio", "audio/volume", "audio/muted"] {
        never_empty(&it, state);
    }
    for (path, topic, state) in [
        ("/rest/audio/volume", "audio/volume/up", "audio/volume"),
        ("/rest/audio/muted", "audio/muted/get", "audio/muted"),
        ("/rest/system/status", "system/status/get", "system/status"),
    ] {
        one_read_is_missing(&it, path);
        let result = command(topic, "").await;
        assert_eq!(result["error"]["code"], "unsupported", "{topic}: {result}");
        let result = command(topic, "").await;
        assert_eq!(result["ok"], true, "{topic}: {result}");
        never_empty(&it, state);
    }
    it.stop().await;
}

#[tokio::test]
async fn a_call_can_be_hung_up_after_one_read_of_calls_that_is_missing() {
    let it = start_without_polls().await;
    let result = it
        .client
        .command("room/1/call/dial", "alice@example.com")
        .await;
    assert_eq!(result["ok"], true, "{result}");
    one_read_is_missing(&it, "/rest/conferences");
    let hang_up = async || it.client.command("room/1/call/hangup", "").await;
    let result = hang_up().await;
    assert_eq!(result["error"]["code"], "unsupported", "{result}");
    let result = hang_up().await;
    assert_eq!(result["ok"], true, "{result}");
    for state in ["calls", "call/state", "call/count"] {
        never_empty(&it, state);
    }
    it.stop().await;
}

/// The session ends, and the next request logs in anew by itself: the device may have another firmware.
#[tokio::test]
async fn a_log_in_in_between_is_a_log_in_too() {
    let it = Gateway::start_quick(Options::default()).await;
    let read = "/rest/audio/microphones";
    it.client.message("room/1/audio/microphones").await;
    it.device
        .add_fault(Fault::on(read, FaultKind::Status(405)).method("GET"));
    // From this log-in on the device has never had it.
    it.client.command("room/1/session/renew", "").await;
    it.device.clear_journal();
    let dropped = |device: &SimulatedDevice| {
        let journal = device.journal();
        let reads = journal.iter().filter(|entry| entry.path == read);
        reads.count() >= 4
    };
    assert!(it.device.wait_for(SOON, dropped).await);
    it.device.clear_faults();
    it.device.clear_journal();
    it.device.expire_sessions();
    let again = |device: &SimulatedDevice| {
        let journal = device.journal();
        journal.iter().any(|entry| entry.path == read)
    };
    assert!(it.device.wait_for(SOON, again).await, "{read}");
    assert_eq!(sent(&it, "POST", "/rest/session"), 1);
    it.stop().await;
}

#[tokio::test]
async fn what_is_only_missing_at_the_moment_is_asked_for_each_time() {
    let it = Gateway::start_online(Options::default()).await;
    for (topic, method, path) in [
        // There is a far end only in a call.
        (
            "camera/far/selected_people/stop",
            "POST",
            "/rest/cameras/far/selectedpeople",
        ),
        ("camera/near/99/get", "GET", "/rest/cameras/near/99"),
        (
            "call/0/terminals/get",
            "GET",
            "/rest/conferences/0/terminals",
        ),
    ] {
        it.device.clear_journal();
        for times in 1..=2 {
            let result = it.client.command(&format!("room/1/{topic}"), "").await;
            assert_eq!(result["ok"], false, "{topic}: {result}");
            assert_eq!(sent(&it, method, path), times, "{topic}: {result}");
        }
    }
    let result = it
        .client
        .command("room/1/call/dial", "alice@example.com")
        .await;
    assert_eq!(result["ok"], true, "{result}");
    let far = "room/1/camera/far/selected_people/stop";
    let result = it.client.command(far, "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}

fn firmware(firmware: Firmware) -> Options {
    Options {
        firmware,
        ..Options::default()
    }
}

/// Firmware 5.0 has no Poly provider, so a call that it refuses is refused until another provider runs.
#[tokio::test]
async fn what_a_device_without_a_poly_provider_refuses_is_asked_for_once() {
    for (version, asked) in [(Firmware::V5_0, [1, 1, 1]), (Firmware::V4_7, [1, 2, 3])] {
        let it = Gateway::start(BrokerKind::Embedded, firmware(version)).await;
        it.online().await;
        it.device.person_sets_mode("Teams");
        it.client.command("room/1/system/mode/get", "").await;
        it.client.command("room/1/system/providers/get", "").await;
        it.device.clear_journal();
        for times in asked {
            let result = it
                .client
                .command("room/1/call/dial", "alice@example.com")
                .await;
            assert_eq!(result["error"]["code"], "mode_locked", "{result}");
            assert_eq!(sent(&it, "POST", "/rest/conferences"), times, "{version}");
        }
        it.stop().await;
    }
}

/// "403 or 404": reads of calls that are refused are like calls that are missing.
#[tokio::test]
async fn reads_that_are_refused_from_the_start_are_not_asked_over_and_over() {
    let it = Gateway::start_with(BrokerKind::Embedded, firmware(Firmware::V5_0), |room| {
        room.poll.fast = Duration::from_millis(100);
        // Longer than a busy machine takes for the reads below.
        room.poll.slow = Duration::from_secs(60);
    })
    .await;
    let path = "/rest/conferences";
    it.device
        .add_fault(Fault::on(path, FaultKind::Status(403)).method("GET"));
    it.client.command("room/1/session/renew", "").await;
    it.online().await;
    it.client.command("room/1/system/providers/get", "").await;
    it.device.clear_journal();
    // Long enough for more than ten reads of what the device has.
    let reads = |device: &SimulatedDevice| {
        let journal = device.journal();
        let audio = journal.iter().filter(|entry| entry.path == "/rest/audio");
        audio.count() > 10
    };
    assert!(it.device.wait_for(SOON, reads).await);
    assert!(sent(&it, "GET", path) <= 1, "{}", sent(&it, "GET", path));
    for times in [1, 1] {
        it.client.command("room/1/call/state/get", "").await;
        assert!(sent(&it, "GET", path) <= 1 + times);
    }
    for state in ["calls", "call/state", "call/count"] {
        assert_eq!(it.client.last(&format!("room/1/{state}")), None, "{state}");
    }
    it.stop().await;
}
