//! Plain frames, for controllers that cannot read JSON: a topic, optionally a space and a payload.
//!
//! Pure. A state or a result is always a single line, even if its text has line ends.

use bytes::Bytes;
use serde_json::Value;

use super::frame::{
    FrameAnswer, FrameError, FrameRequest, RequestFrame, parse_filters, result_topic,
    state_as_json, trimmed,
};
use crate::catalogue::{payload, truth};
use crate::state::StateValue;

/// Whether a line says nothing.
pub fn is_blank(line: &str) -> bool {
    trimmed(line).is_empty()
}

/// The token of a line `token TOKEN`, the word in any case.
pub fn token(line: &str) -> Option<&str> {
    let (word, token) = first_word(trimmed(line));
    word.eq_ignore_ascii_case("token").then(|| token.trim())
}

/// The first word of a line, and the rest.
fn first_word(line: &str) -> (&str, &str) {
    let (word, rest) = line
        .split_once(|character: char| character.is_ascii_whitespace())
        .unwrap_or((line, ""));
    (word, rest.trim_ascii())
}

/// Reads a line; `None` for an empty one. Words other than topics may be in any case.
pub fn parse(line: &str) -> Option<RequestFrame> {
    let line = trimmed(line);
    if line.is_empty() {
        return None;
    }
    let (word, rest) = first_word(line);
    let filters = || {
        if rest.is_empty() {
            let verb = word.to_ascii_lowercase();
            let message = format!("{verb} takes topic filters, such as {verb} room/1/#");
            Err(FrameError::invalid(message))
        } else {
            parse_filters(rest.split_ascii_whitespace())
        }
    };
    let request = match &*word.to_ascii_lowercase() {
        "subscribe" => filters().map(FrameRequest::Subscribe),
        "unsubscribe" => filters().map(FrameRequest::Unsubscribe),
        "ping" => Ok(FrameRequest::Ping),
        "help" | "?" => Ok(FrameRequest::Help),
        "token" => Ok(FrameRequest::Token),
        _ => Ok(FrameRequest::Command {
            topic: word.to_owned(),
            payload: Bytes::copy_from_slice(rest.as_bytes()),
        }),
    };
    Some(RequestFrame { id: None, request })
}

/// Writes an answer; no line for those of subscriptions, where the states are the answer.
pub fn write_answer(answer: &FrameAnswer) -> Vec<String> {
    let line = match answer {
        FrameAnswer::Result(outcome) => {
            let topic = result_topic(outcome);
            match &outcome.result {
                Ok(success) => {
                    let body = outcome.body(success);
                    let mut line = format!("{topic} ok");
                    if !is_only_ok(&body) {
                        line = format!("{line} {}", text(&payload(&body)));
                    }
                    if let Some(warning) = &success.warning {
                        line = format!("{line} warning {warning}");
                    }
                    line
                }
                Err(failure) => {
                    format!(
                        "{topic} error {} {}",
                        failure.code.as_str(),
                        failure.message
                    )
                }
            }
        }
        FrameAnswer::Subscribed(_) | FrameAnswer::Unsubscribed(_) => return Vec::new(),
        FrameAnswer::Text(lines) => return lines.iter().map(|line| one_line(line)).collect(),
        FrameAnswer::Pong => "pong".into(),
        FrameAnswer::Error(error) => {
            format!("error {} {}", error.code.as_str(), error.message)
        }
    };
    vec![one_line(&line)]
}

/// Whether a body only reports success, so that the answer is `ok`: devices report success in
/// several ways.
fn is_only_ok(body: &Value) -> bool {
    body.is_null() || truth(&body["success"]) == Some(true)
}

/// Writes a state; one that is gone has no value.
pub fn write_state(topic: &str, state: Option<&StateValue>) -> String {
    match state {
        None => topic.to_owned(),
        Some(state) if state.content_type.is_some() => {
            format!("{topic} {}", state_as_json(topic, state))
        }
        Some(state) => write_event(topic, &state.payload),
    }
}

/// Writes an event.
pub fn write_event(topic: &str, payload: &[u8]) -> String {
    one_line(&format!("{topic} {}", text(payload)))
}

fn text(payload: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(payload)
}

