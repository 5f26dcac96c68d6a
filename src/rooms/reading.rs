//! What a device's response to a read says about the states that the operation feeds.
//!
//! Pure. Polls and the read-backs of commands share it; [`super::knowledge`] publishes the result.

use serde_json::Value;

use super::refusal::{invalid_body, refusal};
use crate::catalogue::{Operation, read_body};
use crate::command::Failure;
use crate::device::DeviceResponse;

/// The largest JSON answer of a device, in bytes. The longest that devices send, a full directory's page or
/// a meeting list, is some hundred kilobytes; states are some kilobytes. A device that sends
/// megabytes is broken and must not fill the memory: each of its states is kept, here and at the broker.
pub const LARGEST_JSON_ANSWER: usize = 1 << 20;

/// The result of reading an operation's states.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadOutcome {
    /// The body, in the operation's uniform shape.
    Value(Value),
    /// There is none at the moment, which is no error.
    Absent,
    /// The device does not have this; it answered with this status.
    Unsupported(u16),
    /// The device could not say.
    Failed(Failure),
}

impl ReadOutcome {
    /// What a response says about the operation's states.
    pub fn of(operation: &Operation, response: &DeviceResponse) -> Self {
        match response.status {
            200..=299 => match read_body(&response.body) {
                Ok(value) => Self::Value(operation.shape.apply(value)),
                Err(message) => Self::Failed(invalid_body(response.status, message)),
            },
            404 if operation.absent => Self::Absent,
            404 | 405 | 501 => Self::Unsupported(response.status),
            _ => Self::Failed(refusal(response, operation, false)),
        }
    }
}

/// A read of an operation's states, to be published.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The operation that was read.
    pub operation: &'static Operation,
    /// The result.
    pub outcome: ReadOutcome,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::command::ErrorCode;
    use crate::rooms::testing::operation_and_response;

    fn read(path: &str, status: u16, body: &'static str) -> ReadOutcome {
        let (operation, response) = operation_and_response(path, status, body);
        ReadOutcome::of(operation, &response)
    }

    #[test]
    fn not_found_means_what_the_operation_says() {
        assert_eq!(read("/rest/cameras/far/all", 404, ""), ReadOutcome::Absent);
        let unsupported = ReadOutcome::Unsupported(404);
        assert_eq!(read("/rest/audio", 404, ""), unsupported);
        assert_eq!(read("/rest/audio", 501, ""), ReadOutcome::Unsupported(501));
    }

    #[test]
    fn a_body_that_is_not_json_is_a_failure() {
        let value = read("/rest/audio", 200, r#"{"volume":5}"#);
        assert_eq!(value, ReadOutcome::Value(json!({"volume": 5})));
        let ReadOutcome::Failed(failure) = read("/rest/audio", 200, "<html>") else {
            unreachable!()
        };
        assert_eq!(failure.code, ErrorCode::DeviceError);
        let ReadOutcome::Failed(failure) = read("/rest/audio", 500, "") else {
            unreachable!()
        };
        assert_eq!(failure.status, Some(500));
    }
}
