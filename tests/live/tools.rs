//! Examples for tools that have to be installed first: Node-RED, MQTT.js, wscat, websocat.
//!
//! The tests look for them in `PATH`. Node-RED 5 needs Node.js 22 or newer.
//!
//! ```text
//! npm install --prefix /tmp/tools node-red@5 mqtt wscat
//! cargo install websocat
//! PATH=/tmp/tools/node_modules/.bin:$PATH cargo test --test live tools -- --ignored
//! ```
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::{Value, json};

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::{Socket, http, post};
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{SOON, free_port};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A gateway with room 1 at its own broker and at HTTP.
struct Gateway {
    device: SimulatedDevice,
    service: App,
    client: Client,
}

impl Gateway {
    async fn start() -> Self {
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room(&device))]);
        let url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        let service = App::start(config(url, rooms), timings()).await.unwrap();
        service.connected().await;
        let client = Client::connect(service.broker_addr().unwrap().port()).await;
        client.expect("room/1/availability", "online").await;
        Self {
            device,
            service,
            client,
        }
    }

    fn broker(&self) -> String {
        self.service.broker_addr().unwrap().port().to_string()
    }

    fn ws(&self) -> String {
        format!("ws://{}/ws", self.service.http_addr().unwrap())
    }

    async fn stop(self) {
        self.service.stop().await;
        self.device.stop().await;
    }
}

/// Runs an example and gives what it printed.
async fn example(name: &str, words: &[&str]) -> String {
    let mut shell = Command::new("bash");
    shell
        .arg(root().join("examples/shell").join(name))
        .args(words);
    let shell = tokio::task::spawn_blocking(move || shell.output().unwrap());
    let shell = shell.await.unwrap();
    assert!(shell.status.success(), "{name}: {shell:?}");
    String::from_utf8(shell.stdout).unwrap()
}

