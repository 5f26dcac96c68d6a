//! Markers of the rooms that are subscribed to, and what others may know of these rooms.
//!
//! Owns when a marker of this gateway is due, and what one that comes means. Publishes none: the caller does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{
    AfterLeaving, Arrival, CommandAction, CommandArbiter, QosLane, ROOMS_A_MARKER, Revision,
    RoomCommand, RoomRole,
};

/// Markers.
impl<C: RoomCommand, R> CommandArbiter<C, R> {
    /// The rooms of which a marker is to be published now, of those whose subscription is granted, by what
    /// their marker says. Takes so many rooms that `most` markers name them all; the others stay due.
    pub fn markers(
        &mut self,
        is_subscribed: impl Fn(&Arc<str>) -> bool,
        most: usize,
        now: Instant,
    ) -> BTreeMap<(Arrival, Revision), Vec<Arc<str>>> {
        let mut due = BTreeMap::<_, Vec<_>>::new();
        let mut markers = 0;
        let rooms = &mut self.rooms;
        self.unmarked.retain(|room| {
            let Some(subscribed) = rooms.get_mut(room) else {
                return false;
            };
            if !subscribed.is_marker_due {
                return false;
            }
            if !is_subscribed(room) {
                return true;
            }
            let says = (subscribed.arrival, subscribed.revision);
            let named = due.get(&says).map_or(0, Vec::len);
            if named.is_multiple_of(ROOMS_A_MARKER) {
                if markers == most {
                    return true;
                }
                markers += 1;
            }
            due.entry(says).or_default().push(room.clone());
            subscribed.is_marker_due = false;
            subscribed.marker_sent = Some(now);
            false
        });
        due
    }

    /// This gateway's marker came back.
    pub fn own_marker(&mut self, room: &str, lane: QosLane) {
        let Some(subscribed) = self.rooms.get_mut(room) else {
            return;
        };
        // One of an earlier term says nothing of this one.
        if subscribed.marker_sent.is_some() {
            subscribed.awaits_own_marker[lane.index()] = false;
        }
    }

    /// Another gateway's marker came.
    pub fn others_marker(
        &mut self,
        room: &str,
        lane: QosLane,
        (arrival, revision): (Arrival, Revision),
        now: Instant,
    ) {
        let Some(subscribed) = self.rooms.get_mut(room) else {
            return;
        };
        let at = lane.index();
        // An earlier owner's was slow.
        if revision < subscribed.revision {
            return;
        }
        match (subscribed.role, arrival) {
            (RoomRole::Deputy, Arrival::TakenBack) => self.settle_for_other(room, lane),
            // The former owner is alive, and answers for what came before, but for what it has never received.
            (RoomRole::Deputy, Arrival::HandedOver) => {
                if subscribed.after_leaving == AfterLeaving::Unsubscribed {
                    subscribed.memory.keep_orphans(&mut self.usage);
                    if subscribed.memory.is_empty() {
                        self.remove(room);
                    }
                }
            }
            (RoomRole::Deputy, Arrival::TakenOver | Arrival::New) => {
                self.orphan(room, lane);
            }
            (RoomRole::Leaving, Arrival::HandedOver) => {
                subscribed.next_owner_marked[at] = true;
                if subscribed.next_owner_marked == [true; 2] {
                    self.leave(room, now);
                } else if lane == QosLane::AtLeastOnce {
                    // That of QoS 0 was sent before, and the broker may have dropped it.
                    self.actions.extend(subscribed.pass_on_waiting());
                    subscribed.may_have_missed_marker = true;
                }
            }
            (RoomRole::Owner | RoomRole::Lost, _) | (RoomRole::Leaving, _) => {
                let is_unsubscribed = subscribed.after_leaving == AfterLeaving::Unsubscribed;
                self.dropped_results += subscribed.give_up(&mut self.usage, now);
                match arrival {
                    Arrival::TakenBack => self.settle_for_other(room, lane),
                    Arrival::TakenOver | Arrival::New => return self.orphan(room, lane),
                    Arrival::HandedOver => {}
                }
                if is_unsubscribed {
                    self.remove(room);
                }
            }
        }
    }

