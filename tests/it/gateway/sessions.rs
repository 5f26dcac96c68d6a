//! Everything that can be wrong between the gateway and a device. Each has its problem code, and most
//! end by themselves.

use std::time::Duration;

use poly2mqtt::config::{Certificate, Secret};
use poly2mqtt_simulator::{Fault, FaultKind, Firmware, JournalEntry, Options, SimulatedDevice};

use poly2mqtt_test_support::client::text;
use poly2mqtt_test_support::gateway::{Gateway, spoilt, timings};
use poly2mqtt_test_support::{BrokerKind, SOON};

fn is_login(entry: &JournalEntry) -> bool {
    entry.path == "/rest/session" && entry.method == "POST"
}

pub(super) fn logins(it: &Gateway) -> usize {
    let journal = it.device.journal();
    journal.iter().filter(|entry| is_login(entry)).count()
}

pub(super) async fn start(options: Options) -> Gateway {
    let it = Gateway::start(BrokerKind::Embedded, options).await;
    it.online().await;
    it
}

/// A session ends just before a command: the command is carried out once, in a new session.
async fn expiry(firmware: Firmware) {
    let it = start(Options {
        firmware,
        ..Options::default()
    })
    .await;
    it.device.add_fault(
        Fault::on("/rest/conferences", FaultKind::ExpireSession)
            .method("POST")
            .times(1),
    );
    let result = it.client.command("room/1/call/dial", "a@b").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(it.device.state()["dialled"], serde_json::json!(["a@b"]));
    assert_eq!(logins(&it), 2);
    assert_eq!(it.device.sessions(), 1);
    let problems = it.client.messages("room/1/problem");
    assert_eq!(problems.len(), 1, "{problems:?}");
    it.stop().await;
}

#[tokio::test]
async fn a_session_that_expires_in_mid_command_is_renewed() {
    expiry(Firmware::V4_6_2).await;
}

#[tokio::test]
async fn so_it_is_without_an_xsrf_token() {
    expiry(Firmware::V4_0).await;
}

/// An administrator switches the token on while the gateway is logged in without one.
#[tokio::test]
async fn a_device_that_begins_to_want_a_token_is_logged_in_to_anew() {
    let it = start(Options {
        firmware: Firmware::V4_7,
        ..Options::default()
    })
    .await;
    it.device.person_requires_token();
    for volume in ["40", "41"] {
        let result = it.client.command("room/1/audio/volume/set", volume).await;
        assert_eq!(result["ok"], true, "{result}");
        it.client.expect("room/1/audio/volume", volume).await;
    }
    assert_eq!(logins(&it), 2);
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

/// Firmware without tokens refuses something: one log-in, not one for each refusal.
#[tokio::test]
async fn a_refusal_by_firmware_without_tokens_costs_one_log_in() {
    let it = start(Options {
        firmware: Firmware::V4_0,
        ..Options::default()
    })
    .await;
    let refused = Fault::on("/rest/audio/volume", FaultKind::Status(403)).method("POST");
    it.device.add_fault(refused);
    for _ in 0..4 {
        let result = it.client.command("room/1/audio/volume/set", "40").await;
        assert_eq!(result["error"]["code"], "forbidden", "{result}");
    }
    assert_eq!(logins(&it), 2);
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

/// A session is valid until there is a better one: a refused change takes no room offline.
#[tokio::test]
async fn a_refused_change_does_not_cost_a_valid_session() {
    let it = start(Options {
        firmware: Firmware::V4_0,
        ..Options::default()
    })
    .await;
    let refused = Fault::on("/rest/audio/volume", FaultKind::Status(403)).method("POST");
    it.device.add_fault(refused);
    it.device.others_log_in(true);
    for _ in 0..4 {
        let result = it.client.command("room/1/audio/volume/set", "40").await;
        assert_eq!(result["error"]["code"], "forbidden", "{result}");
    }
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    let mut journal = it.device.journal().into_iter();
    assert!(!journal.any(|entry| entry.method == "DELETE"));
    it.never_offline();
    it.device.others_log_in(false);
    it.stop().await;
}

/// Many requests find the session stale at the same time: one log-in is enough for all of them.
#[tokio::test]
async fn one_log_in_serves_all() {
    let it = start(Options::default()).await;
    it.device.expire_sessions();
    for _ in 0..8 {
        it.client.publish("room/1/system/time/get", "").await;
        it.client.publish("room/1/camera/near/1/get", "").await;
    }
    it.client
        .until("results", |client| {
            client.messages("room/1/system/time/get/result").len() == 8
                && client.messages("room/1/camera/near/1/get/result").len() == 8
        })
        .await;
    assert_eq!(logins(&it), 2);
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

/// A wrong password is tried once, and then not for a long time: a lock-out would affect people too.
#[tokio::test]
async fn a_wrong_password_is_not_tried_again_soon() {
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        room.password = Secret::new("wrong");
    })
    .await;
    it.problem("unauthorized").await;
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "unauthorized");
    let wait = timings().retry_after_refused_login;
    let journal = it.device.journal();
    let tries = journal.iter().filter(|entry| is_login(entry));
    let tries: Vec<_> = tries.map(|entry| entry.came).collect();
    assert!(tries.windows(2).all(|two| two[1] - two[0] >= wait));
    // Once the device has the configured password, the next attempt works.
    it.device.person_sets_password("wrong");
    it.online().await;
    it.problem("none").await;
    assert_eq!(logins(&it), tries.len() + 1);
    it.stop().await;
}

