//! The commands that wait for a room's device.
//!
//! Owns their order, the bound, what a newer command makes pointless, and the age limit. Every
//! ticket that leaves other than by its turn is answered here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::room::Results;
use crate::catalogue::{Call, Command, Urgency};
use crate::command::{ErrorCode, Failure, Reply, Transfer};

/// How many commands may wait.
const CAPACITY: usize = 64;

/// A command that waits.
#[derive(Debug)]
pub struct Ticket {
    /// What is to be done.
    pub call: Call,
    /// Where its one result goes.
    pub reply: Reply,
    /// After this it is not wanted any more.
    pub expires: Instant,
    /// What streams along with it.
    pub transfer: Transfer,
}

impl Ticket {
    fn command(&self) -> &'static Command {
        self.call.route.command()
    }

    /// It passes others by.
    pub fn urgent(&self) -> bool {
        self.command().urgency != Urgency::InTurn
    }

    /// A long query that touches nothing: others need not wait for it.
    fn bulk(&self) -> bool {
        self.command().slow && self.command().refresh.is_empty()
    }

    /// The part of the device it is about: the topic's first level.
    pub fn area(&self) -> &'static str {
        let topic = self.call.route.topic.as_str();
        topic.split('/').next().unwrap_or(topic)
    }

    /// A newer set of the same state, or the end of what this one begins.
    fn superseded_by(&self, newer: &Self) -> bool {
        let (old, new) = (self.command(), newer.command());
        let absolute = self.call.toggled().is_none() && newer.call.toggled().is_none();
        let set = new.sets.is_some() && old.sets == new.sets && absolute;
        let undone = match new.urgency {
            Urgency::Ends(ended) => {
                self.area() == newer.area()
                    && self
                        .call
                        .route
                        .topic
                        .ends_with(&format!("/{}", ended.last_level()))
                    && shares_target(&self.call, &newer.call)
            }
            Urgency::InTurn => false,
        };
        (set && self.call.params == newer.call.params) || undone
    }
}

/// A stop is about one camera; a hang-up is about every call that waits to be dialled.
fn shares_target(begin: &Call, end: &Call) -> bool {
    !end.route.topic.ends_with("/stop")
        || (begin.variant().operation.path == end.variant().operation.path
            && begin.params == end.params)
}

/// Which of the room's lanes are free for a command.
#[derive(Debug, Clone, Copy)]
pub struct Free {
    /// The lane of commands in their order; while it is taken, the area of its command.
    pub ordered: Result<(), &'static str>,
    /// The lane beside it, for what is urgent or long.
    pub beside: bool,
}

/// On which lane a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// In order of arrival.
    Ordered,
    /// Beside that.
    Beside,
}

#[derive(Debug)]
struct Inner {
    tickets: VecDeque<Ticket>,
    /// Set while the device cannot be used: what comes is answered so at once.
    closed: Option<Failure>,
}

/// The queue of one room.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    filled: Notify,
    results: Results,
}

