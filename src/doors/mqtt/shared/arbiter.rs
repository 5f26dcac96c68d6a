//! Which gateway carries out which command, while several gateways subscribe to the same rooms at one broker.
//!
//! The rule is made so that each command is carried out once although no gateway asks another:
//!
//! - The owner of a room carries out what it receives. A deputy remembers it, until it sees its result.
//! - In a planned move the new owner publishes a marker. The broker gives every subscriber the same
//!   order, so the commands before the marker are the former owner's, and those after it the new one's.
//! - When an owner died, its deputy settles what it remembers, in order, and takes what comes after that. The deputy
//!   may have subscribed a moment ago: so whoever else has received a command answers it, if it has no result for some
//!   minutes.
//! - A former owner that was not connected when it released a room may have missed the marker. It holds what comes
//!   then, until the marker comes after all; without it the commands are the new owner's.
//! - A marker that was slow on its way to the broker may come after that of a later owner. Each has the
//!   [`Revision`] of its ownership, and the greater one counts.
//!
//! A broker keeps the order of messages of one quality of service only: one of QoS 0 may overtake one
//! of QoS 1 that waits. So there is a marker for each, and each command counts by the one of its own
//! [`QosLane`].
//!
//! Pure: the caller passes the time and whether the fence is open, and does what [`CommandAction`] says. Knows no
//! topics and no broker. `memory` holds what a deputy remembers. Here is what a command, a result and time do;
//! `placement` has what the placement does, `markers` what a marker does.

mod markers;
mod placement;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::memory::{MemoryUse, RoomCommand};
use super::subscribed_room::{AfterLeaving, SubscribedRoom};
pub use super::subscribed_room::{Arrival, QosLane, Revision};
use crate::command::ROOM_QUEUE_CAPACITY;

/// How long the former owner of a room that it has released holds commands for the new owner's marker. Later it passes
/// each on at once: the broker is slow.
pub const MARKER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long after the release the former owner takes the marker for lost. A broker under load takes seconds. It may
/// drop a marker of QoS 0, but not that of QoS 1 while the connection lasts.
pub const LOST_MARKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after sending it the new owner takes its own marker for lost. Longer than the former owner waits: for a
/// moment nobody takes commands, never two.
pub const OWN_MARKER_TIMEOUT: Duration = Duration::from_secs(11);
/// A gateway that has lost a room answers for it if no other one has taken it by then. A take-over takes
/// three seconds.
pub const LOST_TIMEOUT: Duration = Duration::from_secs(5);
/// A marker names at most this many rooms, so that its packet stays small.
pub const ROOMS_A_MARKER: usize = 500;

/// Counts how often this gateway became the owner of a room.
pub type Term = u64;

/// What is to be done with a command or a result, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum CommandAction<C, R> {
    /// Carry it out: nobody has.
    CarryOut(C, Term),
    /// A dead owner may have carried it out.
    Settle(C, Term),
    /// A dead owner may have carried it out, and the new one has not received it.
    SettleForOther(C),
    /// Hand it to the new owner.
    PassOn(C),
    /// Too many wait.
    TooMany(C),
    /// No gateway has the room.
    NoOwner(C),
    /// Whoever had to answer it is gone.
    Unanswered(C),
    /// Publish the result.
    Publish(R),
}

/// What this gateway is for a room that it is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomRole {
    /// Another gateway has the room; this one is the next.
    Deputy,
    /// It carries out commands.
    Owner,
    /// The room moves to another gateway.
    Leaving,
    /// This gateway had the room and may not touch it any more. Another one takes it soon, or none can.
    Lost,
}

/// Decides who carries out the commands of the rooms that this gateway is subscribed to. A room counts as subscribed
/// from the moment its filter is wanted, whether or not the broker has granted it.
#[derive(Debug)]
pub struct CommandArbiter<C: RoomCommand, R> {
    /// Boxed: a third of the map's places are empty.
    rooms: BTreeMap<Arc<str>, Box<SubscribedRoom<C, R>>>,
    usage: MemoryUse,
    actions: VecDeque<CommandAction<C, R>>,
    /// Results that were dropped because another gateway gives them.
    dropped_results: usize,
    /// The rooms whose marker is due.
    unmarked: BTreeSet<Arc<str>>,
    /// The broker delivers markers.
    hears_markers: bool,
    /// Rooms that are not subscribed to any more since the last call of [`CommandArbiter::take_removed`].
    removed: Vec<Arc<str>>,
}

