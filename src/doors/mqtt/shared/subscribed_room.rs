//! One room that this gateway is subscribed to: what it is for it, and what waits there.
//!
//! Pure data of [`CommandArbiter`](super::arbiter::CommandArbiter), which alone changes it.

use std::time::Duration;

use tokio::time::Instant;

use super::arbiter::{CommandAction, RoomRole, Term};
use super::memory::{Memory, MemoryUse, RoomCommand};

/// The messages that the broker keeps in order with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosLane {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1, and QoS 2, which the broker delivers as QoS 1.
    AtLeastOnce,
}

impl QosLane {
    pub fn index(self) -> usize {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

/// Orders the owners of a room: each one's is greater than those of all before it. It is the revision of what names
/// the owner, so all gateways agree on it.
pub type Revision = u64;

/// How an owner came by a room, as its marker says. In the order in which rooms of one look at the table are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrival {
    /// The former owner is dead and may not touch the device any more. The new one has settled what it remembered, and
    /// settles what the broker still has for it before its marker.
    TakenOver,
    /// The owner had it before its process was started again, and nobody has taken it in between. It was not
    /// subscribed meanwhile, so whoever remembers commands before the marker settles them.
    TakenBack,
    /// Nobody had it.
    New,
    /// The former owner has handed it over, and answers for the commands before the marker.
    HandedOver,
}

/// What this gateway is for a room that has left, and whether a deputy stays one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLeaving {
    Deputy,
    Unsubscribed,
    /// The room comes back; with the revision of the new ownership.
    Owner(Revision),
}

#[derive(Debug)]
pub struct SubscribedRoom<C: RoomCommand, R> {
    pub role: RoomRole,
    pub term: Term,
    /// Of this gateway's newest ownership.
    pub revision: Revision,
    /// Results of commands up to this term are another gateway's to publish.
    pub given_up: Term,
    /// By lane: this gateway's own marker has not come back.
    pub awaits_own_marker: [bool; 2],
    /// How this gateway came by the room last.
    pub arrival: Arrival,
    pub is_marker_due: bool,
    pub marker_sent: Option<Instant>,
    /// By lane: the next owner's marker has come.
    pub next_owner_marked: [bool; 2],
    /// Since when the next owner may have it.
    pub released: Option<Instant>,
    /// The next owner's marker may have passed by: no marker could come when the room was released, or that of the
    /// other lane came. What comes in a lane without its marker is perhaps that owner's.
    pub may_have_missed_marker: bool,
    pub after_leaving: AfterLeaving,
    /// Commands that wait for the fence, or for the next owner.
    pub waiting: Vec<(QosLane, C)>,
    pub memory: Memory<C>,
    /// Results that wait until it is known whether they are this gateway's to give.
    pub parked: Vec<(Instant, R)>,
}

/// A deputy that has heard nothing yet.
impl<C: RoomCommand, R> Default for SubscribedRoom<C, R> {
    fn default() -> Self {
        Self {
            role: RoomRole::Deputy,
            term: 0,
            revision: 0,
            given_up: 0,
            awaits_own_marker: [false; 2],
            arrival: Arrival::New,
            is_marker_due: false,
            marker_sent: None,
            next_owner_marked: [false; 2],
            released: None,
            may_have_missed_marker: false,
            after_leaving: AfterLeaving::Deputy,
            waiting: Vec::new(),
            memory: Memory::default(),
            parked: Vec::new(),
        }
    }
}

impl<C: RoomCommand, R> SubscribedRoom<C, R> {
    /// Whether it was released so long ago.
    pub fn is_released_for(&self, time: Duration, now: Instant) -> bool {
        self.released
            .is_some_and(|since| now.duration_since(since) >= time)
    }

    /// Whether what comes in this lane is the former owner's, until the own marker comes.
    pub fn is_before_marker(&self, lane: QosLane) -> bool {
        let began_before = matches!(self.arrival, Arrival::New | Arrival::TakenOver);
        !began_before && self.awaits_own_marker[lane.index()]
    }

    /// Whether it only remembers a command of this lane, whose result another gateway gives.
    pub fn remembers(&self, lane: QosLane) -> bool {
        match self.role {
            RoomRole::Deputy => self.after_leaving != AfterLeaving::Unsubscribed,
            RoomRole::Lost => true,
            RoomRole::Owner => self.is_before_marker(lane),
            RoomRole::Leaving => {
                self.is_before_marker(lane) || self.next_owner_marked[lane.index()]
            }
        }
    }

    /// The commands that waited, to be carried out.
    pub fn begin_waiting(&mut self) -> impl Iterator<Item = CommandAction<C, R>> {
        let term = self.term;
        let waiting = self.waiting.drain(..);
        waiting.map(move |(_, command)| CommandAction::CarryOut(command, term))
    }

    /// The commands that waited, for the next owner; if its marker may have passed by, only those that are surely not
    /// its own: what waited before, and what came before its marker.
    pub fn pass_on_waiting(&mut self) -> Vec<CommandAction<C, R>> {
        let waiting = std::mem::take(&mut self.waiting);
        let (pass_on, keep): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|(lane, _)| !self.is_in_doubt(*lane));
        self.waiting = keep;
        let pass_on = pass_on.into_iter();
        pass_on
            .map(|(_, command)| CommandAction::PassOn(command))
            .collect()
    }

    /// Whether what comes in this lane may be the next owner's already.
    pub fn is_in_doubt(&self, lane: QosLane) -> bool {
        self.may_have_missed_marker && !self.next_owner_marked[lane.index()]
    }

    /// Remembers what waits. Its result is another gateway's.
    pub fn remember_waiting(&mut self, usage: &mut MemoryUse, now: Instant) {
        for (lane, command) in self.waiting.drain(..) {
            self.memory.remember(lane, command, usage, now);
        }
    }

    /// A gateway has published this result: the command is not passed on, if it may be the next owner's.
    pub fn forget_waiting(&mut self, id: C::Id) -> bool {
        let mut waiting = self.waiting.iter();
        let in_doubt =
            waiting.position(|(lane, command)| self.is_in_doubt(*lane) && command.id() == id);
        in_doubt.is_some_and(|at| {
            self.waiting.remove(at);
            true
        })
    }

    /// The results that waited: they are this gateway's to give.
    pub fn publish_parked(&mut self) -> impl Iterator<Item = CommandAction<C, R>> {
        self.parked
            .drain(..)
            .map(|(_, result)| CommandAction::Publish(result))
    }

    /// It is another gateway's room now.
    pub fn give_up(&mut self, usage: &mut MemoryUse, now: Instant) -> usize {
        self.remember_waiting(usage, now);
        self.role = RoomRole::Deputy;
        self.given_up = self.term;
        self.is_marker_due = false;
        self.marker_sent = None;
        self.awaits_own_marker = [false; 2];
        let dropped = self.parked.len();
        self.parked.clear();
        dropped
    }

    pub fn own_as(&mut self, arrival: Arrival, revision: Revision) {
        self.role = RoomRole::Owner;
        self.term += 1;
        self.revision = revision;
        self.awaits_own_marker = [true; 2];
        self.arrival = arrival;
        self.is_marker_due = true;
        self.marker_sent = None;
        self.released = None;
        self.may_have_missed_marker = false;
        self.after_leaving = AfterLeaving::Deputy;
    }

    /// Whether it is a deputy with commands of which it has seen no result.
    pub fn is_remembering_deputy(&self) -> bool {
        self.role == RoomRole::Deputy && !self.memory.is_empty()
    }
}
