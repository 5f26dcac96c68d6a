//! The allowed payloads of commands, and how they become values for the device.
//!
//! Owns the reading of payloads and the messages about bad ones. `field` has the rules for
//! one value. Pure.

use serde_json::{Map, Value};

use super::advice::{about_steps, advice};
use super::field::{Field, Rule};
use crate::json::{self, JsonText, is_integer, is_number};
use crate::visible::{is_invisible, visible_start};

/// The longest start of a value, in characters, that is repeated in a message.
const LONGEST_SHOWN: usize = 60;

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
        let text = utf8(command, payload)?.trim();
        let mut given: Map<String, Value> = if text.starts_with('{') {
            json::read(text).map_err(|error| {
                let steps = fields.iter().find_map(|field| field.steps);
                let steps = steps.filter(|_| text.contains('+')).map(about_steps);
                with_advice(format!("the payload of {command} is {error}"), steps)
            })?
        } else {
            Map::new()
        };
        if given.shift_remove("request_id").is_some() {
            *request_id = JsonText::member(text, "request_id");
        }
        let is_nothing = text.is_empty() || text == NULL;
        if !is_nothing && !text.starts_with('{') {
            let bare = bare
                .and_then(|bare| fields.iter().find(|field| field.name == bare))
                .ok_or_else(|| self.unwanted(command, text))?;
            given.insert(bare.name.into(), bare_value(text, bare)?);
        }
        let mut values = Map::new();
        for field in fields {
            let mut value = None;
            for name in field.names(bare) {
                let named = given.shift_remove(name);
                value = named.filter(|value| !value.is_null()).or(value);
            }
            let takes = || format!("{} takes {}", field.name, field.rule.describe(toggles));
            match value {
                Some(value) => {
                    let converted = field.rule.convert(&value, toggles).ok_or_else(|| {
                        let wrong = format!("{}, not {}", takes(), shown(&field.rule, &value));
                        with_advice(wrong, advice(field, &value))
                    })?;
                    values.insert(field.name.into(), converted);
                }
                None if field.required && text.is_empty() => {
                    return Err(format!("{}; the payload was empty", takes()));
                }
                None if field.required => {
                    let known = |key: &str| {
                        let mut fields = fields.iter();
                        fields.any(|field| field.names(bare).any(|name| name == key))
                    };
                    let unknown = given.keys().find(|key| !known(key));
                    return Err(with_advice(
                        format!("{} is missing; {}", field.name, takes()),
                        unknown
                            .map(|key| format!("\"{}\" is not a field of {command}", short(key))),
                    ));
                }
                None => {}
            }
        }
        match given.keys().next() {
            Some(key) if fields.is_empty() => Err(format!(
                "{}, so \"{}\" is not known",
                self.unwanted(command, ""),
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

    /// The message about a bare payload where there is no value that it could be.
    fn unwanted(&self, command: &str, text: &str) -> String {
        let takes = match self {
            Self::Fields { fields, .. } => {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                format!("{command} takes a JSON object with {}", known.join(", "))
            }
            _ => format!("{command} takes an empty payload"),
        };
        // A payload that looks empty, or like an object, must be shown.
        match text.chars().any(is_invisible) {
            true => format!("{takes}, not \"{}\"", short(text)),
            false => takes,
        }
    }
}

/// What many clients send for nothing.
const NULL: &str = "null";

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
        Rule::List { .. } | Rule::Texts if text.starts_with('[') => true,
        _ if text.starts_with('"') => true,
        _ if wants_text => matches!(text, "true" | "false") || is_number(text) && !is_integer(text),
        _ => false,
    };
    if !is_json {
        return Ok(text.into());
    }
    match json::read(text) {
        Ok(value) => Ok(value),
        // `"Alice" <sip:a@example.com>`: only its first part is in quotes.
        Err(_) if wants_text && text.starts_with('"') && goes_on_after_quotes(text) => {
            Ok(text.into())
        }
        Err(error) => Err(format!("{} is {error}", field.name)),
    }
}

/// Whether a text that begins with a quote has a second one, and does not end with it.
fn goes_on_after_quotes(text: &str) -> bool {
    text[1..].contains('"') && !text.ends_with('"')
}

fn shown(rule: &Rule, value: &Value) -> String {
    match (rule, value) {
        (Rule::Secret, _) => "what was given".into(),
        (_, Value::String(text)) => format!("\"{}\"", short(text)),
        _ => short(&value.to_string()),
    }
}

