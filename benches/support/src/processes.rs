//! The processes that are measured. They are started here and end when they are dropped.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ONLINE_TIMEOUT;
use super::program::{self, free_port, listening};

/// A device has two or more open files, and a process is often limited to 20,000.
const DEVICES_PER_PROCESS: usize = 2_500;

/// A running program.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap_or_default()
    }

    /// The processor time it has used.
    pub fn cpu(&self) -> Duration {
        cpu(self.0.id())
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        number(&self.read("status"), "VmRSS:")
    }

    /// Resident memory without the pages of files, in KiB.
    pub fn anonymous(&self) -> u64 {
        number(&self.read("status"), "RssAnon:")
    }

    /// The number of open files.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    /// How often its threads went to sleep. Each time is followed by a wake-up.
    pub fn wakeups(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
            .map(|status| number(&status, "voluntary_ctxt_switches:"))
            .sum()
    }

    pub fn stdin(&mut self) -> &mut impl std::io::Write {
        self.0.stdin.as_mut().unwrap()
    }

    pub fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let stdout = self.0.stdout.take().unwrap();
        BufReader::new(stdout).lines().map_while(Result::ok)
    }
}

/// The processor time that the threads of a process have used.
pub fn cpu(id: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{id}/task"));
    let threads = threads.into_iter().flatten().flatten();
    // `schedstat` counts nanoseconds; `stat` would count ticks of 10 ms.
    let spent = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// The resident memory of a process in KiB.
pub fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"));
    number(&status.unwrap_or_default(), "VmRSS:")
}

/// The number after `key` in a `status` file of `/proc`.
fn number(status: &str, key: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// One simulated device.
#[derive(Debug, Clone)]
pub struct BenchDevice {
    pub port: u16,
    pub fingerprint: String,
    /// Its simulator's control port, and its number there.
    pub control: (u16, usize),
}

impl BenchDevice {
    /// Sends a request about this device to the control port.
    pub fn control(&self, method: &str, what: &str) -> String {
        let (port, number) = self.control;
        http(port, method, &format!("/{number}/{what}"))
    }
}

/// Simulated devices, in as many processes as they need.
pub struct Simulator {
    pub devices: Vec<BenchDevice>,
    processes: Vec<Process>,
}

impl Simulator {
    pub fn start(count: usize) -> Self {
        Self::start_program(&program::path(), count)
    }

    /// Starts them with this build of the program.
    pub fn start_program(program: &Path, count: usize) -> Self {
        let mut devices = Vec::with_capacity(count);
        let mut processes = Vec::new();
        while devices.len() < count {
            let here = (count - devices.len()).min(DEVICES_PER_PROCESS);
            let control = free_port();
            let mut command = Command::new(program);
            command.args(["simulate", "--rooms", &here.to_string()]);
            command.args(["--listen", "127.0.0.1:0"]);
            command.args(["--control", &format!("127.0.0.1:{control}")]);
            let mut process = Process::start(command.stdout(Stdio::piped()));
            for line in process.lines() {
                // device 1: https://127.0.0.1:8443 user admin password 456 certificate sha256:…
                let mut words = line.split_whitespace();
                let (Some("device"), Some(number)) = (words.next(), words.next()) else {
                    break;
                };
                let number = number.trim_end_matches(':').parse().unwrap();
                let url = words.next().unwrap();
                devices.push(BenchDevice {
                    port: url.rsplit(':').next().unwrap().parse().unwrap(),
                    fingerprint: words.next_back().unwrap().to_owned(),
                    control: (control, number),
                });
            }
            listening(control);
            processes.push(process);
        }
        Self { devices, processes }
    }

    pub fn cpu(&self) -> Duration {
        self.processes.iter().map(Process::cpu).sum()
    }
}

/// The gateway, with a room for each device: `room/1` and so on.
pub struct Gateway {
    pub process: Process,
    pub http: u16,
    pub started: Instant,
    _dir: tempfile::TempDir,
}

/// The part of a configuration that says which rooms there are.
pub fn rooms_text(devices: &[BenchDevice]) -> String {
    let mut text = "[defaults]\nuser = \"admin\"\npassword = \"456\"\n".to_owned();
    for (number, device) in (1..).zip(devices) {
        let _ = write!(
            text,
            "[rooms.{number}]\nurl = \"https://127.0.0.1:{}\"\ncertificate = \"{}\"\n",
            device.port, device.fingerprint
        );
    }
    text
}

impl Gateway {
    pub fn start(broker: u16, devices: &[BenchDevice], more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("poly2mqtt.toml");
        let http = free_port();
        let mut text = format!(
            "{more}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{broker}\"\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\n"
        );
        text.push_str(&rooms_text(devices));
        std::fs::write(&config, text).unwrap();
        let mut command = program::program(&["run", "--config"]);
        command.arg(&config);
        command.env("POLY2MQTT_LOG", "error").stdout(Stdio::null());
        let started = Instant::now();
        let process = Process::start(&mut command);
        Self {
            process,
            http,
            started,
            _dir: dir,
        }
    }

    /// The sum of a metric's series.
    pub fn metric(&self, name: &str) -> f64 {
        let page = http(self.http, "GET", "/metrics");
        let series = page.lines().filter(|line| line.starts_with(name));
        series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The number of requests sent to all devices.
    pub fn requests(&self) -> f64 {
        self.metric("poly2mqtt_device_requests_total")
    }

    /// The number of messages handed to the broker.
    pub fn published(&self) -> f64 {
        self.metric("poly2mqtt_broker_published_total")
    }

    /// Waits until every room is online.
    pub fn online(&self, rooms: usize) {
        listening(self.http);
        let deadline = Instant::now() + ONLINE_TIMEOUT;
        #[allow(clippy::cast_precision_loss)]
        while self.metric("poly2mqtt_room_online") < rooms as f64 {
            assert!(Instant::now() < deadline, "not all rooms come online");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Sends a request without a body and gives the answer, head included.
pub fn http(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
