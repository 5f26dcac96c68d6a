//! The ids of an earlier version: what stands below them at the broker goes.

use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{Mosquitto, mosquitto};

/// An earlier version kept the `_` of a prefix, so the room `x_1` below `av` had the same id.
const EARLIER: &str = "homeassistant/device/poly2mqtt-av_x_1/config";

#[tokio::test]
async fn a_document_with_an_earlier_id_is_cleared_and_not_anothers() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let start = async |prefix: &str, id: &str| {
        let url = BrokerUrl::Tcp {
            host: "127.0.0.1".into(),
            port: broker.port,
        };
        let rooms = BTreeMap::from([(RoomId::new(id).unwrap(), room(&device))]);
        let mut config = config(url, rooms);
        config.mqtt.topic_prefix = prefix.into();
        App::start(config, timings()).await.unwrap()
    };
    let is_of = |topic: &str, prefix: &str| {
        let document = client.last(topic).unwrap_or_default();
        document.contains(&format!("\"{prefix}/gateway/availability\""))
    };
    let now = |client: &Client| {
        let topics = client.all().into_iter().map(|(topic, _)| topic);
        let mut of_rooms = topics.filter(|topic| topic.contains("/poly2mqtt-av-x-"));
        of_rooms.find(|topic| topic.ends_with("_1/config"))
    };
    let service = start("av_x", "1").await;
    client
        .until("the document", |client| now(client).is_some())
        .await;
    let document = client.message(&now(&client).unwrap()).await;
    service.stop().await;

    // As the earlier version left it.
    let properties = document.properties.unwrap();
    client
        .publish_with(EARLIER, document.payload, true, properties)
        .await;
    client.message(EARLIER).await;
    let service = start("av_x", "1").await;
    client.expect(EARLIER, "").await;
    service.stop().await;

    // The same id is another gateway's room, which stays.
    client.clear();
    let other = start("av", "x_1").await;
    client.until("its document", |_| is_of(EARLIER, "av")).await;
    let service = start("av_x", "1").await;
    client
        .until("both documents", |client| {
            now(client).is_some_and(|topic| is_of(&topic, "av_x"))
        })
        .await;
    assert!(is_of(EARLIER, "av"));
    other.stop().await;
    service.stop().await;
    assert!(is_of(EARLIER, "av"));
    device.stop().await;
}
