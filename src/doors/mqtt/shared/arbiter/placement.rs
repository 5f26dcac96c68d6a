//! What the caller learns of the placement: which rooms this gateway subscribes to, gets, hands over and loses.
//!
//! Owns the change of a room's role that a placement makes. Decides on no command that comes, and knows no owner but
//! this gateway.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    AfterLeaving, Arrival, CommandAction, CommandArbiter, QosLane, Revision, RoomCommand, RoomRole,
};

impl<C: RoomCommand, R> CommandArbiter<C, R> {
    /// From now on it is the deputy of this room. A room that is leaving stays so until it has left.
    pub fn deputize(&mut self, room: &Arc<str>, now: Instant) {
        let entry = self.rooms.entry(room.clone());
        let subscribed = entry.or_default();
        subscribed.after_leaving = AfterLeaving::Deputy;
        match subscribed.role {
            RoomRole::Deputy | RoomRole::Leaving => {}
            RoomRole::Owner | RoomRole::Lost => {
                self.dropped_results += subscribed.give_up(&mut self.usage, now);
            }
        }
    }

    /// It unsubscribes from this room; from one that is leaving, when it has left. What a deputy remembers may be with
    /// nobody else, so it is kept until its results have come, or the marker of a move, whose former owner answers; for
    /// some minutes at most. Nothing is added.
    pub fn unsubscribe(&mut self, room: &str) {
        match self.rooms.get_mut(room) {
            Some(subscribed)
                if subscribed.role == RoomRole::Leaving || subscribed.is_remembering_deputy() =>
            {
                subscribed.after_leaving = AfterLeaving::Unsubscribed;
            }
            Some(_) => self.remove(room),
            None => {}
        }
    }

    /// It is the owner: at once of a room that is new or taken over, else from its marker on. What is remembered of a
    /// room that is taken over is settled, and so is what the broker still has for this gateway before its own marker.
    pub fn arrive(&mut self, room: &Arc<str>, arrival: Arrival, revision: Revision) {
        match arrival {
            Arrival::HandedOver => self.take_handed_over(room, revision),
            Arrival::New | Arrival::TakenOver | Arrival::TakenBack => {
                self.take(room, arrival, revision);
            }
        }
    }

    fn take(&mut self, room: &Arc<str>, arrival: Arrival, revision: Revision) {
        let entry = self.rooms.entry(room.clone());
        let subscribed = entry.or_default();
        let is_before = subscribed.is_before_marker(QosLane::AtMostOnce)
            || subscribed.is_before_marker(QosLane::AtLeastOnce);
        let was_owner = subscribed.role == RoomRole::Owner && !is_before;
        if !was_owner {
            subscribed.own_as(arrival, revision);
            self.unmarked.insert(room.clone());
        } else if arrival == Arrival::TakenOver {
            subscribed.arrival = arrival;
        }
        if arrival == Arrival::TakenBack {
            return;
        }
        let term = subscribed.term;
        for remembered in subscribed.memory.take(&mut self.usage) {
            self.actions
                .push_back(CommandAction::Settle(remembered.command, term));
        }
        if !was_owner {
            self.actions.extend(subscribed.begin_waiting());
        }
    }

    fn take_handed_over(&mut self, room: &Arc<str>, revision: Revision) {
        let entry = self.rooms.entry(room.clone());
        let subscribed = entry.or_default();
        match subscribed.role {
            RoomRole::Owner => {}
            // The marker of the gateway that had it meanwhile has not come yet.
            RoomRole::Leaving => subscribed.after_leaving = AfterLeaving::Owner(revision),
            RoomRole::Deputy | RoomRole::Lost => {
                subscribed.own_as(Arrival::HandedOver, revision);
                self.unmarked.insert(room.clone());
            }
        }
    }

    /// The room is about to move to another gateway: new commands are held. To be called when its own marker has
    /// come back ([`CommandArbiter::is_established`]).
    pub fn hold(&mut self, room: &str) {
        if let Some(subscribed) = self.rooms.get_mut(room)
            && subscribed.role == RoomRole::Owner
        {
            subscribed.role = RoomRole::Leaving;
            subscribed.next_owner_marked = [false; 2];
            subscribed.released = None;
            subscribed.may_have_missed_marker = false;
            subscribed.after_leaving = AfterLeaving::Deputy;
        }
    }

    /// The room is released, so the next owner can take it. What has waited until now is not that owner's.
    pub fn released(&mut self, room: &str, now: Instant) {
        if let Some(subscribed) = self.rooms.get_mut(room)
            && subscribed.role == RoomRole::Leaving
        {
            subscribed.released = Some(now);
            if !self.hears_markers {
                self.actions.extend(subscribed.pass_on_waiting());
                subscribed.may_have_missed_marker = true;
            }
        }
    }

    /// The room stays: the move was given up before it was released.
    pub fn keep(&mut self, room: &str) {
        if let Some(subscribed) = self.rooms.get_mut(room)
            && subscribed.role == RoomRole::Leaving
        {
            subscribed.role = RoomRole::Owner;
            self.actions.extend(subscribed.begin_waiting());
        }
    }

    /// This gateway may not touch the room any more, and does not know who may, unless the marker of the next owner
    /// came before: the broker may be quicker than etcd's table.
    pub fn lose(&mut self, room: &str, now: Instant) {
        let subscribed = self.rooms.get_mut(room);
        let Some(subscribed) = subscribed.filter(|subscribed| subscribed.role != RoomRole::Deputy)
        else {
            return;
        };
        subscribed.remember_waiting(&mut self.usage, now);
        subscribed.role = RoomRole::Lost;
        subscribed.is_marker_due = false;
    }
}
