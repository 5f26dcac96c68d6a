//! The processes that are measured: started here, ended when dropped.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::free_ports;

/// No process may have more files open than this; a device has two.
const DEVICES_A_PROCESS: usize = 2_500;
const SOON: Duration = Duration::from_secs(120);

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

    /// What it has used of the processor, to a tick of 10 ms.
    pub fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        let after = stat.rsplit(')').next().unwrap_or_default();
        let fields = after.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn status(&self, key: &str) -> u64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Resident memory that is not pages of files, in KiB.
    pub fn anonymous(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// How often its threads went to sleep: each is a wake-up later.
    pub fn wakeups(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        tasks
            .filter_map(|task| {
                let status = std::fs::read_to_string(task.path().join("status")).ok()?;
                let line = status
                    .lines()
                    .find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            })
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

/// The broker, if it is installed.
pub struct Mosquitto {
    pub port: u16,
    pub process: Process,
    _dir: tempfile::TempDir,
}

impl Mosquitto {
    pub fn start() -> Option<Self> {
        let places = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&places)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|dir| dir.join("mosquitto"))
            .find(|path| path.is_file())?;
        let dir = tempfile::tempdir().unwrap();
        let port = free_ports(1);
        let config = dir.path().join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
             persistence false\nmax_queued_messages 0\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&config);
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        listening(port);
        Some(Self {
            port,
            process,
            _dir: dir,
        })
    }
}

fn listening(port: u16) {
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One simulated device.
#[derive(Debug, Clone)]
pub struct Device {
    pub port: u16,
    pub fingerprint: String,
    /// Where its control port is, and which number it has there.
    pub control: (u16, usize),
}

impl Device {
    /// Asks the control port to do, or for, something.
    pub fn control(&self, method: &str, what: &str) -> String {
        let (port, number) = self.control;
        http(port, method, &format!("/{number}/{what}"))
    }
}

/// Simulated devices in as many processes as it takes.
pub struct Simulator {
    pub devices: Vec<Device>,
    processes: Vec<Process>,
}

impl Simulator {
    pub fn start(count: usize) -> Self {
        let mut devices = Vec::with_capacity(count);
        let mut processes = Vec::new();
        while devices.len() < count {
            let here = (count - devices.len()).min(DEVICES_A_PROCESS);
            let control = free_ports(1);
            let mut command = Command::new(env!("CARGO_BIN_EXE_poly2mqtt"));
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
                devices.push(Device {
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

impl Gateway {
    pub fn start(broker: u16, devices: &[Device], more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("poly2mqtt.toml");
        let http = free_ports(1);
        let mut text = format!(
            "{more}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{broker}\"\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\n\
             [defaults]\nuser = \"admin\"\npassword = \"456\"\n"
        );
        for (number, device) in (1..).zip(devices) {
            let _ = write!(
                text,
                "[rooms.{number}]\nurl = \"https://127.0.0.1:{}\"\ncertificate = \"{}\"\n",
                device.port, device.fingerprint
            );
        }
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_poly2mqtt"));
        command.args(["run", "--config"]).arg(&config);
        // What is set for the tests would be taken for configuration.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POLY2MQTT_") {
                command.env_remove(name);
            }
        }
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

    /// The sum of a metric's series whose line contains `with`.
    pub fn metric(&self, name: &str, with: &str) -> f64 {
        let page = http(self.http, "GET", "/metrics");
        let series = page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(with));
        series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// How many requests the devices were sent.
    pub fn requests(&self) -> f64 {
        self.metric("poly2mqtt_device_requests_total", "")
    }

    /// Waits until every room is online.
    pub fn online(&self, rooms: usize) {
        listening(self.http);
        let deadline = Instant::now() + SOON;
        #[allow(clippy::cast_precision_loss)]
        while self.metric("poly2mqtt_room_online", "") < rooms as f64 {
            assert!(Instant::now() < deadline, "not all rooms come online");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A plain request; the answer with its head.
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
