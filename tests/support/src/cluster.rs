//! Several gateways in one process that share rooms, with their links through proxies that fail on demand. Who has
//! which room is what the test says: there is no etcd.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poly2mqtt::app::{App, AppOptions, ClusterOptions};
use poly2mqtt::cluster::link::{
    Holder, HolderChanges, LinkSettings, Member, RoomHolders, member_tls,
};
use poly2mqtt::config::{BrokerUrl, Config, RoomConfig, RoomId};
use poly2mqtt::device::{DeviceFence, KeptSessions, SessionStore, SharedSessions};
use poly2mqtt::rooms::{Leaving, RoomSharing};
use poly2mqtt_simulator::{Options, SimulatedDevice};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::door::{Lines, Socket};
use super::gateway::{config, room, timings};
use super::{soon, until, watchdog};

mod per_request;
mod proof;

use per_request::per_request;
pub use proof::head;

/// The token of the cluster in tests.
pub const CLUSTER_TOKEN: &str = "the token of the cluster in tests";

/// Who has a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Gateway(&'static str),
    Moving,
    Nobody,
}

/// What the test says about the cluster.
#[derive(Debug)]
struct World {
    owners: Mutex<BTreeMap<Arc<str>, Owner>>,
    /// What one gateway believes instead.
    beliefs: Mutex<BTreeMap<(&'static str, Arc<str>), Owner>>,
    /// How the others reach each gateway.
    members: Mutex<BTreeMap<&'static str, Member>>,
    changed: watch::Sender<()>,
}

/// The world as one gateway sees it.
#[derive(Debug)]
struct Seen {
    world: Arc<World>,
    me: &'static str,
}

impl RoomHolders for Seen {
    fn holder(&self, room: &str) -> Holder {
        let believed = self.world.beliefs.lock().unwrap();
        let believed = believed.get(&(self.me, Arc::from(room))).copied();
        let owner = believed.or_else(|| self.world.owners.lock().unwrap().get(room).copied());
        match owner {
            None => Holder::NotShared,
            Some(Owner::Moving) => Holder::Moving,
            Some(Owner::Nobody) => Holder::Nobody("no gateway that runs has the room".into()),
            Some(Owner::Gateway(name)) if name == self.me => Holder::Me,
            Some(Owner::Gateway(name)) => {
                let members = self.world.members.lock().unwrap();
                match members.get(name) {
                    Some(member) => Holder::Member(member.clone()),
                    None => Holder::Nobody("its gateway has not started".into()),
                }
            }
        }
    }

    fn changed_since(&self, look: u64) -> HolderChanges {
        HolderChanges {
            look: look + 1,
            rooms: self.world.owners.lock().unwrap().keys().cloned().collect(),
            are_all: true,
        }
    }

    fn members(&self) -> Vec<Member> {
        let members = self.world.members.lock().unwrap();
        let others = members.iter().filter(|(name, _)| **name != self.me);
        others.map(|(_, member)| member.clone()).collect()
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.world.changed.subscribe()
    }
}

impl RoomSharing for Seen {
    fn owns(&self, room: &str) -> bool {
        self.holder(room) == Holder::Me
    }

    fn fence(&self, _: &Arc<str>) -> DeviceFence {
        DeviceFence::default()
    }

    fn sessions(&self, _: &Arc<str>, _: &RoomConfig) -> SessionStore {
        SessionStore::Shared(Arc::new(NoSessions))
    }
}

#[derive(Debug)]
struct NoSessions;

impl SharedSessions for NoSessions {
    fn load(&self) -> KeptSessions {
        KeptSessions::default()
    }

    fn store(&self, _: Option<String>) {}
}

/// What happens to the connections between two gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Clear,
    /// So many bytes a second pass towards the other gateways.
    Slow(usize),
    /// What passes takes so much longer, in each direction.
    Late(Duration),
    /// Nothing passes, and no connection ends.
    Frozen,
    /// Connections end, and new ones end at once.
    Cut,
    /// A connection of its own for each request, as reverse proxies have it.
    PerRequest,
}

/// The way to one gateway's HTTP door.
struct Proxy {
    addr: SocketAddr,
    /// Connections so far.
    connections: Arc<AtomicUsize>,
    path: watch::Sender<Path>,
}

