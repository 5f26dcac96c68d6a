//! What many rooms cost: processor, memory, lateness of polls, and the start.
//!
//! `cargo bench --bench scale` [`polling`] [`growth`] [`rooms`] [`start`] [`seconds=60`]
//! [`most=10000`].
//!
//! - `polling`: the gateway's processor time for a request, with idle rooms at the default
//!   intervals. The reference is a hyper process that sends the same reads at the same rate over as
//!   many open connections. Rounds alternate.
//! - `growth`: memory and processor time for each room, with 10 to 10,000 rooms. The intervals are
//!   five times as long, because the simulated devices need their part of the machine. Memory is
//!   resident memory without the pages of files. A room's memory is the difference to ten rooms,
//!   which contain everything that all rooms share.
//! - `rooms`: more and more rooms at the default intervals, and how late the median poll is.
//! - `start`: 1,000 rooms, from exec until all are online and every state is published.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use poly2mqtt_bench_support::bare::Bare;
use poly2mqtt_bench_support::figures::{head, median, row};
use poly2mqtt_bench_support::processes::{Gateway, Simulator};
use poly2mqtt_bench_support::{Mosquitto, client, full_or_trial, is_selected, number_argument};
use serde_json::Value;

const SLOW_POLLING: &str = "[poll]\nfast = \"10s\"\nnormal = \"75s\"\nslow = \"300s\"\n";
const FAST_POLLING: &str = "[poll]\nfast = \"1s\"\nnormal = \"1s\"\nslow = \"1s\"\n";

/// With this many rooms the gateway holds everything that all rooms share, and little else.
const BASE_ROOMS: usize = 10;

#[tokio::main]
async fn main() {
    let Some(broker) = poly2mqtt_bench_support::start_broker().await else {
        return;
    };
    let duration = Duration::from_secs(number_argument("seconds").unwrap_or(full_or_trial(60, 1)));
    if is_selected("start") {
        start(&broker).await;
    }
    if is_selected("polling") {
        polling(&broker, duration);
    }
    if is_selected("growth") {
        growth(&broker, duration);
    }
    if is_selected("rooms") {
        rooms(&broker, duration);
    }
}

