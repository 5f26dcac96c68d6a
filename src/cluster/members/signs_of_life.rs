//! The heartbeats of this member, and the removal of members that send none.

use std::time::Duration;

use crate::boot_instant::BootInstant;
use crate::cluster::members::heartbeats::HEARTBEAT_INTERVAL;
use crate::cluster::members::requests::Purpose;
use crate::cluster::members::{Action, Members, Membership, Notice};
use crate::cluster::registry::{Condition, Transaction, Write};

/// How often the store is asked while others hold shards that are about to be given to this member: a room that is
/// handed over is without a gateway for less than a second, this included.
const HANDOVER_INTERVAL: Duration = Duration::from_millis(150);

impl Members {
    pub(super) fn interval(&self, now: BootInstant) -> Duration {
        if now < self.handover_until && self.expects_shards {
            HANDOVER_INTERVAL
        } else {
            HEARTBEAT_INTERVAL
        }
    }

    pub(super) fn send_heartbeat(&mut self, modified: u64, now: BootInstant) {
        let due = self.heartbeats.due(self.interval(now));
        if due.is_none_or(|at| at > now) || self.is_under_way(&Purpose::Leave) {
            return;
        }
        let heartbeat = Transaction {
            conditions: vec![Condition::Modified(self.keys.me.clone(), modified)],
            writes: self.own_writes(),
            reads: self.reads(),
        };
        let id = self.send(Purpose::Heartbeat, heartbeat, now);
        self.heartbeats.sent(id, now);
    }

    /// Deletes the keys of members that have given no sign of life: outside the cluster only that of an
    /// earlier process of this name.
    pub(super) fn remove_dead(&mut self, now: BootInstant) {
        if now < self.write_at || self.is_under_way(&Purpose::Remove) {
            return;
        }
        let Some((name, modified)) = self.guard.dead(now) else {
            return;
        };
        let key = format!("{}{name}", self.keys.members);
        let mut conditions = vec![Condition::Modified(key.clone(), modified)];
        if let Membership::Inside { created, .. } = self.life {
            conditions.push(Condition::Created(self.keys.me.clone(), created));
        }
        let remove = Transaction {
            conditions,
            writes: vec![Write::Delete(key), Write::Delete(self.rooms_key(&name))],
            reads: self.reads(),
        };
        self.actions.push(Action::Notice(Notice::RemovesDead(name)));
        self.send(Purpose::Remove, remove, now);
    }
}
