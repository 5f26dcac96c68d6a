//! Whether a key is there twice in one object.
//!
//! JSON leaves open what that means (RFC 8259, section 4), and readers take the first or the last. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Stands before the key in the error by which the reader is stopped.
const MARK: &str = "repeated key: ";

/// The first key that is there twice in an object, at any depth; none where the text is not JSON.
pub fn repeated_key(text: &str) -> Option<String> {
    // An object of one member is the usual case, and has no second key.
    text.bytes().filter(|byte| *byte == b':').nth(1)?;
    let error = serde_json::from_str::<Unique>(text).err()?;
    let message = error.to_string();
    let (key, _) = message.strip_prefix(MARK)?.rsplit_once(" at line ")?;
    Some(key.to_owned())
}

/// Any value whose objects have each key once.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            members.next_value::<Unique>()?;
            if let Some(key) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("{MARK}{key}")));
            }
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        for (text, wanted) in [
            (r#"{"volume":40,"volume":50}"#, Some("volume")),
            (r#"{"a":1,"b":{"c":1,"d":2,"c":3}}"#, Some("c")),
            (r#"[{"a":1},{"b":1,"b":1}]"#, Some("b")),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            (r#"{"":1,"":2}"#, Some("")),
            (r#"{"x at line 1":1,"x at line 1":2}"#, Some("x at line 1")),
            (r#"{"a":{"b":1},"b":{"a":1}}"#, None),
            (
                r#"{"a":1.50,"b":-1e400,"c":123456789012345678901234567890}"#,
                None,
            ),
            (r#"{"a":"b:c:d","e":null,"f":[true,"g"]}"#, None),
            (r#"{"a":1,"a":"#, None),
            ("a:b:c", None),
            ("", None),
        ] {
            let found = repeated_key(text);
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }
}
