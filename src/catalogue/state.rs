//! How a device's answer becomes retained states.
//!
//! Owns the picking of states from an answer. Pure: bytes are read by `body`, and `quirks`
//! handles what devices send differently from the guide.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::entity::Entity;
use super::evidence::{is_flag, is_number};
use super::preset_names::PresetNames;
use super::quirks::{as_list, bare_word, flag, member, result_of, unwrap_result};
use super::references::StateTopic;

/// How an operation's answer is made uniform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As the device sends it.
    AsIs,
    /// An object.
    Object,
    /// A list of objects: a single object is taken as a list of one, null as an empty one.
    List,
    /// `{"result":value}` or the value itself, where the value is a number.
    Number,
    /// Like `Number`, where the value is true or false.
    Flag,
    /// Like `Number`, where the value is a word.
    Word,
}

/// Values that a state may depend on besides the answer.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Seconds since 1970.
    pub now: i64,
    /// The room's `preset_offset`, if configured.
    pub preset_offset: Option<i8>,
    /// The names of the presets, if they are known.
    pub preset_names: Option<Arc<PresetNames>>,
    /// When the device started, in seconds since 1970, if that is known.
    pub started: Option<i64>,
}

/// How a state's value is found in the answer.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    /// The whole answer.
    Whole,
    /// The first of these members that the answer has.
    Field(&'static [&'static str]),
    /// The function's result; `None` clears the topic.
    With(fn(&Value, &Context) -> Option<Value>),
    /// Like `With`, but the value also changes with time, even when the answer stays the same.
    AtTime(fn(&Value, &Context) -> Option<Value>),
    /// One topic for each item: (last level, value).
    Each(fn(&Value) -> Vec<(String, Value)>),
}

/// A retained topic that an operation feeds.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// The topic below the room; with [`Pick::Each`] the part before the last level.
    pub topic: StateTopic,
    /// How its value is found.
    pub pick: Pick,
    /// Its entity in Home Assistant.
    pub entities: &'static [Entity],
}

/// A topic below the room and its value. Most values are a part of the answer as it is.
pub type StateTopicValue<'a> = (Cow<'static, str>, Option<Cow<'a, Value>>);

impl State {
    pub(super) const fn new(topic: StateTopic, pick: Pick) -> Self {
        Self {
            topic,
            pick,
            entities: &[],
        }
    }

    pub(super) const fn whole(topic: StateTopic) -> Self {
        Self::new(topic, Pick::Whole)
    }

    pub(super) const fn field(topic: StateTopic, names: &'static [&'static str]) -> Self {
        Self::new(topic, Pick::Field(names))
    }

    pub(super) const fn with(
        topic: StateTopic,
        pick: fn(&Value, &Context) -> Option<Value>,
    ) -> Self {
        Self::new(topic, Pick::With(pick))
    }

    pub(super) const fn at_time(
        topic: StateTopic,
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
            _ => self.topic.to_string(),
        }
    }

    /// Every topic of this state for an answer, with its value (`None`: the topic is cleared). A topic whose value
    /// is of a kind that it cannot have is left out: what it has stays.
    pub fn values<'a>(&self, answer: &'a Value, context: &Context) -> Vec<StateTopicValue<'a>> {
        let present = |value: Cow<'a, Value>| (!value.is_null()).then_some(value);
        let one = |value: Option<Cow<'a, Value>>| {
            let value = value.and_then(present);
            let can_be = |value: &Cow<'a, Value>| self.topic.kind().takes(value);
            if value.as_ref().is_none_or(can_be) {
                vec![(self.topic.as_str().into(), value)]
            } else {
                Vec::new()
            }
        };
        match self.pick {
            Pick::Whole => one(Some(Cow::Borrowed(answer))),
            Pick::Field(names) => one(member(answer, names).map(Cow::Borrowed)),
            Pick::With(pick) | Pick::AtTime(pick) => one(pick(answer, context).map(Cow::Owned)),
            Pick::Each(each) => each(answer)
                .into_iter()
                .map(|(level, value)| {
                    let topic = format!("{}/{level}", self.topic);
                    (topic.into(), present(Cow::Owned(value)))
                })
                .collect(),
        }
    }
}

impl Shape {
    /// Makes an answer uniform.
    pub fn apply(self, answer: Value) -> Value {
        match self {
            Self::AsIs | Self::Object => answer,
            Self::List => as_list(answer),
            Self::Number | Self::Word => unwrap_result(answer),
            Self::Flag => flag(unwrap_result(answer)),
        }
    }

    /// Whether an answer has this shape. Null has every shape: there is nothing at the moment.
    pub fn fits(self, answer: &Value) -> bool {
        if answer.is_null() {
            return true;
        }
        let result = |is: fn(&Value) -> bool| {
            let result = result_of(answer);
            result.is_some_and(|result| result.is_null() || is(result))
        };
        match (self, answer) {
            (Self::AsIs, _) => true,
            (Self::Object, _) => answer.is_object(),
            (Self::List, Value::Array(items)) => items.iter().all(Value::is_object),
            (Self::List, _) => answer.is_object(),
            (Self::Number, _) => result(is_number),
            (Self::Flag, _) => result(is_flag),
            (Self::Word, _) => result(|value| value.as_str().and_then(bare_word).is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_state_cannot_be_is_left_out() {
        let context = Context {
            now: 0,
            preset_offset: None,
            preset_names: None,
            started: None,
        };
        let mut audio = crate::catalogue::operations();
        let audio = audio.find(|known| known.path == "/rest/audio").unwrap();
        let told = |answer: &str| -> Vec<String> {
            let answer = serde_json::from_str(answer).unwrap();
            let states = audio.states.iter().skip(1);
            let values = states.flat_map(|state| state.values(&answer, &context));
            let told = values.filter_map(|(topic, value)| Some((topic, value?)));
            told.map(|(topic, value)| format!("{topic} {value}"))
                .collect()
        };
        for none in [
            "-1", "101", "[62]", "1e400", "5.5", "\"loud\"", "true", "{}",
        ] {
            let answer = format!(r#"{{"volume":{none},"muted":true,"numOfMicsConnected":-3.5}}"#);
            assert_eq!(told(&answer), ["audio/muted true"], "{none}");
        }
        for (volume, shown) in [("0", "0"), ("100", "100"), ("62.0", "62"), ("\"62\"", "62")] {
            let answer = format!(r#"{{"volume":{volume},"muted":"maybe"}}"#);
            assert_eq!(told(&answer), [format!("audio/volume {shown}")]);
        }
    }

    #[test]
    fn shapes_forgive() {
        assert_eq!(Shape::List.apply(json!({"a": 1})), json!([{"a": 1}]));
        assert_eq!(Shape::List.apply(Value::Null), json!([]));
        assert_eq!(Shape::Number.apply(json!({"result": 7})), json!(7));
        assert_eq!(Shape::Flag.apply(json!(false)), json!(false));
        assert_eq!(Shape::Flag.apply(json!({"result": 1})), json!(true));
        assert_eq!(Shape::Word.apply(json!("UP")), json!("UP"));
    }
}
