//! One room: a slider, how fresh its states are, and what an idle room costs.
//!
//! `cargo bench --bench room` [`slider`] [`freshness`] [`idle`] [`seconds=N`].
//!
//! - `slider`: 1,000 volumes a second for 10 s into one room. Every one has its result, the last
//!   one becomes the state, and the device gets no more than it can answer.
//! - `freshness`: a person mutes or unmutes at random moments. Measures how long it takes until the
//!   retained topic says so, at the default intervals (2 s).
//! - `idle`: processor, memory and wake-ups of one room over `seconds` (60 by default; the figures
//!   in docs/performance.md are from an hour), and the size of the program.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use poly2mqtt_bench_support::client::{self, CommandClient, request_id};
use poly2mqtt_bench_support::figures::{Durations, head, row};
use poly2mqtt_bench_support::processes::{Gateway, Simulator};
use poly2mqtt_bench_support::{Mosquitto, full_or_trial, is_selected, number_argument};
use rumqttc::v5::mqttbytes::QoS;
use serde_json::Value;

#[tokio::main]
async fn main() {
    let Some(broker) = poly2mqtt_bench_support::start_broker().await else {
        return;
    };
    if is_selected("slider") {
        slider(&broker).await;
    }
    if is_selected("freshness") {
        freshness(&broker).await;
    }
    if is_selected("idle") {
        idle(&broker).await;
    }
}

async fn slider(broker: &Mosquitto) {
    let simulator = Simulator::start(1);
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    gateway.online(1);
    let commander = CommandClient::connect(broker.port, &["room/{}/audio/volume/set"]).await;
    commander.set("room/1/audio/volume/set").await;
    let duration = full_or_trial(Duration::from_secs(10), Duration::from_millis(300));
    let topics = ["room/1/audio/volume/set/result", "room/1/audio/volume"];
    let (mqtt, events) = client::connect("slider", broker.port, &topics);
    let mut received = client::receive(events);
    // The retained state.
    received.recv().await.unwrap();
    let requests = gateway.requests();
    let begun = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    let mut sent = 0;
    let mut last = 0;
    while begun.elapsed() < duration {
        beat.tick().await;
        last = sent % 101;
        let payload = format!("{{\"volume\":{last},\"request_id\":\"{sent}\"}}");
        mqtt.publish("room/1/audio/volume/set", QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
        sent += 1;
    }
    let mut results: HashMap<u64, String> = HashMap::new();
    let mut twice = 0;
    let mut shown = String::new();
    while results.len() < sent as usize {
        let message = tokio::time::timeout(Duration::from_secs(30), received.recv());
        let message = message.await.expect("every result").unwrap();
        if message.topic == topics[1] {
            shown = String::from_utf8_lossy(&message.payload).into_owned();
            continue;
        }
        let id = request_id(&message.payload).unwrap();
        let result: Value = serde_json::from_slice(&message.payload).unwrap();
        let code = result["error"]["code"].as_str().unwrap_or("ok").to_owned();
        twice += u32::from(results.insert(id, code).is_some());
    }
    let took = begun.elapsed().as_secs_f64();
    let requests = gateway.requests() - requests;
    let state = simulator.devices[0].control("GET", "state");
    let count = |code: &str| results.values().filter(|result| *result == code).count();
    let (carried_out, superseded) = (count("ok"), count("superseded"));
    assert_eq!(twice, 0, "a result came twice");
    assert_eq!(shown, last.to_string(), "the last value is not the state");
    assert!(state.contains(&format!("\"volume\":{last},")), "{state}");
    head(
        "A slider, 1,000 volumes a second into one room",
        &[
            "sent",
            "results",
            "carried out",
            "superseded",
            "others",
            "requests/s at the device",
        ],
    );
    row(&[
        sent.to_string(),
        results.len().to_string(),
        carried_out.to_string(),
        superseded.to_string(),
        (results.len() - carried_out - superseded).to_string(),
        format!("{:.0}", requests / took),
    ]);
}

async fn freshness(broker: &Mosquitto) {
    let rooms = full_or_trial(50, 1);
    let changes = full_or_trial(10, 1);
    let simulator = Simulator::start(rooms);
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    gateway.online(rooms);
    let (_mqtt, events) = client::connect("fresh", broker.port, &["room/+/audio/muted"]);
    let mut received = client::receive(events);
    for _ in 0..rooms {
        received.recv().await.unwrap();
    }
    let mut durations = Durations::default();
    let mut seed = 88_172_645_463_325_252_u64;
    for change in 0..changes {
        let mut changed = HashMap::new();
        // Moments within one interval, independent of the polls.
        let mut moments: Vec<(u64, usize)> = (0..rooms)
            .map(|place| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed % 2_000, place)
            })
            .collect();
        moments.sort_unstable();
        let begun = tokio::time::Instant::now();
        for (moment, place) in moments {
            let (number, device) = (place + 1, &simulator.devices[place]);
            tokio::time::sleep_until(begun + Duration::from_millis(moment)).await;
            changed.insert(format!("room/{number}/audio/muted"), Instant::now());
            device.control("POST", &format!("mute?on={}", change % 2 == 0));
        }
        for _ in 0..rooms {
            let message = tokio::time::timeout(Duration::from_secs(30), received.recv());
            let message = message.await.expect("the change").unwrap();
            durations.push(message.came - changed[&message.topic]);
        }
    }
    head(
        "From a change at the device to the retained topic, polled every 2 s",
        &["changes", "p50", "p50 / interval", "p99", "p99 / interval"],
    );
    let (p50, p99) = (durations.percentile(50.0), durations.percentile(99.0));
    row(&[
        durations.len().to_string(),
        format!("{p50:.0} ms"),
        format!("**{:.2}**", p50 / 2_000.0),
        format!("{p99:.0} ms"),
        format!("**{:.2}**", p99 / 2_000.0),
    ]);
}

#[allow(clippy::cast_precision_loss)]
async fn idle(broker: &Mosquitto) {
    let simulator = Simulator::start(1);
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    gateway.online(1);
    let duration = Duration::from_secs(number_argument("seconds").unwrap_or(full_or_trial(60, 1)));
    tokio::time::sleep(full_or_trial(Duration::from_secs(10), Duration::ZERO)).await;
    let process = &gateway.process;
    let (cpu, wakeups, requests) = (process.cpu(), process.wakeups(), gateway.requests());
    let begun = Instant::now();
    tokio::time::sleep(duration).await;
    let took = begun.elapsed().as_secs_f64();
    let cpu = process.cpu().saturating_sub(cpu).as_secs_f64() / took * 100.0;
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_poly2mqtt"))
        .unwrap()
        .len();
    head(
        &format!("One idle room over {took:.0} s"),
        &[
            "processor",
            "resident memory",
            "without file pages",
            "wake-ups/s",
            "requests/s",
            "program",
        ],
    );
    row(&[
        format!("{cpu:.3} % of a core"),
        format!("{:.1} MiB", process.memory() as f64 / 1024.0),
        format!("{:.1} MiB", process.anonymous() as f64 / 1024.0),
        format!("{:.1}", (process.wakeups() - wakeups) as f64 / took),
        format!("{:.1}", (gateway.requests() - requests) / took),
        format!("{:.1} MB", size as f64 / 1e6),
    ]);
}
