//! The gateway's own keepers and session stores with three members of etcd, without devices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poly2mqtt::cluster::{
    Cluster, ClusterIdentity, ClusterSessions, ClusterState, Etcd, EtcdSettings, Registry,
    RegistryError, RoomDigests, ShardEvent, Transaction, TransactionReply, Write, join, shard_of,
};
use poly2mqtt::config::{self, RoomConfig, Secret};
use poly2mqtt::device::SessionStore;
use poly2mqtt_bench_support::figures::{head, median, row};
use poly2mqtt_bench_support::processes::{cpu, resident};
use poly2mqtt_test_support::EtcdCluster;
use tokio::task::JoinHandle;

use crate::room_ids::{Style, ids};
use crate::sizes::configured;
use crate::tap::{Passed, tap};
use crate::{Size, gateway_name};

const PREFIX: &str = "/poly2mqtt/bench";
/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The sessions of a device as they are kept, in bytes: sealed they have 0.7 KB.
const SESSION_LENGTH: usize = 460;

/// Counts the requests to a registry, and those that change the table of owners.
struct Counting {
    etcd: Etcd,
    requests: AtomicU64,
    table_writes: AtomicU64,
}

impl Registry for Counting {
    async fn compare_and_swap(
        &self,
        transaction: &Transaction,
    ) -> Result<TransactionReply, RegistryError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let is_table =
            |write: &Write| matches!(write, Write::Put(key, _) if key.ends_with("/table"));
        if transaction.writes.iter().any(is_table) {
            self.table_writes.fetch_add(1, Ordering::Relaxed);
        }
        self.etcd.compare_and_swap(transaction).await
    }
}

/// One gateway without rooms that run.
struct Member {
    cluster: Cluster,
    sessions: ClusterSessions,
    registry: Arc<Counting>,
    heartbeats: Arc<Passed>,
    tasks: Vec<JoinHandle<()>>,
    /// When shards came, how many these were, and how long their sessions took.
    gained: Arc<Mutex<Vec<(Instant, usize, Duration)>>>,
}

