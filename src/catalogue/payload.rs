//! What a command's payload may be, and how it becomes values for the device.
//!
//! Owns the reading of payloads and the messages about bad ones. Pure; knows no topics of its own.

use serde_json::{Map, Value};

/// What a command takes.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// Nothing.
    None,
    /// A JSON object of these fields, or the bare value of one of them.
    Fields {
        /// The field that a payload which is no object gives.
        bare: Option<&'static str>,
        /// All fields.
        fields: &'static [Field],
        /// The bare field's value is the whole request body.
        whole: bool,
    },
    /// The payload's bytes, sent as they are.
    Bytes {
        /// The MIME type they are sent with.
        content_type: &'static str,
    },
}

/// Where a field's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into the JSON body, at its dotted device name.
    Body,
    /// Into the query string.
    Query,
    /// Nowhere: the gateway itself uses it.
    Gateway,
}

/// One value of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in payloads: `dial_type`.
    pub name: &'static str,
    /// Its name at the device: `dialType`; dots nest.
    pub wire: &'static str,
    /// What it may be.
    pub rule: Rule,
    /// It must be there.
    pub required: bool,
    /// Where it goes.
    pub place: Place,
}

impl Field {
    pub(super) const fn body(name: &'static str, wire: &'static str, rule: Rule) -> Self {
        Self {
            name,
            wire,
            rule,
            required: false,
            place: Place::Body,
        }
    }

    pub(super) const fn query(name: &'static str, wire: &'static str, rule: Rule) -> Self {
        Self {
            place: Place::Query,
            ..Self::body(name, wire, rule)
        }
    }

