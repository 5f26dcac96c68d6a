//! Events that a hostile client can cause thousands of times a second: a few lines of the log
//! instead of one for each.
//!
//! One line when they begin, one a minute with the count and the addresses that caused most, one
//! when a minute went by without any. Memory is bounded, however many addresses take part.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Telemetry;
use super::events::DOORS;
use crate::command::DoorKind;
use crate::net::Network;

/// Addresses that are counted for each kind of event in a minute; those that come later are only
/// part of the sum.
const COUNTED_ADDRESSES: usize = 1024;
/// Addresses that a line names.
const NAMED_ADDRESSES: usize = 5;

/// What happens again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FloodKind {
    /// A connection was closed because another one needed its place.
    GaveWay,
    /// A connection was closed at once: no other could give way.
    NoPlace,
    /// A client of the embedded broker broke the protocol, or was refused.
    BrokerClientFailed,
}

impl FloodKind {
    fn text(self) -> &'static str {
        match self {
            Self::GaveWay => "a connection was closed for a newer one: all places are taken",
            Self::NoPlace => "a connection was refused: all places are in use",
            Self::BrokerClientFailed => "a client of the embedded broker failed",
        }
    }
}

/// Every flood that goes on.
#[derive(Debug, Default)]
pub struct Floods {
    open: Mutex<HashMap<(DoorKind, FloodKind), Flood>>,
}

#[derive(Debug, Default)]
struct Flood {
    total: u64,
    /// Since the last line.
    count: u64,
    by_address: HashMap<Network, u64>,
}

impl Floods {
    fn lock(&self) -> MutexGuard<'_, HashMap<(DoorKind, FloodKind), Flood>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flood {
    fn count(&mut self, network: Network) {
        self.total += 1;
        self.count += 1;
        if let Some(count) = self.by_address.get_mut(&network) {
            *count += 1;
        } else if self.by_address.len() < COUNTED_ADDRESSES {
            self.by_address.insert(network, 1);
        }
    }

    /// The addresses with the most events: `192.0.2.1 (17), 192.0.2.9 (3)`.
    fn worst(&self) -> String {
        let mut all: Vec<_> = self.by_address.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named = all.iter().take(NAMED_ADDRESSES);
        let named = named.map(|(network, count)| format!("{network} ({count})"));
        named.collect::<Vec<_>>().join(", ")
    }
}

impl Telemetry {
    /// Counts an event that clients can cause again and again, and logs the first. `why` says more
    /// about it.
    pub fn flood(&self, door: DoorKind, kind: FloodKind, network: Network, why: &str) {
        let mut open = self.floods.lock();
        let flood = open.entry((door, kind)).or_default();
        flood.count(network);
        if flood.total == 1 {
            flood.count = 0;
            flood.by_address.clear();
            drop(open);
            let (door, text) = (door.as_str(), kind.text());
            tracing::warn!(target: DOORS, door, address = %network, why, "{text}");
        }
    }

    /// Logs what was counted since the last call. To be called once a minute.
    pub fn log_floods(&self) {
        self.floods.lock().retain(|(door, kind), flood| {
            let (door, text, total) = (door.as_str(), kind.text(), flood.total);
            let goes_on = flood.count > 0;
            if goes_on {
                let (count, worst) = (flood.count, flood.worst());
                tracing::warn!(target: DOORS, door, count, total, worst, "again in the last minute: {text}");
                flood.count = 0;
                flood.by_address.clear();
            } else if total > 1 {
                tracing::info!(target: DOORS, door, total, "not in the last minute any more: {text}");
            }
            goes_on
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_named_first() {
        let telemetry = Telemetry::default();
        let note = |n| telemetry.flood(DoorKind::Tcp, FloodKind::GaveWay, network(n), "");
        for n in 0..5000 {
            note(n);
            note(7);
        }
        let open = telemetry.floods.lock();
        let flood = &open[&(DoorKind::Tcp, FloodKind::GaveWay)];
        assert_eq!((flood.total, flood.count), (10_000, 9_999));
        assert_eq!(flood.by_address.len(), COUNTED_ADDRESSES);
        assert!(
            flood.worst().starts_with("0.0.0.7 (5001), "),
            "{}",
            flood.worst()
        );
    }

    #[test]
    fn a_flood_ends_after_a_minute_without_an_event() {
        let telemetry = Telemetry::default();
        let note = || telemetry.flood(DoorKind::Http, FloodKind::NoPlace, network(1), "");
        note();
        note();
        telemetry.log_floods();
        assert_eq!(telemetry.floods.lock().len(), 1);
        telemetry.log_floods();
        assert!(telemetry.floods.lock().is_empty());
    }
}
