//! Online means understood: a device whose reads bring nothing that a Poly device says is offline, and
//! one endpoint that fails is not that.

mod lost;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::{Doors, get, http, post, text};
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::log::{Log, thread_log};
use serde_json::Value;

/// The device answers every read so. Those by POST first: the volume and the like are good until all are not.
fn all_reads(device: &SimulatedDevice, kind: &FaultKind) {
    add_reads_by_post(device, kind);
    device.add_fault(Fault::on("/rest/", kind.clone()).method("GET"));
}

fn add_reads_by_post(device: &SimulatedDevice, kind: &FaultKind) {
    for read_by_post in ["/rest/devicemanagement/", "/rest/current/devicemanagement/"] {
        device.add_fault(Fault::on(read_by_post, kind.clone()).method("POST"));
    }
}

/// How many log-ins are in the device's journal.
fn logins(device: &SimulatedDevice) -> usize {
    let journal = device.journal();
    let login = journal.iter().filter(|entry| entry.path == "/rest/session");
    login.filter(|entry| entry.method == "POST").count()
}

/// What may come in place of a Poly device's answers, and what the problem says of it.
fn not_understood() -> Vec<(FaultKind, &'static str)> {
    let body = |text: &str| FaultKind::Body(text.to_owned());
    vec![
        (FaultKind::Page, "a page, not JSON"),
        (FaultKind::Redirect, "302, a redirect"),
        (FaultKind::Status(307), "307, a redirect"),
        (FaultKind::Status(400), "answered 400"),
        (FaultKind::Status(401), "administrator"),
        (FaultKind::Status(404), "answered 404"),
        (FaultKind::Status(405), "answered 405"),
        (FaultKind::Status(500), "answered 500"),
        (FaultKind::Status(502), "in trouble"),
        (FaultKind::Status(503), "answered 503"),
        (FaultKind::Garbage, "not text"),
        (FaultKind::Null, "empty or null"),
        (FaultKind::Truncated, "breaks off"),
        (body(""), "empty or null"),
        (body("[]"), "a list that"),
        (body("{}"), "an object that"),
        (body("true"), "true or false that"),
        (body("42"), "a number that"),
        (body("OK"), "a text that"),
        (body("\"hello\""), "a text that"),
        (body("Please log in."), "not JSON"),
        (body("{\"status\":\"UP\"}"), "an object that"),
        (
            body("{\"error\":{\"code\":404,\"message\":\"no route\"}}"),
            "an object that",
        ),
        (body("[{\"name\":\"a\",\"id\":7}]"), "a list that"),
        (
            body("{\"volume\":\"loud\",\"muted\":\"no\",\"model\":7}"),
            "lacks what",
        ),
        (body("<?xml version=\"1.0\"?><status/>"), "a page"),
    ]
}

