//! Several gateways: joins the cluster of the configuration, and connects it with rooms, MQTT door and links.
//!
//! Owns the order of events: which room starts, is handed over or ends, and when the others and the broker learn of
//! it. Decides nothing about ownership: [`crate::cluster`] does. Nothing of this runs without `[cluster]`.
//!
//! ```text
//! placed_rooms  whose each room is, for rooms, doors and links
//! status        what people and monitoring see of the cluster
//! follower      the task that follows the cluster: starts, hands over and ends rooms
//! ```

mod follower;
mod placed_rooms;
mod status;

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::ClusterOptions;
use super::core::Core;
use super::health::ClusterSampler;
use super::own_thread::run_on_thread;
use crate::cluster::link::{LinkSettings, LinkStatus, member_tls};
use crate::cluster::{
    Cluster, ClusterIdentity, ClusterSessions, ClusterState, ClusterView, Etcd, EtcdSettings,
    MeteredRegistry, RoomDigests, Shard, ShardEvent, join,
};
use crate::config::{ClusterConfig, Config};
use crate::doors::mqtt::{MqttSettings, Presence, RemainingGateways, SharedRooms, SharingRules};
use crate::rooms::Rooms;
use crate::state::StateStore;
use crate::telemetry::Telemetry;

use follower::Follower;
use placed_rooms::{LeaveDeadlines, PlacedRooms};
use status::ClusterStatus;

/// How long the rooms of a gateway that leaves may go on with commands that take long, such as dialling, for which a
/// device gets a minute. After that they are answered `outcome_unknown`. systemd kills after 90 s; the gateway asks it
/// for that.
const LONG_COMMANDS_TIMEOUT: Duration = Duration::from_secs(70);

/// How long a room may need to be handed over after its last command that took long.
const AFTER_LONG_COMMAND: Duration = Duration::from_secs(4);

/// How often it is looked whether such commands have ended.
const LONG_COMMANDS_LOOK: Duration = Duration::from_millis(250);

/// How long the last gateway may take to say `offline` for the rooms of others: one look at the broker, and a message a
/// room.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time in which a gateway of a cluster stops.
pub const LONGEST_LEAVE: Duration = Duration::from_secs(90);

/// How long a gateway that has left waits for the markers of the rooms' next owners: a busy broker takes seconds.
/// Commands that come before them are this gateway's to pass on.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long leaving may take, once no room is here any more: two requests.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(700);

/// A gateway that has joined a cluster, before its rooms and doors have started.
pub struct JoiningCluster {
    cluster: Cluster,
    events: mpsc::UnboundedReceiver<ShardEvent>,
    placed: Arc<PlacedRooms>,
    cluster_id: String,
    links: LinkSettings,
    has_joined: watch::Sender<bool>,
}

/// The part of a running gateway that follows its cluster.
#[derive(Debug)]
pub struct RunningCluster {
    cluster: Cluster,
    placed: Arc<PlacedRooms>,
    status: Arc<ClusterStatus>,
    presence: Option<Arc<Presence>>,
    shared: Option<Arc<SharedRooms>>,
    configurations: mpsc::UnboundedSender<Arc<Config>>,
    /// Why the cluster cannot be joined, once that is known.
    refused: watch::Receiver<Option<String>>,
    follower: JoinHandle<()>,
}

/// What the [`Follower`] works with.
struct FollowerParts {
    cluster: Cluster,
    placed: Arc<PlacedRooms>,
    rooms: Arc<Rooms>,
    store: Arc<StateStore>,
    /// The MQTT door's parts, if that runs.
    shared: Option<Arc<SharedRooms>>,
    presence: Option<Arc<Presence>>,
    config: Arc<Config>,
    status: Arc<ClusterStatus>,
    /// Tells the MQTT door once this gateway is a member.
    has_joined: watch::Sender<bool>,
}

/// How the gateway's own etcd clients are set up.
pub fn etcd_settings(config: &ClusterConfig) -> EtcdSettings {
    let login = config.username.clone().zip(config.password.clone());
    EtcdSettings {
        endpoints: config.etcd.clone(),
        login,
        authorities: config.ca_file.clone(),
    }
}