    /// The owner of what came before this marker is gone. The new one settles what it has received, but it may not have
    /// been the deputy for long: what gets no result is answered in the end.
    fn orphan(&mut self, room: &str, lane: QosLane) {
        if let Some(subscribed) = self.rooms.get_mut(room) {
            subscribed.memory.orphan(lane);
            if subscribed.after_leaving == AfterLeaving::Unsubscribed
                && subscribed.memory.is_empty()
            {
                self.remove(room);
            }
        }
    }

    /// The new owner has not received what came before its marker in this lane.
    fn settle_for_other(&mut self, room: &str, lane: QosLane) {
        if let Some(subscribed) = self.rooms.get_mut(room) {
            let remembered = subscribed
                .memory
                .take_lane(lane, &mut self.usage)
                .into_iter();
            let settle = remembered.map(|it| CommandAction::SettleForOther(it.command));
            self.actions.extend(settle);
        }
    }

    /// The broker delivers markers from now on.
    pub fn hears_markers(&mut self) {
        self.hears_markers = true;
    }

    /// The connection is lost: markers that have not come back are sent again on the next one. Of a room that was
    /// released nothing more will come.
    pub fn disconnected(&mut self, now: Instant) {
        self.hears_markers = false;
        let released = self.rooms.iter().filter(|(_, subscribed)| {
            subscribed.role == RoomRole::Leaving && subscribed.released.is_some()
        });
        let released: Vec<_> = released.map(|(room, _)| room.clone()).collect();
        for room in released {
            self.leave(&room, now);
        }
        for (room, subscribed) in &mut self.rooms {
            subscribed.memory.cut_off();
            if subscribed.marker_sent.take().is_some() && subscribed.awaits_own_marker != [false; 2]
            {
                subscribed.awaits_own_marker = [true; 2];
                subscribed.is_marker_due = true;
                self.unmarked.insert(room.clone());
            }
        }
    }
}

/// What others may know.
impl<C: RoomCommand, R> CommandArbiter<C, R> {
    /// Whether it is the owner, and every gateway that listens knows which commands are its own.
    pub fn is_established(&self, room: &str) -> bool {
        let subscribed = self.rooms.get(room);
        subscribed
            .is_some_and(|it| it.role == RoomRole::Owner && it.awaits_own_marker == [false; 2])
    }

    /// Whether it publishes the states of this room. Those of a room that was released are the next owner's.
    pub fn publishes_states(&self, room: &str) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|subscribed| match subscribed.role {
                RoomRole::Owner | RoomRole::Lost => true,
                RoomRole::Leaving => subscribed.released.is_none(),
                RoomRole::Deputy => false,
            })
    }

    /// What it is for this room; `None` if it is not subscribed to it.
    pub fn role(&self, room: &str) -> Option<RoomRole> {
        self.rooms.get(room).map(|subscribed| subscribed.role)
    }

    /// Every room that it is subscribed to, with what it is for it.
    pub fn roles(&self) -> impl Iterator<Item = (&Arc<str>, RoomRole)> {
        self.rooms
            .iter()
            .map(|(room, subscribed)| (room, subscribed.role))
    }

    /// How many commands are remembered, and how many were forgotten because there were too many.
    pub fn remembered(&self) -> (usize, u64) {
        (self.usage.commands(), self.usage.forgotten)
    }

    /// What is remembered of a room, in order.
    #[cfg(test)]
    pub fn memory_of(&self, room: &str) -> Vec<C::Id> {
        let subscribed = self.rooms.get(room);
        subscribed.map_or_else(Vec::new, |subscribed| subscribed.memory.ids())
    }
}
