//! What a command takes at the owner of its room, in a cluster of one and of two gateways, against a gateway without
//! `[cluster]`. Each cluster has a broker and devices of its own, and commands go to each in turn. In a cluster of two
//! the deputy hears what the owner hears and publishes, on the same processors.

use std::time::Duration;

use poly2mqtt_bench_support::client::{CommandClient, CommandSocket};
use poly2mqtt_bench_support::figures::{Durations, head, row};
use poly2mqtt_bench_support::full_or_trial;
use poly2mqtt_bench_support::processes::{BenchDevice, Gateway, Simulator};
use poly2mqtt_bench_support::program::listening;
use poly2mqtt_test_support::{EtcdCluster, Mosquitto};
use tokio::time::{MissedTickBehavior, interval};

use crate::gateway_name;

/// Commands of each second to each cluster over each door.
const RATE: u32 = 10;

/// Gateways that share rooms, or one alone, and clients that command the first one's rooms.
struct Commanded {
    what: &'static str,
    rooms: Vec<String>,
    mqtt: CommandClient,
    websocket: CommandSocket,
    over_mqtt: Durations,
    over_websocket: Durations,
    _gateways: Vec<Gateway>,
    _broker: Mosquitto,
    _simulator: Simulator,
}

impl Commanded {
    /// So many gateways with so many rooms each, or one without `[cluster]`.
    async fn start(
        what: &'static str,
        store: &EtcdCluster,
        members: Option<usize>,
        rooms: usize,
    ) -> Self {
        let broker = Mosquitto::start(0, "max_inflight_messages 0");
        let configs: Vec<String> = match members {
            None => vec![String::new()],
            Some(members) => (0..members)
                .map(|number| cluster(&store.endpoints()[0], members, number))
                .collect(),
        };
        let simulator = Simulator::start(rooms * configs.len());
        let (devices, port) = (simulator.devices.clone(), broker.port);
        let started = tokio::task::spawn_blocking(move || start_gateways(port, &devices, &configs));
        let (gateways, rooms) = started.await.unwrap();
        let mqtt = CommandClient::connect(port, &["room/{}/audio/volume/set"]).await;
        for room in &rooms {
            mqtt.until_answered(&topic(room)).await;
        }
        Self {
            what,
            rooms,
            mqtt,
            websocket: CommandSocket::connect(gateways[0].http, "/ws").await,
            over_mqtt: Durations::default(),
            over_websocket: Durations::default(),
            _gateways: gateways,
            _broker: broker,
            _simulator: simulator,
        }
    }

    /// A room; a step of 7, so that consecutive commands go to rooms that are not neighbours.
    fn topic(&self, number: usize) -> String {
        topic(&self.rooms[number * 7 % self.rooms.len()])
    }
}

fn topic(room: &str) -> String {
    format!("room/{room}/audio/volume/set")
}

fn cluster(endpoint: &str, members: usize, number: usize) -> String {
    format!(
        "[cluster]\nname = \"{}\"\netcd = [\"{endpoint}\"]\nprefix = \"/poly2mqtt/command-{members}\"\n\
         advertise = \"http://127.0.0.1:1\"\ntoken = \"the token of this cluster\"\n",
        gateway_name(number)
    )
}

/// Starts them, and gives the rooms of the first one.
#[allow(clippy::cast_precision_loss)]
fn start_gateways(
    broker: u16,
    devices: &[BenchDevice],
    configs: &[String],
) -> (Vec<Gateway>, Vec<String>) {
    let gateways: Vec<_> = configs
        .iter()
        .map(|config| Gateway::start(broker, devices, config))
        .collect();
    for gateway in &gateways {
        listening(gateway.http);
    }
    let online = |gateway: &Gateway| gateway.metric("poly2mqtt_room_online");
    while gateways.iter().map(online).sum::<f64>() < devices.len() as f64 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let is_online = |room: &String| {
        let series = format!("poly2mqtt_room_online{{room=\"{room}\"}}");
        gateways[0].metric(&series) > 0.0
    };
    let rooms = (1..=devices.len()).map(|room| room.to_string());
    let rooms = rooms.filter(is_online).collect();
    (gateways, rooms)
}

pub async fn measure(rooms: usize, duration: Duration) {
    let store = EtcdCluster::start(1);
    let mut all = [
        Commanded::start("without `[cluster]`", &store, None, rooms).await,
        Commanded::start("a cluster of one", &store, Some(1), rooms).await,
        Commanded::start("a cluster of two", &store, Some(2), rooms).await,
    ];
    // The burst of reads after the log-in.
    tokio::time::sleep(full_or_trial(Duration::from_secs(20), Duration::ZERO)).await;
    let a_round = 2 * u32::try_from(all.len()).unwrap();
    let rounds = u128::from(RATE) * duration.as_millis() / 1000;
    let mut beat = interval(Duration::from_secs(1) / RATE / a_round);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..usize::try_from(rounds).unwrap() {
        for one in &mut all {
            beat.tick().await;
            let (took, result) = one.mqtt.set(&one.topic(number)).await;
            let result = String::from_utf8_lossy(&result);
            assert!(!result.contains("\"ok\":false"), "{result}");
            one.over_mqtt.push(took);
        }
        for one in &mut all {
            beat.tick().await;
            let topic = one.topic(number + 3);
            let took = one.websocket.set(&topic).await;
            one.over_websocket.push(took);
        }
    }
    let columns = ["", "MQTT, p50", "", "WebSocket, p50", "", "commands"];
    head("A command at the owner of its room", &columns);
    let medians = |one: &Commanded| {
        let median = |durations: &Durations| durations.percentile(50.0);
        (median(&one.over_mqtt), median(&one.over_websocket))
    };
    let alone = medians(&all[0]);
    for one in &all {
        let (over_mqtt, over_websocket) = medians(one);
        row(&[
            one.what.into(),
            format!("{over_mqtt:.3} ms"),
            format!("**{:.2}**", over_mqtt / alone.0),
            format!("{over_websocket:.3} ms"),
            format!("**{:.2}**", over_websocket / alone.1),
            format!("{} each", one.over_mqtt.len()),
        ]);
    }
}
