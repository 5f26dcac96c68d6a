//! What thousands of rooms do at a start besides their log-ins goes by turns, so that commands get their part of the
//! processor (`docs/decisions/many-rooms-at-once.md`).
//!
//! Owns how many devices have their turn, and how long one is. Sends nothing.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::priority_semaphore::PrioritySemaphore;
use super::turn::Turn;

/// How many rooms that are logged in read their states for the first time while log-ins wait for each other.
const MOST_FIRST_READERS: usize = 20;
/// How many devices have their turn at a time. More would not be quicker where the processor is busy, and a command
/// beside them takes as many times longer as there are more of them.
const TURNS: usize = 8;
/// How long a turn is. A device that takes longer to answer costs this gateway no processor meanwhile, so another one
/// may have its turn: with slow devices 1600 begin each second.
pub(super) const LONGEST_TURN: Duration = Duration::from_millis(5);
/// How long a turn to connect is. Shorter ones would open all connections of a site long before the log-ins, which come
/// at 100 a second with slow devices: 160 begin each second.
pub(super) const LONGEST_CONNECT_TURN: Duration = Duration::from_millis(50);

/// Limits what rooms do at once before and after their log-ins. Clones share the limits.
#[derive(Debug, Clone)]
pub struct StartThrottle {
    turns: PrioritySemaphore,
    first_readers: Arc<Semaphore>,
}

impl Default for StartThrottle {
    fn default() -> Self {
        Self {
            turns: PrioritySemaphore::new(TURNS),
            first_readers: Arc::new(Semaphore::new(MOST_FIRST_READERS)),
        }
    }
}

impl StartThrottle {
    /// Lets a room read its states for the first time, if few others do. Its end is the permit's drop.
    pub fn first_reader(&self) -> Option<OwnedSemaphorePermit> {
        self.first_readers.clone().try_acquire_owned().ok()
    }

    /// Asks a device something when its turn has come. For what every room does after a start: if thousands did it at
    /// once, a command, a result or a sign of life would have to wait until the processor is through with all of them.
    pub async fn in_turn<T>(&self, ask: impl Future<Output = T>) -> T {
        self.turn(pending()).await.spend(LONGEST_TURN, ask).await
    }

    /// Waits for a turn. When there is a hurry, others are overtaken.
    pub(super) async fn turn(
        &self,
        hurry: impl Future<Output = ()>,
    ) -> Turn<Option<OwnedSemaphorePermit>> {
        Turn(self.turns.acquire(hurry).await)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::super::hurry::Hurry;
    use super::*;

    #[tokio::test]
    async fn a_hurry_can_begin_while_a_device_waits_in_line() {
        let throttle = StartThrottle::default();
        let hurry = Hurry::default();
        let asks = |hurry| throttle.turn(hurry);
        let turns: Vec<_> = (0..TURNS)
            .map(|_| throttle.turns.acquire(pending()).now_or_never().unwrap())
            .collect();
        let mut waits = pin!(asks(hurry.begun().boxed()));
        assert!(waits.as_mut().now_or_never().is_none());
        hurry.begin();
        waits.await;
        hurry.end();
        let mut waits = pin!(asks(hurry.begun().boxed()));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(turns);
        waits.await;
    }
}
