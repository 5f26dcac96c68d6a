//! Ticks, and waiting for a time that there may not be.
//!
//! `select!` makes each of its futures in every turn, also those whose condition is false. Here a time that there
//! is not reads no clock and makes no timer.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

/// Ticks at once and then each period. A tick that comes late delays those after it: none is made up for.
pub fn ticks(period: Duration) -> Interval {
    ticks_after(Duration::ZERO, period)
}

/// As [`ticks`], but the first one comes after this time.
pub fn ticks_after(first: Duration, period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Sleeps until then; for ever if there is no such time.
pub async fn sleep_until_some(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
