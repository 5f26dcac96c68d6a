//! A command on its way to the gateway that has its room.

use bytes::Bytes;
use tokio::time::Instant;

use crate::catalogue::Call;
use crate::command::{
    CommandAuthority, DoorKind, Failure, Outcome, Reply, Submission, Submit, Transfer,
};
use crate::telemetry::Telemetry;

/// A command, or one that its door refuses: the owner counts and tells that too.
#[derive(Debug)]
pub struct PassedCommand {
    /// The command.
    pub submission: Submission,
    /// Why its door refuses it.
    pub refused: Option<Failure>,
}

impl PassedCommand {
    /// A command.
    pub fn command(submission: Submission) -> Self {
        let refused = None;
        Self {
            submission,
            refused,
        }
    }

    /// A command that its door refuses.
    pub fn refusal(door: DoorKind, reply: Reply, payload: &Bytes, failure: Failure) -> Self {
        Self {
            submission: Submission {
                room: reply.room().clone(),
                command: reply.command().to_owned(),
                payload: payload.clone(),
                expires: None,
                received: Instant::now(),
                // It is not carried out, whatever the sender may do.
                authority: CommandAuthority::Ordinary,
                door,
                transfer: Transfer::None,
                reply,
            },
            refused: Some(failure),
        }
    }

    /// Whether a file goes with it.
    pub fn has_file(&self) -> bool {
        !matches!(self.submission.transfer, Transfer::None)
    }

    /// Hands it to the rooms of this gateway.
    pub fn submit_to(self, rooms: &dyn Submit) {
        let submission = self.submission;
        match self.refused {
            None => rooms.submit(submission),
            Some(failure) => rooms.refuse(
                submission.door,
                submission.reply,
                &submission.payload,
                failure,
            ),
        }
    }

    /// Answers it here, because it does not reach a room. It is counted.
    pub fn fail(self, telemetry: &std::sync::Arc<Telemetry>, failure: Failure) {
        let submission = self.submission;
        let (telemetry, door) = (telemetry.clone(), submission.door);
        let mut reply = submission
            .reply
            .observed(move |outcome: &Outcome| telemetry.command_finished(door, outcome));
        reply.request_id = Call::request_id(reply.command(), &submission.payload);
        reply.answer(Err(self.refused.unwrap_or(failure)));
    }
}
