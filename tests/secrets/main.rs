//! No secret is in a log of any level, in a topic, or in a debug print.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;

use poly2mqtt::config::{AccessLevel, Secret};
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Fault, FaultKind, Options};

use poly2mqtt_test_support::BrokerKind;
use poly2mqtt_test_support::door::{Doors, get, http, token};
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::log::Log;
use poly2mqtt_test_support::secrets::{CALL, OTHER, PASSWORD, PIN, SETTING, find};

/// A setting that the simulator marks as secure.
const SIP_PASSWORD: &str = "comm.nics.sipnic.sippassword";
/// One that it marks as hidden.
const SUPPORT_KEY: &str = "system.internal.supportkey";

/// Everything that this process logs, at the finest level. A process has one log, so the tests share
/// it.
fn log() -> Log {
    static LOG: LazyLock<Log> = LazyLock::new(|| {
        let log = Log::default();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .init();
        log
    });
    LOG.clone()
}

#[tokio::test]
async fn no_secret_is_told() {
    let log = log();
    let options = Options {
        password: PASSWORD.into(),
        ..Options::default()
    };
    let mut it = Gateway::start_with(BrokerKind::Embedded, options, |room| {
        room.password = Secret::new(PASSWORD);
        room.settings = [SIP_PASSWORD, SUPPORT_KEY, "system.info.systemname"]
            .map(str::to_owned)
            .into();
    })
    .await;
    it.online().await;
    let dial = format!("{{\"address\":\"a@b\",\"password\":\"{CALL}\"}}");
    let wrong = format!("{{\"address\":7,\"password\":[\"{CALL}\"]}}");
    let broken = format!("{{\"address\":\"a@b\",\"password\":\"{CALL}");
    for payload in [dial.as_str(), &wrong, &broken] {
        it.client.command("room/1/call/dial", payload).await;
    }
    it.client
        .command("room/1/collaboration/content/all/get", PIN)
        .await;
    for kind in [FaultKind::DropBefore, FaultKind::Garbage] {
        let path = "/rest/collaboration";
        it.device.add_fault(Fault::on(path, kind).times(3));
        it.client
            .command("room/1/collaboration/content/all/get", PIN)
            .await;
    }
    it.client
        .message("room/1/config/system.info.systemname")
        .await;
    let names = format!("{SIP_PASSWORD},{SUPPORT_KEY},no.such.name");
    it.client.command("room/1/config/get", names).await;
    for name in [
        SIP_PASSWORD,
        "system.screensavermode",
        "no.such.name",
        "noname",
    ] {
        let set = format!("{{\"name\":\"{name}\",\"value\":\"{SETTING}\"}}");
        it.client.command("room/1/config/set", set).await;
        let set = format!("{{\"vars\":[{{\"name\":\"{name}\",\"value\":[\"{SETTING}\"]}}]}}");
        it.client.command("room/1/config/set", set).await;
    }
    it.client.command("room/1/config/set", SETTING).await;
    for kind in [
        FaultKind::DropBefore,
        FaultKind::Garbage,
        FaultKind::Status(500),
    ] {
        it.device
            .add_fault(Fault::on("/rest/config", kind).times(3));
        let set = format!("{{\"name\":\"{SIP_PASSWORD}\",\"value\":\"{SETTING}\"}}");
        it.client.command("room/1/config/set", set).await;
        let one = format!("room/1/config/{SIP_PASSWORD}/get");
        it.client.command(&one, "").await;
    }
    it.client.command("room/1/session/renew", "").await;
    it.client.command("room/1/session/get", "").await;
    sessions_are_told(&it).await;
    let mut config = it.config.clone();
    for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
        room.password = Secret::new(OTHER);
    }
    it.service.reload(config.clone()).await.unwrap();
    it.problem("unauthorized").await;
    let topics: Vec<String> = it
        .client
        .all()
        .into_iter()
        .filter(|(topic, _)| !topic.ends_with("/dial") && !topic.ends_with("/all/get"))
        .filter(|(topic, _)| !topic.ends_with("/config/set"))
        .map(|(topic, payload)| format!("{topic} {payload}"))
        .collect();
    assert_eq!(find(&topics.join("\n")), None);
    let shown = format!("{:?} {config:?} {}", it.service, config.redacted());
    assert_eq!(find(&shown), None);
    it.service.stop().await;
    let log = log.text();
    assert!(log.contains("TRACE") && log.contains("poly2mqtt"), "no log");
    // The cause of a broken connection is there all the same, and in which room.
    let broke = "the connection to the device broke cause=peer closed connection";
    let broken = log.lines().find(|line| line.contains(broke));
    assert!(
        broken.is_some_and(|line| line.contains("room=\"1\"")),
        "{broken:?}"
    );
    assert_eq!(find(&log), None);
    it.device.stop().await;
}

