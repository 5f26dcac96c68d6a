//! How long a command takes, compared with the same messages and requests without a gateway.
//!
//! `cargo bench --bench latency` [`one`] [`many`] [`websocket`] [`seconds=20`]. Commands to the
//! gateway and to the bare process alternate at a fixed rate, QoS 1, so that other load on the
//! machine affects both alike. A bare command is two hops over the same broker (or one WebSocket hop
//! each way), and the same POST and GET from a hyper client with an open connection.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poly2mqtt_bench_support::bare::Bare;
use poly2mqtt_bench_support::client::{CommandClient, CommandSocket};
use poly2mqtt_bench_support::figures::{Durations, compare, head};
use poly2mqtt_bench_support::processes::{Gateway, Simulator};
use poly2mqtt_bench_support::{full_or_trial, is_selected, number_argument};
use tokio::time::{MissedTickBehavior, interval};

// One thread here and in the bare process, so that no time includes a hand-over between threads.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(broker) = poly2mqtt_bench_support::start_broker().await else {
        return;
    };
    let duration = Duration::from_secs(number_argument("seconds").unwrap_or(full_or_trial(20, 1)));
    let columns = ["command", "gateway", "bare", "ratio", "commands"];
    head("Latency of `audio/volume/set`, QoS 1", &columns);
    if is_selected("one") || is_selected("websocket") {
        let simulator = Simulator::start(1);
        let gateway = Gateway::start(broker.port, &simulator.devices, "");
        gateway.online(1);
        let bare = Bare::start(broker.port, &simulator.devices);
        if is_selected("one") {
            let beat = FixedRate {
                rooms: 1,
                per_second: 40,
                block: 1,
                duration,
            };
            let (ours, limit) = beat.alternate(broker.port).await;
            compare("one room, 20/s", &ours, &limit);
        }
        if is_selected("websocket") {
            let (ours, limit) = websockets(gateway.http, bare.websocket, duration).await;
            compare("one room, 20/s, over WebSocket", &ours, &limit);
        }
    }
    if is_selected("many") {
        let rooms = full_or_trial(500, 5);
        let simulator = Simulator::start(rooms);
        let gateway = Gateway::start(broker.port, &simulator.devices, "");
        gateway.online(rooms);
        let _bare = Bare::start(broker.port, &simulator.devices);
        // Waits until the burst of reads after the log-in is over.
        tokio::time::sleep(full_or_trial(Duration::from_secs(20), Duration::ZERO)).await;
        let beat = FixedRate {
            rooms,
            per_second: 200,
            block: full_or_trial(200, 10),
            duration: duration * full_or_trial(2, 1),
        };
        let (ours, limit) = beat.alternate(broker.port).await;
        compare(&format!("{rooms} rooms, 200/s"), &ours, &limit);
    }
}

/// Sends commands at fixed times, whether or not earlier ones are answered.
struct FixedRate {
    rooms: usize,
    per_second: u32,
    /// After this many commands the other one's turn begins.
    block: usize,
    duration: Duration,
}

impl FixedRate {
    /// How long the gateway's commands took, and the bare ones.
    async fn alternate(self, broker: u16) -> (Durations, Durations) {
        let commander =
            CommandClient::connect(broker, &["room/{}/audio/volume/set", "bare/{}"]).await;
        for room in 1..=self.rooms.min(8) {
            // Either may not have subscribed yet, and the broker keeps nothing for it.
            commander.until_answered(&ours(room)).await;
            commander.until_answered(&format!("bare/{room}")).await;
        }
        let both_durations: [Arc<Mutex<Durations>>; 2] = Default::default();
        let mut beat = interval(Duration::from_secs(1) / self.per_second);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = Instant::now() + self.duration;
        let mut tasks = Vec::new();
        for n in 0.. {
            beat.tick().await;
            if Instant::now() >= end {
                break;
            }
            // A step of 7, so that consecutive commands go to rooms that are not neighbours.
            let room = n * 7 % self.rooms + 1;
            let which = n / self.block % 2;
            let topic = match which {
                0 => ours(room),
                _ => format!("bare/{room}"),
            };
            let (commander, durations) = (commander.clone(), both_durations[which].clone());
            tasks.push(tokio::spawn(async move {
                let (took, result) = commander.set(&topic).await;
                let result = String::from_utf8_lossy(&result);
                // If the machine stalls for two periods, a newer set replaces this one.
                if result.contains("\"superseded\"") {
                    return;
                }
                assert!(!result.contains("\"ok\":false"), "{result}");
                durations.lock().unwrap().push(took);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        both_durations
            .map(|durations| durations.lock().unwrap().clone())
            .into()
    }
}

fn ours(room: usize) -> String {
    format!("room/{room}/audio/volume/set")
}

async fn websockets(gateway: u16, bare: u16, duration: Duration) -> (Durations, Durations) {
    let mut sockets = [
        CommandSocket::connect(gateway, "/ws").await,
        CommandSocket::connect(bare, "/").await,
    ];
    let mut both_durations = [Durations::default(), Durations::default()];
    let mut beat = interval(Duration::from_millis(25));
    let end = Instant::now() + duration;
    for which in [0, 1].into_iter().cycle() {
        beat.tick().await;
        if Instant::now() >= end {
            break;
        }
        let took = sockets[which].set(&ours(1)).await;
        both_durations[which].push(took);
    }
    both_durations.into()
}
