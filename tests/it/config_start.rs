//! What the program makes of its environment at a start: a configuration without a file, files that
//! cannot be read, variables of the log.
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Output};

use poly2mqtt_simulator::{Options, SimulatedDevice};

use poly2mqtt_test_support::door::{http, request_contains};
use poly2mqtt_test_support::free_port;
use poly2mqtt_test_support::log::file_contains;
use poly2mqtt_test_support::program::{Running, listening, output, program};

/// `poly2mqtt check` in an empty directory that nobody can write to.
fn check(variables: &[(&str, &str)]) -> Output {
    let mut command = program(&["check"]);
    command.current_dir("/proc");
    for (name, value) in variables {
        command.env(format!("POLY2MQTT_{name}"), value);
    }
    output(command)
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const ALONE: [(&str, &str); 3] = [
    ("ROOMS__BOARDROOM__URL", "https://192.0.2.1"),
    ("ROOMS__BOARDROOM__PASSWORD", "456"),
    ("ROOMS__BOARDROOM__CERTIFICATE", "system"),
];

#[test]
fn the_environment_alone_is_a_configuration() {
    let good = check(&ALONE);
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    assert_eq!(told(&good), "");
    // An empty name of a file is none.
    let good = check(&[&ALONE[..], &[("CONFIG", "")]].concat());
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    for (variables, wanted) in [
        (
            &ALONE[..1],
            "POLY2MQTT_ROOMS__BOARDROOM__URL: rooms.boardroom.password: is missing",
        ),
        (&[], "there is no configuration"),
        (&[("CONFIG", "")], "there is no configuration"),
        (&[("PORT", "tcp://10.0.0.1:1")], "there is no configuration"),
        (
            &[("MQTT_URL", "x")],
            "POLY2MQTT_MQTT_URL: sets nothing: two underscores",
        ),
        (
            &[("CONFIG", "/nowhere")],
            "/nowhere: cannot be read: there is no such file",
        ),
        (
            &[("CONFIG", "/proc")],
            "/proc: cannot be read: it is a directory",
        ),
    ] {
        let wrong = check(variables);
        assert_eq!(wrong.status.code(), Some(2), "{variables:?}");
        assert!(
            told(&wrong).contains(wanted),
            "{variables:?}: {}",
            told(&wrong)
        );
    }
}

#[test]
fn a_file_that_could_not_be_read_again_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (file, wanted) in [
        ("-", "standard input cannot be read again"),
        (pipe.to_str().unwrap(), "a pipe or a device"),
        ("/dev/null", "a pipe or a device"),
    ] {
        let output = output(program(&["check", "--config", file]));
        assert_eq!(output.status.code(), Some(2));
        assert!(told(&output).contains(wanted), "{}", told(&output));
    }
}

#[test]
fn a_value_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = program(&["check"]);
    let value = std::ffi::OsStr::from_bytes(b"p\xe4ssword");
    command.env("POLY2MQTT_ROOMS__1__PASSWORD", value);
    let output = output(command);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        told(&output),
        "POLY2MQTT_ROOMS__1__PASSWORD: is not text in UTF-8\n"
    );
}

#[test]
fn a_wrong_log_variable_is_the_first_line() {
    for (name, value, wanted) in [
        (
            "LOG",
            "dbug",
            "POLY2MQTT_LOG is ignored: \"dbug\" is no level",
        ),
        (
            "LOG",
            "poly2mqtt=loud",
            "POLY2MQTT_LOG is ignored: \"poly2mqtt=loud\"",
        ),
        (
            "LOG_FORMAT",
            "xml",
            "POLY2MQTT_LOG_FORMAT takes json or text, not \"xml\"",
        ),
        ("LOG", "", ""),
        ("LOG_FORMAT", "", ""),
        ("LOG", "debug", ""),
    ] {
        let output = check(&[&ALONE[..], &[(name, value)]].concat());
        let told = told(&output);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains(wanted), "{told}");
        assert_eq!(
            told.lines().count(),
            usize::from(!wanted.is_empty()),
            "{told}"
        );
    }
}

