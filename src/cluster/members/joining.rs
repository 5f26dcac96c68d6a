//! How a gateway becomes a member, and how it ceases to be one.

use std::sync::Arc;

use crate::boot_instant::BootInstant;
use crate::cluster::members::heartbeats::{HEARTBEAT_INTERVAL, Heartbeats};
use crate::cluster::members::requests::Purpose;
use crate::cluster::members::snapshot::Snapshot;
use crate::cluster::members::{Action, HANDOVER_TIME, Members, Membership, Notice};
use crate::cluster::placement::FORMAT;
use crate::cluster::record::MemberRecord;
use crate::cluster::registry::{Condition, Entry, Read, Transaction, TransactionReply, Write};

/// Why a gateway does not join while another process has its name.
const NAME_TAKEN: &str = "another gateway of this name is there (cluster.name)";

impl Members {
    pub(super) fn send_probe(&mut self, now: BootInstant) {
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
        let mut writes = self.own_writes();
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

    pub(super) fn format_fits(&mut self, reply: &TransactionReply) -> bool {
        let format = reply.reads.last().and_then(|entries| entries.first());
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

    /// Whether this gateway is what it was before the store showed its own key like this.
    pub(super) fn still_member(&mut self, own: Option<&Entry>, now: BootInstant) -> bool {
        match (&mut self.life, own) {
            (
                Membership::Inside {
                    created, modified, ..
                },
                Some(own),
            ) if own.created == *created => {
                *modified = own.modified.max(*modified);
                true
            }
            (Membership::Inside { .. }, _) => {
                self.end_membership(Notice::Removed);
                false
            }
            (Membership::Outside, None) => {
                let why = self.other_settings();
                if why.is_none() {
                    self.send_join(now);
                } else if self.hindrance != why {
                    self.actions
                        .extend(why.clone().map(Notice::SettingsDiffer).map(Action::Notice));
                }
                self.hindrance = why;
                true
            }
            (Membership::Outside, Some(own)) => {
                let record = MemberRecord::parse(&own.value);
                if record.is_some_and(|record| record.nonce == self.record.nonce) {
                    self.life = Membership::Inside {
                        created: own.created,
                        modified: own.modified,
                        joined: now,
                    };
                    self.is_reconciled = false;
                    self.hindrance = None;
                    self.guard.forget();
                    self.heartbeats.at_once();
                    self.handover_until = now + HANDOVER_TIME;
                    self.actions.push(Action::Notice(Notice::Joined));
                } else {
                    self.hindrance = Some(NAME_TAKEN.into());
                    if self.guard.is_empty() {
                        self.actions.push(Action::Notice(Notice::NameTaken));
                    }
                }
                true
            }
            (Membership::Ended, _) => false,
        }
    }

    /// That members have other settings which must be alike.
    fn other_settings(&self) -> Option<Arc<str>> {
        let others = self.snapshot.live();
        let mut differing = others.filter_map(|(name, record)| {
            let keys: Vec<&str> = self.record.differing_settings(record).collect();
            (!keys.is_empty()).then(|| {
                format!(
                    "gateway \"{name}\" has another {}",
                    keys.join(" and another ")
                )
            })
        });
        let first = differing.next()?;
        Some(format!("{first}: give all gateways the same").into())
    }

    /// This gateway is no member any more: it loses everything, and joins again.
    pub(super) fn end_membership(&mut self, notice: Notice) {
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
        self.update_view();
        self.life = Membership::Outside;
        self.format_revision = None;
        self.is_join_refused = false;
        self.joins += 1;
        self.record.nonce = format!("{}-{}", self.nonce, self.joins);
    }

    pub(super) fn end(&mut self, reason: Option<String>) {
        self.fence.close();
        let lost = self.holdings.lose_all();
        if !lost.is_empty() {
            self.actions.push(Action::Lost(lost));
        }
        self.requests.clear();
        self.life = Membership::Ended;
        self.problem = reason.clone().map(Into::into);
        self.actions.push(Action::Ended(reason));
    }
}
