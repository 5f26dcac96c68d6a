//! Shows characters that cannot be seen: in a message, `40` and `40` with a byte order mark before it
//! must not look alike.
//!
//! Pure. Every message of a result goes through [`visible`].

use std::borrow::Cow;

/// How much of what somebody sent a message repeats, in characters: enough to know it again.
const LONGEST_QUOTE: usize = 64;

/// Whether a character cannot be seen or looks like another one: a control character, a byte order
/// mark, a mark of writing direction, a blank other than the usual one.
pub fn is_invisible(character: char) -> bool {
    if matches!(character, ' '..='~') {
        return false;
    }
    // Letters that are blank, and the selectors of variants, which are marks.
    let blank = matches!(
        character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}'
    );
    // The library knows Unicode's classes. It escapes marks such as accents only where nothing is
    // before them.
    let mut text = String::with_capacity(5);
    text.push('x');
    text.push(character);
    blank || text.escape_debug().nth(1) == Some('\\')
}

/// The text with what is invisible as an escape, such as `\u{feff}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.chars().any(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    text.chars()
        .for_each(|character| show(character, &mut shown));
    Cow::Owned(shown)
}

/// Like [`visible`], cut with `…` after this many characters or a few more.
pub fn visible_start(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    let mut length = 0;
    for character in text.chars() {
        if length >= longest {
            shown.push('…');
            break;
        }
        let before = shown.len();
        show(character, &mut shown);
        length += shown[before..].chars().count();
    }
    shown
}

/// The start of what somebody sent, as a message quotes it.
pub fn quoted_start(text: &str) -> String {
    visible_start(text, LONGEST_QUOTE)
}

/// The first characters of a name or message of another machine, without those that cannot be seen: a mark of writing
/// direction would turn the rest of a line round.
pub fn without_invisible(text: &str, longest: usize) -> String {
    let seen = text.chars().filter(|character| !is_invisible(*character));
    seen.take(longest).collect()
}

fn show(character: char, shown: &mut String) {
    match character {
        '\0' | '\t' | '\r' | '\n' => shown.extend(character.escape_debug()),
        _ if is_invisible(character) => shown.extend(character.escape_unicode()),
        _ => shown.push(character),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        for (text, shown) in [
            ("40\0", "40\\0"),
            ("a\tb\r\n", "a\\tb\\r\\n"),
            ("\u{1b}[A", "\\u{1b}[A"),
            ("\u{7f}\u{85}", "\\u{7f}\\u{85}"),
            ("\u{feff}40", "\\u{feff}40"),
            ("4\u{200b}0", "4\\u{200b}0"),
            ("\u{200d}\u{200c}\u{2060}", "\\u{200d}\\u{200c}\\u{2060}"),
            (
                "\u{202a}+41\u{202c}\u{200e}\u{200f}",
                "\\u{202a}+41\\u{202c}\\u{200e}\\u{200f}",
            ),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("a\u{a0}b\u{3000}", "a\\u{a0}b\\u{3000}"),
            ("a\u{ad}b", "a\\u{ad}b"),
            ("a\u{2028}", "a\\u{2028}"),
            ("a\u{fe0f}\u{3164}\u{2800}", "a\\u{fe0f}\\u{3164}\\u{2800}"),
            ("\u{e0041}", "\\u{e0041}"),
            ("\u{e000}\u{fffe}", "\\u{e000}\\u{fffe}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn what_can_be_seen_stays() {
        for text in [
            "",
            "a \"b\" 'c' \\ d",
            "größe",
            "café",
            "cafe\u{301}",
            "中文",
            "नमस्ते",
            "สวัสดี",
            "４０",
            "5 €",
            "😀",
        ] {
            assert!(matches!(visible(text), Cow::Borrowed(shown) if shown == text));
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(visible_start("abcdef", 6), "abcdef");
        assert_eq!(visible_start("abcdefg", 6), "abcdef…");
        assert_eq!(visible_start("\0\0\0\0", 4), "\\0\\0…");
        assert!(visible_start(&"\u{e01ef}".repeat(1000), 60).chars().count() < 75);
    }

    #[test]
    fn a_name_of_a_stranger_stays_on_its_line_and_turns_nothing_round() {
        let name = "codec\r\n\u{202e}elpmaxe.\u{200b}\u{feff}café";
        assert_eq!(without_invisible(name, 40), "codecelpmaxe.café");
        assert_eq!(without_invisible(name, 6), "codece");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_visible_and_stays_as_it_is(text in any::<String>()) {
            let shown = visible(&text).into_owned();
            prop_assert!(!shown.chars().any(is_invisible));
            prop_assert_eq!(visible(&shown), &*shown);
        }
    }
}
