//! Commands and their outcomes as they go from one member to another, without any loss.
//!
//! Pure. Times become durations: members have no common clock.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::frame::NoFrame;
use super::passed::PassedCommand;
use crate::command::{
    CommandAuthority, DoorKind, ErrorCode, Failure, FileAnswer, Outcome, Reply, Submission,
    Success, Transfer,
};
use crate::json::JsonText;

/// No command gets older: `max_command_age` is shorter.
const LONGEST_AGE: Duration = Duration::from_secs(24 * 3600);

/// A command without its payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandHead {
    room: String,
    command: String,
    authority: CommandAuthority,
    door: DoorKind,
    /// How long ago it was received, in milliseconds.
    age_ms: u64,
    /// When it expires, in milliseconds from now.
    expires_ms: Option<u64>,
    /// The door refuses it, for this reason.
    refused: Option<FailureHead>,
}

/// The outcome of a command. The body of its frame is the JSON answer, and the file after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeHead {
    /// As the sender wrote it.
    request_id: Option<String>,
    result: Result<SuccessHead, FailureHead>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SuccessHead {
    status: u16,
    /// The bytes of the JSON answer; 0 for null.
    answer_bytes: usize,
    warning: Option<String>,
    file: Option<FileHead>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FileHead {
    topic: String,
    content_type: String,
    size: Option<u64>,
    is_state: bool,
    has_bytes: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FailureHead {
    code: String,
    message: String,
    status: Option<u16>,
}

impl CommandHead {
    /// Of a command that is passed on now.
    pub fn new(passed: &PassedCommand, now: Instant) -> Self {
        let submission = &passed.submission;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            room: submission.room.to_string(),
            command: submission.command.clone(),
            authority: submission.authority,
            door: submission.door,
            age_ms: ms(now.saturating_duration_since(submission.received)),
            expires_ms: submission
                .expires
                .map(|expires| ms(expires.saturating_duration_since(now))),
            refused: passed.refused.as_ref().map(FailureHead::new),
        }
    }

    /// The room.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The command at the owner, whose result goes to `deliver`.
    pub fn received(
        self,
        payload: Bytes,
        transfer: Transfer,
        now: Instant,
        deliver: impl FnOnce(Outcome) + Send + 'static,
    ) -> PassedCommand {
        let room: std::sync::Arc<str> = self.room.into();
        let reply = Reply::new(room.clone(), self.command.clone(), deliver);
        // Older than the machine runs cannot be said: it must not become new by that.
        let ago = Duration::from_millis(self.age_ms).min(LONGEST_AGE);
        PassedCommand {
            submission: Submission {
                room,
                command: self.command,
                payload,
                expires: self
                    .expires_ms
                    .and_then(|ms| now.checked_add(Duration::from_millis(ms))),
                received: now.checked_sub(ago).unwrap_or(now),
                authority: self.authority,
                door: self.door,
                transfer,
                reply,
            },
            refused: self.refused.map(FailureHead::into_failure),
        }
    }
}

impl FailureHead {
    fn new(failure: &Failure) -> Self {
        Self {
            code: failure.code.as_str().to_owned(),
            message: failure.message.clone(),
            status: failure.status,
        }
    }

    fn into_failure(self) -> Failure {
        let mut codes = ErrorCode::ALL.into_iter();
        Failure {
            // A code that this version does not know comes from a newer one.
            code: codes
                .find(|code| code.as_str() == self.code)
                .unwrap_or(ErrorCode::DeviceError),
            message: self.message,
            status: self.status,
        }
    }
}

impl OutcomeHead {
    /// Of an outcome, with the body of its frame.
    pub fn new(outcome: Outcome) -> (Self, Bytes) {
        let request_id = outcome.request_id;
        let request_id = request_id.map(|id| id.as_str().to_owned());
        let (result, body) = match outcome.result {
            Err(failure) => (Err(FailureHead::new(&failure)), Bytes::new()),
            Ok(success) => {
                let (head, body) = SuccessHead::new(success);
                (Ok(head), body)
            }
        };
        (Self { request_id, result }, body)
    }

    /// The request's id and the result.
    ///
    /// # Errors
    /// Head and body do not fit.
    pub fn into_result(
        self,
        body: Bytes,
    ) -> Result<(Option<JsonText>, Result<Success, Failure>), NoFrame> {
        let request_id = self.request_id.as_deref().and_then(exact);
        let result = match self.result {
            Err(failure) => Err(failure.into_failure()),
            Ok(success) => Ok(success.into_success(body)?),
        };
        Ok((request_id, result))
    }
}

/// JSON as it was written.
fn exact(text: &str) -> Option<JsonText> {
    JsonText::member(&format!("{{\"id\":{text}}}"), "id")
}

impl SuccessHead {
    fn new(success: Success) -> (Self, Bytes) {
        let answer = match &success.body {
            Value::Null => String::new(),
            answer => answer.to_string(),
        };
        let bytes = success.file.as_ref().and_then(|file| file.bytes.clone());
        let head = Self {
            status: success.status,
            answer_bytes: answer.len(),
            warning: success.warning,
            file: success.file.map(|file| FileHead {
                topic: file.topic,
                content_type: file.content_type.to_string(),
                size: file.size,
                is_state: file.is_state,
                has_bytes: file.bytes.is_some(),
            }),
        };
        let body = match bytes {
            Some(bytes) if answer.is_empty() => bytes,
            Some(bytes) => {
                let mut body = BytesMut::from(answer.as_bytes());
                body.extend_from_slice(&bytes);
                body.freeze()
            }
            None => answer.into(),
        };
        (head, body)
    }

    fn into_success(self, mut body: Bytes) -> Result<Success, NoFrame> {
        if self.answer_bytes > body.len() {
            return Err(NoFrame);
        }
        let answer = body.split_to(self.answer_bytes);
        let answer = if answer.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&answer).map_err(|_| NoFrame)?
        };
        let file = self.file.map(|file| FileAnswer {
            topic: file.topic,
            content_type: file.content_type.into(),
            size: file.size,
            bytes: file.has_bytes.then_some(body),
            is_state: file.is_state,
        });
        Ok(Success {
            status: self.status,
            body: answer,
            file,
            warning: self.warning,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::link::frame::{decode, encode};

    fn sent(result: Result<Success, Failure>, request_id: Option<&str>) {
        let outcome = Outcome {
            room: "1".into(),
            command: "audio/volume/get".into(),
            request_id: request_id.and_then(exact),
            took: Duration::ZERO,
            result: result.clone(),
        };
        let (head, body) = OutcomeHead::new(outcome);
        let (head, body) = decode::<OutcomeHead>(encode(&head, &body)).unwrap();
        let (id, came) = head.into_result(body).unwrap();
        assert_eq!(id.as_ref().map(JsonText::as_str), request_id);
        assert_eq!(came, result);
    }

    #[test]
    fn an_outcome_arrives_as_it_was_given() {
        for id in [
            None,
            Some("7"),
            Some("1.0"),
            Some("123456789012345678901234567890"),
            Some("{ \"a\" : [1, 2] }"),
            Some("\"\\u00e9\""),
        ] {
            sent(Ok(Success::new(200, Value::Null)), id);
        }
        let exact = "{\"volume\":40.0,\"id\":123456789012345678901234567890,\"b\":null}";
        sent(
            Ok(Success::new(201, serde_json::from_str(exact).unwrap())),
            None,
        );
        for code in ErrorCode::ALL {
            let failure = Failure {
                status: Some(409),
                ..Failure::new(code, "volume takes 0 to 100, not \"loud\\0\"")
            };
            sent(Err(failure), Some("null"));
        }
        for bytes in [None, Some(Bytes::from_static(b"\xff\xd8{}"))] {
            for body in [Value::Null, serde_json::json!({"a": 1})] {
                let file = FileAnswer {
                    topic: "camera/snapshot/near".into(),
                    content_type: "image/jpeg".into(),
                    size: Some(4),
                    bytes: bytes.clone(),
                    is_state: true,
                };
                let success = Success {
                    body,
                    warning: Some("why".into()),
                    ..Success::file(200, file)
                };
                sent(Ok(success), None);
            }
        }
    }

    #[test]
    fn a_head_that_promises_more_than_there_is_is_refused() {
        let (mut head, _) = SuccessHead::new(Success::new(200, Value::Null));
        head.answer_bytes = 1;
        assert_eq!(head.into_success(Bytes::new()), Err(NoFrame));
    }

    #[test]
    fn a_command_keeps_its_age_and_its_expiry() {
        let now = Instant::now() + Duration::from_secs(60);
        let submission = Submission {
            room: "1".into(),
            command: "audio/mute".into(),
            payload: Bytes::new(),
            expires: Some(now + Duration::from_secs(2)),
            received: now - Duration::from_secs(1),
            authority: CommandAuthority::Admin,
            door: DoorKind::Tcp,
            transfer: Transfer::None,
            reply: Reply::new("1".into(), "audio/mute", |_| {}),
        };
        let passed = PassedCommand::command(submission);
        let head = CommandHead::new(&passed, now);
        let there = Instant::now() + Duration::from_secs(600);
        let came = head.received(Bytes::new(), Transfer::None, there, |_| {});
        let came = &came.submission;
        assert_eq!(came.received, there - Duration::from_secs(1));
        assert_eq!(came.expires, Some(there + Duration::from_secs(2)));
        assert_eq!(came.authority, CommandAuthority::Admin);
        assert_eq!(came.door, DoorKind::Tcp);
    }
}
