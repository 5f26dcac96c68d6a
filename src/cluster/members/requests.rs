//! The requests to the store: their keys, what each is for, and which are under way.

use crate::cluster::BootInstant;
use crate::cluster::members::{Action, Members};
use crate::cluster::registry::{Read, Transaction};

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
}

/// The keys in the store.
#[derive(Debug)]
pub struct Keys {
    pub format: String,
    pub members: String,
    pub me: String,
    pub table: String,
}

impl Keys {
    /// The keys of the member of this name.
    pub fn new(prefix: &str, name: &str) -> Self {
        Self {
            format: format!("{prefix}/format"),
            members: format!("{prefix}/members/"),
            me: format!("{prefix}/members/{name}"),
            table: format!("{prefix}/table"),
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

    /// What every request reads: all members and the table, if it has changed.
    pub(super) fn reads(&self) -> Vec<Read> {
        vec![
            Read::Prefix(self.keys.members.clone()),
            Read::Revision(self.keys.table.clone()),
            Read::Newer(self.keys.table.clone(), self.snapshot.table_revision()),
        ]
    }
}
