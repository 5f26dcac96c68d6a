//! The commands that wait for a room's device.
//!
//! Owns their order, the bound, what a newer command supersedes, and the age limit. Every ticket
//! that leaves the queue without being carried out is answered here.

#[cfg(test)]
mod tests;
mod ticket;

pub use ticket::Ticket;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::publisher::RoomPublisher;
use crate::command::{ErrorCode, Failure, ROOM_QUEUE_CAPACITY};

/// How many urgent commands may wait besides: a queue that others have filled keeps nobody from hanging up or
/// stopping a camera. More than the cameras and parties that a person ends at a time.
const URGENT_CAPACITY: usize = 8;

/// The message of commands for a room whose task ends.
const ROOM_STOPPING_MESSAGE: &str =
    "the room is stopping: the gateway stops, or the room's configuration changed";

/// On which lane a command runs. Each lane runs one command at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// In order of arrival.
    InOrder,
    /// Alongside the ordered one: for urgent commands and long queries.
    Alongside,
    /// For files. A file holds one of the device's requests as long as whoever gets it takes, so there is one at a
    /// time, and the other request is left to everything else.
    Files,
    /// For commands that take minutes: nothing waits for them.
    Minutes,
}

/// Which of the room's lanes are free.
#[derive(Debug, Clone, Copy)]
pub struct FreeLanes {
    /// The ordered lane; while a command runs on it, the area of that command.
    pub in_order: Result<(), &'static str>,
    /// The lane alongside.
    pub alongside: bool,
    /// The lane of files.
    pub files: bool,
    /// The lane of commands that take minutes.
    pub minutes: bool,
    /// The areas in which something is being ended: by a command that went first, and by the gateway's own
    /// stop of a camera. It would end what begins there meanwhile, too.
    pub ending: [Option<&'static str>; 2],
}

#[derive(Debug)]
struct Waiting {
    tickets: VecDeque<Ticket>,
    /// The checks of the room. They have no lane: commands do not wait for them.
    checks: VecDeque<Ticket>,
    /// The room's task ends.
    stopping: bool,
    /// Set while the device cannot be used: every command is answered with it at once.
    closed: Option<Failure>,
}

/// The queue of one room.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    publisher: Arc<RoomPublisher>,
}

impl Queue {
    /// An empty, open queue.
    pub fn new(publisher: Arc<RoomPublisher>) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                tickets: VecDeque::new(),
                checks: VecDeque::new(),
                stopping: false,
                closed: None,
            }),
            filled: Notify::new(),
            publisher,
        }
    }

    /// Adds a ticket. It may be answered at once, and so may those that it supersedes.
    pub fn push(&self, ticket: Ticket) {
        let answered = self.waiting.lock().push(ticket);
        // Answered without the lock, since an answer may lead to the next command.
        for (ticket, failure) in answered {
            self.publisher.answer(ticket.reply, Err(failure));
        }
        self.filled.notify_one();
    }

    /// Waits until something was added.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Answers the tickets that have expired. `file`: a file is under way, for which others wait.
    pub fn expire(&self, now: Instant, file: bool) {
        let expired: Vec<_> = {
            let mut waiting = self.waiting.lock();
            let mut all = waiting.tickets.iter().chain(&waiting.checks);
            if all.all(|ticket| ticket.expires > now) {
                return;
            }
            waiting.remove_if(|ticket| ticket.expires <= now)
        };
        for ticket in expired {
            let failure = expired_failure(file && ticket.is_file());
            self.publisher.answer(ticket.reply, Err(failure));
        }
    }

    /// When the next waiting command expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        let waiting = self.waiting.lock();
        let all = waiting.tickets.iter().chain(&waiting.checks);
        all.map(|ticket| ticket.expires).min()
    }

    /// Takes the next command that may run now. [`Queue::expire`] must have been called before.
    pub fn take(&self, free: FreeLanes) -> Option<(Lane, Ticket)> {
        let mut waiting = self.waiting.lock();
        let (index, lane) = waiting.next(free)?;
        Some((lane, waiting.tickets.remove(index)?))
    }

    /// Takes the next check of the room.
    pub fn take_check(&self) -> Option<Ticket> {
        self.waiting.lock().checks.pop_front()
    }

    /// Answers everything that waits, and whatever comes: the room's task ends.
    pub fn stop(&self) {
        let checks = {
            let mut waiting = self.waiting.lock();
            waiting.stopping = true;
            std::mem::take(&mut waiting.checks)
        };
        for ticket in checks {
            self.publisher.answer(ticket.reply, Err(stopping_failure()));
        }
        self.close(stopping_failure());
    }

    /// Answers every waiting command, but no check, with this failure and, until [`Queue::open`], every new one.
    pub fn close(&self, failure: Failure) {
        let waiting: Vec<_> = {
            let mut waiting = self.waiting.lock();
            waiting.closed = Some(failure.clone());
            waiting.tickets.drain(..).collect()
        };
        for ticket in waiting {
            self.publisher.answer(ticket.reply, Err(failure.clone()));
        }
    }

    /// Takes commands again.
    pub fn open(&self) {
        self.waiting.lock().closed = None;
    }

    /// Whether no command waits; checks of the room do not count.
    pub fn has_no_command(&self) -> bool {
        self.waiting.lock().tickets.is_empty()
    }

    /// How many commands wait.
    pub fn len(&self) -> usize {
        let waiting = self.waiting.lock();
        waiting.tickets.len() + waiting.checks.len()
    }
}

