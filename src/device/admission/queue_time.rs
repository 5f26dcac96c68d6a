//! How long a device has waited in the queues in which the devices of a gateway wait for each other.
//!
//! It is left out where the time of a device's answer is measured: it says nothing about the device.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The queue time of one device.
#[derive(Debug, Default)]
pub(in crate::device) struct QueueTime(watch::Sender<Waits>);

#[derive(Debug, Default, Clone, Copy)]
struct Waits {
    /// How long the waits took together that have ended.
    ended: Duration,
    /// How many go on, and since when there is one.
    going_on: usize,
    began: Option<Instant>,
}

impl Waits {
    fn total(&self, now: Instant) -> Duration {
        let going_on = self.began.map(|began| now.duration_since(began));
        self.ended + going_on.unwrap_or_default()
    }
}

/// A wait that goes on as long as this lives.
struct Wait<'a>(&'a QueueTime);

impl<'a> Wait<'a> {
    fn begin(waits: &'a QueueTime) -> Self {
        waits.0.send_modify(|waits| {
            waits.going_on += 1;
            waits.began.get_or_insert_with(Instant::now);
        });
        Self(waits)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|waits| {
            waits.going_on = waits.going_on.saturating_sub(1);
            if waits.going_on == 0 {
                waits.ended = waits.total(Instant::now());
                waits.began = None;
            }
        });
    }
}

impl QueueTime {
    /// Counts a wait in a queue.
    pub async fn track<T>(&self, wait: impl Future<Output = T>) -> T {
        let _wait = Wait::begin(self);
        wait.await
    }

    /// How long all waits took so far.
    pub fn total(&self) -> Duration {
        self.0.borrow().total(Instant::now())
    }

    /// Ends when this much time has passed from now on, not counting the waits in queues.
    pub async fn timeout_without_queueing(&self, time: Duration) {
        let began = Instant::now();
        let mut changes = self.0.subscribe();
        let before = changes.borrow().total(began);
        loop {
            let waits = *changes.borrow_and_update();
            let end = match waits.going_on {
                0 => Some(began + time + waits.ended.saturating_sub(before)),
                _ => None,
            };
            let changed = changes.changed();
            let changed = match end {
                Some(end) => timeout_at(end, changed).await,
                None => Ok(changed.await),
            };
            match changed {
                Err(_) => return,
                Ok(Ok(())) => {}
                // The sender is `self`.
                Ok(Err(_)) => pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_the_time_beside_the_waits_counts() {
        let (waits, began) = (QueueTime::default(), Instant::now());
        let device = async {
            waits.track(sleep(3 * SECOND)).await;
            sleep(5 * SECOND).await;
            // Two at the same time count once.
            tokio::join!(waits.track(sleep(20 * SECOND)), async {
                sleep(10 * SECOND).await;
                waits.track(sleep(20 * SECOND)).await;
            });
            pending::<()>().await;
        };
        tokio::select! {
            () = device => {}
            () = waits.timeout_without_queueing(10 * SECOND) => {}
        }
        assert_eq!(began.elapsed(), (3 + 5 + 30 + 5) * SECOND);
        assert_eq!(waits.total(), 33 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_has_begun_before_counts_from_now_on() {
        let waits = QueueTime::default();
        let waiting = waits.track(sleep(10 * SECOND));
        let (counted, ()) = tokio::join!(
            async {
                sleep(4 * SECOND).await;
                let began = Instant::now();
                waits.timeout_without_queueing(SECOND).await;
                began.elapsed()
            },
            waiting
        );
        assert_eq!(counted, 7 * SECOND);
    }
}
