//! One value of a payload: its names, its allowed values, and the value that is sent to the device.
//!
//! Pure. `payload` makes the messages about a wrong payload as a whole.

use serde_json::Value;

use super::references::CommandTopic;
use crate::json::{is_integer, whole_number};
use crate::visible::is_invisible;

/// The part of the request that a field becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentIn {
    /// Into the JSON body, at its dotted device name.
    Body,
    /// Into the query string.
    Query,
    /// Nowhere: the gateway uses it.
    Gateway,
}

/// One value of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in payloads: `dial_type`.
    pub name: &'static str,
    /// Its name at the device: `dialType`; dots nest.
    pub wire: &'static str,
    /// Its allowed values.
    pub rule: Rule,
    /// It is required.
    pub required: bool,
    /// The part of the request that it becomes.
    pub sent_in: SentIn,
    /// The commands that raise and lower the value by a step, for the message about `+5`.
    pub steps: Option<(CommandTopic, CommandTopic)>,
}

impl Field {
    pub(super) const fn body(name: &'static str, wire: &'static str, rule: Rule) -> Self {
        Self {
            name,
            wire,
            rule,
            required: false,
            sent_in: SentIn::Body,
            steps: None,
        }
    }

    pub(super) const fn query(name: &'static str, wire: &'static str, rule: Rule) -> Self {
        Self {
            sent_in: SentIn::Query,
            ..Self::body(name, wire, rule)
        }
    }

    pub(super) const fn gateway(name: &'static str, rule: Rule) -> Self {
        Self {
            sent_in: SentIn::Gateway,
            ..Self::body(name, name, rule)
        }
    }

    pub(super) const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    pub(super) const fn steps(self, up: CommandTopic, down: CommandTopic) -> Self {
        Self {
            steps: Some((up, down)),
            ..self
        }
    }

    /// Every name it goes by in an object whose bare field is `bare`; a later one wins.
    pub fn names(&self, bare: Option<&str>) -> impl Iterator<Item = &'static str> {
        let alias = (bare == Some(self.name)).then_some("value");
        [self.name, self.wire, self.wire_leaf()]
            .into_iter()
            .chain(alias)
    }

    /// The guide's name without the objects around it.
    fn wire_leaf(&self) -> &'static str {
        self.wire.rsplit('.').next().unwrap_or(self.wire)
    }
}

/// The allowed values of a field, and the value that is sent to the device.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// `true|false|on|off|1|0` in any case, and `toggle` where the command knows the state.
    Switch,
    /// Like `Switch`, and these words for on and off.
    NamedSwitch(&'static str, &'static str),
    /// Like `Switch`, but sent as `Yes` or `No`.
    YesNo,
    /// A whole number in these bounds, however it is spelled.
    Integer {
        /// The minimum.
        min: i64,
        /// The maximum.
        max: i64,
    },
    /// Text that is not empty and can be seen: an address, an id.
    Text,
    /// Text that may be empty.
    AnyText,
    /// Text that must never be shown.
    Secret,
    /// One of these words: (ours, the device's). Both are accepted.
    Word(&'static [(&'static str, &'static str)]),
    /// One or more telephone keys: digits, `*`, `#`.
    Keys,
    /// A list of texts, or several in one text separated by commas.
    Texts,
    /// A JSON list. Its objects may use snake case instead of the guide's camel case.
    List {
        /// The members of its objects that the guide says are texts.
        texts: &'static [&'static str],
    },
}

/// The usual words that switch on. Any case is taken.
pub const ON: &[&str] = &["true", "True", "TRUE", "on", "On", "ON", "1"];
/// The usual words that switch off.
pub const OFF: &[&str] = &["false", "False", "FALSE", "off", "Off", "OFF", "0"];

/// The text of a switch as a truth value.
pub fn switch(text: &str) -> Option<bool> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match whole_number(text) {
        _ if is_one_of(ON) => Some(true),
        _ if is_one_of(OFF) => Some(false),
        Some(1) => Some(true),
        Some(0) => Some(false),
        _ => None,
    }
}

/// The word that inverts a switch.
pub const TOGGLE: &str = "toggle";

/// The most telephone keys in one command: longer than any number or PIN.
pub const MOST_KEYS: usize = 64;

impl Rule {
    /// The allowed values in words, to follow "takes" in a message.
    pub fn describe(&self, toggles: bool) -> String {
        match self {
            Self::Switch if toggles => {
                "true or false (also on, off, ON, OFF, 1, 0) or toggle".into()
            }
            Self::NamedSwitch(on, off) => {
                let toggle = if toggles { ", toggle" } else { "" };
                format!("true or false (also on, off, ON, OFF, 1, 0){toggle}, {on} or {off}")
            }
            Self::Switch | Self::YesNo => "true or false (also on, off, ON, OFF, 1, 0)".into(),
            Self::Integer { min, max: i64::MAX } => format!("an integer of at least {min}"),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Text => "a text that is not empty".into(),
            Self::AnyText | Self::Secret => "a text".into(),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Keys => "one or more of the keys 0-9, * and #".into(),
            Self::Texts => "a list of texts that is not empty".into(),
            Self::List { .. } => "a JSON list".into(),
        }
    }

