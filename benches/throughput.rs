//! How many commands a second the gateway carries out, compared with a bare loop and with Node-RED.
//!
//! `cargo bench --bench throughput` [`bare`] [`node_red`] [`seconds=5`] [`rounds=5`]. Rounds of the
//! gateway and of its references alternate; QoS 1.
//!
//! - `bare`: 100 rooms with one command in flight in each, over MQTT and over two WebSockets. The
//!   references are a hyper loop that sends the same POST and GET to the same devices, and the bare
//!   relay, which is that loop behind the broker: broker and client need the same two cores. The
//!   processor time of each process shows where the time goes.
//! - `node_red`: only if `NODE_RED` names the `red.js` of a Node-RED (and `NODE` its node; by default
//!   the one on the PATH). Its flow receives a topic, sends the POST over open connections, with the
//!   cookie and token of an existing session, and publishes the result. It neither polls nor reads
//!   back. The gateway does its full work.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use poly2mqtt_bench_support::bare::{self, Bare};
use poly2mqtt_bench_support::client::CommandClient;
use poly2mqtt_bench_support::figures::{Durations, compare, head, median, row};
use poly2mqtt_bench_support::processes::{BenchDevice, Gateway, Process, Simulator, cpu, http};
use poly2mqtt_bench_support::program::{free_port, listening};
use poly2mqtt_bench_support::{Mosquitto, full_or_trial, is_selected, number_argument};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const NODE_RED_ROOMS: usize = 100;

fn main() {
    // The bare process may use both processors. A client needs a part of one, and with one thread it
    // hands nothing over.
    let mut runtime = if bare::is_child() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    runtime.enable_all().build().unwrap().block_on(measure());
}

async fn measure() {
    let Some(broker) = poly2mqtt_bench_support::start_broker().await else {
        return;
    };
    let duration = match number_argument("seconds") {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_millis(full_or_trial(5_000, 200)),
    };
    let rounds = number_argument("rounds").unwrap_or(full_or_trial(5, 1));
    if is_selected("bare") {
        against_bare(&broker, duration, rounds).await;
    }
    if is_selected("node_red")
        && let Some(red) = std::env::var_os("NODE_RED")
    {
        against_node_red(&broker, red.into(), duration, rounds).await;
    }
}

async fn against_bare(broker: &Mosquitto, duration: Duration, rounds: u64) {
    let rooms = full_or_trial(100, 4);
    let simulator = Simulator::start(rooms);
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    gateway.online(rooms);
    let mut bare = Bare::start(broker.port, &simulator.devices);
    let load = Load::new(broker.port, rooms, rooms, GATEWAY_TOPIC).await;
    let relay = Load::new(broker.port, rooms, rooms, "bare/{}").await;
    load.run(duration / 5).await;
    // Processor time of: the process between client and device, the broker, the devices, the client.
    let spent = |between: &Process| {
        let processes = [between.cpu(), cpu(broker.id()), simulator.cpu()];
        let [between, broker, devices] = processes.map(|spent| spent.as_secs_f64() * 1e6);
        let own = cpu(std::process::id()).as_secs_f64() * 1e6;
        [between, broker, devices, own]
    };
    let mut routes = [
        Route::new("gateway, MQTT"),
        Route::new("gateway, WebSocket"),
        Route::new("bare relay, MQTT"),
        Route::new("bare loop"),
    ];
    for _ in 0..rounds {
        for (n, route) in routes.iter_mut().enumerate() {
            let ours = n < 2;
            let of = |bare: &Bare| {
                spent(if ours {
                    &gateway.process
                } else {
                    &bare.process
                })
            };
            let (before, begun) = (of(&bare), Instant::now());
            let per_second = match n {
                0 => load.run(duration).await.0,
                1 => panels(gateway.http, rooms, duration).await,
                2 => relay.run(duration).await.0,
                _ => bare.saturate(duration),
            };
            let commands = per_second * begun.elapsed().as_secs_f64();
            route.add(per_second, commands, before, of(&bare));
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
    let limit = median(routes[3].per_second.clone());
    for route in routes {
        let per_second = median(route.per_second);
        let mut cells = vec![
            route.name.to_owned(),
            format!("{per_second:.0}"),
            format!("**{:.2}**", per_second / limit),
        ];
        cells.extend(
            route
                .spent
                .iter()
                .map(|spent| format!("{:.0} µs", spent / route.commands)),
        );
        row(&cells);
    }
}

/// One route from a client to the devices, and what it has taken so far.
struct Route {
    name: &'static str,
    per_second: Vec<f64>,
    commands: f64,
    spent: [f64; 4],
}

impl Route {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            per_second: Vec::new(),
            commands: 0.0,
            spent: [0.0; 4],
        }
    }

    fn add(&mut self, per_second: f64, commands: f64, before: [f64; 4], after: [f64; 4]) {
        self.per_second.push(per_second);
        self.commands += commands;
        for (spent, (before, after)) in self.spent.iter_mut().zip(before.iter().zip(after)) {
            *spent += after - before;
        }
    }
}