/// The room is offline, its states stay, every door says so, and it comes back by itself.
#[tokio::test]
async fn a_device_that_is_not_understood_is_offline_until_it_is() {
    let it = Gateway::start_quick(Options::default()).await;
    it.client.expect("room/1/audio/volume", "62").await;
    it.client.message("room/1/camera/presets").await;
    let at = it.service.http_addr().unwrap();
    let metrics = format!("http://{at}/metrics");
    let ready = format!("http://{at}/readyz");
    for (kind, words) in not_understood() {
        let (before, began) = (it.device.journal().len(), Instant::now());
        it.client.clear();
        all_reads(&it.device, &kind);
        it.client.expect("room/1/availability", "offline").await;
        it.problem("not_understood").await;
        let problem = it.client.last("room/1/problem").unwrap();
        assert!(problem.contains(words), "{kind:?}: {problem}");
        assert!(
            text(&metrics)
                .await
                .contains("poly2mqtt_room_online{room=\"1\"} 0")
        );
        let ready: Value = get(&ready).await.json().await.unwrap();
        assert_eq!(
            (&ready["rooms"], &ready["rooms_online"]),
            (&1.into(), &0.into())
        );
        let result = it.client.command("room/1/audio/volume/set", "30").await;
        assert_eq!(result["error"]["code"], "offline", "{kind:?}: {result}");
        let store = it.service.store();
        for kept in ["audio/volume", "audio/muted", "camera/presets", "calls"] {
            let kept = store.get(&format!("room/1/{kept}"));
            assert!(kept.is_some(), "{kind:?}");
        }
        // It is not asked ever more: 400 reads, and where a busy machine takes its time, in proportion.
        let reads = it.device.journal().len() - before;
        let most = 200.0 * began.elapsed().as_secs_f64().max(2.0);
        assert!((reads as f64) < most, "{kind:?}: {reads} of {most}");
        it.device.clear_faults();
        it.online().await;
        it.problem("none").await;
        assert!(
            text(&metrics)
                .await
                .contains("poly2mqtt_room_online{room=\"1\"} 1")
        );
        assert!(it.client.messages("room/1/event/call_ended").is_empty());
    }
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

/// A device that starts, or a proxy before one, lacks everything for a moment after the log-in. Nothing is taken
/// away at the broker, whenever that ends.
#[tokio::test]
async fn what_a_device_lacks_for_a_moment_is_not_taken_away() {
    let it = Gateway::start_quick(Options::default()).await;
    it.client.message("room/1/camera/presets").await;
    for status in [404, 405, 501] {
        for reads in [1, 3, 9, 20] {
            it.client.command("room/1/session/renew", "").await;
            it.device.clear_journal();
            let kind = FaultKind::Status(status);
            it.device
                .add_fault(Fault::on("/rest/", kind).method("GET").times(reads));
            let over = |device: &SimulatedDevice| {
                let journal = device.journal();
                let newest = journal.iter().rev().take(40);
                newest.filter(|entry| entry.fault.is_none()).count() == 40
            };
            assert!(it.device.wait_for(SOON, over).await, "{status} {reads}");
            it.online().await;
        }
    }
    for topic in ["audio/volume", "audio/muted", "camera/presets", "calls"] {
        let said = it.client.messages(&format!("room/1/{topic}"));
        let is_there = said.iter().all(|said| !said.payload.is_empty());
        assert!(!said.is_empty() && is_there, "{topic}");
    }
    it.stop().await;
}

/// A room whose device is never understood is never online, though each log-in succeeds, and the log has
/// one warning for all its attempts.
#[tokio::test]
async fn a_room_that_was_never_understood_is_never_online_and_warns_once() {
    let (log, _guard) = thread_log();
    let mut it = Gateway::start_quick(Options::default()).await;
    all_reads(&it.device, &FaultKind::Page);
    it.problem("not_understood").await;
    let since = |client: &Client| {
        let problem = client.last("room/1/problem").unwrap_or_default();
        let problem: Value = serde_json::from_str(&problem).unwrap_or_default();
        problem["since"].as_str().unwrap_or_default().to_owned()
    };
    let before = since(&it.client);
    // The room is started anew, and knows nothing of its device.
    let mut config = it.config.clone();
    for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
        room.keep_alive = false;
    }
    it.client.clear();
    it.service.reload(config).await.unwrap();
    // Until it ends, the task of before may say its problem again, in other words.
    let is_anew = |client: &Client| ![String::new(), before.clone()].contains(&since(client));
    it.client.until("the problem, anew", is_anew).await;
    it.problem("not_understood").await;
    let began = since(&it.client);
    let rounds = |device: &SimulatedDevice| {
        let journal = device.journal();
        let last = |entry: &&_| matches!(entry, poly2mqtt_simulator::JournalEntry { path, .. } if path == "/rest/directory/favorites");
        journal.iter().filter(last).count()
    };
    let before = rounds(&it.device);
    let tried = |device: &SimulatedDevice| rounds(device) >= before + 4;
    assert!(it.device.wait_for(SOON, tried).await);
    let said = it.client.messages("room/1/availability");
    assert!(said.iter().all(|said| said.payload == "offline"));
    assert_eq!(since(&it.client), began);
    let warnings = |log: &Log| {
        let text = log.text();
        let is = |line: &&str| line.contains("WARN") && line.contains("not answer as a Poly");
        text.lines().filter(is).count()
    };
    // One of the first room, one of the second.
    assert_eq!(warnings(&log), 2, "{}", log.text());
    it.device.clear_faults();
    it.online().await;
    assert_eq!(warnings(&log), 2);
    it.stop().await;
}

/// Each endpoint alone is enough by which a device is known.
#[test]
fn a_device_is_understood_by_whatever_endpoint_still_works() {
    at_the_same_time(
        [
            "/rest/audio",
            "/rest/system",
            "/rest/system/status",
            "/rest/system/mode",
            "/rest/cameras/near/all",
            "/rest/conferences/capabilities",
        ],
        |works| async move {
            let it = Gateway::start_quick(Options::default()).await;
            // Without an end of time: the first fault that fits a request is the one that applies.
            let none = FaultKind::Delay(Duration::ZERO);
            let before = it.device.journal().len();
            for kind in [
                FaultKind::Status(503),
                FaultKind::Page,
                FaultKind::Status(404),
            ] {
                it.device.clear_faults();
                it.device
                    .add_fault(Fault::on(works, none.clone()).method("GET"));
                all_reads(&it.device, &kind);
                let reads = |device: &SimulatedDevice| device.journal().len() > before + 150;
                assert!(it.device.wait_for(SOON, reads).await);
            }
            it.never_offline();
            it.stop().await;
        },
    );
}

