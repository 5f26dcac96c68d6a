//! How long a command takes, over the limit: the same hops and requests without a gateway.
//!
//! `cargo bench --bench latency` [`one`] [`many`] [`websocket`] [`seconds=20`]. Commands and bare
//! commands alternate on a fixed beat, QoS 1, so that what else runs on the machine weighs on both
//! alike. A bare command is two hops over the same broker (or one WebSocket hop each way), and the
//! same POST and GET from a warm hyper client, in a process of its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod bench;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bench::bare::Bare;
use bench::client::Commander;
use bench::figures::{Sample, compare, head};
use bench::processes::{Gateway, Simulator};
use bench::{argument, either, wanted};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

// One thread, here and in the bare process: no hand-over between threads is part of a time.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(broker) = bench::begin().await else {
        return;
    };
    let lasts = Duration::from_secs(argument("seconds").unwrap_or(either(20, 1)));
    let columns = ["command", "gateway", "bare", "ratio", "commands"];
    head("Latency of `audio/volume/set`, QoS 1", &columns);
    if wanted("one") || wanted("websocket") {
        let simulator = Simulator::start(1);
        let gateway = Gateway::start(broker.port, &simulator.devices, "");
        gateway.online(1);
        let bare = Bare::start(broker.port, &simulator.devices);
        if wanted("one") {
            let beat = Beat {
                rooms: 1,
                a_second: 40,
                block: 1,
                lasts,
            };
            let (ours, limit) = beat.alternate(broker.port).await;
            compare("one room, 20/s", &ours, &limit);
        }
        if wanted("websocket") {
            let (ours, limit) = websockets(gateway.http, bare.websocket, lasts).await;
            compare("one room, 20/s, over WebSocket", &ours, &limit);
        }
    }
    if wanted("many") {
        let rooms = either(500, 5);
        let simulator = Simulator::start(rooms);
        let gateway = Gateway::start(broker.port, &simulator.devices, "");
        gateway.online(rooms);
        let _bare = Bare::start(broker.port, &simulator.devices);
        // The reads after the log-in are not those of every day.
        tokio::time::sleep(either(Duration::from_secs(20), Duration::ZERO)).await;
        let beat = Beat {
            rooms,
            a_second: 200,
            block: either(200, 10),
            lasts: lasts * either(2, 1),
        };
        let (ours, limit) = beat.alternate(broker.port).await;
        compare(&format!("{rooms} rooms, 200/s"), &ours, &limit);
    }
}

/// Commands at fixed times, whatever becomes of those before.
struct Beat {
    rooms: usize,
    a_second: u32,
    /// After so many commands it is the other's turn.
    block: usize,
    lasts: Duration,
}

impl Beat {
    /// What the gateway's commands took, and the bare ones.
    async fn alternate(self, broker: u16) -> (Sample, Sample) {
        let commander = Commander::connect(broker, &["room/{}/audio/volume/set", "bare/{}"]).await;
        for room in 1..=self.rooms.min(8) {
            commander.set(&ours(room)).await;
            commander.set(&format!("bare/{room}")).await;
        }
        let samples: [Arc<Mutex<Sample>>; 2] = Default::default();
        let mut beat = interval(Duration::from_secs(1) / self.a_second);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = Instant::now() + self.lasts;
        let mut tasks = Vec::new();
        for n in 0.. {
            beat.tick().await;
            if Instant::now() >= end {
                break;
            }
            // A prime as the step, so that neighbours in time are not neighbours in number.
            let room = n * 7 % self.rooms + 1;
            let which = n / self.block % 2;
            let topic = match which {
                0 => ours(room),
                _ => format!("bare/{room}"),
            };
            let (commander, sample) = (commander.clone(), samples[which].clone());
            tasks.push(tokio::spawn(async move {
                let (took, result) = commander.set(&topic).await;
                let result = String::from_utf8_lossy(&result);
                // On a machine that stands still for two beats a newer set takes its place.
                if result.contains("\"superseded\"") {
                    return;
                }
                assert!(!result.contains("\"ok\":false"), "{result}");
                sample.lock().unwrap().push(took);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        samples.map(|sample| sample.lock().unwrap().clone()).into()
    }
}

fn ours(room: usize) -> String {
    format!("room/{room}/audio/volume/set")
}

type Socket = WebSocketStream<TcpStream>;

async fn open(url: &str, port: u16) -> Socket {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    client_async(url, stream).await.unwrap().0
}

async fn websockets(gateway: u16, bare: u16, lasts: Duration) -> (Sample, Sample) {
    let mut sockets = [
        open(&format!("ws://127.0.0.1:{gateway}/ws"), gateway).await,
        open(&format!("ws://127.0.0.1:{bare}/"), bare).await,
    ];
    let mut samples = [Sample::default(), Sample::default()];
    let mut beat = interval(Duration::from_millis(25));
    let end = Instant::now() + lasts;
    for n in 0.. {
        beat.tick().await;
        if Instant::now() >= end {
            break;
        }
        let which = n % 2;
        let volume = n / 2 % 101;
        let text = format!(
            "{{\"id\":{n},\"topic\":\"room/1/audio/volume/set\",\"payload\":{{\"volume\":{volume},\"request_id\":\"{n}\"}}}}"
        );
        let begun = Instant::now();
        sockets[which].send(Message::text(text)).await.unwrap();
        let answer = sockets[which].next().await.unwrap().unwrap();
        samples[which].push(begun.elapsed());
        let answer = answer.into_text().unwrap();
        assert!(answer.contains(&format!("{{\"id\":{n},")), "{answer}");
        assert!(!answer.contains("\"ok\":false"), "{answer}");
    }
    samples.into()
}