/// The start of what a user sent, for a message.
fn short(text: &str) -> String {
    visible_start(text, LONGEST_SHOWN)
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
        assert_eq!(read.request_id, Some(Value::from(7).into()));
        assert!(read.values.is_err());
    }

    #[test]
    fn a_request_id_stays_as_it_was_sent() {
        for id in [
            "12345678901234567890123",
            "1.0",
            "1e2",
            "1E+2",
            "-0",
            "0.10",
            "\"\\u0041 \\/\"",
            "{\"a\": [1.50, 1e5]}",
            "null",
            "true",
        ] {
            for rest in ["\"volume\":40", "\"volume\":\"loud\"", "\"vol\":1"] {
                let payload = format!("{{\"request_id\" : {id} , {rest}}}");
                let read = VOLUME.read("audio/volume/set", payload.as_bytes(), false);
                assert_eq!(read.request_id.unwrap().as_str(), id, "{payload}");
            }
        }
        assert!(
            VOLUME
                .read("x", b"{\"volume\":4}", false)
                .request_id
                .is_none()
        );
    }

    #[test]
    fn numbers_are_read_bare_and_in_json() {
        for spelled in ["40", "40.0", "4e1", "4.0E+1", "400e-1"] {
            for payload in [
                spelled.to_owned(),
                format!(" \"{spelled}\" "),
                format!("{{\"volume\":{spelled}}}"),
                format!("{{\"volume\":\" {spelled} \"}}"),
            ] {
                assert_eq!(read(&payload).unwrap()["volume"], 40, "{payload}");
            }
        }
        for payload in [
            "40.5",
            "{\"volume\":40.5}",
            "1e999999999",
            "{\"volume\":1e999999999}",
        ] {
            let told = read(payload).unwrap_err();
            assert!(
                told.starts_with("volume takes an integer from 0 to 100, not "),
                "{told}"
            );
        }
    }

    const DIAL: Payload = Payload::Fields {
        bare: Some("address"),
        fields: &[
            Field::body("address", "address", Rule::Text).required(),
            Field::body("rate", "rate", Rule::Integer { min: 0, max: 9000 }),
        ],
        whole: false,
    };

    fn dial(payload: &str) -> Result<Map<String, Value>, String> {
        DIAL.read("call/dial", payload.as_bytes(), false).values
    }

    #[test]
    fn null_is_nothing() {
        let given = dial("{\"address\":\"a\",\"rate\":null}").unwrap();
        assert!(!given.contains_key("rate"));
        // Not what hides the value under another name.
        assert_eq!(
            read("{\"volume\":40,\"value\":null}").unwrap()["volume"],
            40
        );
        for payload in ["null", " null ", "{\"address\":null}", "{}"] {
            let told = dial(payload).unwrap_err();
            assert_eq!(
                told,
                "address is missing; address takes a text that is not empty"
            );
        }
        for payload in ["", "null", "{}"] {
            assert!(
                Payload::None
                    .read("audio/mute", payload.as_bytes(), false)
                    .values
                    .is_ok()
            );
        }
    }

    #[test]
    fn an_address_is_text() {
        let digits = "123456789012345678901";
        for (payload, address) in [
            (digits.to_owned(), digits),
            (format!("\"{digits}\""), digits),
            (format!("{{\"address\":{digits}}}"), digits),
            ("0041791234567".into(), "0041791234567"),
            ("+41791234567".into(), "+41791234567"),
            ("\"Alice\" <sip:a@x>".into(), "\"Alice\" <sip:a@x>"),
            ("\"Al \\ B\" sip:a@x".into(), "\"Al \\ B\" sip:a@x"),
            ("\"5551234.0\"".into(), "5551234.0"),
            ("\"true\"".into(), "true"),
            ("[2001:db8::1]".into(), "[2001:db8::1]"),
            ("10.0.0.1".into(), "10.0.0.1"),
            ("nullify".into(), "nullify"),
        ] {
            assert_eq!(dial(&payload).unwrap()["address"], address, "{payload}");
        }
        for payload in ["5551234.0", "1e3", "true", "false"] {
            for payload in [payload.to_owned(), format!("{{\"address\":{payload}}}")] {
                let told = dial(&payload).unwrap_err();
                assert!(told.starts_with("address takes a text"), "{told}");
                assert!(told.contains("put it in double quotes"), "{told}");
            }
        }
        for payload in ["\"Alice", "\"a\\qb\"", "\""] {
            assert!(
                dial(payload).unwrap_err().contains("broken JSON"),
                "{payload}"
            );
        }
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        for (payload, shown) in [
            ("40\0", "40\\0"),
            ("\u{feff}40", "\\u{feff}40"),
            ("4\u{200b}0", "4\\u{200b}0"),
            ("\u{202b}40", "\\u{202b}40"),
            ("\u{feff}{\"volume\":40}", "\\u{feff}{"),
            ("{\"volume\u{200b}\":40}", "volume\\u{200b}"),
            ("{\"volume\":40}\0", "\\0"),
            ("{\"volume\":\"40\\u0000\"}", "40\\0"),
        ] {
            let told = read(payload).unwrap_err();
            assert!(told.contains(shown), "{payload:?}: {told}");
        }
        let none = Payload::None.read("audio/mute", b"\0", false).values;
        assert_eq!(
            none.unwrap_err(),
            "audio/mute takes an empty payload, not \"\\0\""
        );
    }

    #[test]
    fn what_is_nearly_json_gets_advice() {
        for (payload, wanted) in [
            ("{'volume': 40}", "| tojson"),
            ("{\"volume\": None}", "| tojson"),
            ("{\"volume\": True}", "| tojson"),
            ("{\"volume\": 40,}", "comma"),
            ("{volume:40}", "double quotes around names"),
            ("{{ 40 }}", "template"),
            ("{\"volume\": \"{{ x }}\"}", "template"),
            ("+5", "write it without the +"),
            ("5%", "without a unit"),
        ] {
            let told = read(payload).unwrap_err();
            assert!(told.contains(wanted), "{payload}: {told}");
        }
        let told = |payload| VOLUME.read("x", payload, false).values.unwrap_err();
        assert!(told(b"\xff\xfe4\x000\x00").contains("it is UTF-16"));
        assert!(told(b"4\xe90").contains("byte 2 is 0xE9"));
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

        #[test]
        fn any_integer_and_any_text_are_dialled_as_they_are(
            digits in "-?(0|[1-9][0-9]{0,40})",
            text in "[a-z@:./ +0-9\"]{0,20}",
        ) {
            for payload in [digits.clone(), format!("{{\"address\":{digits}}}"), format!("\"{digits}\"")] {
                prop_assert_eq!(&dial(&payload).unwrap()["address"], &digits);
            }
            let address = format!("sip:{text}");
            for payload in [address.clone(), Value::from(address.clone()).to_string()] {
                prop_assert_eq!(&dial(&payload).unwrap()["address"], address.trim());
            }
        }
    }
}