/// In Teams mode writes are refused and reads work, also where the device refuses most of them.
#[tokio::test]
async fn a_device_in_another_mode_is_understood() {
    let it = Gateway::start_quick(Options::default()).await;
    it.device.person_sets_mode("Teams");
    for path in ["/rest/audio", "/rest/conferences", "/rest/video"] {
        it.device
            .add_fault(Fault::on(path, FaultKind::Status(403)).method("GET"));
    }
    let before = it.device.journal().len();
    let reads = |device: &SimulatedDevice| device.journal().len() > before + 300;
    assert!(it.device.wait_for(SOON, reads).await);
    it.never_offline();
    it.stop().await;
}

/// A user without the rights is refused each read. Each refusal costs a log-in, so the device is not asked
/// for everything again and again.
#[tokio::test]
async fn a_user_without_rights_is_told_and_does_not_log_in_all_the_time() {
    let it = Gateway::start_quick(Options::default()).await;
    all_reads(&it.device, &FaultKind::Status(403));
    it.problem("not_understood").await;
    let problem = it.client.last("room/1/problem").unwrap();
    assert!(problem.contains("the role of administrator"), "{problem}");
    it.device.clear_journal();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Tried after 0.1, 0.2, 0.4, 0.8 and 1.6 s, each time with three reads.
    let so_far = logins(&it.device);
    assert!(so_far <= 30, "{so_far}");
    let goes_on = |device: &SimulatedDevice| logins(device) >= 4;
    assert!(it.device.wait_for(SOON, goes_on).await);
    it.device.clear_faults();
    it.online().await;
    assert_eq!(it.device.sessions(), 1);
    it.stop().await;
}

/// One answer in between is enough: the device is in trouble, not another one.
#[tokio::test]
async fn a_moment_of_nonsense_is_forgiven() {
    let it = Gateway::start_quick(Options::default()).await;
    for _ in 0..4 {
        it.device
            .add_fault(Fault::on("/rest/", FaultKind::Page).method("GET").times(6));
        let over = |device: &SimulatedDevice| {
            let newest = device.journal().into_iter().rev().take(8);
            newest.filter(|entry| entry.fault.is_none()).count() == 8
        };
        assert!(it.device.wait_for(SOON, over).await);
    }
    it.never_offline();
    it.stop().await;
}

/// An idle device: its answers stay the same. Each endpoint fails once, and is then as good as before.
#[tokio::test]
async fn an_endpoint_that_failed_once_is_recognised_again_though_its_answer_is_the_same() {
    let it = Gateway::start_quick(Options::default()).await;
    let gets = |device: &SimulatedDevice| {
        let mut journal = device.journal();
        journal.retain(|entry| entry.method == "GET");
        journal
    };
    let asked = |device: &SimulatedDevice| gets(device).len() > 150;
    assert!(it.device.wait_for(SOON, asked).await);
    let read: Vec<_> = gets(&it.device).into_iter().map(|get| get.path).collect();
    // What is read once after the log-in is not asked for again.
    let often = |path: &&String| read.iter().filter(|other| other == path).count() > 1;
    let paths: BTreeSet<_> = read.iter().filter(often).cloned().collect();
    for kind in [FaultKind::Status(503), FaultKind::Page, FaultKind::Null] {
        it.device.clear_journal();
        // The longest first: a fault applies to all paths that start with its own.
        for path in paths.iter().rev() {
            it.device
                .add_fault(Fault::on(path, kind.clone()).method("GET").times(1));
        }
        let over = |device: &SimulatedDevice| {
            let gets = gets(device);
            let failed = gets.iter().filter(|get| get.fault.is_some());
            failed.count() == paths.len() && gets.len() > 150
        };
        assert!(it.device.wait_for(SOON, over).await, "{kind:?}");
    }
    it.never_offline();
    it.stop().await;
}

/// A session that the device has forgotten, and answers with its log-in page: the gateway logs in again.
#[tokio::test]
async fn a_device_that_asks_for_a_log_in_is_logged_in_to() {
    let it = Gateway::start_quick(Options::default()).await;
    for kind in [FaultKind::Redirect, FaultKind::Page, FaultKind::Status(401)] {
        it.client.clear();
        let before = logins(&it.device);
        all_reads(&it.device, &kind);
        it.problem("not_understood").await;
        let again = |device: &SimulatedDevice| logins(device) > before;
        assert!(it.device.wait_for(SOON, again).await, "{kind:?}");
        it.device.clear_faults();
        it.online().await;
        assert_eq!(it.device.sessions(), 1);
    }
    it.stop().await;
}

