//! A gateway as a process: the built program, as operators run it.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use poly2mqtt_test_support::{free_port, program, watchdog};
use tokio::time::{Instant, sleep};

use crate::farm::Device;
use crate::proxy::{ALONE, source};

/// A gateway that is told to stop has this long: it hands its rooms over first.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "456";

/// What the gateways' configurations have in common.
pub struct Shared {
    pub directory: PathBuf,
    /// The preloaded library that sets the address of connections.
    pub library: PathBuf,
    pub etcd: Vec<String>,
    /// The broker as gateways reach it.
    pub broker: u16,
    pub poll: [u64; 3],
    /// Without it, gateways know nothing of each other.
    pub is_cluster: bool,
    pub devices: Vec<Device>,
}

impl Shared {
    /// Compiles the library that makes a gateway's connections come from its address.
    pub fn library(directory: &Path) -> PathBuf {
        let library = directory.join("source_address.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/source_address.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "cc fails");
        library
    }
}

pub struct Gateway {
    pub number: usize,
    pub name: String,
    pub http: u16,
    pub weight: u64,
    /// Before its topics at the broker.
    topic_prefix: Option<&'static str>,
    /// How the others reach its HTTP port.
    advertise: u16,
    directory: PathBuf,
    child: Option<Child>,
}

impl Gateway {
    pub fn new(number: usize, shared: &Shared, http: u16, advertise: u16) -> Self {
        Self::named(
            format!("gw-{}", number + 1),
            number,
            shared,
            http,
            advertise,
        )
    }

    fn named(name: String, number: usize, shared: &Shared, http: u16, advertise: u16) -> Self {
        let directory = shared.directory.join(&name);
        std::fs::create_dir_all(directory.join("runtime")).unwrap();
        Self {
            number,
            name,
            http,
            weight: 1,
            topic_prefix: None,
            advertise,
            directory,
            child: None,
        }
    }

    /// A gateway without `[cluster]` that runs beside the cluster, with rooms and topics of its own.
    pub fn beside(shared: &Shared) -> Self {
        let mut gateway = Self::named("beside".into(), ALONE, shared, free_port(), 0);
        gateway.topic_prefix = Some("beside");
        gateway
    }

    /// Writes the configuration of the first so many rooms.
    pub fn configure(&self, shared: &Shared, rooms: usize) {
        self.configure_some(shared, 0..rooms);
    }

    /// Writes the configuration of these rooms.
    pub fn configure_some(&self, shared: &Shared, rooms: Range<usize>) {
        let [fast, normal, slow] = shared.poll;
        let is_member = shared.is_cluster && self.number != ALONE;
        let mut own = if is_member {
            String::new()
        } else {
            format!("client_id = \"{}\"\n", self.name)
        };
        if let Some(prefix) = self.topic_prefix {
            // Writing to a String cannot fail.
            let _ = writeln!(own, "topic_prefix = \"{prefix}\"");
        }
        let mut text = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n{own}[http]\nlisten = \"127.0.0.1:{}\"\n\
             [poll]\nfast = \"{fast}ms\"\nnormal = \"{normal}ms\"\nslow = \"{slow}ms\"\n\
             [defaults]\nuser = \"admin\"\npassword = \"{PASSWORD}\"\nallow = [\"system/time/set\"]\n",
            shared.broker, self.http
        );
        if is_member {
            let token = shared.directory.join("cluster.token");
            let etcd: Vec<_> = shared.etcd.iter().map(|url| format!("\"{url}\"")).collect();
            let _ = write!(
                text,
                "[cluster]\nname = \"{}\"\netcd = [{}]\nprefix = \"{}\"\n\
                 advertise = \"http://127.0.0.1:{}\"\ntoken_file = \"{}\"\nweight = {}\n",
                self.name,
                etcd.join(", "),
                crate::keys::PREFIX,
                self.advertise,
                token.display(),
                self.weight
            );
        }
        for (number, device) in shared.devices.iter().enumerate() {
            if !rooms.contains(&number) {
                continue;
            }
            let _ = write!(
                text,
                "[rooms.{}]\nurl = \"https://{}\"\ncertificate = \"{}\"\n",
                room_id(number),
                device.at,
                device.fingerprint
            );
        }
        std::fs::write(self.directory.join("poly2mqtt.toml"), text).unwrap();
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self, shared: &Shared) {
        if self.runs() {
            return;
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join("gateway.log"))
            .unwrap();
        let level = std::env::var("POLY2MQTT_LOG").unwrap_or_else(|_| "info".into());
        let mut command = match std::env::var_os("POLY2MQTT_CLUSTER_PROGRAM") {
            Some(program) => Command::new(program),
            None => program::program(&[]),
        };
        // The judge's own settings are no concern of a gateway.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POLY2MQTT_CLUSTER_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["run", "--config"])
            .arg(self.directory.join("poly2mqtt.toml"))
            .env("POLY2MQTT_LOG", level)
            .env("POLY2MQTT_RUNTIME_DIR", self.directory.join("runtime"))
            .env("LD_PRELOAD", &shared.library)
            .env("CLUSTER_SOURCE_ADDRESS", source(self.number).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        watchdog::started(child.id());
        self.child = Some(child);
    }

    fn pid(&self) -> Option<u32> {
        Some(self.child.as_ref()?.id())
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// How it ended, if nobody ended it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().unwrap()
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            watchdog::ended(child.id());
        }
    }

    /// Sends SIGTERM, and waits for the end; false if it does not come in time.
    pub async fn stop(&mut self) -> bool {
        self.signal("-TERM");
        let deadline = Instant::now() + STOP_LIMIT;
        while self.runs() {
            if Instant::now() > deadline {
                self.kill();
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.kill();
        true
    }

    /// Sends a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            let sent = Command::new("kill")
                .args([signal, &pid.to_string()])
                .status();
            assert!(sent.unwrap().success());
        }
    }

    /// The processor time that it has used, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        let Some(pid) = self.pid() else { return 0.0 };
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
        let spent = threads
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
                stat.split_whitespace().next()?.parse::<f64>().ok()
            });
        spent.sum::<f64>() / 1e9
    }

    /// Its memory in MB, without the pages of files.
    pub fn memory(&self) -> f64 {
        let Some(pid) = self.pid() else { return 0.0 };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1024.0
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The id of a room in topics.
pub fn room_id(number: usize) -> String {
    format!("r{number}")
}

/// The room of a topic `room/<id>/…`.
pub fn room_of(topic: &str) -> Option<usize> {
    let id = topic.strip_prefix("room/r")?.split('/').next()?;
    id.parse().ok()
}
