//! The allowed payloads of commands, and how they become values for the device.
//!
//! Owns the reading of payloads and the messages about bad ones. `field` has the rules for
//! one value. Pure.

use serde_json::{Map, Value};

use super::field::{Field, Rule};

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
pub struct Read {
    /// The sender's id for the command.
    pub request_id: Option<Value>,
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

    proptest! {
        #[test]
        fn no_payload_can_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = VOLUME.read("audio/volume/set", &payload, true);
            let _ = Payload::None.read("audio/mute", &payload, true);
        }
    }
}
