//! How a room's task is asked to stop.
//!
//! Stops nothing itself: the task looks at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Asks a room's task to stop.
#[derive(Debug, Clone, Default)]
pub struct StopSignal {
    asked: CancellationToken,
    hands_over: Arc<AtomicBool>,
    deadline: Arc<OnceLock<Instant>>,
}

impl StopSignal {
    /// The task finishes what it began, releases the session and ends. What still runs at `deadline` is given up.
    pub fn stop(&self, deadline: Instant) {
        // It is asked once.
        let _ = self.deadline.set(deadline);
        self.asked.cancel();
    }

    /// The task carries out the commands that wait, finishes what it began and ends. The session is left to the gateway
    /// that has the room next.
    pub fn hand_over(&self) {
        self.hands_over.store(true, Ordering::Release);
        self.asked.cancel();
    }

    /// Until when the task may finish what it began, if there is an end.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// Waits until it is asked.
    pub async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Whether the session is left to another gateway.
    pub fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Acquire)
    }
}
