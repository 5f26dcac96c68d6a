//! What one room costs a gateway, its network and the broker, with simulated devices at the default intervals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use poly2mqtt_bench_support::figures::{head, row};
use poly2mqtt_bench_support::processes::{Gateway, Simulator};
use poly2mqtt_bench_support::{client, full_or_trial};
use poly2mqtt_test_support::Mosquitto;

use crate::tap::{Passed, tap};

/// What happened up to a moment.
struct Counted {
    at: Instant,
    processor: Duration,
    requests: f64,
    published: f64,
    bytes: (u64, u64),
}

fn count(gateway: &Gateway, passed: &Passed) -> Counted {
    Counted {
        at: Instant::now(),
        processor: gateway.process.cpu(),
        requests: gateway.requests(),
        published: gateway.metric("poly2mqtt_broker_published_total"),
        bytes: passed.now(),
    }
}

#[allow(clippy::cast_precision_loss)]
pub async fn measure(rooms: usize, duration: Duration) {
    let broker = Mosquitto::start(0, "max_queued_messages 0\nmax_inflight_messages 0");
    let mut simulator = Simulator::start(rooms);
    // The first room's bytes are counted.
    let passed = Arc::<Passed>::default();
    simulator.devices[0].port = tap(simulator.devices[0].port, passed.clone()).await;
    let (listener, events) = client::connect("room", broker.port, &["room/1/#", "homeassistant/#"]);
    let mut received = client::receive(events);
    let gateway = Gateway::start(broker.port, &simulator.devices, "");
    let (settle, trial) = (Duration::from_secs(25), Duration::from_secs(3));
    let started = tokio::task::spawn_blocking(move || {
        gateway.online(rooms);
        let online = gateway.started.elapsed();
        // The burst of reads after the log-in.
        std::thread::sleep(full_or_trial(settle, trial));
        (gateway, online)
    });
    let (gateway, online) = started.await.unwrap();
    let settled = count(&gateway, &passed);
    let mut kept = BTreeMap::new();
    while let Ok(message) = received.try_recv() {
        let is_of_room = message.topic.starts_with("room/1/") || kept.is_empty();
        let is_state = !message.topic.contains("/event/") && !message.topic.ends_with("/result");
        if (is_of_room && is_state) || message.topic.starts_with("homeassistant/device/") {
            kept.insert(message.topic, message.payload.len());
        }
    }
    drop(listener);
    let discovery: Vec<usize> = kept
        .iter()
        .filter(|(topic, _)| topic.starts_with("homeassistant/"))
        .map(|(_, length)| *length)
        .collect();
    let states: Vec<(&String, &usize)> = kept
        .iter()
        .filter(|(topic, _)| topic.starts_with("room/1/"))
        .collect();
    tokio::time::sleep(duration).await;
    let now = count(&gateway, &passed);
    let took = (now.at - settled.at).as_secs_f64();
    let of_room = |all: f64| all / rooms as f64;
    // What it took less what polling took meanwhile.
    let polled = (settled.at - gateway.started - online).as_secs_f64() / took;
    let processor = (now.processor.saturating_sub(settled.processor)).as_secs_f64();
    let start_processor = settled.processor.as_secs_f64() - processor * polled;
    let start_requests = settled.requests - (now.requests - settled.requests) * polled;
    head(&format!("A start with {rooms} rooms"), &["", "of a room"]);
    row(&[
        "all online".into(),
        format!("after {:.1} s", online.as_secs_f64()),
    ]);
    row(&[
        "processor, without the polls that follow".into(),
        format!("{:.1} ms", of_room(start_processor * 1e3)),
    ]);
    row(&[
        "requests, without those".into(),
        format!("{:.0}", of_room(start_requests)),
    ]);
    row(&[
        "messages to the broker".into(),
        format!("{:.0}", of_room(settled.published)),
    ]);
    row(&[
        "retained states".into(),
        format!(
            "{}, {} bytes of payloads, {} of topics",
            states.len(),
            states.iter().map(|(_, length)| **length).sum::<usize>(),
            states.iter().map(|(topic, _)| topic.len()).sum::<usize>(),
        ),
    ]);
    row(&[
        "document for Home Assistant".into(),
        format!("{} bytes", discovery.iter().copied().max().unwrap_or(0)),
    ]);
    row(&[
        "bytes to its device, and back".into(),
        format!("{}, {}", settled.bytes.0, settled.bytes.1),
    ]);
    head("While nobody does anything", &["", "of a room"]);
    let requests = now.requests - settled.requests;
    row(&[
        "requests".into(),
        format!("{:.2}/s", of_room(requests / took)),
    ]);
    row(&[
        "processor".into(),
        format!(
            "{:.0} µs/s, {:.0} µs a request",
            of_room(processor * 1e6 / took),
            processor * 1e6 / requests
        ),
    ]);
    row(&[
        "messages to the broker".into(),
        format!(
            "{:.3}/s",
            of_room((now.published - settled.published) / took)
        ),
    ]);
    row(&[
        "bytes to its device, and back".into(),
        format!(
            "{:.0}/s, {:.0}/s",
            (now.bytes.0 - settled.bytes.0) as f64 / took,
            (now.bytes.1 - settled.bytes.1) as f64 / took
        ),
    ]);
    row(&[
        "open files".into(),
        format!("{:.2}", of_room(gateway.process.files() as f64)),
    ]);
    row(&[
        "memory without pages of files".into(),
        format!("{:.0} KiB", of_room(gateway.process.anonymous() as f64)),
    ]);
}
