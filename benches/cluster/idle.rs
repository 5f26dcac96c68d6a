//! What the rooms of the other gateways cost a gateway: one that has none of the configured rooms, because another
//! member has them all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use poly2mqtt::cluster::{ClusterIdentity, ClusterState, RoomDigests, join};
use poly2mqtt::config;
use poly2mqtt_bench_support::figures::{head, row};
use poly2mqtt_bench_support::full_or_trial;
use poly2mqtt_bench_support::processes::{BenchDevice, Gateway, rooms_text};
use poly2mqtt_bench_support::program::listening;
use poly2mqtt_test_support::{EtcdCluster, Mosquitto};

use crate::Size;
use crate::etcd::client_of;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "token = \"the token of this cluster\"\n";

pub async fn measure(size: Size) {
    let broker = Mosquitto::start(0, "");
    let store = EtcdCluster::start(1);
    head(
        "A gateway that has none of the configured rooms",
        &[
            "rooms",
            "in the cluster after",
            "processor until then",
            "memory without pages of files",
            "open files",
            "processor after that",
        ],
    );
    for rooms in [10, size.rooms] {
        one(&broker, &store, rooms).await;
    }
}

async fn one(broker: &Mosquitto, store: &EtcdCluster, rooms: usize) {
    // Nothing is there: no room is ever asked.
    let device = BenchDevice {
        port: 1,
        fingerprint: format!("sha256:{}", "0".repeat(64)),
        control: (1, 1),
    };
    let devices = vec![device; rooms];
    let cluster = |name: &str| {
        format!(
            "[cluster]\nname = \"{name}\"\netcd = [\"{}\"]\nprefix = \"/poly2mqtt/idle-{rooms}\"\n\
             advertise = \"http://127.0.0.1:1\"\n{TOKEN}",
            store.endpoints()[0]
        )
    };
    // The member that has them, with the same configuration, so that they may move, and with so much weight that none
    // does.
    let text = format!(
        "{}[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[http]\nlisten = \"127.0.0.1:1\"\n{}",
        cluster("all"),
        rooms_text(&devices)
    );
    let config = config::read("bench".into(), &text, []).unwrap().config;
    let identity = ClusterIdentity {
        prefix: format!("/poly2mqtt/idle-{rooms}"),
        name: "all".into(),
        advertise: "http://127.0.0.1:1".into(),
        weight: u32::MAX,
        version: env!("CARGO_PKG_VERSION").into(),
        rooms: RoomDigests::new(config.room_digests()),
        since: 1_764_000_000,
        settings: Default::default(),
    };
    let (holder, _events, keeper) = join(
        client_of(store.endpoints()).into(),
        identity,
        Arc::default(),
    );
    let keeper = tokio::spawn(keeper);
    let mut view = holder.view();
    let owns = view
        .wait_for(|view| view.state == ClusterState::Ok && view.owners.iter().all(Option::is_some));
    tokio::time::timeout(PATIENCE, owns).await.unwrap().unwrap();

    let broker = broker.port;
    let without = cluster("none");
    let none = tokio::task::spawn_blocking(move || run(broker, &devices, &without));
    let mut cells = vec![rooms.to_string()];
    cells.extend(none.await.unwrap());
    row(&cells);
    keeper.abort();
}

#[allow(clippy::cast_precision_loss)]
fn run(broker: u16, devices: &[BenchDevice], cluster: &str) -> [String; 5] {
    let gateway = Gateway::start(broker, devices, cluster);
    listening(gateway.http);
    while gateway.metric("poly2mqtt_cluster_members ") < 2.0 {
        assert!(gateway.started.elapsed() < PATIENCE, "it does not join");
        std::thread::sleep(Duration::from_millis(20));
    }
    let joined = gateway.started.elapsed();
    let processor = gateway.process.cpu();
    // What is told once of every room.
    let (settle, trial) = (Duration::from_secs(10), Duration::from_millis(100));
    std::thread::sleep(full_or_trial(settle, trial));
    let (before, begun) = (gateway.process.cpu(), Instant::now());
    std::thread::sleep(full_or_trial(settle, trial));
    let later = gateway.process.cpu().saturating_sub(before);
    let share = later.as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!(
        gateway.metric("poly2mqtt_cluster_rooms ") < 1.0,
        "it has rooms"
    );
    [
        format!("{:.1} s", joined.as_secs_f64()),
        format!("{:.1} s", processor.as_secs_f64()),
        format!("{:.1} MiB", gateway.process.anonymous() as f64 / 1024.0),
        gateway.process.files().to_string(),
        format!("{:.2} % of a core", share * 100.0),
    ]
}
