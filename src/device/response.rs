//! The result of a request: the device's response, or the reason that there is none.

use std::time::Duration;

use bytes::Bytes;

use super::http::HttpError;
use super::problem::Problem;

/// The device's response, with any status.
#[derive(Debug, Clone)]
pub struct DeviceResponse {
    /// The HTTP status.
    pub status: u16,
    /// The MIME type without parameters, if the device gave one.
    pub content_type: Option<String>,
    /// How long the device asks to wait before the next request, if it says so.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

impl DeviceResponse {
    /// Whether the device, or what stands before it, asks for fewer requests. That says nothing of what was asked for.
    pub fn asks_for_fewer_requests(&self) -> bool {
        asks_for_fewer_requests(self.status, self.retry_after)
    }
}

/// Whether a status asks for fewer requests. A device that is starting answers 503 too, and names no time.
pub(super) fn asks_for_fewer_requests(status: u16, retry_after: Option<Duration>) -> bool {
    status == 429 || status == 503 && retry_after.is_some()
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The device cannot be used; nothing was carried out.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// No response within the time limit.
    #[error("the device did not answer in time")]
    TimedOut {
        /// The request was sent, so the device may have carried it out.
        sent: bool,
    },
    /// The device's other requests, or log-ins to other devices, took so long that this one was not sent. That says
    /// nothing of the device.
    #[error("other requests took too long")]
    NoTurn,
    /// The connection broke after the request was sent, so the device may have carried it out.
    #[error("the connection to the device broke")]
    Broken(#[source] HttpError),
    /// The response is larger than the caller's limit.
    #[error("the response is larger than {} bytes", .0.limit)]
    TooLarge(Oversize),
    /// The device refuses this request though the session is valid; with the device's reason, which
    /// may be empty.
    #[error("the device refuses this: {0}")]
    Forbidden(String),
    /// The device refused an upload before it looked at it, since it wants a token that the session did not have. It
    /// has one now.
    #[error("the device wanted a token that the session did not have")]
    TokenCame,
    /// A file made room for an urgent request, such as the stop of a camera.
    #[error("the file gave way to an urgent request")]
    Preempted {
        /// The request was begun, so the device may have carried it out.
        sent: bool,
    },
    /// The device runs in this mode, in which it refuses the request.
    #[error("the device refuses this in the mode {0}")]
    ModeLocked(String),
    /// The request was not sent: its URL would lead to another path than the one it names.
    #[error("the request's path would change when it becomes a URL")]
    UnsafePath,
}

/// Status, type and size of a response that is larger than the caller's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversize {
    /// The caller's limit in bytes.
    pub limit: usize,
    /// The HTTP status.
    pub status: u16,
    /// The MIME type without parameters, if the device gave one.
    pub content_type: Option<String>,
    /// The size in bytes, if the device gave it.
    pub length: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::device::ProblemCode;

    #[test]
    fn an_error_says_what_happened_and_keeps_its_cause() {
        let problem = Problem::new(ProblemCode::Offline, "192.0.2.1 cannot be reached");
        let error = RequestError::from(problem.clone());
        assert_eq!(error.to_string(), problem.message);
        let broken = RequestError::Broken(HttpError::SwitchedProtocols);
        assert_eq!(broken.to_string(), "the connection to the device broke");
        assert!(broken.source().is_some());
        let too_large = RequestError::TooLarge(Oversize {
            limit: 10,
            status: 200,
            content_type: None,
            length: None,
        });
        assert_eq!(
            too_large.to_string(),
            "the response is larger than 10 bytes"
        );
    }
}
