//! Which clients are connected, and which sessions are kept for clients that are gone.
//!
//! Each owner has a part of both, so that nobody takes everything. A session too many ends the one
//! of the same owner that has waited longest: an honest user has fewer, and others are not touched.

use std::collections::HashMap;
use std::sync::Arc;

use mqtt5::protocol::v5::reason_codes::ReasonCode;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::answers::Denial;
use super::client_owner::ClientOwner;
use super::limits::{CONNECTION_SHARE, FEWEST_CONNECTIONS, SESSIONS, SESSIONS_PER_OWNER};

const TOO_MANY: Denial = Denial::limit(
    "connections",
    ReasonCode::ServerBusy,
    "too many clients are connected",
);
const TOO_MANY_OF_OWNER: Denial = Denial::limit(
    "connections",
    ReasonCode::QuotaExceeded,
    "this user has too many connections",
);

/// All clients.
#[derive(Debug)]
pub struct ClientQuotas {
    /// The most clients at a time, without the gateway.
    limit: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    connected: HashMap<ClientOwner, usize>,
    total: usize,
    /// The sessions of clients that are gone: whose, and since when.
    kept: HashMap<String, (ClientOwner, Instant)>,
}

impl ClientQuotas {
    /// For this many clients at a time.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            entries: Mutex::default(),
        })
    }

    /// A client comes. There is always a place for the gateway itself.
    ///
    /// # Errors
    /// There are too many.
    pub fn arrive(self: &Arc<Self>, owner: &ClientOwner) -> Result<ConnectedClient, Denial> {
        let mut entries = self.entries.lock();
        if *owner != ClientOwner::Gateway {
            let share = (self.limit / CONNECTION_SHARE).max(FEWEST_CONNECTIONS);
            if entries.total >= self.limit {
                return Err(TOO_MANY);
            }
            if entries
                .connected
                .get(owner)
                .is_some_and(|count| *count >= share)
            {
                return Err(TOO_MANY_OF_OWNER);
            }
            entries.total += 1;
            *entries.connected.entry(owner.clone()).or_default() += 1;
        }
        Ok(ConnectedClient {
            quotas: self.clone(),
            owner: owner.clone(),
        })
    }

    /// A client uses the session of this place.
    pub fn returned(&self, place: &str) {
        self.entries.lock().kept.remove(place);
    }

    /// A client has gone, and its session is kept. Gives the sessions that must end for it.
    pub fn kept(&self, place: &str, owner: &ClientOwner, now: Instant) -> Vec<String> {
        let mut entries = self.entries.lock();
        entries.kept.insert(place.to_owned(), (owner.clone(), now));
        let mut ended = Vec::new();
        while let Some(place) = entries.session_too_many(owner) {
            entries.kept.remove(&place);
            ended.push(place);
        }
        ended
    }

    /// The places whose sessions are kept.
    pub fn places(&self) -> Vec<String> {
        self.entries.lock().kept.keys().cloned().collect()
    }
}

impl Entries {
    /// The session to end: of this owner, or of the owner with the most.
    fn session_too_many(&self, owner: &ClientOwner) -> Option<String> {
        let mut counts = HashMap::<&ClientOwner, usize>::new();
        for (owner, _) in self.kept.values() {
            *counts.entry(owner).or_default() += 1;
        }
        let own = counts.get(owner).copied().unwrap_or_default();
        let of = if own > SESSIONS_PER_OWNER {
            owner
        } else if self.kept.len() > SESSIONS {
            counts.into_iter().max_by_key(|(_, count)| *count)?.0
        } else {
            return None;
        };
        let sessions = self.kept.iter().filter(|(_, (owner, _))| owner == of);
        let oldest = sessions.min_by_key(|(_, (_, since))| *since);
        oldest.map(|(place, _)| place.clone())
    }
}

/// One client that is connected.
#[derive(Debug)]
pub struct ConnectedClient {
    quotas: Arc<ClientQuotas>,
    owner: ClientOwner,
}

impl Drop for ConnectedClient {
    fn drop(&mut self) {
        if self.owner == ClientOwner::Gateway {
            return;
        }
        let mut entries = self.quotas.entries.lock();
        entries.total -= 1;
        if let Some(count) = entries.connected.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                entries.connected.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn user(name: &str) -> ClientOwner {
        ClientOwner::User(name.into())
    }

    #[test]
    fn one_user_leaves_connections_to_others_and_to_the_gateway() {
        let quotas = ClientQuotas::new(100);
        let mut all = Vec::new();
        for _ in 0..50 {
            all.push(quotas.arrive(&user("greedy")).unwrap());
        }
        assert_eq!(
            quotas.arrive(&user("greedy")).err(),
            Some(TOO_MANY_OF_OWNER)
        );
        for _ in 0..50 {
            all.push(quotas.arrive(&user("other")).unwrap());
        }
        assert_eq!(quotas.arrive(&user("third")).err(), Some(TOO_MANY));
        quotas.arrive(&ClientOwner::Gateway).unwrap();
        all.clear();
        assert!(quotas.entries.lock().connected.is_empty());
        assert_eq!(quotas.entries.lock().total, 0);
    }

    #[test]
    fn a_session_too_many_ends_the_oldest_of_the_same_user() {
        let quotas = ClientQuotas::new(100);
        let start = Instant::now();
        let at = |n: usize| start + Duration::from_secs(n as u64);
        assert!(quotas.kept("honest", &user("honest"), start).is_empty());
        for n in 0..SESSIONS_PER_OWNER {
            let place = format!("{n}");
            assert!(quotas.kept(&place, &user("greedy"), at(n)).is_empty());
        }
        assert_eq!(quotas.kept("more", &user("greedy"), at(1000)), ["0"]);
        quotas.returned("1");
        assert!(quotas.kept("1", &user("greedy"), at(1001)).is_empty());
        assert_eq!(quotas.kept("another", &user("greedy"), at(1002)), ["2"]);
        assert!(quotas.places().contains(&"honest".to_owned()));
    }

    #[test]
    fn the_owner_with_the_most_sessions_makes_room() {
        let quotas = ClientQuotas::new(100);
        let start = Instant::now();
        quotas.kept("honest", &user("honest"), start);
        let owners = SESSIONS / SESSIONS_PER_OWNER;
        let mut ended = Vec::new();
        for owner in 0..owners {
            for n in 0..SESSIONS_PER_OWNER {
                let place = format!("{owner}/{n}");
                ended.extend(quotas.kept(&place, &user(&owner.to_string()), start));
            }
        }
        assert_eq!(ended.len(), 1);
        assert!(quotas.places().contains(&"honest".to_owned()));
    }
}
