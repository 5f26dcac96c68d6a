//! The lines of libraries, which come through another interface than the gateway's own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use poly2mqtt_simulator::{Options, SimulatedDevice};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use poly2mqtt_test_support::program::{Running, program};
use poly2mqtt_test_support::{SOON, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_names_a_library_shows_its_lines() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poly2mqtt.toml");
    let config = format!(
        "[mqtt]\nurl = \"embedded://127.0.0.1:{}\"\n[http]\nlisten = \"off\"\n[rooms.1]\nurl = \"{}\"\npassword = \"456\"\n\
         certificate = \"{}\"\n",
        free_port(),
        device.url(),
        device.fingerprint()
    );
    std::fs::write(&path, config).unwrap();
    let mut command = program(&["run", "--config", path.to_str().unwrap()]);
    command.env("POLY2MQTT_LOG", "off,rustls=debug");
    command.stderr(Stdio::piped());
    let mut gateway = Running::start(command);
    let mut lines = BufReader::new(gateway.stderr()).lines();
    let first = spawn_blocking(move || lines.next());
    let line = timeout(SOON, first).await.unwrap().unwrap();
    let line = line.expect("the gateway writes a line").unwrap();
    assert!(line.contains("DEBUG") && line.contains("rustls"), "{line}");
    // The name of its room is there too.
    assert!(line.contains("room=\"1\""), "{line}");
}
