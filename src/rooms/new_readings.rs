//! What commands have read and the room has not applied yet.
//!
//! A reading is applied when it is made, not when its command ends: until then polls bring newer ones, which
//! it would undo.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::reading::Reading;

/// The readings of the commands of one room, in the order in which they were made.
#[derive(Debug, Default)]
pub struct NewReadings {
    readings: Mutex<Vec<Reading>>,
    made: Notify,
}

impl NewReadings {
    /// A reading was made.
    pub fn push(&self, reading: Reading) {
        let mut readings = self.readings.lock();
        readings.push(reading);
        self.made.notify_one();
    }

    /// Takes those that have been made.
    pub fn take(&self) -> Vec<Reading> {
        let mut readings = self.readings.lock();
        std::mem::take(&mut readings)
    }

    /// Waits until one was made.
    pub async fn made(&self) {
        self.made.notified().await;
    }
}
