//! What an answer of the store means: it is taken in whatever its request was for.

use std::time::Duration;

use crate::boot_instant::BootInstant;
use crate::cluster::members::requests::{Purpose, SentRequest};
use crate::cluster::members::snapshot::Snapshot;
use crate::cluster::members::{Action, HANDOVER_TIME, Members, Membership, Notice};
use crate::cluster::registry::{RegistryError, TransactionReply};

/// How long after a write that failed the next is tried: long beside the milliseconds of an answer, short beside
/// the second that an election of etcd's leader takes.
const WRITE_RETRY: Duration = Duration::from_millis(200);

impl Members {
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
                self.is_join_refused |= request.purpose == Purpose::Join;
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
        self.is_join_refused &= request.purpose != Purpose::Join;
        match request.purpose {
            Purpose::Probe => {
                if !self.format_fits(&reply) {
                    return;
                }
                if self.life == Membership::Outside {
                    self.guard.acknowledged(now);
                }
                // Who may read and not write stays outside for that reason.
                if !self.is_join_refused {
                    self.problem = None;
                }
            }
            Purpose::Join if !reply.swapped => self.heartbeats.at_once(),
            Purpose::Heartbeat if reply.swapped => {
                self.fence.acknowledged(request.sent);
                self.guard.acknowledged(now);
                self.problem = None;
                if let Membership::Inside { modified, .. } = &mut self.life {
                    *modified = reply.revision.max(*modified);
                }
            }
            // The key has another revision: a heartbeat without an answer happened after all, or the key is
            // gone. The members say which.
            Purpose::Heartbeat => self.heartbeats.at_once(),
            Purpose::Write => self.has_plans = true,
            Purpose::Join | Purpose::Remove | Purpose::Leave => {}
        }
        self.take_in(&request, &reply, now);
    }

    /// Takes in what the store shows, unless something newer is known.
    fn take_in(&mut self, request: &SentRequest, reply: &TransactionReply, now: BootInstant) {
        if reply.revision < self.snapshot.revision() {
            return;
        }
        let [members, table, newer, ..] = &*reply.reads else {
            return;
        };
        let before = self.snapshot.clone();
        self.snapshot
            .update(reply.revision, &self.keys.members, members, table, newer);
        let differs = self.snapshot.differs(&before);
        if differs {
            self.is_reconciled = false;
            self.handover_until = now + HANDOVER_TIME;
            self.note_members(&before);
            self.agreement.keep_only(&self.snapshot);
        }
        if self.snapshot.rooms_differ(&before) {
            self.is_reconciled = false;
        }
        if differs || self.snapshot.records_differ(&before) {
            self.update_view();
        }
        self.read_rooms(&request.reads_rooms_of, reply);
        let own = members.iter().find(|entry| entry.key == self.keys.me);
        if !self.still_member(own, now) {
            return;
        }
        let others = self.snapshot.revisions();
        match self.life {
            Membership::Inside { .. } => self
                .guard
                .seen(others.filter(|(name, ..)| **name != *self.name), now),
            _ => self
                .guard
                .seen(others.filter(|(name, ..)| **name == *self.name), now),
        }
        if let Membership::Inside { created, .. } = self.life
            && !self.is_reconciled
        {
            self.reconcile(&before, created, now);
        }
    }

    /// Takes in what members say about their rooms.
    fn read_rooms(&mut self, names: &[String], reply: &TransactionReply) {
        for (name, entries) in names.iter().zip(reply.reads.iter().skip(3)) {
            if let Some(record) = self.snapshot.record(name) {
                let text = entries.first().map(|entry| &*entry.value);
                self.agreement.read(name, record, text);
                self.is_reconciled = false;
            }
        }
        if !self.agreement.unread(&self.name, &self.snapshot).is_empty() {
            self.heartbeats.at_once();
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
}
