//! The rule of a cluster as a state machine: joining, heartbeats, the guard over others, taking and giving up
//! shards, leaving.
//!
//! Pure: the time and the store's answers are handed in, what to do comes out. The store is the
//! only truth: whatever a request was for, its answer holds all members and the table of owners at one moment, and
//! every step follows from the newest of these. So an answer that never came needs no care of its own:
//! the next one shows whether the request happened. What may still happen later cannot do harm, since every write
//! names the revisions that it was made for.

mod guard;
mod heartbeats;
mod holdings;
mod snapshot;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::BootInstant;
use super::fence::{Fence, ShardFence};
use super::placement::{FORMAT, Placement, Shard};
use super::record::{MemberRecord, Owner};
use super::registry::{
    Condition, Entry, Read, RegistryError, Transaction, TransactionReply, Write,
};
use super::view::{ClusterState, ClusterView, MemberView};
use guard::Guard;
use heartbeats::Heartbeats;
use holdings::Holdings;
use snapshot::Snapshot;

pub use heartbeats::HEARTBEAT_INTERVAL;

/// How often the store is asked while others hold shards that are about to be given to this member.
const HANDOVER_INTERVAL: Duration = Duration::from_millis(150);
/// For how long after a change it is asked so often.
const HANDOVER_TIME: Duration = Duration::from_secs(10);
/// How long after a write without an answer, or a refused one, the next is tried.
const WRITE_RETRY: Duration = Duration::from_millis(200);
/// How long a member that leaves waits before it gives up the first shard, so that the others know and ask often.
const LEAVE_NOTICE: Duration = HEARTBEAT_INTERVAL;
/// How long the first member of a cluster waits before it takes all shards: the others may be about to start.
const FIRST_MEMBER_PAUSE: Duration = Duration::from_millis(1000);

/// What the state machine wants done.
#[derive(Debug)]
pub enum Action {
    /// Send this to the store, and hand its answer to [`Members::answered`].
    Send(u64, Transaction),
    /// These shards are this gateway's now.
    Gained(Vec<GainedShard>),
    /// Stop the rooms of these shards in good order, and say so with [`Members::stopped`].
    Stop(Vec<HeldShard>),
    /// These shards are lost already: end their rooms without a request to their devices.
    Lost(Vec<HeldShard>),
    /// For the log.
    Notice(Notice),
    /// It has left, or cannot join for this reason. Nothing follows.
    Ended(Option<String>),
}

/// What happened in the cluster, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// This gateway is a member now.
    Joined,
    /// Another member, or a person, has removed this gateway's key; it joins again.
    Removed,
    /// The store has gone back to an earlier state; this gateway joins again.
    StoreWentBack,
    /// Another process has this gateway's name; it is waited for.
    NameTaken,
    /// Another member joined.
    MemberJoined(String),
    /// A member ended, after leaving or by being removed.
    MemberGone(String),
    /// This gateway removes a member that has given no sign of life.
    RemovesDead(String),
}

/// A shard during one time of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldShard {
    /// Which one.
    pub shard: Shard,
    /// Tells this time of ownership from others of the same shard.
    pub period: u64,
}

/// A shard that is this gateway's from now on.
#[derive(Debug, Clone)]
pub struct GainedShard {
    /// Which one, and which time of ownership.
    pub held: HeldShard,
    /// Asked before each request to a device of its rooms.
    pub fence: ShardFence,
    /// Who had it before.
    pub predecessor: Predecessor,
}

/// Who had a shard before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predecessor {
    /// Nobody, or a member that has given it up in good order.
    None,
    /// A member that ended without giving it up: its sessions at devices may live on.
    Dead(Owner),
}

/// How this gateway stands to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Outside,
    Inside {
        /// When its key was created, and last changed, as revisions.
        created: u64,
        modified: u64,
        joined: BootInstant,
    },
    Ended,
}

/// What a request was sent for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Probe,
    Join,
    Heartbeat,
    Write,
    Remove,
    Leave,
}

#[derive(Debug)]
struct SentRequest {
    purpose: Purpose,
    sent: BootInstant,
    /// The newest revision that was known then.
    known_revision: u64,
}

