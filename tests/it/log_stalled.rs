//! Whoever reads the log may stop reading without leaving, as a container's log driver does: rooms and
//! doors go on, lines are lost and counted.

use std::fmt::Write;
use std::io::Read;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use poly2mqtt_simulator::{Options, SimulatedDevice};
use tokio::time::timeout;

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::{Lines, Socket, post, text};
use poly2mqtt_test_support::program::{Running, listening, program};
use poly2mqtt_test_support::{SOON, free_port, until};

/// Rooms whose failed commands fill the log: ten of each have a line, together the thousand that may have
/// one in a minute.
const UNREACHABLE_ROOMS: usize = 100;
const LINES_OF_A_ROOM: usize = 10;
/// What the log takes while nobody reads: its queue, and a pipe.
const MOST_WAITING_BYTES: usize = (1 << 20) + (64 << 10);

/// A gateway that writes much into a log that nobody reads.
struct Stalled {
    gateway: Running,
    stderr: ChildStderr,
    ports: [u16; 3],
    device: SimulatedDevice,
    _dir: tempfile::TempDir,
}

impl Stalled {
    /// Runs until lines were lost. Every answer must come meanwhile.
    async fn start(format: &str) -> Self {
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poly2mqtt.toml");
        let ports = [free_port(), free_port(), free_port()];
        let [mqtt, http, tcp] = ports;
        let mut config = format!(
            "[mqtt]\nurl = \"embedded://127.0.0.1:{mqtt}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
             [tcp]\nlisten = \"127.0.0.1:{tcp}\"\n[rooms.1]\nurl = \"{}\"\npassword = \"456\"\n\
             certificate = \"{}\"\n",
            device.url(),
            device.fingerprint()
        );
        for number in 0..UNREACHABLE_ROOMS {
            let room =
                "url = \"https://127.0.0.1:1\"\npassword = \"x\"\ncertificate = \"insecure\"";
            writeln!(config, "[rooms.unreachable-{number}]\n{room}").unwrap();
        }
        std::fs::write(&path, config).unwrap();
        let mut command = program(&["run", "--config", path.to_str().unwrap()]);
        command.env("POLY2MQTT_LOG_FORMAT", format);
        command.stderr(Stdio::piped());
        let mut gateway = Running::start(command);
        let stderr = gateway.stderr();
        listening(tcp);
        let stalled = Self {
            gateway,
            stderr,
            ports,
            device,
            _dir: dir,
        };
        stalled.fill().await;
        assert!(stalled.lost().await > 0, "no line is lost");
        stalled
    }

    /// Sends commands that fail, whose lines are more than the log takes.
    async fn fill(&self) {
        let [.., tcp] = self.ports;
        let mut lines = Lines::connect(([127, 0, 0, 1], tcp).into()).await;
        // Four bytes a character, and escaped nowhere.
        let unknown = "\u{1f39b}".repeat(300);
        assert!(UNREACHABLE_ROOMS * LINES_OF_A_ROOM * unknown.len() > MOST_WAITING_BYTES);
        for number in 0..UNREACHABLE_ROOMS {
            let command = format!("room/unreachable-{number}/{unknown}\n");
            lines.send(&command.repeat(LINES_OF_A_ROOM)).await;
            for _ in 0..LINES_OF_A_ROOM {
                let answer = lines.line().await.expect("an answer");
                assert!(answer.contains(" error unknown_command "), "{answer}");
            }
        }
    }

    /// Every door answers, and the room carries out commands.
    async fn answers(&self) {
        let [mqtt, http, tcp] = self.ports;
        let before = Instant::now();
        let client = Client::connect(mqtt).await;
        let result = client.command("room/1/audio/volume/set", "31").await;
        assert_eq!(result["ok"], true, "{result}");
        let set = format!("http://127.0.0.1:{http}/room/1/audio/volume/set");
        let (status, result) = post(&set, "32").await;
        assert_eq!(status, 200, "{result}");
        let page = text(&format!("http://127.0.0.1:{http}/healthz")).await;
        assert_eq!(page, "ok\n");
        let mut socket = Socket::connect(&format!("ws://127.0.0.1:{http}/ws")).await;
        let set = "\"topic\":\"room/1/audio/volume/set\",\"payload\":33";
        let answer = socket.ask(1, set).await;
        assert_eq!(answer["payload"]["ok"], true, "{answer}");
        let mut lines = Lines::connect(([127, 0, 0, 1], tcp).into()).await;
        lines.send("room/1/audio/volume/set 34\n").await;
        lines.until("room/1/audio/volume/set/result ok").await;
        assert!(before.elapsed() < SOON);
    }

