//! A client whose messages are refused is slowed down: each costs work and an event of the gateway, and
//! an honest client is rarely refused.
//!
//! Counts refusals of one client. Decides nothing about its packets.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep};

use super::limits::{REFUSAL_PAUSE, REFUSALS_AT_ONCE};
use crate::telemetry::Telemetry;

/// What was refused of one client lately.
pub struct RefusalThrottle {
    /// Each refusal moves it by [`REFUSAL_PAUSE`]. It is never in the past for long.
    all_over: Instant,
    pause: Option<Pin<Box<Sleep>>>,
    telemetry: Arc<Telemetry>,
}

impl RefusalThrottle {
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self {
            all_over: Instant::now(),
            pause: None,
            telemetry,
        }
    }

    /// A message or subscription was refused, or given to the gateway alone to refuse it.
    pub fn refused(&mut self) {
        let now = Instant::now();
        self.all_over = self.all_over.max(now) + REFUSAL_PAUSE;
        if self.all_over > now + REFUSAL_PAUSE * REFUSALS_AT_ONCE {
            self.telemetry.broker_limited("refusals");
            self.pause = Some(Box::pin(sleep(REFUSAL_PAUSE)));
        }
    }

    /// Ready if the next packet may be looked at.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_all_the_time_is_slowed_down_and_others_are_not() {
        let mut refusals = RefusalThrottle::new(Arc::default());
        let start = Instant::now();
        for _ in 0..REFUSALS_AT_ONCE {
            refusals.refused();
            poll_fn(|cx| refusals.poll_over(cx)).await;
        }
        assert!(start.elapsed().is_zero());
        for _ in 0..REFUSALS_AT_ONCE {
            refusals.refused();
            poll_fn(|cx| refusals.poll_over(cx)).await;
        }
        assert!(start.elapsed() >= REFUSAL_PAUSE * REFUSALS_AT_ONCE);
        // After a while without a refusal it has all its allowance again.
        tokio::time::advance(REFUSAL_PAUSE * REFUSALS_AT_ONCE).await;
        let later = Instant::now();
        for _ in 0..REFUSALS_AT_ONCE {
            refusals.refused();
            poll_fn(|cx| refusals.poll_over(cx)).await;
        }
        assert!(later.elapsed().is_zero());
    }
}
