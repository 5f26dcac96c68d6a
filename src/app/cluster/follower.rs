//! The task that follows the cluster: it starts the rooms of shards that are gained, hands over those that are to
//! go, ends those that are lost, and keeps the MQTT door's part in step.
//!
//! Owns the order in which rooms, fence, broker and cluster learn of a change. The decisions are the cluster's.
//!
//! | what the cluster says | the rooms | the MQTT door | what clients see |
//! |---|---|---|---|
//! | gained; nobody had it | start, offline at first | `Arrival::New` | the room comes online |
//! | gained; handed over | start with the sessions of before | `Arrival::HandedOver` | nothing |
//! | gained; its owner is dead | first end its sessions | `Arrival::TakenOver` | `outcome_unknown` for what had begun |
//! | gained; its owner was this gateway's last process | the same | `Arrival::TakenBack` | the same |
//! | to be given up | finish what they began | holds new commands, then releases | answers up to a second later |
//! | lost | end at once, without a request | passes commands on, or answers `offline` | nothing, if another has it |
//!
//! Three numbers tell ownerships apart. A *period* (`HeldShard`) counts those of a shard at this gateway. A *term*
//! counts those of a room in the MQTT door. A *revision* is etcd's, so all gateways agree which of two is newer.

mod arriving_rooms;
#[cfg(test)]
mod tests;
mod unowned;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::FollowerParts;
use super::placed_rooms::{PlacedRooms, ShardPhase};
use super::status::ClusterStatus;
use crate::cluster::{
    Cluster, ClusterState, ClusterView, GainedShard, HeldShard, Predecessor, SHARDS, Shard,
    ShardEvent, shard_of,
};
use crate::config::{Config, RoomConfig, RoomId};
use crate::doors::mqtt::{Arrival, Presence, RoomRole, SharedRooms};
use crate::rooms::{Leaving, PreviousOwner, Rooms};
use crate::sleep::ticks;
use crate::state::{StateStore, StateValue};
use crate::telemetry::ShardChange;
use crate::topics::GATEWAY_CLUSTER;
use arriving_rooms::ArrivingRooms;
use unowned::is_speaker;

/// How long the sessions of a shard that goes may take to be in etcd. Where etcd does not answer the shard cannot go.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a room that has just come may take until every gateway has its marker, before it can be handed over again.
const ESTABLISH_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the follower looks at what only time changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// States of a room that has gone are forgotten after this. Clients of this gateway read them until those of the
/// next owner have come.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// This gateway's role at the broker for a shard that it does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShardRole {
    /// It is the next to have it: it remembers its commands, for the case that the owner dies.
    Deputy,
    /// It has nothing to do with the shard.
    None,
}

/// What the MQTT door was told last of a shard that this gateway does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing since it left, or ever.
    Nothing,
    /// The shard is lost.
    Lost,
    Role(ShardRole),
}

/// How the hand-over of a shard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// The next gateway can have it.
    Done,
    /// Its rooms run on, since one of them has a command that takes long.
    Postponed,
    /// The shard was lost meanwhile.
    Overtaken,
}

/// What is remembered of a shard.
#[derive(Debug, Clone)]
struct ShardMemory {
    told: Told,
    /// Of this gateway's newest ownership.
    revision: u64,
}

/// The task.
pub struct Follower {
    cluster: Cluster,
    placed: Arc<PlacedRooms>,
    rooms: Arc<Rooms>,
    store: Arc<StateStore>,
    shared: Option<Arc<SharedRooms>>,
    presence: Option<Arc<Presence>>,
    config: Arc<Config>,
    status: Arc<ClusterStatus>,
    shards: Vec<ShardMemory>,
    /// Rooms that have gone, and since when.
    gone: Vec<(Instant, Arc<str>)>,
    /// Rooms of shards that are here, which may not start yet.
    waiting: BTreeSet<Arc<str>>,
    /// Rooms that this gateway says nobody has, and why.
    unowned: BTreeMap<Arc<str>, Arc<str>>,
    /// This gateway has been a member.
    has_joined: watch::Sender<bool>,
}

impl Follower {
    /// Has no room yet.
    pub(super) fn new(parts: FollowerParts) -> Self {
        let memory = ShardMemory {
            told: Told::Nothing,
            revision: 0,
        };
        Self {
            cluster: parts.cluster,
            placed: parts.placed,
            rooms: parts.rooms,
            store: parts.store,
            shared: parts.shared,
            presence: parts.presence,
            config: parts.config,
            status: parts.status,
            shards: vec![memory; usize::from(SHARDS)],
            gone: Vec::new(),
            waiting: BTreeSet::new(),
            unowned: BTreeMap::new(),
            has_joined: parts.has_joined,
        }
    }