    /// Whether text is wanted, so that a number or a truth value must be meant as one.
    pub(super) fn wants_text(&self) -> bool {
        matches!(
            self,
            Self::Text | Self::AnyText | Self::Secret | Self::Keys | Self::Texts
        )
    }

    /// The value for the device, or `None` where `value` is not allowed. Blanks around a value mean
    /// nothing.
    pub(super) fn convert(&self, value: &Value, toggles: bool) -> Option<Value> {
        let is_toggle = |text: &str| toggles && text.eq_ignore_ascii_case(TOGGLE);
        match self {
            Self::Switch => match scalar(value)? {
                text if is_toggle(text) => Some(TOGGLE.into()),
                text => switch(text).map(Value::Bool),
            },
            Self::NamedSwitch(on, off) => match scalar(value)? {
                text if text.eq_ignore_ascii_case(on) => Some(true.into()),
                text if text.eq_ignore_ascii_case(off) => Some(false.into()),
                text if is_toggle(text) => Some(TOGGLE.into()),
                text => switch(text).map(Value::Bool),
            },
            Self::YesNo => {
                let yes = match scalar(value)? {
                    text if text.eq_ignore_ascii_case("yes") => true,
                    text if text.eq_ignore_ascii_case("no") => false,
                    text => switch(text)?,
                };
                Some(if yes { "Yes" } else { "No" }.into())
            }
            Self::Integer { min, max } => {
                let number = whole_number(scalar(value)?)?;
                (*min..=*max).contains(&number).then(|| number.into())
            }
            Self::Text => {
                let is_hidden = |c: char| c.is_control() || is_invisible(c) && !c.is_whitespace();
                text(value)
                    .filter(|text| !text.is_empty() && !text.chars().any(is_hidden))
                    .map(Value::from)
            }
            Self::AnyText => text(value).map(Value::from),
            // A blank may be part of it.
            Self::Secret => match value {
                Value::String(secret) => Some(secret.as_str().into()),
                other => text(other).map(Value::from),
            },
            Self::Word(words) => {
                let text = text(value)?;
                words
                    .iter()
                    .find(|(word, wire)| {
                        text.eq_ignore_ascii_case(word) || text.eq_ignore_ascii_case(wire)
                    })
                    .map(|(_, wire)| Value::from(*wire))
            }
            Self::Keys => text(value)
                .filter(|text| {
                    let key = |c: char| c.is_ascii_digit() || c == '*' || c == '#';
                    !text.is_empty() && text.len() <= MOST_KEYS && text.chars().all(key)
                })
                .map(Value::from),
            Self::Texts => {
                let texts: Vec<&str> = match value {
                    Value::Array(items) => items.iter().map(text).collect::<Option<_>>()?,
                    _ => text(value)?.split(',').map(str::trim).collect(),
                };
                let full = !texts.is_empty() && texts.iter().all(|text| !text.is_empty());
                full.then(|| texts.into())
            }
            Self::List { texts } => {
                let list = value.is_array().then(|| camel_keys(value.clone()))?;
                with_texts(list, texts)
            }
        }
    }
}

/// A value that is wanted as text. An integer is one digit for digit; another number, and a truth
/// value, is none.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.trim()),
        Value::Number(number) if is_integer(number.as_str()) => Some(number.as_str()),
        _ => None,
    }
}

/// A value that is wanted as a number or a word of a switch.
fn scalar(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.trim()),
        Value::Number(number) => Some(number.as_str()),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        _ => None,
    }
}

/// Makes integers texts where text is wanted: at these members of the objects in a value. `None` where
/// one is another number or a truth value.
fn with_texts(value: Value, members: &[&str]) -> Option<Value> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(|item| with_texts(item, members))
            .collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| match value {
                Value::Number(_) | Value::Bool(_) if members.contains(&key.as_str()) => {
                    Some((key, text(&value)?.into()))
                }
                value => Some((key, with_texts(value, members)?)),
            })
            .collect(),
        other => Some(other),
    }
}

