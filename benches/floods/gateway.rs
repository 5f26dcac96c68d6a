//! The gateway that is flooded: its users, tokens, rooms, and what it uses of the machine.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use poly2mqtt_bench_support::ONLINE_TIMEOUT;
use poly2mqtt_bench_support::figures::Durations;
use poly2mqtt_bench_support::processes::{BenchDevice, Process};
use poly2mqtt_bench_support::program::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A user of the embedded broker, and the token of the same name.
pub struct User {
    pub name: &'static str,
    pub secret: &'static str,
    rooms: Option<&'static str>,
    access: &'static str,
}

/// Sends the honest commands.
pub const HONEST: User = User {
    name: "honest",
    secret: "honest-7b1f5c0a9e3d4826",
    rooms: None,
    access: "control",
};
/// Attacks, and may read everything.
pub const WALL: User = User {
    name: "wall",
    secret: "wall-2f8e6a1c7d905b43",
    rooms: None,
    access: "read",
};
/// Attacks, and may control one room.
pub const PANEL: User = User {
    name: "panel",
    secret: "panel-5d3b9f7e1a60c284",
    rooms: Some(LOBBY),
    access: "control",
};
/// Attacks, and may read one room.
pub const SCREEN: User = User {
    name: "screen",
    secret: "screen-8c4a0e6b2f71d935",
    rooms: Some(LOBBY),
    access: "read",
};

/// The room that attackers have rights for. No honest command goes there.
pub const LOBBY: &str = "lobby";
/// The client id of the honest MQTT client. Attackers know it.
pub const HONEST_MQTT_ID: &str = "honest-controller";

/// How long the gateway may take to answer whether it is well.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// The newest lines of the log that are kept for a report.
const LOG_LINES: usize = 20;

/// Where the gateway listens on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub broker: u16,
    pub http: u16,
    pub lines: u16,
}

impl Ports {
    pub fn free() -> Self {
        Self {
            broker: free_port(),
            http: free_port(),
            lines: free_port(),
        }
    }
}

/// Memory in KiB, and open files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    pub memory: u64,
    pub files: usize,
}

impl Size {
    pub fn mib(&self) -> String {
        #[allow(clippy::cast_precision_loss)]
        let memory = self.memory as f64 / 1024.0;
        format!("{memory:.0} MiB")
    }
}

/// What the gateway logs.
#[derive(Debug, Default)]
pub struct Log {
    pub bytes: AtomicU64,
    newest: Mutex<VecDeque<String>>,
}

impl Log {
    fn take(&self, line: String) {
        self.bytes
            .fetch_add(line.len() as u64 + 1, Ordering::Relaxed);
        let mut newest = self.newest.lock().unwrap();
        newest.push_back(line);
        if newest.len() > LOG_LINES {
            newest.pop_front();
        }
    }

    pub fn newest(&self) -> Vec<String> {
        self.newest.lock().unwrap().iter().cloned().collect()
    }
}

/// The running gateway.
pub struct FloodedGateway {
    pub process: Process,
    pub ports: Ports,
    pub log: Arc<Log>,
    rooms: usize,
    _dir: tempfile::TempDir,
}

