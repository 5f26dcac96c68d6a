//! A turn: one of few places, for as long as a device answers quickly.
//!
//! A device that takes longer costs this gateway no processor meanwhile, so another one may have the place. Sends
//! nothing.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// If the end of a turn comes later than this, the processor is busy, not the device slow. Then the turn goes on:
/// another one would only make everything wait longer.
const LATE: Duration = Duration::from_millis(20);
/// How long such a turn goes on at most, in case the device is slow too.
const LONGEST_BUSY_TURN: Duration = Duration::from_secs(1);

/// A place, which is free again when this is dropped or the turn is over.
#[derive(Debug)]
pub(super) struct Turn<P>(pub P);

impl<P> Turn<P> {
    /// Asks a device something. The turn is over when that has an answer, or after this time.
    pub async fn spend<T>(self, longest: Duration, ask: impl Future<Output = T>) -> T {
        let mut ask = pin!(ask);
        let began = Instant::now();
        if let Ok(outcome) = timeout(longest, &mut ask).await {
            return outcome;
        }
        if began.elapsed() > longest + LATE
            && let Ok(outcome) = timeout(LONGEST_BUSY_TURN, &mut ask).await
        {
            return outcome;
        }
        drop(self);
        ask.await
    }
}
