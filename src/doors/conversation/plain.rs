//! Plain lines, for controllers that read no JSON: a topic, then optionally a space and a payload.
//!
//! Pure. An answer or a state is always one line, whatever it holds.

use bytes::Bytes;
use serde_json::Value;

use super::frame::{Answer, Asked, Request, filters, state_value};
use crate::catalogue::payload;
use crate::command::Outcome;
use crate::state::StateValue;

/// Reads a line; an empty one is nothing.
pub fn read(line: &str) -> Option<Asked> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return None;
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let request = match word {
        "subscribe" => filters(rest.split_ascii_whitespace()).map(Request::Subscribe),
        "unsubscribe" => filters(rest.split_ascii_whitespace()).map(Request::Unsubscribe),
        "ping" => Ok(Request::Ping),
        topic => Ok(Request::Command {
            topic: topic.to_owned(),
            payload: Bytes::copy_from_slice(rest.trim_ascii().as_bytes()),
        }),
    };
    Some(Asked { id: None, request })
}

/// The topic of a result.
pub(super) fn result_topic(outcome: &Outcome) -> String {
    format!("room/{}/{}/result", outcome.room, outcome.command)
}

/// Writes an answer, where there is one: a subscription's are the states.
pub fn answer(answer: &Answer) -> Option<String> {
    let line = match answer {
        Answer::Result(outcome) => {
            let topic = result_topic(outcome);
            match &outcome.result {
                Ok(success) => {
                    let body = outcome.body(success);
                    if says_nothing(&body) {
                        format!("{topic} ok")
                    } else {
                        format!("{topic} ok {}", text(&payload(&body)))
                    }
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
        Answer::Subscribed(_) | Answer::Unsubscribed(_) => return None,
        Answer::Pong => "pong".into(),
        Answer::Refused(refused) => {
            format!("error {} {}", refused.code.as_str(), refused.message)
        }
    };
    Some(one_line(&line))
}

/// Devices say that it worked in several ways, which "ok" has said already.
fn says_nothing(body: &Value) -> bool {
    body.is_null() || body["success"] == true
}

/// Writes a state; one that went away has no value.
pub fn state(topic: &str, state: Option<&StateValue>) -> String {
    match state {
        None => topic.to_owned(),
        Some(state) if state.content_type.is_some() => {
            format!("{topic} {}", state_value(topic, state))
        }
        Some(state) => event(topic, &state.payload),
    }
}

/// Writes an event.
pub fn event(topic: &str, payload: &[u8]) -> String {
    one_line(&format!("{topic} {}", text(payload)))
}

fn text(payload: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(payload)
}

/// What would end the line early is a space instead.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::command::{ErrorCode, Failure, Success};
    use crate::doors::conversation::Filter;

    fn result(result: Result<Success, Failure>) -> String {
        let outcome = Outcome {
            room: "1".into(),
            command: "audio/volume/set".into(),
            request_id: None,
            took: Duration::ZERO,
            result,
        };
        answer(&Answer::Result(Box::new(outcome))).unwrap()
    }

    #[test]
    fn lines_are_read() {
        let asked = |line: &str| read(line).unwrap().request;
        let command = |payload: &'static str| {
            Ok(Request::Command {
                topic: "room/1/x/set".into(),
                payload: payload.into(),
            })
        };
        assert_eq!(asked("room/1/x/set"), command(""));
        assert_eq!(asked("room/1/x/set 40\r"), command("40"));
        assert_eq!(asked("room/1/x/set a b  c"), command("a b  c"));
        let all = Filter::new("room/1/#").unwrap();
        assert_eq!(
            asked("subscribe room/1/#"),
            Ok(Request::Subscribe(vec![all]))
        );
        assert_eq!(asked("ping"), Ok(Request::Ping));
        assert!(asked("subscribe a#").is_err());
        assert_eq!(read("\r"), None);
    }

    #[test]
    fn lines_are_written_as_the_page_says() {
        let topic = "room/1/audio/volume/set/result";
        let ok = |body: Value| result(Ok(Success::new(200, body)));
        assert_eq!(ok(Value::Null), format!("{topic} ok"));
        assert_eq!(
            ok(json!({"success": true, "reason": ""})),
            format!("{topic} ok")
        );
        assert_eq!(ok(json!(40)), format!("{topic} ok 40"));
        assert_eq!(ok(json!(["a"])), format!("{topic} ok [\"a\"]"));
        let message = "volume takes an integer from 0 to 100, not \"loud\"";
        let failed = result(Err(Failure::new(ErrorCode::InvalidPayload, message)));
        assert_eq!(failed, format!("{topic} error invalid_payload {message}"));
        assert_eq!(
            state("room/1/audio/volume", Some(&StateValue::text("40"))),
            "room/1/audio/volume 40"
        );
        assert_eq!(state("room/1/audio/volume", None), "room/1/audio/volume");
    }

    proptest! {
        #[test]
        fn whatever_a_state_holds_it_is_one_line(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(!state("a", Some(&StateValue::text(payload))).contains(['\r', '\n']));
        }

        #[test]
        fn no_line_can_panic(line in "\\PC{0,80}") {
            let _ = read(&line);
        }
    }
}
