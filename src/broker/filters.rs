//! How many filters clients subscribe to.
//!
//! The library compares every message with every filter that has a wildcard, level by level, so these
//! are few and have few levels together; one user has a part of them. A filter without one costs memory
//! only: Home Assistant has one for each entity of each room. Of each shared filter it keeps something for
//! ever, also when nobody has it any more.

use std::collections::{HashMap, HashSet};

use mqtt5::protocol::v5::reason_codes::ReasonCode;
use parking_lot::Mutex;

use super::answers::Denial;
use super::client_owner::ClientOwner;
use super::limits::{
    FILTER_BYTES, FILTERS, FILTERS_PER_CLIENT, SHARED_FILTERS, SHARED_SHARE, WILDCARD_FILTERS,
    WILDCARD_FILTERS_PER_CLIENT, WILDCARD_LEVELS, WILDCARD_SHARE,
};
use crate::topics::{Filter, SHARE};

const TOO_MANY_OF_CLIENT: Denial = Denial::limit(
    "filters",
    ReasonCode::QuotaExceeded,
    "this client has too many subscriptions",
);
const TOO_MANY_OF_OWNER: Denial = Denial::limit(
    "filters",
    ReasonCode::QuotaExceeded,
    "this user has too many subscriptions with wildcards",
);
const TOO_MANY: Denial = Denial::limit(
    "filters",
    ReasonCode::QuotaExceeded,
    "the broker has too many subscriptions",
);

const TOO_MANY_SHARED: Denial = Denial::limit(
    "filters",
    ReasonCode::QuotaExceeded,
    "there were too many different shared subscriptions since the gateway started",
);

/// The filters of all clients, connected or with a session that is kept.
#[derive(Debug, Default)]
pub struct FilterLedger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_place: HashMap<Box<str>, ClientFilters>,
    /// The filters with a wildcard.
    wildcards: Wildcards,
    /// The filters with a wildcard by their owner.
    wildcards_of: HashMap<ClientOwner, Wildcards>,
    shared: SharedFilters,
    count: usize,
    bytes: usize,
}

/// The different shared filters since the start, each with its group. None is ever taken out: the library
/// keeps a counter of each.
#[derive(Debug, Default)]
struct SharedFilters {
    filters: HashSet<Box<str>>,
    /// How many of them each owner was the first to have.
    owners: HashMap<ClientOwner, usize>,
}

#[derive(Debug)]
struct ClientFilters {
    owner: ClientOwner,
    filters: HashSet<Box<str>>,
    wildcards: usize,
    /// The filters whose messages keep their retain flag.
    as_published: HashSet<Box<str>>,
}

/// Different filters with a wildcard.
#[derive(Debug, Default)]
struct Wildcards {
    /// How many clients have each.
    filters: HashMap<Box<str>, usize>,
    /// The levels of them all.
    levels: usize,
}

impl Wildcards {
    /// Whether there may be this one too, if there may be one of `share` parts of all.
    fn has_room(&self, filter: &str, share: usize) -> bool {
        self.filters.contains_key(filter)
            || self.filters.len() < WILDCARD_FILTERS / share
                && self.levels + levels(filter) <= WILDCARD_LEVELS / share
    }

    fn add(&mut self, filter: &str) {
        let clients = self.filters.entry(filter.into()).or_insert_with(|| {
            self.levels += levels(filter);
            0
        });
        *clients += 1;
    }

    fn remove(&mut self, filter: &str) {
        if let Some(clients) = self.filters.get_mut(filter) {
            *clients -= 1;
            if *clients == 0 {
                self.filters.remove(filter);
                self.levels -= levels(filter);
            }
        }
    }
}

impl SharedFilters {
    /// Whether there may be this filter, which may not be a shared one.
    fn has_room(&self, owner: &ClientOwner, filter: &str) -> bool {
        let of_owner = self.owners.get(owner).copied().unwrap_or_default();
        !filter.starts_with(SHARE)
            || self.filters.contains(filter)
            || self.filters.len() < SHARED_FILTERS && of_owner < SHARED_FILTERS / SHARED_SHARE
    }

    fn add(&mut self, owner: &ClientOwner, filter: &str) {
        if filter.starts_with(SHARE) && self.filters.insert(filter.into()) {
            *self.owners.entry(owner.clone()).or_default() += 1;
        }
    }
}

fn levels(filter: &str) -> usize {
    filter.split('/').count()
}

fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

impl FilterLedger {
    /// Counts a subscription of the client at this place. Says whether it is new.
    ///
    /// # Errors
    /// There are too many. Nothing is counted.
    pub fn subscribe(
        &self,
        place: &str,
        owner: &ClientOwner,
        filter: &str,
    ) -> Result<bool, Denial> {
        self.entries.lock().add(place, owner, filter)
    }

