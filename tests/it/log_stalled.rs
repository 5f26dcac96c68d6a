//! Whoever reads the log may stop reading without leaving, as a container's log driver does: rooms and
//! doors go on, lines are lost and counted.

use std::io::Read;
use std::process::{ChildStderr, Stdio};
use std::time::{Duration, Instant};

use poly2mqtt_simulator::{Options, SimulatedDevice};
use tokio::time::timeout;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::{post, text};
use poly2mqtt_test_support::program::{Running, free_port, listening, program};

/// A gateway that writes much into a log that nobody reads.
struct Stalled {
    gateway: Running,
    stderr: ChildStderr,
    at: String,
    device: SimulatedDevice,
    _dir: tempfile::TempDir,
}

impl Stalled {
    /// Runs until lines were lost. Every answer must come meanwhile.
    async fn start(format: &str) -> Self {
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poly2mqtt.toml");
        let port = free_port();
        let config = format!(
            "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n[rooms.1]\n\
             url = \"{}\"\npassword = \"456\"\ncertificate = \"{}\"\n",
            device.url(),
            device.fingerprint()
        );
        std::fs::write(&path, config).unwrap();
        let mut command = program(&["run", "--config", path.to_str().unwrap()]);
        command
            .env(
                "POLY2MQTT_LOG",
                "trace,rustls=trace,hyper_util=trace,hyper=trace,mio=trace",
            )
            .env("POLY2MQTT_LOG_FORMAT", format)
            .stderr(Stdio::piped());
        let mut gateway = Running::start(command);
        let stderr = gateway.stderr();
        listening(port);
        let stalled = Self {
            gateway,
            stderr,
            at: format!("http://127.0.0.1:{port}"),
            device,
            _dir: dir,
        };
        let started = Instant::now();
        while stalled.lost().await == 0 {
            assert!(started.elapsed() < 4 * SOON, "no line is lost");
            for _ in 0..20 {
                stalled.answers().await;
            }
        }
        stalled
    }

    /// A command and a page are answered in time.
    async fn answers(&self) {
        let set = format!("{}/room/1/audio/volume/set", self.at);
        let result = timeout(SOON, post(&set, "loud")).await;
        let (status, result) = result.expect("a command is answered");
        assert_eq!(status, 400, "{result}");
        let page = timeout(SOON, text(&format!("{}/healthz", self.at))).await;
        assert_eq!(page.expect("a page comes"), "ok\n");
    }

    /// How many lines of the log are lost, as the metrics say.
    async fn lost(&self) -> u64 {
        let metrics = timeout(SOON, text(&format!("{}/metrics", self.at))).await;
        let metrics = metrics.expect("the metrics come");
        let mut lines = metrics.lines();
        let lost = lines.find_map(|line| line.strip_prefix("poly2mqtt_log_lines_dropped_total "));
        lost.unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_neither_doors_nor_the_end() {
    let stalled = Stalled::start("text").await;
    stalled.answers().await;
    let gateway = stalled.gateway;
    let ending = tokio::task::spawn_blocking(|| gateway.terminate());
    let (status, _) = timeout(SOON, ending).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    // Logged out of, so the stop was whole.
    assert_eq!(stalled.device.sessions(), 0);
    stalled.device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_read_again_says_what_is_missing_and_has_its_last_line() {
    for format in ["text", "json"] {
        let stalled = Stalled::start(format).await;
        let mut stderr = stalled.stderr;
        let reading = tokio::task::spawn_blocking(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8(log).unwrap()
        });
        // Time to read what waits.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let gateway = stalled.gateway;
        let ending = tokio::task::spawn_blocking(|| gateway.terminate());
        let (status, _) = timeout(SOON, ending).await.expect("it ends").unwrap();
        assert_eq!(status.code(), Some(0));
        let log = reading.await.unwrap();
        assert!(log.len() > 1 << 20, "{}", log.len());
        assert!(log.contains("lines are missing here"), "{format}");
        let stopping = log.rfind("stopping").expect("the end is in the log");
        assert!(log.find("lines are missing here").unwrap() < stopping);
        assert!(log.ends_with('\n'));
        stalled.device.stop().await;
    }
}
