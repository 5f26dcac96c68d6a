//! A limit on how many devices do something at once. A device for which a command waits does not queue behind thousands
//! of others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many devices for which commands wait may pass the queue at the same time, at each such limit.
const MOST_URGENT: usize = 20;

/// A semaphore with permits of their own for the urgent. Clones share the permits.
#[derive(Debug, Clone)]
pub(super) struct PrioritySemaphore {
    queue: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
}

impl PrioritySemaphore {
    /// `permits`: for all. [`MOST_URGENT`] more are for the urgent.
    pub fn new(permits: usize) -> Self {
        Self {
            queue: Arc::new(Semaphore::new(permits)),
            urgent: Arc::new(Semaphore::new(MOST_URGENT)),
        }
    }

    /// A permit of the queue in which all wait, or, once `raised` ends, one for the urgent: whichever comes first.
    /// `None` only if they were closed, which they never are.
    pub async fn acquire(&self, raised: impl Future<Output = ()>) -> Option<OwnedSemaphorePermit> {
        let urgent = async {
            raised.await;
            self.urgent.clone().acquire_owned().await
        };
        let permit = tokio::select! {
            biased;
            permit = self.queue.clone().acquire_owned() => permit,
            permit = urgent => permit,
        };
        permit.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt as _;

    use super::*;

    const PERMITS: usize = 3;

    #[test]
    fn a_device_for_which_a_command_waits_overtakes_others() {
        let semaphore = PrioritySemaphore::new(PERMITS);
        let permit = |is_urgent: bool| {
            let semaphore = semaphore.clone();
            let raised = async move {
                if !is_urgent {
                    pending::<()>().await;
                }
            };
            Box::pin(async move { semaphore.acquire(raised).await })
        };
        let permits: Vec<_> = (0..PERMITS)
            .map(|_| permit(false).now_or_never().flatten().unwrap())
            .collect();
        let mut waits = permit(false);
        assert!((&mut waits).now_or_never().is_none());
        let urgent = permit(true).now_or_never().flatten();
        assert!(urgent.is_some());
        drop(permits);
        assert!(waits.now_or_never().flatten().is_some());
    }
}
