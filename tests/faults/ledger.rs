//! The ledger: every command, whether it reached the gateway, and its results.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::commands::Command;

/// Whether a command reached the gateway, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It was not sent, or the broker had no subscriber for it.
    No,
    /// The client's connection ended before that was known.
    Maybe,
    /// Sent with QoS 0 over a connection that lasted, so without an acknowledgement.
    Unacknowledged,
    /// The broker acknowledged it and had the gateway as subscriber.
    Yes,
    /// Sent directly to the gateway, over a connection that lasted at least until the result.
    Held,
}

#[derive(Debug)]
pub struct Got {
    pub at: Instant,
    pub result: Value,
}

#[derive(Debug)]
pub struct Sent {
    pub command: Command,
    pub client: usize,
    pub at: Instant,
    pub reached: Reached,
    pub results: Vec<Got>,
}

impl Sent {
    /// `ok`, the error's code, or `None` before the result.
    pub fn code(&self) -> Option<&str> {
        let result = &self.results.first()?.result;
        if result["ok"] == true {
            return Some("ok");
        }
        result["error"]["code"].as_str()
    }
}

#[derive(Default)]
pub struct Ledger {
    sent: Mutex<BTreeMap<u64, Sent>>,
    changed: Notify,
}

impl Ledger {
    /// Records a command that is about to be sent.
    pub fn sends(&self, command: Command, client: usize) {
        let sent = Sent {
            at: Instant::now(),
            client,
            reached: Reached::No,
            results: Vec::new(),
            command,
        };
        self.sent.lock().unwrap().insert(sent.command.id, sent);
    }

    pub fn reached(&self, id: u64, reached: Reached) {
        if let Some(sent) = self.sent.lock().unwrap().get_mut(&id) {
            sent.reached = reached;
        }
    }

    /// Records a result, at whichever topic or connection it came.
    pub fn got(&self, id: u64, result: Value) {
        if let Some(sent) = self.sent.lock().unwrap().get_mut(&id) {
            let at = Instant::now();
            sent.results.push(Got { at, result });
        }
        self.changed.notify_waiters();
    }

    /// When the command's result came, and whether it was `ok`.
    pub fn ended(&self, id: u64) -> Option<(Instant, bool)> {
        let sent = self.sent.lock().unwrap();
        let sent = sent.get(&id)?;
        let got = sent.results.first()?;
        Some((got.at, got.result["ok"] == true))
    }

    /// Waits until every command that matches has its result.
    pub async fn until_answered(&self, deadline: Instant, owed: impl Fn(&Sent) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let waiting = {
                let sent = self.sent.lock().unwrap();
                sent.values()
                    .any(|sent| sent.results.is_empty() && owed(sent))
            };
            if !waiting || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return;
            }
        }
    }

    /// Takes all commands since the last call.
    pub fn take(&self) -> Vec<Sent> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.into_values().collect()
    }
}
