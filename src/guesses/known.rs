//! The secrets that were right before, each at its address.
//!
//! Memory is bounded, and only a right secret gets in, so that nobody who guesses can push others out.

use std::collections::HashMap;

use crate::network::Network;

/// Secrets and addresses to remember: about 200 KB. Beyond it, the one that was used longest ago goes.
const MAX_KNOWN: usize = 4096;

/// Right secrets by address and by who has shown them, as the start of their digest.
#[derive(Debug, Default)]
pub struct KnownSecrets {
    known: HashMap<(Network, u64), Known>,
    uses: u64,
}

#[derive(Debug)]
struct Known {
    digest: u64,
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

    /// Remembers a right secret.
    pub fn insert(&mut self, network: Network, identity: u64, digest: u64) {
        self.uses += 1;
        let key = (network, identity);
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last_use);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.known.remove(&oldest);
            }
        }
        let last_use = self.uses;
        self.known.insert(key, Known { digest, last_use });
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
            known.insert(network(n), 7, 1);
        }
        known.insert(network(0), 7, 1);
        known.insert(network(5000), 7, 1);
        assert!(known.contains(network(0), 7, 1) && known.contains(network(5000), 7, 1));
        assert!(!known.contains(network(1), 7, 1) && !known.contains(network(0), 7, 2));
        assert_eq!(known.known.len(), MAX_KNOWN);
    }
}
