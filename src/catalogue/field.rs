//! One value of a payload: its names, its allowed values, and the value that is sent to the device.
//!
//! Pure. `payload` makes the messages about a wrong payload as a whole.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::device_config::SettingRule;
use super::list::ListMembers;
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
    /// Into the query string; a truth value as `True` or `False`.
    QueryTrueFalse,
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
    /// What its value means, with the unit of a number, and what holds if it is left out.
    pub about: &'static str,
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
    /// `about` tells what the value means.
    pub(super) const fn body(
        name: &'static str,
        wire: &'static str,
        about: &'static str,
        rule: Rule,
    ) -> Self {
        Self {
            name,
            wire,
            about,
            rule,
            required: false,
            sent_in: SentIn::Body,
            steps: None,
        }
    }

    pub(super) const fn query(
        name: &'static str,
        wire: &'static str,
        about: &'static str,
        rule: Rule,
    ) -> Self {
        Self {
            sent_in: SentIn::Query,
            ..Self::body(name, wire, about, rule)
        }
    }

    /// A truth value that goes into the query as `True` or `False`.
    pub(super) const fn query_true_false(
        name: &'static str,
        wire: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            sent_in: SentIn::QueryTrueFalse,
            ..Self::body(name, wire, about, Rule::Switch)
        }
    }

    pub(super) const fn gateway(name: &'static str, about: &'static str, rule: Rule) -> Self {
        Self {
            sent_in: SentIn::Gateway,
            ..Self::body(name, name, about, rule)
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
    List(ListMembers),
    /// A part of a payload about settings of the device's own configuration.
    Setting(SettingRule),
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

/// The words that a command's switches take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchWords {
    /// On and off.
    OnOff,
    /// Also [`TOGGLE`].
    OnOffToggle,
}

/// The most telephone keys in one command: longer than any number or PIN.
pub const MOST_KEYS: usize = 64;

impl Rule {
    /// The allowed values in words, to follow "takes" in a message.
    pub fn describe(&self, words: SwitchWords) -> String {
        match self {
            Self::Switch if words == SwitchWords::OnOffToggle => {
                "true or false (also on, off, 1, 0; in any case) or toggle".into()
            }
            Self::NamedSwitch(on, off) => {
                let toggle = match words {
                    SwitchWords::OnOff => "",
                    SwitchWords::OnOffToggle => ", toggle",
                };
                format!("true or false (also on, off, 1, 0; in any case){toggle}, {on} or {off}")
            }
            Self::Switch | Self::YesNo => "true or false (also on, off, 1, 0; in any case)".into(),
            Self::Integer { min, max: i64::MAX } => format!("an integer of at least {min}"),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Text => "a text that is not empty".into(),
            Self::AnyText | Self::Secret => "a text".into(),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Keys => format!("1 to {MOST_KEYS} of the keys 0-9, * and #"),
            Self::Texts => "a list of texts that is not empty".into(),
            Self::List(_) => "a JSON list".into(),
            Self::Setting(rule) => rule.describe(),
        }
    }

    /// Whether text is wanted, so that a number or a truth value must be meant as one.
    pub(super) fn wants_text(&self) -> bool {
        matches!(
            self,
            Self::Text
                | Self::AnyText
                | Self::Secret
                | Self::Keys
                | Self::Texts
                | Self::Setting(SettingRule::Name | SettingRule::Names)
        )
    }

    /// Whether a value may be a secret, so that no message repeats it.
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Secret => true,
            Self::Setting(rule) => rule.is_secret(),
            _ => false,
        }
    }

    /// The value for the device, or `None` where `value` is not allowed. Blanks around a value mean
    /// nothing.
    pub(super) fn convert(&self, value: &Value, switch_words: SwitchWords) -> Option<Value> {
        let toggles = switch_words == SwitchWords::OnOffToggle;
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
            Self::List(members) => members.convert("", value).ok(),
            Self::Setting(rule) => rule.convert(value),
        }
    }
}

/// A value that is wanted as text. An integer is one digit for digit; another number, and a truth
/// value, is none.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.trim_ascii()),
        Value::Number(number) if is_integer(number.as_str()) => Some(number.as_str()),
        _ => None,
    }
}

/// A value that is wanted as a number or a word of a switch.
fn scalar(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.trim_ascii()),
        Value::Number(number) => Some(number.as_str()),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        _ => None,
    }
}
