//! The program as its user starts it: the demo, the examples against it, and the other commands.
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::program::{self, Running, listening, path, program};
use poly2mqtt_test_support::{door, free_port, mosquitto};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn output(words: &[&str]) -> Output {
    program::output(program(words))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether a program is installed; where it is not, says which example is skipped.
fn installed(name: &str, example: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).any(|dir| dir.join(name).is_file());
    let required = std::env::var("POLY2MQTT_TEST_MOSQUITTO").is_ok_and(|value| value == "required");
    assert!(
        found || !required || !name.starts_with("mosquitto"),
        "Mosquitto's clients are required but not installed"
    );
    if !found {
        println!("SKIPPED: {example} needs {name}, which is not installed");
    }
    found
}

/// Runs an example in a folder of its own, and gives what it printed.
async fn example(name: &str, words: &[&str], dir: &Path) -> String {
    let mut shell = Command::new("bash");
    shell
        .arg(root().join("examples/shell").join(name))
        .args(words)
        .current_dir(dir);
    let shell = tokio::task::spawn_blocking(move || program::output(shell));
    let shell = shell.await.unwrap();
    assert!(shell.status.success(), "{name}: {shell:?}");
    stdout(&shell)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_answers_the_shell_and_ends_cleanly() {
    let [port, http, tcp] = [free_port(), free_port(), free_port()];
    let at = |port| format!("127.0.0.1:{port}");
    let (broker, http_at, tcp_at) = (at(port), at(http), at(tcp));
    let words = [
        "demo", "--listen", &broker, "--http", &http_at, "--tcp", &tcp_at,
    ];
    let demo = Running::start(program(&words));
    listening(port);
    let client = Client::connect(port).await;
    client.expect("room/1/availability", "online").await;
    client.expect("room/2/availability", "online").await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| std::fs::read(dir.path().join(name)).unwrap();

    if installed("nc", "examples/shell/netcat.sh") {
        let said = example("netcat.sh", &["127.0.0.1", &tcp.to_string()], dir.path()).await;
        for line in [
            "room/1/camera/preset/3/activate/result ok\r\n",
            "room/1/audio/volume/set/result ok\r\n",
            "room/1/audio/volume/set/result error invalid_payload volume takes",
            "room/1/audio/volume 40\r\n",
            "room/1/audio/muted true\r\n",
        ] {
            assert!(said.contains(line), "{line}\nis not in\n{said}");
        }
    }
    if installed("curl", "examples/shell/curl.sh") {
        let said = example("curl.sh", &[&format!("http://{http_at}")], dir.path()).await;
        for text in [
            "\"command\":\"camera/preset/3/activate\"",
            "\"invalid_payload\"",
            "\n40\n",
            "\"audio/volume\":40",
            "\"command\":\"calendar/meetings/get\"",
            "\"command\":\"directory/import\"",
            "\nok\n",
            "\"ready\":true",
            "# TYPE poly2mqtt_rooms gauge",
        ] {
            assert!(said.contains(text), "{text}\nis not in\n{said}");
        }
        assert!(file("room-1.jpg").starts_with(b"\xff\xd8\xff"));
        assert!(!file("room-1-logs").is_empty());
        assert!(!file("room-1-directory").is_empty());
    }
    if installed("mosquitto_rr", "examples/shell/mosquitto.sh") {
        let words = ["127.0.0.1", &port.to_string()];
        let said = example("mosquitto.sh", &words, dir.path()).await;
        assert!(said.contains("invalid_payload"), "{said}");
        client.expect("room/1/audio/volume", "55").await;
        client.expect("room/1/call/state", "idle").await;
        client
            .message("room/1/camera/preset/3/activate/result")
            .await;
        assert!(file("room-1.jpg").starts_with(b"\xff\xd8\xff"));
    }

    let result = client.command("room/2/audio/volume/set", "41").await;
    assert_eq!(result["ok"], true, "{result}");
    client.expect("room/2/audio/volume", "41").await;

    let (status, printed) = tokio::task::spawn_blocking(|| demo.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0), "{printed}");
    client.expect("gateway/availability", "offline").await;
    client.expect("room/1/availability", "offline").await;
    assert_eq!(printed.lines().count(), 11, "{printed}");
    let hint = format!("mosquitto_pub -p {port} -t room/1/camera/preset/3/activate -n");
    assert!(printed.contains(&hint), "{printed}");
    let hint = format!("nc -w 1 127.0.0.1 {tcp}");
    assert!(printed.contains(&hint), "{printed}");

    // But for the ports, the page shows the same.
    let control = printed.split_once("curl -X POST 'http://").unwrap().1;
    let control = control.split_once('/').unwrap().0;
    let told = printed
        .replace(&format!("-p {port} "), "")
        .replace(control, "127.0.0.1:8442")
        .replace(&broker, "127.0.0.1:1883")
        .replace(&http_at, "127.0.0.1:8080")
        .replace(&path().display().to_string(), "poly2mqtt");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = words(&std::fs::read_to_string(root().join("docs/demo.md")).unwrap());
    for line in told.lines().take(10) {
        assert!(page.contains(&words(line)), "docs/demo.md: {line}");
    }
}

