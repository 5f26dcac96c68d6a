//! Shortens what others chose, such as topics and reasons, so that no line is long.
//!
//! Control characters are escaped by the form of the log, text or JSON.

use std::borrow::Cow;

/// The longest text of another program in a line, in characters: the messages of the gateway's own,
/// with the allowed values, are shorter.
pub const LONGEST_TEXT: usize = 300;

/// The text, or its start and `…`: at most `longest` characters.
pub fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest || text.chars().nth(longest).is_none() {
        return Cow::Borrowed(text);
    }
    let start: String = text.chars().take(longest.saturating_sub(1)).collect();
    Cow::Owned(start + "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_is_shortened() {
        for short in ["", "abcde", "äöüßé"] {
            assert_eq!(shortened(short, 5), short);
        }
        assert_eq!(shortened("abcdef", 5), "abcd…");
        assert_eq!(shortened(&"ü".repeat(60_000), 5), "üüüü…");
    }
}
