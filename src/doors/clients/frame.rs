//! What frames mean: a client's requests, and the answers. How they are written is in
//! [`json`](super::json) and [`plain`](super::plain).
//!
//! Pure.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalogue::{CATALOGUE, is_deep};
use crate::command::{ErrorCode, Outcome, file_url};
use crate::json::{JsonText, is_number};
use crate::state::StateValue;
use crate::topics::{Filter, RoomTopics, split_room, split_shared};
use crate::visible::{visible, visible_start};

/// The longest start of a filter, in characters, that is repeated in a message.
const LONGEST_SHOWN: usize = 40;

/// A client's request.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameRequest {
    /// A command or query.
    Command {
        /// The whole topic: `room/1/audio/mute`.
        topic: String,
        /// The payload as a room reads it.
        payload: Bytes,
    },
    /// Send the states and events that match, from now on.
    Subscribe(Vec<Filter>),
    /// Send them no longer.
    Unsubscribe(Vec<Filter>),
    /// Answer with a pong.
    Ping,
    /// Say what can be sent.
    Help,
    /// A token, after the client was let in.
    Token,
}

/// A frame from a client. Its answer carries the same id.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFrame {
    /// The client's own id; plain frames have none.
    pub id: Option<JsonText>,
    /// The request, or the error.
    pub request: Result<FrameRequest, FrameError>,
}

/// The error of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameError {
    /// As in the result of a command.
    pub code: ErrorCode,
    /// The message for the user.
    pub message: String,
}

impl FrameError {
    /// A frame that does not have the form of one. What cannot be seen in the message is shown.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::InvalidPayload,
            message: visible(&message.into()).into_owned(),
        }
    }
}

/// The answer to a frame.
#[derive(Debug)]
pub enum FrameAnswer {
    /// A command's result.
    Result(Box<Outcome>),
    /// The client is now subscribed to these filters.
    Subscribed(Vec<Filter>),
    /// It is no longer subscribed to these.
    Unsubscribed(Vec<Filter>),
    /// The answer to a ping.
    Pong,
    /// Lines for a person.
    Text(Vec<String>),
    /// The frame cannot be used.
    Error(FrameError),
}

/// The topic of a command's result.
pub(super) fn result_topic(outcome: &Outcome) -> String {
    RoomTopics::new(&outcome.room).result(&outcome.command)
}

/// A frame without what surrounds it: blanks, line ends, and the byte order mark that some programs
/// write before every text.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character == '\u{feff}' || character.is_ascii_whitespace())
}

/// Reads a topic filter.
///
/// # Errors
/// A message for the user. Also for a filter that is valid in MQTT and that no topic of the gateway can match, such
/// as one that begins with `$`: the client would wait for ever.
pub fn read_filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::new(text)?;
    if !text.starts_with('$') {
        return match never_matches(text) {
            None => Ok(filter),
            Some(why) => Err(why),
        };
    }
    let shown = |text| visible_start(text, LONGEST_SHOWN);
    let of_emqx = || {
        let mut starts = ["$queue/", "$exclusive/"].into_iter();
        starts.find_map(|start| text.strip_prefix(start))
    };
    let own = split_shared(text).map(|(_group, own)| own);
    Err(match own.or_else(of_emqx) {
        Some(own) => format!(
            "\"{}\": shared subscriptions are for MQTT clients of a broker; here every client gets \
             everything: subscribe to \"{}\"",
            shown(text),
            shown(own)
        ),
        None => format!("\"{}\": no topic here begins with $", shown(text)),
    })
}

/// Why no state and no event can ever match a filter, if that is so, and what was probably meant. Rooms and states that
/// do not exist are no reason: a reload or another device may bring them.
fn never_matches(text: &str) -> Option<String> {
    let shown = visible_start(text, LONGEST_SHOWN);
    let levels: Vec<&str> = text.split('/').filter(|level| !level.is_empty()).collect();
    let meant = |topic: &str| {
        format!(
            "; did you mean \"{}\"?",
            visible_start(topic, LONGEST_SHOWN)
        )
    };
    if text.contains(",room/") || text.contains(",gateway/") {
        return Some(format!(
            "\"{shown}\": one filter has one topic; give each its own"
        ));
    }
    if levels.len() < text.split('/').count() {
        let all = text.ends_with('/') && !text.starts_with('/');
        let whole = if all {
            // Where `#` in an address is not written %23, the rest of it is cut off.
            format!("{}/#", levels.join("/"))
        } else {
            levels.join("/")
        };
        let hint = meant(&whole);
        return Some(format!(
            "\"{shown}\": no topic here has an empty level{hint}"
        ));
    }
    let is_start = |level: &&str| matches!(*level, "room" | "gateway" | "+" | "#");
    if !levels.first().is_some_and(is_start) {
        let lower = text.to_ascii_lowercase();
        let begins = levels
            .iter()
            .position(|level| matches!(*level, "room" | "gateway"));
        let hint = match begins {
            // Behind the prefix of topics at a broker.
            Some(at) => meant(&levels[at..].join("/")),
            None if lower.starts_with("room/") || lower.starts_with("gateway/") => meant(&lower),
            None => String::new(),
        };
        return Some(format!(
            "\"{shown}\": topics here begin with room/ or gateway/{hint}"
        ));
    }
    let (_, below) = split_room(text)?;
    let is_command = !below.contains(['+', '#'])
        && CATALOGUE.is_command(below)
        && !CATALOGUE.is_published(below);
    is_command.then(|| {
        let state = below
            .strip_suffix("/set")
            .filter(|state| CATALOGUE.is_published(state));
        let hint = state
            .and_then(|_| text.strip_suffix("/set"))
            .map(meant)
            .unwrap_or_default();
        format!("\"{shown}\" is a command, and nothing is ever sent there{hint}")
    })
}

