//! Who pays for what clients cost: each token, or each address where no token is needed.
//!
//! Limits of one client do not limit whoever has a thousand of them. So everything that a client can make the gateway
//! do or keep is paid by its payer, from what all payers share: processor time (`processor_time`; for what is read
//! also where nothing comes of it: `reads`), bytes that wait (`waiting_bytes`), and the places of clients. None can
//! have more than a part of it, so that the clients of others go on beside any number of clients of one payer. Knows
//! no transport and no device.

mod account;
mod partial_message;
mod processor_time;
mod reads;
mod waiting_bytes;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::network::Network;
use processor_time::{OwnTime, Prepaid, SharedTime};

pub use partial_message::{LARGE_MESSAGE, PartialMessage, TooMuch};
pub use processor_time::{Admitted, OWN_TIME, metered, paid};
pub use reads::{PaidReads, ReadsPayer};
pub use waiting_bytes::{TOO_MUCH_WAITS, WAITING_BYTES, WAITING_BYTES_OF_PAYER, WaitingBytes};

/// Of two places of clients one payer gets one: a token of all panels has enough, and others have the rest.
pub const PLACES_OF_PAYER: (usize, usize) = (1, 2);

/// Payers with an account of their own: more than there can be connections, so that only those who have gone
/// and whose time has come back find no place. Such newcomers share one account.
const MOST_PAYERS: usize = 8192;

/// Who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayerId {
    /// Who has shown the token with this start of its digest.
    Token(u64),
    /// Who comes from this address, where no token is needed.
    Address(Network),
}

/// All payers, and what they share.
#[derive(Debug)]
pub struct Payers {
    accounts: Mutex<HashMap<PayerId, Arc<Payer>>>,
    /// For those who find no place.
    rest: Arc<Payer>,
    shared: Shared,
}

/// What all payers share.
#[derive(Debug, Clone)]
struct Shared {
    /// What each has of its own.
    own_time: Duration,
    time: Arc<SharedTime>,
    /// What those have together who have time of their own, if there can be any number of them.
    total: Option<Arc<SharedTime>>,
    bytes: Arc<Semaphore>,
}

impl Payers {
    /// Each has so much processor time of its own at once.
    pub fn new(own_time: Duration) -> Self {
        let shared = Shared {
            own_time,
            time: Arc::new(SharedTime::new()),
            total: None,
            bytes: waiting_bytes::permits(WAITING_BYTES),
        };
        Self {
            accounts: Mutex::default(),
            rest: Payer::new(&shared),
            shared,
        }
    }

    /// Those who have shown no right token, with accounts of their own: however many come, they take neither an account
    /// nor processor time away from these. All of them together have a total.
    pub fn strangers(&self) -> Self {
        let own = self.shared.own_time;
        let shared = Shared {
            time: Arc::new(SharedTime::of_strangers(own)),
            total: Some(Arc::new(SharedTime::total_of_strangers(own))),
            ..self.shared.clone()
        };
        Self {
            accounts: Mutex::default(),
            rest: Payer::new(&shared),
            shared,
        }
    }

    /// The account of a payer.
    pub fn of(&self, id: PayerId) -> Arc<Payer> {
        let mut accounts = self.accounts.lock();
        if let Some(known) = accounts.get(&id) {
            return known.clone();
        }
        if accounts.len() >= MOST_PAYERS {
            let now = Instant::now();
            accounts.retain(|_, payer| Arc::strong_count(payer) > 1 || !payer.time.is_full(now));
        }
        if accounts.len() >= MOST_PAYERS {
            return self.rest.clone();
        }
        let payer = Payer::new(&self.shared);
        accounts.insert(id, payer.clone());
        payer
    }
}

/// What the clients of one payer use, all together.
#[derive(Debug)]
pub struct Payer {
    time: OwnTime,
    bytes: Arc<Semaphore>,
    clients: AtomicUsize,
    shared: Shared,
}

