//! How many commands a second the gateway carries out, against a bare loop and against Node-RED.
//!
//! `cargo bench --bench throughput` [`bare`] [`node_red`] [`seconds=5`] [`rounds=5`]. Rounds of one
//! and the other alternate; QoS 1.
//!
//! - `bare`: 100 rooms, a command in flight in each, over MQTT and over two WebSockets, against a
//!   bare hyper loop that sends the same POST and GET at the same devices, and against the bare
//!   relay, which is that loop behind the broker: broker and client need the same two cores. The
//!   processor time of each process says where the commands' time goes.
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
use bench::processes::{Device, Gateway, Process, Simulator, cpu, http};
use bench::program::{free_port, listening};
use bench::{Mosquitto, argument, either, wanted};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const NODE_RED_ROOMS: usize = 100;

fn main() {
    // The bare process has both processors; a client needs a part of one, and hands nothing over.
    let mut runtime = if bare::is_child() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    runtime.enable_all().build().unwrap().block_on(measure());
}

async fn measure() {
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
    // The process between client and device, the broker, the devices, the client.
    let spent = |between: &Process| {
        let processes = [between.cpu(), cpu(broker.id()), simulator.cpu()];
        let [between, broker, devices] = processes.map(|spent| spent.as_secs_f64() * 1e6);
        let own = cpu(std::process::id()).as_secs_f64() * 1e6;
        [between, broker, devices, own]
    };
    let mut ways = [
        Way::new("gateway, MQTT"),
        Way::new("gateway, WebSocket"),
        Way::new("bare relay, MQTT"),
        Way::new("bare loop"),
    ];
    for _ in 0..rounds {
        for (n, way) in ways.iter_mut().enumerate() {
            let ours = n < 2;
            let of = |bare: &Bare| {
                spent(if ours {
                    &gateway.process
                } else {
                    &bare.process
                })
            };
            let (before, begun) = (of(&bare), Instant::now());
            let a_second = match n {
                0 => load.run(lasts).await.0,
                1 => panels(gateway.http, rooms, lasts).await,
                2 => relay.run(lasts).await.0,
                _ => bare.saturate(lasts),
            };
            let commands = a_second * begun.elapsed().as_secs_f64();
            way.add(a_second, commands, before, of(&bare));
        }
    }
    let columns = [
        "",
        "commands/s",
        "to the bare loop",
        "between",
        "broker",
        "devices",
        "client",
    ];
    head(
        &format!(
            "Throughput of `audio/volume/set`, POST and GET each, {rooms} rooms, one in flight in \
             each; processor time a command"
        ),
        &columns,
    );
    let limit = median(ways[3].a_second.clone());
    for way in ways {
        let a_second = median(way.a_second);
        let mut cells = vec![
            way.name.to_owned(),
            format!("{a_second:.0}"),
            format!("**{:.2}**", a_second / limit),
        ];
        cells.extend(
            way.spent
                .iter()
                .map(|spent| format!("{:.0} µs", spent / way.commands)),
        );
        row(&cells);
    }
}

/// One way from a client to the devices, and what it took so far.
struct Way {
    name: &'static str,
    a_second: Vec<f64>,
    commands: f64,
    spent: [f64; 4],
}

impl Way {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            a_second: Vec::new(),
            commands: 0.0,
            spent: [0.0; 4],
        }
    }

    fn add(&mut self, a_second: f64, commands: f64, before: [f64; 4], after: [f64; 4]) {
        self.a_second.push(a_second);
        self.commands += commands;
        for (spent, (before, after)) in self.spent.iter_mut().zip(before.iter().zip(after)) {
            *spent += after - before;
        }
    }
}

/// Commands a second over two WebSockets, each for half of the rooms, one in flight in each room.
async fn panels(port: u16, rooms: usize, lasts: Duration) -> f64 {
    let begun = Instant::now();
    let half = rooms / 2;
    let panel = async |from: usize, to: usize| {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://127.0.0.1:{port}/ws");
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        let set = |room: usize, count: usize| {
            Message::text(format!(
                "{{\"id\":{room},\"topic\":\"room/{room}/audio/volume/set\",\"payload\":{}}}",
                count % 101
            ))
        };
        for room in from..to {
            socket.send(set(room, 0)).await.unwrap();
        }
        let (mut count, mut in_flight) = (0, to - from);
        while in_flight > 0 {
            let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
            assert!(!answer.contains("\"ok\":false"), "{answer}");
            count += 1;
            if begun.elapsed() < lasts {
                let id = answer.strip_prefix("{\"id\":").unwrap();
                let room = id.split(',').next().unwrap().parse().unwrap();
                socket.send(set(room, count)).await.unwrap();
            } else {
                in_flight -= 1;
            }
        }
        count
    };
    let (one, other) = tokio::join!(panel(1, half + 1), panel(half + 1, rooms + 1));
    #[allow(clippy::cast_precision_loss)]
    let count = (one + other) as f64;
    count / begun.elapsed().as_secs_f64()
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
            commander: Commander::connect(broker, &[topic]).await,
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
        // It listens before it has read them.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !http(port, "GET", "/flows").contains("mqtt in") {
            assert!(Instant::now() < deadline, "Node-RED has no flows");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // It connects to the broker by itself; until then nothing answers.
        let ready = Commander::connect(broker, &[THEIRS]).await;
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