impl Proxy {
    /// A way that leads nowhere yet, and its near end.
    async fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            addr: listener.local_addr().unwrap(),
            connections: Arc::default(),
            path: watch::Sender::new(Path::Clear),
        };
        (proxy, listener)
    }

    /// From now on it leads there.
    fn lead(&self, listener: TcpListener, to: SocketAddr) {
        let (changes, count) = (self.path.clone(), self.connections.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let changes = changes.subscribe();
                tokio::spawn(carry(near, to, changes));
            }
        });
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr, mut path: watch::Receiver<Path>) {
    if *path.borrow() == Path::Cut {
        return;
    }
    // The gateway may have ended.
    let Ok(mut far) = TcpStream::connect(to).await else {
        return;
    };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    loop {
        let now = *path.borrow_and_update();
        match now {
            Path::Cut => return,
            Path::PerRequest => return per_request(near, to).await,
            Path::Frozen => {}
            Path::Clear => tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                changed = path.changed() => if changed.is_err() { return } else { continue },
            },
            Path::Slow(bytes) => tokio::select! {
                () = carry_slowly(&mut near, &mut far, bytes) => return,
                changed = path.changed() => if changed.is_err() { return } else { continue },
            },
            Path::Late(by) => tokio::select! {
                () = carry_late(&mut near, &mut far, by) => return,
                changed = path.changed() => if changed.is_err() { return } else { continue },
            },
        }
        if path.changed().await.is_err() {
            return;
        }
    }
}

