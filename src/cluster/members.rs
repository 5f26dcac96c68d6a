//! The rule of a cluster as a state machine: joining, heartbeats, the guard over others, taking and giving up
//! shards, leaving.
//!
//! Pure: the time and the store's answers are handed in, what to do comes out. The store is the
//! only truth: whatever a request was for, its answer holds all members and the table of owners at one moment, and
//! every step follows from the newest of these. So an answer that never came needs no care of its own:
//! the next one shows whether the request happened. What may still happen later cannot do harm, since every write
//! names the revisions that it was made for.
//!
//! ```text
//! action         what it wants done
//! requests       the requests to the store that are under way
//! answers        what an answer means
//! joining        how a gateway becomes a member, and ceases to be one
//! signs_of_life  its heartbeats, and the removal of members that send none
//! heartbeats     when the next heartbeat is due
//! guard          which member is dead
//! owning         which shards are gained, given up and taken
//! holdings       how far each shard here is on its way out
//! agreement      in which shards the members' configurations agree
//! snapshot       what the store showed last
//! standing       what the rest of the gateway sees
//! ```

mod action;
mod agreement;
mod answers;
mod guard;
mod heartbeats;
mod holdings;
mod joining;
mod owning;
mod requests;
mod signs_of_life;
mod snapshot;
mod standing;

#[cfg(test)]
pub(super) mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::fence::MemberFence;
use super::placement::{Placement, SHARDS, Shard};
use super::record::MemberRecord;
use super::room_digests::RoomDigests;
use super::view::{ClusterView, DifferingShard, RoomConflicts};
use crate::boot_instant::BootInstant;
use agreement::{Agreement, WantedOwners};
use guard::Guard;
use heartbeats::Heartbeats;
use holdings::Holdings;
pub(super) use requests::Keys;
use requests::SentRequest;
use snapshot::Snapshot;

pub use action::{Action, GainedShard, HeldShard, Notice, Predecessor};
pub use heartbeats::HEARTBEAT_INTERVAL;

/// For how long after a change of members or owners a member that waits for shards asks the store more often than
/// with its heartbeats. A room that is handed over finishes what it began, and an ordinary request takes 10 s at most.
const HANDOVER_TIME: Duration = Duration::from_secs(10);
/// How long a member that leaves waits before it gives up the first shard, so that the others know of it and
/// ask more often: their next heartbeat shows it.
const LEAVE_NOTICE: Duration = HEARTBEAT_INTERVAL;
/// How long the first member of a cluster waits before it takes all shards: the others may be about to start.
const FIRST_MEMBER_PAUSE: Duration = Duration::from_millis(1000);
/// How long after a shard could not stop it is told to stop again.
const STOP_RETRY: Duration = Duration::from_millis(500);

/// The number of the configuration that a gateway joins with; later ones have greater numbers.
pub const FIRST_CONFIGURATION: u64 = 1;

/// How this gateway stands to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Membership {
    Outside,
    Inside {
        /// When its key was created, and last changed, as revisions.
        created: u64,
        modified: u64,
        joined: BootInstant,
    },
    Ended,
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
    fence: MemberFence,
    life: Membership,
    format_revision: Option<u64>,
    requests: BTreeMap<u64, SentRequest>,
    next_id: u64,
    heartbeats: Heartbeats,
    guard: Guard,
    holdings: Holdings,
    /// When another gateway was last seen to have each shard.
    elsewhere: Vec<Option<BootInstant>>,
    /// Shards that could not stop when they were told to, and when they are told again.
    postponed: BTreeMap<Shard, BootInstant>,
    snapshot: Snapshot,
    placement: Placement,
    agreement: Agreement,
    wanted: WantedOwners,
    conflicts: Arc<RoomConflicts>,
    /// What the rest of the gateway sees, without this gateway's own membership.
    view: ClusterView,
    /// It is not known yet which rooms some member has.
    is_waiting_for_rooms: bool,
    /// What was said last of differing configurations.
    told_differing: Arc<[DifferingShard]>,
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
    /// It stays a member after it has given them up.
    drains: bool,
    /// When [`Members::poll`] was called last.
    polled_at: BootInstant,
    problem: Option<Arc<str>>,
    /// Why it does not join although the store can be used.
    hindrance: Option<Arc<str>>,
    /// The last attempt to join had no answer, or was refused.
    is_join_refused: bool,
    actions: Vec<Action>,
}