/// Reads topic filters.
pub(super) fn parse_filters<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Filter>, FrameError> {
    let filters: Result<Vec<_>, _> = texts.into_iter().map(read_filter).collect();
    filters.map_err(FrameError::invalid)
}

/// A payload as a JSON value: numbers, booleans, objects and lists as such, anything else as text.
/// A number that is none in JSON (`007`), or that common readers of JSON would change (thirty digits),
/// stays text.
pub fn payload_as_json(payload: &[u8]) -> Value {
    let text = String::from_utf8_lossy(payload);
    let as_text = |text: &str| Value::from(text);
    match text.as_bytes().first() {
        Some(b'{' | b'[') => match serde_json::from_str(&text) {
            Ok(value) if !is_deep(&value) => value,
            _ => as_text(&text),
        },
        Some(b'-' | b'0'..=b'9') if is_kept_by_readers(&text) => {
            serde_json::from_str(&text).unwrap_or_else(|_| as_text(&text))
        }
        _ => match &*text {
            "true" => true.into(),
            "false" => false.into(),
            text => as_text(text),
        },
    }
}

/// Whether readers of JSON, which take numbers as 64-bit integers or floating-point numbers, write a
/// number as it was.
fn is_kept_by_readers(text: &str) -> bool {
    let same = |number: Option<String>| number.is_some_and(|number| number == text);
    is_number(text)
        && (same(text.parse::<u64>().ok().map(|number| number.to_string()))
            || same(text.parse::<i64>().ok().map(|number| number.to_string()))
            || same(
                text.parse::<f64>()
                    .ok()
                    .map(|number| json!(number).to_string()),
            ))
}

/// A state as a JSON value. A picture becomes an object with the URL of its bytes.
pub fn state_as_json(topic: &str, state: &StateValue) -> Value {
    let Some(content_type) = &state.content_type else {
        return payload_as_json(&state.payload);
    };
    json!({
        "bytes": state.payload.len(),
        "content_type": &**content_type,
        "url": split_room(topic).map(|(room, topic)| file_url(room, topic)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_nothing_can_match_is_refused_with_what_was_meant() {
        for (filter, meant) in [
            ("/room/1/audio/volume", "room/1/audio/volume"),
            ("av/room/1/audio/volume", "room/1/audio/volume"),
            ("Room/1/#", "room/1/#"),
            ("room/1/audio/volume/", "room/1/audio/volume/#"),
            ("room/1/", "room/1/#"),
            ("room//1", "room/1"),
            ("room/1/audio/volume/set", "room/1/audio/volume"),
            ("room/+/audio/volume/set", "room/+/audio/volume"),
        ] {
            let told = read_filter(filter).unwrap_err();
            assert!(
                told.ends_with(&format!("did you mean \"{meant}\"?")),
                "{told}"
            );
        }
        for filter in [
            "homeassistant/#",
            "rooms/1",
            "/",
            "room/1/a,room/1/b",
            "room/1/system/reboot",
        ] {
            assert!(read_filter(filter).is_err(), "{filter}");
        }
        for filter in [
            "#",
            "+/1/#",
            "+",
            "room/#",
            "room/9/#",
            "room",
            "room/1",
            "room/1/event/#",
            "room/1/audio/volume",
            "room/1/audio/volume/set/result",
            "room/1/+/set",
            "room/1/no/such",
            "gateway/+",
            "gateway/info",
            "gateway/gw-1/info",
        ] {
            assert!(
                read_filter(filter).is_ok(),
                "{filter} {:?}",
                read_filter(filter)
            );
        }
    }

    #[test]
    fn payloads_keep_their_types_and_their_digits() {
        for (payload, wanted) in [
            ("40", json!(40)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("007", json!("007")),
            ("62.0", json!(62.0)),
            ("0.10", json!("0.10")),
            ("-0", json!("-0")),
            ("1e3", json!("1e3")),
            ("1e999999999", json!("1e999999999")),
            ("18446744073709551615", json!(u64::MAX)),
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
            assert_eq!(payload_as_json(payload.as_bytes()), wanted, "{payload}");
        }
    }

    #[test]
    fn filters_that_would_never_deliver_are_refused() {
        for (filter, wanted) in [
            ("$share/panels/room/1/#", "subscribe to \"room/1/#\""),
            ("$share/g/#", "subscribe to \"#\""),
            (
                "$queue/room/+/audio/volume",
                "subscribe to \"room/+/audio/volume\"",
            ),
            ("$exclusive/room/1/#", "subscribe to \"room/1/#\""),
            ("$share/room", "no topic here begins with $"),
            ("$SYS/#", "no topic here begins with $"),
            ("$", "no topic here begins with $"),
            ("$share/g/a#", "must be the whole last level"),
        ] {
            let message = read_filter(filter).unwrap_err();
            assert!(message.contains(wanted), "{filter}: {message}");
        }
        for good in ["#", "+/#", "room/1/#", "room/$x", "gateway/+"] {
            assert!(read_filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_picture_becomes_its_url() {
        let picture = StateValue {
            payload: Bytes::from_static(b"\xff\xd8"),
            content_type: Some("image/jpeg".into()),
        };
        let wanted = json!({
            "bytes": 2, "content_type": "image/jpeg", "url": "/room/1/camera/snapshot/near",
        });
        assert_eq!(
            state_as_json("room/1/camera/snapshot/near", &picture),
            wanted
        );
    }
}
