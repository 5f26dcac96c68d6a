//! One value of a payload: its names, its allowed values, and the value that is sent to the device.
//!
//! Pure. `payload` makes the messages about a wrong payload as a whole.

use serde_json::Value;

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
}

impl Field {
    pub(super) const fn body(name: &'static str, wire: &'static str, rule: Rule) -> Self {
        Self {
            name,
            wire,
            rule,
            required: false,
            sent_in: SentIn::Body,
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
    /// `true|false|ON|OFF|on|off|1|0`, and `toggle` where the command knows the state.
    Switch,
    /// Like `Switch`, and these words for on and off.
    NamedSwitch(&'static str, &'static str),
    /// Like `Switch`, but sent as `Yes` or `No`.
    YesNo,
    /// A whole number in these bounds.
    Integer {
        /// The minimum.
        min: i64,
        /// The maximum.
        max: i64,
    },
    /// Text that is not empty.
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
    List,
}

/// The words that switch on.
pub const ON: &[&str] = &["true", "True", "TRUE", "on", "On", "ON", "1"];
/// The words that switch off.
pub const OFF: &[&str] = &["false", "False", "FALSE", "off", "Off", "OFF", "0"];

/// The text of a switch as a truth value.
pub fn switch(text: &str) -> Option<bool> {
    if ON.contains(&text) {
        Some(true)
    } else {
        OFF.contains(&text).then_some(false)
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
            Self::List => "a JSON list".into(),
        }
    }

    /// The value for the device, or `None` where `value` is not allowed.
    pub(super) fn convert(&self, value: &Value, toggles: bool) -> Option<Value> {
        let text = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        match self {
            Self::Switch => match text?.as_str() {
                TOGGLE | "TOGGLE" if toggles => Some(TOGGLE.into()),
                text => switch(text).map(Value::Bool),
            },
            Self::NamedSwitch(on, off) => match text?.as_str() {
                text if text == *on => Some(true.into()),
                text if text == *off => Some(false.into()),
                TOGGLE | "TOGGLE" if toggles => Some(TOGGLE.into()),
                text => switch(text).map(Value::Bool),
            },
            Self::YesNo => {
                let text = text?;
                let yes = switch(&text).or(match text.as_str() {
                    "Yes" => Some(true),
                    "No" => Some(false),
                    _ => None,
                })?;
                Some(if yes { "Yes" } else { "No" }.into())
            }
            Self::Integer { min, max } => {
                let number: i64 = text?.trim().parse().ok()?;
                (*min..=*max).contains(&number).then(|| number.into())
            }
            Self::Text => text.filter(|text| !text.trim().is_empty()).map(Value::from),
            Self::AnyText | Self::Secret => text.map(Value::from),
            Self::Word(words) => {
                let text = text?;
                words
                    .iter()
                    .find(|(word, wire)| text.eq_ignore_ascii_case(word) || text == *wire)
                    .map(|(_, wire)| Value::from(*wire))
            }
            Self::Keys => text
                .filter(|text| {
                    let key = |c: char| c.is_ascii_digit() || c == '*' || c == '#';
                    !text.is_empty() && text.len() <= MOST_KEYS && text.chars().all(key)
                })
                .map(Value::from),
            Self::Texts => {
                let texts: Vec<String> = match value {
                    Value::Array(items) => items
                        .iter()
                        .map(|item| item.as_str().map(str::to_owned))
                        .collect::<Option<_>>()?,
                    _ => text?
                        .split(',')
                        .map(|part| part.trim().to_owned())
                        .collect(),
                };
                let full = !texts.is_empty() && texts.iter().all(|text| !text.is_empty());
                full.then(|| texts.into())
            }
            Self::List => value.is_array().then(|| camel_keys(value.clone())),
        }
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
    use super::*;

    #[test]
    fn nested_names_become_the_guides() {
        let list = serde_json::json!([{"address_list": [{"type": "SIP"}]}]);
        let wanted = serde_json::json!([{"addressList": [{"type": "SIP"}]}]);
        assert_eq!(camel_keys(list), wanted);
    }
}