/// Another product at the device's address answers the log-in: that is no wrong password, after which the
/// gateway would wait for many minutes.
#[tokio::test]
async fn another_products_answer_to_the_log_in_is_not_understood() {
    let it = Gateway::start_quick(Options::default()).await;
    for kind in [
        FaultKind::Body("{\"error\":\"no route\"}".into()),
        FaultKind::Body("{\"status\":\"UP\"}".into()),
        FaultKind::Page,
        FaultKind::Null,
    ] {
        it.client.clear();
        it.device.clear_journal();
        all_reads(&it.device, &FaultKind::Page);
        it.device
            .add_fault(Fault::on("/rest/session", kind.clone()).method("POST"));
        it.problem("not_understood").await;
        let tried = |device: &SimulatedDevice| logins(device) >= 3;
        assert!(it.device.wait_for(SOON, tried).await, "{kind:?}");
        for problem in it.client.messages("room/1/problem") {
            let problem = String::from_utf8_lossy(&problem.payload).into_owned();
            assert!(!problem.contains("unauthorized"), "{kind:?}: {problem}");
        }
        it.device.clear_faults();
        it.online().await;
    }
    it.stop().await;
}

/// A command is carried out, and its state cannot be read back: every door says both.
#[tokio::test]
async fn a_read_back_that_fails_is_a_warning_at_every_door() {
    let doors = Doors::start().await;
    let fault = Fault::on("/rest/audio", FaultKind::Status(503)).method("GET");
    doors.device.add_fault(fault);
    let warning = "the device accepted this, but audio could not be read back: the device answered \
                   503: a fault of the simulator";
    let set = "room/1/audio/volume/set";
    let (status, result) = post(&doors.url(&format!("/{set}")), "40").await;
    assert_eq!(
        (status, &result["ok"]),
        (200, &Value::Bool(true)),
        "{result}"
    );
    assert_eq!(result["warning"], warning, "{result}");
    let mut ws = doors.ws("/ws").await;
    let frame = format!("\"topic\":\"{set}\",\"payload\":41");
    let answer = ws.ask(1, &frame).await;
    assert_eq!(answer["payload"]["warning"], warning, "{answer}");
    let mut plain = doors.ws("/ws?format=plain").await;
    plain.send(&format!("{set} 42")).await;
    let line = format!("{set}/result ok warning {warning}");
    assert_eq!(plain.text().await, line);
    let mut tcp = doors.tcp().await;
    tcp.send(&format!("{set} 43\r\n")).await;
    assert_eq!(tcp.line().await.unwrap(), line);
    assert_eq!(doors.device.state()["audio"]["volume"], 43);
    // Without a failure there is none.
    doors.device.clear_faults();
    let (_, result) = post(&doors.url(&format!("/{set}")), "44").await;
    assert_eq!(result.get("warning"), None, "{result}");
    doors.stop().await;
}

/// The same over MQTT, where the answer to a command itself may be a page.
#[tokio::test]
async fn a_command_that_a_page_answers_has_failed() {
    let it = Gateway::start_quick(Options::default()).await;
    for (kind, words) in [
        (FaultKind::Page, "a page, not JSON"),
        (FaultKind::Redirect, "a redirect"),
        (FaultKind::Body("{\"success\":".into()), "breaks off"),
        (FaultKind::Garbage, "not text"),
    ] {
        it.device.clear_faults();
        it.device
            .add_fault(Fault::on("/rest/", kind.clone()).method("POST"));
        for (command, payload) in [
            ("audio/volume/set", "40"),
            ("audio/mute", ""),
            ("call/dial", "a@b"),
            ("video/muted/set", "toggle"),
            ("camera/move", "left"),
        ] {
            let topic = format!("room/1/{command}");
            let result = it.client.command(&topic, payload).await;
            assert_eq!(
                result["error"]["code"], "device_error",
                "{kind:?}: {result}"
            );
            let message = result["error"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{kind:?}: {message}");
        }
    }
    it.never_offline();
    it.device.clear_faults();
    it.device
        .add_fault(Fault::on("/rest/audio", FaultKind::Null).method("GET"));
    let result = it.client.command("room/1/audio/volume/set", "33").await;
    assert_eq!(result["ok"], true, "{result}");
    let warning = result["warning"].as_str().unwrap();
    assert!(warning.contains("empty or null"), "{warning}");
    it.stop().await;
}

/// A download whose device answers with a page is no file.
#[tokio::test]
async fn a_page_is_not_the_file_that_was_asked_for() {
    let doors = Doors::start().await;
    let fault = Fault::on("/rest/system/logs", FaultKind::Page);
    doors.device.add_fault(fault);
    let response = http()
        .get(doors.url("/room/1/system/logs/get"))
        .send()
        .await;
    let response = response.unwrap();
    assert_eq!(response.status().as_u16(), 502);
    let result: Value = response.json().await.unwrap();
    assert_eq!(result["error"]["code"], "device_error", "{result}");
    assert!(result.to_string().contains("a web page"), "{result}");
    doors.stop().await;
}