/// Replaces the characters that would end the line early.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::command::{ErrorCode, Failure, Outcome, Success};
    use crate::topics::Filter;

    fn result(result: Result<Success, Failure>) -> String {
        let outcome = Outcome {
            room: "1".into(),
            command: "audio/volume/set".into(),
            request_id: None,
            took: Duration::ZERO,
            result,
        };
        write_answer(&FrameAnswer::Result(Box::new(outcome))).concat()
    }

    #[test]
    fn lines_are_parse() {
        let request = |line: &str| parse(line).unwrap().request;
        let command = |payload: &'static str| {
            Ok(FrameRequest::Command {
                topic: "room/1/x/set".into(),
                payload: payload.into(),
            })
        };
        assert_eq!(request("room/1/x/set"), command(""));
        assert_eq!(request("room/1/x/set 40\r"), command("40"));
        assert_eq!(request("room/1/x/set a b  c"), command("a b  c"));
        let all = Filter::new("room/1/#").unwrap();
        assert_eq!(
            request("subscribe room/1/#"),
            Ok(FrameRequest::Subscribe(vec![all]))
        );
        assert_eq!(request("ping"), Ok(FrameRequest::Ping));
        assert!(request("subscribe a#").is_err());
        let message = request("SUBSCRIBE").unwrap_err().message;
        assert!(
            message.starts_with("subscribe takes topic filters"),
            "{message}"
        );
        assert!(request("unsubscribe ").is_err());
        assert_eq!(parse("\r"), None);
    }

    #[test]
    fn words_may_be_in_any_case_and_surrounded_by_blanks_or_a_byte_order_mark() {
        let request = |line: &str| parse(line).unwrap().request;
        for (lines, wanted) in [
            (["PING", " Ping\t", "\u{feff}ping"], FrameRequest::Ping),
            (["help", "?", "HELP me"], FrameRequest::Help),
            (
                ["token x", "TOKEN", "\u{feff} Token\tx"],
                FrameRequest::Token,
            ),
        ] {
            for line in lines {
                assert_eq!(request(line), Ok(wanted.clone()), "{line:?}");
            }
        }
        for line in [
            "room/1/x/set\t40",
            "\u{feff}room/1/x/set 40",
            " room/1/x/set  40 \r",
        ] {
            let command = FrameRequest::Command {
                topic: "room/1/x/set".into(),
                payload: "40".into(),
            };
            assert_eq!(request(line), Ok(command), "{line:?}");
        }
        for blank in ["", " ", "\t", "\u{feff}", "\u{feff}\r", "\r\n"] {
            assert_eq!((parse(blank), is_blank(blank)), (None, true), "{blank:?}");
        }
        for line in ["token a b", "TOKEN a b ", "\u{feff}\t Token \t a b"] {
            assert_eq!(token(line), Some("a b"), "{line:?}");
        }
        assert_eq!(token("token"), Some(""));
        for other in ["tokens a", "ping", "", "a token"] {
            assert_eq!(token(other), None, "{other:?}");
        }
    }

    #[test]
    fn lines_are_as_documented() {
        let topic = "room/1/audio/volume/set/result";
        let ok = |body: Value| result(Ok(Success::new(200, body)));
        assert_eq!(ok(Value::Null), format!("{topic} ok"));
        assert_eq!(
            ok(json!({"success": true, "reason": ""})),
            format!("{topic} ok")
        );
        assert_eq!(ok(json!({"success": 1})), format!("{topic} ok"));
        assert_eq!(ok(json!(40)), format!("{topic} ok 40"));
        assert_eq!(ok(json!(["a"])), format!("{topic} ok [\"a\"]"));
        let warned = Success {
            warning: Some("audio could not be read back".into()),
            ..Success::new(200, Value::Null)
        };
        let wanted = format!("{topic} ok warning audio could not be read back");
        assert_eq!(result(Ok(warned)), wanted);
        let message = "volume takes an integer from 0 to 100, not \"loud\"";
        let failed = result(Err(Failure::new(ErrorCode::InvalidPayload, message)));
        assert_eq!(failed, format!("{topic} error invalid_payload {message}"));
        assert_eq!(
            write_state("room/1/audio/volume", Some(&StateValue::text("40"))),
            "room/1/audio/volume 40"
        );
        assert_eq!(
            write_state("room/1/audio/volume", None),
            "room/1/audio/volume"
        );
    }

    proptest! {
        #[test]
        fn a_state_is_one_line_whatever_it_holds(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(!write_state("a", Some(&StateValue::text(payload))).contains(['\r', '\n']));
        }

        #[test]
        fn no_line_panics(line in "\\PC{0,80}") {
            let _ = parse(&line);
        }
    }
}
