//! `poly2mqtt check`: it loads what `run` loads, and tries ports, broker and devices.
mod broker;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use poly2mqtt_simulator::{Firmware, Options, SimulatedDevice};
use serde_json::{Value, json};

use poly2mqtt_test_support::free_port;
use poly2mqtt_test_support::program::{Running, listening, output, program};

/// A room whose address refuses connections.
const ROOM: &str = "url = \"https://127.0.0.1:1\"\npassword = \"x\"\ncertificate = \"insecure\"\n";
/// Without broker and ports.
const OFF: &str = "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"off\"\n";

fn config(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("poly2mqtt.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// What a command with this configuration does.
fn with_config(words: &[&str], config: &Path, env: &[(&str, &str)]) -> Output {
    let mut command = program(words);
    command
        .arg("--config")
        .arg(config)
        .envs(env.iter().copied());
    output(command)
}

fn check(config: &Path) -> Output {
    with_config(&["check"], config, &[])
}

fn connect(config: &Path) -> Output {
    with_config(&["check", "--connect"], config, &[])
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Certificates and keys, right and wrong, as files in a directory.
fn material(dir: &Path) {
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    for name in ["own", "other"] {
        let made = rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
        write(&format!("{name}.pem"), &made.cert.pem());
        write(&format!("{name}.key"), &made.signing_key.serialize_pem());
    }
    let part = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    write("encrypted.key", &part("ENCRYPTED PRIVATE KEY"));
    write("ssh.key", &part("OPENSSH PRIVATE KEY"));
    write("request.pem", &part("CERTIFICATE REQUEST"));
    write("broken.pem", &part("CERTIFICATE"));
    write("empty.pem", "");
    write("text.pem", "canary");
}

/// `check` calls nothing good that `run` refuses: both say the same, with the status of a wrong configuration.
#[test]
fn check_loads_what_run_loads() {
    let dir = tempfile::tempdir().unwrap();
    material(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let http = |certificate: &str, key: &str| {
        format!(
            "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:0\"\ntls_cert_file = \"{}\"\n\
             tls_key_file = \"{}\"\n[rooms.1]\n{ROOM}",
            file(certificate),
            file(key)
        )
    };
    let mqtt = |keys: &str| {
        format!(
            "[mqtt]\nurl = \"mqtts://127.0.0.1:1\"\n{keys}\n[http]\nlisten = \"off\"\n\
             [rooms.1]\n{ROOM}"
        )
    };
    let client = |certificate: &str, key: &str| {
        let (certificate, key) = (file(certificate), file(key));
        mqtt(&format!(
            "ca_file = \"{}\"\nclient_cert_file = \"{certificate}\"\nclient_key_file = \"{key}\"",
            file("own.pem")
        ))
    };
    let room = |certificate: &str| {
        format!("{OFF}[rooms.1]\nurl = \"https://127.0.0.1:1\"\npassword = \"x\"\n{certificate}\n")
    };
    let ca = |name: &str| mqtt(&format!("ca_file = \"{}\"", file(name)));
    let room_ca = |name: &str| room(&format!("ca_file = \"{}\"", file(name)));
    for (text, wanted) in [
        (http("own.pem", "other.key"), "another certificate"),
        (http("own.key", "own.pem"), "swapped"),
        (http("own.pem", "encrypted.key"), "openssl pkey"),
        (http("own.pem", "ssh.key"), "SSH"),
        (http("own.pem", "empty.pem"), "empty"),
        (http("request.pem", "own.key"), "request"),
        (http("text.pem", "own.key"), "BEGIN CERTIFICATE"),
        (client("own.pem", "other.key"), "another certificate"),
        (client("own.key", "own.pem"), "swapped"),
        (client("own.pem", "encrypted.key"), "openssl pkey"),
        (ca("own.key"), "own.key cannot be used"),
        (ca("empty.pem"), "empty.pem cannot be used"),
        (ca("broken.pem"), "broken.pem cannot be used"),
        (room_ca("own.key"), "own.key cannot be used"),
        (room_ca("empty.pem"), "empty.pem cannot be used"),
    ] {
        let path = config(dir.path(), &text);
        let [checked, ran] = [&["check"][..], &["run"]].map(|words| with_config(words, &path, &[]));
        for output in [&checked, &ran] {
            let told = stderr(output);
            assert_eq!(output.status.code(), Some(2), "{text}{told}");
            let last = told.lines().last().unwrap();
            assert!(last.contains(wanted), "{text}{told}");
            assert!(
                !last.contains("canary") && !last.contains("os error"),
                "{told}"
            );
        }
        assert_eq!(stderr(&checked).lines().last(), stderr(&ran).lines().last());
    }
    for text in [
        http("own.pem", "own.key"),
        client("own.pem", "own.key"),
        ca("own.pem"),
    ] {
        let good = check(&config(dir.path(), &text));
        assert_eq!(good.status.code(), Some(0), "{text}{good:?}");
    }
    // A machine without a certificate store costs what needs it, not the start.
    let no_store = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    for (text, key) in [
        (mqtt(""), "mqtt"),
        (room("certificate = \"system\""), "rooms.1"),
    ] {
        let path = config(dir.path(), &text);
        let warned = with_config(&["check"], &path, &no_store);
        assert_eq!(warned.status.code(), Some(0), "{warned:?}");
        let told = stderr(&warned);
        let wanted = format!("{key}: this machine has no certificate store");
        assert!(
            told.contains(&wanted) && !told.contains("os error"),
            "{told}"
        );
        assert!(!stderr(&check(&path)).contains("certificate store"));
    }
    // All are told at once.
    let both = http("own.pem", "other.key")
        + "[rooms.2]\nurl = \"https://127.0.0.1:1\"\npassword = \
                                               \"x\"\nca_file = \"";
    let both = check(&config(
        dir.path(),
        &format!("{both}{}\"\n", file("own.key")),
    ));
    let told = stderr(&both);
    for section in ["\nhttp: ", "\nrooms.2: "] {
        assert!(format!("\n{told}").contains(section), "{told}");
    }
}

/// The first field of each line after the first line.
fn subjects(output: &Output) -> Vec<String> {
    let printed = stdout(output);
    let lines = printed.lines().skip(1);
    lines
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect()
}

#[test]
fn rooms_come_in_the_order_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let ids = ["zeta", "10", "9", "alpha", "B"];
    let rooms = ids.map(|id| format!("[rooms.{id}]\n{ROOM}"));
    let tried = connect(&config(dir.path(), &format!("{OFF}{}", rooms.concat())));
    assert_eq!(tried.status.code(), Some(1), "{tried:?}");
    assert_eq!(subjects(&tried), ids);
    assert!(
        stderr(&tried).ends_with("5 rooms cannot be used\n"),
        "{tried:?}"
    );
    // Rooms of the environment alone come last.
    let path = config(dir.path(), &format!("{OFF}[rooms.b]\n{ROOM}"));
    let env = [
        ("POLY2MQTT_ROOMS__A__URL", "https://127.0.0.1:1"),
        ("POLY2MQTT_ROOMS__A__PASSWORD", "x"),
    ];
    let tried = with_config(&["check", "--connect"], &path, &env);
    assert_eq!(subjects(&tried), ["b", "a"]);
}

#[test]
fn ports_are_free_or_in_use_by_somebody() {
    let dir = tempfile::tempdir().unwrap();
    let [mqtt, http, tcp] = [free_port(), free_port(), free_port()];
    let text = format!(
        "[mqtt]\nurl = \"embedded://127.0.0.1:{mqtt}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
         [tcp]\nlisten = \"127.0.0.1:{tcp}\"\n"
    );
    let path = config(dir.path(), &text);
    let free = connect(&path);
    assert_eq!(free.status.code(), Some(0), "{free:?}");
    assert_eq!(subjects(&free), ["mqtt.url", "http.listen", "tcp.listen"]);
    assert_eq!(
        stdout(&free).matches("\tthe port is free\n").count(),
        3,
        "{free:?}"
    );

    let held = TcpListener::bind(("127.0.0.1", http)).unwrap();
    let taken = connect(&path);
    assert_eq!(taken.status.code(), Some(1), "{taken:?}");
    let printed = stdout(&taken);
    let line = printed
        .lines()
        .find(|line| line.starts_with("http.listen"))
        .unwrap();
    assert!(line.contains("Address already in use by "), "{line}");
    assert!(
        line.contains(&format!("(process {})", std::process::id())),
        "{line}"
    );
    assert!(line.contains("set http.listen = "), "{line}");
    assert!(
        stderr(&taken).ends_with("http.listen cannot be used\n"),
        "{taken:?}"
    );
    drop(held);

    // The gateway itself may run.
    let mut run = program(&["run", "--config", path.to_str().unwrap()]);
    run.stderr(std::process::Stdio::null());
    let gateway = Running::start(run);
    for port in [mqtt, http, tcp] {
        listening(port);
    }
    let running = connect(&path);
    assert_eq!(running.status.code(), Some(0), "{running:?}");
    let own = format!("in use by poly2mqtt (process {})", gateway.id());
    assert_eq!(stdout(&running).matches(&own).count(), 3, "{running:?}");
    let second = with_config(&["run"], &path, &[]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(stderr(&second).contains(&own), "{second:?}");
    assert_eq!(gateway.terminate().0.code(), Some(0));
}

/// The document of `check --connect --json`.
fn json_of(config: &Path) -> Value {
    let tried = with_config(&["check", "--connect", "--json"], config, &[]);
    serde_json::from_slice(&tried.stdout).unwrap()
}

/// What each device is, what it lacks of the catalogue's reads, and how long it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_tells_what_a_device_lacks_and_its_clock() {
    let device = SimulatedDevice::start(Options {
        lacks: vec![
            "/rest/calendar".into(),
            // What stands in for it is missing too.
            "/rest/system/mode".into(),
            "/rest/current/system/mode".into(),
        ],
        ..Options::default()
    });
    let device = device.await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let room = format!(
        "url = \"{}\"\npassword = \"456\"\ncertificate = \"{}\"\n",
        device.url(),
        device.fingerprint()
    );
    let path = config(
        dir.path(),
        &format!("{OFF}[rooms.1]\n{room}[rooms.2]\n{ROOM}"),
    );
    let (document, lines) = tokio::task::spawn_blocking(move || (json_of(&path), connect(&path)))
        .await
        .unwrap();
    assert!(document["took_ms"].as_u64().unwrap() > 0, "{document}");
    let [first, second] = [0, 1].map(|at| &document["checks"][at]);
    assert_eq!(
        (&first["ok"], &first["model"]),
        (&json!(true), &json!("StudioX50"))
    );
    assert!(first["firmware"].as_str().unwrap().starts_with("4.6.2"));
    assert_eq!(first["fingerprint"], device.fingerprint());
    assert!(
        first["log_in_ms"].as_u64() <= first["took_ms"].as_u64(),
        "{first}"
    );
    assert!(
        first["clock_ahead_s"].as_i64().unwrap().abs() < 60,
        "{first}"
    );
    let lacks = first["lacks"].as_array().unwrap();
    let states = lacks
        .iter()
        .flat_map(|read| read["states"].as_array().unwrap());
    let states: Vec<_> = states.map(|state| state.as_str().unwrap()).collect();
    assert!(states.contains(&"system/mode"), "{first}");
    assert!(
        states.iter().any(|state| state.starts_with("calendar/")),
        "{first}"
    );
    assert!(!states.contains(&"audio/volume"), "{first}");
    assert_eq!(
        (&second["ok"], &second["problem"]),
        (&json!(false), &json!("offline"))
    );
    let told = stdout(&lines);
    assert!(
        told.contains("; it lacks ") && told.contains("system/mode"),
        "{told}"
    );
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}

/// Such a device holds the session of each check for days.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_a_check_leaves_is_told() {
    for (firmware, left) in [(Firmware::V4_4, 1), (Firmware::V4_6_2, 0)] {
        let options = Options {
            firmware,
            ..Options::default()
        };
        let device = SimulatedDevice::start(options).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (url, certificate) = (device.url(), device.fingerprint());
        let text = format!(
            "{OFF}[rooms.1]\nurl = \"{url}\"\npassword = \"456\"\ncertificate = \"{certificate}\"\n"
        );
        let path = config(dir.path(), &text);
        let lines = tokio::task::spawn_blocking(move || connect(&path));
        let told = stdout(&lines.await.unwrap());
        assert_eq!(device.sessions(), left, "{told}");
        assert_eq!(
            told.contains("has left a session there"),
            left == 1,
            "{told}"
        );
        device.stop().await;
    }
}

#[test]
fn secrets_that_everyone_can_read_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    material(dir.path());
    let secret = dir.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let key = dir.path().join("own.key");
    let tls = format!(
        "tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n",
        dir.path().join("own.pem").display(),
        key.display()
    );
    let url = "url = \"https://127.0.0.1:1\"\ncertificate = \"insecure\"\n";
    let room = format!("[rooms.1]\n{url}password_file = \"{}\"\n", secret.display());
    let path = config(dir.path(), &format!("{OFF}{tls}{room}"));
    let set_mode =
        |file: &Path, mode| fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
    let warned = |mode: u32| {
        for file in [&path, &secret, &key] {
            set_mode(file, mode);
        }
        let checked = check(&path);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        let told = stderr(&checked);
        [&path, &secret, &key]
            .map(|file| told.contains(&format!(": chmod o-rwx {}", file.display())))
    };
    assert_eq!(warned(0o600), [false; 3]);
    assert_eq!(warned(0o640), [false; 3]);
    // The configuration itself holds no secret.
    assert_eq!(warned(0o644), [false, true, true]);
    fs::write(&path, format!("{OFF}{tls}[rooms.1]\n{ROOM}")).unwrap();
    assert_eq!(warned(0o644), [true, false, true]);
}

#[test]
fn rooms_with_equal_entity_ids_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let broker = "[http]\nlisten = \"off\"\n";
    let discovery_off = "[http]\nlisten = \"off\"\n[home_assistant]\ndiscovery = false\n";
    for (head, rooms, warned) in [
        (broker, ["1", "room_1"], true),
        (broker, ["huddle-1", "huddle_1"], true),
        (broker, ["Huddle", "huddle"], true),
        (broker, ["1", "2"], false),
        (discovery_off, ["1", "room_1"], false),
        (OFF, ["1", "room_1"], false),
    ] {
        let text: String = rooms.map(|id| format!("[rooms.{id}]\n{ROOM}")).concat();
        let checked = check(&config(dir.path(), &format!("{head}{text}")));
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        let named = format!("rooms {} and {} get equal entity ids", rooms[0], rooms[1]);
        assert_eq!(stderr(&checked).contains(&named), warned, "{checked:?}");
    }
}

