//! Slows down guessing of tokens: the answer to each wrong token of an address is delayed longer
//! than the last.
//!
//! Memory is bounded, however many addresses try. A right token is never delayed because of others
//! at the same address, unless so many wrong ones wait that no more are checked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Addresses to remember: about 100 KB. Beyond it the one that tried longest ago is forgotten.
const MAX_ADDRESSES: usize = 1024;
/// Wrong tokens of one address whose answers may wait at a time. It limits how many tokens can be
/// tried in parallel.
const MAX_DELAYED: u32 = 8;
/// A person who mistyped a token does not notice it.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// With at most [`MAX_DELAYED`] at a time this leaves fewer than two guesses a second.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// An address without a wrong token for this long begins again with the first delay.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The wrong tokens of one address.
#[derive(Debug)]
struct Offender {
    failures: u32,
    delayed: u32,
    last_failure: Instant,
}

/// The addresses that showed wrong tokens lately.
#[derive(Debug, Default)]
pub struct WrongTokens {
    offenders: Mutex<HashMap<IpAddr, Offender>>,
}

impl WrongTokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Offender>> {
        self.offenders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many wrong tokens of this address wait for their answer that no more are checked.
    pub fn too_many(&self, peer: IpAddr) -> bool {
        let offenders = self.lock();
        offenders
            .get(&network(peer))
            .is_some_and(|offender| offender.delayed >= MAX_DELAYED)
    }

    /// Counts a wrong token, and waits before it may be answered.
    pub async fn delay(&self, peer: IpAddr) {
        let network = network(peer);
        let delay = self.count(network, Instant::now());
        let _delayed = Delayed { all: self, network };
        sleep(delay).await;
    }

    /// Counts a wrong token; gives how long its answer must wait.
    fn count(&self, network: IpAddr, now: Instant) -> Duration {
        let mut offenders = self.lock();
        if !offenders.contains_key(&network) && offenders.len() >= MAX_ADDRESSES {
            let idle = offenders
                .iter()
                .filter(|(_, offender)| offender.delayed == 0);
            let oldest = idle.min_by_key(|(_, offender)| offender.last_failure);
            match oldest.map(|(network, _)| *network) {
                Some(oldest) => drop(offenders.remove(&oldest)),
                // All known addresses are waiting; a new one waits the longest and is not counted.
                None => return LONGEST_DELAY,
            }
        }
        let offender = offenders.entry(network).or_insert(Offender {
            failures: 0,
            delayed: 0,
            last_failure: now,
        });
        if now.saturating_duration_since(offender.last_failure) > FORGET_AFTER {
            offender.failures = 0;
        }
        offender.failures += 1;
        offender.delayed += 1;
        offender.last_failure = now;
        let doubled = 2_u32.saturating_pow(offender.failures - 1);
        FIRST_DELAY.saturating_mul(doubled).min(LONGEST_DELAY)
    }
}

/// One wrong token that waits for its answer. Dropping it ends the wait, also when the client goes
/// away meanwhile.
struct Delayed<'a> {
    all: &'a WrongTokens,
    network: IpAddr,
}

impl Drop for Delayed<'_> {
    fn drop(&mut self) {
        if let Some(offender) = self.all.lock().get_mut(&self.network) {
            offender.delayed = offender.delayed.saturating_sub(1);
        }
    }
}

/// The key of an address: for IPv6 its /64 network, since one user owns all of it.
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
    fn each_wrong_token_is_answered_later() {
        let wrong = WrongTokens::default();
        let wait = || wrong.count(peer(1), Instant::now()).as_millis();
        let waits: Vec<_> = std::iter::repeat_with(wait).take(8).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        // Another address does not wait for it, and after a while it is forgotten.
        assert_eq!(wrong.count(peer(2), Instant::now()), FIRST_DELAY);
        let later = Instant::now() + FORGET_AFTER * 2;
        assert_eq!(wrong.count(peer(1), later), FIRST_DELAY);
    }

    #[test]
    fn too_many_at_a_time_are_not_checked() {
        let wrong = WrongTokens::default();
        for _ in 0..MAX_DELAYED {
            assert!(!wrong.too_many(peer(1)));
            wrong.count(peer(1), Instant::now());
        }
        assert!(wrong.too_many(peer(1)));
        drop(Delayed {
            all: &wrong,
            network: peer(1),
        });
        assert!(!wrong.too_many(peer(1)));
    }

    #[test]
    fn memory_is_bounded() {
        let wrong = WrongTokens::default();
        let now = Instant::now();
        for n in 0..5000 {
            wrong.count(peer(n), now);
            drop(Delayed {
                all: &wrong,
                network: peer(n),
            });
        }
        assert_eq!(wrong.lock().len(), MAX_ADDRESSES);
        let one = "2001:db8::1".parse().unwrap();
        assert_eq!(network(one), network("2001:db8::ffff".parse().unwrap()));
    }
}
