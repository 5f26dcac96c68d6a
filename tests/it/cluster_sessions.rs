//! What becomes of a room's session at its device when another gateway gets the room.
//!
//! Those that need etcd are skipped where it is not installed.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use futures_util::future::join_all;
use poly2mqtt::cluster::{
    Cluster, ClusterIdentity, ClusterSessions, Etcd, EtcdSettings, HeldShard, SHARDS, ShardEvent,
    join,
};
use poly2mqtt::config::{RoomConfig, Secret};
use poly2mqtt::device::{
    Device, DeviceFence, DeviceSettings, KeptSessions, SessionStore, SharedLimits, SharedSessions,
};
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use poly2mqtt_test_support::door::http;
use poly2mqtt_test_support::gateway::{room, timings};
use poly2mqtt_test_support::{EtcdCluster, etcd, soon, until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PREFIX: &str = "/test";
const TOKEN: &str = "the token of the cluster in tests";
const ROOMS: usize = 6;

/// A client of a room's device that keeps its sessions there.
fn client(config: &RoomConfig, store: SessionStore, limits: &SharedLimits) -> Device {
    let settings = DeviceSettings {
        url: config.url.clone(),
        user: config.user.clone(),
        password: config.password.secret().clone(),
        certificate: config.certificate.clone(),
        keep_alive: true,
        timings: timings().into(),
        telemetry: Arc::default(),
        limits: limits.clone(),
        session_store: Some(store),
        fence: DeviceFence::default(),
    };
    Device::new(settings).unwrap()
}

/// The requests about sessions, and the reads that check one, since the last look.
fn asked(device: &SimulatedDevice) -> Vec<String> {
    let journal = device.take_journal().into_iter();
    let asked = journal.map(|entry| format!("{} {}", entry.method, entry.path));
    asked.collect()
}

const LOG_IN: &str = "POST /rest/session";
const LOG_OUT: &str = "DELETE /rest/session";
const CHECK: &str = "GET /rest/audio";

/// A gateway that logs in to each room when it gets it, and does nothing else.
struct Gateway {
    cluster: Cluster,
    sessions: ClusterSessions,
    devices: Arc<Mutex<Vec<Device>>>,
    tasks: Vec<JoinHandle<()>>,
}

fn etcd_client(store: &EtcdCluster) -> Arc<Etcd> {
    let settings = EtcdSettings {
        endpoints: store.endpoints(),
        login: None,
        authorities: None,
    };
    Arc::new(Etcd::new(settings).unwrap())
}

impl Gateway {
    /// Joins, and waits until it has all rooms and has logged in to each.
    async fn start(store: &EtcdCluster, name: &str, rooms: &[(Arc<str>, RoomConfig)]) -> Self {
        let identity = ClusterIdentity {
            prefix: PREFIX.into(),
            name: name.into(),
            advertise: format!("http://{name}.invalid:8080"),
            weight: 1,
            version: "0".into(),
            rooms: poly2mqtt::cluster::RoomDigests::default(),
            since: 0,
            settings: Default::default(),
        };
        let (cluster, mut events, keeper) = join(etcd_client(store), identity, Arc::default());
        let (sessions, task) = ClusterSessions::start(
            etcd_client(store),
            PREFIX,
            Secret::new(TOKEN),
            Arc::default(),
        );
        let tasks = vec![tokio::spawn(keeper), tokio::spawn(task)];
        let mut all = Vec::new();
        while all.len() < usize::from(SHARDS) {
            match soon("the shards are gained", events.recv()).await.unwrap() {
                ShardEvent::Gained(shards) => {
                    sessions.gained(&shards).await;
                    all.extend(shards.iter().map(|gained| gained.held));
                }
                other => panic!("{other:?}"),
            }
        }
        let limits = SharedLimits::default();
        let devices: Vec<Device> = rooms
            .iter()
            .map(|(id, config)| client(config, sessions.of(id, config), &limits))
            .collect();
        for state in join_all(devices.iter().map(Device::log_in)).await {
            assert_eq!(state.unwrap()["role"], "ADMIN");
        }
        let devices = Arc::new(Mutex::new(devices));
        let (held, handle, kept) = (devices.clone(), cluster.clone(), sessions.clone());
        let following = async move {
            while let Some(event) = events.recv().await {
                if let ShardEvent::Stop(shards) = event {
                    held.lock()
                        .unwrap()
                        .drain(..)
                        .for_each(|device| device.hand_over());
                    let deadline = Instant::now() + Duration::from_secs(5);
                    assert!(kept.flush(&shards, deadline).await);
                    kept.left(&shards);
                    shards.into_iter().for_each(|held| handle.stopped(held));
                }
            }
        };
        let mut gateway = Self {
            cluster,
            sessions,
            devices,
            tasks,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        assert!(gateway.sessions.flush(&all, deadline).await);
        gateway.tasks.push(tokio::spawn(following));
        gateway
    }

    /// Ends without a word.
    fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Hands its shards over and ends.
    async fn leave(mut self) {
        self.cluster.leave();
        soon("the gateway has left", self.tasks.remove(0))
            .await
            .unwrap();
        assert!(self.devices.lock().unwrap().is_empty());
        self.kill();
    }
}

async fn devices(count: usize) -> (Vec<SimulatedDevice>, Vec<(Arc<str>, RoomConfig)>) {
    let mut devices = Vec::new();
    for _ in 0..count {
        devices.push(SimulatedDevice::start(Options::default()).await.unwrap());
    }
    let rooms = (1..).zip(&devices).map(|(n, device): (usize, _)| {
        let id = format!("room-{n}");
        (Arc::from(id), room(device))
    });
    let rooms = rooms.collect();
    (devices, rooms)
}

/// All keys of the cluster with their values, as they are in etcd.
async fn raw(store: &EtcdCluster) -> Vec<(String, Vec<u8>)> {
    let url = format!("{}/v3/kv/range", store.endpoints()[0]);
    let body = json!({"key": STANDARD.encode(PREFIX), "range_end": STANDARD.encode("/u")});
    let answer = http().post(url).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let entries = answer["kvs"].as_array().unwrap().iter();
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    entries
        .map(|entry| {
            let key = String::from_utf8(decode(&entry["key"])).unwrap();
            (key, decode(&entry["value"]))
        })
        .collect()
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_gateway_that_ends_leaves_a_session_behind() {
    if etcd().is_none() {
        return;
    }
    let store = EtcdCluster::start(1);
    let (devices, rooms) = devices(ROOMS).await;
    let first = Gateway::start(&store, "gw-1", &rooms).await;
    for device in &devices {
        assert_eq!(asked(device), [LOG_IN]);
    }

    // Nothing secret is in etcd.
    let raw = raw(&store).await;
    let sessions = raw
        .iter()
        .filter(|(key, _)| key.starts_with("/test/sessions/"));
    assert_eq!(sessions.clone().count(), ROOMS);
    for (_, value) in sessions {
        let sealed = value.strip_prefix(b"1.").unwrap();
        assert!(value.len() < 1024, "{}", value.len());
        let inside = STANDARD_NO_PAD.decode(sealed).unwrap();
        assert!(!contains(&inside, "ADMIN") && !contains(&inside, "xsrf"));
    }
    let ids = devices.iter().flat_map(SimulatedDevice::session_ids);
    let secrets = ids.chain(["xsrf-".into(), TOKEN.into(), "\"456\"".into()]);
    for secret in secrets {
        for (key, value) in &raw {
            let is_there = contains(value, &secret) || contains(value, &STANDARD.encode(&secret));
            assert!(!is_there, "{secret} is in {key}");
        }
    }

    // Handed over in good order: the next one only checks.
    first.leave().await;
    let mut gateway = Gateway::start(&store, "gw-2", &rooms).await;
    for device in &devices {
        assert_eq!((asked(device), device.sessions()), (vec![CHECK.into()], 1));
    }

    // Without a word: the next one frees the session of the one before, and logs in.
    for n in 3..6 {
        gateway.kill();
        gateway = Gateway::start(&store, &format!("gw-{n}"), &rooms).await;
        for device in &devices {
            let asked = asked(device);
            assert_eq!(
                (&*asked, device.sessions()),
                (&[LOG_OUT.to_owned(), LOG_IN.into()][..], 1)
            );
        }
    }

    // The same gateway again: its earlier process uses nothing any more.
    gateway.kill();
    let gateway = Gateway::start(&store, "gw-5", &rooms).await;
    for device in &devices {
        assert_eq!((asked(device), device.sessions()), (vec![CHECK.into()], 1));
    }
    let freed = std::mem::take(&mut *gateway.devices.lock().unwrap());
    join_all(freed.iter().map(Device::close)).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    until(
        || "etcd knows it".into(),
        async || gateway.sessions.pending() == 0,
    )
    .await;
    let none: [HeldShard; 0] = [];
    assert!(gateway.sessions.flush(&none, deadline).await);
    let keys = self::raw(&store).await.into_iter().map(|(key, _)| key);
    assert_eq!(
        keys.filter(|key| key.starts_with("/test/sessions/"))
            .count(),
        0
    );
    for device in &devices {
        assert_eq!(device.sessions(), 0);
        device.stop().await;
    }
    gateway.leave().await;
}

/// A gateway that does not write what it should: etcd is gone when it logs in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_stored_when_etcd_is_back() {
    if etcd().is_none() {
        return;
    }
    let mut store = EtcdCluster::start(1);
    let (devices, rooms) = devices(1).await;
    let gateway = Gateway::start(&store, "gw-1", &rooms).await;
    let (id, config) = &rooms[0];
    store.kill(0);
    devices[0].expire_sessions();
    let limits = SharedLimits::default();
    let again = client(config, gateway.sessions.of(id, config), &limits);
    again.log_in().await.unwrap();
    assert_eq!(gateway.sessions.pending(), 1);
    store.start_member(0);
    until(
        || "it is stored".into(),
        async || gateway.sessions.pending() == 0,
    )
    .await;
    gateway.leave().await;
    let next = Gateway::start(&store, "gw-2", &rooms).await;
    assert_eq!(devices[0].sessions(), 1);
    assert_eq!(asked(&devices[0]).pop().unwrap(), CHECK);
    next.kill();
    devices[0].stop().await;
}

/// What a gateway has left, for any number of rooms of one device.
#[derive(Debug)]
struct Left {
    text: Mutex<Option<String>>,
    may_be_in_use: bool,
}

impl SharedSessions for Left {
    fn load(&self) -> KeptSessions {
        let text = self.text.lock().unwrap().clone();
        KeptSessions {
            text: text.unwrap_or_default().into(),
            may_be_in_use: self.may_be_in_use,
        }
    }

    fn store(&self, text: Option<String>) {
        *self.text.lock().unwrap() = text;
    }
}

/// Lets a gateway log in for this many rooms of one device and end; the next one logs in as `what` says.
async fn taken_over<F: Future<Output = ()>>(
    device: &SimulatedDevice,
    rooms: usize,
    may_be_in_use: bool,
    what: impl FnOnce(Vec<Device>) -> F,
) {
    let config = room(device);
    let limits = SharedLimits::default();
    let mut left = Vec::new();
    for _ in 0..rooms {
        let kept = Arc::new(Left {
            text: Mutex::default(),
            may_be_in_use: false,
        });
        let before = client(&config, SessionStore::Shared(kept.clone()), &limits);
        before.log_in().await.unwrap();
        left.push(kept.text.lock().unwrap().clone());
    }
    assert_eq!(device.sessions(), rooms);
    device.clear_journal();
    let clients = left.into_iter().map(|text| {
        let kept = Left {
            text: Mutex::new(text),
            may_be_in_use,
        };
        client(&config, SessionStore::Shared(Arc::new(kept)), &limits)
    });
    what(clients.collect()).await;
}

fn options() -> Options {
    Options {
        max_sessions: 1000,
        ..Options::default()
    }
}

/// More than log in at the same time.
const MANY: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_waits_for_no_log_in() {
    let device = SimulatedDevice::start(options()).await.unwrap();
    taken_over(&device, MANY, false, async |clients| {
        device.add_fault(Fault::on("/rest/session", FaultKind::Status(500)));
        let checks = join_all(clients.iter().map(Device::log_in));
        for state in soon("all sessions are checked", checks).await {
            assert_eq!(state.unwrap()["role"], "ADMIN");
        }
        assert_eq!(asked(&device), vec![CHECK; MANY]);
        assert_eq!(device.sessions(), MANY);
    })
    .await;
    device.stop().await;
}

/// The log-ins take long, and twenty run at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_of_a_dead_gateway_are_freed_before_the_first_log_in_has_ended() {
    let device = SimulatedDevice::start(options()).await.unwrap();
    taken_over(&device, MANY, true, async |clients| {
        let late = FaultKind::Delay(Duration::from_secs(60));
        device.add_fault(Fault::on("/rest/session", late).method("POST"));
        let log_ins = tokio::spawn(async move {
            let log_ins = clients.iter().map(Device::log_in);
            join_all(log_ins).await
        });
        until(
            || format!("the sessions are freed: {} are left", device.sessions()),
            async || device.sessions() == 0 && device.delayed() == 20,
        )
        .await;
        device.clear_faults();
        device.end_delays();
        let log_ins = soon("all have logged in", log_ins).await.unwrap();
        log_ins.into_iter().for_each(|state| drop(state.unwrap()));
        assert_eq!(device.sessions(), MANY);
        let asked = asked(&device);
        let count = |what| asked.iter().filter(|asked| *asked == what).count();
        assert_eq!(
            (count(LOG_OUT), count(LOG_IN), asked.len()),
            (MANY, MANY, 2 * MANY)
        );
    })
    .await;
    device.stop().await;
}