/// Tokens, which the demo has none of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_shown_in_three_ways() {
    if !installed("curl", "examples/shell/curl-token.sh") {
        return;
    }
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [[http.token]]\nname = \"panel\"\ntoken = \"sesame-sesame-sesame\"\n\
         [rooms.1]\nurl = \"{}\"\npassword = \"456\"\ncertificate = \"{}\"\n",
        device.url(),
        device.fingerprint()
    );
    let path = config(dir.path(), &text);
    let _gateway = Running::start(program(&["run", "--config", path.to_str().unwrap()]));
    listening(port);
    let address = format!("http://127.0.0.1:{port}");
    let state = format!("{address}/room/1/audio/volume?token=sesame-sesame-sesame");
    door::page_contains(&state, "62").await;
    let words = [address.as_str(), "sesame-sesame-sesame"];
    let said = example("curl-token.sh", &words, dir.path()).await;
    assert!(said.starts_with("62\n"), "{said}");
    assert!(
        said.contains("\"ok\":true") && said.ends_with("online\n"),
        "{said}"
    );
    let mut wrong = Command::new("bash");
    wrong
        .arg(root().join("examples/shell/curl-token.sh"))
        .args([&address, "wrong"]);
    let wrong = tokio::task::spawn_blocking(move || program::output(wrong));
    let wrong = wrong.await.unwrap();
    assert!(!wrong.status.success(), "{wrong:?}");
    assert!(stdout(&wrong).contains("the token is wrong"), "{wrong:?}");
    device.stop().await;
}

#[test]
fn the_demo_says_when_its_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    for option in ["--listen", "--http", "--tcp", "--control", "--devices"] {
        let others = ["--listen", "--http", "--control"].into_iter();
        let others = others
            .filter(|other| *other != option)
            .flat_map(|other| [other, any]);
        let words: Vec<&str> = ["demo", option, &at].into_iter().chain(others).collect();
        let demo = output(&words);
        assert_eq!(demo.status.code(), Some(1), "{demo:?}");
        let told = stderr(&demo);
        assert!(
            told.contains(&format!(
                "cannot listen on {at}: Address already in use by "
            )),
            "{told}"
        );
        assert!(
            told.contains(&format!("give {option} 127.0.0.1:")),
            "{told}"
        );
        assert!(!told.contains("os error"), "{told}");
    }
}

/// Addresses that cannot be used, and the option that the message names.
#[test]
fn demo_and_simulate_say_which_option_moves_an_address() {
    let any = "127.0.0.1:0";
    for (words, option) in [
        (
            [
                "demo",
                "--http",
                "192.0.2.1:8080",
                "--listen",
                any,
                "--control",
                any,
            ],
            "give --http 0.0.0.0:8080",
        ),
        (
            [
                "demo",
                "--listen",
                "192.0.2.1:1883",
                "--http",
                any,
                "--control",
                any,
            ],
            "give --listen 0.0.0.0:1883",
        ),
        (
            [
                "simulate",
                "--listen",
                "192.0.2.1:8443",
                "--control",
                any,
                "--rooms",
                "1",
            ],
            "give --listen 0.0.0.0:8443",
        ),
        (
            [
                "simulate",
                "--control",
                "192.0.2.1:8442",
                "--listen",
                any,
                "--rooms",
                "1",
            ],
            "give --control 0.0.0.0:8442",
        ),
    ] {
        let ended = output(&words);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let told = stderr(&ended);
        assert!(
            told.contains("this machine does not have the address 192.0.2.1"),
            "{told}"
        );
        assert!(told.contains(option), "{told}");
    }
}

