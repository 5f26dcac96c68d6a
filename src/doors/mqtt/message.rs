//! What a publish from the broker means, and what the gateway's own look like.
//!
//! Pure: topics, prefixes, response topics and properties, no connection.

use bytes::Bytes;

use super::Message;
use crate::command::{Outcome, Success};
use crate::topics::Prefix;

/// A topic with the configured prefix.
pub fn prefixed(prefix: &str, topic: &str) -> String {
    Prefix::new(prefix).add(topic)
}

/// No topic is longer in MQTT.
const LONGEST_TOPIC: usize = 65_535;

/// Where a result goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The MQTT 5 response topic; without one it is `<command>/result`.
    pub response: Option<String>,
    /// The MQTT 5 correlation data.
    pub correlation: Option<Bytes>,
}

/// What a publish from the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The gateway's own output, or nothing of its business.
    Ignored,
    /// A command or query.
    Command {
        /// The room's id.
        room: String,
        /// The topic below the room.
        command: String,
    },
}

/// A topic of the gateway's own, without the prefix; any other belongs to another program.
pub fn is_own(topic: &str) -> bool {
    topic.starts_with("room/") || topic.starts_with("gateway/")
}

/// A topic without the configured prefix.
pub fn unprefixed<'a>(prefix: &str, topic: &'a str) -> Option<&'a str> {
    if prefix.is_empty() {
        Some(topic)
    } else {
        topic.strip_prefix(prefix)?.strip_prefix('/')
    }
}

/// Tells a command from everything else that passes below `room/`.
pub fn classify(prefix: &str, topic: &str) -> Publication {
    let below = unprefixed(prefix, topic).and_then(|topic| topic.strip_prefix("room/"));
    let Some((room, command)) = below.and_then(|below| below.split_once('/')) else {
        return Publication::Ignored;
    };
    let own = command == "availability"
        || command == "problem"
        || command.starts_with("event/")
        || command.ends_with("/result");
    // The topic of its result would be longer than topics are.
    let endless = topic.len() + "/result".len() > LONGEST_TOPIC;
    if own || endless || command.is_empty() {
        return Publication::Ignored;
    }
    Publication::Command {
        room: room.to_owned(),
        command: command.to_owned(),
    }
}

/// Checks a response topic: a result must never land on a state or command of the gateway, nor
/// among the results of another room than the sender's.
///
/// # Errors
/// Why the topic is refused.
pub fn check_response(prefix: &str, room: &str, response: &str) -> Result<(), String> {
    let refused = if response.is_empty() {
        "is empty"
    } else if response.len() > LONGEST_TOPIC {
        "is too long"
    } else if response.contains(['+', '#']) {
        "holds a wildcard"
    } else if response.contains(char::is_control) {
        "holds a control character"
    } else if response.starts_with('$') {
        "starts with $"
    } else {
        match unprefixed(prefix, response) {
            Some(own) if own.starts_with("gateway/") => "is one of the gateway's own topics",
            Some(own) if own.starts_with("room/") && !is_result_of(own, room) => {
                "is one of the gateway's own topics"
            }
            _ => return Ok(()),
        }
    };
    Err(format!("the response topic \"{response:.64}\" {refused}"))
}

fn is_result_of(topic: &str, room: &str) -> bool {
    let below = topic.strip_prefix("room/").and_then(|t| t.split_once('/'));
    below.is_some_and(|(of, topic)| of == room && topic.ends_with("/result"))
}

/// The messages of a result: the file it brought, then the result itself. A file that stays
/// retained is published as the state that it is.
pub fn result_messages(prefix: &str, address: &Address, outcome: &Outcome) -> Vec<Message> {
    let mut messages = Vec::new();
    if let Ok(Success {
        file: Some(file), ..
    }) = &outcome.result
        && let Some(bytes) = file.bytes.as_ref().filter(|_| !file.is_state)
    {
        let topic = format!("room/{}/{}", outcome.room, file.topic);
        messages.push(Message {
            topic: prefixed(prefix, &topic),
            payload: bytes.clone(),
            retain: false,
            content_type: Some(file.content_type.to_string()),
            correlation: address.correlation.clone(),
            user: Vec::new(),
        });
    }
    let (status, code) = match &outcome.result {
        Ok(_) => ("ok", None),
        Err(failure) => ("error", Some(failure.code.as_str())),
    };
    let mut user = vec![("status".to_owned(), status.to_owned())];
    user.extend(code.map(|code| ("code".to_owned(), code.to_owned())));
    let own = || {
        let topic = format!("room/{}/{}/result", outcome.room, outcome.command);
        prefixed(prefix, &topic)
    };
    messages.push(Message {
        topic: address.response.clone().unwrap_or_else(own),
        payload: outcome.to_json(),
        retain: false,
        content_type: Some("application/json".into()),
        correlation: address.correlation.clone(),
        user,
    });
    messages
}

/// An upper bound of what a message takes on the wire besides its payload.
pub fn overhead(message: &Message) -> usize {
    let user: usize = message
        .user
        .iter()
        .map(|(k, v)| k.len() + v.len() + 5)
        .sum();
    64 + message.topic.len()
        + message.content_type.as_ref().map_or(0, String::len)
        + message.correlation.as_ref().map_or(0, Bytes::len)
        + user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_outputs() {
        let command = |room: &str, command: &str| Publication::Command {
            room: room.into(),
            command: command.into(),
        };
        assert_eq!(
            classify("", "room/1/audio/mute"),
            command("1", "audio/mute")
        );
        assert_eq!(classify("av", "av/room/1/x"), command("1", "x"));
        for own in [
            "room/1/audio/mute/result",
            "room/1/availability",
            "room/1/problem",
            "room/1/event/call_ended",
            "gateway/info",
            "room/1",
            "room/1/",
        ] {
            assert_eq!(classify("", own), Publication::Ignored, "{own}");
        }
        assert_eq!(classify("av", "room/1/x"), Publication::Ignored);
        let long = format!("room/1/{}", "x".repeat(LONGEST_TOPIC - 10));
        assert_eq!(classify("", &long), Publication::Ignored);
    }

    #[test]
    fn response_topics_that_could_do_harm_are_refused() {
        for bad in [
            "",
            "a/+",
            "a/#",
            "$SYS/x",
            "room/1/audio/volume",
            "gateway/info",
            "room/2/audio/volume/set/result",
            "client\n7",
        ] {
            assert!(check_response("", "1", bad).is_err(), "{bad}");
        }
        for good in ["client/7/reply", "room/1/audio/volume/set/result"] {
            assert!(check_response("", "1", good).is_ok(), "{good}");
        }
        assert!(check_response("av", "1", "av/room/1/x").is_err());
        assert!(check_response("av", "1", "room/1/x").is_ok());
    }
}
