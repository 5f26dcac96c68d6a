//! What the cluster costs while nothing happens: processor, memory, requests to etcd, and the time that commands take,
//! against gateways that know nothing of each other.

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
    Duration::from_secs(if world.settings.thoroughness > 1 {
        60
    } else {
        5
    })
}

/// What a gateway uses, processor in percent of a core and memory in MB: the mean of as many gateways without
/// `[cluster]`, each with its share of the rooms, so that the machine has the same to do.
#[allow(clippy::cast_precision_loss)]
pub async fn alone(world: &World) -> (f64, f64) {
    let rooms = world.settings.rooms;
    let share = world.settings.share();
    let mut gateways = Vec::new();
    for number in 0..MEMBERS {
        let mut gateway = Gateway::alone(&world.shared, number);
        let first = number * share;
        gateway.configure_some(&world.shared, first..rooms.min(first + share));
        gateway.start(&world.shared);
        gateways.push(gateway);
    }
    // Thousands of rooms need their time for the first log-in.
    for _ in 0..1200 + rooms {
        if world.broker_client.online() >= rooms {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    if world.broker_client.online() < rooms {
        world.violation(
            "whole again",
            "the gateways alone do not get their rooms online",
            clock::now(),
        );
    }
    settle(world).await;
    let span = span(world);
    // All at the same time, as those of the cluster are: what one does slows down the others.
    let before: f64 = gateways.iter().map(Gateway::processor_seconds).sum();
    sleep(span).await;
    let after: f64 = gateways.iter().map(Gateway::processor_seconds).sum();
    let processor = (after - before) / span.as_secs_f64() * 100.0 / MEMBERS as f64;
    let memory = gateways.iter().map(Gateway::memory).sum::<f64>() / MEMBERS as f64;
    for gateway in &mut gateways {
        if !gateway.stop().await {
            world.violation(
                "ends",
                "a gateway alone does not end after SIGTERM",
                clock::now(),
            );
        }
    }
    let strangers = world.record.lock().unwrap().strangers;
    if strangers > 0 {
        world.violation(
            "overlaps",
            "connections do not come from the gateway's address",
            clock::now(),
        );
    }
    (processor, memory)
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

/// What gateways use while nothing happens, against those alone; and what commands take.
#[allow(clippy::cast_precision_loss)]
pub async fn quiet(world: &World, alone: (f64, f64)) {
    *world.rate.lock().unwrap() = 0;
    settle(world).await;
    let span = span(world);
    let requests: Vec<_> = (0..MEMBERS)
        .map(|gateway| world.paths.etcd_requests(gateway))
        .collect();
    let mut before = Vec::new();
    for gateway in 0..MEMBERS {
        before.push(world.gateway(gateway).await.processor_seconds());
    }
    sleep(span).await;
    let (mut processor, mut memory) = (0.0, 0.0);
    let mut most = 0;
    for gateway in 0..MEMBERS {
        let now = world.gateway(gateway).await;
        let spent = (now.processor_seconds() - before[gateway]) / span.as_secs_f64() * 100.0;
        println!(
            "{}: {spent:.2} % of a core, {:.1} MB",
            now.name,
            now.memory()
        );
        processor += spent / MEMBERS as f64;
        memory += now.memory() / MEMBERS as f64;
        let sent = world.paths.etcd_requests(gateway) - requests[gateway];
        world
            .report
            .sample("etcd requests", sent as f64 / span.as_secs_f64());
        most = most.max(world.rooms_of(gateway).len());
    }
    println!("alone: {:.2} % of a core, {:.1} MB", alone.0, alone.1);
    world.report.sample("processor", processor - alone.0);
    world.report.sample("memory", memory - alone.1);
    let mean = world.settings.rooms as f64 / MEMBERS as f64;
    world.report.sample("imbalance", most as f64 / mean);
    latencies(world).await;
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
    usual(world);
}

/// What commands take at a gateway that runs beside the cluster with as many rooms, at the owner, and at another
/// gateway: by turns, since this machine is not equally fast all the time.
async fn latencies(world: &World) {
    let most = if world.settings.thoroughness > 1 {
        1000
    } else {
        100
    };
    let rooms = world.settings.rooms_beside();
    let mut beside = Gateway::beside(&world.shared);
    beside.configure_some(&world.shared, rooms.clone());
    beside.start(&world.shared);
    let alone = WebSocketClient::connect(beside.http, world.ledger.clone());
    // Thousands of rooms need their time for the first log-in.
    for _ in 0..1200 + rooms.len() {
        if online(beside.http).await == Some(rooms.len()) && alone.is_connected() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    settle(world).await;
    let mut rooms_alone = rooms.cycle();
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
    if !beside.stop().await {
        world.violation(
            "ends",
            "the gateway beside the cluster does not end after SIGTERM",
            clock::now(),
        );
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