impl Drop for Member {
    /// As a killed process: nothing is said to anybody.
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A client of these addresses.
pub fn client_of(endpoints: Vec<String>) -> Etcd {
    let settings = EtcdSettings {
        endpoints,
        login: None,
        authorities: None,
    };
    Etcd::new(settings).unwrap()
}

/// A client whose bytes are counted.
async fn client(store: &EtcdCluster, passed: &Arc<Passed>) -> Etcd {
    let mut endpoints = Vec::new();
    for endpoint in store.endpoints() {
        let port = endpoint.rsplit(':').next().unwrap().parse().unwrap();
        let port = tap(port, passed.clone()).await;
        endpoints.push(format!("http://127.0.0.1:{port}"));
    }
    client_of(endpoints)
}

async fn start(store: &EtcdCluster, number: usize, rooms: &RoomDigests) -> Member {
    let heartbeats = Arc::<Passed>::default();
    let registry = Arc::new(Counting {
        etcd: client(store, &heartbeats).await,
        requests: AtomicU64::default(),
        table_writes: AtomicU64::default(),
    });
    let identity = ClusterIdentity {
        prefix: PREFIX.into(),
        name: gateway_name(number),
        advertise: format!("https://{}.av.example.edu:8080", gateway_name(number)),
        weight: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        rooms: rooms.clone(),
        since: 1_764_000_000,
        settings: Default::default(),
    };
    let (cluster, mut events, keeper) = join(registry.clone(), identity, Arc::default());
    let own = Arc::new(client(store, &Arc::default()).await);
    let (sessions, keeping) =
        ClusterSessions::start(own, PREFIX, Secret::new("the token of all"), Arc::default());
    let gained = Arc::<Mutex<Vec<_>>>::default();
    let follow = {
        let (cluster, sessions, gained) = (cluster.clone(), sessions.clone(), gained.clone());
        async move {
            while let Some(event) = events.recv().await {
                match event {
                    ShardEvent::Gained(shards) => {
                        let came = Instant::now();
                        sessions.gained(&shards).await;
                        let took = came.elapsed();
                        gained.lock().unwrap().push((came, shards.len(), took));
                    }
                    ShardEvent::Stop(shards) => {
                        sessions.left(&shards);
                        shards.iter().for_each(|held| cluster.stopped(*held));
                    }
                    ShardEvent::Lost(shards) => sessions.left(&shards),
                    ShardEvent::Ended(_) => return,
                }
            }
        }
    };
    let tasks = vec![
        tokio::spawn(keeper),
        tokio::spawn(keeping),
        tokio::spawn(follow),
    ];
    Member {
        cluster,
        sessions,
        registry,
        heartbeats,
        tasks,
        gained,
    }
}

/// Waits until this gateway sees so many members, and every shard in the hands of one of them.
async fn owned(member: &Member, members: usize) {
    let mut view = member.cluster.view();
    let all = view.wait_for(|view| {
        view.state == ClusterState::Ok
            && view.members.len() == members
            && view.owners.iter().all(Option::is_some)
            && view.members.iter().all(|member| member.shards > 0)
    });
    let all = tokio::time::timeout(PATIENCE, all).await;
    assert!(all.is_ok(), "not all shards have a gateway");
}

/// What all members of etcd used: processor time, and resident memory in KiB of the largest.
fn used(store: &EtcdCluster) -> (Duration, u64) {
    let ids = store.process_ids();
    let most = ids.iter().map(|id| resident(*id)).max();
    (ids.iter().map(|id| cpu(*id)).sum(), most.unwrap_or(0))
}

async fn database(store: &EtcdCluster) -> u64 {
    let etcd = client(store, &Arc::default()).await;
    etcd.status()
        .await
        .map_or(0, |status| status.database_bytes)
}

pub async fn measure(size: Size, duration: Duration, rounds: usize) {
    let rooms = ids(Style::Buildings, size.rooms, 7);
    let digests = configured(&rooms);
    let store = EtcdCluster::start(3);
    let mut members = Vec::new();
    for number in 0..size.gateways {
        members.push(start(&store, number, &digests).await);
    }
    owned(&members[0], size.gateways).await;
    heartbeats(&store, &members, duration).await;
    write_sessions(&store, &members, &rooms).await;
    deaths(&store, &mut members, &digests, rounds).await;
    start_of_all(&store, members, &digests, &rooms).await;
}

#[allow(clippy::cast_precision_loss)]
async fn heartbeats(store: &EtcdCluster, members: &[Member], duration: Duration) {
    // Shards may still move, and are asked for more often meanwhile.
    tokio::time::sleep(duration.min(Duration::from_secs(10))).await;
    let sum = || {
        let bytes = members.iter().map(|member| member.heartbeats.now());
        let bytes = bytes.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let requests = members.iter();
        let requests: u64 = requests
            .map(|member| member.registry.requests.load(Ordering::Relaxed))
            .sum();
        (bytes, requests)
    };
    let (before, (processor, _)) = (sum(), used(store));
    let begun = Instant::now();
    tokio::time::sleep(duration).await;
    let took = begun.elapsed().as_secs_f64();
    let (after, (now, memory)) = (sum(), used(store));
    let requests = (after.1 - before.1) as f64;
    let each = |bytes: u64| format!("{:.0}", bytes as f64 / requests);
    head(
        &format!("Heartbeats, {} gateways, 3 members of etcd", members.len()),
        &[
            "requests/s a gateway",
            "bytes of a request",
            "bytes of its answer",
            "etcd, all members",
            "memory of one",
        ],
    );
    let share = now.saturating_sub(processor).as_secs_f64() / took;
    row(&[
        format!("{:.1}", requests / took / members.len() as f64),
        each(after.0.0 - before.0.0),
        each(after.0.1 - before.0.1),
        format!("{:.1} % of a core", share * 100.0),
        format!("{} MiB", memory / 1024),
    ]);
}

/// The settings of some room.
fn room_config() -> std::sync::Arc<RoomConfig> {
    let text = "[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\n\
                password = \"secret\"\ncertificate = \"insecure\"\n";
    let mut config = config::read("bench".into(), text, []).unwrap().config;
    config.rooms.pop_first().unwrap().1
}

/// The rooms of each gateway by its name.
fn by_owner(member: &Member, rooms: &[String]) -> BTreeMap<String, Vec<Arc<str>>> {
    let view = member.cluster.view().borrow().clone();
    let mut by_owner = BTreeMap::<String, Vec<Arc<str>>>::new();
    for room in rooms {
        if let Some(owner) = view.owner(shard_of(room)) {
            let rooms = by_owner.entry(owner.name.clone()).or_default();
            rooms.push(room.as_str().into());
        }
    }
    by_owner
}

fn kept(member: &Member, room: &Arc<str>, config: &RoomConfig) -> SessionStore {
    member.sessions.of(room, config)
}

#[allow(clippy::cast_precision_loss)]
async fn write_sessions(store: &EtcdCluster, members: &[Member], rooms: &[String]) {
    let config = room_config();
    let by_owner = by_owner(&members[0], rooms);
    let text = "x".repeat(SESSION_LENGTH);
    let (processor, _) = used(store);
    let begun = Instant::now();
    for (number, member) in members.iter().enumerate() {
        for room in &by_owner[&gateway_name(number)] {
            if let SessionStore::Shared(sessions) = kept(member, room, &config) {
                sessions.store(Some(text.clone()));
            }
        }
    }
    let sealed = begun.elapsed();
    while members.iter().any(|member| member.sessions.pending() > 0) {
        assert!(begun.elapsed() < PATIENCE, "sessions are not written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed();
    let (now, memory) = used(store);
    head(
        &format!("Sessions of {} rooms, written by all gateways", rooms.len()),
        &[
            "sealing one",
            "all in the store",
            "etcd, all members, for a room",
            "memory of one",
            "database",
        ],
    );
    let count = rooms.len() as f64;
    row(&[
        format!("{:.0} µs", sealed.as_secs_f64() * 1e6 / count),
        format!("{:.1} s", took.as_secs_f64()),
        format!(
            "{:.0} µs",
            now.saturating_sub(processor).as_secs_f64() * 1e6 / count
        ),
        format!("{} MiB", memory / 1024),
        format!("{} MiB", database(store).await >> 20),
    ]);
}

async fn deaths(
    store: &EtcdCluster,
    members: &mut Vec<Member>,
    rooms: &RoomDigests,
    rounds: usize,
) {
    let count = members.len();
    let (mut owned_after, mut writes, mut reads, mut shards) = (vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        let number = count - 1;
        drop(members.pop());
        let begun = Instant::now();
        let sum = |members: &[Member]| -> u64 {
            let writes = members.iter().map(|member| &member.registry.table_writes);
            writes.map(|writes| writes.load(Ordering::Relaxed)).sum()
        };
        let before = sum(members);
        members
            .iter()
            .for_each(|member| member.gained.lock().unwrap().clear());
        owned(&members[0], count - 1).await;
        owned_after.push(begun.elapsed().as_secs_f64());
        // The sessions of what was taken.
        tokio::time::sleep(Duration::from_secs(2)).await;
        #[allow(clippy::cast_precision_loss)]
        writes.push((sum(members) - before) as f64);
        for member in &*members {
            for (_, count, took) in &*member.gained.lock().unwrap() {
                #[allow(clippy::cast_precision_loss)]
                shards.push(*count as f64);
                reads.push(took.as_secs_f64() * 1e3);
            }
        }
        if round + 1 < rounds {
            members.push(start(store, number, rooms).await);
            owned(&members[0], count).await;
        }
    }
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    head(
        &format!("Death of one of {count} gateways, {rounds} times; median (worst)"),
        &[
            "all shards owned again",
            "writes of the table",
            "shards that one takes",
            "reading their sessions",
        ],
    );
    row(&[
        format!(
            "{:.2} s ({:.2})",
            median(owned_after.clone()),
            most(&owned_after)
        ),
        format!("{:.0} ({:.0})", median(writes.clone()), most(&writes)),
        format!("{:.0} ({:.0})", median(shards.clone()), most(&shards)),
        format!("{:.0} ms ({:.0})", median(reads.clone()), most(&reads)),
    ]);
}

async fn start_of_all(
    store: &EtcdCluster,
    members: Vec<Member>,
    digests: &RoomDigests,
    rooms: &[String],
) {
    let count = members.len() + 1;
    drop(members);
    // Their keys would be waited for.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    let mut members = Vec::new();
    for number in 0..count {
        members.push(start(store, number, digests).await);
    }
    owned(&members[0], count).await;
    let took = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let config = room_config();
    let mut found = 0;
    let by_owner = by_owner(&members[0], rooms);
    for (number, member) in members.iter().enumerate() {
        for room in by_owner.get(&gateway_name(number)).into_iter().flatten() {
            if let SessionStore::Shared(sessions) = kept(member, room, &config) {
                found += usize::from(!sessions.load().text.is_empty());
            }
        }
    }
    let longest = members.iter().flat_map(|member| {
        let gained = member.gained.lock().unwrap().clone();
        gained.into_iter().map(|(.., took)| took)
    });
    let longest = longest.max().unwrap_or_default();
    head(
        &format!("Start of all {count} gateways after the end of all"),
        &[
            "all shards owned",
            "longest reading of sessions",
            "sessions found, of all rooms",
        ],
    );
    row(&[
        format!("{:.1} s", took.as_secs_f64()),
        format!("{:.0} ms", longest.as_secs_f64() * 1e3),
        format!("{found} of {}", rooms.len()),
    ]);
}
