//! Connections that can give way, and which of them does: the oldest of the address with the most;
//! if several addresses have as many, the oldest of all these.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_util::sync::CancellationToken;

use crate::network::Network;

/// How many connections an address has, the number of its oldest, and the address.
type Rank = (usize, Reverse<u64>, Network);

/// Connections of one standing. Their numbers grow with time.
#[derive(Debug, Default)]
pub struct Crowd {
    of_network: HashMap<Network, BTreeMap<u64, CancellationToken>>,
    /// One entry for each address, so that no flood makes the search long.
    ranks: BTreeSet<Rank>,
}

impl Crowd {
    /// Adds a connection.
    pub fn insert(&mut self, network: Network, number: u64, give_way: CancellationToken) {
        self.change(network, |own| drop(own.insert(number, give_way)));
    }

    /// Removes a connection; whether it was there.
    pub fn remove(&mut self, network: Network, number: u64) -> bool {
        self.change(network, |own| own.remove(&number).is_some())
    }

    /// Removes the connection that gives way, of this address if one is named. Gives its address.
    pub fn pop(&mut self, of: Option<Network>) -> Option<(Network, CancellationToken)> {
        let network = match of {
            Some(network) => network,
            None => self.ranks.last()?.2,
        };
        let oldest = self.change(network, BTreeMap::pop_first);
        oldest.map(|(_, give_way)| (network, give_way))
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.of_network.is_empty() && self.ranks.is_empty()
    }

    fn change<T>(
        &mut self,
        network: Network,
        change: impl FnOnce(&mut BTreeMap<u64, CancellationToken>) -> T,
    ) -> T {
        let own = self.of_network.entry(network).or_default();
        if let Some(rank) = rank(network, own) {
            self.ranks.remove(&rank);
        }
        let result = change(own);
        match rank(network, own) {
            Some(rank) => drop(self.ranks.insert(rank)),
            None => drop(self.of_network.remove(&network)),
        }
        result
    }
}

fn rank(network: Network, own: &BTreeMap<u64, CancellationToken>) -> Option<Rank> {
    let (oldest, _) = own.first_key_value()?;
    Some((own.len(), Reverse(*oldest), network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_address_with_most_gives_way_then_the_oldest_of_all() {
        let network = |n: u8| Network::of([192, 0, 2, n].into());
        let mut crowd = Crowd::default();
        for (number, n) in [(1, 3), (2, 1), (3, 2), (4, 2), (5, 4)] {
            crowd.insert(network(n), number, CancellationToken::new());
        }
        assert!(crowd.remove(network(4), 5) && !crowd.remove(network(4), 5));
        let mut pop = || crowd.pop(None).map(|(network, _)| network);
        // 2 has two; then each has one, and they came in this order.
        assert_eq!(pop(), Some(network(2)));
        assert_eq!(pop(), Some(network(3)));
        assert_eq!(pop(), Some(network(1)));
        assert_eq!(pop(), Some(network(2)));
        assert_eq!(pop(), None);
        assert!(crowd.is_empty());
    }
}
