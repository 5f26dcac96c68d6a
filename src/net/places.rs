//! The places that the connections of one door take: how many there can be, and who gives way.
//!
//! A newcomer always gets a place while some connection has not shown yet that it may be there. Then
//! the oldest of the address with the most such connections gives way, so that a flood from one
//! address only displaces itself. Owns no socket: whoever serves a connection watches
//! [`Place::gave_way`] and drops it.

mod crowd;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::network::Network;
use crowd::Crowd;

/// Of eight places one address gets seven at most: a reverse proxy needs most of them, and a flood
/// from one address leaves some to all others.
const PLACES_OF_ADDRESS: (usize, usize) = (7, 8);
/// A quarter of the places, at most this many, is never held: it is for health checks and
/// newcomers.
const MOST_KEPT_FREE: usize = 1000;
/// Connections that may still be closing while others have their places already. In a flood, waiting for each would
/// keep the others in the system's queue.
pub const MOST_LEAVING: usize = 32;
/// How long to wait for one of them to close, where there are that many.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(100);

/// What a connection has shown. In this order they give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing: no token, no request that needs one.
    Stranger,
    /// A right token, once; it asks for nothing at this moment.
    Known,
    /// It is in use and does not give way.
    Held,
}

/// The places of one door.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_of_address: usize,
    most_held: usize,
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    newest: u64,
    taken: usize,
    /// Of these, the ones that were told to give way.
    leaving: usize,
    held: usize,
    of_network: HashMap<Network, usize>,
    strangers: Crowd,
    known: Crowd,
}

/// All places are held by others; the newcomer is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPlace;

/// One connection's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    number: u64,
    network: Network,
    standing: Mutex<Standing>,
    give_way: CancellationToken,
}

/// The result of one attempt to get a place.
enum Attempt {
    Taken(Place),
    /// Too many connections are still leaving.
    Wait,
    Full,
}

impl Places {
    /// Places for this many connections.
    pub fn new(most: usize) -> Arc<Self> {
        let (part, of) = PLACES_OF_ADDRESS;
        Arc::new(Self {
            most,
            most_of_address: (most * part / of).max(1),
            most_held: most - (most / 4).min(MOST_KEPT_FREE),
            table: Mutex::default(),
            freed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// A place for a newcomer. `gave_way` is called with the address of each connection that must
    /// leave for it.
    ///
    /// # Errors
    /// No connection can give way.
    pub async fn take(
        self: &Arc<Self>,
        peer: IpAddr,
        mut gave_way: impl FnMut(Network),
    ) -> Result<Place, NoPlace> {
        loop {
            let freed = self.freed.notified();
            match self.try_take(Network::of(peer), &mut gave_way) {
                Attempt::Taken(place) => return Ok(place),
                Attempt::Full => return Err(NoPlace),
                Attempt::Wait => {
                    // One of them has left, or not in time: either way there is another attempt.
                    let _ = timeout(LEAVE_TIMEOUT, freed).await;
                }
            }
        }
    }

    fn try_take(self: &Arc<Self>, network: Network, gave_way: &mut impl FnMut(Network)) -> Attempt {
        let mut table = self.lock();
        if table.leaving >= MOST_LEAVING {
            return Attempt::Wait;
        }
        let own = table.of_network.get(&network).copied().unwrap_or(0);
        let of = if own >= self.most_of_address {
            Some(network)
        } else if table.taken - table.leaving >= self.most {
            None
        } else {
            return Attempt::Taken(self.seat(&mut table, network));
        };
        match table.give_way(of) {
            Some(leaving) => {
                gave_way(leaving);
                Attempt::Taken(self.seat(&mut table, network))
            }
            None => Attempt::Full,
        }
    }

    fn seat(self: &Arc<Self>, table: &mut Table, network: Network) -> Place {
        table.newest += 1;
        table.taken += 1;
        *table.of_network.entry(network).or_default() += 1;
        let place = Place {
            places: self.clone(),
            number: table.newest,
            network,
            standing: Mutex::new(Standing::Stranger),
            give_way: CancellationToken::new(),
        };
        table.enter(&place, Standing::Stranger);
        place
    }
}

impl Table {
    /// Tells a connection to give way, of this address if one is named: a stranger if there is any,
    /// else a known one. Gives its address.
    fn give_way(&mut self, of: Option<Network>) -> Option<Network> {
        let leaving = self.strangers.pop(of).or_else(|| self.known.pop(of));
        let (network, give_way) = leaving?;
        give_way.cancel();
        self.leaving += 1;
        self.uncount(network);
        Some(network)
    }

    /// One connection less of this address.
    fn uncount(&mut self, network: Network) {
        if let Some(count) = self.of_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.of_network.remove(&network);
            }
        }
    }

    fn enter(&mut self, place: &Place, standing: Standing) {
        let kind = match standing {
            Standing::Stranger => &mut self.strangers,
            Standing::Known => &mut self.known,
            Standing::Held => {
                self.held += 1;
                return;
            }
        };
        kind.insert(place.network, place.number, place.give_way.clone());
    }

    /// Whether it was there: one that gives way is not.
    fn leave(&mut self, place: &Place, standing: Standing) -> bool {
        let kind = match standing {
            Standing::Stranger => &mut self.strangers,
            Standing::Known => &mut self.known,
            Standing::Held => {
                self.held -= 1;
                return true;
            }
        };
        kind.remove(place.network, place.number)
    }
}

impl Place {
    /// Waits until this connection must leave for another.
    pub async fn gave_way(&self) {
        self.give_way.cancelled().await;
    }

