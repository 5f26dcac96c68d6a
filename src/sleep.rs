//! Waiting for a time that there may not be.
//!
//! `select!` makes each of its futures in every turn, also those whose condition is false. Here a time that there
//! is not reads no clock and makes no timer.

use tokio::time::{Instant, sleep_until};

/// Sleeps until then; for ever if there is no such time.
pub async fn sleep_until_some(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