/// One way with so many bytes a second, the other as fast as can be.
async fn carry_slowly(near: &mut TcpStream, far: &mut TcpStream, bytes_a_second: usize) {
    let (mut from_near, mut to_near) = near.split();
    let (mut from_far, mut to_far) = far.split();
    let slowly = async {
        let mut bytes = vec![0; (bytes_a_second / 100).max(1)];
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            match from_far.read(&mut bytes).await {
                Ok(read) if read > 0 => {
                    if to_near.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    };
    tokio::select! {
        () = slowly => {}
        _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
    }
}

async fn carry_late(near: &mut TcpStream, far: &mut TcpStream, by: Duration) {
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    tokio::select! {
        () = later(from_near, to_far, by) => {}
        () = later(from_far, to_near, by) => {}
    }
}

async fn later(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, by: Duration) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let read = async {
        loop {
            let mut bytes = vec![0; 64 << 10];
            match from.read(&mut bytes).await {
                Ok(read) if read > 0 => {
                    bytes.truncate(read);
                    let _ = sender.send((Instant::now() + by, bytes));
                }
                _ => return,
            }
        }
    };
    let write = async {
        while let Some((at, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

pub struct RunningGateway {
    pub service: App,
    proxy: Proxy,
    pub config: Config,
}

/// The gateways.
pub struct Cluster {
    pub devices: BTreeMap<&'static str, SimulatedDevice>,
    pub gateways: BTreeMap<&'static str, RunningGateway>,
    world: Arc<World>,
}

impl Cluster {
    /// Starts a device for each room and these gateways, and waits until every room is online at its owner and the
    /// gateways are linked.
    pub async fn start(names: &[&'static str], rooms: &[(&'static str, &'static str)]) -> Self {
        Self::start_with(names, rooms, |_| {}).await
    }

    pub async fn start_with(
        names: &[&'static str],
        rooms: &[(&'static str, &'static str)],
        change: impl Fn(&mut Config),
    ) -> Self {
        watchdog::watch();
        let mut devices = BTreeMap::new();
        let mut configured = BTreeMap::new();
        for (id, _) in rooms {
            let device = SimulatedDevice::start(Options::default()).await.unwrap();
            configured.insert(RoomId::new(id).unwrap(), room(&device));
            devices.insert(*id, device);
        }
        let owners = rooms.iter();
        let owners = owners.map(|(id, name)| (Arc::from(*id), Owner::Gateway(name)));
        let world = Arc::new(World {
            owners: Mutex::new(owners.collect()),
            beliefs: Mutex::default(),
            members: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let mut gateways = BTreeMap::new();
        for name in names {
            let mut config = config(BrokerUrl::Off, configured.clone());
            config.tcp.listen = config.http.listen;
            change(&mut config);
            let tls = config.http.tls.as_ref();
            let authority = tls.map(|files| files.certificate.clone());
            let seen = Arc::new(Seen {
                world: world.clone(),
                me: name,
            });
            let (proxy, listener) = Proxy::bind().await;
            let advertise = match &config.http.tls {
                Some(_) => format!("https://localhost:{}", proxy.addr.port()),
                None => format!("http://{}", proxy.addr),
            };
            let options = AppOptions {
                timings: timings(),
                cluster: Some(ClusterOptions {
                    links: LinkSettings {
                        name: Arc::from(*name),
                        advertise: advertise.as_str().into(),
                        token: CLUSTER_TOKEN.to_owned().into(),
                        tls: authority.map(|file| member_tls(Some(file)).unwrap()),
                    },
                    holders: seen.clone(),
                    sharing: seen,
                }),
                ..AppOptions::default()
            };
            let service = App::start_with(config.clone(), options).await.unwrap();
            proxy.lead(listener, service.http_addr().unwrap());
            let advertise = advertise.parse().unwrap();
            let member = Member {
                name: Arc::from(*name),
                advertise: Arc::new(advertise),
            };
            world.members.lock().unwrap().insert(name, member);
            gateways.insert(
                *name,
                RunningGateway {
                    service,
                    proxy,
                    config,
                },
            );
        }
        let cluster = Self {
            devices,
            gateways,
            world,
        };
        cluster.tell();
        for (id, name) in rooms {
            cluster.online(name, id).await;
            for name in names {
                cluster.lists(name, id, "online").await;
            }
        }
        cluster
    }

    fn tell(&self) {
        self.world.changed.send_replace(());
    }

    /// Waits until a room is online at its owner and has read all its states.
    pub async fn online(&self, name: &str, room: &str) {
        let store = self.gateways[name].service.store();
        let what = || format!("room {room} is online at {name}");
        until(what, async || {
            store
                .room(room)
                .is_some_and(|status| status.online && status.complete)
        })
        .await;
    }

    /// Waits until a gateway's list of rooms says this of a room.
    pub async fn lists(&self, name: &str, room: &str, availability: &str) {
        let url = self.url(name, "/room");
        let what = || format!("{name} says that room {room} is {availability}");
        until(what, async || {
            let list: serde_json::Value = super::door::get(&url).await.json().await.unwrap();
            let mut rooms = list.as_array().unwrap().iter();
            rooms.any(|entry| entry["id"] == room && entry["availability"] == availability)
        })
        .await;
    }

    pub fn url(&self, name: &str, path: &str) -> String {
        let gateway = &self.gateways[name];
        let addr = gateway.service.http_addr().unwrap();
        let scheme = if gateway.config.http.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{addr}{path}")
    }

    pub async fn ws(&self, name: &str, path: &str) -> Socket {
        let addr = self.gateways[name].service.http_addr().unwrap();
        Socket::connect(&format!("ws://{addr}{path}")).await
    }

    pub async fn tcp(&self, name: &str) -> Lines {
        Lines::connect(self.gateways[name].service.tcp_addr().unwrap()).await
    }

    /// Fails or mends the way to a gateway.
    pub fn path_to(&self, name: &str, path: Path) {
        self.gateways[name].proxy.path.send_replace(path);
    }

    /// How many connections the other gateways have opened to a gateway so far.
    pub fn connections_to(&self, name: &str) -> usize {
        self.gateways[name]
            .proxy
            .connections
            .load(Ordering::Relaxed)
    }

    /// Says who has a room, without starting or ending it anywhere.
    pub fn say(&self, room: &str, owner: Owner) {
        let mut owners = self.world.owners.lock().unwrap();
        owners.insert(room.into(), owner);
        drop(owners);
        self.tell();
    }

    /// Says what one gateway believes about a room.
    pub fn believes(&self, name: &'static str, room: &str, owner: Owner) {
        let mut beliefs = self.world.beliefs.lock().unwrap();
        beliefs.insert((name, room.into()), owner);
        drop(beliefs);
        self.tell();
    }

    /// A room is configured at no gateway any more, as far as this one knows.
    pub fn forgets(&self, room: &str) {
        self.world.owners.lock().unwrap().remove(room);
        self.tell();
    }

    /// The room ends where it is.
    pub async fn ends(&self, room: &'static str, at: &str) {
        let rooms = self.gateways[at].service.rooms();
        let deadline = Instant::now() + Duration::from_secs(5);
        let leaving = [Arc::from(room)].into();
        rooms.leave(&leaving, Leaving::HandedOver, deadline).await;
    }

    /// The room starts at its owner.
    pub async fn starts(&self, name: &'static str) {
        let gateway = &self.gateways[name];
        gateway
            .service
            .rooms()
            .apply(&gateway.config)
            .await
            .unwrap();
    }

    /// Hands a room over as a planned move does.
    pub async fn moves(&self, room: &'static str, from: &str, to: &'static str) {
        self.say(room, Owner::Moving);
        self.ends(room, from).await;
        self.say(room, Owner::Gateway(to));
        self.starts(to).await;
    }

    pub async fn stop(self) {
        for (_, gateway) in self.gateways {
            soon("the end of a gateway", gateway.service.stop()).await;
        }
        for (_, device) in self.devices {
            soon("the end of a device", device.stop()).await;
        }
    }
}
