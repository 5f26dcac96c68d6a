//! The commands that wait for a room's device.
//!
//! Owns their order, the bound, what a newer command supersedes, and the age limit. Every ticket
//! that leaves the queue without being carried out is answered here.

mod ticket;

pub use ticket::Ticket;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::publisher::RoomPublisher;
use crate::command::{ErrorCode, Failure};

/// How many commands may wait. A device answers some tens of commands within the age limit, so more
/// would expire anyway, and a sender in a loop cannot fill the memory.
const QUEUE_CAPACITY: usize = 64;

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
}

/// Which of the room's lanes are free.
#[derive(Debug, Clone, Copy)]
pub struct FreeLanes {
    /// The ordered lane; while a command runs on it, the area of that command.
    pub in_order: Result<(), &'static str>,
    /// The lane alongside.
    pub alongside: bool,
}

#[derive(Debug)]
struct Waiting {
    tickets: VecDeque<Ticket>,
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
                closed: None,
            }),
            filled: Notify::new(),
            publisher,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a ticket. It may be answered at once, and so may those that it supersedes.
    pub fn push(&self, ticket: Ticket) {
        let answered = self.lock().push(ticket);
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

    /// Answers the tickets that have expired.
    pub fn expire(&self, now: Instant) {
        let expired: Vec<_> = {
            let mut waiting = self.lock();
            if waiting.tickets.iter().all(|ticket| ticket.expires > now) {
                return;
            }
            waiting.remove_if(|ticket| ticket.expires <= now)
        };
        for ticket in expired {
            self.publisher.answer(ticket.reply, Err(expired_failure()));
        }
    }

    /// When the next waiting command expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.lock()
            .tickets
            .iter()
            .map(|ticket| ticket.expires)
            .min()
    }

    /// Takes the next command that may run now. [`Queue::expire`] must have been called before.
    pub fn take(&self, free: FreeLanes) -> Option<(Lane, Ticket)> {
        let mut waiting = self.lock();
        let (index, lane) = waiting.next(free)?;
        Some((lane, waiting.tickets.remove(index)?))
    }

    /// Answers every waiting command with this failure and, until [`Queue::open`], every new one.
    pub fn close(&self, failure: Failure) {
        let waiting: Vec<_> = {
            let mut waiting = self.lock();
            waiting.closed = Some(failure.clone());
            waiting.tickets.drain(..).collect()
        };
        for ticket in waiting {
            self.publisher.answer(ticket.reply, Err(failure.clone()));
        }
    }

    /// Takes commands again.
    pub fn open(&self) {
        self.lock().closed = None;
    }

    /// How many commands wait.
    pub fn len(&self) -> usize {
        self.lock().tickets.len()
    }
}

