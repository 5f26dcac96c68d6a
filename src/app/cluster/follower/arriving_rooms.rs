//! The rooms of shards that this gateway gains, by how they come.
//!
//! Owns what that means for the MQTT door and for the rooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PlacedRooms;
use crate::cluster::{GainedShard, Predecessor};
use crate::doors::mqtt::{Arrival, SharedRooms};
use crate::rooms::PreviousOwner;

pub(super) struct ArrivingRooms {
    rooms: BTreeMap<Arrival, Vec<Arc<str>>>,
    /// Of the newest of these ownerships: all are from one look at the table.
    revision: u64,
}

impl ArrivingRooms {
    /// Those that are configured now.
    pub(super) fn of(shards: &[GainedShard], placed: &PlacedRooms) -> Self {
        let mut rooms = BTreeMap::<Arrival, Vec<Arc<str>>>::new();
        for gained in shards {
            let of_shard = placed.rooms_of(gained.held.shard);
            rooms.entry(arrival(gained)).or_default().extend(of_shard);
        }
        let revisions = shards.iter().map(|gained| gained.revision);
        Self {
            rooms,
            revision: revisions.max().unwrap_or_default(),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rooms.values().flatten()
    }

    /// Tells the MQTT door that they are this gateway's.
    pub(super) fn tell(&self, shared: &SharedRooms) {
        for (arrival, rooms) in &self.rooms {
            shared.arrive(rooms, *arrival, self.revision);
        }
    }

    pub(super) fn by_previous_owner(&self) -> impl Iterator<Item = (&[Arc<str>], PreviousOwner)> {
        let previous_owner = |arrival: &Arrival| match arrival {
            Arrival::New => PreviousOwner::Nobody,
            Arrival::HandedOver | Arrival::TakenOver | Arrival::TakenBack => {
                PreviousOwner::AnotherGateway
            }
        };
        (self.rooms.iter()).map(move |(arrival, rooms)| (&rooms[..], previous_owner(arrival)))
    }
}

/// A gateway that died and is back under its name takes back what was its own.
fn arrival(gained: &GainedShard) -> Arrival {
    match &gained.predecessor {
        Predecessor::Dead(owner) if owner.name == gained.owner.name => Arrival::TakenBack,
        Predecessor::Dead(_) => Arrival::TakenOver,
        Predecessor::HandedOver => Arrival::HandedOver,
        Predecessor::None => Arrival::New,
    }
}
