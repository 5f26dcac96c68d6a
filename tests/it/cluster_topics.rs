//! Two whole gateways over etcd and Mosquitto: their topics, and Home Assistant's documents while a room moves.
use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, ClusterConfig, Config, RoomConfig, RoomId, Secret};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use poly2mqtt_test_support::client::{Client, text};
use poly2mqtt_test_support::door;
use poly2mqtt_test_support::etcd::{EtcdCluster, etcd};
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{Mosquitto, mosquitto, soon, until, watchdog};
use serde_json::Value;

const ROOMS: [&str; 4] = ["1", "2", "3", "4"];

fn document_of(room: &str) -> String {
    format!("homeassistant/device/poly2mqtt_{room}/config")
}

fn member_config(
    name: &str,
    port: u16,
    etcd: &EtcdCluster,
    rooms: &BTreeMap<RoomId, RoomConfig>,
) -> Config {
    let broker = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port,
    };
    Config {
        cluster: Some(ClusterConfig {
            name: name.into(),
            etcd: etcd.endpoints(),
            username: None,
            password: None,
            ca_file: None,
            prefix: "/poly2mqtt/test".into(),
            advertise: "http://127.0.0.1:9".into(),
            token: Secret::new("a token of the cluster for tests"),
            weight: 1,
        }),
        ..config(broker, rooms.clone())
    }
}

fn published(client: &Client, topic: &str) -> Vec<String> {
    client.messages(topic).iter().map(text).collect()
}

/// What the gateways' speaker says last.
fn said(client: &Client) -> Value {
    let last = client.last("gateway/cluster").unwrap_or_default();
    serde_json::from_str(&last).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_move_keep_their_documents_and_the_gateways_say_who_has_what() {
    if etcd().is_none() || mosquitto().is_none() {
        return;
    }
    watchdog::watch();
    let broker = Mosquitto::start(0, "");
    let etcd = EtcdCluster::start(1);
    let client = Client::connect(broker.port).await;
    let (mut devices, mut rooms) = (Vec::new(), BTreeMap::new());
    for id in ROOMS {
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        rooms.insert(RoomId::new(id).unwrap(), room(&device));
        devices.push(device);
    }
    let start = async |name: &str| {
        let config = member_config(name, broker.port, &etcd, &rooms);
        App::start(config, timings()).await.unwrap()
    };
    let first = start("gw-1").await;
    for room in ROOMS {
        client.message(&document_of(room)).await;
    }
    let second = start("gw-2").await;
    let is_shared = |it: &Client| {
        let members = &said(it)["members"];
        members[0]["shards"]
            .as_u64()
            .is_some_and(|shards| shards < 1024)
            && members[1]["shards"]
                .as_u64()
                .is_some_and(|shards| shards > 400)
            && said(it)["unowned"] == 0
    };
    client.until("the rooms are shared", is_shared).await;
    let cluster = said(&client);
    assert_eq!(cluster["from"], "gw-1");
    let counted: u64 = (0..2)
        .map(|n| cluster["members"][n]["rooms"].as_u64().unwrap())
        .sum();
    assert_eq!((counted, &cluster["problem"]), (4, &Value::Null));
    let url = |path: &str| format!("http://{}{path}", second.http_addr().unwrap());
    let what = || "each gateway shows its own document".to_owned();
    until(what, async || {
        let own: Value = door::get(&url("/gateway/cluster"))
            .await
            .json()
            .await
            .unwrap();
        own["from"] == "gw-2" && own["members"] == said(&client)["members"]
    })
    .await;
    client.message("gateway/gw-2/info").await;
    // The speaker alone publishes `gateway/cluster`, and nobody below a name.
    for topic in [
        "gateway/info",
        "gateway/health",
        "gateway/log",
        "gateway/gw-1/cluster",
        "gateway/gw-2/cluster",
    ] {
        assert!(client.messages(topic).is_empty(), "{topic}");
    }

    // The first one leaves: its rooms go to the other, and nothing changes for Home Assistant.
    let fence_closings = async || {
        let metrics = door::text(&url("/metrics")).await;
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("poly2mqtt_cluster_fence_closings_total "));
        line.unwrap().to_owned()
    };
    // On a busy machine a heartbeat may have come too late before.
    let closings = fence_closings().await;
    soon("the first gateway leaves", first.stop()).await;
    client.expect("gateway/gw-1/availability", "offline").await;
    let what = || "the other gateway has all rooms".to_owned();
    until(what, async || {
        let list: Value = door::get(&url("/room")).await.json().await.unwrap();
        let mut rooms = list.as_array().unwrap().iter();
        rooms.all(|room| room["gateway"] == "gw-2" && room["availability"] == "online")
    })
    .await;
    assert_eq!(
        client.last("gateway/availability").as_deref(),
        Some("online")
    );
    let what = || "the other gateway knows that the first one has left".to_owned();
    until(what, async || {
        let metrics = door::text(&url("/metrics")).await;
        metrics.contains("poly2mqtt_cluster_members 1\n")
    })
    .await;
    let metrics = door::text(&url("/metrics")).await;
    for line in [
        "poly2mqtt_cluster_shards 1024",
        "poly2mqtt_cluster_rooms 4",
        "poly2mqtt_cluster_contact 1",
        "poly2mqtt_cluster_shard_changes_total{how=\"gained_after_death\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert_eq!(fence_closings().await, closings);
    let before: Vec<_> = ROOMS
        .map(|room| published(&client, &document_of(room)))
        .into();
    // Longer than a document waits before it is published.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    for (room, before) in ROOMS.iter().zip(&before) {
        let documents = published(&client, &document_of(room));
        assert_eq!(
            documents.len(),
            before.len(),
            "room {room} was published again"
        );
        assert!(
            documents.iter().all(|it| !it.is_empty()),
            "room {room} was cleared"
        );
    }
    // Home Assistant starts: whoever has the rooms now repeats all.
    client.publish("homeassistant/status", "online").await;
    for (room, before) in ROOMS.iter().zip(&before) {
        let topic = document_of(room);
        let is_repeated = |it: &Client| published(it, &topic).len() > before.len();
        client
            .until("the documents are repeated", is_repeated)
            .await;
        assert_eq!(published(&client, &topic).last(), before.last());
    }
    soon("the end", second.stop()).await;
    client.expect("gateway/availability", "offline").await;
    for device in devices {
        soon("the end of a device", device.stop()).await;
    }
}
