//! Starting when something is missing: no broker, no device, no name, a full disk, a taken port.
//! The gateway waits for things that may become available, and reports those that cannot.
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::{http, page_contains};
use poly2mqtt_test_support::program::{Running, listening, output, program};
use poly2mqtt_test_support::{Mosquitto, free_port, mosquitto};

fn room(device: &SimulatedDevice) -> String {
    format!(
        "[rooms.1]\nurl = \"{}\"\npassword = \"456\"\ncertificate = \"{}\"\n",
        device.url(),
        device.fingerprint()
    )
}

fn run(dir: &Path, broker: &str, http: u16, rooms: &str) -> Command {
    let path = dir.join("poly2mqtt.toml");
    let text =
        format!("[mqtt]\nurl = \"{broker}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n{rooms}");
    fs::write(&path, text).unwrap();
    let mut command = program(&["run", "--config", path.to_str().unwrap()]);
    command.stderr(File::create(dir.join("log")).unwrap());
    command
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_other_doors_work_and_it_is_waited_for() {
    if mosquitto().is_none() {
        return;
    }
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (broker, port) = (free_port(), free_port());
    let url = format!("mqtt://127.0.0.1:{broker}");
    let gateway = Running::start(run(dir.path(), &url, port, &room(&device)));
    listening(port);
    let at = format!("http://127.0.0.1:{port}");
    page_contains(&format!("{at}/room/1/availability"), "online").await;
    page_contains(&format!("{at}/healthz"), "ok").await;
    page_contains(&format!("{at}/readyz"), "\"broker\":\"disconnected\"").await;
    let answer = http().post(format!("{at}/room/1/audio/volume/set"));
    let answer = answer.body("17").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mosquitto = Mosquitto::start(broker, "");
    let client = Client::connect(mosquitto.port).await;
    client.expect("room/1/audio/volume", "17").await;
    client.expect("gateway/availability", "online").await;
    page_contains(&format!("{at}/readyz"), "\"ready\":true").await;
    let told = log(dir.path());
    assert!(told.contains("no connection to the broker"), "{told}");
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    device.stop().await;
}

/// Names that mean nothing are told, and neither ends the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_names_it_says_so_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let rooms = "[rooms.1]\nurl = \"https://codec.invalid\"\npassword = \"456\"\ncertificate = \"insecure\"\n";
    let gateway = Running::start(run(dir.path(), "mqtt://broker.invalid", port, rooms));
    listening(port);
    let at = format!("http://127.0.0.1:{port}");
    page_contains(
        &format!("{at}/room/1/problem"),
        "codec.invalid cannot be reached",
    )
    .await;
    page_contains(&format!("{at}/readyz"), "\"broker\":\"disconnected\"").await;
    let answer = http().post(format!("{at}/room/1/audio/mute"));
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let result: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(result["error"]["code"], "offline", "{result}");
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (broker, http, remedy) in [
        (
            format!("embedded://127.0.0.1:{port}"),
            free_port(),
            format!("set mqtt.url = \"mqtt://127.0.0.1:{port}\""),
        ),
        (
            format!("embedded://127.0.0.1:{}", free_port()),
            port,
            "set http.listen = \"127.0.0.1:".to_owned(),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let status = Running::start(run(dir.path(), &broker, http, "")).wait();
        assert_eq!(status.code(), Some(1));
        let told = log(dir.path());
        let last = told.lines().last().unwrap();
        assert!(last.contains(&port.to_string()), "{told}");
        assert!(last.contains("in use"), "{told}");
        assert!(last.contains(&remedy), "{told}");
        assert!(!last.contains("os error"), "{told}");
    }
}

/// The memory holds the devices' passwords.
#[test]
fn a_crash_leaves_no_core_file() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, http) = (free_port(), free_port());
    let command = run(
        dir.path(),
        &format!("embedded://127.0.0.1:{broker}"),
        http,
        "",
    );
    let gateway = Running::start(command);
    listening(http);
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(core, ["0", "0", "bytes"]);
    assert_eq!(gateway.terminate().0.code(), Some(0));
}

/// Others can write to the directory for sessions: it is not used, and the log says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_can_write_to_keeps_no_session() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (broker, port) = (free_port(), free_port());
    let url = format!("embedded://127.0.0.1:{broker}");
    let sessions = dir.path().join("sessions");
    for (mode, stored) in [(0o777, 0), (0o700, 1)] {
        let _ = fs::create_dir(&sessions);
        fs::set_permissions(&sessions, PermissionsExt::from_mode(mode)).unwrap();
        let mut command = run(dir.path(), &url, port, &room(&device));
        command.env("POLY2MQTT_RUNTIME_DIR", &sessions);
        let gateway = Running::start(command);
        listening(broker);
        let client = Client::connect(broker).await;
        client.expect("room/1/availability", "online").await;
        let files = || fs::read_dir(&sessions).unwrap().count();
        assert_eq!(files(), stored, "{mode:o}");
        drop(client);
        let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
            .await
            .unwrap();
        assert_eq!(status.code(), Some(0));
        assert_eq!((files(), device.sessions()), (0, 0));
        let told = log(dir.path()).contains("can be written to by other users");
        assert_eq!(told, stored == 0, "{mode:o}");
    }
    device.stop().await;
}

/// The log's disk is full, and there is nowhere to keep sessions: neither stops the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_nothing() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (broker, port) = (free_port(), free_port());
    let url = format!("embedded://127.0.0.1:{broker}");
    let mut command = run(dir.path(), &url, port, &room(&device));
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    command
        .stderr(full())
        .env("POLY2MQTT_RUNTIME_DIR", "/dev/null/nowhere");
    let gateway = Running::start(command);
    listening(broker);
    let client = Client::connect(broker).await;
    client.expect("room/1/availability", "online").await;
    // Each of these is a line in the log.
    for _ in 0..3 {
        let result = client.command("room/1/audio/volume/set", "loud").await;
        assert_eq!(result["error"]["code"], "invalid_payload");
    }
    let result = client.command("room/1/audio/volume/set", "5").await;
    assert_eq!(result["ok"], true, "{result}");
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}

/// A configuration that cannot be read is status 2, whatever the reason.
#[test]
fn a_configuration_that_is_not_there_is_told() {
    let gone = output(program(&["run", "--config", "/nowhere/poly2mqtt.toml"]));
    assert_eq!(gone.status.code(), Some(2));
    let told = String::from_utf8(gone.stderr).unwrap();
    assert!(
        told.contains("/nowhere/poly2mqtt.toml: cannot be read"),
        "{told}"
    );
}

/// The last line says why it ended, and how long it ran.
#[test]
fn the_last_line_says_why_it_stopped() {
    for (signal, reason) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
        let dir = tempfile::tempdir().unwrap();
        let http = free_port();
        let gateway = Running::start(run(dir.path(), "off", http, ""));
        listening(http);
        // Scripts that rotate logs send these; they mean nothing here.
        gateway.signal("USR1");
        gateway.signal("USR2");
        gateway.signal(signal);
        assert_eq!(gateway.wait().code(), Some(0));
        let log = log(dir.path());
        let last = log.lines().last().unwrap();
        let wanted = format!("stopped reason=\"{reason}\" ran=");
        assert!(last.contains(&wanted) && last.ends_with(" s\""), "{log}");
    }
}
