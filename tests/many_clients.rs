//! A measurement: a thousand clients that see everything, and one of them that never reads.
//!
//! `cargo test --release --test many_clients -- --ignored --nocapture`
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use poly2mqtt::conversation::Limits;
use poly2mqtt::hub::{Hub, Retained};
use tokio::task::JoinSet;
use tokio::time::interval;

use common::door::{Doors, Socket};

const CLIENTS: usize = 1000;
const COMMANDS: usize = 300;
const PER_SECOND: u64 = 20;

/// What this process has in memory, clients of the test included.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// States keep changing, as in a house full of calls.
async fn change(hub: Arc<Hub>) {
    let mut ticks = interval(Duration::from_millis(1000 / PER_SECOND));
    for n in 0.. {
        ticks.tick().await;
        hub.set(
            &format!("room/1/change/{}", n % 50),
            Retained::text(n.to_string()),
        );
    }
}

/// The latencies of commands, sorted.
async fn latencies(ws: &mut Socket) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for n in 0..COMMANDS {
        let begun = Instant::now();
        let frame = format!(
            "\"topic\":\"room/1/audio/volume/set\",\"payload\":{}",
            n % 100
        );
        let result = ws.ask(n as u64, &frame).await;
        assert_eq!(result["payload"]["ok"], true, "{result}");
        latencies.push(begun.elapsed());
    }
    latencies.sort();
    latencies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of a minute"]
async fn one_that_never_reads_costs_the_others_nothing() {
    let limits = Limits {
        // The one that never reads stays for as long as it is measured.
        send: Duration::from_secs(600),
        ..Limits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let hub = doors.service.hub().clone();
    let empty = resident();
    let mut readers = JoinSet::new();
    let received = Arc::<AtomicUsize>::default();
    for _ in 1..CLIENTS {
        let mut socket = doors
            .ws("/ws?subscribe=room/%23&subscribe=gateway/%23")
            .await;
        let received = received.clone();
        readers.spawn(async move {
            while let Some(Ok(_)) = socket.inner.next().await {
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let full = resident();
    let changes = tokio::spawn(change(hub.clone()));
    let mut ws = doors.ws("/ws").await;
    let before = latencies(&mut ws).await;
    let all_read = resident();

    let mut silent = doors.ws("/ws?subscribe=%23").await;
    silent.ask(1, "\"ping\":true").await;
    // Only it sees these: more than all buffers between hold, so that it is stuck.
    let fill = "x".repeat(100_000);
    for n in 0..200 {
        hub.set(&format!("fill/{n}"), Retained::text(fill.clone()));
    }
    let stuck = resident();
    let after = latencies(&mut ws).await;
    let at_last = resident();
    let of = |sorted: &[Duration], percent: usize| sorted[sorted.len() * percent / 100];
    println!(
        "{CLIENTS} clients, {PER_SECOND} changes a second, {COMMANDS} commands; {} messages read",
        received.load(Ordering::Relaxed)
    );
    for (name, percent) in [("median", 50), ("95th", 95), ("99th", 99)] {
        let (before, after) = (of(&before, percent), of(&after, percent));
        let ratio = after.as_secs_f64() / before.as_secs_f64();
        println!("{name}: all read {before:?}, one never reads {after:?}, ratio {ratio:.2}");
    }
    println!(
        "memory with the test's own clients: {empty} MiB alone, {full} with all clients, \
         {all_read} after the commands, {stuck} with one stuck, {at_last} at the end"
    );
    assert!(
        of(&after, 95) < of(&before, 95) * 3,
        "the others are held up"
    );
    assert!(at_last < stuck + 64, "memory grows");
    changes.abort();
    readers.abort_all();
    doors.stop().await;
}
