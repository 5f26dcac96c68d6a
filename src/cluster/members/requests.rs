//! The requests to the store: their keys, what each is for, and which are under way.

use crate::boot_instant::BootInstant;
use crate::cluster::members::{Action, Members};
use crate::cluster::registry::{Read, Transaction, Write};

/// What a request was sent for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    Probe,
    Join,
    Heartbeat,
    Write,
    Remove,
    Leave,
}

/// A request without an answer so far.
#[derive(Debug)]
pub struct SentRequest {
    pub purpose: Purpose,
    pub sent: BootInstant,
    /// The newest revision that was known then.
    pub known_revision: u64,
    /// The members whose rooms it reads.
    pub reads_rooms_of: Vec<String>,
}

/// The keys in the store.
#[derive(Debug)]
pub struct Keys {
    pub format: String,
    pub members: String,
    pub me: String,
    pub table: String,
    pub rooms: String,
}

impl Keys {
    /// The keys of the member of this name.
    pub fn new(prefix: &str, name: &str) -> Self {
        Self {
            format: format!("{prefix}/format"),
            members: format!("{prefix}/members/"),
            me: format!("{prefix}/members/{name}"),
            table: format!("{prefix}/table"),
            rooms: format!("{prefix}/rooms/"),
        }
    }
}

impl Members {
    pub(super) fn send(
        &mut self,
        purpose: Purpose,
        transaction: Transaction,
        now: BootInstant,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = SentRequest {
            purpose,
            sent: now,
            known_revision: self.snapshot.revision(),
            reads_rooms_of: self.agreement.unread(&self.name, &self.snapshot),
        };
        self.requests.insert(id, request);
        self.actions.push(Action::Send(id, transaction));
        id
    }

    pub(super) fn is_under_way(&self, purpose: &Purpose) -> bool {
        self.requests
            .values()
            .any(|request| request.purpose == *purpose)
    }

    /// What every request reads: all members, the table if it has changed, and rooms that are not known.
    pub(super) fn reads(&self) -> Vec<Read> {
        let mut reads = vec![
            Read::Prefix(self.keys.members.clone()),
            Read::Revision(self.keys.table.clone()),
            Read::Newer(self.keys.table.clone(), self.snapshot.table_revision()),
        ];
        let unread = self.agreement.unread(&self.name, &self.snapshot);
        reads.extend(
            unread
                .into_iter()
                .map(|name| Read::Key(self.rooms_key(&name))),
        );
        reads
    }

    /// The key of what a member writes about its rooms.
    pub(super) fn rooms_key(&self, name: &str) -> String {
        format!("{}{name}", self.keys.rooms)
    }

    /// This member's key, and what it writes about its rooms, unless the store has that already.
    pub(super) fn own_writes(&self) -> Vec<Write> {
        let mut writes = vec![Write::Put(self.keys.me.clone(), self.record.to_text())];
        let is_written = self.snapshot.record(&self.name).is_some_and(|record| {
            record.nonce == self.record.nonce
                && record.rooms == self.record.rooms
                && record.named_rooms == self.record.named_rooms
                && record.devices == self.record.devices
        });
        if !is_written {
            writes.push(Write::Put(
                self.rooms_key(&self.name),
                self.agreement.own_text(),
            ));
        }
        writes
    }
}
