//! What a session, or a room, leaves at its end: nothing at the device that nobody knows of.

use std::time::Duration;

use poly2mqtt::config::{Certificate, RoomId};
use poly2mqtt_simulator::{Fault, FaultKind, Firmware, Options, SimulatedDevice};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::gateway::{Gateway, configured, room};

use super::sessions::{logins, start};

/// Firmware without a log-out is asked for it once.
#[tokio::test]
async fn a_log_out_that_the_device_lacks_is_not_repeated() {
    for fault in [None, Some(405), Some(501)] {
        let firmware = match fault {
            // It has POST only.
            None => Firmware::V4_4,
            Some(_) => Firmware::V4_6_2,
        };
        let it = start(Options {
            firmware,
            ..Options::default()
        })
        .await;
        if let Some(status) = fault {
            let fault = Fault::on("/rest/session", FaultKind::Status(status));
            it.device.add_fault(fault.method("DELETE"));
        }
        let result = it.client.command("room/1/session/renew", "").await;
        assert_eq!(result["ok"], true, "{result}");
        // A log-out that failed would be repeated before the log-in, and a second after it.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let journal = it.device.journal();
        let log_outs = journal.iter().filter(|entry| entry.method == "DELETE");
        assert_eq!(log_outs.count(), 1, "{fault:?}");
        it.stop().await;
    }
}

/// Its session is used on: such a device holds each for days, and has few.
#[tokio::test]
async fn a_device_without_a_log_out_has_one_session_of_the_gateways() {
    let mut it = start(Options {
        firmware: Firmware::V4_4,
        ..Options::default()
    })
    .await;
    let works = async |it: &Gateway| {
        let result = it.client.command("room/1/audio/mute", "").await;
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!((logins(it), it.device.sessions()), (1, 1));
    };
    for name in ["Boardroom", "Lobby", "Office"] {
        let mut config = it.config.clone();
        configured(&mut config, "1").name = Some(name.into());
        it.client.clear();
        it.service.reload(config).await.unwrap();
        it.online().await;
        works(&it).await;
    }
    // Who asks for it gets a new one, and is told what that costs.
    let result = it.client.command("room/1/session/renew", "").await;
    let warning = result["warning"].as_str().unwrap();
    assert!(warning.contains("no log-out"), "{result}");
    assert_eq!((logins(&it), it.device.sessions()), (2, 2));
    // A session that has ended is not used on.
    it.device.expire_sessions();
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!((logins(&it), it.device.sessions()), (3, 1));
    it.stop().await;
}

/// A camera's pending stop is not forgotten when its room is replaced.
#[tokio::test]
async fn a_camera_that_moves_while_its_room_is_replaced_is_stopped() {
    let mut it = start(Options::default()).await;
    let result = it.moves_left(1000).await;
    assert_eq!(result["ok"], true, "{result}");
    it.device.new_certificate().unwrap();
    it.problem("certificate_changed").await;
    let mut config = it.config.clone();
    for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
        room.certificate = Certificate::parse(&it.device.fingerprint()).unwrap();
    }
    it.service.reload(config).await.unwrap();
    it.camera_stops(SOON).await;
    it.stop().await;
}

/// It belongs to the device: the room may be renamed, and its name given to another device.
#[tokio::test]
async fn a_camera_that_moves_while_its_room_is_renamed_is_stopped() {
    let mut it = start(Options::default()).await;
    let result = it.moves_left(1000).await;
    assert_eq!(result["ok"], true, "{result}");
    it.device.new_certificate().unwrap();
    it.problem("certificate_changed").await;
    let other = SimulatedDevice::start(Options::default()).await.unwrap();
    let mut config = it.config.clone();
    let mut renamed = configured(&mut config, "1").clone();
    renamed.certificate = Certificate::parse(&it.device.fingerprint()).unwrap();
    let id = RoomId::new("renamed").unwrap();
    config.rooms.insert(id, renamed.into());
    *configured(&mut config, "1") = room(&other);
    it.client.clear();
    it.service.reload(config).await.unwrap();
    it.camera_stops(SOON).await;
    it.online().await;
    let mut journal = other.journal().into_iter();
    assert!(!journal.any(|entry| entry.method == "POST" && entry.path == "/rest/cameras"));
    it.stop().await;
    other.stop().await;
}