impl Waiting {
    /// Adds a ticket; returns those that are answered because of it.
    fn push(&mut self, ticket: Ticket) -> Vec<(Ticket, Failure)> {
        if let Some(failure) = &self.closed {
            return vec![(ticket, failure.clone())];
        }
        let superseded = self.remove_if(|older| older.superseded_by(&ticket));
        let mut answered: Vec<_> = superseded
            .into_iter()
            .map(|older| (older, superseded_failure()))
            .collect();
        if self.tickets.len() >= QUEUE_CAPACITY {
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
        let (removed, kept) = std::mem::take(&mut self.tickets)
            .into_iter()
            .partition::<Vec<_>, _>(|ticket| remove(ticket));
        self.tickets = kept.into();
        removed
    }

    /// The first ticket for which there is a lane. Those for the ordered lane keep their order: if
    /// one of them waits, no later one passes it.
    fn next(&self, free: FreeLanes) -> Option<(usize, Lane)> {
        let mut ordered_waits = false;
        for (index, ticket) in self.tickets.iter().enumerate() {
            // An urgent command does not overtake what runs in its own area: a stop would come
            // before its move.
            let passes = ticket.is_urgent() && free.in_order != Err(ticket.area());
            let alongside = free.alongside && (ticket.is_long_query() || passes);
            let prefers_alongside = alongside && ticket.is_long_query();
            if free.in_order.is_ok() && !ordered_waits && !prefers_alongside {
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
        format!("{QUEUE_CAPACITY} commands wait for this room already"),
    )
}

fn expired_failure() -> Failure {
    Failure::new(
        ErrorCode::Expired,
        "the command was too old when its turn came, so it was not carried out",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::catalogue::Call;
    use crate::command::{Reply, Transfer};
    use crate::state::StateStore;

    struct Fixture {
        queue: Queue,
        answers: mpsc::Receiver<(String, ErrorCode)>,
        tx: mpsc::Sender<(String, ErrorCode)>,
    }

    const ALL: FreeLanes = FreeLanes {
        in_order: Ok(()),
        alongside: true,
    };

    impl Fixture {
        fn new() -> Self {
            let (tx, answers) = mpsc::channel();
            let publisher = RoomPublisher::new(StateStore::new(), "1".into());
            Self {
                queue: Queue::new(Arc::new(publisher)),
                answers,
                tx,
            }
        }

        fn push(&self, command: &str, payload: &'static str) {
            let call = Call::parse(command, &Bytes::from(payload), &mut None).unwrap();
            let tx = self.tx.clone();
            let reply = Reply::new("1".into(), command, move |outcome| {
                if let Err(failure) = outcome.result {
                    let _ = tx.send((outcome.command, failure.code));
                }
            });
            self.queue.push(Ticket {
                call,
                reply,
                expires: Instant::now() + Duration::from_secs(5),
                transfer: Transfer::None,
            });
        }

        fn take(&self, free: FreeLanes) -> Option<(Lane, String)> {
            let (lane, ticket) = self.queue.take(free)?;
            Some((lane, ticket.reply.command().to_owned()))
        }
    }

    #[test]
    fn waiting_sets_of_one_state_collapse_into_the_newest() {
        let queue = Fixture::new();
        queue.push("audio/volume/set", "1");
        queue.push("video/mute", "");
        queue.push("audio/volume/up", "");
        queue.push("audio/volume/set", "2");
        let superseded = ("audio/volume/set".to_owned(), ErrorCode::Superseded);
        assert_eq!(queue.answers.try_recv(), Ok(superseded));
        assert!(queue.answers.try_recv().is_err());
        assert_eq!(queue.take(ALL).unwrap().1, "video/mute");
        assert_eq!(queue.take(ALL).unwrap().1, "audio/volume/up");
        assert_eq!(queue.take(ALL).unwrap().1, "audio/volume/set");
    }

    #[test]
    fn two_toggles_are_two() {
        let queue = Fixture::new();
        queue.push("audio/muted/set", "toggle");
        queue.push("audio/muted/set", "toggle");
        assert!(queue.answers.try_recv().is_err());
    }

    #[test]
    fn a_stop_goes_first_and_ends_the_moves_that_wait() {
        let queue = Fixture::new();
        queue.push("audio/mute", "");
        queue.push("camera/move", "left");
        queue.push("camera/preset/3/move", "left");
        queue.push("camera/stop", "");
        let superseded = ("camera/move".to_owned(), ErrorCode::Superseded);
        assert_eq!(queue.answers.try_recv(), Ok(superseded));
        assert_eq!(queue.take(ALL).unwrap().1, "camera/stop");
        assert_eq!(queue.take(ALL).unwrap().1, "audio/mute");
    }

    #[test]
    fn a_stop_does_not_overtake_the_move_that_runs() {
        let queue = Fixture::new();
        queue.push("camera/stop", "");
        let moving = FreeLanes {
            in_order: Err("camera"),
            alongside: true,
        };
        assert_eq!(queue.take(moving), None);
        let dialling = FreeLanes {
            in_order: Err("call"),
            alongside: true,
        };
        assert_eq!(
            queue.take(dialling),
            Some((Lane::Alongside, "camera/stop".into()))
        );
    }

    #[test]
    fn a_download_runs_alongside_the_others() {
        let queue = Fixture::new();
        queue.push("system/logs/get", "");
        queue.push("audio/mute", "");
        assert_eq!(
            queue.take(ALL),
            Some((Lane::Alongside, "system/logs/get".into()))
        );
        let rest = FreeLanes {
            alongside: false,
            ..ALL
        };
        assert_eq!(queue.take(rest), Some((Lane::InOrder, "audio/mute".into())));
    }

    #[test]
    fn the_sixty_fifth_is_busy() {
        let queue = Fixture::new();
        for _ in 0..=QUEUE_CAPACITY {
            queue.push("audio/start", "");
        }
        let busy = ("audio/start".to_owned(), ErrorCode::Busy);
        assert_eq!(queue.answers.try_recv(), Ok(busy));
        queue.queue.expire(Instant::now() + Duration::from_secs(6));
        assert_eq!(queue.answers.try_iter().count(), QUEUE_CAPACITY);
        assert!(queue.queue.take(ALL).is_none());
    }

    #[test]
    fn a_full_queue_takes_a_command_that_supersedes_one() {
        let queue = Fixture::new();
        queue.push("audio/volume/set", "1");
        for _ in 1..QUEUE_CAPACITY {
            queue.push("audio/start", "");
        }
        queue.push("audio/volume/set", "2");
        let superseded = ("audio/volume/set".to_owned(), ErrorCode::Superseded);
        assert_eq!(queue.answers.try_recv(), Ok(superseded));
        assert!(queue.answers.try_recv().is_err());
        assert_eq!(queue.queue.len(), QUEUE_CAPACITY);
    }

    #[test]
    fn a_closed_queue_answers_what_waits_and_what_comes() {
        let queue = Fixture::new();
        queue.push("audio/mute", "");
        queue.queue.close(stopping_failure());
        queue.push("video/mute", "");
        for command in ["audio/mute", "video/mute"] {
            let offline = (command.to_owned(), ErrorCode::Offline);
            assert_eq!(queue.answers.try_recv(), Ok(offline));
        }
        queue.queue.open();
        queue.push("audio/mute", "");
        assert_eq!(queue.take(ALL).unwrap().1, "audio/mute");
    }

    #[test]
    fn an_ordered_command_that_waits_is_not_passed_by_a_later_one() {
        let queue = Fixture::new();
        queue.push("audio/mute", "");
        queue.push("system/logs/get", "");
        let busy = FreeLanes {
            in_order: Err("video"),
            alongside: false,
        };
        assert_eq!(queue.take(busy), None);
        let alongside = FreeLanes {
            alongside: true,
            ..busy
        };
        let logs = (Lane::Alongside, "system/logs/get".to_owned());
        assert_eq!(queue.take(alongside), Some(logs));
        assert_eq!(queue.take(ALL).unwrap().1, "audio/mute");
    }

    #[test]
    fn commands_expire_in_their_own_time() {
        let queue = Fixture::new();
        assert_eq!(queue.queue.next_expiry(), None);
        queue.push("audio/mute", "");
        let expiry = queue.queue.next_expiry().unwrap();
        queue.queue.expire(expiry - Duration::from_millis(1));
        assert!(queue.answers.try_recv().is_err());
        queue.queue.expire(expiry);
        let expired = ("audio/mute".to_owned(), ErrorCode::Expired);
        assert_eq!(queue.answers.try_recv(), Ok(expired));
    }
}
