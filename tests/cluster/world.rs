//! Everything of a run: etcd, broker, devices, gateways, their paths, clients, and what was seen of them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poly2mqtt_test_support::{Mosquitto, free_port};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep};

use crate::broker_client::BrokerClient;
use crate::clock::{self, SECOND};
use crate::etcd::Etcd;
use crate::farm::Farm;
use crate::gateway::{Gateway, Shared, room_id};
use crate::history::History;
use crate::keys;
use crate::ledger::Ledger;
use crate::proxy::{ETCD_MEMBERS, MEMBERS, Paths, Target};
use crate::record::Record;
use crate::report::Report;
use crate::settings::Settings;
use crate::timeline::Timeline;
use crate::watch::Watches;
use crate::web_clients::{HttpClient, WebSocketClient};

pub struct World {
    pub settings: Settings,
    pub shared: Shared,
    pub names: Vec<String>,
    /// The HTTP port of each gateway, without a proxy.
    pub http_ports: Vec<u16>,
    pub gateways: Vec<tokio::sync::Mutex<Gateway>>,
    pub etcd: tokio::sync::Mutex<Etcd>,
    pub paths: Paths,
    pub farm: Farm,
    pub timeline: Timeline,
    pub ledger: Arc<Ledger>,
    pub record: Arc<Mutex<Record>>,
    pub history: Arc<Mutex<History>>,
    pub broker_client: BrokerClient,
    pub websockets: Vec<WebSocketClient>,
    pub http: HttpClient,
    pub report: Report,
    /// When etcd last answered after it was down.
    pub etcd_back: Mutex<u64>,
    /// The rooms that get most of the commands at the moment.
    pub focus: Mutex<Vec<usize>>,
    /// The commands of each second at the moment.
    pub rate: Mutex<u64>,
    /// The shard of each room.
    pub shards: Vec<usize>,
    broker: tokio::sync::Mutex<Option<Mosquitto>>,
    _watches: Watches,
    _directory: Option<tempfile::TempDir>,
}

/// Until all is whole again this is usual.
const SLOW: Duration = Duration::from_secs(10);
/// A room that has got so many answers has read nearly all its states: the simulated device has 49 for a gateway. Some
/// of them wait for the room's next round, which is minutes away with thousands of rooms.
const ALL_READS: u32 = 40;
const BROKER: &str = "max_queued_messages 100000";

impl World {
    pub async fn start(settings: Settings) -> Self {
        Self::with(settings, true).await
    }

    /// With gateways that know nothing of each other, unless it `is_cluster`.
    pub async fn with(settings: Settings, is_cluster: bool) -> Self {
        let (directory, kept) = directory(&settings);
        let etcd = Etcd::start(&directory);
        let broker = Mosquitto::start(0, BROKER);
        let paths = Paths::new();
        let record = Arc::<Mutex<Record>>::default();
        let farm = Farm::start(settings.rooms_beside().end, &record).await;
        let here = Ipv4Addr::LOCALHOST;
        let to = |port: u16| (here, port).into();
        let mut urls = Vec::new();
        for member in 0..ETCD_MEMBERS {
            let target = Target::Etcd(member);
            let at = paths.listen(here, target, to(etcd.port(member))).await;
            urls.push(format!("http://{at}"));
        }
        let broker_at = paths.listen(here, Target::Broker, to(broker.port)).await;
        let token = directory.join("cluster.token");
        std::fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
        private(&token);
        let shared = Shared {
            library: Shared::library(&directory),
            directory,
            etcd: urls,
            broker: broker_at.port(),
            poll: settings.poll,
            is_cluster,
            devices: farm.devices.clone(),
        };
        let mut gateways = Vec::new();
        for number in 0..MEMBERS {
            let http = free_port();
            let advertise = paths.listen(here, Target::Peer(number), to(http)).await;
            let gateway = Gateway::new(number, &shared, http, advertise.port());
            gateway.configure(&shared, settings.rooms);
            gateways.push(gateway);
        }
        let ledger = Arc::<Ledger>::default();
        let history = Arc::<Mutex<History>>::default();
        let ports = (0..ETCD_MEMBERS).map(|member| etcd.port(member)).collect();
        let http_ports: Vec<_> = gateways.iter().map(|gateway| gateway.http).collect();
        let websocket = |port: &u16| WebSocketClient::connect(*port, ledger.clone());
        Self {
            names: gateways
                .iter()
                .map(|gateway| gateway.name.clone())
                .collect(),
            websockets: http_ports.iter().map(websocket).collect(),
            http_ports,
            gateways: gateways.into_iter().map(tokio::sync::Mutex::new).collect(),
            paths,
            farm,
            timeline: Timeline::new(),
            broker_client: BrokerClient::connect(broker.port, ledger.clone()),
            http: HttpClient::new(ledger.clone()),
            ledger,
            record,
            _watches: Watches::start(ports, &history),
            history,
            report: Report::default(),
            etcd_back: Mutex::default(),
            focus: Mutex::default(),
            rate: Mutex::new(0),
            shards: (0..settings.rooms)
                .map(|room| keys::shard(&room_id(room)))
                .collect(),
            etcd: tokio::sync::Mutex::new(etcd),
            broker: tokio::sync::Mutex::new(Some(broker)),
            shared,
            settings,
            _directory: kept,
        }
    }