/// As in a container: no file, nothing to write to, every setting by variable, Kubernetes around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_runs_by_the_environment_alone() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("poly"), "456\r\n").unwrap();
    let (broker, port) = (free_port(), free_port());
    let mut command = program(&[]);
    command.current_dir("/proc");
    for (name, value) in [
        ("MQTT__URL", format!("embedded://127.0.0.1:{broker}")),
        ("HTTP__LISTEN", format!("127.0.0.1:{port}")),
        ("HTTP__TOKEN__0__NAME", "panel".into()),
        ("HTTP__TOKEN__0__TOKEN", "a token of some length".into()),
        ("ROOMS__HUDDLE_1__URL", device.url()),
        ("ROOMS__HUDDLE_1__CERTIFICATE", device.fingerprint()),
        (
            "ROOMS__HUDDLE_1__PASSWORD_FILE",
            path_text(&dir.path().join("poly")),
        ),
        ("PORT", format!("tcp://10.0.0.1:{port}")),
        ("SERVICE_HOST", "10.0.0.1".into()),
    ] {
        command.env(format!("POLY2MQTT_{name}"), value);
    }
    let gateway = Running::start(command);
    listening(port);
    let state = format!("http://127.0.0.1:{port}/room/huddle_1/availability");
    let request = || http().get(&state).bearer_auth("a token of some length");
    request_contains(request, "online").await;
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    device.stop().await;
}

/// A reload reads the file that the start read: where it is gone, it is not the environment alone.
#[tokio::test]
async fn a_file_that_is_gone_at_a_reload_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = format!("[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n");
    fs::write(dir.path().join("poly2mqtt.toml"), text).unwrap();
    let log = dir.path().join("log");
    let mut command = program(&[]);
    command
        .current_dir(dir.path())
        .env("POLY2MQTT_MQTT__KEEP_ALIVE", "9s")
        .stderr(File::create(&log).unwrap());
    let gateway = Running::start(command);
    listening(port);
    fs::remove_file(dir.path().join("poly2mqtt.toml")).unwrap();
    gateway.signal("HUP");
    file_contains(&log, "the old one stays in use", 1).await;
    let (status, _) = gateway.terminate();
    assert_eq!(status.code(), Some(0));
    let told = fs::read_to_string(&log).unwrap();
    assert!(
        told.contains("poly2mqtt.toml: cannot be read: there is no such file"),
        "{told}"
    );
}

/// A mount of one file stays with the old one when an editor replaces it. Here a link to an open file does so.
#[tokio::test]
async fn a_file_that_was_replaced_behind_its_mount_is_told_at_a_reload() {
    const REPLACED: &str = "was replaced or deleted after it was mounted";
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = format!("[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n");
    let own = dir.path().join("poly2mqtt.toml");
    fs::write(&own, &text).unwrap();
    let file = File::open(&own).unwrap();
    let mounted = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let log = dir.path().join("log");
    let mut command = program(&["run", "--config", &mounted]);
    command.stderr(File::create(&log).unwrap());
    let gateway = Running::start(command);
    listening(port);
    gateway.signal("HUP");
    file_contains(&log, "configuration read again", 1).await;
    assert!(!fs::read_to_string(&log).unwrap().contains(REPLACED));
    let new = dir.path().join("new");
    fs::write(&new, &text).unwrap();
    fs::rename(&new, &own).unwrap();
    gateway.signal("HUP");
    file_contains(&log, REPLACED, 1).await;
    let checked = output(program(&["check", "--config", &mounted]));
    assert_eq!(checked.status.code(), Some(0));
    assert!(told(&checked).contains(REPLACED), "{}", told(&checked));
    let (status, _) = gateway.terminate();
    assert_eq!(status.code(), Some(0));
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
