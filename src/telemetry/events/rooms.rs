//! Checks of the room. Commands, availability and calls are in `room_events`.

use super::ROOMS;
use crate::telemetry::{Telemetry, room_span};

/// What came of a check of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum CheckOutcome {
    Ready,
    NotReady,
    Postponed,
}

impl CheckOutcome {
    /// All of them, in the order of their numbers.
    pub(in crate::telemetry) const ALL: [Self; 3] = [Self::Ready, Self::NotReady, Self::Postponed];

    pub(in crate::telemetry) fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Postponed => "postponed",
        }
    }
}

impl Telemetry {
    /// A check has found nothing wrong.
    pub fn room_ready(&self, room: &str) {
        self.metrics.room_check(CheckOutcome::Ready);
        room_span(room).in_scope(|| tracing::info!(target: ROOMS, "the room is ready"));
    }

    /// A check has found something wrong. `failed`: the messages of the parts that failed.
    pub fn room_not_ready(&self, room: &str, failed: &[&str]) {
        self.metrics.room_check(CheckOutcome::NotReady);
        let failed = failed.join("; ");
        room_span(room).in_scope(|| tracing::warn!(target: ROOMS, failed, "the room is not ready"));
    }

    /// The daily check cannot run now, for this reason. It is tried again.
    pub fn daily_check_postponed(&self, room: &str, reason: &str) {
        self.metrics.room_check(CheckOutcome::Postponed);
        room_span(room)
            .in_scope(|| tracing::info!(target: ROOMS, reason, "check of the room postponed"));
    }
}
