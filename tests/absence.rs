//! A device that goes away and comes back, as the room's topics tell it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use poly2mqtt::simulator::Options;

use common::Kind;
use common::client::text;
use common::gateway::Gateway;

/// A remembered session is no proof that the device is there: it must not read as `online`
/// between two attempts to reach it.
#[tokio::test]
async fn a_room_stays_offline_for_as_long_as_its_device_is_away() {
    let it = Gateway::start(Kind::Embedded, Options::default()).await;
    it.online().await;
    it.client.clear();
    // Long enough for several attempts, which come every 100 ms at first.
    it.device.reboot(Duration::from_secs(2));
    it.problem("offline").await;
    it.online().await;
    let told = it.client.messages("room/1/availability");
    let told: Vec<String> = told.iter().map(text).collect();
    assert_eq!(told, ["offline", "online"]);
    let sessions = it.device.sessions();
    assert_eq!(sessions, 1);
    it.stop().await;
}
