//! JSON frames: `{"id":7,"topic":"room/1/audio/volume/set","payload":40}` and their answers.
//!
//! Pure. A frame that is no JSON object is a plain one.

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::frame::{Answer, Asked, Refused, Request, filters, state_value, typed};
use super::plain;
use crate::state::StateValue;

const VERBS: &[&str] = &["topic", "subscribe", "unsubscribe", "ping"];

/// Reads a frame; an empty one is nothing.
pub fn read(text: &str) -> Option<Asked> {
    let text = text.trim_ascii();
    if !text.starts_with('{') {
        return plain::read(text);
    }
    let map: Map<String, Value> = match serde_json::from_str(text) {
        Ok(map) => map,
        Err(error) => {
            let message = format!("the frame is broken JSON: {error}");
            return Some(Asked {
                id: None,
                request: Err(Refused::bad(message)),
            });
        }
    };
    Some(Asked {
        id: map.get("id").cloned(),
        request: request(map),
    })
}

fn request(mut map: Map<String, Value>) -> Result<Request, Refused> {
    map.remove("id");
    let payload = map.remove("payload");
    let mut members = map.into_iter();
    let (verb, value) = members.next().ok_or_else(|| {
        Refused::bad(format!(
            "the frame asks for nothing; it takes one of {}",
            VERBS.join(", ")
        ))
    })?;
    if !VERBS.contains(&verb.as_str()) {
        return Err(Refused::bad(format!(
            "\"{:.64}\" is no verb; a frame takes one of {}",
            verb,
            VERBS.join(", ")
        )));
    }
    if let Some((second, _)) = members.next() {
        let message = format!("\"{second:.64}\" stands beside \"{verb}\"; a frame takes one verb");
        return Err(Refused::bad(message));
    }
    if verb != "topic" && payload.is_some() {
        return Err(Refused::bad(format!("{verb} takes no payload")));
    }
    match (verb.as_str(), value) {
        ("topic", Value::String(topic)) => Ok(Request::Command {
            topic,
            payload: bytes(payload),
        }),
        ("topic", _) => Err(Refused::bad("topic takes a text")),
        ("ping", _) => Ok(Request::Ping),
        ("subscribe", list) => Ok(Request::Subscribe(texts("subscribe", &list)?)),
        (_, list) => Ok(Request::Unsubscribe(texts("unsubscribe", &list)?)),
    }
}

/// A payload as a room reads it: text as it is, anything else as JSON.
fn bytes(payload: Option<Value>) -> Bytes {
    match payload {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => text.into(),
        Some(other) => text(&other).into(),
    }
}

fn texts(verb: &str, list: &Value) -> Result<Vec<super::Filter>, Refused> {
    let wrong = || Refused::bad(format!("{verb} takes a list of topic filters"));
    match list {
        Value::String(text) => filters([text.as_str()]),
        Value::Array(list) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            filters(texts.ok_or_else(wrong)?)
        }
        _ => Err(wrong()),
    }
}

/// Writes an answer.
pub fn answer(id: Option<&Value>, answer: &Answer) -> String {
    text(&Frame { id, answer })
}

struct Frame<'a> {
    id: Option<&'a Value>,
    answer: &'a Answer,
}

impl Serialize for Frame<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut frame = serializer.serialize_map(None)?;
        if let Some(id) = self.id {
            frame.serialize_entry("id", id)?;
        }
        let list = |filters: &[super::Filter]| -> Value {
            filters.iter().map(super::Filter::as_str).collect()
        };
        match self.answer {
            Answer::Result(outcome) => {
                frame.serialize_entry("topic", &plain::result_topic(outcome))?;
                frame.serialize_entry("payload", outcome)?;
            }
            Answer::Subscribed(filters) => frame.serialize_entry("subscribed", &list(filters))?,
            Answer::Unsubscribed(filters) => {
                frame.serialize_entry("unsubscribed", &list(filters))?;
            }
            Answer::Pong => frame.serialize_entry("pong", &true)?,
            Answer::Refused(refused) => {
                let error = json!({"code": refused.code.as_str(), "message": refused.message});
                frame.serialize_entry("error", &error)?;
            }
        }
        frame.end()
    }
}

