//! Which shards are gained, given up and taken: holdings, table and placement brought in line with each other.

use std::sync::Arc;
use std::time::Duration;

use crate::boot_instant::BootInstant;
use crate::cluster::fence::ShardFence;
use crate::cluster::members::requests::Purpose;
use crate::cluster::members::snapshot::Snapshot;
use crate::cluster::members::{
    Action, FIRST_MEMBER_PAUSE, GainedShard, Members, Membership, Notice, Predecessor,
};
use crate::cluster::placement::{Placement, Shard};
use crate::cluster::record::Owner;
use crate::cluster::registry::{Condition, Transaction, Write};

/// An owner that gave a shard up so short ago may still answer for its rooms at the broker.
const RECENT_OWNER: Duration = Duration::from_secs(15);

impl Members {
    /// Whether another gateway had this shard until a short time ago.
    fn was_elsewhere(&self, shard: Shard, now: BootInstant) -> bool {
        self.elsewhere[shard.index()].is_some_and(|since| now.since(since) < RECENT_OWNER)
    }

    /// Brings what this gateway holds in line with the table.
    pub(super) fn reconcile(&mut self, before: &Snapshot, created: u64, now: BootInstant) {
        self.is_reconciled = true;
        self.has_plans = true;
        self.expects_shards = false;
        self.want();
        self.conflicts = Arc::new(self.agreement.conflicts(&self.name, &self.snapshot));
        self.update_view();
        let me = self.me(created);
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        for shard in Shard::all() {
            let is_mine = self.snapshot.owner(shard) == Some(&me);
            let others = [before, &self.snapshot].map(|it| it.owner(shard));
            if others.into_iter().flatten().any(|owner| *owner != me) {
                self.elsewhere[shard.index()] = Some(now);
            }
            if is_mine && self.holdings.is_free(shard) {
                let predecessor = match before.owner(shard) {
                    Some(owner) if *owner != me => Predecessor::Dead(owner.clone()),
                    _ if self.was_elsewhere(shard, now) => Predecessor::HandedOver,
                    _ => Predecessor::None,
                };
                gained.push(GainedShard {
                    held: self.holdings.hold(shard, ShardFence::new(&self.fence)),
                    fence: self
                        .holdings
                        .fence(shard)
                        .unwrap_or_else(|| ShardFence::new(&self.fence)),
                    predecessor,
                    owner: me.clone(),
                    revision: self.snapshot.table_revision(),
                });
            } else if !is_mine {
                lost.extend(self.holdings.lose(shard));
                self.expects_shards |= !self.record.leaving
                    && self.is_wanted_here(shard)
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

    /// Works out anew who is wanted for which shard. Until all rooms are known that decide about it, everything
    /// stays where it is: also the placement, whose members `wanted` names by their places.
    fn want(&mut self) {
        self.is_waiting_for_rooms = self.agreement.is_waiting(&self.name, &self.snapshot);
        if self.is_waiting_for_rooms {
            return;
        }
        let members = self.snapshot.placed_members();
        if members != self.placement.members() {
            self.placement = Placement::new(members);
        }
        self.wanted = self
            .agreement
            .wanted(&self.name, &self.placement, &self.snapshot);
        self.agreement.name_rooms(&self.wanted.differing);
        if self.agreement.describe(&mut self.record) {
            self.heartbeats.at_once();
        }
        let is_whole = self.wanted.differing.is_empty() || self.wanted.all_named;
        if is_whole && self.told_differing != self.wanted.differing {
            self.told_differing = self.wanted.differing.clone();
            let notice = Notice::RoomsDiffer(self.wanted.differing.clone());
            self.actions.push(Action::Notice(notice));
        }
    }

    /// The member that is wanted for a shard.
    pub(super) fn wanted_owner(&self, shard: Shard) -> Option<&str> {
        let at = self.wanted.owners.get(shard.index()).copied().flatten()?;
        let member = self.placement.members().get(at);
        member
            .filter(|_| !self.is_waiting_for_rooms)
            .map(|(name, _)| &**name)
    }

    fn is_wanted_here(&self, shard: Shard) -> bool {
        self.wanted_owner(shard) == Some(&*self.name)
    }

    fn is_wanted_elsewhere(&self, shard: Shard) -> bool {
        self.wanted_owner(shard)
            .is_some_and(|name| *name != *self.name)
    }

    fn me(&self, created: u64) -> Owner {
        Owner {
            name: self.name.to_string(),
            created,
        }
    }

    /// Tells rooms to stop, and writes into the table what was given up and what is taken.
    pub(super) fn plan(&mut self, created: u64, now: BootInstant) {
        if !self.has_plans {
            return;
        }
        let gives_up_all = self.leave_at.is_some_and(|at| now >= at);
        self.postponed.retain(|_, until| *until > now);
        let leaves: Vec<bool> = Shard::all()
            .map(|shard| {
                let is_to_go =
                    gives_up_all || (!self.record.leaving && self.is_wanted_elsewhere(shard));
                is_to_go && !self.postponed.contains_key(&shard)
            })
            .collect();
        let stop = self.holdings.stop(|shard| leaves[shard.index()]);
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
            if !self.drains && !self.is_under_way(&Purpose::Leave) {
                // A write of this member that comes late may give it shards again. Whichever of the two is
                // first, the other fails.
                let leave = Transaction {
                    conditions: vec![
                        Condition::Created(self.keys.me.clone(), created),
                        self.table_is_as_known(),
                    ],
                    writes: vec![
                        Write::Delete(self.keys.me.clone()),
                        Write::Delete(self.rooms_key(&self.name)),
                    ],
                    reads: self.reads(),
                };
                self.send(Purpose::Leave, leave, now);
            }
        } else {
            self.has_plans = self.record.leaving || !self.postponed.is_empty();
        }
    }

    /// The first member waits a little before it takes everything.
    fn may_take(&self, now: BootInstant) -> bool {
        match self.life {
            Membership::Inside { joined, .. } => {
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
                && self.is_wanted_here(shard)
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
}
