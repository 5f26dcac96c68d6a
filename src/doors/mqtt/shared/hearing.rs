//! Which gateway carries out which command, while several gateways hear the same rooms at one broker.
//!
//! The rule is made so that each command is carried out once although no gateway asks another:
//!
//! - The owner of a room carries out what it hears. A deputy remembers it, until it sees its result.
//! - In a planned move the new owner publishes a marker. The broker gives every subscriber the same
//!   order, so the commands before the marker are the former owner's, and those after it the new one's.
//! - When an owner died, its deputy settles what it remembers, in order, and takes what comes after that. What gets no
//!   result for some minutes, whoever else has heard it answers: the deputy may have heard the room for a moment only.
//! - A marker that was slow on its way to the broker may come after that of a later owner. Each has the
//!   [`Revision`] of its ownership, and the greater one counts.
//!
//! A broker keeps the order of messages of one quality of service only: one of QoS 0 may overtake one
//! of QoS 1 that waits. So there is a marker for each, and each command counts by the one of its own
//! [`Lane`].
//!
//! Pure: the caller passes the time and whether the fence is open, and does what [`Act`] says. Knows no
//! topics and no broker. `memory` holds what a deputy remembers. Here is what a command, a result and time do; `placement`
//! has what the placement does, `markers` what a marker does.

mod markers;
mod placement;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::heard_room::{AfterLeaving, HeardRoom};
pub use super::heard_room::{Arrival, Lane, Revision};
use super::memory::{HeardCommand, MemoryUse};

/// So long after the room was released the former owner holds its commands, waiting for the new owner's marker.
/// From then on it passes each on at once: the broker is slow.
pub const MARKER_TIMEOUT: Duration = Duration::from_secs(2);
/// So long after the room was released the former owner takes the marker for lost. A broker under load takes seconds.
/// It may drop one of QoS 0, but not that of QoS 1 while the connection lasts.
pub const LOST_MARKER_TIMEOUT: Duration = Duration::from_secs(10);
/// So long after its own marker was sent the new owner takes it for lost. Longer than the former
/// owner waits: for a moment nobody takes commands, never two.
pub const OWN_MARKER_TIMEOUT: Duration = Duration::from_secs(11);
/// A gateway that has lost a room answers for it if no other one has taken it by then. A take-over takes
/// three seconds.
pub const LOST_TIMEOUT: Duration = Duration::from_secs(5);
/// At most this many commands of a room wait for a marker or for the fence: as many as wait in the
/// room's queue otherwise.
const WAITING_COMMANDS: usize = 64;

/// Counts how often this gateway became the owner of a room.
pub type Term = u64;

/// What is to be done with a command or a result, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Act<C, R> {
    /// Carry it out: nobody has.
    CarryOut(C, Term),
    /// A dead owner may have carried it out.
    Settle(C, Term),
    /// A dead owner may have carried it out, and the new one has not heard it.
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

/// What this gateway is for a room that it hears.
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

/// The rooms that this gateway hears.
#[derive(Debug)]
pub struct Hearing<C: HeardCommand, R> {
    rooms: BTreeMap<Arc<str>, HeardRoom<C, R>>,
    usage: MemoryUse,
    acts: VecDeque<Act<C, R>>,
    /// Results that were dropped because another gateway gives them.
    dropped_results: usize,
    /// The rooms whose marker is due.
    unmarked: BTreeSet<Arc<str>>,
    /// Rooms that are heard no more since the last call of [`Hearing::take_removed`].
    removed: Vec<Arc<str>>,
}

impl<C: HeardCommand, R> Default for Hearing<C, R> {
    fn default() -> Self {
        Self {
            rooms: BTreeMap::new(),
            usage: MemoryUse::default(),
            acts: VecDeque::new(),
            dropped_results: 0,
            unmarked: BTreeSet::new(),
            removed: Vec::new(),
        }
    }
}

/// What the broker delivers, and what time does.
impl<C: HeardCommand, R> Hearing<C, R> {
    /// A command of this room came.
    pub fn command(&mut self, room: &str, lane: Lane, command: C, is_open: bool, now: Instant) {
        // A room that is heard no more: its UNSUBSCRIBE is under way.
        let Some(heard) = self.rooms.get_mut(room) else {
            return;
        };
        let (at, term) = (lane.index(), heard.term);
        let is_late = heard.arrival == Arrival::TakenOver && heard.awaits[at];
        match heard.role {
            RoomRole::Owner | RoomRole::Leaving if heard.is_before_marker(lane) => {
                heard.memory.remember(lane, command, &mut self.usage, now);
            }
            RoomRole::Deputy if heard.after_leaving == AfterLeaving::Deaf => {}
            RoomRole::Deputy | RoomRole::Lost => {
                heard.memory.remember(lane, command, &mut self.usage, now);
            }
            RoomRole::Leaving if heard.passed[at] => {
                heard.memory.remember(lane, command, &mut self.usage, now);
            }
            RoomRole::Leaving if heard.is_released_for(MARKER_TIMEOUT, now) => {
                self.acts.extend(heard.pass_on_waiting());
                self.acts.push_back(Act::PassOn(command));
            }
            RoomRole::Owner if is_late => {
                self.acts.push_back(Act::Settle(command, term));
            }
            RoomRole::Owner if is_open => {
                self.acts.extend(heard.begin_waiting());
                self.acts.push_back(Act::CarryOut(command, term));
            }
            RoomRole::Owner | RoomRole::Leaving if heard.waiting.len() < WAITING_COMMANDS => {
                heard.waiting.push((lane, command));
            }
            RoomRole::Owner | RoomRole::Leaving => self.acts.push_back(Act::TooMany(command)),
        }
    }

