//! The dispatch of commands: each goes to its room, or is answered with why there is none.
//!
//! Owns why a room does not run. Starts and stops none.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::Rooms;
use super::queue::stopping_failure;
use super::room::RoomEntrance;
use crate::catalogue::Call;
use crate::command::{DoorKind, ErrorCode, Failure, Outcome, Reply, Submission, Submit};
use crate::nearest::Nearest;

/// Why a configured room does not run.
#[derive(Debug, Clone, Copy)]
pub(super) enum NotRunning {
    /// It is being started, stopped or replaced.
    Changing,
    /// It is not configured any more, and finishes what it began.
    Ending,
    /// Something of its configuration cannot be used, such as a file.
    CannotStart,
    /// Another gateway has it.
    Elsewhere,
}

impl NotRunning {
    /// The answer to its commands.
    fn failure(self) -> Failure {
        match self {
            Self::Changing | Self::Ending => stopping_failure(),
            Self::CannotStart => Failure::new(
                ErrorCode::Offline,
                "the room could not be started; the gateway's log says why",
            ),
            Self::Elsewhere => Failure::new(
                ErrorCode::Offline,
                "another gateway of the cluster has the room, or none",
            ),
        }
    }
}

impl Rooms {
    /// Where a room takes its commands, or why none can be handed to it. No lock is held afterwards: an
    /// answer may lead to the next command.
    fn entrance(&self, room: &str) -> Result<Arc<RoomEntrance>, Failure> {
        let rooms = self.rooms.read();
        if let Some(running) = rooms.get(room) {
            return Ok(running.room.entrance());
        }
        let not_running = self.not_running();
        if let Some(why) = not_running.get(room) {
            return Err(why.failure());
        }
        let configured: BTreeSet<&Arc<str>> = rooms.keys().chain(not_running.keys()).collect();
        let known = Nearest::of(room, configured.into_iter().map(|id| &**id));
        let known = known.words("configured", str::to_owned);
        let message = format!("there is no room \"{room}\"; {known}");
        Err(Failure::new(ErrorCode::UnknownRoom, message))
    }

    /// Counts and logs the outcome of a command when it has one.
    fn counted(&self, door: DoorKind, reply: Reply) -> Reply {
        let telemetry = self.telemetry.clone();
        reply.observed(move |outcome: &Outcome| telemetry.command_finished(door, outcome))
    }
}

impl Submit for Rooms {
    fn refuse(&self, door: DoorKind, reply: Reply, payload: &Bytes, failure: Failure) {
        let mut reply = self.counted(door, reply);
        reply.request_id = Call::request_id(reply.command(), payload);
        match self.entrance(reply.room()) {
            Ok(entrance) if failure.code == ErrorCode::Forbidden => entrance.forbid(reply, failure),
            Ok(entrance) => entrance.refuse(reply, failure),
            Err(_) => reply.answer(Err(failure)),
        }
    }

    fn submit(&self, mut submission: Submission) {
        submission.reply = self.counted(submission.door, submission.reply);
        match self.entrance(&submission.room) {
            Ok(entrance) => entrance.submit(submission),
            Err(failure) => {
                let mut reply = submission.reply;
                reply.request_id = Call::request_id(reply.command(), &submission.payload);
                reply.answer(Err(failure));
            }
        }
    }
}
