//! Whose each configured room is.
//!
//! Owns what this gateway has of each shard and the newest look at the cluster. `answers` holds the answers for rooms,
//! links and the MQTT door. Answers under a short lock, and calls nothing. Changes come from the
//! [`follower`](super::follower) alone, but for the configuration's.

mod answers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::link::Member;
use crate::cluster::{
    Cluster, ClusterSessions, ClusterView, FIRST_CONFIGURATION, HeldShard, MemberFence, MemberView,
    SHARDS, Shard, ShardFence, ShardRooms, shard_of,
};
use crate::config::{Config, RoomConfigs};

pub use answers::{NO_OWNER, device_elsewhere, not_configured};

/// A shard that has no owner for this long counts as unowned. A take-over takes 3.5 s at most, a move half a second:
/// until then it counts as moving.
const UNOWNED_AFTER: Duration = Duration::from_secs(5);

/// How long rooms that move to another gateway may finish what they began: longer than an ordinary request takes. New
/// commands wait meanwhile. A room with a command that takes longer does not move until that has ended.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(12);

/// Until when the rooms of a gateway that ends have to be handed over.
#[derive(Debug, Clone, Copy)]
pub struct LeaveDeadlines {
    /// Of most rooms.
    pub ordinary: Instant,
    /// Of rooms with a command that takes long.
    pub long: Instant,
}

/// The rooms of the configuration, and whose they are.
pub struct PlacedRooms {
    name: Arc<str>,
    /// Where the rooms' sessions are kept.
    sessions: ClusterSessions,
    state: RwLock<State>,
    changed: watch::Sender<()>,
}

struct State {
    rooms: RoomConfigs,
    /// The number of this configuration.
    configuration: u64,
    /// The rooms that the other gateways have read last, and newer ones that they may read next.
    told: RoomConfigs,
    telling: VecDeque<(u64, RoomConfigs)>,
    /// Rooms of held shards that do not run, each with the reason; `None` if that is only for a moment.
    waiting: BTreeMap<Arc<str>, Option<Arc<str>>>,
    by_shard: HashMap<Shard, Vec<Arc<str>>>,
    here: HashMap<Shard, ShardHere>,
    seen: SeenCluster,
    /// By shard: since when it has no owner, and whether that is long by now.
    unowned: Vec<Option<Unowned>>,
    fence: MemberFence,
    /// Until when the rooms have to be handed over, once this gateway ends.
    leaving: Option<LeaveDeadlines>,
    changes: Changes,
}

/// When the answers for the rooms of a shard changed last.
struct Changes {
    /// Counts the changes.
    count: u64,
    of_shards: Vec<u64>,
    of_configuration: u64,
}

impl Changes {
    fn new() -> Self {
        Self {
            count: 0,
            of_shards: vec![0; usize::from(SHARDS)],
            of_configuration: 0,
        }
    }

    fn configured(&mut self) {
        self.count += 1;
        self.of_configuration = self.count;
    }

    fn changed(&mut self, shards: impl IntoIterator<Item = Shard>) {
        self.count += 1;
        for shard in shards {
            self.of_shards[shard.index()] = self.count;
        }
    }
}

/// A shard that this gateway has.
struct ShardHere {
    held: HeldShard,
    fence: ShardFence,
    phase: ShardPhase,
}

/// How far a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardPhase {
    /// Its rooms are being started.
    Starting,
    /// Its rooms take commands.
    Running,
    /// Its rooms finish what they began.
    Stopping,
}

/// A shard without an owner.
#[derive(Debug, Clone, Copy)]
struct Unowned {
    since: Instant,
    /// It is not on its way any more.
    is_long: bool,
}

/// The newest look at the cluster.
struct SeenCluster {
    view: ClusterView,
    /// By the place in the view's members; none for an address that is no URL.
    members: Vec<Option<Member>>,
}

impl SeenCluster {
    fn new(view: ClusterView) -> Self {
        let members = view.members.iter().map(as_link_member).collect();
        Self { view, members }
    }
}

fn as_link_member(member: &MemberView) -> Option<Member> {
    Some(Member {
        name: member.name.as_str().into(),
        advertise: Arc::new(member.advertise.parse().ok()?),
    })
}