/// The same as one document, whatever is wrong.
#[test]
fn json_is_one_document() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let head = format!("[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n");
    for (text, status, errors) in [
        (
            format!("{head}[rooms.b]\n{ROOM}[rooms.a]\n{ROOM}"),
            1,
            vec!["2 rooms cannot be used"],
        ),
        (head.clone(), 0, vec![]),
        (format!("{head}nonsense = 1\n"), 2, vec!["nonsense"]),
        (
            format!("{head}tls_cert_file = \"/dev/null\"\n"),
            2,
            vec!["belong together", "not a file"],
        ),
    ] {
        let path = config(dir.path(), &text);
        let output = with_config(&["check", "--connect", "--json"], &path, &[]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["ok"], status == 0, "{document}");
        let told = document["errors"].to_string();
        assert!(
            errors.iter().all(|error| told.contains(error)),
            "{document}"
        );
        let checks = document["checks"].as_array().unwrap();
        if status == 1 {
            let names: Vec<_> = checks
                .iter()
                .map(|check| [&check["key"], &check["room"]])
                .collect();
            let (key, none) = (Value::from("http.listen"), Value::Null);
            let [a, b] = ["a", "b"].map(Value::from);
            assert_eq!(names, [[&key, &none], [&none, &b], [&none, &a]]);
            assert_eq!(checks[0]["ok"], true, "{document}");
            assert_eq!(checks[1]["ok"], false, "{document}");
        }
        let warned = document["warnings"].to_string();
        assert_eq!(warned.contains("no rooms"), status == 0, "{document}");
    }
}
