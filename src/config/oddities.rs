//! What about a text looks like a mistake: quotes around it, characters that nobody sees.
//!
//! The texts are secrets and values of variables. They are taken as they are; the messages describe
//! them and never show them.

/// What is odd about a text, each as a sentence without its subject: `has quotes around it …`.
pub fn oddities(text: &str) -> Vec<String> {
    let mut told = Vec::new();
    if in_quotes(text) {
        told.push("has quotes around it, which are taken as part of it".into());
    }
    if is_reference(text) {
        told.push(
            "looks like a reference to a variable, but is taken as it stands; a variable sets a key \
             if it has the key's name"
                .into(),
        );
    }
    if text.trim_matches(' ').len() < text.len() {
        told.push("begins or ends with a blank, which is taken as part of it".into());
    }
    if text.find('\n').is_some_and(|at| at + 1 == text.len()) {
        told.push("ends with a line end, which is taken as part of it".into());
    } else if let Some(unlikely) = text.chars().find(|c| is_unlikely(*c)) {
        told.push(about(unlikely));
    }
    told
}

/// `"456"`, `'456'` and the quotes of word processors.
fn in_quotes(text: &str) -> bool {
    let mut chars = text.chars();
    let ends = (chars.next(), chars.next_back());
    matches!(
        ends,
        (Some('"'), Some('"')) | (Some('\''), Some('\'')) | (Some('“' | '„'), Some('”' | '“'))
    )
}

/// `${NAME}`, `$NAME` or `$(command)`.
fn is_reference(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('$') else {
        return false;
    };
    let within = |open, close| rest.starts_with(open) && rest.ends_with(close);
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let name = rest.len() > 2 && rest.starts_with(|c: char| c.is_ascii_uppercase());
    within('{', '}') || within('(', ')') || (name && rest.chars().all(is_name))
}

/// Characters that nobody types into a secret: control characters, those that take no room or look like a blank, and
/// the sign for a character that was lost. Fewer than [`is_invisible`](crate::visible::is_invisible) finds: what is
/// part of an emoji may be meant.
fn is_unlikely(c: char) -> bool {
    let unseen = matches!(
        c,
        '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}'
    );
    c.is_control() || unseen
}

/// What is said about such a character.
fn about(c: char) -> String {
    match c {
        '\n' => "has several lines, which are all taken as part of it".to_owned(),
        '\r' => {
            "holds a carriage return, as the lines of files from Windows do; it is taken as part of it"
                .to_owned()
        }
        '\0' => "holds NUL, as text in UTF-16 does; it is taken as part of it".to_owned(),
        '\t' => "holds a tab, which is taken as part of it".to_owned(),
        '\u{fffd}' => "holds U+FFFD, which stands for a character that was lost".to_owned(),
        c => {
            let kind = if c.is_control() { "control" } else { "invisible" };
            let code = u32::from(c);
            format!("holds the {kind} character U+{code:04X}, which is taken as part of it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_mistake_is_described_and_not_shown() {
        for (text, wanted) in [
            ("\"456\"", "quotes"),
            ("'456'", "quotes"),
            ("“456”", "quotes"),
            ("456\r", "a carriage return"),
            ("456\n789", "several lines"),
            ("456\n", "ends with a line end"),
            ("456\n\n", "several lines"),
            ("4\u{0}5\u{0}6\u{0}", "NUL"),
            ("4\t56", "a tab"),
            ("456\u{1b}", "the control character U+001B"),
            ("456\u{85}", "the control character U+0085"),
            ("456\u{200b}", "the invisible character U+200B"),
            ("456\u{a0}", "the invisible character U+00A0"),
            ("45\u{feff}6", "the invisible character U+FEFF"),
            ("45\u{fffd}", "U+FFFD"),
            (" 456", "a blank"),
            ("456 ", "a blank"),
            ("${POLY_PASSWORD}", "a reference"),
            ("$POLY_PASSWORD", "a reference"),
            ("$(cat password)", "a reference"),
        ] {
            let told = oddities(text);
            assert_eq!(told.len(), 1, "{text:?}: {told:?}");
            assert!(told[0].contains(wanted), "{text:?}: {told:?}");
            assert!(!told[0].contains("56"), "{told:?}");
        }
    }

    #[test]
    fn passwords_that_people_have_are_not_odd() {
        for text in [
            "456",
            "\"",
            "'",
            "a\"b",
            "\"a",
            "it's",
            "$ecret",
            "$5",
            "$A",
            "pässwörd",
            "a b",
            "${",
            "密码",
            "$a{b}",
            "#1",
            "",
        ] {
            assert_eq!(oddities(text), Vec::<String>::new(), "{text:?}");
        }
    }
}
