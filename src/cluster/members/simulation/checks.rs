//! What must hold: never two owners, and one for each shard in the end.

use std::time::Duration;

use super::process::Process;
use super::{MS, Simulation};
use crate::cluster::FENCE;
use crate::cluster::members::GainedShard;
use crate::cluster::placement::{SHARDS, Shard};
use crate::cluster::view::ClusterState;

impl Simulation {
    pub(super) fn gained(&mut self, at: usize, gained: &GainedShard, from_dead: bool) {
        let clock = self.processes[at].clock(self.now);
        if gained.fence.check_at(clock).is_err() {
            // What it reads after a pause may be long out of date. It cannot act.
            return;
        }
        let shard = gained.held.shard;
        for (n, other) in self.processes.iter().enumerate() {
            for fence in &other.fences[shard.index()] {
                let result = fence.check_at(other.clock(self.now));
                assert!(
                    result.is_err(),
                    "{} ms: {n} and {at} have shard {shard}",
                    self.now / MS
                );
                let gap = other.since(fence.closes_at(), self.now);
                if !fence.is_given_up() && n != at {
                    self.smallest_gap = self.smallest_gap.min(gap);
                    assert!(
                        gap < Duration::from_secs(3600)
                            || other.members.fence.closes_at().as_nanos() == 0
                    );
                }
            }
        }
        if from_dead {
            self.taken_from_dead += 1;
        } else {
            self.handed_over += 1;
        }
    }

    pub(super) fn act(&mut self) {
        for at in 0..self.processes.len() {
            let process = &mut self.processes[at];
            if process.is_killed || process.paused_until > self.now {
                continue;
            }
            let now = process.clock(self.now);
            if !process.members.fence.may_begin(now) {
                continue;
            }
            let fences = process.fences.iter_mut().zip(Shard::all());
            for (fences, shard) in fences {
                fences.retain(|fence| !fence.is_given_up());
                let Some(fence) = fences.last() else {
                    continue;
                };
                if fence.check_at(now).is_err() {
                    continue;
                }
                let last = &mut self.last_act[shard.index()];
                if let Some((other, when)) = last
                    && *other != at
                {
                    assert!(
                        *when < self.now,
                        "{} ms: {other} and {at} act on {shard}",
                        self.now / MS
                    );
                    let gap = Duration::from_nanos(self.now - *when);
                    if gap < FENCE {
                        self.longest_without_owner = self.longest_without_owner.max(gap);
                    }
                }
                *last = Some((at, self.now));
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = &Process> {
        let is_running = |process: &&Process| !process.is_killed && process.ended.is_none();
        self.processes.iter().filter(is_running)
    }

    /// Every shard may be acted on by exactly one gateway.
    pub fn assert_all_owned(&self) {
        let mut owners = vec![0; usize::from(SHARDS)];
        for process in self.running() {
            let now = process.clock(self.now);
            for (owners, fences) in owners.iter_mut().zip(&process.fences) {
                *owners += fences
                    .iter()
                    .filter(|fence| fence.check_at(now).is_ok())
                    .count();
            }
        }
        let without = owners.iter().filter(|n| **n != 1).count();
        assert_eq!(without, 0, "shards without one owner");
    }

    /// The same, and every shard is where it is wanted, and everybody knows.
    pub fn assert_settled(&self) {
        self.assert_all_owned();
        for process in self.running() {
            let now = process.clock(self.now);
            assert_eq!(
                process.members.state(now),
                ClusterState::Ok,
                "{}",
                process.name
            );
            let view = process.members.view(now);
            assert_eq!(view.members.len(), self.running().count());
            for shard in Shard::all() {
                let owner = view.owner(shard).map(|owner| &*owner.name);
                assert_eq!(owner, process.members.wanted_owner(shard));
            }
        }
    }

    /// Whoever has a shard has rooms of it if anybody has. Shards in which all are alike are where the placement
    /// wants them, and everybody knows the others.
    pub fn assert_rooms_are_served(&self) {
        for shard in Shard::all() {
            let rooms = |process: &Process| process.rooms.shards().get(shard);
            let is_owner = |process: &&Process| {
                let fences = process.fences[shard.index()].iter();
                let now = process.clock(self.now);
                fences.filter(|fence| fence.check_at(now).is_ok()).count() > 0
            };
            let owner = self.running().find(is_owner).unwrap();
            let anybody = self.running().any(|process| rooms(process).rooms > 0);
            assert!(
                !anybody || rooms(owner).rooms > 0,
                "{} has no room of {shard}",
                owner.name
            );
            let are_alike = self.running().all(|process| rooms(process) == rooms(owner));
            let view = owner.members.view(owner.clock(self.now));
            let differing = view
                .differing
                .iter()
                .find(|differing| differing.shard == shard);
            assert_eq!(are_alike, differing.is_none(), "{shard}");
            if are_alike {
                assert_eq!(owner.members.placement.owner(shard), Some(&*owner.name));
            } else {
                assert!(!differing.unwrap().rooms.is_empty(), "{shard}");
            }
        }
    }

    /// The revision of the table, as a gateway sees it.
    pub fn table_revision(&self) -> u64 {
        let process = self.running().next().unwrap();
        process.members.view(process.clock(self.now)).revision
    }

    /// The newest revision of the store that a gateway has seen. Every heartbeat makes one.
    pub fn seen_revision(&self) -> u64 {
        let process = self.running().next().unwrap();
        process.members.snapshot.revision()
    }
}
