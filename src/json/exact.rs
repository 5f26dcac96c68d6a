//! JSON values that go back exactly as they came: ids that clients give.
//!
//! An id is the client's own. It may be an integer of any length, or `1.0`, and a client compares
//! what comes back with what it sent. So its text is kept, not its value.

use std::fmt;

use serde_json::Value;

/// A JSON value as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// A member of an object, if the object has it. Of several of the same name it is the last, as for
    /// serde_json. `object` must have been read as JSON before: here it is not checked.
    pub fn member(object: &str, name: &str) -> Option<Self> {
        let mut scanner = Scanner(object);
        scanner.skip("{")?;
        let mut found = None;
        loop {
            let key = scanner.value()?;
            scanner.skip(":")?;
            let value = scanner.value()?;
            if is_key(key, name) {
                found = Some(Self(value.into()));
            }
            if scanner.skip(",").is_none() {
                return found;
            }
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a key, with its quotes, is this name. A key may be written with escapes.
fn is_key(key: &str, name: &str) -> bool {
    let plain = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    if !key.contains('\\') {
        return plain == Some(name);
    }
    serde_json::from_str::<String>(key).is_ok_and(|key| key == name)
}

/// The rest of a JSON text.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    /// Skips one of JSON's signs, with the blanks before it.
    fn skip(&mut self, sign: &str) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(sign)?;
        Some(())
    }

    /// Takes one value, without the blanks around it. `None` where none begins.
    fn value(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let end = value_length(text.as_bytes());
        let (value, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        (!value.is_empty()).then_some(value)
    }
}

/// How many bytes the value at the start of a JSON text takes.
fn value_length(json: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (index, byte) in json.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_string = false;
                    if depth == 0 {
                        return index + 1;
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return index,
            b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return index,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    fn member(object: &str, name: &str) -> Option<String> {
        JsonText::member(object, name).map(|text| text.as_str().to_owned())
    }

    #[test]
    fn a_member_is_found_as_it_was_written() {
        for value in [
            "7",
            "12345678901234567890123",
            "1.0",
            "1.10",
            "1e2",
            "1E+2",
            "-0",
            "null",
            "true",
            "\"\"",
            "\"a\\\"}\\\\\"",
            "\"\\u0041\"",
            "{}",
            "[]",
            "{ \"a\" : [1 , {\"b\":\"]}\"}] }",
            "[[1e5],\"x,y\"]",
        ] {
            for object in [
                format!("{{\"id\":{value}}}"),
                format!("{{\"a\":[{value}],\"id\":{value},\"b\":{{\"id\":0}}}}"),
                format!(" {{ \"b\" : {{\"id\":0}} , \"id\"\t: {value}\r\n, \"c\":\"id\" }}"),
                format!("{{\"id\":0,\"id\":{value}}}"),
                format!("{{\"\\u0069d\":{value}}}"),
            ] {
                assert_eq!(member(&object, "id").as_deref(), Some(value), "{object}");
            }
        }
        for object in ["{}", "{\"a\":{\"id\":1}}", "{\"ID\":1}", "{\"a\":\"id\"}"] {
            assert_eq!(member(object, "id"), None, "{object}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", json in "[{}\\[\\]\",:\\\\ a-z0-9]{0,60}") {
            member(&text, "id");
            member(&json, "id");
            member(&format!("{{{json}"), "a");
        }

        #[test]
        fn the_members_are_those_that_serde_finds(json in "[{}\\[\\]\",:\\\\ ai0-9.]{0,40}") {
            let object = format!("{{\"id\":{json}}}");
            if let Ok(map) = serde_json::from_str::<Map<String, Value>>(&object) {
                let found: Value = serde_json::from_str(&member(&object, "id").unwrap()).unwrap();
                prop_assert_eq!(&found, &map["id"]);
            }
        }
    }
}
