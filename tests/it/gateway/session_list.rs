//! Who holds a device's sessions: `session/list/get`, and the problem `too_many_sessions`. An id of a session
//! is nowhere.

use poly2mqtt_simulator::{Fault, FaultKind, Firmware, Options, SimulatedDevice};
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::gateway::Gateway;
use serde_json::{Value, json};

async fn start(firmware: Firmware) -> Gateway {
    let options = Options {
        firmware,
        ..Options::default()
    };
    Gateway::start_online(options).await
}

/// Checks that no message that the broker delivered has an id of a session.
fn no_id_is_told(it: &Gateway, ids: &[String]) {
    assert!(!ids.is_empty());
    for (topic, payload) in it.client.all() {
        for id in ids {
            assert!(!payload.contains(id), "{topic} {payload}");
        }
    }
}

fn problem(it: &Gateway) -> String {
    let problem = it.client.last("room/1/problem").unwrap();
    let problem: Value = serde_json::from_str(&problem).unwrap();
    problem["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_holds_sessions_is_told_without_their_ids() {
    for (firmware, paths) in [
        (Firmware::V4_6_2, &["/rest/current/session/sessions"][..]),
        (
            Firmware::V4_4,
            &["/rest/current/session/sessions", "/rest/session/sessions"][..],
        ),
    ] {
        let it = start(firmware).await;
        it.device.others_log_in(true);
        it.device.clear_journal();
        let result = it.client.command("room/1/session/list/get", "").await;
        let journal = it.device.journal().into_iter();
        let sent: Vec<_> = journal
            .map(|entry| entry.path)
            .filter(|path| path.ends_with("/sessions"))
            .collect();
        assert_eq!(sent, paths, "{firmware}");
        let list = result["body"].as_array().unwrap();
        assert_eq!(list.len(), 8, "{result}");
        let ours = json!({
            "userId": "admin", "role": "ADMIN", "location": "127.0.0.1", "clientType": "WEB",
            "isConnected": false, "isStale": false,
        });
        assert_eq!(list[0], ours);
        assert_eq!(list[2]["userId"], "controller");
        assert_eq!(list[2]["clientType"], "SSH");
        no_id_is_told(&it, &it.device.session_ids());
        it.stop().await;
    }
}

#[tokio::test]
async fn a_device_without_the_list_or_with_another_answer_says_so() {
    let it = start(Firmware::V4_0).await;
    let result = it.client.command("room/1/session/list/get", "").await;
    assert_eq!(result["error"]["code"], "unsupported", "{result}");
    it.stop().await;
    let it = start(Firmware::V4_6_2).await;
    for body in [
        "null",
        "{}",
        "\"PS1\"",
        "[\"PS1\"]",
        r#"{"sessionId":"PS1"}"#,
    ] {
        it.device.clear_faults();
        it.device.add_fault(Fault::on(
            "/rest/current/session/sessions",
            FaultKind::Body(body.into()),
        ));
        let result = it.client.command("room/1/session/list/get", "").await;
        assert_eq!(result["error"]["code"], "device_error", "{body}: {result}");
    }
    no_id_is_told(&it, &["PS1".to_owned()]);
    it.stop().await;
}

/// A session of the gateway's lives on because the device does not release it: it can still ask.
#[test]
fn too_many_sessions_names_their_holders_while_one_of_ours_lives() {
    let not_released = || Fault::on("/rest/session", FaultKind::Status(503)).method("DELETE");
    let named = "all of the device's sessions are in use: controller from 192.0.2.206 (WEB) ×4, \
                 controller from 192.0.2.206 (SSH) ×3, admin from 127.0.0.1 (WEB); log out \
                 elsewhere or restart the device";
    at_the_same_time(
        [
            // It has no log-out at all.
            (Firmware::V4_4, None),
            (Firmware::V4_6_2, Some(not_released())),
        ],
        |(firmware, fault)| async move {
            let it = start(firmware).await;
            it.device.others_log_in(true);
            let ids = it.device.session_ids();
            // Without a log-out the session of before stays in use, so that the room has no problem.
            let stays_in_use = fault.is_none();
            if let Some(fault) = fault {
                it.device.add_fault(fault);
            }
            let result = it.client.command("room/1/session/renew", "").await;
            assert_eq!(result["ok"], false, "{result}");
            if !stays_in_use {
                it.problem("too_many_sessions").await;
                assert_eq!(problem(&it), named, "{firmware}");
            }
            assert_eq!(result["error"]["message"], named, "{firmware}");
            no_id_is_told(&it, &ids);
            it.device.clear_faults();
            it.device.others_log_in(false);
            it.online().await;
            it.problem("none").await;
            it.stop().await;
        },
    );
}

#[tokio::test]
async fn too_many_sessions_names_nobody_when_none_of_ours_lives() {
    let it = start(Firmware::V4_6_2).await;
    it.device.expire_sessions();
    it.device.others_log_in(true);
    it.problem("too_many_sessions").await;
    let plain = "all of the device's sessions are in use; log out elsewhere or restart the device";
    assert_eq!(problem(&it), plain);
    // Nor when the device does not tell.
    it.device.others_log_in(false);
    it.online().await;
    it.client.clear();
    it.device.others_log_in(true);
    let not_released = Fault::on("/rest/session", FaultKind::Status(503)).method("DELETE");
    it.device.add_fault(not_released);
    let list = "/rest/current/session/sessions";
    it.device
        .add_fault(Fault::on(list, FaultKind::Body("[1]".into())));
    it.client.command("room/1/session/renew", "").await;
    it.problem("too_many_sessions").await;
    assert_eq!(problem(&it), plain);
    it.stop().await;
}

/// A refusal for another reason than the password is tried again soon.
#[tokio::test]
async fn a_log_in_that_is_refused_for_another_reason_is_tried_again_soon() {
    let it = start(Firmware::V4_7).await;
    for status in [400, 409, 412] {
        it.client.clear();
        let refused = Fault::on("/rest/session", FaultKind::Status(status)).method("POST");
        it.device.add_fault(refused.times(1));
        it.device.expire_sessions();
        it.problem("not_understood").await;
        it.online().await;
        let one = |device: &SimulatedDevice| device.sessions() == 1;
        assert!(it.device.wait_for(poly2mqtt_test_support::SOON, one).await);
    }
    it.stop().await;
}