impl JoiningCluster {
    /// Begins to join. The heartbeats run on a thread of their own: they must come in time while thousands of rooms
    /// start.
    ///
    /// # Errors
    /// Certificate files that cannot be used, or the system gives no thread.
    pub fn start(
        config: &Config,
        cluster: &ClusterConfig,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, String> {
        let etcd = Etcd::new(etcd_settings(cluster))?;
        let etcd = Arc::new(MeteredRegistry::new(etcd, telemetry.clone()));
        let tls = member_tls(cluster.ca_file.clone())
            .map_err(|error| format!("cluster.ca_file: {error}"))?;
        // A client of its own: many sessions must not hold up heartbeats.
        let store = Etcd::new(etcd_settings(cluster))?;
        let store = Arc::new(MeteredRegistry::new(store, telemetry.clone()));
        let (sessions, keeping) = ClusterSessions::start(
            store,
            &cluster.prefix,
            cluster.token.clone(),
            telemetry.clone(),
        );
        tokio::spawn(keeping);
        let placed = PlacedRooms::new(&cluster.name, config, sessions);
        let identity = ClusterIdentity {
            prefix: cluster.prefix.clone(),
            name: cluster.name.clone(),
            advertise: cluster.advertise.clone(),
            weight: cluster.weight,
            version: env!("CARGO_PKG_VERSION").into(),
            rooms: RoomDigests::new(config.room_digests()),
            since: u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default(),
            settings: config.shared_settings(),
        };
        let (handle, events, keeper) = join(etcd, identity, telemetry.clone());
        run_on_thread("cluster", keeper)
            .map_err(|error| format!("the cluster cannot be joined: {error}"))?;
        placed.follow(&handle);
        let links = LinkSettings {
            name: cluster.name.as_str().into(),
            advertise: cluster.advertise.as_str().into(),
            token: cluster.token.secret().clone(),
            tls: Some(tls),
        };
        Ok(Self {
            cluster: handle,
            events,
            placed,
            cluster_id: cluster.cluster_id(),
            links,
            has_joined: watch::Sender::new(false),
        })
    }

    /// What rooms and links ask.
    pub fn options(&self) -> ClusterOptions {
        ClusterOptions {
            links: self.links.clone(),
            holders: self.placed.clone(),
            sharing: self.placed.clone(),
        }
    }

    /// The MQTT door's settings, with the rooms that it shares.
    pub fn share(&self, settings: MqttSettings) -> MqttSettings {
        let shared = SharedRooms::new(self.links.name.to_string(), self.placed.clone());
        MqttSettings {
            may_connect: Some(self.has_joined.subscribe()),
            ..settings.sharing(&self.cluster_id, shared)
        }
    }

    /// Follows the cluster from now on. `mqtt`: the settings of the MQTT door, if it runs.
    ///
    /// # Errors
    /// Certificate files that cannot be used.
    pub fn run(self, core: &Core, mqtt: Option<&MqttSettings>) -> Result<RunningCluster, String> {
        let shared = mqtt.and_then(|settings| settings.shared.clone());
        let status = Arc::new(ClusterStatus::new(
            self.placed.clone(),
            self.cluster.fence().clone(),
            shared.clone(),
            core.telemetry.clone(),
        ));
        let presence = mqtt.map(|settings| {
            let (placed, telemetry) = (self.placed.clone(), core.telemetry.clone());
            Presence::start(settings, &self.cluster_id, placed, telemetry)
        });
        let presence = presence.transpose()?.map(Arc::new);
        let (configurations, new_configurations) = mpsc::unbounded_channel();
        let (refused_sender, refused) = watch::channel(None);
        let follower = Follower::new(FollowerParts {
            cluster: self.cluster.clone(),
            placed: self.placed.clone(),
            rooms: core.rooms.clone(),
            store: core.store.clone(),
            shared: shared.clone(),
            presence: presence.clone(),
            config: Arc::new(core.config.clone()),
            status: status.clone(),
            has_joined: self.has_joined,
        });
        Ok(RunningCluster {
            cluster: self.cluster,
            placed: self.placed,
            status,
            presence,
            shared,
            configurations,
            refused,
            follower: tokio::spawn(follower.run(self.events, new_configurations, refused_sender)),
        })
    }
}

impl std::fmt::Debug for JoiningCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoiningCluster").finish_non_exhaustive()
    }
}

impl RunningCluster {
    /// What metrics and `gateway/health` say of it.
    pub fn sampler(&self, links: Option<LinkStatus>) -> ClusterSampler {
        let status = self.status.clone();
        Arc::new(move || status.sample(links.as_ref()))
    }

    /// Why the cluster cannot be joined. Waits until that is known, so for ever as a rule.
    pub async fn refused(&self) -> String {
        let mut refused = self.refused.clone();
        if let Ok(refused) = refused.wait_for(Option::is_some).await {
            return refused.clone().unwrap_or_default();
        }
        std::future::pending().await
    }

