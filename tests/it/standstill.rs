//! A gateway whose process stood still: what waited for it meanwhile is as old as it is, at every door.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use poly2mqtt_simulator::{Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::Value;
use tokio::time::sleep;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::{Lines, Socket, post};
use poly2mqtt_test_support::program::{Running, listening, program};
use poly2mqtt_test_support::wait::until_some;
use poly2mqtt_test_support::{free_port, until};

/// Longer than `max_command_age`.
const STANDSTILL: Duration = Duration::from_millis(5200);

/// Waits until no thread of the process runs.
fn stopped(process: u32) {
    let is_stopped = || {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
        let state = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
        let mut states = tasks.flatten().map(state);
        // The state comes after the name, which ends with the last bracket.
        let is_stopped = |stat: Option<String>| {
            let stat = stat?;
            Some(stat.rsplit_once(')')?.1.trim_start().starts_with('T'))
        };
        states
            .all(|stat| is_stopped(stat) == Some(true))
            .then_some(())
    };
    until_some(|| "the process is stopped".to_owned(), is_stopped);
}

fn code(result: &Value) -> &str {
    result["error"]["code"].as_str().unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_while_the_process_stood_still_is_too_old_at_every_door() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let patient = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poly2mqtt.toml");
    let [mqtt, http, tcp] = [free_port(), free_port(), free_port()];
    let room = |id: &str, device: &SimulatedDevice, more: &str| {
        let (url, fingerprint) = (device.url(), device.fingerprint());
        format!(
            "[rooms.{id}]\nurl = \"{url}\"\npassword = \"456\"\ncertificate = \"{fingerprint}\"\n{more}"
        )
    };
    let rooms = [
        room("1", &device, ""),
        room("patient", &patient, "max_command_age = \"10m\"\n"),
    ];
    let config = format!(
        "[mqtt]\nurl = \"embedded://127.0.0.1:{mqtt}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
         [tcp]\nlisten = \"127.0.0.1:{tcp}\"\n{}",
        rooms.concat()
    );
    fs::write(&path, config).unwrap();
    let mut command = program(&["run", "--config", path.to_str().unwrap()]);
    command.stderr(Stdio::piped());
    let mut gateway = Running::start(command);
    let mut stderr = gateway.stderr();
    for port in [mqtt, http, tcp] {
        listening(port);
    }
    let client = Client::connect(mqtt).await;
    let mut lines = Lines::connect(([127, 0, 0, 1], tcp).into()).await;
    let mut socket = Socket::connect(&format!("ws://127.0.0.1:{http}/ws")).await;
    for room in ["1", "patient"] {
        let availability = format!("room/{room}/availability");
        client.expect(&availability, "online").await;
    }
    let url = |command: &str| format!("http://127.0.0.1:{http}/room/1/{command}");

    gateway.signal("STOP");
    stopped(gateway.id());
    let plain = PublishProperties::default;
    client
        .publish_at_most_once("room/1/call/dial", r#"{"address":"a@b.c"}"#, plain())
        .await;
    let expiring = PublishProperties {
        message_expiry_interval: Some(3),
        ..plain()
    };
    client
        .publish_at_most_once("room/patient/audio/volume/set", "77", expiring)
        .await;
    lines.send("room/1/audio/mute\n").await;
    socket
        .send(r#"{"id":1,"topic":"room/1/camera/preset/1/activate"}"#)
        .await;
    let over_http = tokio::spawn(post_to(url("audio/volume/set"), "77"));
    sleep(STANDSTILL).await;
    device.clear_journal();
    patient.clear_journal();
    gateway.signal("CONT");

    for topic in ["room/1/call/dial", "room/patient/audio/volume/set"] {
        let result = client.message(&format!("{topic}/result")).await;
        let result: Value = serde_json::from_slice(&result.payload).unwrap();
        assert_eq!(code(&result), "expired", "{result}");
    }
    let line = lines.line().await.unwrap();
    assert!(
        line.starts_with("room/1/audio/mute/result error expired "),
        "{line}"
    );
    let answer = socket.until(|answer| answer["id"] == 1).await;
    assert_eq!(code(&answer["payload"]), "expired", "{answer}");
    let (status, result) = over_http.await.unwrap();
    assert_eq!((status, code(&result)), (504, "expired"), "{result}");

    // It goes on at once, and what comes then is not old.
    let set = url("audio/volume/set");
    until(
        || "a command is carried out".to_owned(),
        async || post_to(set.clone(), "31").await.0 == 200,
    )
    .await;
    let sent: Vec<_> = (device.journal().iter().chain(&patient.journal()))
        .filter(|entry| entry.method == "POST" && !entry.path.contains("/devicemanagement/"))
        .map(|entry| (entry.path.clone(), entry.body.clone()))
        .collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert_eq!(log.matches("the gateway stood still").count(), 1, "{log}");
    device.stop().await;
    patient.stop().await;
}

async fn post_to(url: String, payload: &'static str) -> (u16, Value) {
    post(&url, payload).await
}
