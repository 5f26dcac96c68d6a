//! What is wrong with text that is nearly JSON, in words that say how to mend it.
//!
//! Most of it is not typed but made: by a template that prints a Python dict, by a shell that takes the
//! quotes away, by a program that puts values into a text. serde_json says where it stopped; this says
//! what the writer probably did. It never repeats more than one word of the text.

use std::str::Chars;

use super::number::is_number;
use crate::visible::{is_invisible, visible};

const PYTHON: &str = "it looks like Python: JSON has double quotes, and true, false and null; \
                      in a template, end the expression with | tojson";
const TEMPLATE: &str = "it holds a template that nothing has filled in; where it is filled in, end \
                        the expression with | tojson";
const QUOTES: &str = "JSON has straight double quotes (\")";
const NAME: &str = "JSON has double quotes around names; a shell takes them away unless single \
                    quotes are around the whole payload";
const COMMA: &str = "the comma before the last } or ] is one too many";
const DECIMAL_COMMA: &str = "a decimal sign in JSON is a point, not a comma";
const COMMENT: &str = "JSON has no comments";
const EQUALS: &str = "JSON has a colon between name and value";
const PLUS: &str = "a number in JSON has no + before it; a text has double quotes";
const LEADING_ZERO: &str = "a number in JSON has no zeros before it; a text has double quotes";
const NUMBER: &str = "this number is none in JSON; a text has double quotes";
const LINE_END: &str = "a line end in a text is written \\n";
const CUT: &str = "its end is missing";
const MORE: &str = "something follows after its end";

/// The words of other languages for JSON's.
const PYTHON_WORDS: &[&str] = &["None", "True", "False"];

/// Words that programs write for a number that is none.
const NO_NUMBERS: &[&str] = &["NaN", "nan", "Infinity", "inf"];

/// The longest word that is repeated in a message, in characters.
const LONGEST_WORD: usize = 30;

/// What is wrong with a text that is not JSON; `None` if it is nothing usual.
pub fn advice(text: &str) -> Option<String> {
    let mut reader = Reader {
        rest: text.chars(),
        before: None,
        open: Vec::new(),
        ended: false,
    };
    reader.flaw()
}

/// Reads a text as loosely as people write.
struct Reader<'a> {
    rest: Chars<'a>,
    /// The last character that is no blank.
    before: Option<char>,
    /// The brackets that are open.
    open: Vec<char>,
    /// The outermost bracket was closed.
    ended: bool,
}

