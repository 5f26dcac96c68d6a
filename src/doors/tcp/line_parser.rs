//! Bytes become lines.
//!
//! Pure. A line ends in CR, LF, CR LF or CR NUL, however the bytes are split over packets. Whatever is
//! no text spoils the line that it is in, and no other.

use std::mem;

use bytes::{Buf, BytesMut};

use super::telnet::{IAC, Telnet, TelnetByte};

/// What the bytes of a client make.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A line without its end.
    Line(String),
    /// A line that is no text; the message says why.
    NoText(String),
    /// A request of telnet, with the answer to it.
    Telnet([u8; 3]),
    /// A line that is too long.
    TooLong,
}

/// The lines of one client.
#[derive(Debug, Default)]
pub struct LineParser {
    line: Vec<u8>,
    /// The last byte was a CR, which ended a line: LF or NUL after it belongs to this end.
    after_cr: bool,
    telnet: Telnet,
}

impl LineParser {
    /// How much there is of the line that is coming.
    pub fn unfinished(&self) -> usize {
        self.line.len()
    }

    /// Whether there is something of a line without its end. NUL alone is padding.
    pub fn is_amid_a_line(&self) -> bool {
        self.line
            .iter()
            .any(|byte| *byte != 0 && !byte.is_ascii_whitespace())
    }

    /// Takes bytes until they make something; `None` when all are taken.
    pub fn next(&mut self, bytes: &mut BytesMut, max_line: usize) -> Option<Parsed> {
        while !bytes.is_empty() {
            if self.telnet == Telnet::Text {
                let is_ordinary = |byte: &u8| !matches!(*byte, b'\r' | b'\n' | 0 | IAC);
                let ordinary = bytes.iter().take_while(|byte| is_ordinary(byte)).count();
                self.line.extend_from_slice(&bytes[..ordinary]);
                self.after_cr &= ordinary == 0;
                bytes.advance(ordinary);
            }
            // Before the end of the line too, which may be in the same packet.
            if self.line.len() > max_line {
                return Some(Parsed::TooLong);
            }
            let parsed = if bytes.is_empty() {
                None
            } else {
                self.take(bytes.get_u8())
            };
            if self.line.len() > max_line {
                return Some(Parsed::TooLong);
            }
            if parsed.is_some() {
                return parsed;
            }
        }
        None
    }

    fn take(&mut self, byte: u8) -> Option<Parsed> {
        match self.telnet.take(byte) {
            TelnetByte::Command => return None,
            TelnetByte::Request(answer) => return Some(Parsed::Telnet(answer)),
            TelnetByte::Text { after_iac } => self.line.extend(after_iac.then_some(IAC)),
        }
        let after_cr = mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' | 0 if after_cr => None,
            b'\r' | b'\n' => Some(match text(mem::take(&mut self.line)) {
                Ok(line) => Parsed::Line(line),
                Err(why) => Parsed::NoText(why),
            }),
            _ => {
                self.line.push(byte);
                None
            }
        }
    }
}

/// The text of a line. NUL at either end is padding: programs in C send the one after their text.
fn text(line: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(line).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        format!(
            "the line is not UTF-8 text: byte {} is 0x{byte:02X}; nothing was done",
            valid + 1
        )
    })?;
    let trimmed = text.trim_matches('\0');
    let is_wrong = |character: &char| character.is_ascii_control() && *character != '\t';
    match trimmed.chars().find(is_wrong) {
        None if trimmed.len() == text.len() => Ok(text),
        None => Ok(trimmed.to_owned()),
        Some(control) => Err(format!(
            "the line holds {}; nothing was done",
            described(control)
        )),
    }
}

