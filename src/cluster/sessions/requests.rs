//! The requests to the store: reading the sessions of shards, and writing what is new.
//!
//! Pure: decides from what is known of the store, and learns from its answers. A write happens only while the table
//! of owners is the one in which this gateway has the shards: one that comes late cannot overwrite the session of the
//! next owner. A key of its own puts this gateway's writes in order, so that one whose answer never came cannot
//! overwrite a later one.

use tokio::time::Instant;

use crate::cluster::members::HeldShard;
use crate::cluster::placement::Shard;
use crate::cluster::record::Owner;
use crate::cluster::registry::{Condition, Entry, Read, Transaction, TransactionReply, Write};
use crate::cluster::table::Table;

use super::texts::{PendingText, SessionTexts};

/// The keys in the store.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    table: String,
    sessions: String,
    writers: String,
}

impl SessionKeys {
    /// Of the cluster whose keys begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self {
            table: format!("{prefix}/table"),
            sessions: format!("{prefix}/sessions"),
            writers: format!("{prefix}/session-writers"),
        }
    }

    /// What the keys of a shard's rooms begin with.
    pub fn shard(&self, shard: Shard) -> String {
        format!("{}/{shard}/", self.sessions)
    }

    fn room(&self, shard: Shard, room: &str) -> String {
        format!("{}/{shard}/{room}", self.sessions)
    }

    /// The key that puts the writes of this gateway in order.
    fn writer(&self, owner: &Owner) -> String {
        self.writer_of(&owner.name)
    }

    /// The key that puts the writes of the gateway of this name in order.
    pub fn writer_of(&self, name: &str) -> String {
        format!("{}/{name}", self.writers)
    }
}

/// Reads the sessions of these shards.
pub fn reading(keys: &SessionKeys, shards: &[HeldShard]) -> Transaction {
    let shards = shards.iter();
    Transaction {
        reads: shards
            .map(|held| Read::Prefix(keys.shard(held.shard)))
            .collect(),
        ..Transaction::default()
    }
}

/// Takes over what was read.
pub fn take_over(
    keys: &SessionKeys,
    shards: &[HeldShard],
    reply: &TransactionReply,
    texts: &mut SessionTexts,
    now: Instant,
) {
    for (held, entries) in shards.iter().zip(&reply.reads) {
        let start = keys.shard(held.shard);
        for entry in entries {
            if let Some(room) = entry.key.strip_prefix(&start) {
                texts.found(*held, room, &entry.value, now);
            }
        }
    }
}

/// What is known of the store, for the next write.
#[derive(Debug, Default)]
pub struct StoreSeen {
    /// The table of owners and its revision; none if it is not known.
    table: Option<(u64, Table)>,
    /// The revision of the key that puts the writes in order; 0 if there is none.
    writer: u64,
}

/// A request that is sent next.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreStep {
    pub transaction: Transaction,
    /// What it writes; nothing if it only looks.
    batch: Vec<PendingText>,
    /// For a look: the shards for which something waits.
    doubted: Vec<HeldShard>,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// What it wrote is in the store.
    Written,
    /// It has looked, and knows what it may write.
    Looked,
    /// The store was not as it was known, or cannot be understood.
    Refused,
}

impl StoreSeen {
    /// Nothing is known of the store any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn owns(&self, owner: &Owner, shard: Shard) -> bool {
        let table = self.table.as_ref();
        table.is_some_and(|(_, table)| table.owner(shard) == Some(owner))
    }

    /// The next request, if anything is to be written.
    pub fn next_step(&self, keys: &SessionKeys, texts: &SessionTexts) -> Option<StoreStep> {
        let owner = texts.owner()?;
        let batch = texts.batch();
        if batch.is_empty() {
            return None;
        }
        let reads = vec![
            Read::Key(keys.table.clone()),
            Read::Revision(keys.writer(owner)),
        ];
        let Some((revision, _)) = &self.table else {
            return Some(StoreStep::look(reads, texts));
        };
        // A shard may have been gained since the table was read.
        if texts.any_pending_outside(|shard| self.owns(owner, shard)) {
            return Some(StoreStep::look(reads, texts));
        }
        let writer = keys.writer(owner);
        let order = match self.writer {
            0 => Condition::Absent(writer.clone()),
            revision => Condition::Modified(writer.clone(), revision),
        };
        let mut writes = vec![Write::Put(writer, owner.to_string())];
        writes.extend(batch.iter().map(|text| {
            let key = keys.room(text.shard, &text.room);
            match &text.sealed {
                Some(sealed) => Write::Put(key, sealed.to_string()),
                None => Write::Delete(key),
            }
        }));
        let transaction = Transaction {
            conditions: vec![Condition::Modified(keys.table.clone(), *revision), order],
            writes,
            reads,
        };
        Some(StoreStep {
            transaction,
            batch,
            doubted: Vec::new(),
        })
    }

    /// The answer to a step.
    pub fn answered(
        &mut self,
        step: &StoreStep,
        reply: &TransactionReply,
        texts: &mut SessionTexts,
        now: Instant,
    ) -> StepEnd {
        let [table, writer, ..] = &*reply.reads else {
            self.forget();
            return StepEnd::Refused;
        };
        let read = |entry: &Entry| Some((entry.modified, Table::parse(&entry.value)?));
        self.table = table.first().and_then(read);
        self.writer = writer.first().map_or(0, |entry| entry.modified);
        if self.table.is_none() {
            StepEnd::Refused
        } else if step.batch.is_empty() {
            // The answer is later than the gain of these: what the table gives to others is lost.
            if let Some(owner) = texts.owner().cloned() {
                let lost = step.doubted.iter();
                let lost: Vec<_> = lost.filter(|held| !self.owns(&owner, held.shard)).collect();
                lost.into_iter().for_each(|held| texts.give_up(*held));
            }
            StepEnd::Looked
        } else if reply.swapped {
            texts.written(&step.batch, now);
            StepEnd::Written
        } else {
            StepEnd::Refused
        }
    }
}

impl StoreStep {
    fn look(reads: Vec<Read>, texts: &SessionTexts) -> Self {
        Self {
            transaction: Transaction {
                reads,
                ..Transaction::default()
            },
            batch: Vec::new(),
            doubted: texts.pending_shards(),
        }
    }
}
