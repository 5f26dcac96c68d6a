//! An account of processor time.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time that comes back at a steady rate, up to a most.
#[derive(Debug)]
pub struct Account {
    most: Duration,
    /// More than this is not owed.
    most_owed: Duration,
    /// A millisecond comes back in so many.
    millisecond_in: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the account is full again if nothing is taken.
    full_at: Option<Instant>,
}

impl Account {
    /// A full account of so much, of which a millisecond comes back in so many.
    pub fn new(most: Duration, most_owed: Duration, millisecond_in: u32) -> Self {
        Self {
            most,
            most_owed,
            millisecond_in,
            state: Mutex::new(State { full_at: None }),
        }
    }

    /// When there is some time in it; `None` if there is now.
    pub fn empty_until(&self, now: Instant) -> Option<Instant> {
        let fills_in = self.most * self.millisecond_in;
        let some_at = self.state.lock().full_at?.checked_sub(fills_in)?;
        (some_at > now).then_some(some_at)
    }

    /// Whether nothing of it is used.
    pub fn is_full(&self, now: Instant) -> bool {
        self.state
            .lock()
            .full_at
            .is_none_or(|full_at| full_at <= now)
    }

    /// Takes this off, now.
    pub fn take(&self, cost: Duration, now: Instant) {
        let mut state = self.state.lock();
        let from = state.full_at.filter(|full_at| *full_at > now);
        let latest = now + (self.most + self.most_owed) * self.millisecond_in;
        let full_at = from.unwrap_or(now) + cost * self.millisecond_in;
        state.full_at = Some(full_at.min(latest));
    }

    /// Something that was taken was not used.
    pub fn give_back(&self, cost: Duration) {
        let mut state = self.state.lock();
        let full_at = state.full_at.take();
        state.full_at = full_at.and_then(|at| at.checked_sub(cost * self.millisecond_in));
    }
}