/// A control character, for a message.
fn described(control: char) -> String {
    let code = u32::from(control);
    let name = match control {
        '\0' => "NUL, as UTF-16 text does, which is not UTF-8".to_owned(),
        '\u{8}' | '\u{7f}' => "a backspace".to_owned(),
        '\u{1b}' => "Esc, as arrow keys send it".to_owned(),
        '\u{1}'..='\u{1a}' => format!(
            "Ctrl-{}",
            char::from_u32(code + u32::from(b'@')).unwrap_or('?')
        ),
        _ => "a control character".to_owned(),
    };
    format!("{name} (0x{code:02X})")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LARGEST_LINE: usize = 64;

    /// All that these pieces make, each piece in a packet of its own.
    fn parsed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Parsed> {
        let (mut parser, mut all) = (LineParser::default(), Vec::new());
        for piece in pieces {
            let mut bytes = BytesMut::from(piece);
            while let Some(parsed) = parser.next(&mut bytes, LARGEST_LINE) {
                let is_last = parsed == Parsed::TooLong;
                all.push(parsed);
                if is_last {
                    return all;
                }
            }
        }
        all
    }

    /// The same, each byte in a packet of its own.
    fn byte_by_byte(bytes: &[u8]) -> Vec<Parsed> {
        parsed(bytes.chunks(1))
    }

    fn lines(bytes: &[u8]) -> Vec<String> {
        let whole = parsed([bytes]);
        assert_eq!(whole, byte_by_byte(bytes), "{bytes:?}");
        let line = |parsed| match parsed {
            Parsed::Line(line) => line,
            Parsed::NoText(why) => format!("! {why}"),
            other => panic!("{other:?}"),
        };
        whole.into_iter().map(line).collect()
    }

    #[test]
    fn a_line_ends_in_cr_or_lf_or_both_or_cr_nul() {
        for (bytes, wanted) in [
            (&b"a\rb\r"[..], &["a", "b"][..]),
            (b"a\nb\n", &["a", "b"]),
            (b"a\r\nb\r\n", &["a", "b"]),
            (b"a\r\0b\r\0", &["a", "b"]),
            (b"a\r\nb\rc\nd\r\0", &["a", "b", "c", "d"]),
            (b"a\r\rb\n\nc\n", &["a", "", "b", "", "c"]),
            (b"a\n\rb\n", &["a", "", "b"]),
            // A command of telnet between CR and LF.
            (b"a\r\xff\xf1\nb\n", &["a", "b"]),
            (b"half", &[]),
        ] {
            assert_eq!(lines(bytes), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_text_spoils_its_line_alone() {
        for (line, why) in [
            (&b"caf\xe9"[..], "byte 4 is 0xE9"),
            (b"\xe9", "byte 1 is 0xE9"),
            (b"\xff!", "byte 1 is 0xFF"),
            (b"a\xff\xffb", "byte 2 is 0xFF"),
            (b"\xc3", "byte 1 is 0xC3"),
            (b"\x03", "Ctrl-C (0x03)"),
            (b"pi\x04ng", "Ctrl-D (0x04)"),
            (b"\x1a", "Ctrl-Z (0x1A)"),
            (b"pinh\x08g", "a backspace (0x08)"),
            (b"pinh\x7fg", "a backspace (0x7F)"),
            (b"\x1b[A", "Esc, as arrow keys send it (0x1B)"),
            (b"pi\0ng", "NUL, as UTF-16"),
            (b"p\0i\0n\0g\0", "NUL, as UTF-16"),
            (b"\0p\0i\0n\0g", "NUL, as UTF-16"),
            (b"\x1f", "a control character (0x1F)"),
        ] {
            let bytes = [b"ping\n", line, b"\r\nping\n"].concat();
            let lines = lines(&bytes);
            assert_eq!((lines.len(), &*lines[0], &*lines[2]), (3, "ping", "ping"));
            assert!(
                lines[1].starts_with("! ") && lines[1].contains(why),
                "{line:?} {lines:?}"
            );
        }
    }

    #[test]
    fn nul_before_or_after_a_line_is_padding() {
        assert_eq!(
            lines(b"ping\n\0ping\n\0\0ping\0\r\n"),
            ["ping", "ping", "ping"]
        );
    }

    #[test]
    fn requests_of_telnet_are_answered_and_the_line_goes_on() {
        let answer = Parsed::Telnet([IAC, 252, 1]);
        let wanted = [answer, Parsed::Line("ping".into())];
        assert_eq!(parsed([&b"pi\xff\xfd\x01ng\r\n"[..]]), wanted);
        assert_eq!(byte_by_byte(b"pi\xff\xfd\x01ng\r\n"), wanted);
    }

    #[test]
    fn a_line_has_a_length() {
        let longest = [&[b'x'; LARGEST_LINE][..], b"\n"].concat();
        assert_eq!(lines(&longest), ["x".repeat(LARGEST_LINE)]);
        for too_long in [&b"x"[..], b"\0", b"\xff!"] {
            let line = too_long.repeat(LARGEST_LINE + 1);
            assert_eq!(parsed([&line[..]]), [Parsed::TooLong], "{too_long:?}");
            assert_eq!(byte_by_byte(&line), [Parsed::TooLong], "{too_long:?}");
            for end in [
                &b"\n"[..],
                b"\r",
                b"\r\n",
                b"\r\0",
                b"\nping\n",
                b"\xff\xf1\n",
            ] {
                let line = [b"ping\n", &*line, end].concat();
                let wanted = [Parsed::Line("ping".into()), Parsed::TooLong];
                assert_eq!(parsed([&line[..]]), wanted, "{too_long:?} {end:?}");
                assert_eq!(byte_by_byte(&line), wanted, "{too_long:?} {end:?}");
            }
        }
    }

    /// Bytes in which lines end often.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), 240..=255_u8, any::<u8>()];
        proptest::collection::vec(byte, 0..80)
    }

    proptest! {
        /// However bytes are split over packets, they make the same.
        #[test]
        fn packets_do_not_matter(
            start in any_bytes(),
            long in 0..2 * LARGEST_LINE,
            end in any_bytes(),
            split in 0..160_usize,
        ) {
            let bytes = [start, vec![b'x'; long], end].concat();
            let (one, other) = bytes.split_at(split.min(bytes.len()));
            prop_assert_eq!(parsed([&bytes[..]]), parsed([one, other]));
            prop_assert_eq!(parsed([&bytes[..]]), byte_by_byte(&bytes));
        }

        #[test]
        fn a_line_is_never_more_than_one(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for parsed in parsed([&bytes[..]]) {
                if let Parsed::Line(text) | Parsed::NoText(text) = parsed {
                    prop_assert!(!text.contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
