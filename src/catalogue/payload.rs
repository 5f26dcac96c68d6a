//! The allowed payloads of commands, and how they become values for the device.
//!
//! Owns the reading of payloads and the messages about bad ones. `field` has the rules for
//! one value. Pure.

#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::advice::{about_steps, advice};
use super::field::{Field, Rule, SwitchWords};
use crate::json::{self, JsonText, is_integer, is_number};
use crate::visible::{is_invisible, visible_start};

/// The longest start of a value, in characters, that is repeated in a message.
const LONGEST_SHOWN: usize = 60;

/// The most values of a payload. The largest that make sense, lists of addresses or members, have some hundred; the
/// size of a payload alone does not limit the time that reading it takes.
const MOST_VALUES: usize = 2000;

/// The payload that a command takes.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// Nothing.
    None,
    /// A JSON object of these fields, or the bare value of one of them.
    Fields {
        /// The field whose value a payload is when it is not an object.
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

/// A payload that has been read.
#[derive(Debug, PartialEq)]
pub struct ParsedPayload {
    /// The sender's id for the command.
    pub request_id: Option<JsonText>,
    /// The values by field name, or the error.
    pub values: Result<Map<String, Value>, String>,
}

impl Payload {
    /// Whether it has a field of this name.
    pub fn has(&self, field: &str) -> bool {
        match self {
            Self::Fields { fields, .. } => fields.iter().any(|known| known.name == field),
            Self::None | Self::Bytes { .. } => false,
        }
    }

    /// Reads a payload. The `request_id` is found even if the rest is wrong.
    pub fn read(&self, command: &str, payload: &[u8], words: SwitchWords) -> ParsedPayload {
        let mut request_id = None;
        let values = self.values(command, payload, words, &mut request_id);
        ParsedPayload { request_id, values }
    }

    fn values(
        &self,
        command: &str,
        payload: &[u8],
        words: SwitchWords,
        request_id: &mut Option<JsonText>,
    ) -> Result<Map<String, Value>, String> {
        let (bare, fields) = match self {
            Self::Bytes { .. } if payload.is_empty() => {
                return Err(format!("{command} takes the file's bytes, not nothing"));
            }
            Self::Bytes { .. } => return Ok(Map::new()),
            Self::None => (None, [].as_slice()),
            Self::Fields { bare, fields, .. } => (*bare, *fields),
        };
        let text = utf8(command, payload)?.trim_ascii();
        let mut given = self.given(command, text, request_id)?;
        unnest(&mut given, fields);
        let mut values = Map::new();
        for field in fields {
            match take(&mut given, field, bare)? {
                Some(value) => {
                    let converted = converted(field, &value, words)?;
                    values.insert(field.name.into(), converted);
                }
                None if field.required => {
                    return Err(self.missing(command, field, text, &given, words));
                }
                None => {}
            }
        }
        match given.keys().next() {
            Some(key) => Err(self.unknown(command, key)),
            None => Ok(values),
        }
    }

    /// What was given, by the names that the sender used: the members of an object, or a bare value as its field.
    fn given(
        &self,
        command: &str,
        text: &str,
        request_id: &mut Option<JsonText>,
    ) -> Result<Map<String, Value>, String> {
        if text.starts_with('{') {
            let given: Result<Map<String, Value>, _> = json::read_few(MOST_VALUES, text);
            let mut given = given.map_err(|error| {
                *request_id = JsonText::member(text, "request_id");
                let steps = self.fields().iter().find_map(|field| field.steps);
                let steps = steps.filter(|_| text.contains('+')).map(about_steps);
                with_advice(format!("the payload of {command} is {error}"), steps)
            })?;
            if given.shift_remove("request_id").is_some() {
                *request_id = JsonText::member(text, "request_id");
            }
            return Ok(given);
        }
        let mut given = Map::new();
        if !text.is_empty() && text != NULL {
            let bare = match self {
                Self::Fields { bare, fields, .. } => {
                    bare.and_then(|bare| fields.iter().find(|field| field.name == bare))
                }
                Self::None | Self::Bytes { .. } => None,
            };
            let bare = bare.ok_or_else(|| self.unwanted(command, text))?;
            given.insert(bare.name.into(), bare_value(text, bare)?);
        }
        Ok(given)
    }

    fn fields(&self) -> &'static [Field] {
        match self {
            Self::Fields { fields, .. } => fields,
            Self::None | Self::Bytes { .. } => &[],
        }
    }

    /// The message about a required field that is not there. `given`: what no field has taken.
    fn missing(
        &self,
        command: &str,
        field: &Field,
        text: &str,
        given: &Map<String, Value>,
        words: SwitchWords,
    ) -> String {
        let takes = takes(field, words);
        if text.is_empty() {
            return format!("{takes}; the payload was empty");
        }
        let bare = match self {
            Self::Fields { bare, .. } => *bare,
            Self::None | Self::Bytes { .. } => None,
        };
        let known = |key: &str| {
            let mut fields = self.fields().iter();
            fields.any(|field| field.names(bare).any(|name| name == key))
        };
        let unknown = given.keys().find(|key| !known(key));
        with_advice(
            format!("{} is missing; {takes}", field.name),
            unknown.map(|key| format!("\"{}\" is not a field of {command}", short(key))),
        )
    }

    /// The message about a member that is no field.
    fn unknown(&self, command: &str, key: &str) -> String {
        let key = short(key);
        if self.fields().is_empty() {
            return format!("{}, so \"{key}\" is not known", self.unwanted(command, ""));
        }
        let known: Vec<_> = self.fields().iter().map(|field| field.name).collect();
        let known = known.join(", ");
        format!("\"{key}\" is not a field of {command}; it takes {known}, and request_id")
    }

    /// The message about a bare payload where there is no value that it could be.
    fn unwanted(&self, command: &str, text: &str) -> String {
        let takes = match self {
            Self::Fields { fields, .. } => {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                format!("{command} takes a JSON object with {}", known.join(", "))
            }
            _ => format!("{command} takes an empty payload"),
        };
        let is_secret = match self {
            Self::Fields { fields, .. } => fields.iter().any(|field| field.rule.is_secret()),
            _ => false,
        };
        // A payload that looks empty, or like an object, must be shown.
        if text.chars().any(is_invisible) && !is_secret {
            format!("{takes}, not \"{}\"", short(text))
        } else {
            takes
        }
    }
}