impl Waiting {
    /// Adds a ticket; returns those that are answered because of it.
    fn push(&mut self, ticket: Ticket) -> Vec<(Ticket, Failure)> {
        // Also while the device cannot be used: that is what the report says.
        if ticket.is_check() && !self.stopping {
            if self.checks.len() >= ROOM_QUEUE_CAPACITY {
                return vec![(ticket, full_failure())];
            }
            self.checks.push_back(ticket);
            return Vec::new();
        }
        if let Some(failure) = &self.closed {
            return vec![(ticket, failure.clone())];
        }
        let superseded = self.remove_if(|older| older.superseded_by(&ticket));
        let mut answered: Vec<_> = superseded
            .into_iter()
            .map(|older| (older, superseded_failure()))
            .collect();
        let capacity = if ticket.is_urgent() {
            ROOM_QUEUE_CAPACITY + URGENT_CAPACITY
        } else {
            ROOM_QUEUE_CAPACITY
        };
        if self.tickets.len() >= capacity {
            answered.push((ticket, full_failure()));
        } else if ticket.is_urgent() {
            // Behind the urgent ones that wait already, before all others.
            let index = self.tickets.iter().position(|other| !other.is_urgent());
            let index = index.unwrap_or(self.tickets.len());
            self.tickets.insert(index, ticket);
        } else {
            self.tickets.push_back(ticket);
        }
        answered
    }

    fn remove_if(&mut self, remove: impl Fn(&Ticket) -> bool) -> Vec<Ticket> {
        let mut all_removed = Vec::new();
        for list in [&mut self.tickets, &mut self.checks] {
            let (removed, kept) = std::mem::take(list)
                .into_iter()
                .partition::<Vec<_>, _>(|ticket| remove(ticket));
            *list = kept.into();
            all_removed.extend(removed);
        }
        all_removed
    }

    /// The first ticket for which there is a lane. Those for the ordered lane keep their order: if
    /// one of them waits, no later one passes it. What is ended in their area they wait for.
    fn next(&self, free: FreeLanes) -> Option<(usize, Lane)> {
        let mut ordered_waits = false;
        for (index, ticket) in self.tickets.iter().enumerate() {
            if ticket.takes_minutes() {
                // It begins in its turn, and holds up nobody while another one runs.
                if free.minutes && free.in_order.is_ok() && !ordered_waits {
                    return Some((index, Lane::Minutes));
                }
                ordered_waits |= free.minutes;
                continue;
            }
            if ticket.is_file() {
                if free.files {
                    return Some((index, Lane::Files));
                }
                continue;
            }
            // An urgent command does not overtake what runs in its own area: a stop would come
            // before its move.
            let area = ticket.area();
            let passes = ticket.is_urgent() && free.in_order != Err(area);
            let alongside = free.alongside && (ticket.runs_alongside() || passes);
            let prefers_alongside = alongside && ticket.runs_alongside();
            let waits_for_end = !ticket.is_urgent() && free.ending.contains(&Some(area));
            let may_be_next = free.in_order.is_ok() && !ordered_waits && !waits_for_end;
            if may_be_next && !prefers_alongside {
                return Some((index, Lane::InOrder));
            }
            if alongside {
                return Some((index, Lane::Alongside));
            }
            ordered_waits = true;
        }
        None
    }
}

/// The failure of commands for a room whose task ends.
pub fn stopping_failure() -> Failure {
    Failure::new(ErrorCode::Offline, ROOM_STOPPING_MESSAGE)
}

fn superseded_failure() -> Failure {
    Failure::new(
        ErrorCode::Superseded,
        "a newer command made this one pointless before its turn came",
    )
}

fn full_failure() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        format!("{ROOM_QUEUE_CAPACITY} commands wait for this room already"),
    )
}

fn expired_failure(waited_for_file: bool) -> Failure {
    let message = if waited_for_file {
        "the room's device sends or gets one file at a time, and another one took too long; ask for this one \
             again later"
    } else {
        "the command was too old when its turn came, so it was not carried out"
    };
    Failure::new(ErrorCode::Expired, message)
}