    /// Whether the messages of a subscription keep their retain flag.
    pub fn set_as_published(&self, place: &str, filter: &str, is_kept: bool) {
        let mut entries = self.entries.lock();
        let Some(client) = entries.by_place.get_mut(place) else {
            return;
        };
        // One that is not counted would have no bound.
        if is_kept && client.filters.contains(filter) {
            client.as_published.insert(filter.into());
        } else {
            client.as_published.remove(filter);
        }
    }

    /// The filters of the client at this place whose messages keep their retain flag.
    pub fn as_published(&self, place: &str) -> Vec<Filter> {
        let entries = self.entries.lock();
        let filters = entries.by_place.get(place);
        let filters = filters.into_iter().flat_map(|client| &client.as_published);
        filters.filter_map(|text| Filter::new(text).ok()).collect()
    }

    /// Whether the client at this place has this filter.
    pub fn contains(&self, place: &str, filter: &str) -> bool {
        let entries = self.entries.lock();
        let client = entries.by_place.get(place);
        client.is_some_and(|client| client.filters.contains(filter))
    }

    /// The client at this place has ended a subscription.
    pub fn unsubscribe(&self, place: &str, filter: &str) {
        self.entries.lock().remove(place, filter);
    }

    /// The session of this place has ended.
    pub fn forget(&self, place: &str) {
        self.entries.lock().forget(place);
    }
}

impl Entries {
    fn add(&mut self, place: &str, owner: &ClientOwner, filter: &str) -> Result<bool, Denial> {
        let of_client = self.by_place.get(place);
        if of_client.is_some_and(|client| client.filters.contains(filter)) {
            return Ok(false);
        }
        let has_wildcard = has_wildcard(filter);
        if of_client.is_some_and(|client| {
            client.filters.len() >= FILTERS_PER_CLIENT
                || has_wildcard && client.wildcards >= WILDCARD_FILTERS_PER_CLIENT
        }) {
            return Err(TOO_MANY_OF_CLIENT);
        }
        if self.count >= FILTERS
            || self.bytes + filter.len() > FILTER_BYTES
            || has_wildcard && !self.wildcards.has_room(filter, 1)
        {
            return Err(TOO_MANY);
        }
        let of_owner = self.wildcards_of.get(owner);
        if has_wildcard && of_owner.is_some_and(|own| !own.has_room(filter, WILDCARD_SHARE)) {
            return Err(TOO_MANY_OF_OWNER);
        }
        if !self.shared.has_room(owner, filter) {
            return Err(TOO_MANY_SHARED);
        }
        self.shared.add(owner, filter);
        self.count += 1;
        self.bytes += filter.len();
        if has_wildcard {
            self.wildcards.add(filter);
            let of_owner = self.wildcards_of.entry(owner.clone()).or_default();
            of_owner.add(filter);
        }
        let new = || ClientFilters {
            owner: owner.clone(),
            filters: HashSet::new(),
            wildcards: 0,
            as_published: HashSet::new(),
        };
        let client = self.by_place.entry(place.into()).or_insert_with(new);
        client.wildcards += usize::from(has_wildcard);
        client.filters.insert(filter.into());
        Ok(true)
    }

    fn remove(&mut self, place: &str, filter: &str) {
        let Some(client) = self.by_place.get_mut(place) else {
            return;
        };
        client.as_published.remove(filter);
        if client.filters.remove(filter) {
            client.wildcards -= usize::from(has_wildcard(filter));
            let owner = client.owner.clone();
            if client.filters.is_empty() {
                self.by_place.remove(place);
            }
            self.count_out(&owner, filter);
        }
    }

    fn forget(&mut self, place: &str) {
        let Some(client) = self.by_place.remove(place) else {
            return;
        };
        for filter in client.filters {
            self.count_out(&client.owner, &filter);
        }
    }

