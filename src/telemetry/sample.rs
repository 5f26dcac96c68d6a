//! What is looked up when somebody asks, because counting each change would say nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of rooms and broker at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The configured rooms by id.
    pub rooms: BTreeMap<Arc<str>, RoomSample>,
    /// The broker; `None` if none is configured.
    pub broker: Option<BrokerSample>,
}

/// The state of one room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RoomSample {
    /// The gateway is logged in to its device.
    pub online: bool,
    /// Its first attempt to reach the device has ended, whatever the result.
    pub known: bool,
    /// How many commands wait in its queue.
    pub waiting: usize,
}

/// The state of the connection to the broker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BrokerSample {
    /// It is connected now.
    pub connected: bool,
    /// How many connections have come up since the start.
    pub connects: u64,
    /// How many events were dropped because the broker read too slowly.
    pub dropped_events: u64,
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
