//! The rooms of shards that this gateway gains, by who had them before.
//!
//! Owns what that means for the MQTT door and for the rooms.

use std::sync::Arc;

use super::PlacedRooms;
use crate::cluster::{GainedShard, Predecessor};
use crate::doors::mqtt::SharedRooms;
use crate::rooms::PreviousOwner;

pub(super) struct ArrivingRooms {
    /// Their owner has handed them over.
    moved: Vec<Arc<str>>,
    /// Their owner is dead.
    taken_over: Vec<Arc<str>>,
    /// Their owner was this gateway, before its process was started again.
    taken_back: Vec<Arc<str>>,
    /// Nobody had them.
    new: Vec<Arc<str>>,
    /// Of the newest of these ownerships: all are from one look at the table.
    revision: u64,
}

impl ArrivingRooms {
    /// Those that are configured now.
    pub(super) fn of(shards: &[GainedShard], placed: &PlacedRooms) -> Self {
        let mut arriving = Self {
            moved: Vec::new(),
            taken_over: Vec::new(),
            taken_back: Vec::new(),
            new: Vec::new(),
            revision: 0,
        };
        for gained in shards {
            let rooms = placed.rooms_of(gained.held.shard);
            match &gained.predecessor {
                Predecessor::Dead(owner) if owner.name == gained.owner.name => {
                    arriving.taken_back.extend(rooms);
                }
                Predecessor::Dead(_) => arriving.taken_over.extend(rooms),
                Predecessor::HandedOver => arriving.moved.extend(rooms),
                Predecessor::None => arriving.new.extend(rooms),
            }
            arriving.revision = arriving.revision.max(gained.revision);
        }
        arriving
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = [&self.moved, &self.taken_over, &self.taken_back, &self.new];
        all.into_iter().flatten()
    }

    /// Tells the MQTT door that they are this gateway's.
    pub(super) fn tell(&self, shared: &SharedRooms) {
        shared.take_over(&self.taken_over, self.revision);
        shared.take_back(&self.taken_back, self.revision);
        shared.begin(&self.new, self.revision);
        shared.move_in(&self.moved, self.revision);
    }

    pub(super) fn by_previous_owner(&self) -> [(&[Arc<str>], PreviousOwner); 4] {
        [
            (&self.taken_over, PreviousOwner::AnotherGateway),
            (&self.taken_back, PreviousOwner::AnotherGateway),
            (&self.moved, PreviousOwner::AnotherGateway),
            (&self.new, PreviousOwner::Nobody),
        ]
    }
}
