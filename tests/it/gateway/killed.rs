//! A gateway that was killed uses its old session at the device again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use poly2mqtt::app::{App, AppOptions};
use poly2mqtt::config::{BrokerUrl, RoomId};
use poly2mqtt::device::DeviceTimings;
use poly2mqtt_simulator::{Fault, FaultKind, Firmware, Options, SimulatedDevice};
use tokio::runtime::Runtime;

use poly2mqtt_test_support::gateway::{config, room, timings};
use poly2mqtt_test_support::{SOON, until};

/// A gateway in its own runtime, which can be shut down at once, as if the process were killed.
struct Killable {
    runtime: Runtime,
    service: App,
}

impl Killable {
    async fn start(device: &SimulatedDevice, directory: &Path) -> Self {
        let it = Self::begin(device, directory).await;
        it.has(device, "room/1/audio/volume").await;
        it
    }

    /// Waits until there is a state.
    async fn has(&self, device: &SimulatedDevice, topic: &str) {
        let is_there = || self.service.store().get(topic).is_some();
        let up = device.wait_for(SOON, |_| is_there()).await;
        assert!(up, "never {topic}");
    }

    /// Starts it, and does not wait for the room.
    async fn begin(device: &SimulatedDevice, directory: &Path) -> Self {
        Self::begin_with(device, directory, timings()).await
    }

    async fn begin_with(
        device: &SimulatedDevice,
        directory: &Path,
        timings: DeviceTimings,
    ) -> Self {
        let url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        let mut room = room(device);
        room.poll.meters = false;
        let rooms = BTreeMap::from([(RoomId::new("1").unwrap(), room)]);
        let options = AppOptions {
            timings,
            runtime: Some(directory.to_owned()),
            ..AppOptions::default()
        };
        let runtime = Runtime::new().unwrap();
        let started = App::start_with(config(url, rooms), options);
        let service = runtime.spawn(started).await.unwrap().unwrap();
        Self { runtime, service }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }

    async fn stop(self) {
        self.runtime.spawn(self.service.stop()).await.unwrap();
        self.runtime.shutdown_background();
    }
}

fn logins(device: &SimulatedDevice) -> usize {
    let journal = device.journal();
    let session = journal.iter().filter(|entry| entry.path == "/rest/session");
    session.filter(|entry| entry.method == "POST").count()
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn the_session_is_used_again_and_freed_at_the_end() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let it = Killable::start(&device, directory.path()).await;
        assert_eq!((logins(&device), device.sessions()), (1, 1));
        it.kill();
    }
    let it = Killable::start(&device, directory.path()).await;
    let state = it.service.store().get("room/1/session").unwrap();
    assert!(String::from_utf8_lossy(&state.payload).contains("ADMIN"));
    it.stop().await;
    assert_eq!(device.sessions(), 0);
    assert_eq!(files(directory.path()), 0);
    device.stop().await;
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_costs_a_log_in() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    Killable::start(&device, directory.path()).await.kill();
    device.expire_sessions();
    let it = Killable::start(&device, directory.path()).await;
    assert_eq!((logins(&device), device.sessions()), (2, 1));
    it.stop().await;
    device.stop().await;
}

/// One request that hangs says nothing of the session, nor of the device.
#[tokio::test]
async fn a_session_is_asked_for_by_another_request_where_one_hangs() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    Killable::start(&device, directory.path()).await.kill();
    let late = FaultKind::Delay(Duration::from_secs(60));
    device.add_fault(Fault::on("/rest/audio", late).method("GET"));
    let it = Killable::begin(&device, directory.path()).await;
    it.has(&device, "room/1/system/info").await;
    assert_eq!(logins(&device), 1);
    it.stop().await;
    device.stop().await;
}

/// Firmware 4.4 has no log-out, and holds each session for days.
#[tokio::test]
async fn a_session_that_the_device_cannot_free_is_used_by_the_next_start() {
    let options = Options {
        firmware: Firmware::V4_4,
        ..Options::default()
    };
    let device = SimulatedDevice::start(options).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let it = Killable::start(&device, directory.path()).await;
        it.stop().await;
        assert_eq!((logins(&device), device.sessions()), (1, 1));
        assert_eq!(files(directory.path()), 1);
    }
    device.expire_sessions();
    let it = Killable::start(&device, directory.path()).await;
    assert_eq!((logins(&device), device.sessions()), (2, 1));
    it.stop().await;
    device.stop().await;
}

/// A log-out that did not reach the device is repeated at the next start.
#[tokio::test]
async fn a_session_that_cannot_be_freed_is_not_forgotten() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let it = Killable::start(&device, directory.path()).await;
    device.add_fault(Fault::on("/rest/session", FaultKind::DropBefore).method("DELETE"));
    it.stop().await;
    assert_eq!((device.sessions(), files(directory.path())), (1, 1));
    device.clear_faults();
    Killable::start(&device, directory.path())
        .await
        .stop()
        .await;
    assert_eq!((device.sessions(), files(directory.path())), (0, 0));
    device.stop().await;
}

fn patient() -> DeviceTimings {
    DeviceTimings {
        retry_after_refused_login: Duration::from_secs(600),
        ..timings()
    }
}

/// A gateway that is started again and again, by hand or because it fails, locks nobody out of the device.
#[tokio::test]
async fn restarts_do_not_try_a_wrong_password_again_and_again() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    device.person_sets_password("another");
    let directory = tempfile::tempdir().unwrap();
    let problem = |it: &Killable| {
        let problem = it.service.store().get("room/1/problem")?;
        let problem = String::from_utf8_lossy(&problem.payload).into_owned();
        problem.contains("unauthorized").then_some(problem)
    };
    let mut told = String::new();
    for _ in 0..12 {
        let it = Killable::begin_with(&device, directory.path(), patient()).await;
        // The device need not be asked for that.
        let is_told = async || problem(&it).is_some();
        until(|| "a refused password".to_owned(), is_told).await;
        told = problem(&it).unwrap();
        it.kill();
    }
    assert_eq!(logins(&device), 4);
    assert!(told.contains("refused 4 log-ins within an hour"), "{told}");
    device.stop().await;
}

/// So it is with the session of an earlier run: the password was right then.
#[tokio::test]
async fn a_device_that_refuses_everybody_for_a_moment_is_soon_back_after_a_restart_too() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    Killable::start(&device, directory.path()).await.kill();
    let it = Killable::begin_with(&device, directory.path(), patient()).await;
    it.has(&device, "room/1/audio/volume").await;
    let is = |wanted: &str| {
        let state = it.service.store().get("room/1/availability");
        state.is_some_and(|state| state.payload == wanted)
    };
    device.person_sets_password("another");
    device.expire_sessions();
    assert!(device.wait_for(SOON, |_| is("offline")).await);
    device.person_sets_password("456");
    assert!(device.wait_for(SOON, |_| is("online")).await);
    assert_eq!(logins(&device), 3);
    it.stop().await;
    device.stop().await;
}
