//! What the cluster costs while nothing happens: processor, memory, requests to etcd, and the time that commands take,
//! against a gateway without `[cluster]`.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::clock::{self, SECOND};
use crate::etcd::client;
use crate::gateway::Gateway;
use crate::load;
use crate::measures::usual;
use crate::proxy::MEMBERS;
use crate::web_clients::WebSocketClient;
use crate::world::World;

/// How long costs are measured.
fn span(world: &World) -> Duration {
    let [_, _, slow] = world.settings.poll;
    match world.settings.thoroughness {
        // Each state is read equally often in it, at whatever time the gateway was started.
        2.. => Duration::from_millis(slow).max(Duration::from_secs(60)),
        _ => Duration::from_secs(20),
    }
}

/// What a gateway uses.
#[derive(Debug, Clone, Copy)]
struct Usage {
    processor_seconds: f64,
    /// In MB.
    memory: f64,
}

impl Usage {
    fn of(gateway: &Gateway) -> Self {
        Self {
            processor_seconds: gateway.processor_seconds(),
            memory: gateway.memory(),
        }
    }
}

/// Waits until the first reads of all rooms are done, and their reads go on at their usual pace.
async fn settle(world: &World) {
    let [_, normal, _] = world.settings.poll;
    let long = match world.settings.rooms {
        // Thousands of rooms go on reading for half a minute, and the allocator returns pages ten seconds later.
        // A state is read for the second time after one interval at the earliest and two at the latest: before,
        // a gateway that runs for longer reads more.
        1000.. => Duration::from_millis(2 * normal) + Duration::from_secs(10),
        _ if world.settings.thoroughness > 1 => Duration::from_secs(30),
        _ => Duration::from_secs(5),
    };
    sleep(long).await;
}

/// Starts a gateway without `[cluster]` beside the cluster, which has as many rooms as each of its gateways.
pub fn start_beside(world: &World) -> Gateway {
    let mut beside = Gateway::beside(&world.shared);
    beside.configure_some(&world.shared, world.settings.rooms_beside());
    beside.start(&world.shared);
    beside
}

/// What gateways use while nothing happens, and what commands take, against the gateway beside them. All were started
/// and are measured at the same time: what runs on this machine slows down everything, and a gateway reads more in its
/// first minutes.
pub async fn quiet(world: &World, mut beside: Gateway) {
    *world.rate.lock().unwrap() = 0;
    let rooms = world.settings.rooms_beside().len();
    // Thousands of rooms need their time for the first log-in.
    for _ in 0..1200 + rooms {
        if online(beside.http).await == Some(rooms) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    settle(world).await;
    usage(world, &beside).await;
    latencies(world, &beside).await;
    if !beside.stop().await {
        world.violation(
            "ends",
            "the gateway beside the cluster does not end after SIGTERM",
            clock::now(),
        );
    }
    let strangers = world.record.lock().unwrap().strangers;
    if strangers > 0 {
        world.violation(
            "overlaps",
            "connections do not come from the gateway's address",
            clock::now(),
        );
    }
    usual(world);
}

/// Processor, memory and requests to etcd.
#[allow(clippy::cast_precision_loss)]
async fn usage(world: &World, beside: &Gateway) {
    let span = span(world);
    let percent = |before: Usage, after: Usage| {
        (after.processor_seconds - before.processor_seconds) / span.as_secs_f64() * 100.0
    };
    let requests: Vec<_> = (0..MEMBERS)
        .map(|gateway| world.paths.etcd_requests(gateway))
        .collect();
    let mut before = Vec::new();
    for gateway in 0..MEMBERS {
        before.push(Usage::of(&*world.gateway(gateway).await));
    }
    let before_beside = Usage::of(beside);
    sleep(span).await;
    let (mut processor, mut memory) = (0.0, 0.0);
    let mut most = 0;
    for gateway in 0..MEMBERS {
        let now = world.gateway(gateway).await;
        let after = Usage::of(&now);
        let spent = percent(before[gateway], after);
        println!(
            "{}: {spent:.2} % of a core, {:.1} MB",
            now.name, after.memory
        );
        processor += spent / MEMBERS as f64;
        memory += after.memory / MEMBERS as f64;
        let sent = world.paths.etcd_requests(gateway) - requests[gateway];
        world
            .report
            .sample("etcd requests", sent as f64 / span.as_secs_f64());
        most = most.max(world.rooms_of(gateway).len());
    }
    let after = Usage::of(beside);
    let spent = percent(before_beside, after);
    println!("alone: {spent:.2} % of a core, {:.1} MB", after.memory);
    world.report.sample("processor", processor - spent);
    world.report.sample("memory", memory - after.memory);
    let mean = world.settings.rooms as f64 / MEMBERS as f64;
    world.report.sample("imbalance", most as f64 / mean);
}

/// What commands take at the gateway beside the cluster, at the owner, and at another gateway: by turns, since this
/// machine is not equally fast all the time.
async fn latencies(world: &World, beside: &Gateway) {
    let most = if world.settings.thoroughness > 1 {
        1000
    } else {
        100
    };
    let alone = WebSocketClient::connect(beside.http, world.ledger.clone());
    for _ in 0..1200 {
        if alone.is_connected() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mut rooms_alone = world.settings.rooms_beside().cycle();
    for gateway in 0..MEMBERS {
        let (owner, other) = (
            &world.websockets[gateway],
            &world.websockets[(gateway + 1) % MEMBERS],
        );
        let owned = world.rooms_of(gateway).into_iter().cycle().take(most);
        for (room, room_alone) in owned.zip(&mut rooms_alone) {
            let answered = latency(world, "alone latency", &alone, room_alone).await
                && latency(world, "owner latency", owner, room).await
                && latency(world, "other latency", other, room).await;
            if !answered {
                return;
            }
        }
    }
    let median = |figure| world.report.median(figure);
    if let (Some(alone), Some(owner), Some(other)) = (
        median("alone latency"),
        median("owner latency"),
        median("other latency"),
    ) {
        println!(
            "commands, p50: alone {alone:.3} ms, at the owner {owner:.3}, elsewhere {other:.3}"
        );
        world.report.sample("owner ratio", owner / alone);
        world.report.sample("other more", other - owner);
    }
}

/// How many rooms of the gateway with this HTTP port are online.
async fn online(http: u16) -> Option<usize> {
    let url = format!("http://127.0.0.1:{http}/gateway/health");
    let health: Value = client(Duration::from_secs(2))
        .get(url)
        .send()
        .await
        .ok()?
        .json()
        .await
        .ok()?;
    usize::try_from(health["rooms_online"].as_u64()?).ok()
}

/// Sends a command over a WebSocket, and waits for its result; false if none comes.
async fn latency(
    world: &World,
    figure: &'static str,
    client: &WebSocketClient,
    room: usize,
) -> bool {
    let id = load::over(world, client, room);
    let sent = clock::now();
    while clock::now() < sent + 5 * SECOND {
        if let Some(took) = world.ledger.took(id) {
            world.report.time(figure, took);
            return true;
        }
        sleep(Duration::from_millis(1)).await;
    }
    world.violation(
        "answered",
        &format!("no result of command {id} after 5 s"),
        sent,
    );
    false
}

/// Counts the sessions of all devices.
pub async fn sessions(world: &World) {
    let sessions = world.farm.sessions().await;
    for (device, count) in &sessions {
        world.report.count("sessions", *count);
        if *count > 2 {
            let message = format!("the device of room {device} has {count} sessions");
            world.violation("sessions", &message, clock::now());
        }
    }
}
