//! Whether requests may begin at a device that several gateways share.
//!
//! The device knows nothing of gateways, so the one that has lost a room must stop by itself. The client asks
//! before each attempt, before a log-in, and each time a request makes progress until it is answered. Owns
//! only the question; who answers it knows the other gateways.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::problem::{Problem, ProblemCode};

/// Answers whether requests may begin now.
pub trait Fence: Debug + Send + Sync {
    /// Asked often, also while a request is under way.
    ///
    /// # Errors
    /// No request may begin at this moment, and why.
    fn check(&self) -> Result<(), FenceClosed>;
}

/// The fence of one device; a gateway that is alone has none, and asks nobody.
#[derive(Debug, Clone, Default)]
pub struct DeviceFence(Option<Arc<dyn Fence>>);

/// Why this gateway may not ask the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FenceClosed {
    /// The cluster's etcd has not acknowledged a heartbeat in time.
    #[error(
        "this gateway has no contact with the cluster's etcd, so it does not use the device: another gateway may have \
         taken the room over"
    )]
    NoCluster,
    /// The room is not this gateway's, or not any more.
    #[error(
        "this gateway has not got the room any more, so it does not use the device: another gateway may have taken the \
         room over"
    )]
    NotOwner,
}

impl DeviceFence {
    /// Asks this one.
    pub fn new(fence: Arc<dyn Fence>) -> Self {
        Self(Some(fence))
    }

    /// Whether there is one to be asked.
    pub fn exists(&self) -> bool {
        self.0.is_some()
    }

    /// # Errors
    /// No request may begin now.
    pub fn check(&self) -> Result<(), FenceClosed> {
        self.0.as_ref().map_or(Ok(()), |fence| fence.check())
    }

    /// Runs `request` as long as the fence is open. It is asked right before each step, so that no bytes go
    /// after a wait for a connection in which the fence has closed.
    ///
    /// # Errors
    /// The fence has closed: `request` was dropped, and its connection with it.
    pub async fn guard<T>(&self, request: impl Future<Output = T>) -> Result<T, FenceClosed> {
        let mut request = pin!(request);
        std::future::poll_fn(|context| match self.check() {
            Ok(()) => request.as_mut().poll(context).map(Ok),
            Err(closed) => Poll::Ready(Err(closed)),
        })
        .await
    }
}

impl From<FenceClosed> for Problem {
    fn from(closed: FenceClosed) -> Self {
        Self::new(ProblemCode::NoCluster, closed.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[derive(Debug)]
    struct Switch(AtomicBool);

    impl Fence for Switch {
        fn check(&self) -> Result<(), FenceClosed> {
            if self.0.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err(FenceClosed::NotOwner)
            }
        }
    }

    #[tokio::test]
    async fn a_step_after_the_fence_has_closed_is_not_made() {
        let switch = Arc::new(Switch(AtomicBool::new(true)));
        let fence = DeviceFence::new(switch.clone());
        let (connected, waits) = oneshot::channel();
        let sent = AtomicBool::new(false);
        let request = async {
            waits.await.unwrap();
            sent.store(true, Ordering::SeqCst);
        };
        let mut guarded = pin!(fence.guard(request));
        assert!((&mut guarded).now_or_never().is_none());
        switch.0.store(false, Ordering::SeqCst);
        connected.send(()).unwrap();
        assert_eq!(guarded.await, Err(FenceClosed::NotOwner));
        assert!(!sent.load(Ordering::SeqCst));
        assert_eq!(fence.check(), Err(FenceClosed::NotOwner));
    }

    #[tokio::test]
    async fn without_a_fence_everything_may_begin() {
        let fence = DeviceFence::default();
        assert_eq!(fence.check(), Ok(()));
        assert_eq!(fence.guard(async { 5 }).await, Ok(5));
    }
}
