//! The messages between a front door and a room: a [`Submission`] in, one [`Outcome`] back.
//!
//! Owns the result message and the error codes that users see. Knows neither MQTT nor devices:
//! a front door turns its own messages into these types, and a room answers with them.

mod error_code;
mod outcome;
mod transfer;

pub use error_code::ErrorCode;
pub use outcome::{Failure, FileAnswer, Outcome, Success, file_url};
pub use transfer::{CutOff, Download, DownloadBody, DownloadReader, Head, Transfer, Upload};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::json::JsonText;

/// How many commands of one room may wait at one place: in its queue, and where it moves to another gateway, until
/// that one has it. A device answers some tens of commands within the age limit, so more would expire anyway, and a
/// sender in a loop cannot fill the memory.
pub const ROOM_QUEUE_CAPACITY: usize = 64;

/// Which commands the sender may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandAuthority {
    /// No guarded commands: a token without `access = "admin"`.
    Ordinary,
    /// Guarded commands only if the room's `allow` names them: a sender without a token.
    RoomAllows,
    /// Guarded commands too: a token with `access = "admin"`.
    Admin,
}

/// Which kind of front door a command came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorKind {
    /// The MQTT broker.
    Mqtt,
    /// A WebSocket.
    WebSocket,
    /// Plain lines over TCP.
    Tcp,
    /// A request over HTTP.
    Http,
}

impl DoorKind {
    /// The value of the label `door` in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }
}

/// A command or query as a front door hands it to the gateway.
#[derive(Debug)]
pub struct Submission {
    /// The room's id as it stood in the topic.
    pub room: Arc<str>,
    /// The topic below `room/<room>/`, levels still percent-encoded: `camera/preset/3/activate`.
    pub command: String,
    /// The payload as it came.
    pub payload: Bytes,
    /// When it expires, if the sender set an expiry.
    pub expires: Option<Instant>,
    /// When the gateway received it: its age counts from then. What may have waited while the process stood still was
    /// received when that began: `standstill.rs`.
    pub received: Instant,
    /// The rights of the sender.
    pub authority: CommandAuthority,
    /// The kind of front door that it came through.
    pub door: DoorKind,
    /// The file that streams along with it.
    pub transfer: Transfer,
    /// Takes its one result.
    pub reply: Reply,
}

/// Takes commands from front doors; each gets exactly one result.
pub trait Submit: Send + Sync {
    /// Hands in a command. Returns at once: it is queued, or already answered with an error.
    fn submit(&self, submission: Submission);

    /// Refuses a command that the door does not hand in. As for a failure in the room, it is
    /// counted, a configured room gets its `command_failed` event, and the sender gets its answer.
    /// `payload` is read for its `request_id` alone; it is empty if nothing of it was received.
    fn refuse(&self, door: DoorKind, reply: Reply, payload: &Bytes, failure: Failure);
}

/// Takes an outcome to the sender of its command.
type Deliver = Box<dyn FnOnce(Outcome) + Send>;

/// The promise of exactly one result.
///
/// [`Reply::answer`] uses the reply up, and a reply that is dropped answers by itself: no path
/// through the gateway can lose a result or give two. The `request_id` is filled in when the
/// payload has been read, and is part of every result after that.
pub struct Reply {
    room: Arc<str>,
    command: String,
    /// The sender's own id for the command, taken out of a JSON payload.
    pub request_id: Option<JsonText>,
    received: Instant,
    deliver: Option<Deliver>,
}

impl Reply {
    /// A reply for `command` of `room` that hands its outcome to `deliver`.
    pub fn new(
        room: Arc<str>,
        command: impl Into<String>,
        deliver: impl FnOnce(Outcome) + Send + 'static,
    ) -> Self {
        Self {
            room,
            command: command.into(),
            request_id: None,
            received: Instant::now(),
            deliver: Some(Box::new(deliver)),
        }
    }

    /// Calls `observe` with the outcome before it is delivered, to count it.
    pub fn observed(mut self, observe: impl FnOnce(&Outcome) + Send + 'static) -> Self {
        if let Some(deliver) = self.deliver.take() {
            self.deliver = Some(Box::new(move |outcome| {
                observe(&outcome);
                deliver(outcome);
            }));
        }
        self
    }

    /// Gives the result; the time it took is counted from when the reply was made.
    pub fn answer(mut self, result: Result<Success, Failure>) {
        self.give(result);
    }

    fn give(&mut self, result: Result<Success, Failure>) {
        if let Some(deliver) = self.deliver.take() {
            deliver(Outcome {
                room: self.room.clone(),
                command: std::mem::take(&mut self.command),
                request_id: self.request_id.take(),
                took: Instant::now().saturating_duration_since(self.received),
                result,
            });
        }
    }

    /// The room it is for.
    pub fn room(&self) -> &Arc<str> {
        &self.room
    }

    /// The command it is for, as it was sent.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// How long the sender has been waiting.
    pub fn waited(&self) -> Duration {
        Instant::now().saturating_duration_since(self.received)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.deliver.is_none() {
            return;
        }
        self.give(Err(Failure::new(
            ErrorCode::OutcomeUnknown,
            "the gateway dropped this command before it had an answer, most likely because the \
             gateway is stopping; whether the device carried it out is unknown",
        )));
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("room", &self.room)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_dropped_reply_still_gives_one_result() {
        let (tx, rx) = mpsc::channel();
        drop(Reply::new("1".into(), "audio/mute", move |outcome| {
            tx.send(outcome).unwrap()
        }));
        let outcome = rx.recv().unwrap();
        assert_eq!(outcome.result.unwrap_err().code, ErrorCode::OutcomeUnknown);
        assert!(rx.recv().is_err());
    }

    #[test]
    fn an_answered_reply_gives_no_second_result() {
        let (tx, rx) = mpsc::channel();
        let reply = Reply::new("1".into(), "audio/mute", move |outcome| {
            tx.send(outcome).unwrap()
        });
        reply.answer(Ok(Success::new(200, serde_json::Value::Null)));
        assert!(rx.recv().unwrap().result.is_ok());
        assert!(rx.recv().is_err());
    }
}
