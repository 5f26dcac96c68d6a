//! The rooms that nobody has, and those that may not start here yet.
//!
//! A room that no gateway has, that its shard's gateway does not know, or whose device another gateway has under
//! another name is `offline` at the broker, and one gateway says so. A room whose device another gateway still has
//! starts when that one has let go of it. Owns none of the rooms: the follower does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{FORGET_AFTER, Follower, Told};
use crate::app::cluster::placed_rooms::{NO_OWNER, device_elsewhere, not_configured};
use crate::cluster::link::tell_no_owner;
use crate::cluster::{ClusterState, ClusterView, RoomConflicts, shard_of};
use crate::rooms::PreviousOwner;

impl Follower {
    /// Whether a room is not, or no longer, at this gateway.
    pub(super) fn is_gone(&self, room: &str) -> bool {
        self.placed.phase(shard_of(room)).is_none() || !self.placed.has_configured(room)
    }

    /// What only time changes.
    pub(super) fn look(&mut self) {
        let (over, rest) = std::mem::take(&mut self.gone)
            .into_iter()
            .partition(|(since, _)| since.elapsed() >= FORGET_AFTER);
        self.gone = rest;
        let over: Vec<(Instant, Arc<str>)> = over;
        for (_, room) in over {
            if self.is_gone(&room) {
                self.store.take_room_quietly(&room);
            }
        }
        self.placed.look();
        self.tell_unowned();
        // An owner may be missing for too long now.
        self.speak(&self.placed.view());
    }

    /// Starts the rooms that had to wait, as far as they may start now, and finds those that have to wait.
    pub(super) async fn start_waiting(&mut self) {
        let before = std::mem::take(&mut self.waiting);
        let waits = |room: &str| !self.placed.may_start(room) && !self.rooms.is_running(room);
        self.waiting.extend(self.placed.rooms_here(waits));
        let conflicts = self.placed.view().conflicts;
        let why = |room: &Arc<str>| (room.clone(), why_blocked(&conflicts, room));
        self.placed
            .set_waiting(self.waiting.iter().map(why).collect());
        let may_start: Vec<_> = before.difference(&self.waiting).cloned().collect();
        for room in self.no_longer_unowned(&may_start) {
            self.store.take_room_quietly(&room);
        }
        self.arrive(&may_start, PreviousOwner::AnotherGateway).await;
    }

    /// These rooms are this gateway's now, so it does not speak for them as for rooms that nobody has. Gives those that
    /// it spoke for.
    pub(super) fn no_longer_unowned<'a>(
        &mut self,
        rooms: impl IntoIterator<Item = &'a Arc<str>>,
    ) -> Vec<Arc<str>> {
        let spoken_for = rooms.into_iter().cloned();
        let spoken_for = spoken_for.filter(|room| self.unowned.remove(room).is_some());
        let spoken_for: Vec<_> = spoken_for.collect();
        if let Some(shared) = self.shared.as_ref().filter(|_| !spoken_for.is_empty()) {
            shared.speak_for(self.unowned.keys().cloned());
        }
        spoken_for
    }

    /// The rooms that nobody has for longer than a move takes, as far as this gateway is the one to say so.
    fn find_unowned(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let view = self.placed.view();
        let mut unowned = BTreeMap::new();
        if view.state != ClusterState::Ok {
            return unowned;
        }
        if is_speaker(&view) {
            let rooms = self.placed.rooms_of_all(self.placed.long_unowned());
            unowned.extend(rooms.into_iter().map(|room| (room, NO_OWNER.into())));
        }
        let ownerless = view.conflicts.ownerless.iter().filter(|(_, it)| it.tells);
        unowned.extend(ownerless.map(|(room, it)| (room.clone(), not_configured(&it.owner))));
        for room in &self.waiting {
            unowned.extend(why_blocked(&view.conflicts, room).map(|why| (room.clone(), why)));
        }
        unowned
    }

    /// Says at the broker which rooms nobody has. One gateway does that.
    fn tell_unowned(&mut self) {
        let Some(shared) = self.shared.clone() else {
            return;
        };
        let view = self.placed.view();
        let unowned = self.find_unowned();
        if unowned == self.unowned {
            return;
        }
        shared.speak_for(unowned.keys().cloned());
        for room in self.unowned.keys() {
            if !unowned.contains_key(room) && !self.rooms.is_running(room) {
                self.store.take_room_quietly(room);
            }
        }
        for (room, why) in &unowned {
            if self.unowned.get(room) != Some(why) {
                self.store.take_room_quietly(room);
                tell_no_owner(&self.store, room, why);
            }
        }
        let is_ownerless = |room: &&Arc<str>| view.conflicts.ownerless.contains_key(*room);
        let new = unowned
            .keys()
            .filter(|room| !self.unowned.contains_key(*room));
        shared.answer_for(new.filter(is_ownerless), view.revision);
        let before = std::mem::replace(&mut self.unowned, unowned);
        for room in before.into_keys() {
            if self.unowned.contains_key(&room) {
                continue;
            }
            let memory = self.memory(shard_of(&room));
            if matches!(memory.told, Told::Role(_)) {
                memory.told = Told::Nothing;
            }
        }
        self.tell_roles(&view);
    }
}

/// Why a room may not start here, if another gateway has its device under another name.
fn why_blocked(conflicts: &RoomConflicts, room: &str) -> Option<Arc<str>> {
    let conflict = conflicts.devices.get(room).filter(|it| it.blocks)?;
    Some(device_elsewhere(&conflict.member))
}

/// Whether this gateway is the one that speaks for all.
pub(super) fn is_speaker(view: &ClusterView) -> bool {
    let is_member = !matches!(view.state, ClusterState::Joining | ClusterState::Ended);
    // The members are in the order of their names.
    let first = view.members.first();
    is_member && first.is_some_and(|first| *first.name == *view.me)
}
