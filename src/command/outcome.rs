//! The result of a command and its JSON form.
//!
//! Owns the form of results, which is the same at every front door. Holds no transport.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::ErrorCode;
use crate::topics::RoomTopics;

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
    /// A failure without a device status.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
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

/// The one result of a command. Serializes to the JSON of `<command>/result`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The room's id.
    pub room: Arc<str>,
    /// The command's topic below the room, as it was sent.
    pub command: String,
    /// The sender's id for it, if it gave one.
    pub request_id: Option<Value>,
    /// From receipt to result.
    pub took: Duration,
    /// Success or failure.
    pub result: Result<Success, Failure>,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ok", &self.result.is_ok())?;
        map.serialize_entry("room", &*self.room)?;
        map.serialize_entry("command", &self.command)?;
        match &self.result {
            Ok(success) => {
                map.serialize_entry("status", &success.status)?;
                map.serialize_entry("took_ms", &self.took_ms())?;
                map.serialize_entry("body", &self.body(success))?;
                if let Some(warning) = &success.warning {
                    map.serialize_entry("warning", warning)?;
                }
            }
            Err(failure) => {
                if let Some(status) = failure.status {
                    map.serialize_entry("status", &status)?;
                }
                map.serialize_entry("took_ms", &self.took_ms())?;
                let error = json!({"code": failure.code.as_str(), "message": failure.message});
                map.serialize_entry("error", &error)?;
            }
        }
        if let Some(request_id) = &self.request_id {
            map.serialize_entry("request_id", request_id)?;
        }
        map.end()
    }
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

    /// The result message's JSON bytes.
    pub fn to_json(&self) -> Bytes {
        // Only maps with string keys are serialized here, which cannot fail.
        serde_json::to_vec(self)
            .map(Bytes::from)
            .unwrap_or_default()
    }
}
