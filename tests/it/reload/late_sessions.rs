//! A log-in that outlives its room: what it brings is not lost.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// The room that a reload replaces does not wait for ever for its log-in, and what that brings late is still the
/// gateway's: it stands beside what the next room has until the device has released it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_comes_after_its_room_has_ended_is_kept_until_it_is_released() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let late = FaultKind::Delay(std::time::Duration::from_secs(60));
    device.add_fault(Fault::on("/rest/session", late).method("POST").times(1));
    let dir = tempfile::tempdir().unwrap();
    let (mqtt, http) = (free_port(), free_port());
    let (path, log) = (dir.path().join("poly2mqtt.toml"), dir.path().join("log"));
    let runtime = dir.path().join("run");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    let configure = |more: &str| {
        fs::write(
            &path,
            text(mqtt, http, &["first"], &room("1", &device, more)),
        )
        .unwrap();
    };
    configure("");
    let mut command = program(&["run", "--config", path.to_str().unwrap()]);
    command.env("POLY2MQTT_RUNTIME_DIR", &runtime);
    command.stderr(File::create(&log).unwrap());
    let gateway = Running::start(command);
    listening(mqtt);
    assert!(device.wait_for(SOON, |device| device.delayed() == 1).await);
    configure("name = \"Renamed\"");
    gateway.signal("HUP");
    let watch = Client::connect(mqtt).await;
    watch.expect("room/1/availability", "online").await;
    assert_eq!((device.delayed(), device.sessions()), (1, 1));
    let own = device.session_ids();
    // It cannot be released at once.
    device.add_fault(Fault::on("/rest/session", FaultKind::Status(503)).method("DELETE"));
    device.end_delays();
    assert!(device.wait_for(SOON, |device| device.sessions() == 2).await);
    let stored = || {
        let files = fs::read_dir(&runtime).unwrap().flatten();
        let texts = files.map(|file| fs::read_to_string(file.path()).unwrap_or_default());
        texts.collect::<String>()
    };
    let both = device.session_ids();
    let what = || format!("{} sessions are stored", both.len());
    let has_all = |ids: &[String]| ids.iter().all(|id| stored().contains(id.as_str()));
    until(what, async || has_all(&both)).await;
    // Later it can.
    device.clear_faults();
    assert!(device.wait_for(SOON, |device| device.sessions() == 1).await);
    assert_eq!(device.session_ids(), own);
    let gone: Vec<_> = both.iter().filter(|id| !own.contains(id)).collect();
    let what = || "only the session in use is stored".to_owned();
    until(what, async || {
        has_all(&own) && !stored().contains(gone[0].as_str())
    })
    .await;
    watch.never_offline("1");
    let ended = tokio::task::spawn_blocking(|| gateway.terminate());
    assert_eq!(ended.await.unwrap().0.code(), Some(0));
    assert_eq!(device.sessions(), 0);
    device.stop().await;
}