    pub async fn gateway(&self, number: usize) -> MutexGuard<'_, Gateway> {
        self.gateways[number].lock().await
    }

    pub async fn start_gateway(&self, number: usize) {
        self.gateway(number).await.start(&self.shared);
    }

    /// Sends SIGTERM, and waits for the end.
    pub async fn stop_gateway(&self, number: usize) {
        if !self.gateway(number).await.stop().await {
            let message = format!("{} does not end after SIGTERM", self.names[number]);
            self.violation("ends", &message, clock::now());
        }
    }

    /// Starts a gateway again with another weight.
    pub async fn change_weight(&self, number: usize, weight: u64) {
        self.stop_gateway(number).await;
        {
            let mut gateway = self.gateway(number).await;
            gateway.weight = weight;
            gateway.configure(&self.shared, self.settings.rooms);
        }
        self.start_gateway(number).await;
    }

    /// Kills etcd's leader; gives which it was.
    pub async fn kill_leader(&self) -> usize {
        let mut etcd = self.etcd.lock().await;
        let leader = etcd.leader(Duration::from_secs(5)).await.unwrap_or(0);
        etcd.kill(leader);
        leader
    }

    pub async fn etcd_answers(&self) {
        if self
            .etcd
            .lock()
            .await
            .answers(Duration::from_secs(30))
            .await
        {
            *self.etcd_back.lock().unwrap() = clock::now();
        } else {
            self.violation("ends", "etcd does not come back", clock::now());
        }
    }

    /// Kills the broker, and starts a new one with nothing retained.
    pub async fn restart_broker(&self, down: Duration) {
        let mut broker = self.broker.lock().await;
        let Some(old) = broker.take() else { return };
        let port = old.port;
        drop(old);
        sleep(down).await;
        let starting = tokio::task::spawn_blocking(move || Mosquitto::start(port, BROKER));
        *broker = Some(starting.await.unwrap());
    }

    /// The rooms of a gateway, as etcd has it.
    pub fn rooms_of(&self, number: usize) -> Vec<usize> {
        let history = self.history.lock().unwrap();
        let owned = |room: &usize| history.owner(self.shards[*room]) == Some(&*self.names[number]);
        (0..self.shards.len()).filter(owned).collect()
    }

    /// Waits until every running gateway is a member, every shard belongs to a member, nearly every state of every room
    /// has been read by its owner, every room is online, and all that stays so for a second. Says what is missing if
    /// that takes too long.
    pub async fn healed(&self, within: Duration) -> Result<(), String> {
        let began = Instant::now();
        let deadline = began + within;
        let (mut since, mut last) = (None, None);
        loop {
            if let Some(ended) = self.ended().await {
                return Err(ended);
            }
            match self.missing().await {
                None => {
                    if let Some((after, missing)) = last.take().filter(|_| since.is_none()) {
                        tell_slow(after, missing);
                    }
                    let since = *since.get_or_insert_with(clock::now);
                    if clock::now() > since + SECOND {
                        return Ok(());
                    }
                }
                Some(missing) if Instant::now() > deadline => return Err(missing),
                Some(missing) => {
                    since = None;
                    last = Some((began.elapsed(), missing));
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A gateway that has ended although nobody ended it.
    pub async fn ended(&self) -> Option<String> {
        for (gateway, name) in self.gateways.iter().zip(&self.names) {
            if let Some(status) = gateway.lock().await.ended() {
                return Some(format!("{name} has ended by itself: {status}"));
            }
        }
        None
    }

    async fn missing(&self) -> Option<String> {
        let mut running = Vec::new();
        for (gateway, name) in self.gateways.iter().zip(&self.names) {
            if gateway.lock().await.runs() {
                running.push(name.as_str());
            }
        }
        let history = self.history.lock().unwrap();
        if history.members() != running {
            let (members, keys) = (history.members(), &history.others);
            return Some(format!(
                "members {members:?}, running {running:?}; other keys: {keys:?}"
            ));
        }
        let record = self.record.lock().unwrap();
        let said = self.broker_client.said.lock().unwrap();
        for (room, shard) in self.shards.iter().enumerate() {
            let owner = history.owner(*shard);
            if owner.is_none() {
                let last = history.spans(*shard).last();
                return Some(format!(
                    "room {room}, shard {shard} belongs to no member: {last:?}"
                ));
            }
            let read = record.first_read.get(&room);
            let read = read.map(|(gateway, _)| self.name(*gateway));
            if read != owner {
                return Some(format!("room {room} of {owner:?} is read by {read:?}"));
            }
            let reads = record.reads.get(&room).copied().unwrap_or_default();
            if reads < ALL_READS {
                return Some(format!("room {room} of {owner:?} has read {reads} states"));
            }
            let availability = said.rooms.get(&room);
            if !availability.is_some_and(|(online, _)| *online) {
                let since = availability.map(|(_, at)| self.timeline.at(*at));
                return Some(format!(
                    "room {room} of {owner:?} is not online, since {since:?}"
                ));
            }
        }
        None
    }

    fn name(&self, gateway: usize) -> &str {
        self.names
            .get(gateway)
            .map_or("the gateway alone", String::as_str)
    }

    /// Records a violation of a promise.
    pub fn violation(&self, promise: &'static str, message: &str, at: u64) {
        let around = self.timeline.around(at);
        let text = format!("at {}: {message}{around}", self.timeline.at(at));
        self.report.violation(promise, text);
    }
}

/// Where the run's files are: where they stay, or where they are removed afterwards.
fn directory(settings: &Settings) -> (PathBuf, Option<tempfile::TempDir>) {
    match &settings.keep {
        Some(keep) => {
            std::fs::create_dir_all(keep).unwrap();
            (keep.clone(), None)
        }
        None => {
            let directory = tempfile::tempdir().unwrap();
            (directory.path().to_owned(), Some(directory))
        }
    }
}

/// Only the owner may read it, as is right for a secret.
fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What was missing last, where all took long to be whole.
fn tell_slow(after: Duration, missing: String) {
    if after > SLOW {
        println!("    {:.1} s later still: {missing}", after.as_secs_f64());
    }
}