impl<C: RoomCommand, R> Default for CommandArbiter<C, R> {
    fn default() -> Self {
        Self {
            rooms: BTreeMap::new(),
            usage: MemoryUse::default(),
            actions: VecDeque::new(),
            dropped_results: 0,
            unmarked: BTreeSet::new(),
            hears_markers: false,
            removed: Vec::new(),
        }
    }
}

/// What the broker delivers, and what time does.
impl<C: RoomCommand, R> CommandArbiter<C, R> {
    /// A command of this room came.
    pub fn command(&mut self, room: &str, lane: QosLane, command: C, is_open: bool, now: Instant) {
        // Not subscribed to any more: the UNSUBSCRIBE is under way.
        let Some(subscribed) = self.rooms.get_mut(room) else {
            return;
        };
        if subscribed.remembers(lane) {
            let memory = &mut subscribed.memory;
            return memory.remember(lane, command, &mut self.usage, now);
        }
        let term = subscribed.term;
        let is_late =
            subscribed.arrival == Arrival::TakenOver && subscribed.awaits_own_marker[lane.index()];
        match subscribed.role {
            // A deputy that does not stay one: its UNSUBSCRIBE waits.
            RoomRole::Deputy | RoomRole::Lost => {}
            RoomRole::Leaving
                if subscribed.is_released_for(MARKER_TIMEOUT, now)
                    && !subscribed.is_in_doubt(lane) =>
            {
                self.actions.extend(subscribed.pass_on_waiting());
                self.actions.push_back(CommandAction::PassOn(command));
            }
            RoomRole::Owner if is_late => {
                self.actions.push_back(CommandAction::Settle(command, term));
            }
            RoomRole::Owner if is_open => {
                self.actions.extend(subscribed.begin_waiting());
                self.actions
                    .push_back(CommandAction::CarryOut(command, term));
            }
            RoomRole::Owner | RoomRole::Leaving
                if subscribed.waiting.len() < ROOM_QUEUE_CAPACITY =>
            {
                subscribed.waiting.push((lane, command));
            }
            RoomRole::Leaving if subscribed.is_in_doubt(lane) => {
                (subscribed.memory).remember(lane, command, &mut self.usage, now);
            }
            RoomRole::Owner | RoomRole::Leaving => {
                self.actions.push_back(CommandAction::TooMany(command))
            }
        }
    }

    /// A gateway has published the result of a command of this room.
    pub fn result_seen(&mut self, room: &str, id: C::Id, now: Instant) {
        if let Some(subscribed) = self.rooms.get_mut(room)
            && !subscribed.forget_waiting(id)
        {
            subscribed.memory.forget(id, &mut self.usage, now);
        }
    }

    /// The room has left: what was held is passed on. What the new owner may have as its own is only remembered.
    fn leave(&mut self, room: &str, now: Instant) {
        let Some(subscribed) = self.rooms.get_mut(room) else {
            return;
        };
        self.actions.extend(subscribed.pass_on_waiting());
        subscribed.remember_waiting(&mut self.usage, now);
        subscribed.may_have_missed_marker = false;
        self.actions.extend(subscribed.publish_parked());
        subscribed.role = RoomRole::Deputy;
        subscribed.released = None;
        subscribed.is_marker_due = false;
        subscribed.awaits_own_marker = [false; 2];
        match subscribed.after_leaving {
            AfterLeaving::Deputy => {}
            AfterLeaving::Unsubscribed => self.remove(room),
            AfterLeaving::Owner(revision) => {
                subscribed.own_as(Arrival::HandedOver, revision);
                self.unmarked.insert(room.into());
            }
        }
    }

    fn remove(&mut self, room: &str) {
        if let Some((room, mut subscribed)) = self.rooms.remove_entry(room) {
            self.unmarked.remove(&room);
            self.removed.push(room);
            subscribed.memory.clear(&mut self.usage);
            self.dropped_results += subscribed.parked.len();
        }
    }

