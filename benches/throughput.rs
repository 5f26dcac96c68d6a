//! How many commands a second the gateway carries out, against a bare loop and against Node-RED.
//!
//! `cargo bench --bench throughput` [`bare`] [`node_red`] [`seconds=5`] [`rounds=5`]. Rounds of one
//! and the other alternate; QoS 1.
//!
//! - `bare`: 100 rooms, a command in flight in each, against a bare hyper loop that sends the same
//!   POST and GET at the same devices without a broker, and against the bare relay, which is that
//!   loop behind the broker: the broker and the bench's client need the same two cores.
//! - `node_red`: only where `NODE_RED` names the `red.js` of a Node-RED (and `NODE` its node; by
//!   default the one on the PATH). Its flow gets a topic, sends the POST over connections that stay
//!   open, with the cookie and token of a session that is ready, and publishes the result; it polls
//!   nothing and reads nothing back. The gateway does all that it does.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod bench;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bench::bare::{self, Bare};
use bench::client::Commander;
use bench::figures::{Sample, compare, head, median, row};
use bench::processes::{Device, Gateway, Process, Simulator, http};
use bench::program::{free_port, listening};
use bench::{Mosquitto, argument, either, wanted};
use serde_json::json;

const NODE_RED_ROOMS: usize = 100;

#[tokio::main]
async fn main() {
    let Some(broker) = bench::begin().await else {
        return;
    };
    let lasts = match argument("seconds") {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_millis(either(5_000, 200)),
    };
    let rounds = argument("rounds").unwrap_or(either(5, 1));
    if wanted("bare") {
        against_bare(&broker, lasts, rounds).await;
    }
    if wanted("node_red")
        && let Some(red) = std::env::var_os("NODE_RED")
    {
        against_node_red(&broker, red.into(), lasts, rounds).await;
    }
}

async fn against_bare(broker: &Mosquitto, lasts: Duration, rounds: u64) {
    let rooms = either(100, 4);
    let simulator = Simulator::start(rooms);
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    gateway.online(rooms);
    let mut bare = Bare::start(broker.port, &simulator.devices);
    let load = Load::new(broker.port, rooms, rooms, OURS).await;
    let relay = Load::new(broker.port, rooms, rooms, "bare/{}").await;
    load.run(lasts / 5).await;
    let (mut ours, mut relayed, mut limit) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(load.run(lasts).await.0);
        relayed.push(relay.run(lasts).await.0);
        limit.push(bare.saturate(lasts));
    }
    let (ours, relayed, limit) = (median(ours), median(relayed), median(limit));
    let columns = [
        "commands/s",
        "gateway",
        "bare relay",
        "bare loop",
        "to relay",
        "to loop",
    ];
    head(
        "Throughput of `audio/volume/set`, POST and GET each",
        &columns,
    );
    row(&[
        format!("{rooms} rooms, one in flight in each"),
        format!("{ours:.0}"),
        format!("{relayed:.0}"),
        format!("{limit:.0}"),
        format!("{:.2}", ours / relayed),
        format!("**{:.2}**", ours / limit),
    ]);
}

/// Commands of which so many are always in flight, each in a room of its own.
struct Load {
    commander: Commander,
    rooms: usize,
    in_flight: usize,
    topic: &'static str,
}

impl Load {
    async fn new(broker: u16, rooms: usize, in_flight: usize, topic: &'static str) -> Self {
        Self {
            commander: Commander::connect(broker).await,
            rooms,
            in_flight,
            topic,
        }
    }

    /// Commands a second, and how long they took.
    async fn run(&self, lasts: Duration) -> (f64, Sample) {
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for place in 0..self.in_flight {
            let commander = self.commander.clone();
            let (topic, rooms, in_flight) = (self.topic, self.rooms, self.in_flight);
            tasks.push(tokio::spawn(async move {
                let mut sample = Sample::default();
                // Its own share of the rooms, one after the other.
                for place in (place..rooms).step_by(in_flight).cycle() {
                    if begun.elapsed() >= lasts {
                        break;
                    }
                    let topic = topic.replace("{}", &(place + 1).to_string());
                    let (took, result) = commander.set(&topic).await;
                    let refused = result.windows(10).any(|part| part == b"\"ok\":false");
                    assert!(!refused, "{}", String::from_utf8_lossy(&result));
                    sample.push(took);
                }
                sample
            }));
        }
        let mut sample = Sample::default();
        for task in tasks {
            sample.extend(task.await.unwrap());
        }
        #[allow(clippy::cast_precision_loss)]
        let a_second = sample.len() as f64 / begun.elapsed().as_secs_f64();
        (a_second, sample)
    }
}