impl Reader<'_> {
    /// The first flaw.
    fn flaw(&mut self) -> Option<String> {
        while let Some(character) = self.rest.next() {
            if matches!(character, ' ' | '\t' | '\r' | '\n') {
                continue;
            }
            if is_invisible(character) {
                let shown = visible(character.encode_utf8(&mut [0; 4])).into_owned();
                return Some(format!("it holds the invisible character {shown}"));
            }
            if self.ended {
                return Some(MORE.into());
            }
            if let Some(flaw) = self.after(character) {
                return Some(flaw);
            }
            self.before = Some(character);
        }
        (!self.open.is_empty()).then(|| CUT.into())
    }

    /// What a character, and what belongs to it, has wrong.
    fn after(&mut self, character: char) -> Option<String> {
        let next = self.rest.clone().find(|next| !next.is_ascii_whitespace());
        let flaw = match character {
            '"' => return self.string(),
            '{' if self.rest.as_str().starts_with(['{', '%']) => TEMPLATE,
            '{' | '[' => {
                self.open.push(character);
                return None;
            }
            '}' | ']' => {
                self.open.pop();
                self.ended = self.open.is_empty();
                return None;
            }
            ',' if matches!(next, Some('}' | ']')) => COMMA,
            ',' if self.open.last() == Some(&'{')
                && self.before.is_some_and(|before| before.is_ascii_digit())
                && next.is_some_and(|next| next.is_ascii_digit()) =>
            {
                DECIMAL_COMMA
            }
            ',' | ':' => return None,
            '\'' => PYTHON,
            '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '`' => QUOTES,
            '/' | '#' => COMMENT,
            '=' => EQUALS,
            '+' => PLUS,
            '$' if next == Some('{') => TEMPLATE,
            _ => return self.word(character),
        };
        Some(flaw.into())
    }

    /// A text in double quotes, after the first of them.
    fn string(&mut self) -> Option<String> {
        while let Some(character) = self.rest.next() {
            match character {
                '"' => return None,
                '\\' => {
                    self.rest.next();
                }
                '\r' | '\n' => return Some(LINE_END.into()),
                _ if character < ' ' => {
                    let shown = visible(character.encode_utf8(&mut [0; 4])).into_owned();
                    return Some(format!("it holds the invisible character {shown}"));
                }
                _ => {}
            }
        }
        Some(CUT.into())
    }

    /// A number, or a word without quotes.
    fn word(&mut self, first: char) -> Option<String> {
        let part = |c: &char| c.is_alphanumeric() || "_.+-%".contains(*c);
        let rest = self.rest.as_str();
        let length = rest.chars().take_while(part).map(char::len_utf8).sum();
        let (more, after) = rest.split_at_checked(length)?;
        let word = format!("{first}{more}");
        self.rest = after.chars();
        let sign = after.trim_ascii_start().chars().next();
        let is_name = self.before != Some(':') && matches!(sign, Some(':' | '='));
        match word.as_str() {
            "true" | "false" | "null" if !is_name => None,
            word if PYTHON_WORDS.contains(&word) => Some(PYTHON.into()),
            word if NO_NUMBERS.contains(&word.trim_start_matches('-')) => {
                Some(format!("JSON has no {word}; null is no value"))
            }
            _ if is_name && sign == Some('=') => Some(EQUALS.into()),
            _ if is_name => Some(NAME.into()),
            word if is_number(word) => None,
            word if is_number(word.trim_start_matches('-').trim_start_matches('0')) => {
                Some(LEADING_ZERO.into())
            }
            word if word.starts_with(|c: char| c == '-' || c == '.' || c.is_ascii_digit()) => {
                Some(NUMBER.into())
            }
            word => {
                let word: String = word.chars().take(LONGEST_WORD).collect();
                Some(format!("JSON has double quotes around texts: \"{word}\""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn usual_flaws_are_named() {
        for (text, wanted) in [
            ("{'volume': 40}", "| tojson"),
            ("{\"volume\": '40'}", "double quotes"),
            ("{\"volume\": None}", "| tojson"),
            ("{\"on\": True}", "true, false and null"),
            ("{\"on\": False, }", "true, false and null"),
            ("['a', 'b']", "| tojson"),
            ("{{ states('sensor.x') }}", "template"),
            ("{% if x %}", "template"),
            ("{\"volume\": {{ x }}}", "template"),
            ("{\"volume\": ${volume}}", "template"),
            ("{volume: 40}", "around names"),
            ("{volume:40}", "single quotes are around the whole"),
            ("{volume=40}", "a colon"),
            ("{\"volume\"=40}", "a colon"),
            ("{\"volume\": 40,}", "one too many"),
            ("[1, 2, ]", "one too many"),
            ("{\"volume\": 5,5}", "a point"),
            ("{\"volume\": +5}", "no +"),
            ("{\"address\": 0041791234567}", "no zeros before"),
            ("{\"address\": -007}", "no zeros before"),
            ("{\"volume\": 0x28}", "none in JSON"),
            ("{\"volume\": 40.}", "none in JSON"),
            ("{\"volume\": .5}", "none in JSON"),
            ("{\"volume\": 40%}", "none in JSON"),
            ("{\"volume\": NaN}", "no NaN"),
            ("{\"volume\": -Infinity}", "no -Infinity"),
            ("{\"volume\": unavailable}", "\"unavailable\""),
            ("{\"address\": sip:a@example.com}", "around texts: \"sip\""),
            ("{“volume”: 40}", "straight"),
            ("{\"volume\": 40 // half\n}", "comments"),
            ("{\"volume\": 40", "its end is missing"),
            ("{\"volume\": \"40}", "its end is missing"),
            ("{\"volume\":", "its end is missing"),
            ("{\"volume\":40}}", "something follows"),
            ("{\"volume\":40}{\"volume\":41}", "something follows"),
            ("{\"volume\":40}\0", "\\0"),
            ("{\u{feff}\"volume\":40}", "\\u{feff}"),
            ("{\u{a0}\"volume\": 40}", "\\u{a0}"),
            ("{\"volume\": \u{200b}40}", "\\u{200b}"),
            ("{\"address\":\"a\u{1}\"}", "\\u{1}"),
            ("{\"address\":\"a\nb\"}", "\\n"),
        ] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            let told = advice(text).unwrap_or_default();
            assert!(told.contains(wanted), "{text}: {told}");
        }
    }

    #[test]
    fn advice_is_short() {
        let long = "x".repeat(100_000);
        for text in [format!("{{\"a\":{long}}}"), format!("[{long}")] {
            assert!(advice(&text).unwrap().len() < 200);
        }
        assert!(advice(&"[".repeat(100_000)).is_some());
    }

    proptest! {
        #[test]
        fn json_has_no_flaw(
            numbers in proptest::collection::vec("-?(0|[1-9][0-9]{0,4})([.][0-9]{1,3})?(e[+-]?[0-9])?", 0..4),
            text in "\\PC{0,20}",
        ) {
            let text = serde_json::to_string(&text).unwrap();
            let json = format!("{{\"a\": [{}, {{}}], \"b\" : {text}, \"c\":null}}\n", [vec!["1".into()], numbers].concat().join(","));
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{}", json);
            prop_assert_eq!(advice(&json), None, "{}", json);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}", json in "[{}\\[\\]\"',:=+%$\\\\ a-z0-9.-]{0,60}") {
            advice(&text);
            advice(&json);
        }
    }
}