/// The keys in the store.
#[derive(Debug)]
struct Keys {
    format: String,
    members: String,
    me: String,
    table: String,
}

impl Keys {
    fn new(prefix: &str, name: &str) -> Self {
        Self {
            format: format!("{prefix}/format"),
            members: format!("{prefix}/members/"),
            me: format!("{prefix}/members/{name}"),
            table: format!("{prefix}/table"),
        }
    }
}

/// The state machine of one gateway.
#[derive(Debug)]
pub struct Members {
    name: Arc<str>,
    record: MemberRecord,
    keys: Keys,
    /// The random text that the nonces begin with, and how many were used.
    nonce: String,
    joins: u64,
    fence: Fence,
    life: Life,
    format_revision: Option<u64>,
    requests: BTreeMap<u64, SentRequest>,
    next_id: u64,
    heartbeats: Heartbeats,
    guard: Guard,
    holdings: Holdings,
    snapshot: Snapshot,
    placement: Placement,
    /// Holdings and placement are those of the snapshot.
    is_reconciled: bool,
    /// Another live member has a shard that is wanted here.
    expects_shards: bool,
    /// There may be shards to give up or to take.
    has_plans: bool,
    /// Until when others are expected to give up shards.
    handover_until: BootInstant,
    /// Before that no write is tried.
    write_at: BootInstant,
    /// When a member that leaves begins to give up its shards.
    leave_at: Option<BootInstant>,
    /// When [`Members::poll`] was called last.
    polled_at: BootInstant,
    problem: Option<Arc<str>>,
    actions: Vec<Action>,
}

impl Members {
    /// A gateway of this name outside the cluster whose keys begin with `prefix`. `record.nonce` is a random
    /// text that no other process has.
    pub fn new(prefix: &str, name: &str, record: MemberRecord, fence: Fence) -> Self {
        Self {
            name: name.into(),
            keys: Keys::new(prefix, name),
            nonce: record.nonce.clone(),
            record,
            joins: 0,
            fence,
            life: Life::Outside,
            format_revision: None,
            requests: BTreeMap::new(),
            next_id: 0,
            heartbeats: Heartbeats::default(),
            guard: Guard::default(),
            holdings: Holdings::default(),
            snapshot: Snapshot::default(),
            placement: Placement::default(),
            is_reconciled: false,
            expects_shards: false,
            has_plans: true,
            handover_until: BootInstant::from_nanos(0),
            write_at: BootInstant::from_nanos(0),
            leave_at: None,
            polled_at: BootInstant::from_nanos(0),
            problem: None,
            actions: Vec::new(),
        }
    }