/// Writes a state; one that went away is null.
pub fn state(topic: &str, state: Option<&StateValue>) -> String {
    let payload = state.map(|state| state_value(topic, state));
    text(&json!({"topic": topic, "payload": payload, "retain": true}))
}

/// Writes an event, which is told from a state by having no `retain`.
pub fn event(topic: &str, payload: &[u8]) -> String {
    text(&json!({"topic": topic, "payload": typed(payload)}))
}

/// Only maps with string keys are written here, which cannot fail.
fn text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::doors::conversation::Filter;

    fn asked(text: &str) -> Request {
        read(text).unwrap().request.unwrap()
    }

    fn refused(text: &str) -> String {
        read(text).unwrap().request.unwrap_err().message
    }

    fn command(topic: &str, payload: &'static str) -> Request {
        Request::Command {
            topic: topic.into(),
            payload: payload.into(),
        }
    }

    #[test]
    fn every_verb_is_read() {
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
            assert_eq!(asked(frame), command(volume, payload), "{frame}");
        }
        let all = vec![Filter::new("room/1/#").unwrap()];
        assert_eq!(
            asked(r#"{"subscribe":["room/1/#"]}"#),
            Request::Subscribe(all.clone())
        );
        assert_eq!(
            asked(r#"{"subscribe":"room/1/#"}"#),
            Request::Subscribe(all.clone())
        );
        assert_eq!(
            asked(r#"{"unsubscribe":["room/1/#"]}"#),
            Request::Unsubscribe(all)
        );
        assert_eq!(asked(r#"{"ping":true}"#), Request::Ping);
        assert_eq!(
            read(r#"{"id":"x","ping":true}"#).unwrap().id,
            Some("x".into())
        );
        assert_eq!(read(" \r\n"), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (frame, wanted) in [
            ("{", "broken JSON"),
            (r#"{"id":1}"#, "asks for nothing"),
            (r#"{"topik":"x"}"#, "one of topic, subscribe"),
            (r#"{"topic":"a","ping":true}"#, "one verb"),
            (r#"{"topic":7}"#, "topic takes a text"),
            (r#"{"subscribe":[7]}"#, "a list of topic filters"),
            (r#"{"subscribe":["a#"]}"#, "stands alone"),
            (r#"{"ping":true,"payload":1}"#, "no payload"),
        ] {
            assert!(
                refused(frame).contains(wanted),
                "{frame}: {}",
                refused(frame)
            );
        }
        let deep = format!("{{\"payload\":{}", "[".repeat(100_000));
        assert!(refused(&deep).contains("broken JSON"));
    }

    #[test]
    fn states_and_answers_are_as_the_page_says() {
        assert_eq!(
            state("room/1/audio/volume", Some(&StateValue::text("40"))),
            r#"{"topic":"room/1/audio/volume","payload":40,"retain":true}"#
        );
        assert_eq!(
            state("a", None),
            r#"{"topic":"a","payload":null,"retain":true}"#
        );
        assert_eq!(
            answer(Some(&json!(10)), &Answer::Pong),
            r#"{"id":10,"pong":true}"#
        );
        let refused = Answer::Refused(Refused::bad("why"));
        assert_eq!(
            answer(None, &refused),
            r#"{"error":{"code":"invalid_payload","message":"why"}}"#
        );
    }

    proptest! {
        #[test]
        fn no_frame_can_panic(text in "\\PC{0,80}", json in "[{}\\[\\]\",:a-z0-9]{0,80}") {
            let _ = read(&text);
            let _ = read(&format!("{{{json}"));
        }
    }
}