async fn against_node_red(broker: &Mosquitto, red: PathBuf, lasts: Duration, rounds: u64) {
    let columns = ["", "gateway", "Node-RED", "ratio", "commands"];
    head("Against Node-RED, whose flow only sends the POST", &columns);
    let simulator = Simulator::start(NODE_RED_ROOMS);
    let devices = &simulator.devices;
    {
        let gateway = Gateway::start(broker.port, &devices[..1], "");
        gateway.online(1);
        let flow = NodeRed::start(&red, broker.port, &devices[..1]).await;
        let of = |topic| Load::new(broker.port, 1, 1, topic);
        let (ours, theirs) = (of(OURS).await, of(THEIRS).await);
        ours.run(lasts).await;
        theirs.run(lasts).await;
        let (one, other) = (gateway.process.memory(), flow.process.memory());
        row(&[
            "resident memory, one room".into(),
            format!("{:.1} MiB", mib(one)),
            format!("{:.1} MiB", mib(other)),
            format!("**1/{:.1}**", mib(other) / mib(one)),
            String::new(),
        ]);
    }
    let gateway = Gateway::start(broker.port, devices, "");
    gateway.online(NODE_RED_ROOMS);
    let _flow = NodeRed::start(&red, broker.port, devices).await;
    for in_flight in [1, 32, NODE_RED_ROOMS] {
        let of = |topic| Load::new(broker.port, NODE_RED_ROOMS, in_flight, topic);
        let (ours, theirs) = (of(OURS).await, of(THEIRS).await);
        ours.run(lasts / 5).await;
        theirs.run(lasts / 5).await;
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let (mut fast, mut slow) = (Sample::default(), Sample::default());
        for _ in 0..rounds {
            let (a_second, sample) = ours.run(lasts).await;
            one.push(a_second);
            fast.extend(sample);
            let (a_second, sample) = theirs.run(lasts).await;
            other.push(a_second);
            slow.extend(sample);
        }
        compare(&format!("{in_flight} in flight"), &fast, &slow);
        let (one, other) = (median(one), median(other));
        row(&[
            format!("{in_flight} in flight, commands/s"),
            format!("{one:.0}"),
            format!("{other:.0}"),
            format!("**{:.1}**", one / other),
            String::new(),
        ]);
    }
}

const OURS: &str = "room/{}/audio/volume/set";
const THEIRS: &str = "flow/{}/volume/set";

#[allow(clippy::cast_precision_loss)]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Node-RED with one flow.
struct NodeRed {
    process: Process,
    _dir: tempfile::TempDir,
}

impl NodeRed {
    async fn start(red: &PathBuf, broker: u16, devices: &[Device]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let settings = format!(
            "module.exports = {{ uiHost: '127.0.0.1', uiPort: {port}, flowFile: 'flows.json', \
             credentialSecret: false, disableEditor: true, \
             telemetry: {{ enabled: false, updateNotification: false }}, \
             logging: {{ console: {{ level: 'error', metrics: false, audit: false }} }} }};"
        );
        let settings_file = dir.path().join("settings.js");
        std::fs::write(&settings_file, settings).unwrap();
        let mut rooms = vec![json!(null)];
        for device in devices {
            let (cookie, token) = bare::session(device.port).await;
            let url = format!("https://127.0.0.1:{}/rest/audio/volume", device.port);
            rooms.push(json!({"url": url, "cookie": cookie, "token": token}));
        }
        let flow = flow(broker, &json!(rooms).to_string());
        std::fs::write(dir.path().join("flows.json"), flow.to_string()).unwrap();
        let node = std::env::var_os("NODE").unwrap_or("node".into());
        let mut command = Command::new(node);
        command.arg(red).arg("-u").arg(dir.path());
        command.arg("-s").arg(settings_file);
        let process = Process::start(command.stdout(Stdio::null()));
        listening(port);
        assert!(http(port, "GET", "/flows").contains("mqtt in"));
        // It connects to the broker by itself; until then nothing answers.
        let ready = Commander::connect(broker).await;
        ready.until_answered(&THEIRS.replace("{}", "1")).await;
        Self { process, _dir: dir }
    }
}

fn flow(broker: u16, rooms: &str) -> serde_json::Value {
    let ask = format!(
        "const rooms = {rooms};\nconst room = msg.topic.split('/')[1];\nconst to = rooms[room];\n\
         msg.room = room; msg.ask = msg.payload;\nmsg.method = 'POST'; msg.url = to.url;\n\
         msg.headers = {{'content-type': 'application/json', cookie: to.cookie, \
         'x-xsrf-token': to.token}};\nmsg.payload = String(msg.ask.volume);\nreturn msg;"
    );
    let tell = "return {topic: 'flow/' + msg.room + '/volume/set/result', qos: 1, retain: false, \
                payload: {ok: msg.statusCode >= 200 && msg.statusCode < 300, \
                status: msg.statusCode, request_id: msg.ask.request_id}};";
    json!([
        {"id": "tab", "type": "tab", "label": "flow"},
        {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": broker.to_string(),
         "autoConnect": true, "usetls": false, "protocolVersion": "5", "keepalive": "60",
         "cleansession": true},
        {"id": "tls", "type": "tls-config", "verifyservercert": false},
        {"id": "in", "type": "mqtt in", "z": "tab", "topic": "flow/+/volume/set", "qos": "1",
         "datatype": "auto-detect", "broker": "broker", "wires": [["ask"]]},
        {"id": "ask", "type": "function", "z": "tab", "func": ask, "outputs": 1, "libs": [],
         "wires": [["request"]]},
        {"id": "request", "type": "http request", "z": "tab", "method": "use", "ret": "txt",
         "paytoqs": "ignore", "url": "", "tls": "tls", "persist": true, "senderr": false,
         "headers": [], "wires": [["tell"]]},
        {"id": "tell", "type": "function", "z": "tab", "func": tell, "outputs": 1, "libs": [],
         "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "1", "retain": "false",
         "broker": "broker", "wires": []},
    ])
}
