//! Markers of the rooms that are heard, and what others may know of these rooms.
//!
//! Owns when a marker of this gateway is due, and what one that comes means. Publishes none: the caller does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Act, AfterLeaving, Arrival, HeardCommand, Hearing, Lane, Revision, RoomRole};

/// Markers.
impl<C: HeardCommand, R> Hearing<C, R> {
    /// The rooms of which a marker is to be published now, of those that can be heard, by what their marker says.
    pub fn markers(
        &mut self,
        can_hear: impl Fn(&Arc<str>) -> bool,
        now: Instant,
    ) -> BTreeMap<(Arrival, Revision), Vec<Arc<str>>> {
        let mut due = BTreeMap::<_, Vec<_>>::new();
        let rooms = &mut self.rooms;
        self.unmarked.retain(|room| {
            let Some(heard) = rooms.get_mut(room) else {
                return false;
            };
            if !heard.is_marker_due {
                return false;
            }
            if !can_hear(room) {
                return true;
            }
            let says = (heard.arrival, heard.revision);
            due.entry(says).or_default().push(room.clone());
            heard.is_marker_due = false;
            heard.marker_sent = Some(now);
            false
        });
        due
    }

    /// This gateway's marker came back.
    pub fn own_marker(&mut self, room: &str, lane: Lane) {
        let Some(heard) = self.rooms.get_mut(room) else {
            return;
        };
        // One of an earlier term says nothing of this one.
        if heard.marker_sent.is_some() {
            heard.awaits[lane.index()] = false;
        }
    }

    /// Another gateway's marker came.
    pub fn others_marker(
        &mut self,
        room: &str,
        lane: Lane,
        (arrival, revision): (Arrival, Revision),
        now: Instant,
    ) {
        let Some(heard) = self.rooms.get_mut(room) else {
            return;
        };
        let at = lane.index();
        // An earlier owner's was slow.
        if revision < heard.revision {
            return;
        }
        match (heard.role, arrival) {
            (RoomRole::Deputy, Arrival::TakenOverUnheard) => self.settle_for_other(room, lane),
            // The former owner is alive, and answers for what came before, but for what it has never heard.
            (RoomRole::Deputy, Arrival::Moved) => {
                if heard.after_leaving == AfterLeaving::Deaf {
                    heard.memory.keep_orphans(&mut self.usage);
                    if heard.memory.is_empty() {
                        self.remove(room);
                    }
                }
            }
            (RoomRole::Deputy, Arrival::TakenOver | Arrival::Begun) => {
                self.orphan(room, lane);
            }
            (RoomRole::Leaving, Arrival::Moved) => {
                heard.passed[at] = true;
                if heard.passed == [true; 2] {
                    self.leave(room);
                }
            }
            (RoomRole::Owner | RoomRole::Lost, _) | (RoomRole::Leaving, _) => {
                let is_deaf = heard.after_leaving == AfterLeaving::Deaf;
                self.dropped_results += heard.give_up(&mut self.usage, now);
                match arrival {
                    Arrival::TakenOverUnheard => self.settle_for_other(room, lane),
                    Arrival::TakenOver | Arrival::Begun => return self.orphan(room, lane),
                    Arrival::Moved => {}
                }
                if is_deaf {
                    self.remove(room);
                }
            }
        }
    }

    /// The owner of what came before this marker is gone. The new one settles what it has heard, but it may not have been
    /// the deputy for long: what gets no result is answered in the end.
    fn orphan(&mut self, room: &str, lane: Lane) {
        if let Some(heard) = self.rooms.get_mut(room) {
            heard.memory.orphan(lane);
            if heard.after_leaving == AfterLeaving::Deaf && heard.memory.is_empty() {
                self.remove(room);
            }
        }
    }

    /// The new owner has not heard what came before its marker in this lane.
    fn settle_for_other(&mut self, room: &str, lane: Lane) {
        if let Some(heard) = self.rooms.get_mut(room) {
            let remembered = heard.memory.take_lane(lane, &mut self.usage).into_iter();
            let settle = remembered.map(|it| Act::SettleForOther(it.command));
            self.acts.extend(settle);
        }
    }

    /// The connection is lost: markers that have not come back are sent again on the next one. Of a room that was
    /// released nothing more is to be heard.
    pub fn disconnected(&mut self) {
        let released = self
            .rooms
            .iter()
            .filter(|(_, heard)| heard.role == RoomRole::Leaving && heard.released.is_some());
        let released: Vec<_> = released.map(|(room, _)| room.clone()).collect();
        for room in released {
            self.leave(&room);
        }
        for (room, heard) in &mut self.rooms {
            heard.memory.cut_off();
            if heard.marker_sent.take().is_some() && heard.awaits != [false; 2] {
                heard.awaits = [true; 2];
                heard.is_marker_due = true;
                self.unmarked.insert(room.clone());
            }
        }
    }
}

/// What others may know.
impl<C: HeardCommand, R> Hearing<C, R> {
    /// Whether it is the owner, and every gateway that listens knows which commands are its own.
    pub fn is_established(&self, room: &str) -> bool {
        let heard = self.rooms.get(room);
        heard.is_some_and(|it| it.role == RoomRole::Owner && it.awaits == [false; 2])
    }

    /// Whether it publishes the states of this room. Those of a room that was released are the next owner's.
    pub fn publishes_states(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|heard| match heard.role {
            RoomRole::Owner | RoomRole::Lost => true,
            RoomRole::Leaving => heard.released.is_none(),
            RoomRole::Deputy => false,
        })
    }

    /// What it is for this room; `None` if it does not hear it.
    pub fn role(&self, room: &str) -> Option<RoomRole> {
        self.rooms.get(room).map(|heard| heard.role)
    }

    /// Every room that it hears, with what it is for it.
    pub fn roles(&self) -> impl Iterator<Item = (&Arc<str>, RoomRole)> {
        self.rooms.iter().map(|(room, heard)| (room, heard.role))
    }

    /// How many commands are remembered, and how many were forgotten because there were too many.
    pub fn remembered(&self) -> (usize, u64) {
        (self.usage.commands(), self.usage.forgotten)
    }

    /// What is remembered of a room, in order.
    #[cfg(test)]
    pub fn memory_of(&self, room: &str) -> Vec<C::Id> {
        let heard = self.rooms.get(room);
        heard.map_or_else(Vec::new, |heard| heard.memory.ids())
    }
}
