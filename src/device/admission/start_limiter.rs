//! How many devices do at once what thousands of them do at a start besides their log-ins.
//!
//! Owns how many devices have a permit, and for how long. Sends nothing.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::priority_semaphore::PrioritySemaphore;
use super::timed_permit::TimedPermit;

/// How many rooms that are logged in read their states for the first time while log-ins wait for each other.
const MOST_FIRST_READERS: usize = 20;
/// How many devices have a permit at a time. More would not be quicker where the processor is busy, and a command
/// beside them takes as many times longer as there are more of them.
const PERMITS: usize = 8;
/// How long a device has its permit. One that takes longer to answer costs this gateway no processor meanwhile, so
/// another one may have the permit: with slow devices 1600 begin each second.
pub(in crate::device) const LONGEST_START_PERMIT: Duration = Duration::from_millis(5);
/// How long a device has its permit to connect. A shorter time would open all connections of a site long before the
/// log-ins, which come at 100 a second with slow devices: 160 begin each second.
pub(in crate::device) const LONGEST_CONNECT_PERMIT: Duration = Duration::from_millis(50);

/// Limits what rooms do at once before and after their log-ins. Clones share the limits.
#[derive(Debug, Clone)]
pub struct StartLimiter {
    permits: PrioritySemaphore,
    first_readers: Arc<Semaphore>,
}

impl Default for StartLimiter {
    fn default() -> Self {
        Self {
            permits: PrioritySemaphore::new(PERMITS),
            first_readers: Arc::new(Semaphore::new(MOST_FIRST_READERS)),
        }
    }
}

impl StartLimiter {
    /// Lets a room read its states for the first time, if few others do. Its end is the permit's drop.
    pub fn first_reader(&self) -> Option<OwnedSemaphorePermit> {
        self.first_readers.clone().try_acquire_owned().ok()
    }

    /// Asks a device something when it has a permit. For what every room does after a start: if thousands did it at
    /// once, a command, a result or a sign of life would have to wait until the processor is through with all of them.
    pub async fn run<T>(&self, ask: impl Future<Output = T>) -> T {
        let permit = self.permit(pending()).await;
        permit.run_for(LONGEST_START_PERMIT, ask).await
    }

    /// Waits for a permit. Once `raised` ends, it passes the others that wait.
    pub(in crate::device) async fn permit(
        &self,
        raised: impl Future<Output = ()>,
    ) -> TimedPermit<Option<OwnedSemaphorePermit>> {
        TimedPermit(self.permits.acquire(raised).await)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::super::login_priority::LoginPriority;
    use super::*;

    #[tokio::test]
    async fn a_priority_can_be_raised_while_a_device_waits() {
        let limiter = StartLimiter::default();
        let priority = LoginPriority::default();
        let asks = |raised| limiter.permit(raised);
        let permits: Vec<_> = (0..PERMITS)
            .map(|_| limiter.permits.acquire(pending()).now_or_never().unwrap())
            .collect();
        let mut waits = pin!(asks(priority.raised().boxed()));
        assert!(waits.as_mut().now_or_never().is_none());
        priority.raise();
        waits.await;
        priority.reset();
        let mut waits = pin!(asks(priority.raised().boxed()));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(permits);
        waits.await;
    }
}