impl Payer {
    fn new(shared: &Shared) -> Arc<Self> {
        Arc::new(Self {
            time: OwnTime::new(shared.own_time),
            bytes: waiting_bytes::permits(WAITING_BYTES_OF_PAYER),
            clients: AtomicUsize::new(0),
            shared: shared.clone(),
        })
    }

    /// Waits until a request or frame of this payer may be handled. What that costs is then charged to what
    /// is returned.
    pub async fn admit(self: &Arc<Self>) -> Admitted {
        processor_time::admit(self).await
    }

    /// After something of this payer was done: waits until its next may begin, for which everything else that is ready
    /// to run goes first.
    pub async fn others_run_first(self: &Arc<Self>) {
        processor_time::others_run_first(self).await;
    }

    /// Waits until something of this payer may be done, and pays this much for it.
    pub async fn prepay(self: &Arc<Self>, cost: Duration) -> Prepaid {
        processor_time::prepay(self, cost).await
    }

    /// Whether something of this payer may be handled without waiting.
    pub fn has_time(&self) -> bool {
        processor_time::is_free(self)
    }

    /// Takes off the account what was done without being admitted.
    pub fn charge(&self, cost: Duration) {
        processor_time::charge(self, cost);
    }

    /// Reserves bytes that wait for a client or are not whole yet; `None` if there are none left.
    pub fn reserve(&self, bytes: usize) -> Option<WaitingBytes> {
        WaitingBytes::take(&self.bytes, &self.shared.bytes, bytes)
    }

    /// The place of one more client; `None` if the payer has its part of `most` already.
    pub fn take_place(self: &Arc<Self>, most: usize) -> Option<PayersPlace> {
        let (part, of) = PLACES_OF_PAYER;
        let most = (most * part / of).max(1);
        let place = PayersPlace(self.clone());
        // Given back at once if it was one too many.
        let before = self.clients.fetch_add(1, Ordering::Relaxed);
        (before < most).then_some(place)
    }
}

/// One of a payer's places. Dropping it frees it.
#[derive(Debug)]
pub struct PayersPlace(Arc<Payer>);

impl Drop for PayersPlace {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> PayerId {
        PayerId::Address(Network::of(std::net::Ipv4Addr::from_bits(n).into()))
    }

    #[test]
    fn one_payer_has_half_of_the_places_and_of_the_bytes() {
        let payers = Payers::new(OWN_TIME);
        let (one, other) = (payers.of(PayerId::Token(1)), payers.of(PayerId::Token(2)));
        let places: Vec<_> = (0..9).filter_map(|_| one.take_place(8)).collect();
        assert_eq!(places.len(), 4);
        assert!(other.take_place(8).is_some());
        drop(places);
        assert!(one.take_place(8).is_some());
        let mebibyte = || one.reserve(1 << 20);
        let bytes: Vec<_> = std::iter::from_fn(mebibyte).collect();
        assert_eq!(bytes.len(), WAITING_BYTES_OF_PAYER >> 20);
        assert!(one.reserve(1).is_none() && other.reserve(1 << 20).is_some());
        drop(bytes);
        assert!(mebibyte().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn payers_who_have_gone_are_forgotten_when_there_are_very_many() {
        let payers = Payers::new(OWN_TIME);
        let stays = payers.of(address(0));
        let owes = payers.of(address(1)).admit().await;
        owes.charge(std::time::Duration::from_millis(50));
        drop(owes);
        for n in 0..3 * MOST_PAYERS {
            payers.of(address(u32::try_from(n).unwrap()));
        }
        assert!(payers.accounts.lock().len() <= MOST_PAYERS);
        assert!(Arc::ptr_eq(&payers.of(address(0)), &stays));
        assert!(!payers.of(address(1)).time.is_full(Instant::now()));
        let all: Vec<_> = (0..2 * MOST_PAYERS)
            .map(|n| payers.of(address(u32::try_from(n).unwrap())))
            .collect();
        assert!(Arc::ptr_eq(all.last().unwrap(), &payers.rest));
    }
}
