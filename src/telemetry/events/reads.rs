//! Reads of states, and requests to devices.

use std::fmt::Display;

use super::DEVICE;
use crate::telemetry::Telemetry;

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

/// Reads of states and requests.
impl Telemetry {
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