impl Members {
    /// A gateway of this name outside the cluster whose keys begin with `prefix`. `record.nonce` is a random
    /// text that no other process has; what the record says of rooms is made from `rooms`.
    pub fn new(
        prefix: &str,
        name: &str,
        mut record: MemberRecord,
        rooms: RoomDigests,
        fence: MemberFence,
    ) -> Self {
        let mut agreement = Agreement::default();
        agreement.set_own(FIRST_CONFIGURATION, rooms);
        agreement.describe(&mut record);
        Self {
            name: name.into(),
            keys: Keys::new(prefix, name),
            nonce: record.nonce.clone(),
            record,
            joins: 0,
            fence,
            life: Membership::Outside,
            format_revision: None,
            requests: BTreeMap::new(),
            next_id: 0,
            heartbeats: Heartbeats::default(),
            guard: Guard::default(),
            holdings: Holdings::default(),
            elsewhere: vec![None; usize::from(SHARDS)],
            postponed: BTreeMap::new(),
            snapshot: Snapshot::default(),
            placement: Placement::default(),
            agreement,
            wanted: WantedOwners::default(),
            conflicts: Arc::default(),
            view: ClusterView::unknown(name),
            is_waiting_for_rooms: true,
            told_differing: Arc::default(),
            is_reconciled: false,
            expects_shards: false,
            has_plans: true,
            handover_until: BootInstant::from_nanos(0),
            write_at: BootInstant::from_nanos(0),
            leave_at: None,
            drains: false,
            polled_at: BootInstant::from_nanos(0),
            problem: None,
            hindrance: None,
            is_join_refused: false,
            actions: Vec::new(),
        }
    }

    /// What to do now. Called after each input, and at [`Members::wakes_at`].
    pub fn poll(&mut self, now: BootInstant) -> Vec<Action> {
        self.polled_at = now;
        match self.life {
            Membership::Ended => {}
            Membership::Outside => {
                self.send_probe(now);
                self.remove_dead(now);
            }
            Membership::Inside {
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
            Membership::Ended => return None,
            Membership::Inside { joined, .. } => Some(joined + FIRST_MEMBER_PAUSE),
            Membership::Outside => None,
        };
        let times = [
            self.heartbeats.due(self.interval(self.polled_at)),
            self.guard.wakes_at(),
            self.leave_at,
            joined,
            self.postponed.values().min().copied(),
            Some(self.write_at),
            Some(self.fence.closes_at()),
        ];
        // What was due at the last call waits for an answer now.
        let times = times.into_iter().flatten();
        times.filter(|at| *at > self.polled_at).min()
    }

    /// The rooms of a shard that had to stop have stopped.
    pub fn stopped(&mut self, held: HeldShard) {
        self.holdings.stopped(held);
        self.has_plans = true;
    }

    /// The rooms of a shard that had to stop go on for now: one of them has a command that takes long. It is told to
    /// stop again soon, if the shard is still to go.
    pub fn postponed(&mut self, held: HeldShard, now: BootInstant) {
        if self.holdings.postponed(held) {
            self.postponed.insert(held.shard, now + STOP_RETRY);
            self.has_plans = true;
        }
    }

    /// Gives up all shards, and stays as a member that has none until [`Members::leave`].
    pub fn drain(&mut self, now: BootInstant) {
        self.drains = true;
        self.give_up_all(now);
    }

    /// Gives up all shards and then leaves.
    pub fn leave(&mut self, now: BootInstant) {
        self.drains = false;
        self.has_plans = true;
        self.give_up_all(now);
    }

    fn give_up_all(&mut self, now: BootInstant) {
        if self.record.leaving || self.life == Membership::Ended {
            return;
        }
        self.record.leaving = true;
        if matches!(self.life, Membership::Outside) {
            self.end(None);
            return;
        }
        let others = self.snapshot.live().any(|(name, _)| *name != *self.name);
        self.has_plans = true;
        self.leave_at = Some(if others { now + LEAVE_NOTICE } else { now });
        self.heartbeats.at_once();
    }

    /// This gateway has other rooms now: those of the configuration that is numbered so.
    pub fn set_rooms(&mut self, configuration: u64, rooms: RoomDigests) {
        self.agreement.set_own(configuration, rooms);
        if self.agreement.describe(&mut self.record) {
            self.is_reconciled = false;
            self.heartbeats.at_once();
        }
    }
}