/// Who holds sessions is told, by the query and by the problem that there are none left.
async fn sessions_are_told(it: &Gateway) {
    it.device.others_log_in(true);
    let result = it.client.command("room/1/session/list/get", "").await;
    assert_eq!(result["body"].as_array().map(Vec::len), Some(8), "{result}");
    let list = "/rest/current/session/sessions";
    for kind in [FaultKind::Truncated, FaultKind::Status(500)] {
        it.device.add_fault(Fault::on(list, kind).times(1));
        it.client.command("room/1/session/list/get", "").await;
    }
    let not_released = Fault::on("/rest/session", FaultKind::Status(503)).method("DELETE");
    it.device.add_fault(not_released);
    it.client.command("room/1/session/renew", "").await;
    it.problem("too_many_sessions").await;
    let problem = it.client.last("room/1/problem").unwrap();
    assert!(problem.contains("controller from"), "{problem}");
    it.device.clear_faults();
    it.device.others_log_in(false);
    it.online().await;
    it.problem("none").await;
}

#[tokio::test]
async fn no_log_ever_shows_a_token() {
    const CANARY: &str = "canary-0123456789";
    let log = log();
    let mut doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![token(CANARY, AccessLevel::Read, Some(&["1"]))];
        config.http.tokens[0].name = "panel".into();
    })
    .await;
    let path = format!("/room/1?token={CANARY}");
    assert_eq!(get(&doors.url(&path)).await.status(), 200);
    let path = format!("/room/1/audio/volume/get?token={CANARY}");
    assert_eq!(get(&doors.url(&path)).await.status(), 403);
    assert_eq!(
        get(&doors.url(&format!("/room/1?token={CANARY}x")))
            .await
            .status(),
        401
    );
    let bearer = http().get(doors.url("/room/1")).bearer_auth(CANARY);
    assert_eq!(bearer.send().await.unwrap().status(), 200);
    let basic = http()
        .get(doors.url("/room/1"))
        .basic_auth("x", Some(CANARY));
    assert_eq!(basic.send().await.unwrap().status(), 200);
    let mut ws = doors
        .ws(&format!("/ws?token={CANARY}&subscribe=gateway/info"))
        .await;
    assert!(!ws.text().await.contains(CANARY));
    let mut tcp = doors.tcp().await;
    tcp.send(&format!("token {CANARY}\nping\ntoken {CANARY}\n"))
        .await;
    assert_eq!(tcp.line().await.unwrap(), "pong");
    assert!(!tcp.line().await.unwrap().contains(CANARY));
    doors.service.reload(doors.config.clone()).await.unwrap();
    doors.stop().await;
    let log = log.text();
    assert!(log.contains("TRACE") && log.contains("online"));
    // The test's own client also logs what it sends. Only the gateway's lines are checked.
    let own = |line: &&str| line.contains(CANARY) && !line.contains("handshake::client");
    let shown: Vec<_> = log.lines().filter(own).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}