    /// A new configuration, before its rooms are applied. Returns its number.
    pub fn reloading(&self, config: &Config) -> u64 {
        self.placed.configure(config)
    }

    /// The rooms of the new configuration have been applied: those that are no longer in it have ended. Only now the
    /// others learn of it, since they may use these devices then.
    pub fn reloaded(&self, number: u64, config: &Config) {
        let rooms = RoomDigests::new(config.room_digests());
        self.cluster.set_rooms(number, rooms);
        // The follower has ended if the cluster was left.
        let _ = self.configurations.send(Arc::new(config.clone()));
    }

    /// Hands all rooms over, by `deadline`; those with commands that take long when these have ended, by
    /// [`LONG_COMMANDS_TIMEOUT`]. This gateway stays a member until [`RunningCluster::stop`], so that it knows where to
    /// pass on what its clients still want. The last gateway has nobody to hand its rooms to: they stop as those of a
    /// gateway that is alone.
    ///
    /// Returns until when commands that were passed on may take.
    pub async fn hand_over(&self, rooms: &Rooms, deadline: Instant) -> Instant {
        let has_successor = self.cluster.view().borrow().has_successor();
        if !has_successor {
            rooms.stop(deadline).await;
        }
        let long = Instant::now() + LONG_COMMANDS_TIMEOUT;
        self.placed.leave_by(LeaveDeadlines {
            ordinary: deadline,
            long,
        });
        self.cluster.drain();
        if !self.handed_over(rooms, deadline, long).await {
            self.status.telemetry().rooms_not_handed_over();
        }
        if let Some(shared) = self.shared.as_ref().filter(|_| has_successor) {
            // Without the next owners' markers, what they are to have is passed on when the door stops.
            let _ = timeout(LEAVING_TIMEOUT, shared.all_left()).await;
        }
        if self.cluster.view().borrow().has_successor() {
            long
        } else {
            deadline
        }
    }

    /// Waits until no room is this gateway's, by `deadline`; while rooms have commands that take long, some time
    /// longer, and by `long`.
    async fn handed_over(&self, rooms: &Rooms, mut deadline: Instant, long: Instant) -> bool {
        let mut view = self.cluster.view();
        let handed_over =
            view.wait_for(|view| view.state == ClusterState::Ended || are_elsewhere(view));
        tokio::pin!(handed_over);
        loop {
            let now = Instant::now();
            let waits = now < long
                && self.placed.may_act()
                && self.cluster.view().borrow().has_successor()
                && rooms.any_has_long_command();
            if waits {
                deadline = deadline.max(now + AFTER_LONG_COMMAND);
            }
            let look = deadline.min(now + LONG_COMMANDS_LOOK);
            if timeout_at(look, &mut handed_over).await.is_ok() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }

    /// Leaves the cluster, and says `offline` if no other gateway is there.
    pub async fn stop(self, deadline: Instant) {
        let view = self.cluster.view().borrow().clone();
        let have_rooms = self.placed.may_act() && view.has_successor() && are_elsewhere(&view);
        self.cluster.leave();
        let mut view = self.cluster.view();
        let left = view.wait_for(|view| view.state == ClusterState::Ended);
        if timeout(LEAVE_TIMEOUT, left).await.is_err() {
            self.status.telemetry().cluster_not_left();
        }
        self.follower.abort();
        // The task held the other one.
        let _ = self.follower.await;
        let view = self.cluster.view().borrow().clone();
        // A view without an answer to the last request is out of date.
        let is_known = view.state == ClusterState::Ended;
        let remaining = match have_rooms {
            _ if is_known && view.others().next().is_none() => RemainingGateways::None,
            true => RemainingGateways::HaveRooms,
            false => RemainingGateways::Unknown,
        };
        if let Some(presence) = self.presence.and_then(Arc::into_inner) {
            let deadline = deadline.max(Instant::now() + LAST_LOOK_TIMEOUT);
            presence.stop(remaining, deadline).await;
        }
    }
}

/// Whether every shard has another owner, or, where there is no other gateway, none.
fn are_elsewhere(view: &ClusterView) -> bool {
    let has_successor = view.has_successor();
    let mut owners = Shard::all().map(|shard| view.owner(shard));
    owners.all(|owner| match owner {
        Some(owner) => *owner.name != *view.me,
        None => !has_successor,
    })
}
