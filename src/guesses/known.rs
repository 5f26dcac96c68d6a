//! The secrets that were right before, each at its address.
//!
//! Memory is bounded, and only a right secret gets in, so that nobody who guesses can push others out.

use std::collections::HashMap;

use crate::network::Network;

/// Secrets and addresses to remember: about 200 KB. Beyond it, the one that was used longest ago goes.
const MAX_KNOWN: usize = 4096;

/// Right secrets by address, as the start of their digest.
#[derive(Debug, Default)]
pub struct KnownSecrets {
    /// The number of its last use.
    last_use: HashMap<(Network, u64), u64>,
    uses: u64,
}

impl KnownSecrets {
    /// Whether this secret was right at this address before.
    pub fn contains(&self, network: Network, digest: u64) -> bool {
        self.last_use.contains_key(&(network, digest))
    }

    /// Remembers a right secret.
    pub fn insert(&mut self, network: Network, digest: u64) {
        self.uses += 1;
        let key = (network, digest);
        if self.last_use.len() >= MAX_KNOWN && !self.last_use.contains_key(&key) {
            let oldest = self.last_use.iter().min_by_key(|(_, last_use)| **last_use);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.last_use.remove(&oldest);
            }
        }
        self.last_use.insert(key, self.uses);
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
            known.insert(network(n), 1);
        }
        known.insert(network(0), 1);
        known.insert(network(5000), 1);
        assert!(known.contains(network(0), 1) && known.contains(network(5000), 1));
        assert!(!known.contains(network(1), 1) && !known.contains(network(0), 2));
        assert_eq!(known.last_use.len(), MAX_KNOWN);
    }
}