    /// How many lines of the log are lost, as the metrics say.
    async fn lost(&self) -> u64 {
        let [_, http, _] = self.ports;
        let metrics = text(&format!("http://127.0.0.1:{http}/metrics")).await;
        let mut lines = metrics.lines();
        let lost = lines.find_map(|line| line.strip_prefix("poly2mqtt_log_lines_dropped_total "));
        lost.unwrap().parse().unwrap()
    }
}

/// Ends it, which must not take long; gives nothing that is left to read.
async fn terminate(gateway: Running) {
    let ending = tokio::task::spawn_blocking(|| gateway.terminate());
    let (status, _) = timeout(SOON, ending).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_stops_neither_doors_nor_the_end() {
    let stalled = Stalled::start("text").await;
    stalled.answers().await;
    let _unread = stalled.stderr;
    terminate(stalled.gateway).await;
    // Logged out of, so the stop was whole.
    assert_eq!(stalled.device.sessions(), 0);
    stalled.device.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_read_again_says_what_is_missing_and_has_its_last_line() {
    let reads = ["text", "json"].map(|format| async move {
        let stalled = Stalled::start(format).await;
        let lost = stalled.lost().await;
        let mut stderr = stalled.stderr;
        let read = Arc::<AtomicUsize>::default();
        let count = read.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let (mut log, mut part) = (Vec::new(), [0; 16 << 10]);
            while let Ok(length @ 1..) = stderr.read(&mut part) {
                log.extend_from_slice(&part[..length]);
                count.fetch_add(length, Ordering::Relaxed);
            }
            String::from_utf8(log).unwrap()
        });
        // As much as waits.
        let is_read = async || read.load(Ordering::Relaxed) >= 1 << 20;
        until(|| "what waits is read".into(), is_read).await;
        terminate(stalled.gateway).await;
        let log = reading.await.unwrap();
        let missing: Vec<_> = log
            .lines()
            .filter(|line| line.contains("lines are missing here"))
            .collect();
        let [missing] = missing[..] else {
            panic!("{missing:?}");
        };
        let count = match format {
            "json" => format!("\"count\":{lost}}}"),
            _ => format!("count={lost}"),
        };
        assert!(missing.contains(&count), "{missing}");
        assert!(log.find(missing).unwrap() < log.rfind("stopping").expect("the end is in the log"));
        assert!(log.ends_with('\n'));
        if format == "json" {
            for line in log.lines() {
                let _: serde_json::Value = serde_json::from_str(line).expect(line);
            }
        }
        stalled.device.stop().await;
    });
    join_all(reads).await;
}

/// A start that fails says why after the lines before it, and ends also where nobody reads.
#[test]
fn a_start_that_fails_says_why_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poly2mqtt.toml");
    // More messages than a pipe takes: each names a key.
    let unknown = |number| format!("unknown_key_{number} = 1\n");
    let config: String = (1000..3000).map(unknown).collect();
    std::fs::write(&path, config).unwrap();
    let run = || {
        let mut command = program(&["run", "--config", path.to_str().unwrap()]);
        command.stderr(Stdio::piped());
        command
    };
    let output = Command::output(&mut run()).unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.len() > 64 << 10, "{}", told.len());
    let last = told.lines().last().unwrap();
    assert!(last.contains("unknown_key_2999: unknown key"), "{last}");
    assert_eq!(told.matches(": unknown key;").count(), 2000);

    let started = Instant::now();
    let mut unread = Running::start(run());
    let _stderr = unread.stderr();
    assert_eq!(unread.wait().code(), Some(2));
    assert!(started.elapsed() < SOON);
}
