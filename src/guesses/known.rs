//! The secrets that were right before, each at its address.
//!
//! Memory is bounded, and only a right secret gets in, so that nobody who guesses can push others out.

use std::collections::HashMap;

use crate::network::Network;

/// Secrets and addresses to remember: about 200 KB. Beyond it, the one that was used longest ago goes.
const MOST_KNOWN: usize = 4096;
/// By how many names one user is remembered at an address. A program may connect with a new name each time, and must
/// not push out others; few addresses have more clients of one user that stay.
const MOST_NAMES: usize = 16;

/// Right secrets by address and by who has shown them, as the start of their digest.
#[derive(Debug, Default)]
pub struct KnownSecrets {
    known: HashMap<(Network, u64), Known>,
    uses: u64,
}

#[derive(Debug)]
struct Known {
    digest: u64,
    /// Whose secret it is.
    owner: u64,
    /// The number of its last use.
    last_use: u64,
}

impl KnownSecrets {
    /// Whether this secret was right at this address before.
    pub fn contains(&self, network: Network, identity: u64, digest: u64) -> bool {
        let known = self.known.get(&(network, identity));
        known.is_some_and(|known| known.digest == digest)
    }

    /// Forgets the secret of one who has shown another.
    pub fn forget(&mut self, network: Network, identity: u64) {
        self.known.remove(&(network, identity));
    }

    /// Remembers a right secret of this owner.
    pub fn insert(&mut self, network: Network, owner: u64, identity: u64, digest: u64) {
        self.uses += 1;
        let key = (network, identity);
        if !self.known.contains_key(&key) {
            self.make_room(MOST_NAMES, |(of, _), known| {
                *of == network && known.owner == owner
            });
            self.make_room(MOST_KNOWN, |_, _| true);
        }
        let known = Known {
            digest,
            owner,
            last_use: self.uses,
        };
        self.known.insert(key, known);
    }

    /// Forgets the one of these that was used longest ago, if there are so many.
    fn make_room(&mut self, most: usize, is_one: impl Fn(&(Network, u64), &Known) -> bool) {
        let these = || self.known.iter().filter(|(key, known)| is_one(key, known));
        if these().count() < most {
            return;
        }
        let oldest = these().min_by_key(|(_, known)| known.last_use);
        if let Some(oldest) = oldest.map(|(key, _)| *key) {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_that_was_used_longest_ago_is_forgotten() {
        let network = |n: u32| Network::of(std::net::Ipv4Addr::from_bits(n).into());
        let mut known = KnownSecrets::default();
        for n in 0..4096 {
            known.insert(network(n), 1, 7, 1);
        }
        known.insert(network(0), 1, 7, 1);
        known.insert(network(5000), 1, 7, 1);
        assert!(known.contains(network(0), 7, 1) && known.contains(network(5000), 7, 1));
        assert!(!known.contains(network(1), 7, 1) && !known.contains(network(0), 7, 2));
        assert_eq!(known.known.len(), MOST_KNOWN);
    }

    #[test]
    fn ever_new_names_of_one_user_push_nobody_else_out() {
        let network = |n: u32| Network::of(std::net::Ipv4Addr::from_bits(n).into());
        let mut known = KnownSecrets::default();
        known.insert(network(1), 2, 8, 1);
        known.insert(network(2), 1, 9, 1);
        for name in 100..10_000 {
            known.insert(network(1), 1, name, 1);
        }
        assert!(known.contains(network(1), 8, 1) && known.contains(network(2), 9, 1));
        assert!(known.contains(network(1), 9_999, 1));
        assert_eq!(known.known.len(), 2 + MOST_NAMES);
    }
}