    /// A result of a command that this gateway has carried out in this term. It is published, waits, or is
    /// another gateway's to give. `settled` is the command's id if a dead owner may have carried it out before: whoever
    /// was about to hand the room to that owner may have passed the command on to this one too, and answered.
    pub fn answered(
        &mut self,
        room: &str,
        (term, settled): (Term, Option<C::Id>),
        result: R,
        is_open: bool,
        now: Instant,
    ) {
        let Some(subscribed) = self.rooms.get_mut(room) else {
            return self.actions.push_back(CommandAction::Publish(result));
        };
        let is_answered = |id| subscribed.memory.take_early(id);
        if term <= subscribed.given_up || settled.is_some_and(is_answered) {
            self.dropped_results += 1;
        } else if subscribed.role == RoomRole::Lost
            || !is_open && matches!(subscribed.role, RoomRole::Owner | RoomRole::Leaving)
        {
            subscribed.parked.push((now, result));
        } else {
            self.actions.push_back(CommandAction::Publish(result));
        }
    }

    /// A result of a command that was passed on, or carried out for another gateway. If that one has died since, the
    /// next owner may have settled the command and answered.
    pub fn answered_for_other(&mut self, room: &str, id: C::Id, result: R) {
        let subscribed = self.rooms.get_mut(room);
        if subscribed.is_some_and(|subscribed| subscribed.memory.take_early(id)) {
            self.dropped_results += 1
        } else {
            self.actions.push_back(CommandAction::Publish(result))
        }
    }

    /// Does what is due by time. To be called some times a second.
    pub fn tick(&mut self, is_open: bool, now: Instant) {
        let (mut left, mut forgotten) = (Vec::new(), Vec::new());
        for (room, subscribed) in &mut self.rooms {
            let is_owner = subscribed.role == RoomRole::Owner;
            let unanswered = subscribed.memory.expire(is_owner, &mut self.usage, now);
            self.actions
                .extend(unanswered.into_iter().map(CommandAction::Unanswered));
            let is_late = |since: &Instant, time| now.duration_since(*since) >= time;
            if (subscribed.marker_sent).is_some_and(|sent| is_late(&sent, OWN_MARKER_TIMEOUT)) {
                subscribed.awaits_own_marker = [false; 2];
                subscribed.marker_sent = None;
            }
            match subscribed.role {
                RoomRole::Deputy if subscribed.after_leaving != AfterLeaving::Unsubscribed => {}
                RoomRole::Deputy if subscribed.is_remembering_deputy() => {}
                RoomRole::Deputy => forgotten.push(room.clone()),
                RoomRole::Owner if is_open => {
                    self.actions.extend(subscribed.begin_waiting());
                    self.actions.extend(subscribed.publish_parked());
                }
                RoomRole::Owner => {}
                RoomRole::Leaving => {
                    if is_open {
                        self.actions.extend(subscribed.publish_parked());
                    }
                    if subscribed.is_released_for(MARKER_TIMEOUT, now) {
                        self.actions.extend(subscribed.pass_on_waiting());
                    }
                    if subscribed.is_released_for(LOST_MARKER_TIMEOUT, now) {
                        left.push(room.clone());
                    }
                }
                RoomRole::Lost => {
                    let late = subscribed
                        .memory
                        .take_older(LOST_TIMEOUT, &mut self.usage, now);
                    let late = late
                        .into_iter()
                        .map(|it| CommandAction::NoOwner(it.command));
                    self.actions.extend(late);
                    let parked = std::mem::take(&mut subscribed.parked);
                    for (since, result) in parked {
                        if is_late(&since, LOST_TIMEOUT) {
                            self.actions.push_back(CommandAction::Publish(result))
                        } else {
                            subscribed.parked.push((since, result))
                        }
                    }
                }
            }
        }
        for room in left {
            self.leave(&room, now);
        }
        for room in forgotten {
            self.remove(&room);
        }
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<CommandAction<C, R>> {
        self.actions.pop_front()
    }

    /// The door stops: what is held is handed to the next owner, whoever that is.
    pub fn stop(&mut self, now: Instant) {
        let leaving = self.rooms.iter();
        let leaving = leaving.filter(|(_, subscribed)| subscribed.role == RoomRole::Leaving);
        let leaving: Vec<_> = leaving.map(|(room, _)| room.clone()).collect();
        for room in leaving {
            self.leave(&room, now);
        }
    }

    /// The rooms that are not subscribed to any more since the last call.
    pub fn take_removed(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.removed)
    }

    /// How many results were dropped since the last call.
    pub fn take_dropped_results(&mut self) -> usize {
        std::mem::take(&mut self.dropped_results)
    }
}

#[cfg(test)]
mod tests;
