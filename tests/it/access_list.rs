//! The rights that the documents give to the gateway and to Home Assistant are enough: against a
//! Mosquitto with exactly the documented access list, which denies everything else.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, Config, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::Value;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{Mosquitto, mosquitto};

const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";
const GONE: &str = "homeassistant/device/poly2mqtt_goes/config";

/// The broker takes any user at its word: what is tested is what each may do.
fn broker() -> Mosquitto {
    let acl = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mosquitto.acl");
    Mosquitto::start(0, &format!("user root\nacl_file {}", acl.display()))
}

async fn user(broker: &Mosquitto, name: &str) -> Client {
    let with = |options: &mut rumqttc::v5::MqttOptions| {
        options.set_credentials(name, "");
    };
    Client::connect_with(broker.port, with, "#").await
}

async fn start(config: &Config) -> App {
    let app = App::start(config.clone(), timings()).await.unwrap();
    app.connected().await;
    app
}

fn gateway(
    broker: &Mosquitto,
    device: &SimulatedDevice,
    client_id: &str,
    rooms: &[&str],
) -> Config {
    let url = BrokerUrl::Tcp {
        host: "127.0.0.1".into(),
        port: broker.port,
    };
    let rooms = rooms
        .iter()
        .map(|id| (RoomId::new(id).unwrap(), room(device)));
    let mut config = config(url, BTreeMap::from_iter(rooms));
    config.mqtt.username = Some("gateway".into());
    config.mqtt.client_id = Some(client_id.into());
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_and_home_assistant_can_do_all_that_they_need() {
    if mosquitto().is_none() {
        return;
    }
    let broker = broker();
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let home_assistant = user(&broker, "homeassistant").await;
    let config_of_two = gateway(&broker, &device, "one", &["1", "goes"]);
    let app = start(&config_of_two).await;
    home_assistant.message(DOCUMENT).await;
    home_assistant.message(GONE).await;
    home_assistant.expect("room/1/availability", "online").await;
    home_assistant
        .expect("gateway/availability", "online")
        .await;
    let result = home_assistant
        .command("room/1/audio/volume/set", "41")
        .await;
    assert_eq!(result["ok"], true, "{result}");

    // Home Assistant starts, and gets everything again.
    home_assistant.clear();
    home_assistant
        .publish("homeassistant/status", "online")
        .await;
    home_assistant.message(DOCUMENT).await;

    // A person deletes the device there: its document goes, and stays away.
    let none = PublishProperties::default;
    home_assistant
        .publish_with(DOCUMENT, "", true, none())
        .await;
    home_assistant.clear();
    home_assistant
        .publish("homeassistant/status", "online")
        .await;
    home_assistant.message(GONE).await;
    let again = home_assistant.messages(DOCUMENT);
    assert!(again.iter().all(|message| message.payload.is_empty()));
    // It forges nothing.
    home_assistant
        .publish_with("room/1/audio/volume", "99", true, none())
        .await;
    home_assistant
        .publish("gateway/availability", "offline")
        .await;
    app.stop().await;

    // The gateway reads what it has left, so that a room which is gone leaves nothing.
    let app = start(&gateway(&broker, &device, "one", &["1"])).await;
    home_assistant.expect("room/goes/audio/volume", "").await;
    home_assistant.expect(GONE, "").await;
    home_assistant.expect("room/1/audio/volume", "41").await;

    // It sees another gateway.
    let other = start(&gateway(&broker, &device, "two", &["7"])).await;
    let sees_one = |client: &Client| {
        let health = client.last("gateway/health").unwrap_or_default();
        let health: Value = serde_json::from_str(&health).unwrap_or_default();
        health["mqtt"]["other_gateways"] == 1
    };
    home_assistant.until("another gateway", sees_one).await;
    other.stop().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = user(&broker, "homeassistant").await;
    late.expect("gateway/availability", "online").await;
    app.stop().await;
    device.stop().await;
}
