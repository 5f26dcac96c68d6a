//! How many filters clients subscribe to.
//!
//! The library compares every message with every filter that has a wildcard, so these are few. A
//! filter without one costs memory only: Home Assistant has one for each entity of each room.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::answers::Denial;
use super::limits::{
    FILTER_BYTES, FILTERS, FILTERS_PER_CLIENT, WILDCARD_FILTERS, WILDCARD_FILTERS_PER_CLIENT,
};

const TOO_MANY_OF_CLIENT: Denial = Denial::limit(
    "filters",
    ReasonCode::QuotaExceeded,
    "this client has too many subscriptions",
);
const TOO_MANY: Denial = Denial::limit(
    "filters",
    ReasonCode::QuotaExceeded,
    "the broker has too many subscriptions",
);

/// The filters of all clients, connected or with a session that is kept.
#[derive(Debug, Default)]
pub struct FilterLedger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_place: HashMap<Box<str>, ClientFilters>,
    /// The filters with a wildcard, and how many clients have each.
    wildcards: HashMap<Box<str>, usize>,
    count: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct ClientFilters {
    filters: HashSet<Box<str>>,
    wildcards: usize,
}

fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

impl FilterLedger {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a subscription of the client at this place.
    ///
    /// # Errors
    /// There are too many. Nothing is counted.
    pub fn subscribe(&self, place: &str, filter: &str) -> Result<(), Denial> {
        self.lock().add(place, filter)
    }

    /// The client at this place has ended a subscription.
    pub fn unsubscribe(&self, place: &str, filter: &str) {
        self.lock().remove(place, filter);
    }

    /// The session of this place has ended.
    pub fn forget(&self, place: &str) {
        self.lock().forget(place);
    }
}

impl Entries {
    fn add(&mut self, place: &str, filter: &str) -> Result<(), Denial> {
        let of_client = self.by_place.get(place);
        if of_client.is_some_and(|client| client.filters.contains(filter)) {
            return Ok(());
        }
        let has_wildcard = has_wildcard(filter);
        if of_client.is_some_and(|client| {
            client.filters.len() >= FILTERS_PER_CLIENT
                || has_wildcard && client.wildcards >= WILDCARD_FILTERS_PER_CLIENT
        }) {
            return Err(TOO_MANY_OF_CLIENT);
        }
        let is_new = has_wildcard && !self.wildcards.contains_key(filter);
        if self.count >= FILTERS
            || self.bytes + filter.len() > FILTER_BYTES
            || is_new && self.wildcards.len() >= WILDCARD_FILTERS
        {
            return Err(TOO_MANY);
        }
        self.count += 1;
        self.bytes += filter.len();
        if has_wildcard {
            *self.wildcards.entry(filter.into()).or_default() += 1;
        }
        let client = self.by_place.entry(place.into()).or_default();
        client.wildcards += usize::from(has_wildcard);
        client.filters.insert(filter.into());
        Ok(())
    }

    fn remove(&mut self, place: &str, filter: &str) {
        let Some(client) = self.by_place.get_mut(place) else {
            return;
        };
        if client.filters.remove(filter) {
            client.wildcards -= usize::from(has_wildcard(filter));
            if client.filters.is_empty() {
                self.by_place.remove(place);
            }
            self.count_out(filter);
        }
    }

    fn forget(&mut self, place: &str) {
        let client = self.by_place.remove(place).unwrap_or_default();
        for filter in client.filters {
            self.count_out(&filter);
        }
    }

    fn count_out(&mut self, filter: &str) {
        self.count -= 1;
        self.bytes -= filter.len();
        if let Some(clients) = self.wildcards.get_mut(filter) {
            *clients -= 1;
            if *clients == 0 {
                self.wildcards.remove(filter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_few_wildcards_and_many_plain_filters() {
        let ledger = FilterLedger::default();
        for n in 0..WILDCARD_FILTERS_PER_CLIENT {
            ledger.subscribe("a", &format!("{n}/#")).unwrap();
        }
        assert_eq!(ledger.subscribe("a", "one/more/+"), Err(TOO_MANY_OF_CLIENT));
        // Again is not more, and another client has its own.
        ledger.subscribe("a", "0/#").unwrap();
        ledger.subscribe("b", "one/more/+").unwrap();
        for n in WILDCARD_FILTERS_PER_CLIENT..FILTERS_PER_CLIENT {
            ledger.subscribe("a", &format!("{n}")).unwrap();
        }
        assert_eq!(ledger.subscribe("a", "one/more"), Err(TOO_MANY_OF_CLIENT));
        ledger.unsubscribe("a", "0/#");
        ledger.subscribe("a", "one/more").unwrap();
    }

    #[test]
    fn all_clients_together_are_limited_and_what_ends_is_free_again() {
        let ledger = FilterLedger::default();
        let clients = WILDCARD_FILTERS / WILDCARD_FILTERS_PER_CLIENT;
        for client in 0..clients {
            for n in 0..WILDCARD_FILTERS_PER_CLIENT {
                let filter = format!("{client}/{n}/#");
                ledger.subscribe(&client.to_string(), &filter).unwrap();
            }
        }
        assert_eq!(ledger.subscribe("late", "+/1"), Err(TOO_MANY));
        // One that is there already costs nothing more.
        ledger.subscribe("late", "0/0/#").unwrap();
        ledger.forget("0");
        ledger.subscribe("late", "+/1").unwrap();
        for client in 1..clients {
            ledger.forget(&client.to_string());
        }
        ledger.forget("late");
        let entries = ledger.lock();
        assert_eq!((entries.count, entries.bytes), (0, 0));
        assert!(entries.wildcards.is_empty() && entries.by_place.is_empty());
    }
}
