//! Answers that wait to be sent to one client, and what is told in the place of one that finds no place.

use super::ClientFrame;
use super::frame::{FrameAnswer, FrameError};
use crate::command::{ErrorCode, Failure, Outcome};
use crate::doors::payers::{TOO_MUCH_WAITS, WaitingBytes};
use crate::state::OutboxReply;

/// A client's unsent answers up to this size, all together, are not counted among those of all clients: few clients
/// have more, and what all of them may have of it is bounded by their number.
pub(super) const UNCOUNTED_BYTES: usize = 64 << 10;
/// An answer up to this size is never refused for its size: what is told in its place is not much smaller.
pub(super) const SMALL_ANSWER: usize = 4 << 10;

/// An answer that waits to be sent, as frames. A pong has none: the transport sends it itself.
#[derive(Debug, Default)]
pub struct UnsentAnswer {
    pub(super) frames: Vec<ClientFrame>,
    /// The size of its text.
    pub(super) bytes: usize,
    /// What of it is not counted among the answers of all clients.
    pub(super) uncounted_bytes: usize,
    /// The size of its file.
    pub(super) file_bytes: usize,
    /// What it takes of what all clients share, if it is large.
    pub(super) held: Vec<WaitingBytes>,
}

/// What is sent next.
#[derive(Debug)]
pub struct NextFrames {
    /// The frames.
    pub frames: Vec<ClientFrame>,
    /// To be dropped when they have been sent.
    pub held: Vec<WaitingBytes>,
}

impl From<Vec<ClientFrame>> for NextFrames {
    fn from(frames: Vec<ClientFrame>) -> Self {
        let held = Vec::new();
        Self { frames, held }
    }
}

impl OutboxReply for UnsentAnswer {}

/// The size of an answer's lines.
pub(super) fn size(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

/// What is told in the place of an answer for which no bytes are left. Every command has a result.
pub(super) fn refused(answer: &FrameAnswer) -> FrameAnswer {
    match answer {
        FrameAnswer::Result(outcome) => {
            let message = format!("the answer of the device is left out: {TOO_MUCH_WAITS}");
            FrameAnswer::Result(Box::new(Outcome {
                room: outcome.room.clone(),
                command: outcome.command.clone(),
                request_id: outcome.request_id.clone(),
                took: outcome.took,
                result: Err(Failure::new(ErrorCode::Busy, message)),
            }))
        }
        _ => FrameAnswer::Error(FrameError {
            code: ErrorCode::Busy,
            message: TOO_MUCH_WAITS.into(),
        }),
    }
}
