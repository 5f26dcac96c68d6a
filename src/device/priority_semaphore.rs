//! A limit on how many devices do something at once. A device for which a command waits does not stand in line behind
//! thousands of others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many devices for which commands wait need not stand in line, at each such limit.
const MOST_URGENT: usize = 20;

/// A semaphore with permits of their own for the urgent. Clones share the permits.
#[derive(Debug, Clone)]
pub(super) struct PrioritySemaphore {
    line: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
}

impl PrioritySemaphore {
    /// With so many permits for all, and [`MOST_URGENT`] more for the urgent.
    pub fn new(permits: usize) -> Self {
        Self {
            line: Arc::new(Semaphore::new(permits)),
            urgent: Arc::new(Semaphore::new(MOST_URGENT)),
        }
    }

    /// A permit of the line in which all wait, or, when there is a hurry, one for the urgent: whichever comes first.
    /// `None` only if they were closed, which they never are.
    pub async fn acquire(&self, hurry: impl Future<Output = ()>) -> Option<OwnedSemaphorePermit> {
        let urgent = async {
            hurry.await;
            self.urgent.clone().acquire_owned().await
        };
        let permit = tokio::select! {
            biased;
            permit = self.line.clone().acquire_owned() => permit,
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
        let turn = |hurry: bool| {
            let semaphore = semaphore.clone();
            let hurry = async move {
                if !hurry {
                    pending::<()>().await;
                }
            };
            Box::pin(async move { semaphore.acquire(hurry).await })
        };
        let permits: Vec<_> = (0..PERMITS)
            .map(|_| turn(false).now_or_never().flatten().unwrap())
            .collect();
        let mut waits = turn(false);
        assert!((&mut waits).now_or_never().is_none());
        let urgent = turn(true).now_or_never().flatten();
        assert!(urgent.is_some());
        drop(permits);
        assert!(waits.now_or_never().flatten().is_some());
    }
}