/// The reload does not touch the room that has the device now.
#[tokio::test]
async fn a_camera_that_moves_while_its_room_goes_is_stopped_by_the_other_room_of_its_device() {
    let mut it = start(Options::default()).await;
    let mut config = it.config.clone();
    let mut other = configured(&mut config, "1").clone();
    other.certificate = Certificate::parse("insecure").unwrap();
    config.rooms.insert(RoomId::new("2").unwrap(), other.into());
    it.service.reload(config.clone()).await.unwrap();
    let result = it.moves_left(1000).await;
    assert_eq!(result["ok"], true, "{result}");
    it.device.new_certificate().unwrap();
    it.problem("certificate_changed").await;
    config.rooms.remove("1");
    it.service.reload(config).await.unwrap();
    it.camera_stops(SOON).await;
    it.stop().await;
}

/// A log-in that takes longer than the gateway waits leaves no unknown session behind.
#[tokio::test]
async fn a_slow_log_in_loses_no_session() {
    let it = start(Options::default()).await;
    it.device.add_fault(
        Fault::on("/rest/session", FaultKind::Delay(Duration::from_secs(4)))
            .method("POST")
            .times(1),
    );
    it.device.expire_sessions();
    let renewed = |device: &poly2mqtt_simulator::SimulatedDevice| device.sessions() == 1;
    assert!(it.device.wait_for(SOON, renewed).await);
    let result = it.client.command("room/1/audio/mute", "").await;
    assert_eq!(result["ok"], true, "{result}");
    assert_eq!(it.device.sessions(), 1);
    assert_eq!(logins(&it), 2);
    let device = it.device.clone();
    it.service.stop().await;
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}

/// A log-in that is on its way makes a session, so a gateway that stops waits for it.
#[tokio::test]
async fn a_log_in_that_is_under_way_at_the_end_leaves_no_session() {
    let it = start(Options::default()).await;
    let late = FaultKind::Delay(Duration::from_secs(4));
    let late = Fault::on("/rest/session", late).method("POST").times(1);
    it.device.add_fault(late);
    it.device.expire_sessions();
    let device = it.device.clone();
    let held = |device: &SimulatedDevice| device.delayed() == 1;
    assert!(device.wait_for(SOON, held).await);
    it.service.stop().await;
    assert_eq!((device.delayed(), device.sessions()), (0, 0));
    device.stop().await;
}

/// A device without a log-out still takes the session of before when it has none left for a new one.
#[tokio::test]
async fn a_session_that_cannot_be_renewed_stays_in_use() {
    let it = start(Options {
        firmware: Firmware::V4_4,
        ..Options::default()
    })
    .await;
    let full = Fault::on("/rest/session", FaultKind::Status(503)).method("POST");
    it.device.add_fault(full);
    let result = it.client.command("room/1/session/renew", "").await;
    assert_eq!(result["ok"], false, "{result}");
    for _ in 0..2 {
        let result = it.client.command("room/1/audio/mute", "").await;
        assert_eq!(result["ok"], true, "{result}");
    }
    it.never_offline();
    assert_eq!(it.device.sessions(), 1);
    it.device.clear_faults();
    it.stop().await;
}

#[tokio::test]
async fn the_session_is_freed_at_the_end() {
    let it = start(Options::default()).await;
    let device = it.device.clone();
    it.service.stop().await;
    assert_eq!(device.sessions(), 0);
    it.client.expect("room/1/availability", "offline").await;
    device.stop().await;
}