/// A password changed at the device is noticed when the session ends.
#[tokio::test]
async fn a_changed_password_is_noticed() {
    let it = start(Options::default()).await;
    it.device.person_sets_password("new");
    it.device.expire_sessions();
    it.problem("unauthorized").await;
    it.client.expect("room/1/availability", "offline").await;
    let mut config = it.config.clone();
    for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
        room.password = Secret::new("new");
    }
    let mut it = it;
    it.service.reload(config).await.unwrap();
    it.online().await;
    it.stop().await;
}

/// A log-in reply that cannot be read says nothing about the password. A session that came with it is
/// logged out.
#[tokio::test]
async fn a_spoilt_log_in_is_tried_again_soon_and_leaves_no_session() {
    let it = start(Options::default()).await;
    for kind in spoilt() {
        it.client.clear();
        let fault = Fault::on("/rest/session", kind).method("POST");
        it.device.add_fault(fault.times(1));
        it.device.expire_sessions();
        it.client.expect("room/1/availability", "offline").await;
        it.problem("not_understood").await;
        it.online().await;
        assert_eq!(it.device.sessions(), 1);
    }
    it.stop().await;
}

/// A device that refuses a valid session for a while still has it. It is logged out; otherwise each
/// refusal would use up a session.
#[tokio::test]
async fn a_session_that_is_refused_is_given_back() {
    let it = start(Options::default()).await;
    it.device
        .add_fault(Fault::on("/rest/", FaultKind::Status(403)).method("GET"));
    let again = |_: &poly2mqtt_simulator::SimulatedDevice| logins(&it) >= 6;
    assert!(it.device.wait_for(SOON, again).await);
    it.device.clear_faults();
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

/// The same if the first log-out fails.
#[tokio::test]
async fn a_session_that_is_not_taken_back_is_given_back_again() {
    let it = start(Options::default()).await;
    let refused = Fault::on("/rest/", FaultKind::Status(403)).method("GET");
    let not_taken = Fault::on("/rest/session", FaultKind::Status(503)).method("DELETE");
    it.device.add_fault(refused.times(2));
    it.device.add_fault(not_taken.times(1));
    let two = |device: &poly2mqtt_simulator::SimulatedDevice| device.sessions() == 2;
    assert!(it.device.wait_for(SOON, two).await);
    let one = |device: &poly2mqtt_simulator::SimulatedDevice| device.sessions() == 1;
    assert!(it.device.wait_for(SOON, one).await);
    it.never_offline();
    it.stop().await;
}

#[tokio::test]
async fn a_lock_out_is_waited_for() {
    let it = start(Options {
        lockout_after: 1,
        ..Options::default()
    })
    .await;
    // One refusal locks this device. Each attempt is answered with the lock-out until it ends.
    it.device.person_sets_password("new");
    it.device.expire_sessions();
    it.problem("unauthorized").await;
    it.device.person_sets_password("456");
    it.problem("locked_out").await;
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "locked_out");
    it.device.person_unlocks();
    it.problem("none").await;
    it.online().await;
    it.stop().await;
}

#[tokio::test]
async fn too_many_sessions_are_waited_for() {
    let it = start(Options::default()).await;
    it.device.expire_sessions();
    it.device.others_log_in(true);
    it.problem("too_many_sessions").await;
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "offline");
    it.device.others_log_in(false);
    it.online().await;
    it.stop().await;
}

