//! How a device's answer becomes retained states.
//!
//! Owns the lenient reading of what real devices send (words without quotes, one object where a
//! list is meant, `{"result":…}` around a value) and the picking of states from it. Pure.

use bytes::Bytes;
use serde_json::Value;

use super::entity::Entity;

/// Half of what readers of JSON commonly take.
const DEEPEST: usize = 64;

/// What an operation's answer looks like once it has been made uniform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As the device sends it.
    AsIs,
    /// A list: a single object is taken as a list of one, null as an empty one.
    List,
    /// `{"result":value}` or the value itself: the value.
    Result,
}

/// What the picking of a state may depend on besides the answer.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Seconds since 1970.
    pub now: i64,
    /// The room's `preset_offset`, if configured.
    pub preset_offset: Option<i8>,
}

/// How a state's value is found in the answer.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    /// All of it.
    Whole,
    /// The first of these members that is there.
    Field(&'static [&'static str]),
    /// Whatever this makes of it; `None` clears the topic.
    With(fn(&Value, &Context) -> Option<Value>),
    /// The same, where the time matters: it changes though the answer does not.
    AtTime(fn(&Value, &Context) -> Option<Value>),
    /// One topic for each of these: the last level and the value.
    Each(fn(&Value) -> Vec<(String, Value)>),
}

/// A retained topic that an operation feeds.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// The topic below the room; with [`Pick::Each`] the part before the last level.
    pub topic: &'static str,
    /// Where its value is.
    pub pick: Pick,
    /// What Home Assistant shows of it.
    pub entities: &'static [Entity],
}

impl State {
    pub(super) const fn new(topic: &'static str, pick: Pick) -> Self {
        Self {
            topic,
            pick,
            entities: &[],
        }
    }

    pub(super) const fn whole(topic: &'static str) -> Self {
        Self::new(topic, Pick::Whole)
    }

    pub(super) const fn field(topic: &'static str, names: &'static [&'static str]) -> Self {
        Self::new(topic, Pick::Field(names))
    }

    pub(super) const fn with(
        topic: &'static str,
        pick: fn(&Value, &Context) -> Option<Value>,
    ) -> Self {
        Self::new(topic, Pick::With(pick))
    }

    pub(super) const fn at_time(
        topic: &'static str,
        pick: fn(&Value, &Context) -> Option<Value>,
    ) -> Self {
        Self::new(topic, Pick::AtTime(pick))
    }

    pub(super) const fn entities(self, entities: &'static [Entity]) -> Self {
        Self { entities, ..self }
    }

    /// Its topic below the room, with a parameter where it has several.
    pub fn pattern(&self) -> String {
        match self.pick {
            Pick::Each(_) => format!("{}/{{name}}", self.topic),
            _ => self.topic.to_owned(),
        }
    }

    /// Every topic this state has for an answer, with its value (`None`: cleared).
    pub fn values(&self, answer: &Value, context: &Context) -> Vec<(String, Option<Value>)> {
        let present = |value: Value| (!value.is_null()).then_some(value);
        let one = |value: Option<Value>| vec![(self.topic.to_owned(), value.and_then(present))];
        match self.pick {
            Pick::Whole => one(Some(answer.clone())),
            Pick::Field(names) => one(member(answer, names).cloned()),
            Pick::With(pick) | Pick::AtTime(pick) => one(pick(answer, context)),
            Pick::Each(each) => each(answer)
                .into_iter()
                .map(|(level, value)| (format!("{}/{level}", self.topic), present(value)))
                .collect(),
        }
    }
}

/// The first of `names` that `value` has.
pub fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(name))
}

/// Reads a body: JSON, or a word that should have had quotes, or nothing.
///
/// # Errors
/// The body is neither; what is said holds nothing of it.
pub fn read_body(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body)
        .map_err(|_| "the device's answer is not text")?
        .trim_start_matches('\u{feff}')
        .trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let read: Result<Value, _> = serde_json::from_str(text);
    if read.as_ref().is_ok_and(is_deep) {
        return Err("the device's answer is nested too deeply".into());
    }
    read.or_else(|error| {
        let word = text.len() <= 128
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if word {
            Ok(text.into())
        } else {
            Err(format!("the device's answer is not JSON: {error}"))
        }
    })
}

/// A value within which others stand so deep that a reader of JSON may refuse what it is told in.
pub fn is_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| within(item, left)),
            Value::Object(map) => map.values().any(|item| within(item, left)),
            _ => false,
        }
    }
    fn within(value: &Value, left: usize) -> bool {
        left == 0 || deeper(value, left - 1)
    }
    deeper(value, DEEPEST)
}

impl Shape {
    /// Makes an answer uniform.
    pub fn apply(self, answer: Value) -> Value {
        match (self, answer) {
            (Self::List, Value::Null) => Value::Array(Vec::new()),
            (Self::List, value) if !value.is_array() => Value::Array(vec![value]),
            (Self::Result, Value::Object(mut map)) => map.remove("result").unwrap_or(Value::Null),
            (_, answer) => answer,
        }
    }
}

/// A state's payload: a scalar as plain text, anything else as JSON.
pub fn payload(value: &Value) -> Bytes {
    match value {
        Value::String(text) => text.clone().into(),
        // It may be kept for long, so without the room that was left for more. Only maps with string
        // keys are in it, which cannot fail.
        other => Bytes::from(
            serde_json::to_vec(other)
                .unwrap_or_default()
                .into_boxed_slice(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_without_quotes_are_read_and_pages_are_not() {
        assert_eq!(read_body(b"CONTENT_IDLE\r\n"), Ok("CONTENT_IDLE".into()));
        assert_eq!(read_body(b"\"CONTENT_IDLE\""), Ok("CONTENT_IDLE".into()));
        assert_eq!(read_body(b" "), Ok(Value::Null));
        assert!(read_body(b"<html>403</html>").is_err());
        assert!(read_body(&[0xff]).is_err());
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read_body(nested(DEEPEST).as_bytes()).is_ok());
        assert!(read_body(nested(DEEPEST + 2).as_bytes()).is_err());
    }

    #[test]
    fn shapes_forgive() {
        assert_eq!(Shape::List.apply(json!({"a": 1})), json!([{"a": 1}]));
        assert_eq!(Shape::List.apply(Value::Null), json!([]));
        assert_eq!(Shape::Result.apply(json!({"result": true})), json!(true));
        assert_eq!(Shape::Result.apply(json!(false)), json!(false));
    }

    #[test]
    fn scalars_are_plain_text() {
        assert_eq!(payload(&json!("UP")), "UP");
        assert_eq!(payload(&json!(62)), "62");
        assert_eq!(payload(&json!([1])), "[1]");
    }
}
