//! One topic level: percent-decoding and encoding.
//!
//! Pure text. Owns the rule that no level, however it is encoded, can name another REST path.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Characters that must be percent-encoded in a topic level.
const LEVEL: &AsciiSet = &CONTROLS.add(b'/').add(b'+').add(b'#').add(b'%');

/// Encodes a value so that it is one topic level: `AAMk/1` becomes `AAMk%2F1`.
pub fn encode_level(value: &str) -> String {
    utf8_percent_encode(value, LEVEL).to_string()
}

/// Decodes one topic level.
///
/// The value may hold `/` (calendar ids do) but no step to another path and no control character:
/// it is encoded again for the URL, and even a device that decodes twice must not be led astray.
///
/// # Errors
/// A message for the user that says what is wrong with the level.
pub fn decode_level(level: &str) -> Result<String, String> {
    let value = percent_decode_str(level)
        .decode_utf8()
        .map_err(|_| format!("the topic level \"{level}\" does not decode to UTF-8"))?;
    match harm(&value) {
        None => Ok(value.into_owned()),
        Some(Harm::Empty) => Err("a topic level is empty; it needs a value".into()),
        Some(Harm::Control) => Err("a topic level may not hold control characters".into()),
        Some(Harm::Step) => Err(format!(
            "the topic level \"{level}\" decodes to a step to another path, which is refused"
        )),
    }
}

/// Whether a value is safe as one segment of a REST path: it cannot change the path.
pub fn is_harmless(value: &str) -> bool {
    harm(value).is_none()
}

enum Harm {
    Empty,
    Control,
    Step,
}

fn harm(value: &str) -> Option<Harm> {
    if value.is_empty() {
        return Some(Harm::Empty);
    }
    let again = percent_decode_str(value).decode_utf8_lossy();
    for value in [value, &again] {
        let mut steps = value.split(['/', '\\']);
        if value.chars().any(char::is_control) {
            return Some(Harm::Control);
        }
        if steps.any(|step| matches!(step, "." | "..")) {
            return Some(Harm::Step);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_level_cannot_step_out_of_its_path() {
        for level in [
            "..",
            "%2e%2e",
            "..%2Fsystem%2Freboot",
            "a%5C..%5Cb",
            "a%2F.",
            "%252e%252e",
            "..%252Fsystem",
            ".",
        ] {
            assert!(decode_level(level).is_err(), "{level}");
        }
        assert_eq!(decode_level("AAMk%2F1%2B=="), Ok("AAMk/1+==".into()));
        assert!(decode_level("%00").is_err());
        assert!(decode_level("%250a").is_err());
        assert!(decode_level("%ff").is_err());
        assert!(decode_level("").is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_one_level_and_decodes_to_itself(value in "\\PC{1,40}") {
            let level = encode_level(&value);
            prop_assert!(!level.contains(['/', '+', '#']));
            if let Ok(decoded) = decode_level(&level) {
                prop_assert_eq!(decoded, value);
            }
        }
    }
}