impl std::fmt::Debug for PlacedRooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlacedRooms")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PlacedRooms {
    /// The rooms of this configuration, in nobody's hands as far as is known.
    pub fn new(name: &str, config: &Config, sessions: ClusterSessions) -> Arc<Self> {
        let placed = Self {
            name: name.into(),
            sessions,
            state: RwLock::new(State {
                rooms: RoomConfigs::default(),
                configuration: FIRST_CONFIGURATION - 1,
                told: RoomConfigs::default(),
                telling: VecDeque::new(),
                waiting: BTreeMap::new(),
                by_shard: HashMap::new(),
                here: HashMap::new(),
                seen: SeenCluster::new(ClusterView::unknown(name)),
                unowned: vec![None; usize::from(SHARDS)],
                fence: MemberFence::closed(),
                leaving: None,
                changes: Changes::new(),
            }),
            changed: watch::Sender::new(()),
        };
        placed.configure(config);
        Arc::new(placed)
    }

    /// Where the rooms' sessions are kept.
    pub fn kept_sessions(&self) -> &ClusterSessions {
        &self.sessions
    }

    /// Uses the fence of this member from now on.
    pub fn follow(&self, cluster: &Cluster) {
        self.state.write().fence = cluster.fence().clone();
    }

    /// This gateway is about to end.
    pub fn leave_by(&self, deadlines: LeaveDeadlines) {
        self.state.write().leaving = Some(deadlines);
    }

    /// Until when a room that goes now may finish what it began.
    pub fn hand_over_deadline(&self) -> Instant {
        let now = Instant::now();
        let longest = now + HAND_OVER_TIMEOUT;
        let leaving = self.state.read().leaving;
        leaving.map_or(longest, |leaving| {
            if now < leaving.ordinary {
                longest.min(leaving.ordinary)
            } else {
                // One that waited for a long command.
                longest.min(leaving.long)
            }
        })
    }

    /// Whether a room that has a command which takes long stays where it is until the command has ended.
    pub fn waits_for_long_commands(&self) -> bool {
        let leaving = self.state.read().leaving;
        leaving.is_none_or(|leaving| Instant::now() < leaving.long)
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }

    /// These rooms are configured from now on. Returns the configuration's number.
    pub fn configure(&self, config: &Config) -> u64 {
        let mut by_shard: HashMap<Shard, Vec<Arc<str>>> = HashMap::new();
        for id in config.rooms.keys() {
            let shard = shard_of(&id.shared());
            by_shard.entry(shard).or_default().push(id.shared());
        }
        let mut state = self.state.write();
        state.rooms = config.rooms.clone();
        state.configuration += 1;
        let configuration = state.configuration;
        state
            .telling
            .push_back((configuration, config.rooms.clone()));
        state.take_told();
        state.by_shard = by_shard;
        state.changes.configured();
        drop(state);
        self.tell();
        configuration
    }

    /// These rooms of shards that are here do not run, for these reasons; no others.
    pub fn set_waiting(&self, waiting: BTreeMap<Arc<str>, Option<Arc<str>>>) {
        let mut state = self.state.write();
        let is_new = state.waiting != waiting;
        if is_new {
            let before = std::mem::replace(&mut state.waiting, waiting);
            let rooms = before.keys().chain(state.waiting.keys());
            let shards: Vec<Shard> = rooms.map(|room| shard_of(room)).collect();
            state.changes.changed(shards);
        }
        drop(state);
        if is_new {
            self.tell();
        }
    }

    /// The cluster looks like this now. Returns whether owners or members are others than before.
    pub fn seen(&self, view: ClusterView) -> bool {
        let mut state = self.state.write();
        let old = &state.seen.view;
        let is_new =
            !old.shows_the_same(&view) || old.state != view.state || old.problem != view.problem;
        if is_new {
            let is_same = |shard: &Shard| match (old.owner(*shard), view.owner(*shard)) {
                (Some(before), Some(now)) => {
                    (&before.name, &before.advertise) == (&now.name, &now.advertise)
                }
                // Why nobody has it may have changed.
                (None, None) => {
                    old.state == view.state
                        && old.heir(*shard).is_some() == view.heir(*shard).is_some()
                        && old.has_successor() == view.has_successor()
                }
                _ => false,
            };
            let mut changed: Vec<Shard> = Shard::all().filter(|shard| !is_same(shard)).collect();
            if old.conflicts != view.conflicts {
                let ownerless = [old, &view].map(|view| view.conflicts.ownerless.keys());
                changed.extend(ownerless.into_iter().flatten().map(|room| shard_of(room)));
            }
            state.changes.changed(changed);
            let now = Instant::now();
            for shard in Shard::all() {
                let unowned = &mut state.unowned[shard.index()];
                *unowned = match view.owner(shard) {
                    Some(_) => None,
                    None => unowned.or(Some(Unowned {
                        since: now,
                        is_long: false,
                    })),
                };
            }
            state.seen = SeenCluster::new(view);
            state.take_told();
        }
        drop(state);
        if is_new {
            self.tell();
        }
        is_new
    }

    /// What only time changes: which shards are without an owner for long. To be called each second.
    pub fn look(&self) {
        let mut state = self.state.write();
        let now = Instant::now();
        let mut changed = Vec::new();
        for shard in Shard::all() {
            let unowned = state.unowned[shard.index()].as_mut();
            let is_over = |it: &&mut Unowned| !it.is_long && now - it.since >= UNOWNED_AFTER;
            if let Some(unowned) = unowned.filter(is_over) {
                unowned.is_long = true;
                changed.push(shard);
            }
        }
        let is_changed = !changed.is_empty();
        if is_changed {
            state.changes.changed(changed);
        }
        drop(state);
        if is_changed {
            self.tell();
        }
    }

    /// The shards that are without an owner for longer than a take-over takes.
    pub fn long_unowned(&self) -> Vec<Shard> {
        let state = self.state.read();
        Shard::all()
            .filter(|shard| state.is_long_unowned(*shard))
            .collect()
    }

    /// The newest look at the cluster.
    pub fn view(&self) -> ClusterView {
        self.state.read().seen.view.clone()
    }

    /// Whether this room is configured.
    pub fn has_configured(&self, room: &str) -> bool {
        self.state.read().rooms.contains_key(room)
    }

    /// The configured rooms of a shard.
    pub fn rooms_of(&self, shard: Shard) -> Vec<Arc<str>> {
        self.state
            .read()
            .by_shard
            .get(&shard)
            .cloned()
            .unwrap_or_default()
    }

    /// How many configured rooms each shard has.
    pub fn shard_rooms(&self) -> ShardRooms {
        let state = self.state.read();
        let counts = state.by_shard.iter();
        ShardRooms::with_counts(counts.map(|(shard, rooms)| (*shard, rooms.len())))
    }

    /// The configured rooms of these shards.
    pub fn rooms_of_all(&self, shards: impl IntoIterator<Item = Shard>) -> Vec<Arc<str>> {
        let state = self.state.read();
        let rooms = shards
            .into_iter()
            .filter_map(|shard| state.by_shard.get(&shard));
        rooms.flatten().cloned().collect()
    }

    /// This shard is this gateway's; its rooms are about to start.
    pub fn starting(&self, held: HeldShard, fence: ShardFence) {
        let here = ShardHere {
            held,
            fence,
            phase: ShardPhase::Starting,
        };
        let mut state = self.state.write();
        state.here.insert(held.shard, here);
        state.changes.changed([held.shard]);
        drop(state);
        self.tell();
    }

    /// Its rooms are further. False if this time of ownership is over: nothing changes then.
    pub fn set_phase(&self, held: HeldShard, phase: ShardPhase) -> bool {
        let mut state = self.state.write();
        let here = state.here.get_mut(&held.shard);
        let Some(here) = here.filter(|here| here.held == held) else {
            return false;
        };
        here.phase = phase;
        state.changes.changed([held.shard]);
        drop(state);
        self.tell();
        true
    }

    /// This time of ownership is over.
    pub fn remove(&self, held: HeldShard) {
        let mut state = self.state.write();
        if state
            .here
            .get(&held.shard)
            .is_some_and(|here| here.held == held)
        {
            state.here.remove(&held.shard);
            state.changes.changed([held.shard]);
        }
        drop(state);
        self.tell();
    }

    /// Whether nothing keeps this room from starting here.
    pub fn may_start(&self, room: &str) -> bool {
        self.state.read().may_start(room)
    }

    /// The rooms of shards that run here of which this is so.
    pub fn rooms_here(&self, is_so: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let state = self.state.read();
        let is_running = |here: &&ShardHere| here.phase == ShardPhase::Running;
        let shards = state
            .here
            .values()
            .filter(is_running)
            .map(|here| here.held.shard);
        let rooms = shards
            .filter_map(|shard| state.by_shard.get(&shard))
            .flatten();
        let rooms: Vec<_> = rooms.cloned().collect();
        drop(state);
        rooms.into_iter().filter(|room| is_so(room)).collect()
    }

    /// Whether this time of ownership goes on.
    pub fn has(&self, held: HeldShard) -> bool {
        let state = self.state.read();
        let here = state.here.get(&held.shard);
        here.is_some_and(|here| here.held == held)
    }

    /// What this gateway has of a shard, if anything.
    pub fn phase(&self, shard: Shard) -> Option<ShardPhase> {
        self.state.read().here.get(&shard).map(|here| here.phase)
    }
}
