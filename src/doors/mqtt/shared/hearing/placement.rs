//! What the caller learns of the placement: which rooms this gateway hears, gets, hands over and loses.
//!
//! Owns the change of a room's role that a placement makes. Decides on no command that comes, and knows no owner but this
//! gateway.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Act, AfterLeaving, Arrival, HeardCommand, HeardRoom, Hearing, Lane, Revision, RoomRole,
};

impl<C: HeardCommand, R> Hearing<C, R> {
    /// From now on it is the deputy of this room. A room that is leaving stays so until it has left.
    pub fn deputize(&mut self, room: &Arc<str>, now: Instant) {
        let entry = self.rooms.entry(room.clone());
        let heard = entry.or_insert_with(|| HeardRoom::new(RoomRole::Deputy));
        heard.after_leaving = AfterLeaving::Deputy;
        match heard.role {
            RoomRole::Deputy | RoomRole::Leaving => {}
            RoomRole::Owner | RoomRole::Lost => {
                self.dropped_results += heard.give_up(&mut self.usage, now);
            }
        }
    }

    /// It hears this room no more. One that is leaving is heard until it has left. What a deputy remembers may be with
    /// nobody else, so it is kept until its results have come, or the marker of a move, whose former owner answers; for some
    /// minutes at most. Nothing is added.
    pub fn stop_hearing(&mut self, room: &str) {
        match self.rooms.get_mut(room) {
            Some(heard) if heard.role == RoomRole::Leaving || heard.is_remembering_deputy() => {
                heard.after_leaving = AfterLeaving::Deaf;
            }
            Some(_) => self.remove(room),
            None => {}
        }
    }

    /// It is the owner at once: nobody had the room.
    pub fn begin(&mut self, room: &Arc<str>, revision: Revision) {
        self.take(room, revision, Arrival::Begun);
    }

    /// It is the owner at once: the former one is dead. What is remembered is settled, and so is what the broker
    /// still has for this gateway before its own marker.
    pub fn take_over(&mut self, room: &Arc<str>, revision: Revision) {
        self.take(room, revision, Arrival::TakenOver);
    }

    /// It is the owner from its marker on: it was the owner before its process was started again. Its deputy settles.
    pub fn take_back(&mut self, room: &Arc<str>, revision: Revision) {
        self.take(room, revision, Arrival::TakenOverUnheard);
    }

    fn take(&mut self, room: &Arc<str>, revision: Revision, arrival: Arrival) {
        let entry = self.rooms.entry(room.clone());
        let heard = entry.or_insert_with(|| HeardRoom::new(RoomRole::Deputy));
        let is_before =
            heard.is_before_marker(Lane::AtMostOnce) || heard.is_before_marker(Lane::AtLeastOnce);
        let was_owner = heard.role == RoomRole::Owner && !is_before;
        if !was_owner {
            heard.own_as(arrival, revision);
            self.unmarked.insert(room.clone());
        } else if arrival == Arrival::TakenOver {
            heard.arrival = arrival;
        }
        if arrival == Arrival::TakenOverUnheard {
            return;
        }
        let term = heard.term;
        for remembered in heard.memory.take(&mut self.usage) {
            self.acts.push_back(Act::Settle(remembered.command, term));
        }
        if !was_owner {
            self.acts.extend(heard.begin_waiting());
        }
    }

    /// It is the owner from its marker on: the former one has handed the room over.
    pub fn move_in(&mut self, room: &Arc<str>, revision: Revision) {
        let entry = self.rooms.entry(room.clone());
        let heard = entry.or_insert_with(|| HeardRoom::new(RoomRole::Deputy));
        match heard.role {
            RoomRole::Owner => {}
            // The marker of the gateway that had it meanwhile has not come yet.
            RoomRole::Leaving => heard.after_leaving = AfterLeaving::Owner(revision),
            RoomRole::Deputy | RoomRole::Lost => {
                heard.own_as(Arrival::Moved, revision);
                self.unmarked.insert(room.clone());
            }
        }
    }

    /// The room is about to move to another gateway: new commands are held. To be called when its own marker has
    /// come back ([`Hearing::is_established`]).
    pub fn hold(&mut self, room: &str) {
        if let Some(heard) = self.rooms.get_mut(room)
            && heard.role == RoomRole::Owner
        {
            heard.role = RoomRole::Leaving;
            heard.passed = [false; 2];
            heard.released = None;
            heard.after_leaving = AfterLeaving::Deputy;
        }
    }

    /// The room is released, so the next owner can take it.
    pub fn released(&mut self, room: &str, now: Instant) {
        if let Some(heard) = self.rooms.get_mut(room)
            && heard.role == RoomRole::Leaving
        {
            heard.released = Some(now);
        }
    }

    /// The room stays: the move was given up before it was released.
    pub fn keep(&mut self, room: &str) {
        if let Some(heard) = self.rooms.get_mut(room)
            && heard.role == RoomRole::Leaving
        {
            heard.role = RoomRole::Owner;
            self.acts.extend(heard.begin_waiting());
        }
    }

    /// This gateway may not touch the room any more, and does not know who may, unless the marker of the next owner came
    /// before: the broker may be quicker than etcd's table.
    pub fn lose(&mut self, room: &str, now: Instant) {
        let heard = self.rooms.get_mut(room);
        let Some(heard) = heard.filter(|heard| heard.role != RoomRole::Deputy) else {
            return;
        };
        for (lane, command) in heard.waiting.drain(..) {
            heard.memory.remember(lane, command, &mut self.usage, now);
        }
        heard.role = RoomRole::Lost;
        heard.is_marker_due = false;
    }
}