    pub(super) const fn gateway(name: &'static str, rule: Rule) -> Self {
        Self {
            place: Place::Gateway,
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

/// What a value may be, and what the device gets for it.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// `true|false|ON|OFF|on|off|1|0`, and `toggle` where the command knows the state.
    Switch,
    /// The same, and these words for on and off.
    NamedSwitch(&'static str, &'static str),
    /// The same as a switch, sent as `Yes` or `No`.
    YesNo,
    /// A whole number in these bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Text that is not empty.
    Text,
    /// Text that may be empty.
    AnyText,
    /// Text that must never be shown.
    Secret,
    /// One of these words, each with the device's own word, which is taken too.
    Word(&'static [(&'static str, &'static str)]),
    /// One or more telephone keys: digits, `*`, `#`.
    Keys,
    /// A list of texts, or several in one text separated by commas.
    Texts,
    /// A JSON list, whose objects may use snake case for the guide's camel case.
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

/// So many telephone keys may be sent at once.
pub const MOST_KEYS: usize = 64;

impl Rule {
    /// What is allowed, to stand after "takes".
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
    fn convert(&self, value: &Value, toggles: bool) -> Option<Value> {
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

/// A payload that has been read.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The sender's id for the command.
    pub request_id: Option<Value>,
    /// The values by field name, or what is wrong.
    pub values: Result<Map<String, Value>, String>,
}

impl Payload {
    /// Reads a payload. The `request_id` is found even where the rest is wrong.
    pub fn read(&self, command: &str, payload: &[u8], toggles: bool) -> Read {
        let mut request_id = None;
        let values = self.values(command, payload, toggles, &mut request_id);
        Read { request_id, values }
    }

    fn values(
        &self,
        command: &str,
        payload: &[u8],
        toggles: bool,
        request_id: &mut Option<Value>,
    ) -> Result<Map<String, Value>, String> {
        let (bare, fields) = match self {
            Self::Bytes { .. } if payload.is_empty() => {
                return Err(format!("{command} takes the file's bytes, not nothing"));
            }
            Self::Bytes { .. } => return Ok(Map::new()),
            Self::None => (None, [].as_slice()),
            Self::Fields { bare, fields, .. } => (*bare, *fields),
        };
        let text = std::str::from_utf8(payload)
            .map_err(|_| format!("the payload of {command} is not UTF-8 text"))?
            .trim();
        let mut given = if text.starts_with('{') {
            serde_json::from_str::<Map<String, Value>>(text)
                .map_err(|error| format!("the payload of {command} is broken JSON: {error}"))?
        } else {
            Map::new()
        };
        *request_id = given.remove("request_id");
        if !text.is_empty() && !text.starts_with('{') {
            let bare = bare
                .and_then(|bare| fields.iter().find(|field| field.name == bare))
                .ok_or_else(|| self.unwanted(command))?;
            given.insert(bare.name.into(), bare_value(text, bare)?);
        }
        let mut values = Map::new();
        for field in fields {
            let mut value = None;
            for name in field.names(bare) {
                value = given.remove(name).or(value);
            }
            let takes = || format!("{} takes {}", field.name, field.rule.describe(toggles));
            match value {
                Some(value) => {
                    let converted = field.rule.convert(&value, toggles).ok_or_else(|| {
                        format!("{}, not {}", takes(), shown(&field.rule, &value))
                    })?;
                    values.insert(field.name.into(), converted);
                }
                None if field.required && text.is_empty() => {
                    return Err(format!("{}; the payload was empty", takes()));
                }
                None if field.required => {
                    return Err(format!("{} is missing; {}", field.name, takes()));
                }
                None => {}
            }
        }
        match given.keys().next() {
            Some(key) if fields.is_empty() => Err(format!(
                "{}, so \"{}\" is not known",
                self.unwanted(command),
                short(key)
            )),
            Some(key) => {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                Err(format!(
                    "\"{}\" is not a field of {command}; it takes {}, and request_id",
                    short(key),
                    known.join(", ")
                ))
            }
            None => Ok(values),
        }
    }

    fn unwanted(&self, command: &str) -> String {
        match self {
            Self::Fields { fields, .. } => {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                format!("{command} takes a JSON object with {}", known.join(", "))
            }
            _ => format!("{command} takes an empty payload"),
        }
    }
}

/// A payload that is no object: a JSON string or list, or the text itself.
fn bare_value(text: &str, field: &Field) -> Result<Value, String> {
    let json = match field.rule {
        Rule::List | Rule::Texts => text.starts_with('['),
        _ => text.starts_with('"'),
    };
    if !json {
        return Ok(text.into());
    }
    serde_json::from_str(text).map_err(|error| format!("{} is broken JSON: {error}", field.name))
}

fn shown(rule: &Rule, value: &Value) -> String {
    match (rule, value) {
        (Rule::Secret, _) => "what was given".into(),
        (_, Value::String(text)) => format!("\"{}\"", short(text)),
        _ => short(&value.to_string()),
    }
}

/// At most 60 characters of what a user sent, for a message.
fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
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
    use proptest::prelude::*;

    const VOLUME: Payload = Payload::Fields {
        bare: Some("volume"),
        fields: &[Field::body("volume", "volume", Rule::Integer { min: 0, max: 100 }).required()],
        whole: true,
    };

    fn read(payload: &str) -> Result<Map<String, Value>, String> {
        VOLUME
            .read("audio/volume/set", payload.as_bytes(), false)
            .values
    }

    #[test]
    fn a_bare_value_and_an_object_say_the_same() {
        assert_eq!(read("40").unwrap()["volume"], 40);
        assert_eq!(read(" \"40\" ").unwrap()["volume"], 40);
        assert_eq!(read("{\"volume\":40}").unwrap()["volume"], 40);
        assert_eq!(read("{\"value\":\"40\"}").unwrap()["volume"], 40);
    }

    #[test]
    fn bad_payloads_say_what_is_allowed() {
        let takes = "volume takes an integer from 0 to 100";
        assert_eq!(read("loud").unwrap_err(), format!("{takes}, not \"loud\""));
        assert_eq!(read("101").unwrap_err(), format!("{takes}, not \"101\""));
        assert_eq!(
            read("").unwrap_err(),
            format!("{takes}; the payload was empty")
        );
        assert!(read("{\"volume\":").unwrap_err().contains("broken JSON"));
        assert!(
            read("{\"volume\":1,\"vol\":2}")
                .unwrap_err()
                .contains("\"vol\" is not a field")
        );
        let none = Payload::None.read("audio/mute", b"PRESS", false).values;
        assert_eq!(none.unwrap_err(), "audio/mute takes an empty payload");
        assert!(
            VOLUME
                .read("x", &[0xff], false)
                .values
                .unwrap_err()
                .contains("UTF-8")
        );
    }

    #[test]
    fn a_request_id_is_found_even_when_the_value_is_wrong() {
        let read = VOLUME.read(
            "audio/volume/set",
            b"{\"volume\":\"x\",\"request_id\":7}",
            false,
        );
        assert_eq!(read.request_id, Some(7.into()));
        assert!(read.values.is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        const PASSWORD: &[Field] = &[Field::body("password", "password", Rule::Secret)];
        let payload = Payload::Fields {
            bare: None,
            fields: PASSWORD,
            whole: false,
        };
        let read = payload.read("call/dial", b"{\"password\":[\"hunter2\"]}", false);
        assert!(!read.values.unwrap_err().contains("hunter2"));
    }

    #[test]
    fn nested_names_become_the_guides() {
        let list = serde_json::json!([{"address_list": [{"type": "SIP"}]}]);
        let wanted = serde_json::json!([{"addressList": [{"type": "SIP"}]}]);
        assert_eq!(camel_keys(list), wanted);
    }

    proptest! {
        #[test]
        fn no_payload_can_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = VOLUME.read("audio/volume/set", &payload, true);
            let _ = Payload::None.read("audio/mute", &payload, true);
        }
    }
}