impl FloodedGateway {
    /// Starts it with a room for each device, the last of which is the lobby, and a room for each
    /// hostile device: its port and fingerprint. `files`: how many it may open.
    pub fn start(
        program: &Path,
        ports: Ports,
        devices: &[BenchDevice],
        hostile: &[String],
        files: Option<u64>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("poly2mqtt.toml");
        std::fs::write(&config, configuration(ports, devices, hostile)).unwrap();
        let limit = files.map_or(String::new(), |files| format!("ulimit -n {files}; "));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}exec \"$0\" \"$@\" 2>&1")]);
        command.arg(program).args(["run", "--config"]).arg(&config);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POLY2MQTT_") {
                command.env_remove(name);
            }
        }
        let mut process = Process::start(command.stdout(Stdio::piped()));
        let log: Arc<Log> = Arc::default();
        let (lines, taken) = (process.lines(), log.clone());
        std::thread::spawn(move || lines.for_each(|line| taken.take(line)));
        Self {
            process,
            ports,
            log,
            rooms: devices.len(),
            _dir: dir,
        }
    }

    pub fn size(&self) -> Size {
        Size {
            memory: self.process.memory(),
            files: self.process.files(),
        }
    }

    /// The sum of a metric's series.
    async fn metric(&self, name: &str) -> f64 {
        let Ok(page) = get(self.ports.http, "/metrics").await else {
            return 0.0;
        };
        let series = page.lines().filter(|line| line.starts_with(name));
        series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until every room is online and has been read once.
    #[allow(clippy::cast_precision_loss)]
    pub async fn settle(&self) -> Result<(), String> {
        let deadline = Instant::now() + ONLINE_TIMEOUT;
        let rooms = self.rooms as f64;
        // A log-in is followed by some 40 reads.
        while self.metric("poly2mqtt_room_online").await < rooms
            || self.metric("poly2mqtt_device_requests_total").await < rooms * 30.0
        {
            if Instant::now() > deadline {
                let log = self.log.newest().join("\n");
                return Err(format!("not all rooms come online\n{log}"));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

fn configuration(ports: Ports, devices: &[BenchDevice], hostile: &[String]) -> String {
    let mut text = format!(
        "[mqtt]\nurl = \"embedded://127.0.0.1:{}\"\n\
         [http]\nlisten = \"127.0.0.1:{}\"\n\
         [tcp]\nlisten = \"127.0.0.1:{}\"\n\
         [defaults]\nuser = \"admin\"\npassword = \"456\"\n",
        ports.broker, ports.http, ports.lines
    );
    for user in [HONEST, WALL, PANEL, SCREEN] {
        let User {
            name,
            secret,
            access,
            ..
        } = user;
        let rooms = user
            .rooms
            .map_or(String::new(), |room| format!("rooms = [\"{room}\"]\n"));
        for (table, key) in [("mqtt.user", "password"), ("http.token", "token")] {
            let _ = write!(
                text,
                "[[{table}]]\nname = \"{name}\"\n{key} = \"{secret}\"\naccess = \"{access}\"\n{rooms}"
            );
        }
    }
    let mut room = |name: &str, port: &str, fingerprint: &str| {
        let _ = write!(
            text,
            "[rooms.{name}]\nurl = \"https://127.0.0.1:{port}\"\ncertificate = \"{fingerprint}\"\n"
        );
    };
    let last = devices.len() - 1;
    for (place, device) in devices.iter().enumerate() {
        let name = match place {
            place if place == last => LOBBY.to_owned(),
            place => (place + 1).to_string(),
        };
        room(&name, &device.port.to_string(), &device.fingerprint);
    }
    for (number, line) in (1..).zip(hostile) {
        let (port, fingerprint) = line.split_once(' ').unwrap();
        room(&format!("hostile{number}"), port, fingerprint);
    }
    text
}

/// Sends a GET with the honest token over a connection of its own. Gives the answer, head included.
pub async fn get(port: u16, path: &str) -> io::Result<String> {
    let answer = timeout(HEALTH_TIMEOUT, async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            HONEST.secret
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    });
    answer.await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Looks at the gateway several times a second.
#[derive(Debug, Default)]
pub struct Watch {
    highest: Mutex<Size>,
    health: Mutex<Durations>,
    unwell: AtomicU64,
}

impl Watch {
    /// Watches until it is dropped.
    pub async fn run(&self, gateway: &FloodedGateway) {
        let sizes = async {
            loop {
                let size = gateway.size();
                {
                    let mut highest = self.highest.lock().unwrap();
                    highest.memory = highest.memory.max(size.memory);
                    highest.files = highest.files.max(size.files);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let health = async {
            loop {
                let begun = Instant::now();
                match get(gateway.ports.http, "/healthz").await {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                        self.health.lock().unwrap().push(begun.elapsed());
                    }
                    _ => drop(self.unwell.fetch_add(1, Ordering::Relaxed)),
                }
                sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::join!(sizes, health);
    }

    pub fn highest(&self) -> Size {
        *self.highest.lock().unwrap()
    }

    /// The longest answer to `/healthz`, and how many did not come.
    pub fn health(&self) -> (f64, u64) {
        let longest = self.health.lock().unwrap().percentile(100.0);
        (longest, self.unwell.load(Ordering::Relaxed))
    }
}
