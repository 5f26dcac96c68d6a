//! Whether somebody waits for this device, so that it does not stand in line with thousands of others.
//!
//! Set while a command waits for a device that is not logged in to. Decides nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The hurry of one device.
#[derive(Debug, Default)]
pub(super) struct Hurry {
    is_on: AtomicBool,
    changed: Notify,
}

impl Hurry {
    /// A command waits.
    pub fn begin(&self) {
        self.is_on.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The log-in has ended.
    pub fn end(&self) {
        self.is_on.store(false, Ordering::Release);
    }

    /// Waits until there is a hurry. For one who waits at a time.
    pub async fn begun(&self) {
        while !self.is_on.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }
}
