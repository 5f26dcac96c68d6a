//! Commands and their results, rooms, reads of states, and requests to devices.

use std::fmt::Display;
use std::sync::Arc;

use super::ROOMS;
use crate::command::{DoorKind, ErrorCode, Failure, Outcome};
use crate::telemetry::floods::Subject;
use crate::telemetry::shortened::shortened;
use crate::telemetry::{LONGEST_TEXT, Telemetry, room_span};

const DEVICE: &str = "poly2mqtt::device";

/// The result of reading a state from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollOutcome {
    /// The answer is another one than before.
    Changed,
    /// The answer is the same as before.
    Unchanged,
    /// The device answered with an error, or with something that cannot be read.
    Failed,
    /// No answer in time, or the connection broke.
    Silent,
}

impl PollOutcome {
    /// All of them, in the order of their numbers.
    pub(in crate::telemetry) const ALL: [Self; 4] =
        [Self::Changed, Self::Unchanged, Self::Failed, Self::Silent];

    pub(in crate::telemetry) fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Silent => "silent",
        }
    }
}

/// How a device answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum StatusClass {
    Success,
    Redirection,
    Refusal,
    Failure,
    NoAnswer,
}

impl StatusClass {
    /// All of them, in the order of their numbers.
    pub(in crate::telemetry) const ALL: [Self; 5] = [
        Self::Success,
        Self::Redirection,
        Self::Refusal,
        Self::Failure,
        Self::NoAnswer,
    ];

    fn of(status: Option<u16>) -> Self {
        match status {
            Some(100..=299) => Self::Success,
            Some(300..=399) => Self::Redirection,
            Some(400..=499) => Self::Refusal,
            Some(_) => Self::Failure,
            None => Self::NoAnswer,
        }
    }

    pub(in crate::telemetry) fn label(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::Refusal => "4xx",
            Self::Failure => "5xx",
            Self::NoAnswer => "none",
        }
    }
}

/// Commands and rooms.
impl Telemetry {
    /// A command has its result, wherever it was decided. A superseded command is counted but not
    /// logged: its sender replaced it.
    pub fn command_finished(&self, door: DoorKind, outcome: &Outcome) {
        let code = match &outcome.result {
            Ok(_) => "ok",
            Err(failure) => failure.code.as_str(),
        };
        self.metrics.command(door.as_str(), code, outcome.took);
        if let Err(failure) = &outcome.result
            && failure.code != ErrorCode::Superseded
        {
            self.command_failed(door, outcome, failure);
        }
    }

    fn command_failed(&self, door: DoorKind, outcome: &Outcome, failure: &Failure) {
        let room = shortened(&outcome.room, LONGEST_TEXT);
        // Clients choose the rooms that do not exist.
        let counted_room = (failure.code != ErrorCode::UnknownRoom).then(|| Arc::from(&*room));
        let subject = Subject::FailedCommands(door, failure.code, counted_room);
        if !self.floods.is_in_full(subject, &outcome.command) {
            return;
        }
        let command = &*shortened(&outcome.command, LONGEST_TEXT);
        let reason = &*shortened(&failure.message, LONGEST_TEXT);
        let code = failure.code.as_str();
        room_span(&room)
            .in_scope(|| tracing::info!(target: ROOMS, command, code, reason, "command failed"));
    }

    /// A room's device is logged in to and can be used.
    pub fn room_online(&self, room: &str) {
        let subject = Subject::RoomChanges(room.into());
        if self.floods.is_in_full(subject, &"online") {
            room_span(room).in_scope(|| tracing::info!(target: ROOMS, "online"));
        }
    }

    /// A room's device cannot be used any more, or has another problem than before.
    pub fn room_offline(&self, room: &str, problem: &str) {
        let problem = &*shortened(problem, LONGEST_TEXT);
        let subject = Subject::RoomChanges(room.into());
        if self.floods.is_in_full(subject, &problem) {
            room_span(room).in_scope(|| tracing::warn!(target: ROOMS, problem, "offline"));
        }
    }

    /// A camera that was started may still move: the device has refused every stop.
    pub fn camera_not_stopped(&self, room: &str, failure: &Failure) {
        let reason = &*shortened(&failure.message, LONGEST_TEXT);
        room_span(room).in_scope(|| {
            tracing::warn!(target: ROOMS, reason, "the camera may still move: the device refuses to stop it");
        });
    }

    /// A room is no longer configured.
    pub fn room_removed(&self, room: &str) {
        room_span(room).in_scope(|| tracing::info!(target: ROOMS, "removed"));
    }

    /// The read of a state begins, this late: in intervals of that state.
    pub fn poll_started(&self, late: f64) {
        self.metrics.poll_late.observe(late);
    }

    /// The read of a state ended. There are up to a thousand a second, so no line.
    pub fn poll_finished(&self, outcome: PollOutcome) {
        self.metrics.poll(outcome);
    }

    /// A device answered a request with this status, or did not answer.
    pub fn device_request(&self, status: Option<u16>) {
        self.metrics.device_request(StatusClass::of(status));
    }
}

/// Connections to devices.
impl Telemetry {
    /// The connection to a device broke after a request was sent, wholly or in part. Results only
    /// say that it did. At debug level, because each poll of a failing device may write the line.
    pub fn device_connection_broke(&self, cause: &dyn Display) {
        tracing::debug!(target: DEVICE, %cause, "the connection to the device broke");
    }
}