    /// What to do now. Called after each input, and at [`Members::wakes_at`].
    pub fn poll(&mut self, now: BootInstant) -> Vec<Action> {
        self.polled_at = now;
        match self.life {
            Life::Ended => {}
            Life::Outside => {
                self.send_probe(now);
                self.remove_dead(now);
            }
            Life::Inside {
                created, modified, ..
            } => {
                self.send_heartbeat(modified, now);
                self.remove_dead(now);
                self.plan(created, now);
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// When it wants to be called next, if there is no input before.
    pub fn wakes_at(&self) -> Option<BootInstant> {
        let joined = match self.life {
            Life::Ended => return None,
            Life::Inside { joined, .. } => Some(joined + FIRST_MEMBER_PAUSE),
            Life::Outside => None,
        };
        let times = [
            self.heartbeats.due(self.interval(self.polled_at)),
            self.guard.wakes_at(),
            self.leave_at,
            joined,
            Some(self.write_at),
            Some(self.fence.closes_at()),
        ];
        // What was due at the last call waits for an answer now.
        let times = times.into_iter().flatten();
        times.filter(|at| *at > self.polled_at).min()
    }

    /// The answer to a request.
    pub fn answered(
        &mut self,
        id: u64,
        answer: Result<TransactionReply, RegistryError>,
        now: BootInstant,
    ) {
        // Requests of an earlier membership are of no interest any more.
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let is_heartbeat = matches!(
            request.purpose,
            Purpose::Probe | Purpose::Join | Purpose::Heartbeat
        );
        if is_heartbeat {
            self.heartbeats.ended(id, answer.is_ok());
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                self.problem = Some(error.to_string().into());
                if !is_heartbeat {
                    self.has_plans = true;
                    self.write_at = self.write_at.max(now + WRITE_RETRY);
                }
                return;
            }
        };
        if reply.revision < request.known_revision {
            self.end_membership(Notice::StoreWentBack);
            return;
        }
        match request.purpose {
            Purpose::Probe => {
                if !self.format_fits(&reply) {
                    return;
                }
                if self.life == Life::Outside {
                    self.guard.acknowledged(now);
                }
                self.problem = None;
            }
            Purpose::Join if !reply.swapped => self.heartbeats.at_once(),
            Purpose::Heartbeat if reply.swapped => {
                self.fence.acknowledged(request.sent);
                self.guard.acknowledged(now);
                self.problem = None;
                if let Life::Inside { modified, .. } = &mut self.life {
                    *modified = reply.revision.max(*modified);
                }
            }
            // The key has another revision: a heartbeat without an answer happened after all, or the key is
            // gone. The members say which.
            Purpose::Heartbeat => self.heartbeats.at_once(),
            Purpose::Write => self.has_plans = true,
            Purpose::Join | Purpose::Remove | Purpose::Leave => {}
        }
        self.take_in(&reply, now);
    }

    /// The rooms of a shard that had to stop have stopped.
    pub fn stopped(&mut self, held: HeldShard) {
        self.holdings.stopped(held);
        self.has_plans = true;
    }

    /// Gives up all shards and then leaves.
    pub fn leave(&mut self, now: BootInstant) {
        if self.record.leaving || self.life == Life::Ended {
            return;
        }
        self.record.leaving = true;
        if matches!(self.life, Life::Outside) {
            self.end(None);
            return;
        }
        let others = self.snapshot.live().any(|(name, _)| *name != *self.name);
        self.has_plans = true;
        self.leave_at = Some(if others { now + LEAVE_NOTICE } else { now });
        self.heartbeats.at_once();
    }

    /// Changes what the member says about itself.
    pub fn change_record(&mut self, change: impl FnOnce(&mut MemberRecord)) {
        let nonce = self.record.nonce.clone();
        change(&mut self.record);
        self.record.nonce = nonce;
        self.heartbeats.at_once();
    }

    /// How this gateway stands to the cluster.
    pub fn state(&self, now: BootInstant) -> ClusterState {
        match self.life {
            Life::Ended => ClusterState::Ended,
            _ if self.problem.is_some() && !self.fence.may_begin(now) => ClusterState::NoCluster,
            Life::Outside => ClusterState::Joining,
            Life::Inside { .. } if !self.fence.may_begin(now) => ClusterState::NoCluster,
            Life::Inside { .. } if self.record.leaving => ClusterState::Leaving,
            Life::Inside { .. } => ClusterState::Ok,
        }
    }

    /// What the rest of the gateway sees.
    pub fn view(&self, now: BootInstant) -> ClusterView {
        let mut members: Vec<MemberView> = self.snapshot.member_views().collect();
        let place = |shard| {
            let owner = self.snapshot.live_owner(shard)?;
            members.iter().position(|member| member.name == owner.name)
        };
        let places: Vec<Option<usize>> = Shard::all().map(place).collect();
        for at in places.iter().flatten() {
            members[*at].shards += 1;
        }
        let state = self.state(now);
        ClusterView {
            me: self.name.clone(),
            state,
            problem: self.problem.clone().filter(|_| state != ClusterState::Ok),
            members: members.into(),
            owners: places
                .into_iter()
                .map(|at| u16::try_from(at?).ok())
                .collect(),
            revision: self.snapshot.table_revision(),
        }
    }

    fn interval(&self, now: BootInstant) -> Duration {
        if now < self.handover_until && self.expects_shards {
            HANDOVER_INTERVAL
        } else {
            HEARTBEAT_INTERVAL
        }
    }

    fn send(&mut self, purpose: Purpose, transaction: Transaction, now: BootInstant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = SentRequest {
            purpose,
            sent: now,
            known_revision: self.snapshot.revision(),
        };
        self.requests.insert(id, request);
        self.actions.push(Action::Send(id, transaction));
        id
    }

    fn is_under_way(&self, purpose: &Purpose) -> bool {
        self.requests
            .values()
            .any(|request| request.purpose == *purpose)
    }

    /// What every request reads: all members and the table, if it has changed.
    fn reads(&self) -> Vec<Read> {
        vec![
            Read::Prefix(self.keys.members.clone()),
            Read::Revision(self.keys.table.clone()),
            Read::Newer(self.keys.table.clone(), self.snapshot.table_revision()),
        ]
    }

    fn send_probe(&mut self, now: BootInstant) {
        let due = self.heartbeats.due(HEARTBEAT_INTERVAL);
        if due.is_none_or(|at| at > now) {
            return;
        }
        let mut reads = self.reads();
        reads.push(Read::Key(self.keys.format.clone()));
        let probe = Transaction {
            reads,
            ..Transaction::default()
        };
        let id = self.send(Purpose::Probe, probe, now);
        self.heartbeats.sent(id, now);
    }

    /// Joins, once the store was read and nobody has this name.
    fn send_join(&mut self, now: BootInstant) {
        if self.is_under_way(&Purpose::Join) {
            return;
        }
        // If another member writes the format meanwhile, the next look at the store shows it.
        let Some(format_revision) = self.format_revision.take() else {
            return;
        };
        let mut conditions = vec![Condition::Absent(self.keys.me.clone())];
        let mut writes = vec![Write::Put(self.keys.me.clone(), self.record.to_text())];
        let format = self.keys.format.clone();
        if format_revision == 0 {
            conditions.push(Condition::Absent(format.clone()));
            writes.push(Write::Put(format, FORMAT.to_owned()));
        } else {
            conditions.push(Condition::Modified(format, format_revision));
        }
        let join = Transaction {
            conditions,
            writes,
            reads: self.reads(),
        };
        let id = self.send(Purpose::Join, join, now);
        self.heartbeats.sent(id, now);
    }

    fn send_heartbeat(&mut self, modified: u64, now: BootInstant) {
        let due = self.heartbeats.due(self.interval(now));
        if due.is_none_or(|at| at > now) || self.is_under_way(&Purpose::Leave) {
            return;
        }
        let heartbeat = Transaction {
            conditions: vec![Condition::Modified(self.keys.me.clone(), modified)],
            writes: vec![Write::Put(self.keys.me.clone(), self.record.to_text())],
            reads: self.reads(),
        };
        let id = self.send(Purpose::Heartbeat, heartbeat, now);
        self.heartbeats.sent(id, now);
    }

    /// Deletes the keys of members that have given no sign of life: outside the cluster only that of an
    /// earlier process of this name.
    fn remove_dead(&mut self, now: BootInstant) {
        if now < self.write_at || self.is_under_way(&Purpose::Remove) {
            return;
        }
        let Some((name, modified)) = self.guard.dead(now) else {
            return;
        };
        let key = format!("{}{name}", self.keys.members);
        let mut conditions = vec![Condition::Modified(key.clone(), modified)];
        if let Life::Inside { created, .. } = self.life {
            conditions.push(Condition::Created(self.keys.me.clone(), created));
        }
        let remove = Transaction {
            conditions,
            writes: vec![Write::Delete(key)],
            reads: self.reads(),
        };
        self.actions.push(Action::Notice(Notice::RemovesDead(name)));
        self.send(Purpose::Remove, remove, now);
    }

    fn format_fits(&mut self, reply: &TransactionReply) -> bool {
        let format = reply.reads.get(3).and_then(|entries| entries.first());
        match format {
            Some(entry) if entry.value != FORMAT => {
                self.end(Some(format!(
                    "the cluster's members place rooms by \"{}\", and this version by \"{FORMAT}\": \
                     run the same version on all of them",
                    entry.value
                )));
                false
            }
            entry => {
                self.format_revision = Some(entry.map_or(0, |entry| entry.modified));
                true
            }
        }
    }

    /// Takes in what the store shows, unless something newer is known.
    fn take_in(&mut self, reply: &TransactionReply, now: BootInstant) {
        if reply.revision < self.snapshot.revision() {
            return;
        }
        let [members, table, newer, ..] = &*reply.reads else {
            return;
        };
        let before = self.snapshot.clone();
        self.snapshot
            .update(reply.revision, &self.keys.members, members, table, newer);
        if self.snapshot.differs(&before) {
            self.is_reconciled = false;
            self.handover_until = now + HANDOVER_TIME;
            self.note_members(&before);
        }
        let own = members.iter().find(|entry| entry.key == self.keys.me);
        if !self.still_member(own, now) {
            return;
        }
        let others = self.snapshot.revisions();
        match self.life {
            Life::Inside { .. } => self
                .guard
                .seen(others.filter(|(name, ..)| **name != *self.name), now),
            _ => self
                .guard
                .seen(others.filter(|(name, ..)| **name == *self.name), now),
        }
        if let Life::Inside { created, .. } = self.life
            && !self.is_reconciled
        {
            self.reconcile(&before, created);
        }
    }

    /// Whether this gateway is what it was before the store showed its own key like this.
    fn still_member(&mut self, own: Option<&Entry>, now: BootInstant) -> bool {
        match (&mut self.life, own) {
            (
                Life::Inside {
                    created, modified, ..
                },
                Some(own),
            ) if own.created == *created => {
                *modified = own.modified.max(*modified);
                true
            }
            (Life::Inside { .. }, _) => {
                self.end_membership(Notice::Removed);
                false
            }
            (Life::Outside, None) => {
                self.send_join(now);
                true
            }
            (Life::Outside, Some(own)) => {
                let record = MemberRecord::parse(&own.value);
                if record.is_some_and(|record| record.nonce == self.record.nonce) {
                    self.life = Life::Inside {
                        created: own.created,
                        modified: own.modified,
                        joined: now,
                    };
                    self.is_reconciled = false;
                    self.guard.forget();
                    self.heartbeats.at_once();
                    self.handover_until = now + HANDOVER_TIME;
                    self.actions.push(Action::Notice(Notice::Joined));
                } else if self.guard.is_empty() {
                    self.actions.push(Action::Notice(Notice::NameTaken));
                }
                true
            }
            (Life::Ended, _) => false,
        }
    }

    fn note_members(&mut self, before: &Snapshot) {
        let (gone, come) = (
            self.snapshot.without(before),
            before.without(&self.snapshot),
        );
        let other = |name: &String| **name != *self.name;
        let gone = gone.into_iter().filter(other).map(Notice::MemberGone);
        let come = come.into_iter().filter(other).map(Notice::MemberJoined);
        let notices: Vec<Notice> = gone.chain(come).collect();
        self.actions.extend(notices.into_iter().map(Action::Notice));
    }

    /// Brings what this gateway holds in line with the table.
    fn reconcile(&mut self, before: &Snapshot, created: u64) {
        let members = self.snapshot.placed_members();
        if members != self.placement.members() {
            self.placement = Placement::new(members);
        }
        self.is_reconciled = true;
        self.has_plans = true;
        self.expects_shards = false;
        let me = self.me(created);
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        for shard in Shard::all() {
            let is_mine = self.snapshot.owner(shard) == Some(&me);
            if is_mine && self.holdings.is_free(shard) {
                let predecessor = before.owner(shard).filter(|owner| **owner != me);
                gained.push(GainedShard {
                    held: self.holdings.hold(shard, ShardFence::new(&self.fence)),
                    fence: self
                        .holdings
                        .fence(shard)
                        .unwrap_or_else(|| ShardFence::new(&self.fence)),
                    predecessor: predecessor
                        .map_or(Predecessor::None, |owner| Predecessor::Dead(owner.clone())),
                });
            } else if !is_mine {
                lost.extend(self.holdings.lose(shard));
                self.expects_shards |= !self.record.leaving
                    && self.placement.owner(shard) == Some(&*self.name)
                    && self.snapshot.live_owner(shard).is_some();
            }
        }
        if !lost.is_empty() {
            self.actions.push(Action::Lost(lost));
        }
        if !gained.is_empty() {
            self.actions.push(Action::Gained(gained));
        }
    }

    fn me(&self, created: u64) -> Owner {
        Owner {
            name: self.name.to_string(),
            created,
        }
    }

    /// Tells rooms to stop, and writes into the table what was given up and what is taken.
    fn plan(&mut self, created: u64, now: BootInstant) {
        if !self.has_plans {
            return;
        }
        let gives_up_all = self.leave_at.is_some_and(|at| now >= at);
        let wanted_elsewhere = |shard| {
            let owner = self.placement.owner(shard);
            gives_up_all || (!self.record.leaving && owner.is_some_and(|name| *name != *self.name))
        };
        let stop = self.holdings.stop(wanted_elsewhere);
        if !stop.is_empty() {
            self.actions.push(Action::Stop(stop));
        }
        if now < self.write_at || self.is_under_way(&Purpose::Write) || !self.snapshot.has_table() {
            return;
        }
        if let Some(write) = self.table_change(created) {
            if self.may_take(now) || self.holdings.any_stopped() {
                self.send(Purpose::Write, write, now);
            }
        } else if gives_up_all && self.holdings.is_empty() {
            if !self.is_under_way(&Purpose::Leave) {
                // A write of this member that comes late may give it shards again. Whichever of the two is
                // first, the other fails.
                let leave = Transaction {
                    conditions: vec![
                        Condition::Created(self.keys.me.clone(), created),
                        self.table_is_as_known(),
                    ],
                    writes: vec![Write::Delete(self.keys.me.clone())],
                    reads: self.reads(),
                };
                self.send(Purpose::Leave, leave, now);
            }
        } else {
            self.has_plans = self.record.leaving;
        }
    }

    /// The first member waits a little before it takes everything.
    fn may_take(&self, now: BootInstant) -> bool {
        match self.life {
            Life::Inside { joined, .. } => {
                self.snapshot.live().count() > 1 || now >= joined + FIRST_MEMBER_PAUSE
            }
            _ => false,
        }
    }

    /// The table without what was given up, and with what this gateway takes: shards that are wanted here and
    /// that no live member has.
    fn table_change(&self, created: u64) -> Option<Transaction> {
        let takes = !self.record.leaving;
        let me = self.me(created);
        let mut table = self.snapshot.table().clone();
        let mut changed = false;
        for shard in Shard::all() {
            if self.holdings.is_stopped(shard) {
                table.set(shard, None);
                changed = true;
            } else if takes
                && self.placement.owner(shard) == Some(&*self.name)
                && self.holdings.is_free(shard)
                && self.snapshot.live_owner(shard).is_none()
            {
                table.set(shard, Some(&me));
                changed = true;
            }
        }
        let table_key = self.keys.table.clone();
        changed.then(|| Transaction {
            conditions: vec![
                Condition::Created(self.keys.me.clone(), created),
                self.table_is_as_known(),
            ],
            writes: vec![Write::Put(table_key, table.to_text())],
            reads: self.reads(),
        })
    }

    fn table_is_as_known(&self) -> Condition {
        let key = self.keys.table.clone();
        match self.snapshot.table_revision() {
            0 => Condition::Absent(key),
            revision => Condition::Modified(key, revision),
        }
    }

    /// This gateway is no member any more: it loses everything, and joins again.
    fn end_membership(&mut self, notice: Notice) {
        self.fence.close();
        let lost = self.holdings.lose_all();
        if !lost.is_empty() {
            self.actions.push(Action::Lost(lost));
        }
        if self.record.leaving {
            self.end(None);
            return;
        }
        self.actions.push(Action::Notice(notice));
        self.requests.clear();
        self.heartbeats = Heartbeats::default();
        self.guard.forget();
        self.snapshot = Snapshot::default();
        self.life = Life::Outside;
        self.format_revision = None;
        self.joins += 1;
        self.record.nonce = format!("{}-{}", self.nonce, self.joins);
    }

    fn end(&mut self, reason: Option<String>) {
        self.fence.close();
        let lost = self.holdings.lose_all();
        if !lost.is_empty() {
            self.actions.push(Action::Lost(lost));
        }
        self.requests.clear();
        self.life = Life::Ended;
        self.problem = reason.clone().map(Into::into);
        self.actions.push(Action::Ended(reason));
    }
}
