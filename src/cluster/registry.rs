//! The store that a cluster needs: two functions over keys with revisions, strictly serialisable.
//!
//! Consensus and storage are the store's; nothing here depends on leases or clocks of the store.

use std::future::Future;

/// A key that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// Its value; empty where only the revision was asked for.
    pub value: String,
    /// The revision at which the key was created.
    pub created: u64,
    /// The revision of its last change.
    pub modified: u64,
}

/// How many reads or writes one transaction may have, with room for others: etcd takes 128.
pub const MOST_OPERATIONS: usize = 100;

/// What must hold for the writes of a transaction to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent(String),
    /// The key was last changed at this revision.
    Modified(String, u64),
    /// The key was created at this revision and has existed since.
    Created(String, u64),
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the value.
    Put(String, String),
    /// Deletes the key.
    Delete(String),
}

/// What is read in the same transaction, after the writes, whether they happened or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The key.
    Key(String),
    /// The key without its value.
    Revision(String),
    /// The key, if it was changed after this revision.
    Newer(String, u64),
    /// All keys that begin so.
    Prefix(String),
}

/// Conditions, writes and reads that happen at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// All or none happen. Each names another key.
    pub writes: Vec<Write>,
    /// What is read.
    pub reads: Vec<Read>,
}

/// The answer to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionReply {
    /// The conditions held, and the writes happened.
    pub swapped: bool,
    /// The store's revision after it; that of what was written, if anything was.
    pub revision: u64,
    /// One list for each read, in order.
    pub reads: Vec<Vec<Entry>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// It may have happened, or may still happen.
    #[error("{0}")]
    InDoubt(String),
    /// The store refuses, and nothing happened.
    #[error("{0}")]
    Refused(String),
}

/// A store. A call ends with an error when its answer does not come in a second or so.
pub trait Registry: Send + Sync + 'static {
    /// Does the writes if the conditions hold, and reads, all at one moment.
    fn compare_and_swap(
        &self,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<TransactionReply, RegistryError>> + Send;

    /// What people should know of a store that works, if there is something.
    fn caveat(&self) -> Option<&'static str> {
        None
    }

    /// All keys that begin so, at one moment.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Entry>, RegistryError>> + Send {
        async move {
            let transaction = Transaction {
                reads: vec![Read::Prefix(prefix.to_owned())],
                ..Transaction::default()
            };
            let reply = self.compare_and_swap(&transaction).await?;
            Ok(reply.reads.into_iter().next().unwrap_or_default())
        }
    }
}