/// The paths that the first device was asked for last, in their order.
fn paths(simulator: &Simulator) -> Vec<String> {
    let answer = simulator.devices[0].control("GET", "journal");
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    let journal: Vec<Value> = serde_json::from_str(json).unwrap();
    journal
        .iter()
        .filter(|entry| entry["method"] == "GET" && entry["status"] == 200)
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

#[allow(clippy::cast_precision_loss)]
fn polling(broker: &Mosquitto, duration: Duration) {
    let rooms = full_or_trial(500, 3);
    let rounds = number_argument("rounds").unwrap_or(full_or_trial(3, 1));
    let simulator = Simulator::start(rooms);
    let mut bare = Bare::start(broker.port, &simulator.devices);
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    let mut polled = 0.0;
    for _ in 0..rounds {
        let gateway = Gateway::start(broker.port, &simulator.devices, "");
        gateway.online(rooms);
        // Waits until the burst of reads after the log-in is over.
        std::thread::sleep(full_or_trial(
            Duration::from_secs(20),
            Duration::from_secs(1),
        ));
        let (cpu, requests) = (gateway.process.cpu(), gateway.requests());
        let begun = Instant::now();
        std::thread::sleep(duration);
        let cpu = gateway.process.cpu().saturating_sub(cpu);
        let requests = gateway.requests() - requests;
        polled = requests / begun.elapsed().as_secs_f64();
        ours.push(cpu.as_secs_f64() * 1e6 / requests);
        let paths = paths(&simulator);
        drop(gateway);
        let cpu = bare.process.cpu();
        let requests = bare.pace(duration, polled.max(1.0), &paths);
        limit.push(bare.process.cpu().saturating_sub(cpu).as_secs_f64() * 1e6 / requests);
    }
    let (ours, limit) = (median(ours), median(limit));
    head(
        "Processor time of a poll",
        &["", "gateway", "bare", "ratio"],
    );
    row(&[
        format!("a request, {rooms} idle rooms, {polled:.0} requests/s"),
        format!("{ours:.0} µs"),
        format!("{limit:.0} µs"),
        format!("**{:.2}**", ours / limit),
    ]);
}

#[allow(clippy::cast_precision_loss)]
fn growth(broker: &Mosquitto, duration: Duration) {
    head(
        "Growth, intervals 10 s, 75 s, 300 s",
        &[
            "rooms",
            "memory",
            "each room above ten",
            "processor a room",
            "a request",
            "requests/s",
        ],
    );
    let most = usize::try_from(number_argument("most").unwrap_or(10_000)).unwrap();
    let counts: &[usize] = full_or_trial(&[1, 10, 100, 1_000, 5_000, 10_000], &[1, 2]);
    let counts = counts.iter().filter(|count| **count <= most);
    let mut few: Option<(usize, u64)> = None;
    for &count in counts {
        let simulator = Simulator::start(count);
        let gateway = Gateway::start(broker.port, &simulator.devices, SLOW_POLLING);
        gateway.online(count);
        // Every room's first reads, and everything that they publish.
        settle(
            &gateway,
            count,
            full_or_trial(Duration::from_secs(30), Duration::from_secs(1)),
        );
        let (cpu, requests) = (gateway.process.cpu(), gateway.requests());
        // One room uses little processor time, so few rooms have to be measured for longer.
        let begun = Instant::now();
        std::thread::sleep(duration * full_or_trial(if count <= 100 { 5 } else { 2 }, 1));
        let took = begun.elapsed().as_secs_f64();
        let cpu = (gateway.process.cpu().saturating_sub(cpu)).as_secs_f64() * 1e6;
        let requests = gateway.requests() - requests;
        let memory = gateway.process.anonymous();
        let more = match few {
            Some((rooms, less)) => {
                let more = memory.saturating_sub(less) as f64;
                format!("{:.1} KiB", more / (count - rooms) as f64)
            }
            None => "–".to_owned(),
        };
        if count == BASE_ROOMS {
            few = Some((count, memory));
        }
        row(&[
            count.to_string(),
            format!("{:.1} MiB", memory as f64 / 1024.0),
            more,
            format!("{:.0} µs/s", cpu / took / count as f64),
            match requests / took {
                // Too few to say what one takes.
                ..100.0 => "–".to_owned(),
                _ => format!("{:.0} µs", cpu / requests),
            },
            format!("{:.0}", requests / took),
        ]);
    }
}

/// Fewer messages than this in three seconds are those of a gateway that has published what it knows.
const IDLE_MESSAGES: f64 = 5.0;

/// Waits until the first reads of all rooms are done, and until all that follows from them is published: the documents
/// of thousands of rooms take many seconds.
#[allow(clippy::cast_precision_loss)]
fn settle(gateway: &Gateway, rooms: usize, at_least: Duration) {
    std::thread::sleep(at_least);
    // A log-in is followed by some 40 reads. After 30 a room the burst is nearly over.
    let first = rooms as f64 * 30.0;
    let deadline = Instant::now() + Duration::from_secs(300);
    while gateway.requests() < first && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut published = 0.0;
    while Instant::now() < deadline {
        let before = std::mem::replace(&mut published, gateway.published());
        if published - before < IDLE_MESSAGES {
            return;
        }
        std::thread::sleep(at_least.min(Duration::from_secs(3)));
    }
}

#[allow(clippy::cast_precision_loss)]
fn rooms(broker: &Mosquitto, duration: Duration) {
    head(
        "Rooms at the default intervals, beside their simulated devices",
        &[
            "rooms",
            "requests/s",
            "gateway",
            "devices",
            "median poll late by",
            "95 % late by",
        ],
    );
    let counts: &[usize] = full_or_trial(&[1_000, 2_000, 3_000, 4_000, 5_000], &[2]);
    for &count in counts {
        let simulator = Simulator::start(count);
        let gateway = Gateway::start(broker.port, &simulator.devices, "");
        gateway.online(count);
        settle(
            &gateway,
            count,
            full_or_trial(Duration::from_secs(20), Duration::from_secs(1)),
        );
        let late = lateness(&gateway);
        let (cpu, theirs) = (gateway.process.cpu(), simulator.cpu());
        let requests = gateway.requests();
        let begun = Instant::now();
        std::thread::sleep(duration);
        let took = begun.elapsed().as_secs_f64();
        let share = |cpu: Duration| format!("{:.0} % of a core", cpu.as_secs_f64() / took * 100.0);
        let now = lateness(&gateway);
        let below = |part| quantile(&late, &now, part);
        row(&[
            count.to_string(),
            format!("{:.0}", (gateway.requests() - requests) / took),
            share(gateway.process.cpu().saturating_sub(cpu)),
            share(simulator.cpu().saturating_sub(theirs)),
            format!("< {:.1} % of its interval", below(0.5) * 100.0),
            format!("< {:.1} %", below(0.95) * 100.0),
        ]);
    }
}

/// For each bound, in intervals: how many polls were late by at most that.
fn lateness(gateway: &Gateway) -> Vec<(f64, f64)> {
    let page = poly2mqtt_bench_support::processes::http(gateway.http, "GET", "/metrics");
    let buckets = page.lines().filter_map(|line| {
        let after = line.strip_prefix("poly2mqtt_poll_late_intervals_bucket{le=\"")?;
        let (bound, count) = after.split_once("\"} ")?;
        let bound = match bound {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().ok()?,
        };
        Some((bound, count.parse().ok()?))
    });
    buckets.collect()
}

/// The smallest bound that at least this part of the polls between the two readings keeps.
fn quantile(before: &[(f64, f64)], now: &[(f64, f64)], part: f64) -> f64 {
    let counts: Vec<(f64, f64)> = now
        .iter()
        .zip(before)
        .map(|((bound, now), (_, before))| (*bound, now - before))
        .collect();
    let all = counts.last().map_or(0.0, |(_, count)| *count);
    let place = counts.iter().find(|(_, count)| *count >= all * part);
    place.map_or(f64::NAN, |(bound, _)| *bound)
}

async fn start(broker: &Mosquitto) {
    let rooms = full_or_trial(1_000, 2);
    // One room that has read everything shows how many states a room has.
    let (client, events) = client::connect("start", broker.port, &["room/#"]);
    let mut received = client::receive(events);
    let one = Simulator::start(1);
    let gateway = Gateway::start(broker.port, &one.devices, FAST_POLLING);
    let mut states = HashSet::new();
    let quiet = Duration::from_secs(3);
    while let Ok(Some(message)) = tokio::time::timeout(quiet, received.recv()).await {
        states.insert(message.topic);
        if gateway.started.elapsed() > Duration::from_secs(10) {
            break;
        }
    }
    drop(gateway);
    let all = states.len();
    let simulator = Simulator::start(rooms);
    while received.try_recv().is_ok() {}
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    let mut seen: HashMap<String, HashSet<String>> = HashMap::new();
    let (mut online, mut full) = (0, 0);
    let mut all_online = Duration::ZERO;
    while full < rooms {
        let message = tokio::time::timeout(Duration::from_secs(120), received.recv());
        let message = message.await.expect("states").unwrap();
        let mut levels = message.topic.splitn(3, '/').skip(1);
        let (room, state) = (levels.next().unwrap(), levels.next().unwrap());
        if state == "availability" && message.payload == "online" {
            online += 1;
            all_online = message.came - gateway.started;
        }
        let states = seen.entry(room.to_owned()).or_default();
        if states.insert(state.to_owned()) && states.len() == all {
            full += 1;
        }
    }
    let took = gateway.started.elapsed();
    drop(client);
    head(
        &format!("Start of {rooms} rooms, {all} states each, from exec"),
        &["all online", "all with every state"],
    );
    row(&[
        format!("{:.1} s ({online})", all_online.as_secs_f64()),
        format!("{:.1} s", took.as_secs_f64()),
    ]);
}
