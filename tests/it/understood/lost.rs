//! Most of a device's states cannot be read any more: the room is offline, and comes back with what can be.

use std::collections::BTreeMap;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt::device::DeviceTimings;
use poly2mqtt_test_support::gateway::{config, poll_quickly, room, timings};

use super::*;

/// The list of paired devices is read by POST, and still good. Volume, calls and all else stand still: that must not
/// look as if they were how the room is now, nor may the room come and go.
#[tokio::test]
async fn one_endpoint_that_works_does_not_keep_a_room_online() {
    let it = Gateway::start_quick(Options::default()).await;
    it.online().await;
    for kind in [FaultKind::Page, FaultKind::Status(500)] {
        it.client.clear();
        it.device.add_fault(Fault::on("/rest/", kind).method("GET"));
        it.client.expect("room/1/availability", "offline").await;
        let problem = it.client.message("room/1/problem").await;
        let problem: Value = serde_json::from_slice(&problem.payload).unwrap();
        assert_eq!(problem["code"], "not_understood", "{problem}");
        let before = logins(&it.device);
        let again = |device: &SimulatedDevice| logins(device) > before;
        it.device.wait_for(Duration::from_secs(3), again).await;
        it.device.clear_faults();
        it.client.expect("room/1/availability", "online").await;
        let told = it.client.messages("room/1/availability");
        let told: Vec<_> = told.iter().map(|told| &*told.payload).collect();
        assert_eq!(told, [&b"offline"[..], b"online"]);
    }
    it.stop().await;
}

/// Firmware that says less than the one before is not offline for ever: what it does not tell any more goes.
#[tokio::test]
async fn a_room_comes_back_with_what_still_works() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let mut quick = room(&device);
    poll_quickly(&mut quick);
    let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), quick)]);
    let timings = DeviceTimings {
        loss_before_offline: Duration::from_secs(2),
        trust_after_loss: Duration::from_secs(2),
        ..timings()
    };
    let service = App::start(config(BrokerUrl::Off, rooms), timings)
        .await
        .unwrap();
    let store = service.store();
    let is = |topic: &str, wanted: &str| {
        let value = store.get(topic);
        value.is_some_and(|value| value.payload == wanted)
    };
    let (availability, volume) = ("room/1/availability", "room/1/audio/volume");
    let all_is_there = || is(volume, "62") && store.get("room/1/system/devices").is_some();
    assert!(device.wait_for(SOON, |_| all_is_there()).await);
    // The list of paired devices is read by POST.
    device.add_fault(Fault::on("/rest/", FaultKind::Status(500)).method("GET"));
    assert!(device.wait_for(SOON, |_| is(availability, "offline")).await);
    assert!(is(volume, "62"));
    assert!(device.wait_for(SOON, |_| is(availability, "online")).await);
    assert_eq!(store.get(volume), None);
    assert!(store.get("room/1/system/devices").is_some());
    // What works again is told, though it is as before.
    device.clear_faults();
    assert!(device.wait_for(SOON, |_| is(volume, "62")).await);
    assert!(is(availability, "online"));
    service.stop().await;
}
