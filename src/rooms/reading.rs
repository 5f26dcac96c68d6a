//! What a device's response to a read says about the states that the operation feeds.
//!
//! Pure. Polls and the read-backs of commands share it; [`super::knowledge`] publishes the result.

use serde_json::Value;

use super::refusal::{could_not_tell, invalid_body, refusal, unsupported};
use crate::catalogue::{
    Context, Evidence, Operation, Pick, State, StateTopic, read_body, refusal_reason, refuses,
};
use crate::command::Failure;
use crate::device::DeviceResponse;

/// The largest JSON answer of a device, in bytes. The longest that devices send, a full directory's page or
/// a meeting list, is some hundred kilobytes; states are some kilobytes. A device that sends
/// megabytes is broken and must not fill the memory: each of its states is kept, here and at the broker.
pub const LARGEST_JSON_ANSWER: usize = 1 << 20;

/// The message about an answer that says nothing.
pub const EMPTY_ANSWER: &str = "the device's answer is empty or null";

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
        judged(operation, response).0
    }
}

/// What a response says about the operation's states, and about who sent it.
fn judged(operation: &Operation, response: &DeviceResponse) -> (ReadOutcome, Evidence) {
    let status = response.status;
    let failed = |message| ReadOutcome::Failed(invalid_body(status, message));
    match status {
        200..=299 => match read_body(&response.body) {
            Ok(body) if refuses(&body) => {
                let failure = could_not_tell(status, refusal_reason(&body));
                (ReadOutcome::Failed(failure), Evidence::NotPoly)
            }
            Ok(body) if operation.fits(&body) => {
                let evidence = operation.evidence(&body);
                (ReadOutcome::Value(operation.shape.apply(body)), evidence)
            }
            Ok(body) => (failed(other_kind(&body)), Evidence::NotPoly),
            Err(message) => (failed(message), Evidence::NotPoly),
        },
        404 if operation.absent => (ReadOutcome::Absent, Evidence::Neutral),
        404 | 405 | 501 => (ReadOutcome::Unsupported(status), Evidence::NotPoly),
        _ if response.asks_for_fewer_requests() => {
            let failure = refusal(response, operation, false);
            (ReadOutcome::Failed(failure), Evidence::Postponed)
        }
        _ => {
            let failure = refusal(response, operation, false);
            (ReadOutcome::Failed(failure), Evidence::NotPoly)
        }
    }
}

/// The message about a body that no Poly device sends for what was read.
pub fn other_kind(body: &Value) -> String {
    let kind = match body {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("the device's answer is {kind} that a Poly device does not send here")
}

/// Whether a uniform body says nothing: a list without items is made of null too.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// A read of an operation's states, to be published: what the device has answered just now. Nothing that is
/// remembered is one, or an answer about the moment would be taken for many.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The operation that was read.
    pub operation: &'static Operation,
    /// The result.
    pub outcome: ReadOutcome,
    /// What the answer says about who sent it.
    pub evidence: Evidence,
}

impl Reading {
    /// What a response says.
    pub fn of(operation: &'static Operation, response: &DeviceResponse) -> Self {
        let (outcome, evidence) = judged(operation, response);
        Self {
            operation,
            outcome,
            evidence,
        }
    }

    /// Why the states are not known from it; none if they are.
    pub fn trouble(&self) -> Option<Failure> {
        match &self.outcome {
            ReadOutcome::Failed(failure) => Some(failure.clone()),
            ReadOutcome::Unsupported(status) => Some(unsupported(*status)),
            ReadOutcome::Value(value) if self.evidence == Evidence::NotPoly => {
                let message = if is_nothing(value) {
                    EMPTY_ANSWER
                } else {
                    "the device's answer lacks what a Poly device says here"
                };
                Some(invalid_body(200, message.into()))
            }
            ReadOutcome::Value(_) | ReadOutcome::Absent => None,
        }
    }

    /// Why it is no answer to a command; none if it says something. One that lacks something of what a Poly device
    /// says may be that of unknown firmware, and the rest of it is used.
    pub fn no_answer(&self) -> Option<Failure> {
        match &self.outcome {
            ReadOutcome::Value(value) if !is_nothing(value) => None,
            _ => self.trouble(),
        }
    }

