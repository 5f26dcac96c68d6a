//! The camera stops that ended rooms leave to the room that has their device now.
//!
//! Sends nothing: the room's task takes them, as if it had started the cameras itself.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::camera_stops::CameraStops;

/// What others have left, and the room's task has not taken yet.
#[derive(Debug, Default)]
pub struct LeftStops {
    stops: Mutex<CameraStops>,
    left: Notify,
}

impl LeftStops {
    /// Another room of this device has ended and leaves these.
    pub fn leave(&self, stops: CameraStops) {
        self.stops.lock().append(stops);
        self.left.notify_one();
    }

    /// Takes all of them.
    pub fn take(&self) -> CameraStops {
        std::mem::take(&mut *self.stops.lock())
    }

    /// Waits until there are some.
    pub async fn left(&self) {
        self.left.notified().await;
    }
}
