//! The result of a command: its JSON form and the error codes.
//!
//! Owns the wire form of results, the same at every front door. Holds no transport.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

/// The codes a failed command can carry, spelled in snake case in results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No room of that id is configured.
    UnknownRoom,
    /// No command or query has that topic.
    UnknownCommand,
    /// The payload or a topic level is not what the command takes.
    InvalidPayload,
    /// The sender, or the device's session, may not do this.
    Forbidden,
    /// The room's queue is full.
    Busy,
    /// Too old, or past its message expiry, when its turn came.
    Expired,
    /// A newer command made this waiting one pointless.
    Superseded,
    /// The device cannot be reached.
    Offline,
    /// The device refused the user and password.
    Unauthorized,
    /// The device has locked log-ins after too many failed ones.
    LockedOut,
    /// The device runs Teams, Zoom or another mode that refuses this.
    ModeLocked,
    /// The device lacks this endpoint.
    Unsupported,
    /// What the command names does not exist.
    NotFound,
    /// Any other refusal by the device.
    DeviceError,
    /// No answer in time; repeating is safe.
    Timeout,
    /// The request was sent, no answer came, and repeating is not safe.
    OutcomeUnknown,
    /// The payload or the answer is larger than the limit.
    TooLarge,
    /// A retained message on a command topic is never carried out.
    IgnoredRetained,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 18] = [
        Self::UnknownRoom,
        Self::UnknownCommand,
        Self::InvalidPayload,
        Self::Forbidden,
        Self::Busy,
        Self::Expired,
        Self::Superseded,
        Self::Offline,
        Self::Unauthorized,
        Self::LockedOut,
        Self::ModeLocked,
        Self::Unsupported,
        Self::NotFound,
        Self::DeviceError,
        Self::Timeout,
        Self::OutcomeUnknown,
        Self::TooLarge,
        Self::IgnoredRetained,
    ];

    /// The device may have carried the command out, or may do so still.
    pub fn is_unsure(self) -> bool {
        matches!(self, Self::OutcomeUnknown | Self::Timeout | Self::Offline)
    }

    /// The code as users see it: `invalid_payload`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownRoom => "unknown_room",
            Self::UnknownCommand => "unknown_command",
            Self::InvalidPayload => "invalid_payload",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Offline => "offline",
            Self::Unauthorized => "unauthorized",
            Self::LockedOut => "locked_out",
            Self::ModeLocked => "mode_locked",
            Self::Unsupported => "unsupported",
            Self::NotFound => "not_found",
            Self::DeviceError => "device_error",
            Self::Timeout => "timeout",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::TooLarge => "too_large",
            Self::IgnoredRetained => "ignored_retained",
        }
    }
}

/// Why a command failed, for the person who reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The kind of failure.
    pub code: ErrorCode,
    /// What was wrong and what is allowed.
    pub message: String,
    /// The device's HTTP status, where it answered.
    pub status: Option<u16>,
}

impl Failure {
    /// A failure that no device status belongs to.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: None,
        }
    }

    /// The same with the device's status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}

/// Bytes that a query brought, such as a snapshot or a log archive.
#[derive(Debug, Clone, PartialEq)]
pub struct FileAnswer {
    /// The topic below `room/<room>/` at which the bytes are published.
    pub topic: String,
    /// The MIME type the device gave.
    pub content_type: Arc<str>,
    /// How many bytes it has, where that is known.
    pub size: Option<u64>,
    /// The bytes; not here where they streamed away, or are more than a result carries.
    pub bytes: Option<Bytes>,
    /// The newest one stays retained at its topic.
    pub retained: bool,
}

/// What a command that worked brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    /// The device's HTTP status.
    pub status: u16,
    /// The device's JSON answer, or null.
    pub body: Value,
    /// The bytes of a binary answer.
    pub file: Option<FileAnswer>,
}

impl Success {
    /// A success with a JSON body.
    pub fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            file: None,
        }
    }

    /// A success that brought a file.
    pub fn file(status: u16, file: FileAnswer) -> Self {
        Self {
            file: Some(file),
            ..Self::new(status, Value::Null)
        }
    }
}

/// What a level keeps besides letters, digits and `-._~`: it is encoded where it must be already.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'%')
    .remove(b'/');

/// Where the gateway's HTTP door has what this topic of a room has, as a path.
pub fn file_url(room: &str, topic: &str) -> String {
    format!("/room/{room}/{}", utf8_percent_encode(topic, PATH))
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
    /// What came of it.
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
    /// What the result says; of a file, where its bytes are.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A new code does not compile until it is given its place in the list here.
    fn place(code: ErrorCode) -> usize {
        use ErrorCode::*;
        match code {
            UnknownRoom => 0,
            UnknownCommand => 1,
            InvalidPayload => 2,
            Forbidden => 3,
            Busy => 4,
            Expired => 5,
            Superseded => 6,
            Offline => 7,
            Unauthorized => 8,
            LockedOut => 9,
            ModeLocked => 10,
            Unsupported => 11,
            NotFound => 12,
            DeviceError => 13,
            Timeout => 14,
            OutcomeUnknown => 15,
            TooLarge => 16,
            IgnoredRetained => 17,
        }
    }

    #[test]
    fn the_list_of_codes_is_complete() {
        for (at, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(place(code), at);
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
