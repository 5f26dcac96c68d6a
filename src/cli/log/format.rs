//! The text form of the log: every event is one line, even if its text has line ends.
//!
//! A message can hold what a client, a broker or a device sent. The text form of the log escapes
//! values but writes messages as they are, so a line end in one could forge the next line, and an
//! escape sequence could change the terminal of the person who reads it.

use std::fmt::{self, Write};

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// The usual way to write an event's fields, with every control character escaped.
#[derive(Debug, Default)]
pub struct EscapedFields(DefaultFields);

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut escaped = Escaped(&mut writer);
        self.0.format_fields(Writer::new(&mut escaped), fields)
    }
}

struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_active) {
            let Some(active) = part.chars().next_back().filter(|c| is_active(*c)) else {
                self.0.write_str(part)?;
                continue;
            };
            self.0.write_str(&part[..part.len() - active.len_utf8()])?;
            write!(self.0, "{}", active.escape_default())?;
        }
        Ok(())
    }
}

/// What ends a line, commands a terminal or turns the direction of the text that follows.
fn is_active(c: char) -> bool {
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use std::io;

    use poly2mqtt_test_support::log::Log;
    use proptest::prelude::*;

    use super::*;

    /// What the log is after `write`, in text or as JSON.
    fn logged(json: bool, write: impl FnOnce()) -> String {
        let log = Log::default();
        let builder = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(log.clone());
        if json {
            tracing::subscriber::with_default(builder.json().finish(), write);
        } else {
            let builder = builder.fmt_fields(EscapedFields::default());
            tracing::subscriber::with_default(builder.finish(), write);
        }
        log.text()
    }

    fn everywhere(text: &str) {
        let error = io::Error::other(text.to_owned());
        let _span = tracing::info_span!("span", of = %text).entered();
        tracing::warn!(plain = text, shown = %text, debug = ?text, %error, "message {text}");
    }

    #[test]
    fn nothing_forges_a_line() {
        let evil = "x\n2026-01-01T00:00:00Z  INFO poly2mqtt: forged\r\x1b[2J\u{9b}31m\u{202e}";
        for json in [false, true] {
            let log = logged(json, || everywhere(evil));
            assert_eq!(log.matches('\n').count(), 1, "{log}");
            assert!(!log.trim_end().contains(['\r', '\x1b']), "{log}");
        }
        let log = logged(false, || everywhere(evil));
        assert!(log.contains("message x\\n2026"), "{log}");
        assert!(!log.contains(['\u{9b}', '\u{202e}']), "{log}");
    }

    proptest! {
        #[test]
        fn an_event_is_one_line(text in any::<String>()) {
            let log = logged(false, || everywhere(&text));
            prop_assert_eq!(log.chars().filter(|c| c.is_control()).count(), 1);
            prop_assert!(log.ends_with('\n'));
        }

        #[test]
        fn harmless_text_is_as_it_was(text in "[ -~äöü€]{0,40}") {
            let log = logged(false, || tracing::warn!("message {text}"));
            let wanted = format!("message {text}\n");
            prop_assert!(log.ends_with(&wanted));
        }
    }
}