/// `first_name` becomes `firstName`, in every object of a value.
fn camel_keys(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(camel_keys).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (camel(&key), camel_keys(value)))
            .collect(),
        other => other,
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const VOLUME: Rule = Rule::Integer { min: 0, max: 100 };

    #[test]
    fn nested_names_become_the_guides() {
        let list = json!([{"address_list": [{"type": "SIP"}]}]);
        let wanted = json!([{"addressList": [{"type": "SIP"}]}]);
        assert_eq!(camel_keys(list), wanted);
    }

    /// A value as it stands in JSON.
    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_whole_number_is_taken_however_it_is_spelled() {
        for text in [
            "40",
            "40.0",
            "4e1",
            "4.0E+1",
            "400e-1",
            "\"40\"",
            "\" 40.0 \"",
        ] {
            assert_eq!(
                VOLUME.convert(&value(text), false),
                Some(json!(40)),
                "{text}"
            );
        }
        for text in ["-0", "-0.0", "0e999999999", "0.0"] {
            assert_eq!(
                VOLUME.convert(&value(text), false),
                Some(json!(0)),
                "{text}"
            );
        }
        for text in [
            "40.5",
            "1e999999999",
            "-1",
            "101",
            "true",
            "null",
            "[]",
            "\"+5\"",
            "\"\"",
            "\"５\"",
        ] {
            assert_eq!(VOLUME.convert(&value(text), false), None, "{text}");
        }
    }

    #[test]
    fn a_switch_is_taken_in_any_case() {
        for text in [
            "true",
            "1",
            "1.0",
            "\"oN\"",
            "\" tRUE \"",
            "\"1\"",
            "\"1.0\"",
            "1e0",
        ] {
            let on = Rule::Switch.convert(&value(text), false);
            assert_eq!(on, Some(json!(true)), "{text}");
            assert_eq!(Rule::YesNo.convert(&value(text), false), Some(json!("Yes")));
        }
        for text in ["false", "0", "0.0", "-0", "\"oFF\"", "\"FaLsE\""] {
            let off = Rule::Switch.convert(&value(text), false);
            assert_eq!(off, Some(json!(false)), "{text}");
        }
        for text in ["2", "0.5", "null", "\"yes\"", "\"\"", "[1]", "10"] {
            assert_eq!(Rule::Switch.convert(&value(text), false), None, "{text}");
        }
        let toggle = json!(" Toggle ");
        assert_eq!(Rule::Switch.convert(&toggle, true), Some(json!("toggle")));
        assert_eq!(Rule::Switch.convert(&toggle, false), None);
    }

    #[test]
    fn an_integer_is_a_text_digit_for_digit_and_nothing_else_is() {
        for rule in [Rule::Text, Rule::AnyText, Rule::Secret] {
            for digits in ["5551234", "0", "-5", "123456789012345678901234567890"] {
                let taken = rule.convert(&value(digits), false);
                assert_eq!(taken, Some(json!(digits)), "{rule:?}");
                let quoted = rule.convert(&json!(format!("0{digits}")), false);
                assert_eq!(quoted, Some(json!(format!("0{digits}"))));
            }
            for text in ["5551234.0", "1e3", "true", "false", "null", "[]", "{}"] {
                assert_eq!(rule.convert(&value(text), false), None, "{rule:?} {text}");
            }
        }
        let list = value("[5551234, \" a@b \", 12345678901234567890123]");
        let texts = Rule::Texts.convert(&list, false);
        assert_eq!(
            texts,
            Some(json!(["5551234", "a@b", "12345678901234567890123"]))
        );
        for text in ["[1.0]", "[true]", "[null]", "[\"\"]", "[]"] {
            assert_eq!(Rule::Texts.convert(&value(text), false), None, "{text}");
        }
    }

    #[test]
    fn texts_in_lists_are_texts_too() {
        let rule = Rule::List {
            texts: &["number", "rate"],
        };
        let list = value(
            "[{\"address_list\":[{\"number\":123456789012345678901,\"rate\":384,\"x\":1.10}]}]",
        );
        let taken = rule.convert(&list, false).unwrap().to_string();
        let wanted = "[{\"addressList\":[{\"number\":\"123456789012345678901\",\
                      \"rate\":\"384\",\"x\":1.10}]}]";
        assert_eq!(taken, wanted);
        for text in [
            "[{\"number\":1.5}]",
            "[{\"a\":[{\"rate\":true}]}]",
            "{}",
            "\"x\"",
        ] {
            assert_eq!(rule.convert(&value(text), false), None, "{text}");
        }
    }

    #[test]
    fn an_address_can_be_seen() {
        for text in [
            "\u{feff}a@b",
            "\u{202a}+41\u{202c}",
            "a\0",
            "a\nb",
            "\u{200b}",
        ] {
            assert_eq!(Rule::Text.convert(&json!(text), false), None, "{text:?}");
            assert!(Rule::AnyText.convert(&json!(text), false).is_some());
        }
        for text in ["\"Zoë\" <sip:a@b>", "会議室", " a "] {
            let taken = Rule::Text.convert(&json!(text), false);
            assert_eq!(taken, Some(json!(text.trim())));
        }
    }

    proptest! {
        #[test]
        fn any_integer_that_is_meant_as_text_keeps_its_digits(digits in "-?(0|[1-9][0-9]{0,60})") {
            let taken = Rule::Text.convert(&value(&digits), false);
            prop_assert_eq!(taken, Some(json!(digits)));
        }

        #[test]
        fn any_text_that_is_read_from_json_stays(text in "\\PC{1,30}") {
            let taken = Rule::AnyText.convert(&value(&json!(text).to_string()), false);
            prop_assert_eq!(taken, Some(json!(text.trim())));
        }
    }
}
