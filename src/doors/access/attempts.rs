//! Who showed wrong tokens, and how long that makes them wait.
//!
//! Bounded however many addresses try. A right token never waits for the wrong ones of others at
//! the same address, unless those are so many at a time that none is looked at any more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// So many addresses are remembered.
const PEERS: usize = 1024;
/// So many wrong tokens of one address may wait for their answer at a time.
const WAITING: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After so long without a wrong token an address begins anew.
const FORGOTTEN: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Peer {
    failures: u32,
    waiting: u32,
    last: Instant,
}

/// The wrong tokens of late.
#[derive(Debug, Default)]
pub struct Attempts {
    peers: Mutex<HashMap<IpAddr, Peer>>,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many wrong tokens of this address wait that no more are looked at.
    pub fn too_many(&self, peer: IpAddr) -> bool {
        let peers = self.lock();
        peers
            .get(&network(peer))
            .is_some_and(|peer| peer.waiting >= WAITING)
    }

    /// A wrong token: waits before that may be said.
    pub async fn failed(&self, peer: IpAddr) {
        let peer = network(peer);
        let wait = self.begin(peer, Instant::now());
        let _waiting = Waiting { all: self, peer };
        sleep(wait).await;
    }

    fn begin(&self, peer: IpAddr, now: Instant) -> Duration {
        let mut peers = self.lock();
        if !peers.contains_key(&peer) && peers.len() >= PEERS {
            let idle = peers.iter().filter(|(_, peer)| peer.waiting == 0);
            let oldest = idle.min_by_key(|(_, peer)| peer.last).map(|(key, _)| *key);
            match oldest {
                Some(oldest) => drop(peers.remove(&oldest)),
                // Everybody waits: whoever comes now does so too, for the longest.
                None => return LONGEST_WAIT,
            }
        }
        let known = peers.entry(peer).or_insert(Peer {
            failures: 0,
            waiting: 0,
            last: now,
        });
        if now.saturating_duration_since(known.last) > FORGOTTEN {
            known.failures = 0;
        }
        known.failures += 1;
        known.waiting += 1;
        known.last = now;
        let doubled = 2_u32.saturating_pow(known.failures - 1);
        FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
    }
}

/// Waits until dropped, also when whoever waits goes away.
struct Waiting<'a> {
    all: &'a Attempts,
    peer: IpAddr,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(peer) = self.all.lock().get_mut(&self.peer) {
            peer.waiting = peer.waiting.saturating_sub(1);
        }
    }
}

/// Whoever has one IPv6 address has all of its network.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn each_wrong_token_waits_longer() {
        let attempts = Attempts::default();
        let wait = || attempts.begin(peer(1), Instant::now()).as_millis();
        let waits: Vec<_> = std::iter::repeat_with(wait).take(8).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        // Another address does not wait for it, and after a while it is forgotten.
        assert_eq!(attempts.begin(peer(2), Instant::now()), FIRST_WAIT);
        let later = Instant::now() + FORGOTTEN * 2;
        assert_eq!(attempts.begin(peer(1), later), FIRST_WAIT);
    }

    #[test]
    fn too_many_at_a_time_are_not_looked_at() {
        let attempts = Attempts::default();
        for _ in 0..WAITING {
            assert!(!attempts.too_many(peer(1)));
            attempts.begin(peer(1), Instant::now());
        }
        assert!(attempts.too_many(peer(1)));
        drop(Waiting {
            all: &attempts,
            peer: peer(1),
        });
        assert!(!attempts.too_many(peer(1)));
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for n in 0..5000 {
            attempts.begin(peer(n), now);
            drop(Waiting {
                all: &attempts,
                peer: peer(n),
            });
        }
        assert_eq!(attempts.lock().len(), PEERS);
        let one = "2001:db8::1".parse().unwrap();
        assert_eq!(network(one), network("2001:db8::ffff".parse().unwrap()));
    }
}
