//! Values that are read only when metrics are requested: states of this moment, not counts.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of rooms and broker at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The configured rooms by id.
    pub rooms: BTreeMap<Arc<str>, RoomSample>,
    /// Whether the broker is connected; `None` if none is configured.
    pub broker_connected: Option<bool>,
}

/// The state of one room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RoomSample {
    /// The gateway is logged in to its device.
    pub online: bool,
    /// Its first attempt to reach the device has ended, with or without success.
    pub known: bool,
    /// How many commands wait in its queue.
    pub waiting: usize,
}

impl Sample {
    /// How many rooms' devices can be used.
    pub fn rooms_online(&self) -> usize {
        self.rooms.values().filter(|room| room.online).count()
    }

    /// How many rooms have not finished their first attempt to reach their device.
    pub fn rooms_starting(&self) -> usize {
        self.rooms.values().filter(|room| !room.known).count()
    }
}
