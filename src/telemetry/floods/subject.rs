//! What is counted together, how many lines it may have, and the lines about its count.

use std::sync::Arc;

use crate::command::{DoorKind, ErrorCode};
use crate::telemetry::events::{DOORS, MQTT, ROOMS};
use crate::telemetry::room_span;

/// Addresses that are counted for each subject in a minute; those that come later are only part of the sum.
pub const COUNTED_ADDRESSES: usize = 1024;
/// Commands, topics and reasons that are counted for each subject. They are longer than addresses, and there are more
/// subjects of that kind.
const COUNTED_TEXTS: usize = 16;
/// Lines of one subject in a minute: a person who tries out a command sees each failure.
pub const LINES_PER_MINUTE: u32 = 10;
/// Wrong secrets of one door in a minute. The line is for programs that block addresses, so as many as they
/// may need; it is 1 KB/s.
const WRONG_SECRETS_PER_MINUTE: u32 = 600;

/// What happens again and again with the clients of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FloodKind {
    /// A connection was closed because another one needed its place.
    GaveWay,
    /// A connection was closed at once: no other could give way.
    NoPlace,
    /// A client was refused: there are too many.
    Clients,
    /// A client was refused: there are too many with its token, or from its address where none is needed.
    ClientsOfPayer,
    /// Tokens and passwords were not checked: too many wrong ones came from the address.
    BlockedGuesses,
    /// A client speaks another protocol than the door.
    OtherProtocol,
    /// A client asks for a WebSocket subprotocol. Some end a connection where none is agreed on.
    Subprotocol,
    /// A client of the embedded broker broke the protocol, or was refused.
    BrokerClientFailed,
    /// A client of the embedded broker speaks another protocol, or a version that is not supported.
    WrongProtocol,
}

impl FloodKind {
    /// The line's message.
    pub fn text(self) -> &'static str {
        match self {
            Self::GaveWay => "a connection was closed for a newer one: all places are taken",
            Self::NoPlace => "a connection was refused: all places are in use",
            Self::Clients => "a client was refused: there are too many",
            Self::ClientsOfPayer => {
                "a client was refused: half of all clients have its token, or its address where no token is needed"
            }
            Self::BlockedGuesses => {
                "a token or password was not checked: too many wrong ones came from this address"
            }
            Self::OtherProtocol => "a client speaks another protocol than this port",
            Self::Subprotocol => {
                "a client asks for a WebSocket subprotocol, but the gateway has none"
            }
            Self::BrokerClientFailed => "a client of the embedded broker failed",
            Self::WrongProtocol => "a client cannot use the embedded broker",
        }
    }
}

/// What happens again and again with messages of the MQTT door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageProblem {
    LeftOut,
    Postponed,
    SubscriptionRefused,
    NotSent,
    InboundDropped,
    StateDoesNotStay,
}

impl MessageProblem {
    pub fn text(self) -> &'static str {
        match self {
            Self::LeftOut => "a message is left out",
            Self::Postponed => "a message has to wait",
            Self::SubscriptionRefused => "the broker refuses a subscription",
            Self::NotSent => "a message could not be sent",
            Self::InboundDropped => "a message was dropped: too many arrived at once",
            Self::StateDoesNotStay => {
                "another client writes over a state, or clears it, again and again: it is published again once a \
                 minute, and is wrong for others in between"
            }
        }
    }
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    Clients(DoorKind, FloodKind),
    WrongSecret(DoorKind),
    /// Commands of a room that fail with this code; without a room, of all that found no place.
    FailedCommands(DoorKind, ErrorCode, Option<Arc<str>>),
    /// A room goes online and offline. Rooms are configured, so their number is limited.
    RoomChanges(Arc<str>),
    /// A room's device asks for fewer requests, or does not any more.
    PaceChanges(Arc<str>),
    Messages(MessageProblem),
}

impl Subject {
    fn text(&self) -> &'static str {
        match self {
            Self::Clients(_, kind) => kind.text(),
            Self::WrongSecret(_) => "wrong token or password",
            Self::FailedCommands(..) => "command failed",
            Self::RoomChanges(_) => "online or offline",
            Self::PaceChanges(_) => "the device asks for fewer requests, or does not any more",
            Self::Messages(problem) => problem.text(),
        }
    }

    /// How many of its events are written in full in a minute.
    pub fn lines_per_minute(&self) -> u32 {
        match self {
            Self::Clients(..) => 1,
            Self::WrongSecret(_) => WRONG_SECRETS_PER_MINUTE,
            Self::FailedCommands(..)
            | Self::RoomChanges(_)
            | Self::PaceChanges(_)
            | Self::Messages(_) => LINES_PER_MINUTE,
        }
    }

    /// How many of its causes are counted apart in a minute.
    pub fn counted_causes(&self) -> usize {
        match self {
            Self::Clients(..) | Self::WrongSecret(_) => COUNTED_ADDRESSES,
            Self::FailedCommands(..)
            | Self::RoomChanges(_)
            | Self::PaceChanges(_)
            | Self::Messages(_) => COUNTED_TEXTS,
        }
    }

    /// Writes how many were only counted in the last minute.
    pub fn log_counted(&self, count: u64, total: u64, worst: &str) {
        let text = self.text();
        match self {
            Self::Clients(door, _) | Self::WrongSecret(door) => {
                let door = door.as_str();
                tracing::warn!(target: DOORS, door, count, total, worst, "again in the last minute: {text}");
            }
            Self::FailedCommands(door, code, room) => in_room(room.as_deref(), || {
                let (door, code) = (door.as_str(), code.as_str());
                tracing::info!(target: ROOMS, door, code, count, total, worst, "again in the last minute: {text}");
            }),
            Self::RoomChanges(room) | Self::PaceChanges(room) => in_room(Some(room), || {
                tracing::warn!(target: ROOMS, count, total, worst, "again in the last minute: {text}");
            }),
            Self::Messages(_) => {
                tracing::warn!(target: MQTT, count, total, worst, "again in the last minute: {text}");
            }
        }
    }

    /// Writes that a minute went by without any.
    pub fn log_end(&self, total: u64) {
        let text = self.text();
        match self {
            Self::Clients(door, _) | Self::WrongSecret(door) => {
                let door = door.as_str();
                tracing::info!(target: DOORS, door, total, "not in the last minute any more: {text}");
            }
            Self::FailedCommands(door, code, room) => in_room(room.as_deref(), || {
                let (door, code) = (door.as_str(), code.as_str());
                tracing::info!(target: ROOMS, door, code, total, "not in the last minute any more: {text}");
            }),
            Self::RoomChanges(room) | Self::PaceChanges(room) => in_room(Some(room), || {
                tracing::info!(target: ROOMS, total, "not in the last minute any more: {text}");
            }),
            Self::Messages(_) => {
                tracing::info!(target: MQTT, total, "not in the last minute any more: {text}");
            }
        }
    }
}

/// Writes a line about a room, or about many.
fn in_room(room: Option<&str>, line: impl FnOnce()) {
    match room {
        Some(room) => room_span(room).in_scope(line),
        None => line(),
    }
}
