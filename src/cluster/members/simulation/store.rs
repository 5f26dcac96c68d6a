//! A store in memory.

use std::collections::BTreeMap;

use crate::cluster::registry::{Condition, Entry, Read, Transaction, TransactionReply, Write};

/// A strictly serialisable store.
#[derive(Default)]
pub struct Store {
    revision: u64,
    entries: BTreeMap<String, Entry>,
}

impl Store {
    pub fn apply(&mut self, transaction: &Transaction) -> TransactionReply {
        let holds = |condition: &Condition| match condition {
            Condition::Absent(key) => !self.entries.contains_key(key),
            Condition::Modified(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.modified == *revision),
            Condition::Created(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.created == *revision),
        };
        let swapped = transaction.conditions.iter().all(holds);
        if swapped && !transaction.writes.is_empty() {
            self.revision += 1;
            for write in &transaction.writes {
                match write {
                    Write::Put(key, value) => {
                        let created = self
                            .entries
                            .get(key)
                            .map_or(self.revision, |entry| entry.created);
                        let entry = Entry {
                            key: key.clone(),
                            value: value.clone(),
                            created,
                            modified: self.revision,
                        };
                        self.entries.insert(key.clone(), entry);
                    }
                    Write::Delete(key) => {
                        self.entries.remove(key);
                    }
                }
            }
        }
        let read = |read: &Read| {
            let entries = self.entries.values();
            let read: Vec<Entry> = entries
                .filter(|entry| match read {
                    Read::Key(key) | Read::Revision(key) => entry.key == *key,
                    Read::Newer(key, revision) => entry.key == *key && entry.modified > *revision,
                    Read::Prefix(prefix) => entry.key.starts_with(prefix),
                })
                .cloned()
                .collect();
            read
        };
        TransactionReply {
            swapped,
            revision: self.revision,
            reads: transaction.reads.iter().map(read).collect(),
        }
    }
}