    /// The value of a state; null where there is none. What a command does, or answers, is decided by it, so a
    /// single answer that says nothing is not taken for "there is none".
    ///
    /// # Errors
    /// Why the value is not known.
    pub fn value_of(&self, state: StateTopic, context: &Context) -> Result<Value, Failure> {
        if let Some(failure) = self.no_answer() {
            return Err(failure);
        }
        let ReadOutcome::Value(answer) = &self.outcome else {
            return Ok(Value::Null);
        };
        let mut states = self.operation.states.iter();
        let one = |known: &&State| known.topic == state && !matches!(known.pick, Pick::Each(_));
        let Some(known) = states.find(one) else {
            return Ok(Value::Null);
        };
        match (
            known.values(answer, context).into_iter().next(),
            self.trouble(),
        ) {
            (Some((_, Some(value))), _) => Ok(value.into_owned()),
            (Some((_, None)), None) => Ok(Value::Null),
            (Some((_, None)), Some(failure)) => Err(failure),
            (None, _) => {
                let message = format!("the device's answer has no value that {state} can have");
                Err(invalid_body(200, message))
            }
        }
    }
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
    fn what_is_of_no_use_is_told() {
        let trouble = |path, status, body| {
            let (operation, response) = operation_and_response(path, status, body);
            let trouble = Reading::of(operation, &response).trouble();
            trouble.map(|failure| failure.message)
        };
        for (path, status, body, words) in [
            ("/rest/audio", 200, "null", "empty or null"),
            ("/rest/audio", 204, "", "empty or null"),
            ("/rest/audio", 200, "[]", "a list that a Poly device"),
            ("/rest/audio", 200, "OK", "a text that a Poly device"),
            ("/rest/audio", 200, r#"{"status":"ok"}"#, "an object that"),
            ("/rest/audio", 200, r#"{"volume":"x"}"#, "lacks what a Poly"),
            ("/rest/audio", 200, "<html>", "a page"),
            ("/rest/audio", 200, r#"{"volume":"#, "breaks off"),
            ("/rest/audio", 302, "", "a redirect"),
            ("/rest/audio", 304, "", "answered 304, which is no answer"),
            ("/rest/audio", 429, "", "too many requests"),
            ("/rest/audio", 404, "", "does not have that (404)"),
            ("/rest/audio", 503, "", "answered 503"),
            ("/rest/conferences", 200, "null", "empty or null"),
        ] {
            let told = trouble(path, status, body).unwrap();
            assert!(told.contains(words), "{path} {status} {body}: {told}");
        }
        for (path, status, body) in [
            ("/rest/audio", 200, r#"{"volume":5,"muted":true}"#),
            ("/rest/conferences", 200, "[]"),
            ("/rest/video/local/mute", 200, "true"),
            ("/rest/cameras/contentstatus", 200, "CONTENT_IDLE"),
            ("/rest/cameras/far/all", 404, ""),
        ] {
            assert_eq!(trouble(path, status, body), None, "{path}");
        }
    }

    #[test]
    fn a_refusal_with_200_is_no_state() {
        const NO: &str = r#"{"success":false,"reason":"busy"}"#;
        for path in [
            "/rest/audio",
            "/rest/conferences",
            "/rest/calendar",
            "/rest/calendar/meetings",
            "/rest/collaboration",
            "/rest/system/apps/environment",
            "/rest/system/sipservers",
            "/rest/cameras/far/all",
            "/rest/cameras/near/selectedpeople",
            "/rest/mediastats",
            "/rest/directory/favorites",
            "/rest/directory/local/server",
        ] {
            for body in [NO, r#"[{"success":false,"reason":"busy"}]"#] {
                let ReadOutcome::Failed(failure) = read(path, 200, body) else {
                    panic!("{path} {body}")
                };
                assert_eq!(failure.message, "the device could not say: busy");
            }
        }
    }

    #[test]
    fn a_value_is_known_only_from_an_answer_that_says_it() {
        use crate::catalogue::checked::{CALL_STATE, MEETINGS};
        let value = |path, state, status, body| {
            let (operation, response) = operation_and_response(path, status, body);
            let context = Context {
                now: 0,
                preset_offset: None,
                preset_names: None,
                started: None,
            };
            Reading::of(operation, &response).value_of(state, &context)
        };
        let calls = |status, body| value("/rest/conferences", CALL_STATE, status, body);
        assert_eq!(calls(200, "[]"), Ok(json!("idle")));
        for (status, body) in [
            (200, "null"),
            (204, ""),
            (200, ""),
            (404, ""),
            (500, ""),
            (200, r#"{"success":false}"#),
        ] {
            assert!(calls(status, body).is_err(), "{status} {body}");
        }
        // A hang-up needs no more than this.
        let odd = value(
            "/rest/conferences",
            crate::catalogue::CALLS,
            200,
            r#"[{"id":"0"}]"#,
        );
        assert_eq!(odd, Ok(json!([{"id": "0"}])));
        let meetings = |body| value("/rest/calendar/meetings", MEETINGS, 200, body);
        assert_eq!(meetings("[]"), Ok(json!([])));
        assert!(meetings("null").is_err());
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