    /// A gateway has published the result of a command of this room.
    pub fn result_seen(&mut self, room: &str, id: C::Id, now: Instant) {
        if let Some(heard) = self.rooms.get_mut(room) {
            heard.memory.forget(id, &mut self.usage, now);
        }
    }

    /// The room has left: what was held is the new owner's.
    fn leave(&mut self, room: &str) {
        let Some(heard) = self.rooms.get_mut(room) else {
            return;
        };
        self.acts.extend(heard.pass_on_waiting());
        self.acts.extend(heard.publish_parked());
        heard.role = RoomRole::Deputy;
        heard.released = None;
        heard.is_marker_due = false;
        heard.awaits = [false; 2];
        match heard.after_leaving {
            AfterLeaving::Deputy => {}
            AfterLeaving::Deaf => self.remove(room),
            AfterLeaving::Owner(revision) => {
                heard.own_as(Arrival::Moved, revision);
                self.unmarked.insert(room.into());
            }
        }
    }

    fn remove(&mut self, room: &str) {
        if let Some((room, mut heard)) = self.rooms.remove_entry(room) {
            self.unmarked.remove(&room);
            self.removed.push(room);
            heard.memory.clear(&mut self.usage);
            self.dropped_results += heard.parked.len();
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
        let Some(heard) = self.rooms.get_mut(room) else {
            return self.acts.push_back(Act::Publish(result));
        };
        let is_answered = |id| heard.memory.take_early(id);
        if term <= heard.given_up || settled.is_some_and(is_answered) {
            self.dropped_results += 1;
        } else if heard.role == RoomRole::Lost
            || !is_open && matches!(heard.role, RoomRole::Owner | RoomRole::Leaving)
        {
            heard.parked.push((now, result));
        } else {
            self.acts.push_back(Act::Publish(result));
        }
    }

    /// A result of a command that was passed on, or carried out for another gateway. If that one has died since, the next
    /// owner may have settled the command and answered.
    pub fn answered_for_other(&mut self, room: &str, id: C::Id, result: R) {
        let heard = self.rooms.get_mut(room);
        match heard.is_some_and(|heard| heard.memory.take_early(id)) {
            true => self.dropped_results += 1,
            false => self.acts.push_back(Act::Publish(result)),
        }
    }

    /// Does what is due by time. To be called some times a second.
    pub fn tick(&mut self, is_open: bool, now: Instant) {
        let (mut left, mut forgotten) = (Vec::new(), Vec::new());
        for (room, heard) in &mut self.rooms {
            let is_owner = heard.role == RoomRole::Owner;
            let unanswered = heard.memory.expire(is_owner, &mut self.usage, now);
            self.acts
                .extend(unanswered.into_iter().map(Act::Unanswered));
            let is_late = |since: &Instant, time| now.duration_since(*since) >= time;
            if (heard.marker_sent).is_some_and(|sent| is_late(&sent, OWN_MARKER_TIMEOUT)) {
                heard.awaits = [false; 2];
                heard.marker_sent = None;
            }
            match heard.role {
                RoomRole::Deputy if heard.after_leaving != AfterLeaving::Deaf => {}
                RoomRole::Deputy if heard.is_remembering_deputy() => {}
                RoomRole::Deputy => forgotten.push(room.clone()),
                RoomRole::Owner if is_open => {
                    self.acts.extend(heard.begin_waiting());
                    self.acts.extend(heard.publish_parked());
                }
                RoomRole::Owner => {}
                RoomRole::Leaving => {
                    if is_open {
                        self.acts.extend(heard.publish_parked());
                    }
                    if heard.is_released_for(MARKER_TIMEOUT, now) {
                        self.acts.extend(heard.pass_on_waiting());
                    }
                    if heard.is_released_for(LOST_MARKER_TIMEOUT, now) {
                        left.push(room.clone());
                    }
                }
                RoomRole::Lost => {
                    let late = heard.memory.take_older(LOST_TIMEOUT, &mut self.usage, now);
                    let late = late.into_iter().map(|it| Act::NoOwner(it.command));
                    self.acts.extend(late);
                    let parked = std::mem::take(&mut heard.parked);
                    for (since, result) in parked {
                        match is_late(&since, LOST_TIMEOUT) {
                            true => self.acts.push_back(Act::Publish(result)),
                            false => heard.parked.push((since, result)),
                        }
                    }
                }
            }
        }
        for room in left {
            self.leave(&room);
        }
        for room in forgotten {
            self.remove(&room);
        }
    }

    /// The next thing to do.
    pub fn next_act(&mut self) -> Option<Act<C, R>> {
        self.acts.pop_front()
    }

    /// The door stops: what is held is handed to the next owner, whoever that is.
    pub fn stop(&mut self) {
        let leaving = self.rooms.iter();
        let leaving = leaving.filter(|(_, heard)| heard.role == RoomRole::Leaving);
        let leaving: Vec<_> = leaving.map(|(room, _)| room.clone()).collect();
        for room in leaving {
            self.leave(&room);
        }
    }

    /// The rooms that are heard no more since the last call.
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
