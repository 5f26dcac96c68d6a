//! The penalties of addresses.
//!
//! Pure: the caller passes the time. Each wrong secret of an address adds to its penalty, which runs
//! off with time. While more than [`ALLOWANCE`] of it is left, the address is blocked: its secrets
//! are not checked. A wrong secret that is shown again tells the sender nothing new, so it adds
//! nothing: a panel with an old token does not block others at its address.
//!
//! Memory is bounded. A penalty is forgotten when it has run off and [`FORGET_AFTER`] has passed. When
//! the table is full, it is forgotten as soon as its wrong secrets come to one in [`LONGEST_PENALTY`]:
//! nobody guesses faster for it, and no number of other addresses pushes it out before. So addresses
//! with a wrong secret each fill the table for seconds only. The networks of one IPv6 site get one
//! penalty together when there are many of them, and while the table is full, all further addresses
//! have one together.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::network::Network;

/// Penalties to remember: about 1 MB.
pub const MOST_PENALTIES: usize = 4096;
/// Networks of one IPv6 site with a penalty each. With more, the site has one penalty: whoever has a
/// /48 has 65,536 networks to guess from.
pub const MOST_NETWORKS_OF_SITE: usize = 16;
/// The penalty of the first wrong secret. A person who mistyped a token does not notice it.
const FIRST_PENALTY: Duration = Duration::from_millis(100);
/// Each further one is twice the last, up to this. It leaves one guess in five seconds.
const LONGEST_PENALTY: Duration = Duration::from_secs(5);
/// The penalty that an address may have left when it shows another secret. It leaves six guesses at
/// once, for people who try what they have.
pub const ALLOWANCE: Duration = Duration::from_secs(5);
/// An address without a wrong secret for this long begins again with the first penalty.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Wrong secrets of an address to recognise when they are shown again: a building behind one address
/// may have some panels with old tokens.
const MOST_REMEMBERED: usize = 16;
/// A full table is searched for penalties to forget this often at most.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What became of a wrong secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A guess of this address: answer it after `wait`.
    First { wait: Duration, failures: u32 },
    /// It was shown and wrong before.
    Repeated { wait: Duration },
    /// The address is blocked.
    Blocked { retry_after: Duration },
}

/// The penalty of one address.
#[derive(Debug, Clone)]
struct Penalty {
    failures: u32,
    begun: Instant,
    runs_until: Instant,
    last_failure: Instant,
    /// The start of the digests of wrong secrets, the newest last.
    wrong: VecDeque<u64>,
}

impl Penalty {
    fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            begun: now,
            runs_until: now,
            last_failure: now,
            wrong: VecDeque::new(),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now > self.runs_until && now.saturating_duration_since(self.last_failure) > FORGET_AFTER
    }

    /// Whether it may be forgotten for others: its wrong secrets were as slow as they will be.
    fn gives_way(&self, now: Instant) -> bool {
        let slow = LONGEST_PENALTY.saturating_mul(self.failures);
        now > self.runs_until && now.saturating_duration_since(self.begun) > slow
    }

    /// How long the address is blocked.
    fn blocked(&self, now: Instant) -> Option<Duration> {
        let left = self.runs_until.saturating_duration_since(now);
        left.checked_sub(ALLOWANCE).filter(|wait| !wait.is_zero())
    }

    fn count(&mut self, digest: u64, now: Instant) -> Counted {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.last_failure = now;
        let known = self.wrong.iter().position(|wrong| *wrong == digest);
        if known.is_none()
            && let Some(retry_after) = self.blocked(now)
        {
            return Counted::Blocked { retry_after };
        }
        self.failures = self.failures.saturating_add(1);
        let doubled = 2_u32.saturating_pow(self.failures - 1);
        let penalty = FIRST_PENALTY.saturating_mul(doubled).min(LONGEST_PENALTY);
        if let Some(known) = known {
            self.wrong.remove(known);
        } else {
            self.runs_until = self.runs_until.max(now) + penalty;
            if self.wrong.len() >= MOST_REMEMBERED {
                self.wrong.pop_front();
            }
        }
        self.wrong.push_back(digest);
        match known {
            Some(_) => Counted::Repeated { wait: penalty },
            None => Counted::First {
                wait: self.runs_until.saturating_duration_since(now),
                failures: self.failures,
            },
        }
    }
}

/// The addresses that showed wrong secrets lately.
#[derive(Debug, Default)]
pub struct Penalties {
    table: HashMap<Network, Penalty>,
    /// The penalty of all addresses that found the table full.
    overflow: Option<Penalty>,
    last_sweep: Option<Instant>,
}

impl Penalties {
    /// How long this address is blocked; `None` if it is not.
    pub fn blocked(&mut self, network: Network, now: Instant) -> Option<Duration> {
        let site = network.site().and_then(|site| self.table.get(&site));
        if let Some(own) = site.or_else(|| self.table.get(&network)) {
            return own.blocked(now);
        }
        let overflow = self.overflow.as_ref()?.blocked(now)?;
        self.is_full(now).then_some(overflow)
    }

    /// Counts a wrong secret.
    pub fn count(&mut self, network: Network, digest: u64, now: Instant) -> Counted {
        self.penalty_of(network, now).count(digest, now)
    }

    fn penalty_of(&mut self, network: Network, now: Instant) -> &mut Penalty {
        let site = network.site().filter(|site| self.table.contains_key(site));
        let mut network = site.unwrap_or(network);
        if !self.table.contains_key(&network) {
            network = self.merge_site(network);
            if self.is_full(now) {
                return self.overflow.get_or_insert_with(|| Penalty::new(now));
            }
        }
        let new = || Penalty::new(now);
        self.table.entry(network).or_insert_with(new)
    }

    /// Gives the site of a network one penalty, the longest of its networks with the failures of all, if
    /// there are many of them.
    fn merge_site(&mut self, network: Network) -> Network {
        let Some(site) = network.site() else {
            return network;
        };
        let of_site = |known: &&Network| known.site() == Some(site);
        let members: Vec<Network> = self.table.keys().filter(of_site).copied().collect();
        if members.len() < MOST_NETWORKS_OF_SITE {
            return network;
        }
        let penalties = members
            .iter()
            .filter_map(|member| self.table.remove(member));
        let together = penalties.reduce(|one, other| {
            let failures = one.failures.saturating_add(other.failures);
            let begun = one.begun.min(other.begun);
            let longest = if other.runs_until > one.runs_until {
                other
            } else {
                one
            };
            Penalty {
                failures,
                begun,
                ..longest
            }
        });
        if let Some(together) = together {
            self.table.insert(site, together);
        }
        site
    }

    /// Whether there is no place for one more, after what may be forgotten is.
    fn is_full(&mut self, now: Instant) -> bool {
        if self.table.len() >= MOST_PENALTIES {
            self.sweep(now);
        }
        self.table.len() >= MOST_PENALTIES
    }

    fn sweep(&mut self, now: Instant) {
        let recent = |last: Instant| now.saturating_duration_since(last) < SWEEP_INTERVAL;
        if !self.last_sweep.is_some_and(recent) {
            self.last_sweep = Some(now);
            self.table
                .retain(|_, penalty| !penalty.is_over(now) && !penalty.gives_way(now));
        }
    }
}

#[cfg(test)]
mod tests;
