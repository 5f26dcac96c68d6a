//! What a client may ask for, and what it is told: the same in every form of frame.
//!
//! Pure. Owns the meaning; how it is written is [`json`](super::json)'s and
//! [`plain`](super::plain)'s.

use bytes::Bytes;
use serde_json::{Number, Value, json};

use crate::catalogue::is_deep;
use crate::command::{ErrorCode, Outcome, file_url};
use crate::state::StateValue;
use crate::topics::Filter;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// A command or query.
    Command {
        /// The whole topic: `room/1/audio/mute`.
        topic: String,
        /// The payload as a room reads it.
        payload: Bytes,
    },
    /// States and events from now on.
    Subscribe(Vec<Filter>),
    /// No longer.
    Unsubscribe(Vec<Filter>),
    /// Whether anybody is there.
    Ping,
}

/// A frame from a client, with the id that comes back in its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The sender's own id.
    pub id: Option<Value>,
    /// What it asks for, or what is wrong with it.
    pub request: Result<Request, Refused>,
}

/// A frame that cannot be answered with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The kind.
    pub code: ErrorCode,
    /// For a person.
    pub message: String,
}

impl Refused {
    /// A frame that is not what frames are.
    pub fn bad(message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::InvalidPayload,
            message: message.into(),
        }
    }
}

/// What a client is told in answer.
#[derive(Debug)]
pub enum Answer {
    /// A command's result.
    Result(Box<Outcome>),
    /// These filters are subscribed to.
    Subscribed(Vec<Filter>),
    /// These are no longer.
    Unsubscribed(Vec<Filter>),
    /// Somebody is there.
    Pong,
    /// The frame could not be used.
    Refused(Refused),
}

/// Reads filters.
pub(super) fn filters<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Filter>, Refused> {
    let filters: Result<Vec<_>, _> = texts.into_iter().map(Filter::new).collect();
    filters.map_err(Refused::bad)
}

/// A payload as JSON has it: numbers, truth values, objects and lists as such, anything else text.
/// Of a number that JSON would change (`007`, twenty digits) the text is kept.
pub fn typed(payload: &[u8]) -> Value {
    let text = String::from_utf8_lossy(payload);
    let kept = |text: &str| Value::from(text);
    match text.as_bytes().first() {
        Some(b'{' | b'[') => match serde_json::from_str(&text) {
            Ok(value) if !is_deep(&value) => value,
            _ => kept(&text),
        },
        Some(b'-' | b'0'..=b'9') => match serde_json::from_str::<Number>(&text) {
            Ok(number) if number.to_string() == text => number.into(),
            _ => kept(&text),
        },
        _ => match &*text {
            "true" => true.into(),
            "false" => false.into(),
            text => kept(text),
        },
    }
}

/// A state's value as JSON; of a picture, where it is to be had.
pub fn state_value(topic: &str, state: &StateValue) -> Value {
    let Some(content_type) = &state.content_type else {
        return typed(&state.payload);
    };
    let below = topic.strip_prefix("room/").and_then(|t| t.split_once('/'));
    json!({
        "bytes": state.payload.len(),
        "content_type": &**content_type,
        "url": below.map(|(room, topic)| file_url(room, topic)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_keep_their_types_and_their_digits() {
        for (payload, wanted) in [
            ("40", json!(40)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("007", json!("007")),
            ("1e3", json!("1e3")),
            (
                "123456789012345678901234567890",
                json!("123456789012345678901234567890"),
            ),
            ("CONTENT_IDLE", json!("CONTENT_IDLE")),
            ("", json!("")),
            ("\"x\"", json!("\"x\"")),
            ("null", json!("null")),
            ("[1]", json!([1])),
            ("{\"a\":{}}", json!({"a": {}})),
            ("{oops", json!("{oops")),
        ] {
            assert_eq!(typed(payload.as_bytes()), wanted, "{payload}");
        }
    }

    #[test]
    fn a_picture_is_told_by_its_place() {
        let picture = StateValue {
            payload: Bytes::from_static(b"\xff\xd8"),
            content_type: Some("image/jpeg".into()),
        };
        let wanted = json!({
            "bytes": 2, "content_type": "image/jpeg", "url": "/room/1/camera/snapshot/near",
        });
        assert_eq!(state_value("room/1/camera/snapshot/near", &picture), wanted);
    }
}
