//! Rooms that are added, changed and removed, and rooms beside each other.

use poly2mqtt::app::App;
use poly2mqtt::config::RoomId;
use poly2mqtt_simulator::{Options, SimulatedDevice};

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::gateway::{Gateway, room, timings};
use poly2mqtt_test_support::{BrokerKind, mosquitto};

#[tokio::test]
async fn a_room_is_added_and_taken_away_without_touching_the_others() {
    let mut it = Gateway::start(BrokerKind::Embedded, Options::default()).await;
    it.online().await;
    let other = SimulatedDevice::start(Options::default()).await.unwrap();
    let mut two = it.config.clone();
    two.rooms
        .insert(RoomId::new("b-2").unwrap(), room(&other).into());
    it.service.reload(two).await.unwrap();
    it.client.expect("room/b-2/availability", "online").await;
    it.client.expect("room/b-2/audio/volume", "62").await;
    let result = it.client.command("room/b-2/audio/volume/set", "3").await;
    assert_eq!(result["ok"], true, "{result}");
    it.service.reload(it.config.clone()).await.unwrap();
    it.client.expect("room/b-2/audio/volume", "").await;
    it.client.expect("room/b-2/availability", "").await;
    it.client.expect("room/b-2/problem", "").await;
    assert_eq!(other.sessions(), 0);
    let result = it.client.command("room/b-2/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "unknown_room");
    // The first room was not affected.
    it.never_offline();
    let logins = it.device.journal();
    let logins = logins.iter().filter(|entry| entry.path == "/rest/session");
    assert_eq!(logins.count(), 1);
    other.stop().await;
    it.stop().await;
}

#[tokio::test]
async fn a_room_without_a_device_is_not_felt_in_another() {
    let mut it = Gateway::start(BrokerKind::Embedded, Options::default()).await;
    let gone = SimulatedDevice::start(Options::default()).await.unwrap();
    let mut two = it.config.clone();
    two.rooms
        .insert(RoomId::new("gone").unwrap(), room(&gone).into());
    gone.stop().await;
    it.service.reload(two).await.unwrap();
    it.online().await;
    it.client.expect("room/gone/availability", "offline").await;
    it.client.message("room/gone/problem").await;
    let result = it.client.command("room/gone/audio/mute", "").await;
    assert_eq!(result["error"]["code"], "offline", "{result}");
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    it.stop().await;
}

/// What an earlier run left at a broker is cleaned up: states that no longer exist, and rooms that are
/// no longer configured. Topics of other programs are not touched.
#[tokio::test]
async fn an_earlier_runs_states_do_not_outlive_it() {
    if mosquitto().is_none() {
        return;
    }
    let mut it = Gateway::start(BrokerKind::Mosquitto, Options::default()).await;
    it.online().await;
    let other = SimulatedDevice::start(Options::default()).await.unwrap();
    let mut two = it.config.clone();
    two.rooms
        .insert(RoomId::new("2").unwrap(), room(&other).into());
    it.service.reload(two).await.unwrap();
    it.client.expect("room/2/audio/volume", "62").await;
    it.client.command("room/1/call/dial", "a@b").await;
    it.client.message("room/1/call/media_stats").await;
    let none = rumqttc::v5::mqttbytes::v5::PublishProperties::default;
    for (topic, payload) in [
        ("room/9/audio/volume", "another gateway's"),
        ("room/1/notes", "somebody's"),
    ] {
        it.client.publish_with(topic, payload, true, none()).await;
    }
    it.service.stop().await;
    it.device.person_hangs_up();
    let service = App::start(it.config.clone(), timings()).await.unwrap();
    it.client.expect("room/1/call/media_stats", "").await;
    it.client.expect("room/2/audio/volume", "").await;
    it.client.expect("room/2/availability", "").await;
    it.client.expect("room/1/call/state", "idle").await;
    let late = Client::connect(it.port).await;
    late.expect("room/9/audio/volume", "another gateway's")
        .await;
    late.expect("room/1/notes", "somebody's").await;
    assert!(late.messages("room/2/audio/volume").is_empty());
    service.stop().await;
    it.device.stop().await;
    other.stop().await;
}
