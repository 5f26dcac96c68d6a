//! `run --setup`: who may use the page, when it opens, and from nothing to a muted room in a browser.
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::{Value, json};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::http;
use poly2mqtt_test_support::program::{Running, output, program};

/// A program that serves its setup page.
struct SetupPage {
    running: Running,
    /// `http://127.0.0.1:PORT/`.
    url: String,
    code: String,
    /// Kept, so that the program can go on printing.
    _stdout: BufReader<ChildStdout>,
}

impl SetupPage {
    fn start(folder: &Path) -> Self {
        let mut command = program(&["run", "--setup", "--config", "poly2mqtt.toml"]);
        command.current_dir(folder);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running::start_printing(command);
        let mut stdout = BufReader::new(running.take_stdout());
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            stdout.read_line(line).unwrap();
        }
        let url = lines[0]
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let code = lines[1].trim().strip_prefix("code: ");
        Self {
            url: url.unwrap().to_owned(),
            code: code.unwrap().to_owned(),
            running,
            _stdout: stdout,
        }
    }

    /// Status and answer of a request, with these headers.
    async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = http().post(format!("{}{path}", self.url)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_its_own_host_and_origin_and_for_who_has_the_code() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page = SetupPage::start(folder.path());
    assert!(page.url.starts_with("http://127.0.0.1:"), "{}", page.url);
    let good = json!({"code": page.code, "address": device.url()});
    for headers in [
        [("Host", "evil.example"), ("X-Nothing", "")],
        [("Origin", "http://evil.example"), ("X-Nothing", "")],
        [("Origin", "null"), ("X-Nothing", "")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")],
    ] {
        let (status, answer) = page.post("try", &good, &headers).await;
        assert_eq!(status, 403, "{headers:?} {answer}");
    }
    let (status, answer) = page.post("try", &good, &[]).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(&device.fingerprint()), "{answer}");
    // A wrong password, a wrong certificate and a wrong id write nothing.
    let add = |password: &str, certificate: &str, id: &str| {
        json!({"code": page.code, "address": device.url(), "certificate": certificate,
               "user": "admin", "password": password, "id": id})
    };
    let fingerprint = device.fingerprint();
    let other = format!("sha256:{}", "0".repeat(64));
    for (wrong, wanted) in [
        (add("wrong", &fingerprint, ""), "with this password"),
        (add("", &fingerprint, ""), "password is missing"),
        (add("456", &other, ""), "certificate"),
        (add("456", "", ""), "certificate"),
        (add("456", &fingerprint, "a/b"), "letters, digits"),
    ] {
        let (status, answer) = page.post("add", &wrong, &[]).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer.contains(wanted), "{wanted}: {answer}");
        assert!(!folder.path().join("poly2mqtt.toml").exists());
    }
    // Ten wrong codes end it; the right one comes too late then.
    let wrong = json!({"code": "AAAAA-AAAAA", "address": device.url()});
    for _ in 0..10 {
        assert_eq!(page.post("try", &wrong, &[]).await.0, 403);
    }
    assert_eq!(page.running.wait().code(), Some(1));
    assert!(!folder.path().join("poly2mqtt.toml").exists());
    device.stop().await;
}

/// It would serve until somebody comes; so the program ends by itself only if the page does not open.
#[test]
fn the_page_opens_nowhere_where_there_is_a_configuration() {
    for (file, variables, wanted) in [
        (Some("[mqtt]\nurll = 7\n"), &[][..], "urll"),
        (Some("no toml"), &[], "not TOML"),
        (Some(""), &[("POLY2MQTT_MQTT__URLL", "x")], "URLL"),
        (None, &[("POLY2MQTT_MQTT__URLL", "x")], "poly2mqtt.toml"),
        (
            None,
            &[("POLY2MQTT_HTTP__LISTEN", "nonsense")],
            "poly2mqtt.toml",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            fs::write(folder.path().join("poly2mqtt.toml"), text).unwrap();
        }
        let mut command = program(&["run", "--setup", "--config", "poly2mqtt.toml"]);
        command
            .current_dir(folder.path())
            .envs(variables.iter().copied());
        let ended = output(command);
        let told = String::from_utf8(ended.stderr.clone()).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert!(told.contains(wanted), "{wanted}: {told}");
        assert_eq!(ended.stdout, b"", "{file:?}");
    }
    // What is no file is a configuration too, named or in its usual place: a folder, a pipe, a link that leads
    // nowhere or to itself.
    for (make, wanted) in [
        ("mkdir poly2mqtt.toml", "it is a directory"),
        ("mkfifo poly2mqtt.toml", "it is a pipe or a device"),
        ("ln -s nowhere poly2mqtt.toml", "a link that leads nowhere"),
        ("ln -s poly2mqtt.toml poly2mqtt.toml", "symbolic links"),
    ] {
        for named in [&["--config", "poly2mqtt.toml"][..], &[]] {
            let folder = tempfile::tempdir().unwrap();
            let mut shell = Command::new("sh");
            shell.args(["-c", make]).current_dir(folder.path());
            assert!(shell.status().unwrap().success());
            let mut command = program(&["run", "--setup"]);
            command.args(named).current_dir(folder.path());
            let ended = output(command);
            let told = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(2), "{make} {named:?}: {told}");
            assert!(told.contains(wanted), "{make} {named:?}: {told}");
            assert_eq!(ended.stdout, b"", "{make} {named:?}");
        }
    }
}

/// Who types an address and a password into the page is not told only then that there is no place for them.
#[test]
fn the_page_does_not_open_where_the_file_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/poly2mqtt.toml");
    let mut command = program(&["run", "--setup", "--config"]);
    command.arg(&missing).current_dir(folder.path());
    let ended = output(command);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("no/such/folder cannot be written"), "{told}");
    assert_eq!(ended.stdout, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_from_nothing_to_a_muted_room() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page = SetupPage::start(folder.path());
    browser.open(&page.url).await;
    browser.write("#code", &page.code.to_lowercase()).await;
    browser.write("#address", &device.addr().to_string()).await;
    browser.click("#find button").await;
    let shown = format!(
        "document.querySelector('#certificate').textContent === '{}'",
        device.fingerprint()
    );
    browser.until(&shown).await;
    browser.write("#id", "boardroom").await;
    browser.write("#password", "wrong").await;
    browser.click("#add button").await;
    browser
        .until("document.querySelector('#message').className === 'wrong'")
        .await;
    browser
        .value("document.querySelector('#password').value = ''")
        .await;
    browser.write("#password", "456").await;
    browser.click("#add button").await;
    // The gateway has started in its place, with the dashboard.
    browser.until(LINK_IS_UP).await;
    let room = format!("{}#/room/boardroom", page.url);
    browser.open(&room).await;
    let microphone = "[data-command='audio/muted/set']";
    let unmuted = format!("document.querySelector(\"{microphone}\")?.ariaPressed === 'false'");
    browser.until(&unmuted).await;
    browser.click(microphone).await;
    let muted = device.wait_for(SOON, |device| device.state()["audio"]["muted"] == true);
    assert!(muted.await, "{:#}", device.state());
    let errors = browser.errors().await;
    // Only what the page asked while the gateway started, and the refused password.
    let expected = ["healthz", "/add"];
    let others = errors
        .iter()
        .filter(|error| !expected.iter().any(|word| error.contains(word)));
    assert_eq!(others.collect::<Vec<_>>(), [&""; 0]);
    let (status, _) = page.running.terminate();
    assert_eq!(status.code(), Some(0));
    device.stop().await;
}
