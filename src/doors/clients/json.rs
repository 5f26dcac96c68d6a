//! JSON frames: `{"id":7,"topic":"room/1/audio/volume/set","payload":40}` and their answers.
//!
//! Pure. A frame that does not begin with `{` is read as a plain one.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::frame::{
    FrameAnswer, FrameError, FrameRequest, RequestFrame, parse_filters, payload_as_json,
    result_topic, state_as_json, trimmed,
};
use super::{members, plain};
use crate::command::ErrorCode;
use crate::json::{self, JsonObject, JsonText};
use crate::state::StateValue;
use crate::topics::Filter;

/// The most filters of one frame: more than a client may have.
const MOST_FILTERS: usize = 1000;

/// Reads a frame; `None` for an empty one.
pub fn parse(text: &str) -> Option<RequestFrame> {
    let text = trimmed(text);
    if !text.starts_with('{') {
        return plain::parse(text);
    }
    let map: Map<String, Value> = match json::read(text) {
        Ok(map) => map,
        Err(error) => {
            let message = format!("the frame is {error}");
            return Some(RequestFrame {
                id: None,
                request: Err(FrameError::invalid(message)),
            });
        }
    };
    Some(RequestFrame {
        id: JsonText::member(text, "id"),
        request: parse_request(text, map),
    })
}

fn parse_request(text: &str, mut map: Map<String, Value>) -> Result<FrameRequest, FrameError> {
    map.shift_remove("id");
    let payload = map.shift_remove("payload");
    let names: Vec<&str> = map.keys().map(String::as_str).collect();
    let verb = members::verb(&names, payload.is_some()).map_err(FrameError::invalid)?;
    let verb = verb.to_owned();
    let value = map.remove(&verb).unwrap_or_default();
    if verb != "topic" && payload.is_some() {
        return Err(FrameError::invalid(format!("{verb} takes no payload")));
    }
    match (verb.as_str(), value) {
        ("topic", Value::String(topic)) => Ok(FrameRequest::Command {
            topic,
            payload: payload_bytes(text, payload),
        }),
        ("topic", _) => Err(FrameError::invalid("topic takes a text")),
        ("ping", _) => Ok(FrameRequest::Ping),
        ("subscribe", list) => Ok(FrameRequest::Subscribe(filter_list("subscribe", &list)?)),
        (_, list) => Ok(FrameRequest::Unsubscribe(filter_list(
            "unsubscribe",
            &list,
        )?)),
    }
}

/// The bytes of a payload as a room reads them: text as it is, anything else as the JSON that stands
/// in the frame.
fn payload_bytes(frame: &str, payload: Option<Value>) -> Bytes {
    match payload {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => text.into(),
        Some(_) => match JsonText::member(frame, "payload") {
            Some(json) => Bytes::copy_from_slice(json.as_str().as_bytes()),
            None => Bytes::new(),
        },
    }
}

fn filter_list(verb: &str, list: &Value) -> Result<Vec<Filter>, FrameError> {
    let wrong = || FrameError::invalid(format!("{verb} takes a list of topic filters"));
    match list {
        Value::String(text) => parse_filters([text.as_str()]),
        // Before each is looked at: a frame has room for a hundred thousand.
        Value::Array(list) if list.len() > MOST_FILTERS => Err(FrameError {
            code: ErrorCode::TooLarge,
            message: format!("{verb} takes up to {MOST_FILTERS} filters at once; use + and #"),
        }),
        Value::Array(list) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            parse_filters(texts.ok_or_else(wrong)?)
        }
        _ => Err(wrong()),
    }
}

/// Writes an answer.
pub fn write_answer(id: Option<&JsonText>, answer: &FrameAnswer) -> String {
    let mut frame = JsonObject::new();
    if let Some(id) = id {
        frame = frame.exact("id", id);
    }
    let list = |filters: &[Filter]| -> Value { filters.iter().map(Filter::as_str).collect() };
    let frame = match answer {
        FrameAnswer::Result(outcome) => frame
            .member("topic", &result_topic(outcome))
            .object("payload", &outcome.to_json()),
        FrameAnswer::Subscribed(filters) => frame.member("subscribed", &list(filters)),
        FrameAnswer::Unsubscribed(filters) => frame.member("unsubscribed", &list(filters)),
        FrameAnswer::Pong => frame.member("pong", &true),
        FrameAnswer::Text(lines) => frame.member("text", lines),
        FrameAnswer::Error(error) => {
            let error = json!({"code": error.code.as_str(), "message": error.message});
            frame.member("error", &error)
        }
    };
    // All members are JSON, so they are text.
    String::from_utf8(frame.finish()).unwrap_or_default()
}

/// Writes a state; one that is gone has the payload null.
pub fn write_state(topic: &str, state: Option<&StateValue>) -> String {
    let payload = state.map(|state| state_as_json(topic, state));
    json!({"topic": topic, "payload": payload, "retain": true}).to_string()
}