#[test]
fn topics_are_a_table() {
    let topics = output(&["topics"]);
    assert_eq!(topics.status.code(), Some(0));
    let table = stdout(&topics);
    assert!(table.lines().count() > 200, "{table}");
    for line in table.lines() {
        assert_eq!(line.split('\t').count(), 6, "{line}");
    }
    assert!(table.contains("command\tcamera/preset/{index}/activate\tnone\tPOST "));
}

/// `poly2mqtt topics | head -1` is no error.
#[test]
fn a_reader_may_have_seen_enough() {
    let mut command = program(&["topics"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn the_schema_is_json_and_knows_the_keys() {
    let schema = output(&["schema"]);
    assert_eq!(schema.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["mqtt"]["properties"]["url"].is_object());
}

fn config(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("poly2mqtt.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn check(path: &Path, more: &[&str]) -> Output {
    let words = [&["check", "--config", path.to_str().unwrap()], more].concat();
    output(&words)
}

#[test]
fn check_tells_good_from_bad() {
    let good = check(&root().join("config/poly2mqtt.toml"), &[]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert_eq!(stdout(&good), "the configuration is good: 1 room\n");
    assert!(
        !stderr(&good).contains('\x1b'),
        "colours without a terminal"
    );

    let dir = tempfile::tempdir().unwrap();
    let path = config(
        dir.path(),
        "[rooms.1]\nurl = \"https://192.0.2.1\"\npasswrd = \"canary\"\n",
    );
    let bad = check(&path, &[]);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    let told = stderr(&bad);
    assert!(
        told.contains("poly2mqtt.toml:3: rooms.1.passwrd: unknown key; did you mean \"password\"?"),
        "{told}"
    );
    assert!(!told.contains("canary"), "{told}");

    let none = check(&dir.path().join("none.toml"), &[]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    let run = output(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(2), "{run:?}");
}

/// What the first room by hand goes through (docs/first-room.md): no fingerprint yet, then pinned, then no device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_connect_pins_a_first_room() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let room = format!(
        "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"off\"\n[rooms.1]\nurl = \"{}\"\npassword = \"456\"\n",
        device.url()
    );
    let connect = |text: String| {
        let path = config(dir.path(), &text);
        tokio::task::spawn_blocking(move || check(&path, &["--connect"]))
    };
    let unset = connect(room.clone()).await.unwrap();
    assert_eq!(unset.status.code(), Some(1), "{unset:?}");
    let pin = format!("certificate = \"{}\"", device.fingerprint());
    assert!(
        stdout(&unset).ends_with(&format!(", set {pin}\n")),
        "{unset:?}"
    );

    let pinned = connect(format!("{room}{pin}\n")).await.unwrap();
    assert_eq!(pinned.status.code(), Some(0), "{pinned:?}");
    assert!(
        stdout(&pinned).contains("StudioX50 firmware 4.6.2"),
        "{pinned:?}"
    );
    // It has logged out again.
    assert_eq!(device.sessions(), 0);

    device.stop().await;
    // Not the device's port: another test may have it by now.
    let nobody = format!("https://127.0.0.1:{}", free_port());
    let elsewhere = room.replace(&device.url(), &nobody);
    let gone = connect(format!("{elsewhere}{pin}\n")).await.unwrap();
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(stdout(&gone).contains("cannot be reached"), "{gone:?}");
}

/// A first room against one's own broker, from `run` to SIGTERM.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_serves_a_room_and_ends_cleanly() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let broker = mosquitto().map(|_| poly2mqtt_test_support::Mosquitto::start(0, ""));
    let (port, scheme) = match &broker {
        Some(broker) => (broker.port, "mqtt"),
        None => (free_port(), "embedded"),
    };
    let text = format!(
        "[mqtt]\nurl = \"{scheme}://127.0.0.1:{port}\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [rooms.boardroom]\nurl = \"{}\"\npassword = \"456\"\ncertificate = \"{}\"\n",
        device.url(),
        device.fingerprint()
    );
    let path = config(dir.path(), &text);
    let gateway = Running::start(program(&["run", "--config", path.to_str().unwrap()]));
    listening(port);
    let client = Client::connect(port).await;
    client.expect("room/boardroom/availability", "online").await;
    let result = client
        .command("room/boardroom/audio/volume/set", "40")
        .await;
    assert_eq!(result["ok"], true, "{result}");
    client.expect("room/boardroom/audio/volume", "40").await;
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    client.expect("gateway/availability", "offline").await;
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}