    /// Runs until the cluster is left. A configuration comes when it is in use and its rooms have been applied.
    pub async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<ShardEvent>,
        mut configurations: mpsc::UnboundedReceiver<Arc<Config>>,
        refused: watch::Sender<Option<String>>,
    ) {
        let mut view = self.cluster.view();
        let mut looks = ticks(LOOK_INTERVAL);
        let (handed_over, mut hand_overs) = mpsc::unbounded_channel();
        let mut gone = Vec::new();
        loop {
            tokio::select! {
                biased;
                // First, so that the end finds nothing that was handed over and not told.
                1.. = hand_overs.recv_many(&mut gone, usize::from(SHARDS)) => {
                    self.left(&std::mem::take(&mut gone));
                }
                event = events.recv() => match event {
                    Some(ShardEvent::Gained(shards)) => {
                        // What its rooms may do depends on what the others said when it was gained.
                        let seen = view.borrow_and_update().clone();
                        self.seen(seen).await;
                        self.gained(shards).await;
                    }
                    Some(ShardEvent::Stop(shards)) => self.stop(shards, &handed_over),
                    Some(ShardEvent::Lost(shards)) => self.lost(shards).await,
                    Some(ShardEvent::Ended(Some(reason))) => {
                        refused.send_replace(Some(reason));
                    }
                    Some(ShardEvent::Ended(None)) | None => return,
                },
                changed = view.changed() => match changed {
                    Ok(()) => {
                        let seen = view.borrow_and_update().clone();
                        self.seen(seen).await;
                    }
                    Err(_) => return,
                },
                configuration = configurations.recv() => match configuration {
                    Some(config) => self.reconfigured(config).await,
                    None => return,
                },
                _ = looks.tick() => self.look(),
            }
        }
    }

    fn memory(&mut self, shard: Shard) -> &mut ShardMemory {
        &mut self.shards[shard.index()]
    }

    async fn gained(&mut self, shards: Vec<GainedShard>) {
        let is_dead = |gained: &&GainedShard| matches!(gained.predecessor, Predecessor::Dead(_));
        let after_death = shards.iter().filter(is_dead).count();
        let telemetry = self.status.telemetry();
        telemetry.shards_changed(ShardChange::GainedAfterDeath, after_death);
        telemetry.shards_changed(ShardChange::Gained, shards.len() - after_death);
        for gained in &shards {
            let memory = self.memory(gained.held.shard);
            memory.told = Told::Nothing;
            memory.revision = gained.revision;
        }
        self.placed.kept_sessions().gained(&shards).await;
        for gained in &shards {
            self.placed.starting(gained.held, gained.fence.clone());
        }
        // Not before: a configuration that came meanwhile was applied without these shards. One that comes from here on
        // starts what it adds to them.
        let arriving = ArrivingRooms::of(&shards, &self.placed);
        // States of an earlier ownership are old.
        for room in arriving.all() {
            self.store.take_room_quietly(room);
        }
        self.no_longer_unowned(arriving.all());
        let gone = std::mem::take(&mut self.gone).into_iter();
        self.gone = gone.filter(|(_, room)| self.is_gone(room)).collect();
        if let Some(shared) = &self.shared {
            arriving.tell(shared);
        }
        for (rooms, previous_owner) in arriving.by_previous_owner() {
            self.arrive(rooms, previous_owner).await;
        }
        for gained in &shards {
            self.placed.set_phase(gained.held, ShardPhase::Running);
        }
        self.start_waiting().await;
    }

    async fn arrive(&self, rooms: &[Arc<str>], previous_owner: PreviousOwner) {
        if let Err(failed) = self.rooms.arrive(rooms, previous_owner).await {
            for error in failed {
                self.status.telemetry().taken_room_failed(&error);
            }
        }
    }

    /// The rooms of these shards go to other gateways. Each shard goes as soon as its own rooms have finished; one with
    /// a command that takes long stays for now.
    fn stop(&self, shards: Vec<HeldShard>, handed_over: &mpsc::UnboundedSender<HeldShard>) {
        let hand_overs = shards.into_iter().map(|held| {
            let (cluster, handed_over) = (self.cluster.clone(), handed_over.clone());
            let hand_over = self.hand_over(held);
            async move {
                match hand_over.await {
                    HandOver::Done => {
                        cluster.stopped(held);
                        // The follower has ended if the gateway stops.
                        let _ = handed_over.send(held);
                    }
                    HandOver::Postponed => cluster.postponed(held),
                    HandOver::Overtaken => {}
                }
            }
        });
        tokio::spawn(join_all(hand_overs.collect::<Vec<_>>()));
    }

    fn hand_over(&self, held: HeldShard) -> impl Future<Output = HandOver> + Send + 'static {
        let (placed, rooms, shared) =
            (self.placed.clone(), self.rooms.clone(), self.shared.clone());
        async move {
            let ids = placed.rooms_of(held.shard);
            let stay =
                |ids: &[Arc<str>]| placed.waits_for_long_commands() && rooms.have_long_command(ids);
            if stay(&ids) {
                return HandOver::Postponed;
            }
            if let Some(shared) = shared.as_ref().filter(|_| !ids.is_empty()) {
                let _ = timeout(ESTABLISH_TIMEOUT, shared.established(&ids)).await;
                if !placed.has(held) {
                    return HandOver::Overtaken;
                }
                shared.hold(&ids);
            }
            if !placed.set_phase(held, ShardPhase::Stopping) {
                return HandOver::Overtaken;
            }
            // From here on a new configuration starts no room of this shard. One that it started meanwhile goes too,
            // and one that it has taken out meanwhile was held already.
            let mut all: BTreeSet<_> = ids.into_iter().collect();
            all.extend(placed.rooms_of(held.shard));
            let ids: Vec<_> = all.into_iter().collect();
            // Those that the new configuration has not any more.
            let mut leaving = ending_rooms(&rooms, &[held]);
            if ids.is_empty() && leaving.is_empty() {
                return HandOver::Done;
            }
            if let Some(shared) = &shared {
                shared.hold(&ids);
            }
            if stay(&ids) {
                placed.set_phase(held, ShardPhase::Running);
                if let Some(shared) = &shared {
                    shared.keep(&ids);
                }
                return HandOver::Postponed;
            }
            let deadline = placed.hand_over_deadline();
            leaving.extend(ids.iter().cloned());
            rooms.leave(&leaving, Leaving::HandedOver, deadline).await;
            // The next gateway reads them when it has the shard.
            let sessions = placed.kept_sessions();
            sessions
                .flush(&[held], Instant::now() + FLUSH_TIMEOUT)
                .await;
            // It was lost meanwhile: nothing of it is handed over.
            if !placed.has(held) {
                return HandOver::Overtaken;
            }
            if let Some(shared) = &shared {
                shared.released(&ids);
            }
            HandOver::Done
        }
    }

    /// The rooms of these shards have been handed over.
    fn left(&mut self, shards: &[HeldShard]) {
        let telemetry = self.status.telemetry();
        telemetry.shards_changed(ShardChange::GivenUp, shards.len());
        self.placed.kept_sessions().left(shards);
        for held in shards {
            self.placed.remove(*held);
            self.memory(held.shard).told = Told::Nothing;
        }
        let now = Instant::now();
        let rooms = self
            .placed
            .rooms_of_all(shards.iter().map(|held| held.shard));
        self.gone.extend(rooms.into_iter().map(|room| (now, room)));
        self.tell_roles(&self.placed.view());
    }

    /// Another gateway may have these shards already.
    async fn lost(&mut self, shards: Vec<HeldShard>) {
        let telemetry = self.status.telemetry();
        telemetry.shards_changed(ShardChange::Lost, shards.len());
        let now = Instant::now();
        let rooms = self
            .placed
            .rooms_of_all(shards.iter().map(|held| held.shard));
        if let Some(shared) = &self.shared {
            shared.lose(&rooms);
        }
        self.placed.kept_sessions().left(&shards);
        for held in &shards {
            self.placed.remove(*held);
            self.memory(held.shard).told = Told::Lost;
        }
        let mut leaving = ending_rooms(&self.rooms, &shards);
        leaving.extend(rooms.iter().cloned());
        self.rooms.leave(&leaving, Leaving::Lost, now).await;
        self.gone.extend(rooms.into_iter().map(|room| (now, room)));
    }

    /// The cluster looks like this now.
    async fn seen(&mut self, view: ClusterView) {
        // Heartbeats alone change nothing.
        if !self.placed.seen(view.clone()) {
            return;
        }
        self.status.seen(&view);
        if view.state == ClusterState::Ok {
            self.has_joined.send_replace(true);
        }
        self.start_waiting().await;
        self.tell_roles(&view);
        self.speak(&view);
    }

    /// Tells the MQTT door which rooms to subscribe to without having them.
    fn tell_roles(&mut self, view: &ClusterView) {
        let Some(shared) = self.shared.clone() else {
            return;
        };
        if !matches!(view.state, ClusterState::Ok | ClusterState::Leaving) {
            return;
        }
        let (mut deputized, mut unsubscribed) = (Vec::new(), Vec::new());
        for shard in Shard::all() {
            if self.placed.phase(shard).is_some() {
                continue;
            }
            let owner = view.owner(shard).map(|member| &*member.name);
            // The table does not say yet who has it now.
            if owner == Some(&view.me) {
                continue;
            }
            let told = self.shards[shard.index()].told;
            // Until it has an owner again, whoever was subscribed keeps what it remembers. The heir of a shard without
            // owner may be a gateway that was started again: it has received nothing, and asks the deputy.
            if owner.is_none() && matches!(told, Told::Lost | Told::Role(ShardRole::Deputy)) {
                continue;
            }
            let is_heir = view.heir(shard).is_some_and(|heir| *heir.name == *view.me);
            let role = if is_heir {
                ShardRole::Deputy
            } else {
                ShardRole::None
            };
            if told == Told::Role(role) {
                continue;
            }
            self.memory(shard).told = Told::Role(role);
            match role {
                ShardRole::Deputy => deputized.extend(self.placed.rooms_of(shard)),
                ShardRole::None => unsubscribed.extend(self.placed.rooms_of(shard)),
            }
        }
        // It answers for these rooms, although it does not run them.
        let answers_for = |room: &Arc<str>| {
            let ownerless = view.conflicts.ownerless.get(room);
            ownerless.is_some_and(|it| it.tells) && self.unowned.contains_key(room)
        };
        deputized.retain(|room| !answers_for(room));
        unsubscribed.retain(|room| !answers_for(room));
        shared.deputize(&deputized);
        shared.unsubscribe(&unsubscribed);
    }

    /// Says who has what. The member with the first name speaks for all at the broker.
    fn speak(&self, view: &ClusterView) {
        let lacks_owners = !self.placed.long_unowned().is_empty();
        let document = self.status.document(view, lacks_owners);
        self.store
            .set(GATEWAY_CLUSTER, StateValue::text(document.clone()));
        let speaks = is_speaker(view);
        if let Some(shared) = &self.shared {
            shared.speak(speaks);
        }
        match &self.presence {
            // The member of this name may be another process.
            _ if !*self.has_joined.borrow() => {}
            Some(presence) if speaks => presence.speak(document),
            Some(presence) => presence.fall_silent(),
            None => {}
        }
    }

    /// The rooms of this configuration have been applied.
    async fn reconfigured(&mut self, config: Arc<Config>) {
        let before: BTreeSet<_> = self.config.rooms.keys().map(|id| id.shared()).collect();
        let after: BTreeSet<_> = config.rooms.keys().map(|id| id.shared()).collect();
        // A room with another device waits until the others know of it: they may by now.
        let has_new_device = |(id, room): &(&RoomId, &Arc<RoomConfig>)| {
            let former = self.config.rooms.get(*id);
            former.is_none_or(|former| former.url != room.url)
        };
        let new_devices = config.rooms.iter().filter(has_new_device);
        let new_devices: Vec<_> = new_devices.map(|(id, _)| id.shared()).collect();
        self.config = config;
        self.arrive(&new_devices, PreviousOwner::Nobody).await;
        self.start_waiting().await;
        if let Some(shared) = &self.shared {
            // One that has arrived with its shard meanwhile is this gateway's already.
            let is_new = |room: &&Arc<str>| {
                let is_here = self.placed.phase(shard_of(room)).is_some();
                is_here && shared.role(room) != Some(RoomRole::Owner)
            };
            for room in after.difference(&before).filter(is_new) {
                let memory = &self.shards[shard_of(room).index()];
                shared.arrive([room], Arrival::New, memory.revision);
            }
            let removed: Vec<_> = before.difference(&after).cloned().collect();
            let (shared, placed) = (shared.clone(), self.placed.clone());
            // What the room said last is sent by then. It may be configured again by then too.
            tokio::spawn(async move {
                tokio::time::sleep(FORGET_AFTER).await;
                let is_gone = |room: &&Arc<str>| !placed.has_configured(room);
                shared.unsubscribe(removed.iter().filter(is_gone));
            });
        }
        let now = Instant::now();
        for room in before.difference(&after) {
            self.placed.kept_sessions().forget(room);
            // Other gateways may still have it: what is at the broker is cleared when none has.
            self.gone.push((now, room.clone()));
        }
        for room in after.difference(&before) {
            let memory = self.memory(shard_of(room));
            if matches!(memory.told, Told::Role(_)) {
                memory.told = Told::Nothing;
            }
        }
        self.tell_roles(&self.placed.view());
    }
}

/// The rooms of these shards that a new configuration is ending just now.
fn ending_rooms(rooms: &Rooms, shards: &[HeldShard]) -> BTreeSet<Arc<str>> {
    let mut ending = rooms.ending();
    ending.retain(|room| shards.iter().any(|held| held.shard == shard_of(room)));
    ending
}