impl Queue {
    /// An empty, open queue.
    pub fn new(results: Results) -> Self {
        Self {
            inner: Mutex::new(Inner {
                tickets: VecDeque::new(),
                closed: None,
            }),
            filled: Notify::new(),
            results,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a ticket; it, or others it makes pointless, may be answered at once.
    pub fn push(&self, ticket: Ticket) {
        let mut answered = Vec::new();
        {
            let mut inner = self.lock();
            if let Some(failure) = &inner.closed {
                answered.push((ticket, failure.clone()));
            } else {
                let (superseded, kept) = std::mem::take(&mut inner.tickets)
                    .into_iter()
                    .partition::<Vec<_>, _>(|waiting| waiting.superseded_by(&ticket));
                inner.tickets = kept.into();
                answered.extend(
                    superseded
                        .into_iter()
                        .map(|old| (old, superseded_failure())),
                );
                if inner.tickets.len() >= CAPACITY {
                    answered.push((ticket, full()));
                } else if ticket.urgent() {
                    let place = inner.tickets.iter().position(|waiting| !waiting.urgent());
                    let place = place.unwrap_or(inner.tickets.len());
                    inner.tickets.insert(place, ticket);
                } else {
                    inner.tickets.push_back(ticket);
                }
            }
        }
        for (ticket, failure) in answered {
            self.results.give(ticket.reply, Err(failure));
        }
        self.filled.notify_one();
    }

    /// Waits until something was added.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Answers what has expired.
    pub fn expire(&self, now: Instant) {
        let expired: Vec<_> = {
            let mut inner = self.lock();
            if inner.tickets.iter().all(|ticket| ticket.expires > now) {
                return;
            }
            let (expired, kept) = std::mem::take(&mut inner.tickets)
                .into_iter()
                .partition::<Vec<_>, _>(|ticket| ticket.expires <= now);
            inner.tickets = kept.into();
            expired
        };
        for ticket in expired {
            self.results.give(ticket.reply, Err(expired_failure()));
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

    /// Takes the next command that may run now. Expired ones must have been answered before.
    pub fn take(&self, free: Free) -> Option<(Lane, Ticket)> {
        let mut inner = self.lock();
        let mut found = None;
        let mut ordered_waits = false;
        for (place, ticket) in inner.tickets.iter().enumerate() {
            let beside = free.beside
                && (ticket.bulk() || (ticket.urgent() && free.ordered != Err(ticket.area())));
            if free.ordered.is_ok() && !ordered_waits && !(ticket.bulk() && beside) {
                found = Some((place, Lane::Ordered));
                break;
            }
            if beside {
                found = Some((place, Lane::Beside));
                break;
            }
            ordered_waits = true;
        }
        let (place, lane) = found?;
        Some((lane, inner.tickets.remove(place)?))
    }

    /// Answers all that waits and, until it is opened, all that comes.
    pub fn close(&self, failure: Failure) {
        let waiting: Vec<_> = {
            let mut inner = self.lock();
            inner.closed = Some(failure.clone());
            inner.tickets.drain(..).collect()
        };
        for ticket in waiting {
            self.results.give(ticket.reply, Err(failure.clone()));
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().tickets.len()
    }

    /// Takes commands again.
    pub fn open(&self) {
        self.lock().closed = None;
    }
}

fn superseded_failure() -> Failure {
    Failure::new(
        ErrorCode::Superseded,
        "a newer command made this one pointless before its turn came",
    )
}

fn full() -> Failure {
    Failure::new(
        ErrorCode::Busy,
        format!("{CAPACITY} commands wait for this room already"),
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
    use crate::state::StateStore;

    struct Fixture {
        queue: Queue,
        answers: mpsc::Receiver<(String, ErrorCode)>,
        tx: mpsc::Sender<(String, ErrorCode)>,
    }

    const ALL: Free = Free {
        ordered: Ok(()),
        beside: true,
    };

    impl Fixture {
        fn new() -> Self {
            let (tx, answers) = mpsc::channel();
            let results = Results {
                store: StateStore::new(),
                room: "1".into(),
            };
            Self {
                queue: Queue::new(results),
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

        fn take(&self, free: Free) -> Option<(Lane, String)> {
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
        let moving = Free {
            ordered: Err("camera"),
            beside: true,
        };
        assert_eq!(queue.take(moving), None);
        let dialling = Free {
            ordered: Err("call"),
            beside: true,
        };
        assert_eq!(
            queue.take(dialling),
            Some((Lane::Beside, "camera/stop".into()))
        );
    }

    #[test]
    fn a_download_runs_beside_the_others() {
        let queue = Fixture::new();
        queue.push("system/logs/get", "");
        queue.push("audio/mute", "");
        assert_eq!(
            queue.take(ALL),
            Some((Lane::Beside, "system/logs/get".into()))
        );
        let rest = Free {
            beside: false,
            ..ALL
        };
        assert_eq!(queue.take(rest), Some((Lane::Ordered, "audio/mute".into())));
    }

    #[test]
    fn the_sixty_fifth_is_busy() {
        let queue = Fixture::new();
        for _ in 0..=CAPACITY {
            queue.push("audio/start", "");
        }
        let busy = ("audio/start".to_owned(), ErrorCode::Busy);
        assert_eq!(queue.answers.try_recv(), Ok(busy));
        queue.queue.expire(Instant::now() + Duration::from_secs(6));
        assert_eq!(queue.answers.try_iter().count(), CAPACITY);
        assert!(queue.queue.take(ALL).is_none());
    }
}
