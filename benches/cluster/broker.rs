//! What Mosquitto has to carry: the filters of all gateways, and the states of their rooms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use poly2mqtt::cluster::{Placement, shard_of};
use poly2mqtt_bench_support::figures::{head, row};
use poly2mqtt_bench_support::member::MemberClient;
use poly2mqtt_bench_support::processes::{cpu, resident};
use poly2mqtt_test_support::Mosquitto;

use crate::room_ids::{Style, ids};
use crate::{Size, gateway_name};

/// As many as a gateway puts into one packet.
const FILTERS_IN_PACKET: usize = 500;
/// What a room has at the broker, as `room` measures it with simulated devices: so many messages, and their payloads.
const STATES: usize = 67;
const PAYLOAD_BYTES: usize = 197;

/// Who has which room, and who is its deputy.
struct Placed {
    rooms: Vec<String>,
    owners: Vec<usize>,
    deputies: Vec<usize>,
}

impl Placed {
    /// `gone` has no room.
    fn new(rooms: Vec<String>, gateways: usize, gone: Option<usize>) -> Self {
        let placement = Placement::new((0..gateways).map(|n| (gateway_name(n), 1)).collect());
        let (mut owners, mut deputies) = (Vec::new(), Vec::new());
        for room in &rooms {
            let shard = shard_of(room);
            let owner = placement.owner_among(shard, |at| Some(at) != gone).unwrap();
            let deputy = placement.owner_among(shard, |at| at != owner && Some(at) != gone);
            owners.push(owner);
            deputies.push(deputy.unwrap());
        }
        Self {
            rooms,
            owners,
            deputies,
        }
    }

    fn hears(&self, gateway: usize, room: usize) -> bool {
        self.owners[room] == gateway || self.deputies[room] == gateway
    }

    /// The filters of what a gateway hears and `before` did not.
    fn filters(&self, gateway: usize, before: Option<&Self>) -> Vec<String> {
        let new = (0..self.rooms.len()).filter(|room| {
            self.hears(gateway, *room) && before.is_none_or(|before| !before.hears(gateway, *room))
        });
        new.map(|room| format!("room/{}/#", self.rooms[room]))
            .collect()
    }
}

/// Subscribes all at the same time. How many filters, and how long it took.
async fn subscribe(
    clients: &mut [MemberClient],
    placed: &Placed,
    before: Option<&Placed>,
) -> (usize, Duration) {
    let filters = (0..clients.len()).map(|n| placed.filters(n, before));
    let filters: Vec<Vec<String>> = filters.collect();
    let begun = Instant::now();
    let all = clients.iter_mut().zip(&filters);
    let all = all.map(|(client, filters)| async move {
        for batch in filters.chunks(FILTERS_IN_PACKET) {
            client.subscribe(batch).await;
        }
    });
    futures_util::future::join_all(all).await;
    (filters.iter().map(Vec::len).sum(), begun.elapsed())
}

/// What the broker has used so far: processor time, and resident memory in KiB.
struct Used<'a>(&'a Mosquitto, Duration, u64);

impl<'a> Used<'a> {
    fn of(broker: &'a Mosquitto) -> Self {
        Self(broker, cpu(broker.id()), resident(broker.id()))
    }

    /// Processor time and memory in MiB since then.
    fn since(&self) -> (Duration, f64) {
        let now = Self::of(self.0);
        let memory = i128::from(now.2) - i128::from(self.2);
        #[allow(clippy::cast_precision_loss)]
        (now.1.saturating_sub(self.1), memory as f64 / 1024.0)
    }
}

fn filter_row(what: &str, (filters, took): (usize, Duration), used: &Used<'_>) {
    let (processor, memory) = used.since();
    row(&[
        what.to_owned(),
        filters.to_string(),
        format!("{:.2} s", took.as_secs_f64()),
        format!("{:.2} s", processor.as_secs_f64()),
        format!("{memory:+.1} MiB"),
    ]);
}

pub async fn measure(size: Size, loaded: usize) {
    let broker = Mosquitto::start(0, "max_queued_messages 0\nmax_inflight_messages 0");
    let rooms = ids(Style::Buildings, size.rooms, 7);
    let placed = Placed::new(rooms.clone(), size.gateways, None);
    let received = Arc::<AtomicU64>::default();
    let mut clients = Vec::new();
    for number in 0..size.gateways {
        let id = gateway_name(number);
        clients.push(MemberClient::connect(broker.port, &id, received.clone()).await);
    }
    let title = format!(
        "Mosquitto, filters of {} rooms at owner and deputy, {} gateways, {FILTERS_IN_PACKET} in a packet",
        size.rooms, size.gateways
    );
    head(&title, &["", "filters", "time", "processor", "memory"]);
    let used = Used::of(&broker);
    let subscribed = subscribe(&mut clients, &placed, None).await;
    filter_row("all gateways at the same time", subscribed, &used);

    let load = messages(&broker, &mut clients, &placed, loaded, &received).await;

    // The last gateway ends: the others hear its rooms, and there are other deputies.
    let used = Used::of(&broker);
    drop(clients.pop());
    let after = Placed::new(rooms, size.gateways, Some(size.gateways - 1));
    let subscribed = subscribe(&mut clients, &after, Some(&placed)).await;
    filter_row("the others after the death of one", subscribed, &used);

    let title = format!(
        "Mosquitto, {} messages of {loaded} rooms, {PAYLOAD_BYTES} bytes each, retained, QoS 1, and each to a deputy",
        load.count
    );
    head(
        &title,
        &[
            "messages/s",
            "processor of each",
            "memory of each",
            "of a room",
        ],
    );
    #[allow(clippy::cast_precision_loss)]
    let count = load.count as f64;
    row(&[
        format!("{:.0}", count / load.took.as_secs_f64()),
        format!("{:.1} µs", load.processor.as_secs_f64() * 1e6 / count),
        format!("{:.0} bytes", load.memory * 1024.0 * 1024.0 / count),
        format!("{:.1} KiB", load.memory * 1024.0 / count * STATES as f64),
    ]);
}

struct Load {
    count: u64,
    took: Duration,
    processor: Duration,
    /// In MiB.
    memory: f64,
}

/// Publishes all states of so many rooms, each by its owner.
async fn messages(
    broker: &Mosquitto,
    clients: &mut [MemberClient],
    placed: &Placed,
    loaded: usize,
    received: &Arc<AtomicU64>,
) -> Load {
    let payload = Bytes::from("x".repeat(PAYLOAD_BYTES));
    let loaded = loaded.min(placed.rooms.len());
    let count = (loaded * STATES) as u64;
    let used = Used::of(broker);
    let begun = Instant::now();
    let all = clients.iter_mut().enumerate().map(|(number, client)| {
        let rooms = (0..loaded).filter(move |room| placed.owners[*room] == number);
        let payload = payload.clone();
        async move {
            let messages = rooms.flat_map(|room| {
                let payload = payload.clone();
                let topic =
                    move |state| format!("room/{}/area/state_{state:02}", placed.rooms[room]);
                (0..STATES).map(move |state| (topic(state), payload.clone()))
            });
            client.publish(messages).await;
            client.receive(count).await;
        }
    });
    futures_util::future::join_all(all).await;
    let took = begun.elapsed();
    assert_eq!(received.load(Ordering::Relaxed), count);
    let (processor, memory) = used.since();
    Load {
        count,
        took,
        processor,
        memory,
    }
}
