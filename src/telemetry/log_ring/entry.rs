//! One entry of the log that is kept in memory, and how it is shown.
//!
//! Owns the kinds of entries and their JSON. Knows nothing of where they are kept, or who may see them.

use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tracing::Level;

use crate::clock::rfc3339;

/// What an entry takes besides its texts: itself and its places in the maps.
const BYTES_PER_ENTRY: usize = 170;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// A line of the gateway's own log.
    Line,
    /// A room went online.
    Online,
    /// A room went offline, or has another problem.
    Offline,
    /// An event of a call, or the call log's newest entry.
    Call,
    /// Another event of a room.
    Event,
    /// A command that succeeded.
    Command,
    /// A command that failed.
    Failure,
}

impl LogKind {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Call => "call",
            Self::Event => "event",
            Self::Command => "command",
            Self::Failure => "failure",
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedCommand {
    /// Its topic below the room. Its payload is never kept: it may hold a PIN or a password.
    pub topic: Box<str>,
    /// The door that it came from.
    pub door: &'static str,
    /// `ok`, or the error code.
    pub code: &'static str,
    /// From receipt to result, in milliseconds.
    pub took_ms: u64,
}

/// What is new, before it has its time.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub kind: LogKind,
    /// The room that it is about, which is configured; `None`: the gateway, or several rooms.
    pub room: Option<&'a str>,
    /// What happened.
    pub text: &'a str,
    /// The command that it is about.
    pub command: Option<LoggedCommand>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Grows from entry to entry, also where the clock is set back. Made of the time, so that it says nothing of how
    /// many entries there are that a reader may not see.
    pub id: i64,
    /// When it happened, by the clock of then, in microseconds since 1970.
    pub time: i64,
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub kind: LogKind,
    /// The room that it is about; `None`: the gateway, or several rooms.
    pub room: Option<Arc<str>>,
    /// What happened.
    pub text: Box<str>,
    /// The command that it is about.
    pub command: Option<LoggedCommand>,
}

impl LogEntry {
    /// When it happened (RFC 3339, UTC).
    pub fn at(&self) -> String {
        utc_text(self.time)
    }

    /// The entry as `GET /gateway/log` and the topic `gateway/log` show it.
    pub fn json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "at": self.at(),
            "level": self.level.as_str().to_ascii_lowercase(),
            "kind": self.kind.as_str(),
            "room": self.room.as_deref(),
            "text": self.text,
        });
        if let (Some(command), Some(json)) = (&self.command, json.as_object_mut()) {
            json.insert("command".into(), (*command.topic).into());
            json.insert("door".into(), command.door.into());
            json.insert("code".into(), command.code.into());
            json.insert("took_ms".into(), command.took_ms.into());
        }
        json
    }

    pub(super) fn bytes(&self) -> usize {
        let topic = self
            .command
            .as_ref()
            .map_or(0, |command| command.topic.len());
        BYTES_PER_ENTRY + self.text.len() + topic
    }

    pub(super) fn contains(&self, lower_case: &str) -> bool {
        let command = self.command.as_ref();
        let parts = [
            Some(&*self.text),
            self.room.as_deref(),
            command.map(|command| &*command.topic),
            command.map(|command| command.code),
            command.map(|command| command.door),
        ];
        let mut parts = parts.into_iter().flatten();
        parts.any(|part| part.to_lowercase().contains(lower_case))
    }
}

/// RFC 3339, UTC.
pub(super) fn utc_text(microseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1000);
    time.map(rfc3339).unwrap_or_default()
}
