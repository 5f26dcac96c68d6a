//! From the bytes of a device's answer to a value, and from a value to a state's payload.
//!
//! Pure. `quirks` handles what devices send differently from the guide.

use bytes::Bytes;
use serde_json::Value;

use super::quirks::bare_word;
use crate::json::has_more_values_than;

/// Values nested deeper are refused. Common JSON readers take 128 levels, and a state is inside
/// other objects when it is sent to clients.
const DEEPEST: usize = 64;
/// A body of more values is refused. A value takes up to 1 KB in memory and 9 bytes in the body, so
/// the size of the body alone does not limit the memory. The largest answers of devices, a page of
/// the directory and the list of calls, have some 5,000.
const MOST_VALUES: usize = 20_000;

/// Reads a body: JSON, or a word that should have had quotes, or nothing (null).
///
/// # Errors
/// The body is neither, or of too many values; the message contains nothing of it.
pub fn read_body(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body)
        .map_err(|_| why_not_text(body))?
        .trim_start_matches('\u{feff}')
        .trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if has_more_values_than(MOST_VALUES, text) {
        return Err(format!(
            "the device's answer has more than {MOST_VALUES} values"
        ));
    }
    let read: Result<Value, _> = serde_json::from_str(text);
    if read.as_ref().is_ok_and(is_deep) {
        return Err("the device's answer is nested too deeply".into());
    }
    read.or_else(|error| bare_word(text).ok_or_else(|| why_not_json(text, &error)))
}

/// What bytes are that are no text in UTF-8.
fn why_not_text(body: &[u8]) -> &'static str {
    match body {
        [0x1f, 0x8b, ..] => {
            "the device's answer is compressed with gzip, which nobody asked for: does a proxy stand before it?"
        }
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            "the device's answer is compressed with deflate, which nobody asked for: does a proxy stand before it?"
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "the device's answer is text in UTF-16, not in UTF-8"
        }
        _ => "the device's answer is not text in UTF-8",
    }
}

/// What a text is instead of JSON.
fn why_not_json(text: &str, error: &serde_json::Error) -> String {
    if text.starts_with('<') {
        "the device's answer is a page, not JSON".into()
    } else if error.is_eof() {
        "the device's answer is JSON that breaks off".into()
    } else {
        format!("the device's answer is not JSON: {error}")
    }
}

/// Whether a body is a text in words, such as "Done.": neither JSON, whole or cut, nor a page.
pub fn is_plain_text(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else {
        return false;
    };
    let text = text.trim_start_matches('\u{feff}').trim();
    let is_printed = |c: char| !c.is_control() || c.is_whitespace();
    !text.starts_with(['<', '{', '[', '"']) && text.chars().all(is_printed)
}

/// Whether a file is a web page, which comes in place of another file: from a proxy, or as a log-in.
pub fn is_web_page(content_type: Option<&str>, body: &[u8]) -> bool {
    let start: Vec<u8> = body.iter().take(200).map(u8::to_ascii_lowercase).collect();
    let start = start.trim_ascii_start();
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    content_type.is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
        || start.starts_with(b"<!doctype html")
        || start.starts_with(b"<html")
}

/// Whether a value is nested so deeply that a client's JSON reader may refuse the message around
/// it.
pub fn is_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| within(item, left)),
            Value::Object(map) => map.values().any(|item| within(item, left)),
            _ => false,
        }
    }
    fn within(value: &Value, left: usize) -> bool {
        left == 0 || deeper(value, left - 1)
    }
    deeper(value, DEEPEST)
}

/// A state's payload: a scalar as plain text, anything else as JSON.
pub fn payload(value: &Value) -> Bytes {
    match value {
        Value::String(text) => text.clone().into(),
        // Boxed, because a state may be stored for long: without the spare capacity of the vector.
        // Writing cannot fail: all maps have string keys.
        other => Bytes::from(
            serde_json::to_vec(other)
                .unwrap_or_default()
                .into_boxed_slice(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_named() {
        for (body, words) in [
            (&b"\x1f\x8b\x08\x00"[..], "gzip"),
            (b"x\x9c\xab\x56", "deflate"),
            (b"\xff\xfe{\x00}\x00", "UTF-16"),
            (b"\xfe\xff\x00{\x00}", "UTF-16"),
            (b"{\"name\":\"Caf\xe9\"}", "not text in UTF-8"),
        ] {
            let error = read_body(body).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
    use serde_json::json;

    #[test]
    fn words_without_quotes_are_read_and_pages_are_not() {
        assert_eq!(read_body(b"CONTENT_IDLE\r\n"), Ok("CONTENT_IDLE".into()));
        assert_eq!(read_body(b"\"CONTENT_IDLE\""), Ok("CONTENT_IDLE".into()));
        assert_eq!(read_body(b" "), Ok(Value::Null));
        assert!(read_body(b"<html>403</html>").is_err());
        assert!(read_body(&[0xff]).is_err());
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read_body(nested(DEEPEST).as_bytes()).is_ok());
        assert!(read_body(nested(DEEPEST + 2).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_json_is_named() {
        for (body, words) in [
            ("<html>", "is a page, not JSON"),
            ("{\"success\":tr", "breaks off"),
            ("[1,", "breaks off"),
            ("\"half", "breaks off"),
            ("{no json}", "is not JSON: "),
            ("Please log in", "is not JSON: "),
        ] {
            let message = read_body(body.as_bytes()).unwrap_err();
            assert!(message.contains(words), "{body}: {message}");
        }
    }

    #[test]
    fn a_text_in_words_is_neither_json_nor_a_page() {
        for body in ["", "OK", "Call placed.\r\n", "\u{feff}Done"] {
            assert!(is_plain_text(body.as_bytes()), "{body}");
        }
        let page: &[u8] = b" <html>";
        for body in [page, b"{\"a\":", b"[1,", b"\"half", b"a\0b", b"\xff"] {
            assert!(!is_plain_text(body), "{body:?}");
        }
    }

    #[test]
    fn a_web_page_is_no_other_file() {
        let page: &[u8] = b"<!DOCTYPE html><html>";
        for body in [page, b"\r\n <HTML lang=en>", b"\xef\xbb\xbf<html>"] {
            assert!(is_web_page(None, body), "{body:?}");
        }
        assert!(is_web_page(Some("text/html"), b""));
        let export: &[u8] = b"<?xml version=\"1.0\"?><directory/>";
        assert!(!is_web_page(Some("application/xml"), export));
        assert!(!is_web_page(None, b"\xff\xd8"));
    }

    #[test]
    fn a_body_of_many_values_is_refused_and_one_of_much_text_is_not() {
        for item in ["1,", "[],", "{\"a\":1},", "\"\\\"\","] {
            let body = |items: usize| format!("[{}1]", item.repeat(items));
            let read = read_body(body(MOST_VALUES).as_bytes());
            let told = "the device's answer has more than 20000 values";
            assert_eq!(read, Err(told.into()), "{item}");
            assert!(
                read_body(body(MOST_VALUES / 3).as_bytes()).is_ok(),
                "{item}"
            );
        }
        let text = json!("[{,\"\\".repeat(MOST_VALUES));
        assert_eq!(read_body(text.to_string().as_bytes()), Ok(text));
    }

    #[test]
    fn scalars_are_plain_text() {
        assert_eq!(payload(&json!("UP")), "UP");
        assert_eq!(payload(&json!(62)), "62");
        assert_eq!(payload(&json!([1])), "[1]");
    }
}
