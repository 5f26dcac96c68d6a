//! A permit that a device keeps only while it answers quickly.
//!
//! A device that takes longer costs this gateway no processor meanwhile, so another one may have the permit.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// If the end of a permit's time comes later than this, the processor is busy, not the device slow. Then the permit is
/// kept: another device would only make everything wait longer.
const LATE: Duration = Duration::from_millis(20);
/// How long it is kept then at most, in case the device is slow too.
const LONGEST_BUSY_PERMIT: Duration = Duration::from_secs(1);

/// A permit, which is free again when this is dropped or its time is over.
#[derive(Debug)]
pub(in crate::device) struct TimedPermit<P>(pub P);

impl<P> TimedPermit<P> {
    /// Asks a device something. The permit is free again when that has an answer, or after this time.
    pub async fn run_for<T>(self, longest: Duration, ask: impl Future<Output = T>) -> T {
        let mut ask = pin!(ask);
        let began = Instant::now();
        if let Ok(outcome) = timeout(longest, &mut ask).await {
            return outcome;
        }
        if began.elapsed() > longest + LATE
            && let Ok(outcome) = timeout(LONGEST_BUSY_PERMIT, &mut ask).await
        {
            return outcome;
        }
        drop(self);
        ask.await
    }
}
