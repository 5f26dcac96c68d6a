//! Everything around the gateway: broker, devices, network paths, its process and configuration.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poly2mqtt::catalogue::CATALOGUE;
use poly2mqtt_simulator::{Firmware, Options, SimulatedDevice};
use tokio::time::{Instant, sleep};

use crate::commands::Target;
use crate::ledger::Ledger;
use crate::mqtt::Observer;
use crate::process::{Gateway, runtime};
use crate::proxy::Proxy;
use crate::report::Report;
use crate::timeline::{Cause, Timeline};
use poly2mqtt_test_support::secrets::PASSWORD;
use poly2mqtt_test_support::{Mosquitto, free_port};

/// The interval of the class `slow` in this configuration.
pub const SLOWEST: Duration = Duration::from_millis(1600);

pub struct Room {
    pub target: Arc<Target>,
    pub device: SimulatedDevice,
    pub proxy: Proxy,
}

pub struct World {
    pub directory: tempfile::TempDir,
    pub port: u16,
    /// The URL of the gateway's WebSocket.
    pub http: u16,
    broker: tokio::sync::Mutex<Option<Mosquitto>>,
    /// The path between the gateway and the broker.
    pub link: Proxy,
    pub gateway: tokio::sync::Mutex<Gateway>,
    pub rooms: Vec<Room>,
    pub timeline: Timeline,
    pub ledger: Arc<Ledger>,
    pub observer: Observer,
    pub report: Report,
    /// A second gateway has sessions at the devices too.
    pub comparing: AtomicBool,
    written: Mutex<()>,
}

/// The devices have both firmwares, and one of them numbers its presets from zero.
fn devices() -> [(Target, Options); 3] {
    let options = |firmware| Options {
        firmware,
        call_setup: Duration::from_millis(300),
        reboot: Duration::from_secs(2),
        password: PASSWORD.into(),
        ..Options::default()
    };
    [
        (Target::new("1", true, true), options(Firmware::V4_6_2)),
        (
            Target::new("board-2", false, false),
            options(Firmware::V4_0),
        ),
        (
            Target::new("3", true, false),
            Options {
                zero_based_presets: true,
                new_certificate_at_reboot: true,
                ..options(Firmware::V4_6_2)
            },
        ),
    ]
}

impl World {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(runtime(directory.path())).unwrap();
        let mut rooms = Vec::new();
        for (target, options) in devices() {
            let device = SimulatedDevice::start(options).await.unwrap();
            let proxy = Proxy::start(device.addr()).await;
            rooms.push(Room {
                target: Arc::new(target),
                device,
                proxy,
            });
        }
        let port = free_port();
        let broker = Mosquitto::start(port, "max_queued_messages 10000");
        let link = Proxy::start(([127, 0, 0, 1], port).into()).await;
        let http = free_port();
        std::fs::write(
            directory.path().join("gateway.toml"),
            config(&rooms, link.port, http),
        )
        .unwrap();
        let ledger = Arc::<Ledger>::default();
        let observer = Observer::connect(port, ledger.clone());
        let gateway = Gateway::start(directory.path());
        Self {
            directory,
            port,
            http,
            broker: tokio::sync::Mutex::new(Some(broker)),
            link,
            gateway: tokio::sync::Mutex::new(gateway),
            rooms,
            timeline: Timeline::new(),
            ledger,
            observer,
            report: Report::default(),
            comparing: AtomicBool::default(),
            written: Mutex::default(),
        }
    }

    /// Waits until a condition holds; false if it does not in time.
    pub async fn until(&self, within: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + within;
        while !holds(self) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Waits until the gateway has published `online` since the last `forget`.
    pub async fn gateway_back(&self) -> bool {
        self.until(Duration::from_secs(45), |world| {
            world.observer.last("gateway/availability").as_deref() == Some("online")
        })
        .await
    }

    pub fn says_online(&self, room: usize) -> bool {
        let topic = format!("room/{}/availability", self.rooms[room].target.id);
        self.observer.last(&topic).as_deref() == Some("online")
    }

    /// Kills the broker and starts a new one with nothing retained.
    pub async fn broker_dies(&self, down: Duration) {
        let mut broker = self.broker.lock().await;
        let absent = self.timeline.begin(Cause::Absent, "broker killed", "");
        let death = self
            .timeline
            .begin(Cause::Broker, "broker's memory lost", "");
        drop(broker.take());
        self.timeline.end(death);
        sleep(down).await;
        let port = self.port;
        let started = tokio::task::spawn_blocking(move || {
            Mosquitto::start(port, "max_queued_messages 10000")
        });
        *broker = Some(started.await.unwrap());
        self.gateway_back().await;
        self.timeline.end(absent);
    }

    /// Kills the gateway and starts it again.
    pub async fn gateway_dies(&self, down: Duration) {
        let mut gateway = self.gateway.lock().await;
        let absent = self.timeline.begin(Cause::Absent, "gateway killed", "");
        let death = self
            .timeline
            .begin(Cause::Kill, "gateway's memory lost", "");
        gateway.kill();
        self.timeline.end(death);
        self.starts(&mut gateway, down).await;
        self.timeline.end(absent);
    }

    /// Asks the gateway to stop and starts it again; false if it did not stop.
    pub async fn gateway_stops(&self, down: Duration) -> bool {
        let mut gateway = self.gateway.lock().await;
        let absent = self.timeline.begin(Cause::Absent, "gateway stopped", "");
        let stop = self.timeline.begin(Cause::Stop, "gateway's SIGTERM", "");
        let ended = gateway.terminate().await;
        self.timeline.end(stop);
        self.starts(&mut gateway, down).await;
        self.timeline.end(absent);
        ended
    }

    async fn starts(&self, gateway: &mut Gateway, down: Duration) {
        sleep(down).await;
        self.observer.forget("gateway/availability");
        *gateway = Gateway::start(self.directory.path());
        self.gateway_back().await;
    }

    /// Pins the present certificates and makes the gateway reload its configuration.
    pub async fn pin(&self) {
        {
            let _writing = self.written.lock().unwrap();
            let path = self.directory.path().join("gateway.toml");
            let new = path.with_extension("new");
            std::fs::write(&new, config(&self.rooms, self.link.port, self.http)).unwrap();
            std::fs::rename(new, path).unwrap();
        }
        self.gateway.lock().await.reload();
    }

    /// Ends all faults.
    pub async fn heal(&self) {
        self.link.clear();
        for room in &self.rooms {
            room.proxy.clear();
            room.device.clear_faults();
            room.device.person_sets_mode("Poly");
            room.device.person_sets_password(PASSWORD);
        }
        self.pin().await;
    }
}

fn config(rooms: &[Room], link: u16, http: u16) -> String {
    let mut text = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{link}\"\nmax_payload = \"64KiB\"\nkeep_alive = \"5s\"\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\n\
         [poll]\nfast = \"400ms\"\nnormal = \"800ms\"\nslow = \"{}ms\"\nmeters = true\n",
        SLOWEST.as_millis()
    );
    for room in rooms {
        let allow: Vec<String> = CATALOGUE
            .guarded()
            .map(|topic| format!("\"{topic}\""))
            .collect();
        let allow = if room.target.allowed {
            allow.join(", ")
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[rooms.{}]\nurl = \"https://127.0.0.1:{}\"\npassword = \"{PASSWORD}\"\n\
             certificate = \"{}\"\nallow = [{allow}]\n",
            room.target.id,
            room.proxy.port,
            room.device.fingerprint()
        );
    }
    text
}
