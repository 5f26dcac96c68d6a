//! The processor time of a payer's requests and frames.
//!
//! A request costs from 0.05 ms to 10 ms, so counting requests says little. What one costs is measured while
//! it is handled, and taken off the payer's account afterwards. An account fills up slowly. While a payer's
//! own is empty, its next request waits until some of its own time has come back, or some of the time that
//! all such payers share, one after the other. So whoever asks for much, over however many connections, gets
//! the time that is left over.
//!
//! A rate alone protects nobody where the gateway gets less of a processor than all accounts fill up with, as in a
//! small container: none is ever empty there. So a payer's requests also take turns: the next one is admitted when the
//! one before has been worked on, until it waits for something or is done. Commands of others wait for one of its
//! requests at most, however many connections it has.
//!
//! Who has shown no right token can have any number of addresses, and an account with each. So all strangers together
//! have a total besides, and take turns: one of their requests is worked on at a time.
//!
//! Only the work of the doors counts: what a device does for a command, and the waiting for it, do not.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::OwnedMutexGuard;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::Payer;
use super::account::Account;

/// What a payer may use at once: a dashboard that opens with all its rooms takes some 20 ms.
pub const OWN_TIME: Duration = Duration::from_millis(100);
/// In so much time, a millisecond of its own comes back to a payer: a twentieth of one processor is some
/// hundred requests in a second.
const OWN_MILLISECOND_IN: u32 = 20;
/// What all payers that have used up their own may use at once.
const SHARED_TIME: Duration = Duration::from_millis(50);
/// In so much time, a millisecond of what they share comes back: half of one processor.
const SHARED_MILLISECOND_IN: u32 = 2;
/// More than this is not owed: one request that takes long does not keep its payer waiting for minutes.
const MOST_OWED: Duration = Duration::from_secs(1);
/// What all strangers who have time of their own may use at once, together; the same holds for all of them who have
/// none. A hundred dashboards that are opened at the same time take some 30 ms.
const STRANGERS_TIME: Duration = Duration::from_millis(100);
/// In so much time, a millisecond of the strangers' time comes back: a quarter of one processor.
const STRANGERS_MILLISECOND_IN: u32 = 4;
/// More than this is not owed by all strangers together: the first request of a connection is looked at before it
/// waits, so connections without end from addresses without end could keep the others waiting.
const MOST_OWED_BY_STRANGERS: Duration = Duration::from_millis(100);

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

thread_local! {
    /// What was measured so far of the piece that is being worked on.
    static MEASURED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Runs something, and says after each piece how much processor time it took, without what was measured inside it.
pub async fn metered<F: Future>(work: F, mut charge: impl FnMut(Duration)) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let before = MEASURED.replace(Duration::ZERO);
        let begun = thread_time();
        let polled = work.as_mut().poll(cx);
        let took = thread_time().saturating_sub(begun);
        let inside = MEASURED.replace(before + took);
        charge(took.saturating_sub(inside));
        polled
    })
    .await
}

/// Runs something at this payer's cost. Each piece of it is worked on only when the payer may have it, so a peer that
/// makes every piece dear is as slow as one that asks for many.
pub async fn paid<F: Future>(work: F, payer: &Arc<Payer>) -> F::Output {
    let mut work = pin!(work);
    loop {
        let admitted = admit(payer).await;
        let piece = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx)));
        let piece = metered(piece, move |cost| admitted.charge(cost));
        if let Poll::Ready(output) = piece.await {
            return output;
        }
        woken().await;
    }
}

