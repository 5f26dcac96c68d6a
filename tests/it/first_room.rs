//! From no configuration to a first room: `add`, `discover`, `run --setup`, and what `run` says where nothing is
//! configured.
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use poly2mqtt_simulator::{Options, SimulatedDevice};

use poly2mqtt_test_support::program::{Running, free_port, output, path, program};

const PASSWORD: &str = "456";

/// `poly2mqtt add` in this folder, with this standard input.
fn add(folder: &Path, words: &[&str], input: &str) -> Output {
    let typed = folder.join("typed");
    fs::write(&typed, input).unwrap();
    let mut command = program(&["add"]);
    command.args(words).args(["--config", "poly2mqtt.toml"]);
    command
        .current_dir(folder)
        .stdin(File::open(&typed).unwrap());
    output(command)
}

fn told(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap()
}

fn check(folder: &Path) -> Output {
    let mut command = program(&["check", "--connect", "--config", "poly2mqtt.toml"]);
    command.current_dir(folder);
    output(command)
}

/// Without broker and ports, so that tests can run beside each other.
const OFF: &str = "# ours\n[mqtt] # broker\nurl = \"off\"\n[http]\nlisten = \"off\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_device_becomes_a_room_of_a_new_file_and_is_added_once() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poly2mqtt.toml");
    let url = device.url();
    let added = add(folder.path(), &[&url], PASSWORD);
    let text = told(&added);
    assert_eq!(added.status.code(), Some(0), "{text}");
    assert!(text.contains(&device.fingerprint()), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains(&device.fingerprint()), "{written}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The session is not left behind.
    assert_eq!(device.sessions(), 0);
    // Again, under its address and, pinned, under another.
    let other = format!("https://localhost:{}", device.addr().port());
    for url in [&url, &other] {
        let again = add(folder.path(), &[url, "--id", "other"], PASSWORD);
        assert_eq!(again.status.code(), Some(1), "{url}");
        assert!(
            told(&again).contains("already; nothing was changed"),
            "{}",
            told(&again)
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), written);
    }
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_added_to_a_file_that_stays_as_it_is() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poly2mqtt.toml");
    fs::write(&file, OFF).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let address = device.addr().to_string();
    let fingerprint = device.fingerprint();
    let words = [
        &address[..],
        "--id",
        "boardroom",
        "--name",
        "Board Room",
        "--certificate",
        &fingerprint,
    ];
    let added = add(folder.path(), &words, "456\r\nmore");
    assert_eq!(added.status.code(), Some(0), "{}", told(&added));
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(OFF), "{written}");
    assert!(written.contains("[rooms.boardroom]"), "{written}");
    assert!(written.contains("name = \"Board Room\""), "{written}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let checked = check(folder.path());
    assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_changes_nothing() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let url = device.url();
    let wrong_pin = format!("sha256:{}", "0".repeat(64));
    let taken =
        "[rooms.a]\nurl = \"https://192.0.2.1\"\npassword = \"x\"\ncertificate = \"system\"\n";
    for (file, words, input, status, wanted) in [
        (
            "",
            &[&url[..]][..],
            "wrong\n",
            1,
            "refuses user \"admin\" with this password",
        ),
        ("", &[&url], "", 1, "no password was given"),
        ("", &[&url], "\n456\n", 1, "no password was given"),
        (
            "",
            &[&url, "--certificate", &wrong_pin],
            PASSWORD,
            1,
            "another machine",
        ),
        (
            "",
            &["https://127.0.0.1:1"],
            PASSWORD,
            1,
            "cannot be reached",
        ),
        ("", &["http://127.0.0.1"], PASSWORD, 1, "takes https://HOST"),
        ("", &[&url, "--id", "a b"], PASSWORD, 2, "letters, digits"),
        (taken, &[&url, "--id", "a"], PASSWORD, 1, "a room a already"),
        ("[mqtt]\nurll = 7\n", &[&url], PASSWORD, 2, "urll"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poly2mqtt.toml");
        if !file.is_empty() {
            fs::write(&path, file).unwrap();
        }
        let refused = add(folder.path(), words, input);
        let text = told(&refused);
        assert_eq!(refused.status.code(), Some(status), "{words:?} {text}");
        assert!(text.contains(wanted), "{words:?} {text}");
        let left = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(left, file, "{words:?}");
    }
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}

/// A command at a terminal, in a folder without a configuration.
fn at_terminal(folder: &Path, words: &str) -> Output {
    let mut command = Command::new("script");
    command.env_remove("POLY2MQTT_CONFIG");
    command.current_dir(folder);
    let line = format!("{} {words}", path().display());
    command.args(["-qec", &line, "/dev/null"]);
    command.stdin(Stdio::null());
    output(command)
}

#[test]
fn without_a_configuration_a_person_reads_three_lines() {
    let folder = tempfile::tempdir().unwrap();
    for words in ["run", ""] {
        let ended = at_terminal(folder.path(), words);
        let text = told(&ended);
        assert_eq!(ended.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        for wanted in [
            "poly2mqtt demo",
            "poly2mqtt add https://ADDRESS",
            "poly2mqtt discover",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
    }
    // A file that exists and is wrong is said to be wrong.
    fs::write(folder.path().join("poly2mqtt.toml"), "no toml").unwrap();
    let text = told(&at_terminal(folder.path(), "run"));
    assert!(
        text.contains("not TOML") && !text.contains("poly2mqtt demo"),
        "{text}"
    );
}

/// `poly2mqtt discover` with these words.
fn discover(words: &[&str]) -> Output {
    let mut command = program(&["discover"]);
    command.args(words);
    output(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_a_network_is_found_without_a_log_in() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let port = device.addr().port().to_string();
    let found = discover(&["127.0.0.0/28", "--port", &port]);
    let text = String::from_utf8(found.stdout.clone()).unwrap();
    assert_eq!(found.status.code(), Some(0), "{}", told(&found));
    assert_eq!(text.lines().count(), 1, "{}", told(&found));
    let parts: Vec<&str> = text.trim_end().split('\t').collect();
    assert_eq!(parts[0], "room-127-0-0-1");
    assert_eq!(parts[1], device.url());
    assert_eq!(parts[2], device.fingerprint());
    let found = discover(&["127.0.0.1", "--port", &port, "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(list[0]["url"], device.url());
    assert_eq!(list[0]["certificate"], device.fingerprint());
    assert_eq!(list.as_array().unwrap().len(), 1);
    // One read for each search, no log-in, and nothing that changes the device.
    let journal = device.journal();
    assert_eq!(journal.len(), 2, "{journal:?}");
    assert!(
        journal.iter().all(|entry| entry.method == "GET"),
        "{journal:?}"
    );
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}

#[test]
fn a_search_is_bounded_and_says_so() {
    for (words, status, wanted) in [
        (&["10.0.0.0/8"][..], 1, "more than 4096 addresses"),
        (&["::/64"], 1, "more than 4096 addresses"),
        (&["office"], 2, "such as 192.0.2.0/24"),
        (&["127.0.0.1/33"], 2, "such as 192.0.2.0/24"),
        (&["127.0.0.1", "--port", "0"], 2, "--port"),
        (&["127.0.0.1", "--port", "1"], 0, "no Poly device answers"),
    ] {
        let ended = discover(words);
        assert_eq!(
            ended.status.code(),
            Some(status),
            "{words:?} {}",
            told(&ended)
        );
        assert!(told(&ended).contains(wanted), "{words:?} {}", told(&ended));
    }
    let nothing = discover(&["127.0.0.1", "--port", "1", "--json"]);
    assert_eq!(nothing.stdout, b"[]\n");
}

/// A server that accepts connections and says nothing, as a device does that hangs.
fn silent_server() -> (TcpListener, String) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    (server, port)
}

#[test]
fn what_takes_long_says_how_far_it_is() {
    let (_server, port) = silent_server();
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{port}");
    // Without a terminal: plain lines.
    let added = add(folder.path(), &[&address], PASSWORD);
    let text = told(&added);
    assert_eq!(added.status.code(), Some(1), "{text}");
    let waiting = format!(" s: waiting for https://{address}\n");
    assert!(text.contains(&waiting), "{text}");
    assert!(text.contains("does not begin TLS"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let searched = told(&discover(&["127.0.0.1", "--port", &port]));
    assert!(searched.contains("0 of 1 tried\n"), "{searched}");
    // On one: a bar.
    let bar = "[--------------------] 0 of 1 tried";
    let searched = at_terminal(folder.path(), &format!("discover 127.0.0.1 --port {port}"));
    assert!(told(&searched).contains(bar), "{}", told(&searched));
    let room = format!("url = \"https://{address}\"\npassword = \"x\"\ncertificate = \"insecure\"");
    let config = format!("{OFF}[rooms.1]\n{room}\n");
    fs::write(folder.path().join("poly2mqtt.toml"), config).unwrap();
    let checked = at_terminal(folder.path(), "check --connect");
    assert!(told(&checked).contains(bar), "{}", told(&checked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_starts_is_waited_for() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let typed = folder.path().join("typed");
    fs::write(&typed, PASSWORD).unwrap();
    let mut command = program(&["add", "--wait", "1m", "--config", "poly2mqtt.toml"]);
    command
        .arg(format!("127.0.0.1:{port}"))
        .current_dir(folder.path());
    command.stdin(File::open(&typed).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut adding = Running::start_printing(command);
    // At first nothing listens there.
    let mut said = BufReader::new(adding.stderr());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("which may be starting"), "{line}");
    assert!(line.contains("Connection refused"), "{line}");
    let options = Options {
        listen: ([127, 0, 0, 1], port).into(),
        ..Options::default()
    };
    let device = SimulatedDevice::start(options).await.unwrap();
    let rest = std::thread::spawn(move || std::io::read_to_string(said).unwrap());
    assert_eq!(adding.wait().code(), Some(0), "{}", rest.join().unwrap());
    assert!(folder.path().join("poly2mqtt.toml").exists());
    device.stop().await;
    // A time that is none.
    let wrong = add(folder.path(), &["192.0.2.1", "--wait", "soon"], PASSWORD);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(told(&wrong).contains("such as 90s or 5m"));
}

/// Types at a terminal what a person types when the program has printed `after`, and gives what it said until
/// it ended, and then the terminal's mode.
fn typed_at_terminal(folder: &Path, words: &str, after: &str, keys: &[u8]) -> String {
    let program = path().display().to_string();
    // The shell outlives ctrl-C, so that it can ask how the terminal is then.
    let line = format!("trap : INT; {program} {words}; echo status $?; stty -a");
    let mut command = Command::new("script");
    command
        .env_remove("POLY2MQTT_CONFIG")
        .env("SHELL", "/bin/sh");
    command.current_dir(folder);
    command.args(["-qec", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start_printing(command);
    let mut keyboard = running.take_stdin();
    let mut screen = running.take_stdout();
    let mut seen = Vec::new();
    let mut part = [0; 1024];
    let mut keys = Some(keys);
    while let Ok(count @ 1..) = screen.read(&mut part) {
        seen.extend_from_slice(&part[..count]);
        if String::from_utf8_lossy(&seen).contains(after)
            && let Some(keys) = keys.take()
        {
            keyboard.write_all(keys).unwrap();
        }
    }
    running.wait();
    String::from_utf8(seen).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_file_terminal_and_device_as_they_were() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let (_server, silent) = silent_server();
    let password = format!("add {} --config poly2mqtt.toml", device.addr());
    let waiting = format!("add 127.0.0.1:{silent} --config poly2mqtt.toml");
    let search = format!("discover 127.9.0.0/20 --port {silent}");
    for (words, after, typed) in [
        (&password[..], "it is not shown", &b"45\x03"[..]),
        (&waiting, "s: waiting for", b"\x03"),
        (&search, "of 4094 tried", b"\x03"),
        (
            "run --setup --config poly2mqtt.toml",
            "half an hour",
            b"\x03",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let seen = typed_at_terminal(folder.path(), words, after, typed);
        assert!(seen.contains("status "), "{words}: {seen}");
        assert!(seen.contains(" echo "), "{words}: {seen}");
        if words.starts_with("add") {
            let said = seen.contains("interrupted; nothing was changed");
            assert!(said, "{words}: {seen}");
        }
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "{words}: {seen}");
    }
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}
