//! Whether a command waits for a device that is not logged in to. Then the device passes the queues in which thousands
//! of others wait.
//!
//! Decides nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The priority of one device among those that are to be logged in to.
#[derive(Debug, Default)]
pub(in crate::device) struct LoginPriority {
    is_raised: AtomicBool,
    changed: Notify,
}

impl LoginPriority {
    /// A command waits.
    pub fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The log-in has ended.
    pub fn reset(&self) {
        self.is_raised.store(false, Ordering::Release);
    }

    /// Waits until it is raised. For one waiter at a time.
    pub async fn raised(&self) {
        while !self.is_raised.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }
}
