//! The connections that have not logged in yet: few in all and few for each address.
//!
//! When there are too many, the oldest of the address with the most is closed: an honest client
//! sends its CONNECT at once, so it is never the oldest for long.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::limits::{CROWD_GRACE, WAITING_GRACE, WAITING_PER_ADDRESS};
use super::owner::network;

/// One connection that has not logged in.
#[derive(Debug)]
struct Waiting {
    id: u64,
    network: IpAddr,
    since: Instant,
    closed: CancellationToken,
}

/// All connections that have not logged in.
#[derive(Debug)]
pub struct WaitingRoom {
    limit: usize,
    inside: Mutex<Inside>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    last_id: u64,
    /// The oldest first.
    all: Vec<Waiting>,
}

impl WaitingRoom {
    /// For this many connections at a time.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            inside: Mutex::default(),
            left: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new connection in. Closes others if there are too many, and waits if those came
    /// only just now.
    pub async fn enter(self: &Arc<Self>, peer: IpAddr) -> WaitingPlace {
        let network = network(peer);
        loop {
            let left = self.left.notified();
            let room_after = match self.lock().take_in(network, self.limit, Instant::now()) {
                Ok((id, closed)) => {
                    return WaitingPlace {
                        room: self.clone(),
                        id,
                        closed,
                    };
                }
                Err(room_after) => room_after,
            };
            tokio::select! {
                () = left => {}
                () = sleep_until(room_after) => {}
            }
        }
    }
}

impl Inside {
    /// Adds a connection, or says when there will be room.
    fn take_in(
        &mut self,
        network: IpAddr,
        limit: usize,
        now: Instant,
    ) -> Result<(u64, CancellationToken), Instant> {
        if self.count(network) >= WAITING_PER_ADDRESS {
            let _ = self.close_oldest(network, WAITING_GRACE, now);
        }
        if self.all.len() >= limit {
            let networks = self.all.iter().map(|one| one.network);
            let busiest = networks.max_by_key(|network| self.count(*network));
            let busiest = busiest.unwrap_or(network);
            let is_crowd = self.count(busiest) > limit / 2;
            let grace = if is_crowd { CROWD_GRACE } else { WAITING_GRACE };
            self.close_oldest(busiest, grace, now)?;
        }
        self.last_id += 1;
        let closed = CancellationToken::new();
        self.all.push(Waiting {
            id: self.last_id,
            network,
            since: now,
            closed: closed.clone(),
        });
        Ok((self.last_id, closed))
    }

    fn count(&self, network: IpAddr) -> usize {
        let all = self.all.iter();
        all.filter(|one| one.network == network).count()
    }

    /// Closes the oldest connection of an address, or says when that may be done.
    fn close_oldest(
        &mut self,
        network: IpAddr,
        grace: Duration,
        now: Instant,
    ) -> Result<(), Instant> {
        let oldest = self.all.iter().position(|one| one.network == network);
        let Some(oldest) = oldest else {
            return Err(now + grace);
        };
        let closes_at = self.all[oldest].since + grace;
        if closes_at > now {
            return Err(closes_at);
        }
        self.all.remove(oldest).closed.cancel();
        Ok(())
    }
}

/// The place of one connection that has not logged in.
#[derive(Debug)]
pub struct WaitingPlace {
    room: Arc<WaitingRoom>,
    id: u64,
    closed: CancellationToken,
}

impl WaitingPlace {
    /// Waits until the connection must be closed to make room.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        self.room.lock().all.retain(|one| one.id != self.id);
        self.room.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn the_oldest_of_the_busiest_address_makes_room() {
        let mut inside = Inside::default();
        let start = Instant::now();
        let honest = inside.take_in(address(1), 10, start).unwrap().1;
        let silent: Vec<_> = (0..9)
            .map(|_| inside.take_in(address(2), 10, start).unwrap().1)
            .collect();
        // All came just now, so the next one waits.
        let soon = inside.take_in(address(3), 10, start).unwrap_err();
        assert_eq!(soon, start + CROWD_GRACE);
        inside.take_in(address(3), 10, soon).unwrap();
        let closed: Vec<_> = silent.iter().map(CancellationToken::is_cancelled).collect();
        assert!(closed[0] && !closed[1] && !honest.is_cancelled());
    }

    #[test]
    fn an_address_has_a_share_only() {
        let mut inside = Inside::default();
        let start = Instant::now();
        for _ in 0..WAITING_PER_ADDRESS {
            inside.take_in(address(2), 1000, start).unwrap();
        }
        // A burst after a power cut is let in.
        inside.take_in(address(2), 1000, start).unwrap();
        for _ in 0..100 {
            inside
                .take_in(address(2), 1000, start + WAITING_GRACE)
                .unwrap();
        }
        assert!(inside.count(address(2)) <= 100 + 1);
        let later = start + WAITING_GRACE * 2;
        for _ in 0..100 {
            inside.take_in(address(2), 1000, later).unwrap();
        }
        assert!(
            inside
                .all
                .iter()
                .all(|one| one.since == later || one.since > start)
        );
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_is_gone() {
        let room = WaitingRoom::new(1);
        let first = room.enter(address(1)).await;
        let next = tokio::spawn({
            let room = room.clone();
            async move { room.enter(address(2)).await }
        });
        drop(first);
        next.await.unwrap();
    }
}