    /// The connection may be there, and does not give way from now on.
    ///
    /// # Errors
    /// Too many are held already, or this one is giving way.
    pub fn hold(&self) -> Result<(), NoPlace> {
        let mut table = self.places.lock();
        let mut standing = self.lock();
        if *standing == Standing::Held {
            return Ok(());
        }
        if table.held >= self.places.most_held || !table.leave(self, *standing) {
            return Err(NoPlace);
        }
        *standing = Standing::Held;
        table.enter(self, Standing::Held);
        Ok(())
    }

    /// Holds the place until the guard is dropped; then it gives way, but after strangers. If too
    /// many are held, it only counts as known.
    pub fn hold_for_a_while(self: &Arc<Self>) -> HeldForAWhile {
        if self.hold().is_err() {
            self.known();
        }
        HeldForAWhile(self.clone())
    }

    fn known(&self) {
        let mut table = self.places.lock();
        let mut standing = self.lock();
        if *standing != Standing::Known && table.leave(self, *standing) {
            *standing = Standing::Known;
            table.enter(self, Standing::Known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock()
    }
}

/// While this lives, its place does not give way.
#[derive(Debug)]
pub struct HeldForAWhile(Arc<Place>);

impl Drop for HeldForAWhile {
    fn drop(&mut self) {
        self.0.known();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.lock();
        let standing = *self.lock();
        table.taken -= 1;
        if table.leave(self, standing) {
            table.uncount(self.network);
        } else {
            // It gave way, and was uncounted then.
            table.leaving -= 1;
        }
        drop(table);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    async fn take(places: &Arc<Places>, n: u8) -> Result<Arc<Place>, NoPlace> {
        let take = places.take(peer(n), |_| {});
        take.await.map(Arc::new)
    }

    /// A connection that leaves as soon as it must.
    fn serve(place: Arc<Place>) {
        tokio::spawn(async move { place.gave_way().await });
    }

    #[tokio::test]
    async fn a_newcomer_gets_a_place_and_the_flooding_address_loses_its_oldest() {
        let places = Places::new(8);
        let honest = take(&places, 1).await.unwrap();
        for _ in 0..100 {
            serve(take(&places, 2).await.unwrap());
        }
        serve(take(&places, 3).await.unwrap());
        assert!(!honest.give_way.is_cancelled());
        assert!(places.lock().taken <= 8 + MOST_LEAVING);
    }

    #[tokio::test]
    async fn what_is_held_does_not_give_way_and_some_places_are_never_held() {
        let places = Places::new(8);
        let mut held = Vec::new();
        for n in 0..6 {
            let place = take(&places, n).await.unwrap();
            place.hold().unwrap();
            held.push(place);
        }
        let more = take(&places, 7).await.unwrap();
        assert_eq!(more.hold(), Err(NoPlace));
        serve(more);
        for n in 10..20 {
            serve(take(&places, n).await.unwrap());
        }
        assert!(held.iter().all(|place| !place.give_way.is_cancelled()));
        drop(held);
        let later = take(&places, 7).await.unwrap();
        later.hold().unwrap();
    }

    #[tokio::test]
    async fn strangers_give_way_before_known_ones() {
        let places = Places::new(4);
        let known = take(&places, 1).await.unwrap();
        drop(known.hold_for_a_while());
        let _also = [
            take(&places, 2).await.unwrap(),
            take(&places, 3).await.unwrap(),
        ];
        serve(take(&places, 4).await.unwrap());
        let first = places.try_take(Network::of(peer(5)), &mut |_| {});
        assert!(matches!(first, Attempt::Taken(_)));
        assert!(!known.give_way.is_cancelled());
    }

    #[tokio::test]
    async fn no_more_are_let_in_while_many_are_still_leaving() {
        let places = Places::new(8);
        let mut stuck = Vec::new();
        for n in 0..8 + MOST_LEAVING {
            stuck.push(take(&places, u8::try_from(n).unwrap()).await.unwrap());
        }
        let next = places.try_take(Network::of(peer(99)), &mut |_| {});
        assert!(matches!(next, Attempt::Wait));
        assert_eq!(places.lock().taken, 8 + MOST_LEAVING);
        stuck.remove(0);
        let next = places.try_take(Network::of(peer(99)), &mut |_| {});
        assert!(matches!(next, Attempt::Taken(_)));
        drop((next, stuck));
        let table = places.lock();
        assert_eq!((table.taken, table.leaving, table.held), (0, 0, 0));
        assert!(table.of_network.is_empty() && table.strangers.is_empty());
    }

    #[tokio::test]
    async fn one_address_never_has_all_places() {
        let places = Places::new(8);
        let mut own = Vec::new();
        for _ in 0..7 {
            own.push(take(&places, 1).await.unwrap());
        }
        let eighth = places.try_take(Network::of(peer(1)), &mut |_| {});
        assert!(matches!(eighth, Attempt::Taken(_)));
        assert!(own[0].give_way.is_cancelled());
        assert!(take(&places, 2).await.is_ok());
    }
}