/// Writes an event. Unlike a state it has no `retain`.
pub fn write_event(topic: &str, payload: &[u8]) -> String {
    json!({"topic": topic, "payload": payload_as_json(payload)}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(text: &str) -> FrameRequest {
        parse(text).unwrap().request.unwrap()
    }

    fn error_message(text: &str) -> String {
        parse(text).unwrap().request.unwrap_err().message
    }

    fn command(topic: &str, payload: &'static str) -> FrameRequest {
        FrameRequest::Command {
            topic: topic.into(),
            payload: payload.into(),
        }
    }

    #[test]
    fn every_verb_is_parse() {
        let volume = "room/1/audio/volume/set";
        for (frame, payload) in [
            (
                r#"{"id":7,"topic":"room/1/audio/volume/set","payload":40}"#,
                "40",
            ),
            (
                r#"{"topic":"room/1/audio/volume/set","payload":"40"}"#,
                "40",
            ),
            (r#"{"topic":"room/1/audio/volume/set","payload":null}"#, ""),
            (r#"{"topic":"room/1/audio/volume/set"}"#, ""),
            (
                r#"{"topic":"room/1/audio/volume/set","payload":{"a":1}}"#,
                r#"{"a":1}"#,
            ),
            ("room/1/audio/volume/set 40", "40"),
        ] {
            assert_eq!(request(frame), command(volume, payload), "{frame}");
        }
        let all = vec![Filter::new("room/1/#").unwrap()];
        assert_eq!(
            request(r#"{"subscribe":["room/1/#"]}"#),
            FrameRequest::Subscribe(all.clone())
        );
        assert_eq!(
            request(r#"{"subscribe":"room/1/#"}"#),
            FrameRequest::Subscribe(all.clone())
        );
        assert_eq!(
            request(r#"{"unsubscribe":["room/1/#"]}"#),
            FrameRequest::Unsubscribe(all)
        );
        assert_eq!(request(r#"{"ping":true}"#), FrameRequest::Ping);
        assert_eq!(
            parse(r#"{"id":"x","ping":true}"#).unwrap().id,
            Some(json!("x").into())
        );
        assert_eq!(parse(" \r\n"), None);
        assert_eq!(parse("\u{feff}"), None);
        assert_eq!(request("\u{feff}{\"ping\":true}"), FrameRequest::Ping);
        assert_eq!(request("help"), FrameRequest::Help);
    }

    #[test]
    fn an_id_and_a_payload_stay_as_they_were_sent() {
        for id in [
            "12345678901234567890123",
            "1.0",
            "1e2",
            "\"\\u0041\"",
            "{\"a\": 1.50}",
        ] {
            let frame = parse(&format!("{{\"id\": {id} ,\"ping\":true}}")).unwrap();
            let answer = write_answer(frame.id.as_ref(), &FrameAnswer::Pong);
            assert_eq!(answer, format!("{{\"id\":{id},\"pong\":true}}"));
        }
        for (payload, bytes) in [
            ("123456789012345678901", "123456789012345678901"),
            ("5551234.0", "5551234.0"),
            (
                "{\"address\":123456789012345678901}",
                "{\"address\":123456789012345678901}",
            ),
            ("{\"a\": {\"b\":0.10}}", "{\"a\": {\"b\":0.10}}"),
            ("{\"request_id\":1e2}", "{\"request_id\":1e2}"),
        ] {
            let FrameRequest::Command { payload, .. } =
                request(&format!("{{\"topic\":\"x\",\"payload\":{payload}}}"))
            else {
                unreachable!()
            };
            assert_eq!(payload, bytes);
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (frame, wanted) in [
            ("{", "broken JSON"),
            ("{'topic': 'x'}", "| tojson"),
            ("{\"topic\":\"x\"}\0", "\\0"),
            (r#"{"id":1}"#, "has no verb"),
            (r#"{"topik":"x"}"#, "one of topic, subscribe"),
            (r#"{"topic":"a","ping":true}"#, "one verb"),
            (r#"{"topic":7}"#, "topic takes a text"),
            (
                r#"{"topic":"a","payload":1,"qos":1,"retain":false,"_msgid":"f0"}"#,
                "drop \"_msgid\", \"qos\" and \"retain\" from the frame",
            ),
            (
                r#"{"subscribe":["$share/g/room/1/#"]}"#,
                "subscribe to \"room/1/#\"",
            ),
            (r#"{"subscribe":[7]}"#, "a list of topic filters"),
            (r#"{"subscribe":["a#"]}"#, "must be the whole last level"),
            (r#"{"ping":true,"payload":1}"#, "no payload"),
        ] {
            assert!(
                error_message(frame).contains(wanted),
                "{frame}: {}",
                error_message(frame)
            );
        }
        let deep = format!("{{\"payload\":{}", "[".repeat(10_000));
        assert!(error_message(&deep).contains("broken JSON"));
    }

    #[test]
    fn states_and_answers_are_as_documented() {
        assert_eq!(
            write_state("room/1/audio/volume", Some(&StateValue::text("40"))),
            r#"{"topic":"room/1/audio/volume","payload":40,"retain":true}"#
        );
        assert_eq!(
            write_state("a", None),
            r#"{"topic":"a","payload":null,"retain":true}"#
        );
        assert_eq!(
            write_answer(Some(&json!(10).into()), &FrameAnswer::Pong),
            r#"{"id":10,"pong":true}"#
        );
        let error = FrameAnswer::Error(FrameError::invalid("why"));
        assert_eq!(
            write_answer(None, &error),
            r#"{"error":{"code":"invalid_payload","message":"why"}}"#
        );
    }

    proptest! {
        #[test]
        fn no_frame_panics(text in "\\PC{0,80}", json in "[{}\\[\\]\",:a-z0-9]{0,80}") {
            let _ = parse(&text);
            let _ = parse(&format!("{{{json}"));
        }
    }
}
