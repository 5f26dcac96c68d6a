//! Values that are read only when metrics are requested: states of this moment, not counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The state of rooms and broker at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The configured rooms by id.
    pub rooms: BTreeMap<Arc<str>, RoomSample>,
    /// Whether the broker is connected; `None` if none is configured.
    pub broker_connected: Option<bool>,
    /// The cluster; `None` where this gateway is alone.
    pub cluster: Option<ClusterSample>,
}

/// The cluster as one of its gateways sees it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ClusterSample {
    /// How this gateway stands to it, in a word.
    pub state: &'static str,
    /// Requests to devices may begin: etcd acknowledges heartbeats.
    pub contact: bool,
    /// How long ago the last heartbeat was sent that etcd has acknowledged; `None` before the first one.
    pub heartbeat_age: Option<Duration>,
    /// The gateways that live.
    pub members: usize,
    /// The shards that this one owns.
    pub own_shards: usize,
    /// The rooms in them.
    pub own_rooms: usize,
    /// The shards that no live gateway owns.
    pub unowned_shards: usize,
    /// The other gateways whose configuration of the rooms differs from that of this one.
    pub differing_members: usize,
    /// The shards in which the gateways' configurations differ.
    pub differing_shards: usize,
    /// The rooms that differ in them, as far as the gateways have named them.
    pub differing_rooms: usize,
    /// The rooms whose device another gateway has under another name.
    pub device_conflicts: usize,
    /// The links to other gateways.
    pub links: usize,
    /// The links that are connected.
    pub links_connected: usize,
    /// The commands that it remembers as a deputy.
    pub remembered: usize,
    /// How many it could not remember since its start.
    pub forgotten: u64,
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
