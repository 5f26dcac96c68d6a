//! The commands that are sent all the time: of every kind, at every door, to rooms at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use poly2mqtt_test_support::random::Random;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::clock::SECOND;
use crate::gateway::room_id;
use crate::ledger::{Door, FIRST_TIME, Kind, mark};
use crate::proxy::MEMBERS;
use crate::web_clients::WebSocketClient;
use crate::world::World;

/// The next command's id.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Sends commands at the world's present rate, until it is aborted.
pub async fn send(world: Arc<World>, mut random: Random) {
    loop {
        let rate = *world.rate.lock().unwrap();
        if rate == 0 {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        sleep(Duration::from_nanos(SECOND / rate)).await;
        let all = world.settings.rooms;
        let focus = world.focus.lock().unwrap().clone();
        // Most go where something happens, the others show that nothing else suffers.
        let room = if focus.is_empty() || random.chance(30) {
            usize::try_from(random.between(0, all as u64 - 1)).unwrap()
        } else {
            *random.pick(&focus)
        };
        let gateway = usize::try_from(random.between(0, MEMBERS as u64 - 1)).unwrap();
        let door = match random.between(0, 3) {
            0 => Door::WebSocket(gateway),
            1 => Door::Http(gateway),
            _ => Door::Broker,
        };
        let kind = match random.between(0, 4) {
            0 => Kind::Volume,
            1 | 2 => Kind::Time,
            _ => Kind::Entry,
        };
        command(&world, room, kind, door);
    }
}

/// Sends one command.
fn command(world: &World, room: usize, kind: Kind, door: Door) {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (topic, payload) = content(id, kind);
    let topic = format!("room/{}/{topic}", room_id(room));
    world.ledger.sends(id, room, kind, door);
    match door {
        Door::Broker => world.broker_client.send(id, &topic, payload.to_string()),
        Door::WebSocket(gateway) => world.websockets[gateway].send(id, &topic, &payload),
        Door::Http(gateway) => {
            let port = world.http_ports[gateway];
            world.http.send(port, id, &topic, payload.to_string());
        }
    }
}

/// Sends one command over this WebSocket; gives its id.
pub fn over(world: &World, client: &WebSocketClient, room: usize) -> u64 {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (topic, payload) = content(id, Kind::Volume);
    let topic = format!("room/{}/{topic}", room_id(room));
    world
        .ledger
        .sends(id, room, Kind::Volume, Door::WebSocket(0));
    client.send(id, &topic, &payload);
    id
}

fn content(id: u64, kind: Kind) -> (&'static str, Value) {
    match kind {
        Kind::Entry => {
            let entry = json!({"type": "single", "display_name": mark(id)});
            ("directory/local/entry/add", entry)
        }
        Kind::Time => ("system/time/set", json!({"time": FIRST_TIME + id})),
        Kind::Volume => ("audio/volume/set", json!({"volume": id % 101})),
    }
}