/// Takes the members of the guide's nested objects out of them: `pan` of `camPosition` becomes `camPosition.pan`, which
/// is one of the field's names.
fn unnest(given: &mut Map<String, Value>, fields: &[Field]) {
    for field in fields {
        let Some((outer, _)) = field.wire.split_once('.') else {
            continue;
        };
        if let Some(Value::Object(inner)) = given.get(outer).cloned() {
            given.shift_remove(outer);
            let inner = inner.into_iter();
            given.extend(inner.map(|(name, value)| (format!("{outer}.{name}"), value)));
        }
    }
}

/// What many clients send for nothing.
const NULL: &str = "null";

/// Takes the value of a field, by whichever of its names the sender used. Null is nothing.
fn take(
    given: &mut Map<String, Value>,
    field: &Field,
    bare: Option<&str>,
) -> Result<Option<Value>, String> {
    let mut value = None;
    for name in field.names(bare) {
        let named = given.shift_remove(name).filter(|value| !value.is_null());
        if named.is_some() && value.is_some() {
            return Err(format!("{} is there twice, by two names", field.name));
        }
        value = named.or(value);
    }
    Ok(value)
}

fn takes(field: &Field, words: SwitchWords) -> String {
    format!("{} takes {}", field.name, field.rule.describe(words))
}

/// The value for the device.
fn converted(field: &Field, value: &Value, words: SwitchWords) -> Result<Value, String> {
    // A list says which of its members is wrong.
    if let Rule::List(members) = field.rule
        && value.is_array()
    {
        return members.convert(field.name, value);
    }
    field.rule.convert(value, words).ok_or_else(|| {
        let wrong = format!("{}, not {}", takes(field, words), shown(&field.rule, value));
        with_advice(wrong, advice(field, value))
    })
}

fn utf8<'a>(command: &str, payload: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(payload).map_err(|error| {
        let at = error.valid_up_to();
        let byte = payload.get(at).copied().unwrap_or_default();
        let utf16 = payload.starts_with(b"\xff\xfe") || payload.starts_with(b"\xfe\xff");
        let guess = utf16.then(|| "it is UTF-16".into());
        with_advice(
            format!(
                "the payload of {command} is not UTF-8 text: byte {} is 0x{byte:02X}",
                at + 1
            ),
            guess,
        )
    })
}

fn with_advice(message: String, advice: Option<String>) -> String {
    match advice {
        Some(advice) => format!("{message}; {advice}"),
        None => message,
    }
}

/// A payload that is no object: a JSON string or list, or the text itself. Where text is wanted, what
/// JSON reads as another number than an integer, or as a truth value, must be in quotes to be text.
fn bare_value(text: &str, field: &Field) -> Result<Value, String> {
    let wants_text = field.rule.wants_text();
    let is_json = match field.rule {
        Rule::List(_) | Rule::Texts | Rule::Setting(_) if text.starts_with('[') => true,
        _ if text.starts_with('"') || is_list(text) => true,
        _ if wants_text => matches!(text, "true" | "false") || is_number(text) && !is_integer(text),
        _ => false,
    };
    if !is_json {
        return Ok(text.into());
    }
    match json::read_few(MOST_VALUES, text) {
        Ok(value) => Ok(value),
        // `"Alice" <sip:a@example.com>`: only its first part is in quotes.
        Err(_) if wants_text && text.starts_with('"') && goes_on_after_quotes(text) => {
            Ok(text.into())
        }
        Err(error) => Err(format!("{} is {error}", field.name)),
    }
}

/// Whether a text where no list is wanted is meant as a JSON list all the same, also as one that is not quite right.
/// An address in brackets, such as `[2001:db8::1]`, is text.
fn is_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|inner| {
        inner.trim_ascii_start().starts_with(['"', '\'', '[', '{'])
            || serde_json::from_str::<IgnoredAny>(text).is_ok()
    })
}

/// Whether a text that begins with a quote has a second one, and does not end with it.
fn goes_on_after_quotes(text: &str) -> bool {
    text[1..].contains('"') && !text.ends_with('"')
}

fn shown(rule: &Rule, value: &Value) -> String {
    match value {
        _ if rule.is_secret() => "what was given".into(),
        Value::String(text) => format!("\"{}\"", short(text)),
        _ => short(&value.to_string()),
    }
}

/// The start of what a user sent, for a message.
fn short(text: &str) -> String {
    visible_start(text, LONGEST_SHOWN)
}
