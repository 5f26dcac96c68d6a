//! Brokers that take only small messages: Home Assistant gets the entities that fit, the most used
//! first, and the log says what is missing.
use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use poly2mqtt_test_support::cases::at_the_same_time;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::page_contains;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::{Mosquitto, mosquitto};

use super::{GATEWAY, ROOM, good, until};

#[test]
fn what_fits_is_published_and_the_rest_is_named() {
    if mosquitto().is_none() {
        return;
    }
    at_the_same_time(
        [
            ("max_packet_size 2048", true),
            ("message_size_limit 2048", false),
            ("message_size_limit 9000", false),
        ],
        |(limit, announced)| async move {
            println!("{limit}");
            let (log, _guard) = thread_log();
            let broker = Mosquitto::start(0, limit);
            let device = SimulatedDevice::start(Options::default()).await.unwrap();
            let url = BrokerUrl::Tcp {
                host: "127.0.0.1".into(),
                port: broker.port,
            };
            let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room(&device))]);
            let service = App::start(config(url, rooms), timings()).await.unwrap();
            service.connected().await;
            let client = Client::connect(broker.port).await;
            client.expect("room/1/availability", "online").await;
            let has = |key: &'static str| {
                move |document: &serde_json::Value| document["components"][key].is_object()
            };
            for key in ["microphone_mute", "volume"] {
                good(&until(&client, ROOM, key, has(key)).await);
            }
            client.message(GATEWAY).await;
            // States, commands and snapshots go on.
            let muted = client.command("room/1/audio/muted/set", "true").await;
            assert_eq!(muted["ok"], true, "{muted}");
            client.expect("room/1/audio/muted", "true").await;
            let snapshot = client.command("room/1/camera/snapshot/near/get", "").await;
            assert_eq!(snapshot["ok"], true, "{snapshot}");
            // The gateway's document, which comes first, may be told of before.
            log.contains("poly2mqtt_1 (").await;
            let size = client.last(ROOM).unwrap().len();
            let most: usize = limit.split(' ').nth(1).unwrap().parse().unwrap();
            // As much as fits: at least half, however the limit is found.
            assert!(size <= most && size > most / 2, "{size}");
            let logged = log.text();
            let report = logged
                .lines()
                .find(|line| line.contains("poly2mqtt_1 ("))
                .unwrap();
            for part in [
                "does not get all entities of these devices",
                "sip_registration",
            ] {
                assert!(report.contains(part), "{report}");
            }
            // Not one line for each step.
            for topic in [ROOM, GATEWAY] {
                let lines = logged
                    .lines()
                    .filter(|line| line.contains("a message is left out") && line.contains(topic));
                assert!(lines.count() <= usize::from(!announced), "{logged}");
            }
            assert_eq!(
                logged.matches("connected to the broker").count(),
                1,
                "{logged}"
            );
            assert!(!logged.contains("no connection to the broker"), "{logged}");
            let metrics = format!("http://{}/metrics", service.http_addr().unwrap());
            let cut = if most > 4000 { 1 } else { 2 };
            let line = format!("poly2mqtt_broker_cut_documents {cut}\n");
            page_contains(&metrics, &line).await;
            service.stop().await;
            device.stop().await;
        },
    );
}