    fn count_out(&mut self, owner: &ClientOwner, filter: &str) {
        self.count -= 1;
        self.bytes -= filter.len();
        self.wildcards.remove(filter);
        if let Some(of_owner) = self.wildcards_of.get_mut(owner) {
            of_owner.remove(filter);
            if of_owner.filters.is_empty() {
                self.wildcards_of.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::limits::TOPIC_LEVELS;

    fn user(name: &str) -> ClientOwner {
        ClientOwner::User(name.into())
    }

    #[test]
    fn a_client_has_few_wildcards_and_many_plain_filters() {
        let ledger = FilterLedger::default();
        let owner = user("x");
        for n in 0..WILDCARD_FILTERS_PER_CLIENT {
            ledger.subscribe("a", &owner, &format!("{n}/#")).unwrap();
        }
        let more = ledger.subscribe("a", &owner, "one/more/+");
        assert_eq!(more, Err(TOO_MANY_OF_CLIENT));
        // Again is not more, and another client has its own.
        ledger.subscribe("a", &owner, "0/#").unwrap();
        ledger.subscribe("b", &owner, "one/more/+").unwrap();
        for n in WILDCARD_FILTERS_PER_CLIENT..FILTERS_PER_CLIENT {
            ledger.subscribe("a", &owner, &format!("{n}")).unwrap();
        }
        let more = ledger.subscribe("a", &owner, "one/more");
        assert_eq!(more, Err(TOO_MANY_OF_CLIENT));
        ledger.unsubscribe("a", "0/#");
        ledger.subscribe("a", &owner, "one/more").unwrap();
    }

    #[test]
    fn all_clients_together_are_limited_and_what_ends_is_free_again() {
        let ledger = FilterLedger::default();
        let clients = WILDCARD_FILTERS / WILDCARD_FILTERS_PER_CLIENT;
        for client in 0..clients {
            let place = client.to_string();
            for n in 0..WILDCARD_FILTERS_PER_CLIENT {
                let filter = format!("{client}/{n}/#");
                ledger.subscribe(&place, &user(&place), &filter).unwrap();
            }
        }
        let late = user("late");
        assert_eq!(ledger.subscribe("late", &late, "+/1"), Err(TOO_MANY));
        // One that is there already costs nothing more.
        ledger.subscribe("late", &late, "0/0/#").unwrap();
        ledger.forget("0");
        ledger.subscribe("late", &late, "+/1").unwrap();
        for client in 1..clients {
            ledger.forget(&client.to_string());
        }
        ledger.forget("late");
        let entries = ledger.entries.lock();
        assert_eq!((entries.count, entries.bytes), (0, 0));
        assert!(entries.by_place.is_empty() && entries.wildcards_of.is_empty());
        assert!(entries.wildcards.filters.is_empty());
        assert_eq!(entries.wildcards.levels, 0);
    }

    /// A filter with many levels takes more time to compare: it counts with its levels.
    #[test]
    fn deep_filters_count_more_and_one_user_leaves_half_to_others() {
        let ledger = FilterLedger::default();
        let greedy = user("greedy");
        let deep = |n: usize| format!("{n}{}", "/+".repeat(TOPIC_LEVELS - 1));
        let mut accepted = 0;
        let end = loop {
            let place = (accepted / WILDCARD_FILTERS_PER_CLIENT).to_string();
            match ledger.subscribe(&place, &greedy, &deep(accepted)) {
                Ok(_) => accepted += 1,
                Err(denial) => break denial,
            }
        };
        assert_eq!(end, TOO_MANY_OF_OWNER);
        assert_eq!(accepted, WILDCARD_LEVELS / WILDCARD_SHARE / TOPIC_LEVELS);
        // The same filter of another client is compared once.
        ledger.subscribe("other", &greedy, &deep(0)).unwrap();
        let honest = user("honest");
        for n in 0..WILDCARD_FILTERS_PER_CLIENT {
            let filter = format!("room/{n}/#");
            ledger.subscribe("panel", &honest, &filter).unwrap();
        }
    }

    /// The library keeps something of each, so what has ended counts on.
    #[test]
    fn shared_filters_are_counted_since_the_start() {
        let ledger = FilterLedger::default();
        let greedy = user("greedy");
        let mut accepted = 0;
        let once = |owner: &ClientOwner, filter: &str| {
            let subscribed = ledger.subscribe("a", owner, filter);
            ledger.unsubscribe("a", filter);
            subscribed
        };
        let end = loop {
            match once(&greedy, &format!("$share/{accepted}/t")) {
                Ok(_) => accepted += 1,
                Err(denial) => break denial,
            }
        };
        assert_eq!(end, TOO_MANY_SHARED);
        assert_eq!(accepted, SHARED_FILTERS / SHARED_SHARE);
        // What there was may be again, and other filters may, also of others.
        once(&greedy, "$share/0/t").unwrap();
        once(&greedy, "t").unwrap();
        let others = ["b", "c"].map(user);
        for (n, owner) in others
            .iter()
            .cycle()
            .take(SHARED_FILTERS / SHARED_SHARE)
            .enumerate()
        {
            once(owner, &format!("$share/{n}/of/others")).unwrap();
        }
        let more = once(&others[0], "$share/more/t");
        assert_eq!(more, Err(TOO_MANY_SHARED));
    }
}