/// Commands per second over two WebSockets. Each has half of the rooms, with one command in flight in
/// each room.
async fn panels(port: u16, rooms: usize, duration: Duration) -> f64 {
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
            if begun.elapsed() < duration {
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

/// Keeps this many commands in flight, each in a room of its own.
struct Load {
    commander: CommandClient,
    rooms: usize,
    in_flight: usize,
    topic: &'static str,
}

impl Load {
    async fn new(broker: u16, rooms: usize, in_flight: usize, topic: &'static str) -> Self {
        Self {
            commander: CommandClient::connect(broker, &[topic]).await,
            rooms,
            in_flight,
            topic,
        }
    }

    /// Commands per second, and how long they took.
    async fn run(&self, duration: Duration) -> (f64, Durations) {
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for place in 0..self.in_flight {
            let commander = self.commander.clone();
            let (topic, rooms, in_flight) = (self.topic, self.rooms, self.in_flight);
            tasks.push(tokio::spawn(async move {
                let mut durations = Durations::default();
                // This task's share of the rooms, one after the other.
                for place in (place..rooms).step_by(in_flight).cycle() {
                    if begun.elapsed() >= duration {
                        break;
                    }
                    let topic = topic.replace("{}", &(place + 1).to_string());
                    let (took, result) = commander.set(&topic).await;
                    let refused = result.windows(10).any(|part| part == b"\"ok\":false");
                    assert!(!refused, "{}", String::from_utf8_lossy(&result));
                    durations.push(took);
                }
                durations
            }));
        }
        let mut durations = Durations::default();
        for task in tasks {
            durations.extend(task.await.unwrap());
        }
        #[allow(clippy::cast_precision_loss)]
        let per_second = durations.len() as f64 / begun.elapsed().as_secs_f64();
        (per_second, durations)
    }
}

async fn against_node_red(broker: &Mosquitto, red: PathBuf, duration: Duration, rounds: u64) {
    let columns = ["", "gateway", "Node-RED", "ratio", "commands"];
    head("Against Node-RED, whose flow only sends the POST", &columns);
    let simulator = Simulator::start(NODE_RED_ROOMS);
    let devices = &simulator.devices;
    {
        let gateway = Gateway::start(broker.port, &devices[..1], "");
        gateway.online(1);
        let flow = NodeRed::start(&red, broker.port, &devices[..1]).await;
        let of = |topic| Load::new(broker.port, 1, 1, topic);
        let (ours, theirs) = (of(GATEWAY_TOPIC).await, of(NODE_RED_TOPIC).await);
        ours.run(duration).await;
        theirs.run(duration).await;
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
        let (ours, theirs) = (of(GATEWAY_TOPIC).await, of(NODE_RED_TOPIC).await);
        ours.run(duration / 5).await;
        theirs.run(duration / 5).await;
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let (mut fast, mut slow) = (Durations::default(), Durations::default());
        for _ in 0..rounds {
            let (per_second, durations) = ours.run(duration).await;
            one.push(per_second);
            fast.extend(durations);
            let (per_second, durations) = theirs.run(duration).await;
            other.push(per_second);
            slow.extend(durations);
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

const GATEWAY_TOPIC: &str = "room/{}/audio/volume/set";
const NODE_RED_TOPIC: &str = "flow/{}/volume/set";

#[allow(clippy::cast_precision_loss)]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// A Node-RED process with one flow.
struct NodeRed {
    process: Process,
    _dir: tempfile::TempDir,
}

impl NodeRed {
    async fn start(red: &PathBuf, broker: u16, devices: &[BenchDevice]) -> Self {
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
        // It listens before it has loaded its flows.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !http(port, "GET", "/flows").contains("mqtt in") {
            assert!(Instant::now() < deadline, "Node-RED has no flows");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // It connects to the broker by itself. Until then commands are not answered.
        let ready = CommandClient::connect(broker, &[NODE_RED_TOPIC]).await;
        ready
            .until_answered(&NODE_RED_TOPIC.replace("{}", "1"))
            .await;
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
