//! Every command that was sent, and its results.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::clock;

/// What a command does, and how its carrying out shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Adds an entry to the device's directory. Twice is not the same as once.
    Entry,
    /// Sets the device's clock. Twice is the same as once.
    Time,
    /// Sets the volume. It does not show which command it was.
    Volume,
}

/// Where a command was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Broker,
    WebSocket(usize),
    Http(usize),
}

/// Whether a command arrived, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It was not sent, or nobody was there.
    No,
    /// The client's connection ended before that was known.
    Maybe,
    /// The broker had a subscriber for it, or the connection to the gateway lasts.
    Yes,
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub id: u64,
    pub room: usize,
    pub kind: Kind,
    pub door: Door,
    pub at: u64,
    pub reached: Reached,
    /// When each result came, and its code: `ok` or the error's.
    pub results: Vec<(u64, String)>,
}

impl Sent {
    /// How long its first result took.
    pub fn took(&self) -> Option<u64> {
        Some(self.results.first()?.0.saturating_sub(self.at))
    }

    pub fn code(&self) -> Option<&str> {
        Some(self.results.first()?.1.as_str())
    }
}

/// What is in a command so that its request shows at the device.
pub fn mark(id: u64) -> String {
    format!("zz{id}zz")
}

/// Times that are set begin here; the rest is the command's id.
pub const FIRST_TIME: u64 = 2_000_000_000_000;

/// The command that a text is of, if it shows.
pub fn marked(text: &str) -> Option<u64> {
    if let Some((_, rest)) = text.split_once("zz") {
        return rest.split_once("zz")?.0.parse().ok();
    }
    let (_, rest) = text.split_once("\"time\":")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u64>().ok()?.checked_sub(FIRST_TIME)
}

#[derive(Default)]
pub struct Ledger {
    sent: Mutex<BTreeMap<u64, Sent>>,
}

impl Ledger {
    /// Records a command that is about to be sent.
    pub fn sends(&self, id: u64, room: usize, kind: Kind, door: Door) {
        let sent = Sent {
            id,
            room,
            kind,
            door,
            at: clock::now(),
            reached: Reached::No,
            results: Vec::new(),
        };
        self.sent.lock().unwrap().insert(id, sent);
    }

    pub fn reached(&self, id: u64, reached: Reached) {
        if let Some(sent) = self.sent.lock().unwrap().get_mut(&id) {
            sent.reached = reached;
        }
    }

    /// Records a result.
    pub fn got(&self, id: u64, code: &str) {
        let now = clock::now();
        if let Some(sent) = self.sent.lock().unwrap().get_mut(&id) {
            sent.results.push((now, code.to_owned()));
        }
    }

    /// Whether any command that was sent before this time waits for its result.
    pub fn waits(&self, before: u64) -> bool {
        let sent = self.sent.lock().unwrap();
        let waits = |sent: &Sent| sent.results.is_empty() && sent.reached == Reached::Yes;
        sent.values().any(|sent| sent.at < before && waits(sent))
    }

    /// Some commands that were sent before this time and took so long, or have no result.
    pub fn slow(&self, before: u64, long: u64) -> Vec<Sent> {
        let sent = self.sent.lock().unwrap();
        let slow = |sent: &&Sent| {
            let took = sent.took().unwrap_or(u64::MAX);
            sent.at < before && sent.reached == Reached::Yes && took > long
        };
        sent.values().filter(slow).take(5).cloned().collect()
    }

    /// How long a command took, if it has a result.
    pub fn took(&self, id: u64) -> Option<u64> {
        self.sent.lock().unwrap().get(&id)?.took()
    }

    /// A copy of the commands that were sent between these times.
    pub fn between(&self, from: u64, until: u64) -> Vec<Sent> {
        let sent = self.sent.lock().unwrap();
        let sent = sent
            .values()
            .filter(|sent| (from..until).contains(&sent.at));
        sent.cloned().collect()
    }

    /// Takes the commands that were sent before this time.
    pub fn take(&self, before: u64) -> Vec<Sent> {
        let mut all = self.sent.lock().unwrap();
        let (old, new) = std::mem::take(&mut *all)
            .into_iter()
            .partition(|(_, sent)| sent.at < before);
        *all = new;
        let old: BTreeMap<_, _> = old;
        old.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_their_requests() {
        assert_eq!(
            marked(&format!("{{\"displayName\":\"{}\"}}", mark(17))),
            Some(17)
        );
        assert_eq!(marked(&format!("{{\"time\":{}}}", FIRST_TIME + 9)), Some(9));
        assert_eq!(marked("{\"volume\":9}"), None);
        assert_eq!(marked("{\"time\":1487369530000}"), None);
    }

    #[test]
    fn only_old_commands_are_taken() {
        let ledger = Ledger::default();
        ledger.sends(1, 0, Kind::Entry, Door::Broker);
        ledger.reached(1, Reached::Yes);
        let later = clock::now() + 1;
        assert!(ledger.waits(later));
        assert!(ledger.take(0).is_empty());
        ledger.got(1, "ok");
        assert!(!ledger.waits(later));
        let taken = ledger.take(later);
        assert_eq!((taken.len(), taken[0].code()), (1, Some("ok")));
        assert!(ledger.take(later).is_empty());
    }
}
