//! The result of a command and its JSON form.
//!
//! Owns the form of results, which is the same at every front door. Holds no transport.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::ErrorCode;
use crate::json::{JsonObject, JsonText};
use crate::topics::RoomTopics;
use crate::visible::visible;

/// Why a command failed, for the person who reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The kind of failure.
    pub code: ErrorCode,
    /// The error in one sentence, with the allowed values.
    pub message: String,
    /// The device's HTTP status, if it answered.
    pub status: Option<u16>,
}

impl Failure {
    /// A failure without a device status. What cannot be seen in the message, because a client or a
    /// device sent it, is shown as an escape.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: visible(&message.into()).into_owned(),
            status: None,
        }
    }

    /// Adds the device's status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}

/// A file that a query fetched, such as a snapshot or a log archive.
#[derive(Debug, Clone, PartialEq)]
pub struct FileAnswer {
    /// The topic below `room/<room>/` at which the bytes are published.
    pub topic: String,
    /// The MIME type the device gave.
    pub content_type: Arc<str>,
    /// How many bytes it has, if that is known.
    pub size: Option<u64>,
    /// The bytes; `None` if they were streamed to the client, or are more than a result carries.
    pub bytes: Option<Bytes>,
    /// The file is published as a state of the room, besides being the answer.
    pub is_state: bool,
}

/// The result of a command that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    /// The device's HTTP status.
    pub status: u16,
    /// The device's JSON answer, or null.
    pub body: Value,
    /// The bytes of a binary answer.
    pub file: Option<FileAnswer>,
    /// What the sender should know although the command succeeded: a state that it changes could
    /// not be read back.
    pub warning: Option<String>,
}

impl Success {
    /// A success with a JSON body.
    pub fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            file: None,
            warning: None,
        }
    }

    /// A success with a file.
    pub fn file(status: u16, file: FileAnswer) -> Self {
        Self {
            file: Some(file),
            ..Self::new(status, Value::Null)
        }
    }
}

/// A topic's levels are percent-encoded where they must be, so `%` and `/` stay as they are.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'%')
    .remove(b'/');

/// The path of a room's topic at the gateway's HTTP door.
pub fn file_url(room: &str, topic: &str) -> String {
    let topic = utf8_percent_encode(topic, PATH).to_string();
    format!("/{}", RoomTopics::new(room).below(&topic))
}

/// The one result of a command. [`Outcome::to_json`] is the JSON of `<command>/result`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The room's id.
    pub room: Arc<str>,
    /// The command's topic below the room, as it was sent.
    pub command: String,
    /// The sender's id for it, if it gave one.
    pub request_id: Option<JsonText>,
    /// From receipt to result.
    pub took: Duration,
    /// Success or failure.
    pub result: Result<Success, Failure>,
}

impl Outcome {
    /// The result's `body`; for a file, its size, type and URL.
    pub fn body<'a>(&self, success: &'a Success) -> Cow<'a, Value> {
        let Some(file) = &success.file else {
            return Cow::Borrowed(&success.body);
        };
        Cow::Owned(json!({
            "bytes": file.size,
            "content_type": &*file.content_type,
            "url": file_url(&self.room, &self.command),
        }))
    }

    fn took_ms(&self) -> u64 {
        u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX)
    }

    /// The result message's JSON.
    pub fn to_json(&self) -> Bytes {
        let mut json = JsonObject::new()
            .member("ok", &self.result.is_ok())
            .member("room", &&*self.room)
            .member("command", &self.command);
        json = match &self.result {
            Ok(success) => {
                json = json
                    .member("status", &success.status)
                    .member("took_ms", &self.took_ms())
                    .member("body", &self.body(success));
                match &success.warning {
                    Some(warning) => json.member("warning", warning),
                    None => json,
                }
            }
            Err(failure) => {
                if let Some(status) = failure.status {
                    json = json.member("status", &status);
                }
                let error = json!({"code": failure.code.as_str(), "message": failure.message});
                json.member("took_ms", &self.took_ms())
                    .member("error", &error)
            }
        };
        if let Some(request_id) = &self.request_id {
            json = json.exact("request_id", request_id);
        }
        json.finish().into()
    }
}