fn holds(said: &str, all: &[&str]) {
    for text in all {
        assert!(said.contains(text), "{text}\nis not in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs mqtt, of npm"]
async fn mqtt_js() {
    let gateway = Gateway::start().await;
    let said = example("mqttjs.sh", &["127.0.0.1", &gateway.broker()]).await;
    holds(
        &said,
        &["room/1/audio/volume/set/result", "invalid_payload"],
    );
    gateway.client.expect("room/1/audio/volume", "55").await;
    gateway.client.expect("room/1/audio/muted", "true").await;
    let preset = "room/1/camera/preset/3/activate/result";
    gateway.client.message(preset).await;
    gateway.stop().await;
}

const FRAMES: [&str; 6] = [
    "\"topic\":\"room/1/camera/preset/3/activate/result\"",
    "room/1/audio/volume/set/result ok",
    "\"id\":7,\"topic\":\"room/1/audio/muted/set/result\"",
    "room/1/audio/volume/set/result error invalid_payload volume takes",
    "room/1/audio/volume 40",
    "{\"topic\":\"room/1/audio/volume\",\"payload\":40,\"retain\":true}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs wscat, of npm"]
async fn wscat() {
    let gateway = Gateway::start().await;
    holds(&example("wscat.sh", &[&gateway.ws()]).await, &FRAMES);
    gateway.client.expect("room/1/audio/muted", "true").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs websocat"]
async fn websocat() {
    let gateway = Gateway::start().await;
    holds(&example("websocat.sh", &[&gateway.ws()]).await, &FRAMES);
    gateway.client.expect("room/1/audio/muted", "true").await;
    gateway.stop().await;
}

/// A Node-RED process with the example's flow. It ends when it is dropped.
struct NodeRed {
    child: Child,
    at: String,
    _dir: tempfile::TempDir,
}

impl Drop for NodeRed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl NodeRed {
    async fn start(flow: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let settings = dir.path().join("settings.js");
        let text = format!(
            "module.exports = {{uiHost: '127.0.0.1', uiPort: {port}, flowFile: 'flows.json', \
             telemetry: {{enabled: false}}, externalModules: {{autoInstall: false}}}};"
        );
        std::fs::write(&settings, text).unwrap();
        let child = Command::new("node-red")
            .arg("--userDir")
            .arg(dir.path())
            .arg("--settings")
            .arg(settings)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self {
            child,
            at: format!("127.0.0.1:{port}"),
            _dir: dir,
        };
        let flows = format!("http://{}/flows", this.at);
        let deadline = Instant::now() + 3 * SOON;
        while http().get(&flows).send().await.is_err() {
            assert!(Instant::now() < deadline, "Node-RED does not start");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let answer = http().post(flows).json(flow).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        this
    }

    async fn press(&self, button: &str) {
        let (status, _) = post(&format!("http://{}/inject/{button}", self.at), "").await;
        assert_eq!(status, 200, "{button}");
    }
}

/// What the editor would show. Several messages come together, so all of them are kept.
struct Editor {
    socket: Socket,
    /// The newest text of each node.
    texts: BTreeMap<String, String>,
    /// What came to the debug side bar.
    debug: Vec<String>,
}

impl Editor {
    async fn open(at: &str) -> Self {
        let mut socket = Socket::connect(&format!("ws://{at}/comms")).await;
        socket.send("{\"subscribe\":\"status/#\"}").await;
        socket.send("{\"subscribe\":\"debug\"}").await;
        Self {
            socket,
            texts: BTreeMap::new(),
            debug: Vec::new(),
        }
    }

    async fn shows(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(self) {
            // Node-RED says every few seconds that it is there.
            let messages: Vec<Value> = serde_json::from_str(&self.socket.text().await).unwrap();
            for message in messages {
                let topic = message["topic"].as_str().unwrap_or_default();
                if let Some(node) = topic.strip_prefix("status/") {
                    let text = message["data"]["text"].as_str().unwrap_or_default();
                    self.texts.insert(node.into(), text.into());
                } else if topic == "debug" {
                    self.debug.push(message["data"].to_string());
                }
            }
            assert!(Instant::now() < deadline, "{what}: {:?}", self.texts);
        }
    }

    async fn node_shows(&mut self, node: &str, text: &str) {
        let holds = |it: &Self| it.texts.get(node).is_some_and(|shown| shown == text);
        self.shows(&format!("{node} {text}"), holds).await;
    }

    async fn debug_shows(&mut self, word: &str) {
        let holds = |it: &Self| it.debug.iter().any(|shown| shown.contains(word));
        self.shows(word, holds).await;
    }
}

/// Every button does what its label says, and the lamps show what the room does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node-RED"]
async fn node_red() {
    let gateway = Gateway::start().await;
    let text = std::fs::read_to_string(root().join("examples/node-red-flow.json")).unwrap();
    let mut flow: Value = serde_json::from_str(&text).unwrap();
    for node in flow.as_array_mut().unwrap() {
        if node["type"] == "mqtt-broker" {
            node["port"] = gateway.broker().into();
        }
        // The room is named at one place: the tab's variable.
        let named = node.to_string().contains("room/1/");
        assert!(!named, "{node}");
    }
    let node_red = NodeRed::start(&flow).await;
    let mut editor = Editor::open(&node_red.at).await;
    // Present states show at once, because they are retained.
    editor.node_shows("p2m-lamp", "live").await;
    editor.node_shows("p2m-online", "online").await;

    // In both directions: from the flow to the room, and from the room to the flow.
    node_red.press("p2m-toggle").await;
    editor.node_shows("p2m-lamp", "muted").await;
    assert_eq!(gateway.device.state()["audio"]["muted"], true);
    gateway.device.person_mutes(false);
    editor.node_shows("p2m-lamp", "live").await;

    gateway.device.person_calls_in("bob@example.com");
    editor.debug_shows("bob@example.com").await;
    let buttons = flow.as_array().unwrap().iter();
    let buttons: Vec<&Value> = buttons.filter(|node| node["type"] == "inject").collect();
    let order = ["p2m-answer", "p2m-hangup", "p2m-dial"];
    let first = buttons.iter().filter(|node| order.contains(&id(node)));
    let mut first: Vec<&&Value> = first.collect();
    first.sort_by_key(|node| order.iter().position(|name| *name == id(node)));
    let rest = buttons.iter().filter(|node| !order.contains(&id(node)));
    for button in first.into_iter().chain(rest) {
        gateway.client.clear();
        node_red.press(id(button)).await;
        let topic = button["props"][1]["v"].as_str().unwrap();
        let result = format!("{}/result", topic.replace("${ROOM}", "1"));
        let result = gateway.client.message(&result).await;
        let result: Value = serde_json::from_slice(&result.payload).unwrap();
        assert_eq!(result["ok"], true, "{} {result}", id(button));
        let shows = match id(button) {
            "p2m-answer" => "connected",
            "p2m-hangup" => "idle",
            _ => continue,
        };
        editor.node_shows("p2m-calling", shows).await;
    }
    // The device has done it, not only answered.
    assert_eq!(gateway.device.state()["audio"]["volume"], json!(40));
    let journal = gateway.device.journal();
    let posted = |begin: &str| {
        let mut all = journal.iter();
        all.any(|entry| entry.method == "POST" && entry.path.starts_with(begin))
    };
    assert!(posted("/rest/calendar/meetings/") && posted("/rest/cameras/near/presets/"));

    // A command that fails says why.
    gateway.client.clear();
    gateway
        .client
        .command("room/1/audio/volume/set", "loud")
        .await;
    editor.debug_shows("invalid_payload").await;
    // With the gateway its broker goes, too.
    gateway.stop().await;
    editor
        .node_shows("p2m-online", "no connection to the broker")
        .await;
    drop(node_red);
}

fn id(node: &Value) -> &str {
    node["id"].as_str().unwrap()
}
