//! One room that this gateway hears: what it is for it, and what waits there.
//!
//! Pure data of [`Hearing`](super::hearing::Hearing), which alone changes it.

use std::time::Duration;

use tokio::time::Instant;

use super::hearing::{RoomRole, Term};
use super::memory::{HeardCommand, Memory, MemoryUse};

/// The messages that the broker keeps in order with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1, and QoS 2, which the broker delivers as QoS 1.
    AtLeastOnce,
}

impl Lane {
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

/// How an owner came by a room, as its marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrival {
    /// The former owner has handed it over, and answers for the commands before the marker.
    Moved,
    /// The former owner is dead. The new one has settled what it remembered.
    TakenOver,
    /// The former owner is dead, and the new one had not heard the room: its process was started a moment ago.
    /// Whoever remembers commands before the marker settles them.
    TakenOverUnheard,
}

/// What this gateway is for a room that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLeaving {
    Deputy,
    Deaf,
    /// The room comes back; with the revision of the new ownership.
    Owner(Revision),
}

#[derive(Debug)]
pub struct HeardRoom<C: HeardCommand, R> {
    pub role: RoomRole,
    pub term: Term,
    /// Of this gateway's newest ownership.
    pub revision: Revision,
    /// Results of commands of this term and earlier ones are another gateway's to give.
    pub given_up: Term,
    /// By lane: this gateway's own marker has not come back.
    pub awaits: [bool; 2],
    /// What comes before the own marker is the former owner's.
    pub waits_for_marker: bool,
    /// How this gateway came by the room last.
    pub arrival: Arrival,
    /// What comes before the own marker may have been carried out by the dead owner.
    pub settles: bool,
    pub marker_due: Option<Arrival>,
    pub marker_sent: Option<Instant>,
    /// By lane: the next owner's marker has come.
    pub passed: [bool; 2],
    /// Since when the next owner may have it.
    pub released: Option<Instant>,
    pub after_leaving: AfterLeaving,
    /// Commands that wait for the fence, or for the next owner.
    pub waiting: Vec<(Lane, C)>,
    pub memory: Memory<C>,
    /// Results that wait until it is known whether they are this gateway's to give.
    pub parked: Vec<(Instant, R)>,
}

impl<C: HeardCommand, R> HeardRoom<C, R> {
    pub fn new(role: RoomRole) -> Self {
        Self {
            role,
            term: 0,
            revision: 0,
            given_up: 0,
            awaits: [false; 2],
            waits_for_marker: false,
            arrival: Arrival::TakenOver,
            settles: false,
            marker_due: None,
            marker_sent: None,
            passed: [false; 2],
            released: None,
            after_leaving: AfterLeaving::Deputy,
            waiting: Vec::new(),
            memory: Memory::default(),
            parked: Vec::new(),
        }
    }

    /// Whether it was released so long ago.
    pub fn is_released_for(&self, time: Duration, now: Instant) -> bool {
        self.released
            .is_some_and(|since| now.duration_since(since) >= time)
    }

    /// It is another gateway's room now, which answers for everything.
    pub fn give_up(&mut self, usage: &mut MemoryUse, now: Instant) -> usize {
        for (lane, command) in self.waiting.drain(..) {
            self.memory.remember(lane, command, usage, now);
        }
        self.role = RoomRole::Deputy;
        self.given_up = self.term;
        self.marker_due = None;
        self.marker_sent = None;
        self.awaits = [false; 2];
        self.waits_for_marker = false;
        let dropped = self.parked.len();
        self.parked.clear();
        dropped
    }

    pub fn own_as(&mut self, arrival: Arrival, revision: Revision) {
        self.role = RoomRole::Owner;
        self.term += 1;
        self.revision = revision;
        self.awaits = [true; 2];
        self.waits_for_marker = arrival != Arrival::TakenOver;
        self.arrival = arrival;
        self.settles = false;
        self.marker_due = Some(arrival);
        self.marker_sent = None;
        self.released = None;
    }
}