#[tokio::test]
async fn a_reboot_is_sat_out() {
    let it = start(Options {
        reboot: Duration::from_secs(5),
        ..Options::default()
    })
    .await;
    let result = it.client.command("room/1/system/reboot", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.problem("offline").await;
    it.client.expect("room/1/availability", "offline").await;
    // The room's last states stay.
    assert_eq!(it.client.last("room/1/audio/volume").unwrap(), "62");
    it.online().await;
    it.problem("none").await;
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

#[tokio::test]
async fn another_certificate_is_refused_until_it_is_pinned() {
    let mut it = start(Options::default()).await;
    let before = it.device.journal().len();
    it.device.new_certificate().unwrap();
    it.problem("certificate_changed").await;
    let problem = it.client.last("room/1/problem").unwrap();
    assert!(problem.contains(&it.device.fingerprint()), "{problem}");
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "offline");
    let muted = it.device.journal().split_off(before);
    assert!(muted.iter().all(|entry| entry.path != "/rest/audio/muted"));
    let mut config = it.config.clone();
    for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
        room.certificate = Certificate::parse(&it.device.fingerprint()).unwrap();
    }
    it.service.reload(config).await.unwrap();
    it.online().await;
    it.stop().await;
}

/// Without a configured certificate the password is not sent, and the problem names the line to copy.
#[tokio::test]
async fn an_unknown_certificate_is_named_and_not_trusted() {
    let it = Gateway::start_with(BrokerKind::Embedded, Options::default(), |room| {
        room.certificate = Certificate::Unset;
    })
    .await;
    it.problem("certificate_unknown").await;
    let problem = it.client.last("room/1/problem").unwrap();
    let line = format!("certificate = \\\"{}\\\"", it.device.fingerprint());
    assert!(problem.contains(&line), "{problem}");
    assert!(it.device.journal().is_empty());
    it.stop().await;
}

#[tokio::test]
async fn teams_mode_refuses_changes_and_only_those() {
    let it = start(Options::default()).await;
    it.device.person_sets_mode("Teams");
    let result = it.client.command("room/1/audio/volume/set", "10").await;
    assert_eq!(result["error"]["code"], "mode_locked", "{result}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.contains("Teams"), "{message}");
    let result = it.client.command("room/1/audio/volume/get", "").await;
    assert_eq!(result["body"], 62);
    it.client
        .until("the mode", |client| {
            let mode = client.last("room/1/system/mode").unwrap_or_default();
            mode.contains("Teams")
        })
        .await;
    it.device.person_sets_mode("Poly");
    let result = it.client.command("room/1/audio/volume/set", "10").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(logins(&it), 1);
    it.stop().await;
}

/// A switch of the provider takes longer than a gateway that stops waits for it.
#[tokio::test]
async fn the_session_is_freed_though_a_command_does_not_end() {
    let it = start(Options::default()).await;
    let device = it.device.clone();
    let late = FaultKind::Delay(Duration::from_secs(60));
    device.add_fault(Fault::on("/rest/current/system/mode", late).method("POST"));
    let topic = "room/1/system/provider/set";
    it.client.publish(topic, "Teams").await;
    let held = |device: &SimulatedDevice| device.delayed() == 1;
    assert!(device.wait_for(SOON, held).await);
    it.service.stop().await;
    assert_eq!(device.sessions(), 0);
    let result = it.client.message(&format!("{topic}/result")).await;
    assert!(
        text(&result).contains("outcome_unknown"),
        "{}",
        text(&result)
    );
    device.stop().await;
}

/// A session from an earlier run does not prove that the device is there: the room must not become
/// `online` between two attempts to reach it.
#[tokio::test]
async fn a_room_stays_offline_for_as_long_as_its_device_is_away() {
    let it = Gateway::start(BrokerKind::Embedded, Options::default()).await;
    it.online().await;
    it.client.clear();
    // Long enough for several attempts, which come every 100 ms at first.
    it.device.reboot(Duration::from_secs(2));
    it.problem("offline").await;
    it.online().await;
    let told = it.client.messages("room/1/availability");
    let told: Vec<String> = told.iter().map(text).collect();
    assert_eq!(told, ["offline", "online"]);
    let sessions = it.device.sessions();
    assert_eq!(sessions, 1);
    it.stop().await;
}
