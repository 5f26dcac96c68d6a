//! Takes the commands of the doors to the gateway that has the room.
//!
//! Owns what waits while no gateway takes it: by room in order of arrival, bounded in number and time. Knows
//! neither sockets nor devices.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::connect::Dialer;
use super::file;
use super::links::Links;
use super::passed::PassedCommand;
use super::peer::NotTaken;
use super::{Holder, RoomHolders};
use crate::command::{
    DoorKind, ErrorCode, Failure, ROOM_QUEUE_CAPACITY, Reply, Submission, Submit,
};
use crate::telemetry::Telemetry;

/// How long a command waits for a gateway that takes it. The others know of an owner's death after 3.5 s at most, and
/// a room that is handed over needs less than a second: which of the two it is, may change while a command waits.
const WAITING_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands of all rooms that may wait.
const MOST_WAITING: usize = 4096;
/// A member that should have the room and does not is asked again after this.
const ASK_AGAIN_DELAY: Duration = Duration::from_millis(50);

/// A gateway that ends looks this often whether commands still wait.
const WAITING_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Takes commands to the gateway that has the room.
#[derive(Debug)]
pub struct Router {
    rooms: RoomsHere,
    holders: Arc<dyn RoomHolders>,
    links: Arc<Links>,
    dialer: Arc<Dialer>,
    telemetry: Arc<Telemetry>,
    waiting: Mutex<Waiting>,
    /// Something waits that did not before.
    arrived: Notify,
    stopping: AtomicBool,
    /// Itself, for the tasks of files.
    own: Weak<Router>,
}

/// The rooms of this gateway.
struct RoomsHere(Arc<dyn Submit>);

impl std::fmt::Debug for RoomsHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoomsHere").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Waiting {
    rooms: HashMap<Arc<str>, VecDeque<WaitingCommand>>,
    number: usize,
}

#[derive(Debug)]
struct WaitingCommand {
    passed: PassedCommand,
    /// Since when it waits.
    since: Instant,
    /// A member that was asked and does not have the room, and when it may be asked again.
    refused_by: Option<(Arc<str>, Instant)>,
}

impl WaitingCommand {
    /// When it has waited in vain.
    fn end(&self) -> Instant {
        self.since + WAITING_TIMEOUT
    }
}

/// Why a command cannot go anywhere now.
#[derive(Debug)]
enum NotNow {
    Moving,
    Nobody(Arc<str>),
    Unreachable {
        member: Arc<str>,
        why: String,
    },
    NotThere {
        member: Arc<str>,
        ask_again: Instant,
    },
}

/// A command that cannot go anywhere now, and why.
type Unsent = Box<(WaitingCommand, NotNow)>;

fn unsent(command: WaitingCommand, why: NotNow) -> Unsent {
    Box::new((command, why))
}

impl NotNow {
    /// The answer to a command that has waited in vain.
    fn failure(&self) -> Failure {
        let waited = WAITING_TIMEOUT.as_secs();
        let message = match self {
            Self::Moving => format!(
                "the room moves from one gateway to another, and none has taken it for {waited} s; the \
                 command was not sent"
            ),
            Self::Nobody(why) => format!("{why}; the command was not sent within {waited} s"),
            Self::Unreachable { member, why } => format!(
                "gateway \"{member}\" has the room and cannot be reached from this gateway: {why}; the \
                 command was not sent within {waited} s"
            ),
            Self::NotThere { member, .. } => format!(
                "the gateways disagree about who has the room: gateway \"{member}\" should, and says that it \
                 has not; the command was not carried out"
            ),
        };
        Failure::new(ErrorCode::Offline, message)
    }
}

