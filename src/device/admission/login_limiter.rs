//! How many devices are logged in to at once, so that a start with many rooms does not overload the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::priority_semaphore::PrioritySemaphore;

/// How many devices are logged in to at once. A start with many rooms must not overload the network.
const MOST_LOGINS_AT_ONCE: usize = 20;
/// How long a device that is being logged in to keeps its permit. Devices answer within a quarter of a second as a
/// rule. One that hangs would keep it for ten seconds; so 80 log-ins begin each second, whatever devices do.
pub(in crate::device) const LONGEST_LOGIN_PERMIT: Duration = Duration::from_millis(250);

/// Limits the log-ins of all rooms together: how many devices do their part of the work at a time, not how many are
/// waited for. Clones share the limit.
#[derive(Debug, Clone)]
pub struct LoginLimiter {
    permits: PrioritySemaphore,
    /// The devices that are being logged in to, wait for that, or are asked whether they still take a session. One that
    /// is slow to answer its log-in does not count any more.
    connecting: Arc<AtomicUsize>,
}

/// One such device, as long as this lives.
#[derive(Debug)]
pub(in crate::device) struct LoginInProgress(Arc<AtomicUsize>);

impl Drop for LoginInProgress {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for LoginLimiter {
    fn default() -> Self {
        Self {
            permits: PrioritySemaphore::new(MOST_LOGINS_AT_ONCE),
            connecting: Arc::default(),
        }
    }
}

impl LoginLimiter {
    /// A device is about to be logged in to, or to be asked whether it takes a session. It is known to be there, or is
    /// believed to be.
    pub(in crate::device) fn begin(&self) -> LoginInProgress {
        self.connecting.fetch_add(1, Ordering::Relaxed);
        LoginInProgress(self.connecting.clone())
    }

    /// Whether log-ins wait for each other.
    pub fn is_saturated(&self) -> bool {
        self.connecting.load(Ordering::Relaxed) > MOST_LOGINS_AT_ONCE
    }

    /// Saturated as long as what this gives lives.
    #[cfg(test)]
    pub fn saturate(&self) -> impl Sized + use<> {
        let begin = |_| self.begin();
        (0..=MOST_LOGINS_AT_ONCE).map(begin).collect::<Vec<_>>()
    }

    /// Waits until a log-in may run; its end is the permit's drop.
    pub(in crate::device) async fn acquire(
        &self,
        raised: impl Future<Output = ()>,
    ) -> Option<OwnedSemaphorePermit> {
        self.permits.acquire(raised).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_saturated_where_log_ins_wait_for_each_other() {
        let limiter = LoginLimiter::default();
        let mut connecting: Vec<_> = (0..MOST_LOGINS_AT_ONCE).map(|_| limiter.begin()).collect();
        assert!(!limiter.is_saturated());
        connecting.push(limiter.clone().begin());
        assert!(limiter.is_saturated());
        drop(connecting.pop());
        assert!(!limiter.is_saturated());
    }
}