/// Waits until what was polled last wakes this task.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| {
        if std::mem::replace(&mut is_woken, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Whose turn it is. Others wait in their order.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// The account of one payer, and its queue.
#[derive(Debug)]
pub struct OwnTime {
    account: Account,
    turn: Turn,
}

impl OwnTime {
    /// A full account of so much.
    pub fn new(most: Duration) -> Self {
        Self {
            account: Account::new(most, MOST_OWED, OWN_MILLISECOND_IN),
            turn: Turn::default(),
        }
    }

    /// Whether there is some of it, and nobody waits.
    pub fn is_free(&self, now: Instant) -> bool {
        self.turn.try_lock().is_ok() && self.account.empty_until(now).is_none()
    }

    /// Whether nothing of it is used.
    pub fn is_full(&self, now: Instant) -> bool {
        self.account.is_full(now)
    }
}

/// An account that payers share. Each of them waits at most once in its queue.
#[derive(Debug)]
pub struct SharedTime {
    account: Account,
    turn: Turn,
}

impl SharedTime {
    /// For all payers whose own is empty.
    pub fn new() -> Self {
        Self::with(SHARED_TIME, MOST_OWED, SHARED_MILLISECOND_IN)
    }

    /// The same for strangers alone, who take nothing away from others.
    pub fn of_strangers(own_time: Duration) -> Self {
        Self::with(
            STRANGERS_TIME.max(own_time),
            MOST_OWED,
            STRANGERS_MILLISECOND_IN,
        )
    }

    /// What all strangers have together who have time of their own.
    pub fn total_of_strangers(own_time: Duration) -> Self {
        let most = STRANGERS_TIME.max(own_time);
        Self::with(most, MOST_OWED_BY_STRANGERS, STRANGERS_MILLISECOND_IN)
    }

    fn with(most: Duration, most_owed: Duration, millisecond_in: u32) -> Self {
        Self {
            account: Account::new(most, most_owed, millisecond_in),
            turn: Turn::default(),
        }
    }

    /// Whether there is some of it, and nobody waits.
    fn is_free(&self, now: Instant) -> bool {
        self.turn.try_lock().is_ok() && self.account.empty_until(now).is_none()
    }

    /// Waits for a turn, and in it for some of the time.
    async fn take_turn(&self) -> OwnedMutexGuard<()> {
        let turn = self.turn.clone().lock_owned().await;
        if let Some(at) = self.account.empty_until(Instant::now()) {
            sleep_until(at).await;
        }
        turn
    }
}

/// A request or frame that may be handled.
#[derive(Debug)]
pub struct Admitted {
    payer: Arc<Payer>,
    from_shared: bool,
    /// Until it has been worked on for the first time, the next ones wait.
    turns: Mutex<Vec<OwnedMutexGuard<()>>>,
}

impl Admitted {
    /// Takes off the account what handling it has cost so far. The next ones may be admitted.
    pub fn charge(&self, cost: Duration) {
        self.charge_before(cost);
        let mut turns = self.turns.lock();
        turns.clear();
    }

    /// Takes off the account what it has cost before it was admitted.
    pub fn charge_before(&self, cost: Duration) {
        let now = Instant::now();
        let accounts = accounts(&self.payer, self.from_shared);
        accounts.for_each(|account| account.take(cost, now));
    }
}

/// What was paid for before it is done. The rest is given back when this is dropped.
#[derive(Debug)]
pub struct Prepaid {
    payer: Arc<Payer>,
    from_shared: bool,
    paid: Duration,
}

impl Prepaid {
    /// It was done, and has cost this.
    pub fn charge(self, cost: Duration) {
        let now = Instant::now();
        let accounts = accounts(&self.payer, self.from_shared);
        accounts.for_each(|account| account.take(cost, now));
    }

    /// Who has paid.
    pub fn payer(&self) -> &Arc<Payer> {
        &self.payer
    }
}

impl Drop for Prepaid {
    fn drop(&mut self) {
        let accounts = accounts(&self.payer, self.from_shared);
        accounts.for_each(|account| account.give_back(self.paid));
    }
}

/// Waits until something of this payer may be done, and pays this much for it. The next ones wait no longer, whenever
/// it is done.
pub async fn prepay(payer: &Arc<Payer>, cost: Duration) -> Prepaid {
    let admitted = admit(payer).await;
    admitted.charge(cost);
    Prepaid {
        payer: payer.clone(),
        from_shared: admitted.from_shared,
        paid: cost,
    }
}

/// Takes something off the payer's own account, or off the one that all share if that is empty.
pub fn charge(payer: &Payer, cost: Duration) {
    let now = Instant::now();
    let from_shared = payer.time.account.empty_until(now).is_some();
    accounts(payer, from_shared).for_each(|account| account.take(cost, now));
}

/// What pays for something of this payer: an account that it shares, or its own and the total that it belongs to.
fn accounts(payer: &Payer, from_shared: bool) -> impl Iterator<Item = &Account> {
    let shared = &payer.shared;
    let (first, total) = match (from_shared, &shared.total) {
        (true, _) => (&shared.time.account, None),
        (false, total) => (&payer.time.account, total.as_ref()),
    };
    std::iter::once(first).chain(total.map(|total| &total.account))
}

/// Whether a request of this payer would be admitted at once.
pub fn is_free(payer: &Payer) -> bool {
    let now = Instant::now();
    let total = payer.shared.total.as_ref();
    payer.time.is_free(now) && total.is_none_or(|total| total.is_free(now))
}

/// Waits until a request of this payer may be handled. This holds a place in fair queues: whoever stores it must poll
/// it, or all who stand behind it wait too.
pub async fn admit(payer: &Arc<Payer>) -> Admitted {
    let mut turns = vec![payer.time.turn.clone().lock_owned().await];
    let mut from_shared = false;
    if let Some(own_at) = payer.time.account.empty_until(Instant::now()) {
        tokio::select! {
            () = sleep_until(own_at) => {}
            turn = payer.shared.time.take_turn() => {
                turns.push(turn);
                from_shared = true;
            }
        }
    }
    if let Some(total) = &payer.shared.total {
        // Who has no time of its own has waited for some of the others' who have none. It waits for the turn alone.
        turns.push(if from_shared {
            total.turn.clone().lock_owned().await
        } else {
            total.take_turn().await
        });
    }
    Admitted {
        payer: payer.clone(),
        from_shared,
        turns: Mutex::new(turns),
    }
}

/// Waits until something of this payer is followed by the next, which begins when everything else that is ready to run
/// has run. The turn is kept until then, so in each round one of those goes on who take it.
pub async fn others_run_first(payer: &Arc<Payer>) {
    let admitted = admit(payer).await;
    yield_now().await;
    drop(admitted);
}

#[cfg(test)]
mod tests;