impl Router {
    /// A router between the rooms of this gateway and the links to the others.
    pub fn new(
        rooms: Arc<dyn Submit>,
        holders: Arc<dyn RoomHolders>,
        links: Arc<Links>,
        dialer: Arc<Dialer>,
        telemetry: Arc<Telemetry>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            rooms: RoomsHere(rooms),
            holders,
            links,
            dialer,
            telemetry,
            waiting: Mutex::default(),
            arrived: Notify::new(),
            stopping: AtomicBool::new(false),
            own: own.clone(),
        })
    }

    /// Takes a command from a door.
    fn take(&self, passed: PassedCommand) {
        let command = WaitingCommand {
            since: Instant::now(),
            passed,
            refused_by: None,
        };
        // After those that wait already.
        let waits = self
            .waiting
            .lock()
            .rooms
            .contains_key(&command.passed.submission.room);
        if waits {
            return self.wait(command);
        }
        if let Err(unsent) = self.send(command) {
            let (command, why) = *unsent;
            self.wait_for(command, &why);
        }
    }

    /// A command that was on its way comes back: its link broke before it was sent, or the member that got it
    /// does not have the room.
    pub fn again(&self, passed: PassedCommand, refused_by: Option<&Arc<str>>) {
        let command = WaitingCommand {
            // What it has waited before counts: so it does not go back and forth for ever.
            since: passed.submission.received,
            refused_by: refused_by.map(|member| (member.clone(), Instant::now() + ASK_AGAIN_DELAY)),
            passed,
        };
        if let Err(unsent) = self.send(command) {
            let (command, why) = *unsent;
            self.wait_for(command, &why);
        }
    }

    /// The link to the member broke after the command was sent.
    pub fn lost(&self, passed: PassedCommand, member: &str) {
        let message = format!(
            "gateway \"{member}\" has the room and got the command; the link to it broke before the result \
             came, so whether the device carried it out is unknown"
        );
        let failure = Failure::new(ErrorCode::OutcomeUnknown, message);
        passed.fail(&self.telemetry, failure);
    }

    /// Sends a command to who has its room.
    fn send(&self, mut command: WaitingCommand) -> Result<(), Unsent> {
        let member = match self.holders.holder(&command.passed.submission.room) {
            Holder::Me | Holder::NotShared => {
                command.passed.submit_to(&*self.rooms.0);
                return Ok(());
            }
            Holder::Moving => return Err(unsent(command, NotNow::Moving)),
            Holder::Nobody(why) => return Err(unsent(command, NotNow::Nobody(why))),
            Holder::Member(member) => member,
        };
        if let Some((refused_by, ask_again)) = command.refused_by.clone()
            && refused_by == member.name
            && Instant::now() < ask_again
        {
            let member = member.name;
            return Err(unsent(command, NotNow::NotThere { member, ask_again }));
        }
        let unreachable = |why: Option<String>| NotNow::Unreachable {
            member: member.name.clone(),
            why: why.unwrap_or_else(|| "there is no link to it".into()),
        };
        let Some(link) = self.links.get(&member.name) else {
            return Err(unsent(command, unreachable(None)));
        };
        if command.passed.has_file() {
            let why = link.why_not_connected();
            return match (why, self.own.upgrade()) {
                (None, Some(router)) => {
                    let sending = file::send(router, self.dialer.clone(), link, command.passed);
                    tokio::spawn(sending);
                    self.telemetry.command_passed_on();
                    Ok(())
                }
                (why, _) => Err(unsent(command, unreachable(why))),
            };
        }
        match link.pass(command.passed) {
            Ok(()) => {
                self.telemetry.command_passed_on();
                Ok(())
            }
            Err(NotTaken::NotConnected(passed)) => {
                command.passed = *passed;
                Err(unsent(command, unreachable(link.why_not_connected())))
            }
            Err(NotTaken::Full(passed)) => {
                let message = format!(
                    "too many commands that were passed on to gateway \"{}\" have no result yet",
                    member.name
                );
                passed.fail(&self.telemetry, Failure::new(ErrorCode::Busy, message));
                Ok(())
            }
        }
    }

    /// Keeps a command until it can be sent, if that is worth while.
    fn wait_for(&self, command: WaitingCommand, why: &NotNow) {
        if command.end() <= Instant::now() {
            return command.passed.fail(&self.telemetry, why.failure());
        }
        self.wait(command);
    }

    fn wait(&self, command: WaitingCommand) {
        // What its door refuses has its answer already.
        if command.passed.refused.is_some() || self.stopping.load(Ordering::Relaxed) {
            return command.passed.fail(&self.telemetry, stopping());
        }
        let mut waiting = self.waiting.lock();
        let is_full = waiting.number >= MOST_WAITING;
        let room = command.passed.submission.room.clone();
        let queue = waiting.rooms.entry(room).or_default();
        if is_full || queue.len() >= ROOM_QUEUE_CAPACITY {
            drop(waiting);
            let message = "too many commands wait until a gateway has the room";
            return command
                .passed
                .fail(&self.telemetry, Failure::new(ErrorCode::Busy, message));
        }
        // One that comes back goes before those that came later.
        let later = |other: &WaitingCommand| {
            other.passed.submission.received > command.passed.submission.received
        };
        let place = queue.iter().position(later).unwrap_or(queue.len());
        queue.insert(place, command);
        waiting.number += 1;
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Sends what waits as soon as that can be done.
    pub async fn send_waiting(self: Arc<Self>) {
        let (mut holders, mut links) = (self.holders.changed(), self.links.changed());
        loop {
            let next = self.send_what_can_be_sent();
            let next_look = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = holders.changed() => if changed.is_err() { return },
                changed = links.changed() => if changed.is_err() { return },
                () = self.arrived.notified() => {}
                () = next_look => {}
            }
        }
    }

    /// Sends what can be sent, answers what has waited too long, and says when to look again.
    fn send_what_can_be_sent(&self) -> Option<Instant> {
        let rooms: Vec<Arc<str>> = self.waiting.lock().rooms.keys().cloned().collect();
        let mut next: Option<Instant> = None;
        for room in rooms {
            while let Some(command) = self.first_of(&room) {
                let Err(unsent) = self.send(command) else {
                    continue;
                };
                let (command, why) = *unsent;
                let end = command.end();
                if end <= Instant::now() {
                    command.passed.fail(&self.telemetry, why.failure());
                    continue;
                }
                let look = match why {
                    NotNow::NotThere { ask_again, .. } => end.min(ask_again),
                    _ => end,
                };
                next = Some(next.map_or(look, |next| next.min(look)));
                let mut waiting = self.waiting.lock();
                waiting.rooms.entry(room).or_default().push_front(command);
                waiting.number += 1;
                break;
            }
        }
        next
    }

    /// Takes the oldest command of a room. The room stays known as one whose commands wait until there is none.
    fn first_of(&self, room: &Arc<str>) -> Option<WaitingCommand> {
        let mut waiting = self.waiting.lock();
        let first = waiting.rooms.get_mut(room)?.pop_front();
        match first {
            Some(_) => waiting.number -= 1,
            None => {
                waiting.rooms.remove(room);
            }
        }
        first
    }

    /// Waits until no command waits for a gateway that takes it. Needs a time limit.
    pub async fn sent_all(&self) {
        while self.waiting.lock().number > 0 {
            sleep(WAITING_LOOK_INTERVAL).await;
        }
    }

    /// Keeps no command any more, and answers those that wait.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for command in waiting.rooms.into_values().flatten() {
            command.passed.fail(&self.telemetry, stopping());
        }
    }

    /// Counts what is answered here.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }
}

/// The answer to commands that wait while the gateway stops.
fn stopping() -> Failure {
    let message = "the gateway stops, and no gateway has the room; the command was not sent";
    Failure::new(ErrorCode::Offline, message)
}

impl Submit for Router {
    fn submit(&self, submission: Submission) {
        self.take(PassedCommand::command(submission));
    }

    fn refuse(&self, door: DoorKind, reply: Reply, payload: &Bytes, failure: Failure) {
        self.take(PassedCommand::refusal(door, reply, payload, failure));
    }
}
