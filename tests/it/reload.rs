//! SIGHUP under load: rooms, tokens and a bad file come and go, and a room that did not change
//! loses no command and no session.
mod late_sessions;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::log::file_contains;
use poly2mqtt_test_support::program::{Running, listening, program};
use poly2mqtt_test_support::{SOON, free_port, until};

struct Setup {
    dir: tempfile::TempDir,
    gateway: Running,
    mqtt: u16,
    http: u16,
    devices: [SimulatedDevice; 2],
}

fn room(id: &str, device: &SimulatedDevice, more: &str) -> String {
    format!(
        "[rooms.{id}]\nurl = \"{}\"\npassword = \"456\"\ncertificate = \"{}\"\n{more}\n",
        device.url(),
        device.fingerprint()
    )
}

impl Setup {
    async fn start() -> Self {
        let devices = [
            SimulatedDevice::start(Options::default()).await.unwrap(),
            SimulatedDevice::start(Options::default()).await.unwrap(),
        ];
        let dir = tempfile::tempdir().unwrap();
        let (mqtt, http) = (free_port(), free_port());
        let path = dir.path().join("poly2mqtt.toml");
        let mut command = program(&["run", "--config", path.to_str().unwrap()]);
        command.stderr(File::create(dir.path().join("log")).unwrap());
        fs::write(
            &path,
            text(mqtt, http, &["first"], &room("steady", &devices[0], "")),
        )
        .unwrap();
        let gateway = Running::start(command);
        listening(mqtt);
        listening(http);
        Self {
            dir,
            gateway,
            mqtt,
            http,
            devices,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("poly2mqtt.toml")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Writes a configuration and has it read.
    fn reload(&self, tokens: &[&str], rooms: &str) {
        fs::write(self.path(), text(self.mqtt, self.http, tokens, rooms)).unwrap();
        self.gateway.signal("HUP");
    }

    async fn logged(&self, what: &str, times: usize) {
        file_contains(&self.dir.path().join("log"), what, times).await;
    }
}

fn text(mqtt: u16, http: u16, tokens: &[&str], rooms: &str) -> String {
    let tokens: String = tokens
        .iter()
        .map(|token| format!("[[http.token]]\nname = \"{token}\"\ntoken = \"{token}-token\"\n"))
        .collect();
    format!(
        "[mqtt]\nurl = \"embedded://127.0.0.1:{mqtt}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
         {tokens}{rooms}"
    )
}

/// Sends commands over MQTT, one after the other, until it is told to stop; how many there were.
async fn over_mqtt(client: Client, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let payload = json!({"volume": number % 100, "request_id": number}).to_string();
        let result = client
            .command("room/steady/audio/volume/set", payload)
            .await;
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(result["request_id"], number, "{result}");
    }
    // Exactly one result each.
    let results = client.messages("room/steady/audio/volume/set/result");
    assert_eq!(results.len(), sent.load(Ordering::Relaxed));
}

/// The same over a WebSocket.
async fn over_websocket(url: String, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) {
    let (mut socket, _) = connect_async(url).await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let frame = json!({"id": number, "topic": "room/steady/video/muted/set", "payload": true});
        socket.send(Message::text(frame.to_string())).await.unwrap();
        let answer = timeout(SOON, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!(answer["id"], number, "{answer}");
        assert_eq!(answer["payload"]["ok"], true, "{answer}");
    }
}

/// Waits until so many more commands have been sent.
async fn more(sent: &AtomicUsize, count: usize) {
    let wanted = sent.load(Ordering::Relaxed) + count;
    let what = || format!("{wanted} commands are sent");
    until(what, async || sent.load(Ordering::Relaxed) >= wanted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_change_loses_nothing() {
    let it = Setup::start().await;
    let watch = Client::connect(it.mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    let url = |token: &str| format!("ws://127.0.0.1:{}/ws?token={token}-token", it.http);
    let stop = Arc::new(AtomicBool::new(false));
    let sent: [Arc<AtomicUsize>; 2] = Default::default();
    let load = [
        tokio::spawn(over_mqtt(
            Client::connect(it.mqtt).await,
            stop.clone(),
            sent[0].clone(),
        )),
        tokio::spawn(over_websocket(url("first"), stop.clone(), sent[1].clone())),
    ];
    let steady = room("steady", &it.devices[0], "");
    let guest = |more: &str| format!("{steady}{}", room("guest", &it.devices[1], more));
    for round in 0..3 {
        it.reload(&["first", "second"], &guest(""));
        watch.expect("room/guest/availability", "online").await;
        // Another token is taken from now on.
        let (mut second, _) = connect_async(url("second")).await.unwrap();
        it.reload(&["first", "second"], &guest("poll = { fast = \"1s\" }"));
        it.logged("configuration read again", 4 * round + 2).await;
        watch.expect("room/guest/availability", "online").await;
        // A file that is wrong changes nothing.
        it.reload(&["first"], "[rooms.steady]\nurl = \"nonsense\"\n");
        it.logged("the old one stays in use", round + 1).await;
        let result = watch.command("room/guest/audio/mute", "").await;
        assert_eq!(result["ok"], true, "{result}");
        it.reload(&["first"], &guest(""));
        it.logged("configuration read again", 4 * round + 3).await;
        // Who came with a token that is gone is told so and let go.
        let closed = timeout(SOON, async {
            loop {
                match second.next().await {
                    Some(Ok(Message::Close(frame))) => break frame,
                    Some(Ok(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(u16::from(closed.await.unwrap().unwrap().code), 4401);
        it.reload(&["first"], &steady);
        watch.expect("room/guest/availability", "").await;
        // The load goes on all the while.
        for sent in &sent {
            more(sent, 5).await;
        }
        it.logged("configuration read again", 4 * round + 4).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        timeout(SOON, task).await.unwrap().unwrap();
    }
    let journal = it.devices[0].journal();
    let logins = journal.iter().filter(|entry| entry.path == "/rest/session");
    assert_eq!(logins.count(), 1, "the steady room logged in again");
    watch.never_offline("steady");
    let Setup {
        gateway, devices, ..
    } = it;
    let (status, _) = tokio::task::spawn_blocking(|| gateway.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    for device in devices {
        assert_eq!(device.sessions(), 0);
        device.stop().await;
    }
}

/// The password's file is read again with the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_files_are_read_again() {
    let it = Setup::start().await;
    let watch = Client::connect(it.mqtt).await;
    let file: &Path = &it.dir.path().join("password");
    fs::write(file, "456\n").unwrap();
    let by_file = room("steady", &it.devices[0], "").replace(
        "password = \"456\"",
        &format!("password_file = \"{}\"", file.display()),
    );
    it.reload(&["first"], &by_file);
    it.logged("configuration read again", 1).await;
    watch.expect("room/steady/availability", "online").await;
    it.devices[0].person_sets_password("changed");
    it.devices[0].expire_sessions();
    watch.expect("room/steady/availability", "offline").await;
    fs::write(file, "changed\n").unwrap();
    it.gateway.signal("HUP");
    watch.expect("room/steady/availability", "online").await;
    assert!(!it.log().contains("changed\n"), "{}", it.log());
    let [first, second] = &it.devices;
    first.stop().await;
    second.stop().await;
}

/// Otherwise the next try would come after minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_whose_device_takes_the_password_again_is_online_after_a_reload() {
    let it = Setup::start().await;
    let watch = Client::connect(it.mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    it.devices[0].person_sets_password("changed");
    it.devices[0].expire_sessions();
    watch.expect("room/steady/availability", "offline").await;
    it.devices[0].person_sets_password("456");
    it.gateway.signal("HUP");
    watch.expect("room/steady/availability", "online").await;
    for device in &it.devices {
        device.stop().await;
    }
}

/// But a tool that reloads often, for whatever reason, must not lock people out of the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_do_not_try_a_wrong_password_again_and_again() {
    let it = Setup::start().await;
    let watch = Client::connect(it.mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    it.devices[0].clear_journal();
    it.devices[0].person_sets_password("changed");
    it.devices[0].expire_sessions();
    watch.expect("room/steady/availability", "offline").await;
    for reload in 1..=8 {
        it.gateway.signal("HUP");
        it.logged("configuration read again", reload).await;
        watch
            .until("its password is refused", |watch| {
                let problem = watch.last("room/steady/problem");
                problem.is_some_and(|problem| problem.contains("unauthorized"))
            })
            .await;
    }
    let journal = it.devices[0].journal();
    let log_ins = journal
        .iter()
        .filter(|entry| entry.path == "/rest/session" && entry.method == "POST");
    assert_eq!(log_ins.count(), 4);
    for device in &it.devices {
        device.stop().await;
    }
}

/// A reload waits until the rooms that it replaces have ended, the stop of the gateway does not wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_during_a_reload_begins_at_once() {
    let it = Setup::start().await;
    let device = &it.devices[0];
    let watch = Client::connect(it.mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    let late = FaultKind::Delay(std::time::Duration::from_secs(8));
    device.add_fault(Fault::on("/rest/audio/volume", late).method("POST"));
    watch.publish("room/steady/audio/volume/set", "7").await;
    assert!(device.wait_for(SOON, |device| device.delayed() == 1).await);
    it.reload(&["first"], &room("steady", device, "name = \"Renamed\""));
    // It is answered when the reload has begun to end the room.
    let refused = watch.command("room/steady/audio/mute", "").await;
    assert_eq!(refused["error"]["code"], "offline", "{refused}");
    it.gateway.signal("TERM");
    it.logged("stopping", 1).await;
    assert_eq!(device.delayed(), 1, "{}", it.log());
    it.logged("stopped", 1).await;
    for device in &it.devices {
        device.stop().await;
    }
}

/// One of the rooms that a reload replaces is slow to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_replaced_does_not_wait_for_others() {
    let it = Setup::start().await;
    let watch = Client::connect(it.mqtt).await;
    let rooms = |more: &str| {
        let [steady, slow] = &it.devices;
        room("steady", steady, more) + &room("slow", slow, more)
    };
    it.reload(&["first"], &rooms(""));
    it.logged("configuration read again", 1).await;
    for room in ["room/steady/availability", "room/slow/availability"] {
        watch.expect(room, "online").await;
    }
    let late = FaultKind::Delay(std::time::Duration::from_secs(60));
    it.devices[1].add_fault(Fault::on("/rest/audio/volume", late).method("POST"));
    watch.publish("room/slow/audio/volume/set", "7").await;
    let is_delayed = |device: &SimulatedDevice| device.delayed() == 1;
    assert!(it.devices[1].wait_for(SOON, is_delayed).await);
    watch.clear();
    it.reload(&["first"], &rooms("name = \"Renamed\""));
    watch
        .until("replaced", |watch| {
            let said = watch.messages("room/steady/availability");
            said.iter()
                .map(|one| &one.payload[..])
                .eq([&b"offline"[..], b"online"])
        })
        .await;
    // The other one is still ending, and counts: the gateway is not ready for all its rooms.
    let ready = format!("http://127.0.0.1:{}/readyz", it.http);
    let asked = poly2mqtt_test_support::door::http()
        .get(ready)
        .bearer_auth("first-token");
    let ready: Value = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!(it.log().matches("configuration read again").count(), 1);
    let wanted = json!({
        "ready": false, "broker": "connected", "rooms": 2, "rooms_online": 1, "rooms_starting": 1,
    });
    assert_eq!(ready, wanted);
    it.devices[1].end_delays();
    it.logged("configuration read again", 2).await;
    for device in &it.devices {
        device.stop().await;
    }
}

/// A file of certificates that cannot be used is found before the room that is to use it is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_cannot_be_used_change_nothing() {
    let it = Setup::start().await;
    let watch = Client::connect(it.mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    let file = it.dir.path().join("ca.pem");
    let fingerprint = format!("certificate = \"{}\"", it.devices[0].fingerprint());
    let by_file = room("steady", &it.devices[0], "")
        .replace(&fingerprint, &format!("ca_file = \"{}\"", file.display()));
    let guest = room("guest", &it.devices[1], "");
    let half = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (round, content) in ["", "not a certificate\n", half].iter().enumerate() {
        fs::write(&file, content).unwrap();
        it.reload(&["first"], &format!("{by_file}{guest}"));
        it.logged("the old one stays in use", round + 1).await;
        let result = watch.command("room/steady/audio/mute", "").await;
        assert_eq!(result["ok"], true, "{result}");
    }
    watch.never_offline("steady");
    assert!(it.log().contains("rooms.steady"), "{}", it.log());
    assert!(watch.last("room/guest/availability").is_none());
    let [first, second] = &it.devices;
    first.stop().await;
    second.stop().await;
}

/// Whoever changes a key that waits for the next start is told which one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_wait_for_the_next_start_are_named() {
    let it = Setup::start().await;
    let steady = room("steady", &it.devices[0], "");
    let more = "[home_assistant]\nprefix = \"other\"\n[poll]\nfast = \"3s\"\n";
    it.reload(&["first"], &format!("{steady}{more}"));
    it.logged("configuration read again", 1).await;
    let named = "changes of home_assistant.prefix, home_assistant.status_topic take effect at the \
                 next start";
    assert!(it.log().contains(named), "{}", it.log());
    it.reload(&["first"], &steady);
    it.logged("configuration read again", 2).await;
    // The old values are in force, so that there is nothing to tell.
    assert_eq!(
        it.log().matches("the next start").count(),
        1,
        "{}",
        it.log()
    );
    let [first, second] = &it.devices;
    first.stop().await;
    second.stop().await;
}

const UNIT: &str = include_str!("../../examples/systemd/poly2mqtt.service");

/// The unit's credentials: systemd copies the files when the service starts, and not at a reload. A reload
/// reads the old copies again and leaves the room alone; a restart reads the new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_the_unit_change_at_a_restart() {
    let reload = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("ExecReload="));
    assert_eq!(reload, Some("/bin/kill -HUP $MAINPID"));
    let loaded = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("#LoadCredential="));
    let (id, source) = loaded.unwrap().split_once(':').unwrap();
    let key = UNIT
        .lines()
        .find(|line| line.contains("password_file = "))
        .unwrap();
    let key = key.trim_start_matches(['#', ' ']);
    assert!(key.ends_with(&format!("/{id}\"")), "{key}");

    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = |path: &str| dir.path().join(path.trim_start_matches('/'));
    let credentials = "/run/credentials/poly2mqtt.service";
    fs::create_dir_all(root(credentials)).unwrap();
    fs::create_dir_all(root(source).parent().unwrap()).unwrap();
    let file = root("/etc/poly2mqtt/poly2mqtt.toml");
    let (mqtt, http) = (free_port(), free_port());
    let key = key.replace(credentials, root(credentials).to_str().unwrap());
    let room = room("steady", &device, "").replace("password = \"456\"", &key);
    fs::write(&file, text(mqtt, http, &["first"], &room)).unwrap();
    let log = dir.path().join("log");
    let start = || {
        fs::copy(root(source), root(credentials).join(id)).unwrap();
        let mut command = program(&["run", "--config", file.to_str().unwrap()]);
        command.stderr(File::create(&log).unwrap());
        let gateway = Running::start(command);
        listening(mqtt);
        gateway
    };
    fs::write(root(source), "456\n").unwrap();
    let gateway = start();
    let watch = Client::connect(mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    device.person_sets_password("changed");
    fs::write(root(source), "changed\n").unwrap();
    gateway.signal("HUP");
    file_contains(&log, "read again", 1).await;
    device.expire_sessions();
    watch
        .until("the old password is refused", |watch| {
            let problem = watch.last("room/steady/problem");
            problem.is_some_and(|problem| problem.contains("unauthorized"))
        })
        .await;
    let ended = tokio::task::spawn_blocking(|| gateway.terminate());
    assert_eq!(ended.await.unwrap().0.code(), Some(0));
    let gateway = start();
    let watch = Client::connect(mqtt).await;
    watch.expect("room/steady/availability", "online").await;
    let ended = tokio::task::spawn_blocking(|| gateway.terminate());
    assert_eq!(ended.await.unwrap().0.code(), Some(0));
    device.stop().await;
}

/// The unit and every page that speaks of reloading it say the same.
#[test]
fn the_pages_agree_about_reloading_the_unit() {
    for (page, text) in [
        ("the unit", UNIT),
        (
            "configuration.md",
            include_str!("../../docs/configuration.md"),
        ),
        (
            "troubleshooting.md",
            include_str!("../../docs/troubleshooting.md"),
        ),
    ] {
        assert!(text.contains("systemctl restart poly2mqtt"), "{page}");
        assert!(text.contains("LoadCredential="), "{page}");
    }
    let place = "configuration.md#changing-it-while-it-runs";
    for (page, text) in [
        ("operating.md", include_str!("../../docs/operating.md")),
        ("http.md", include_str!("../../docs/http.md")),
        (
            "troubleshooting.md",
            include_str!("../../docs/troubleshooting.md"),
        ),
    ] {
        assert!(text.contains(place), "{page}");
    }
}
