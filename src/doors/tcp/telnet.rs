//! Telnet's commands inside of what a client sends (RFC 854): they are no text, and are taken out.
//!
//! Pure. A telnet client asks for options as soon as it connects, or after Ctrl-C. Each request is
//! refused, which RFC 854 permits for every option and which ends the exchange.

/// The byte that begins a command ("interpret as command").
pub const IAC: u8 = 255;
const SUBNEGOTIATION_END: u8 = 240;
const SUBNEGOTIATION: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;

/// The longest subnegotiation. Terminal types and window sizes have some ten bytes; without a bound,
/// one that never ends would swallow all lines after it.
const LONGEST_SUBNEGOTIATION: usize = 512;

/// How far a command has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telnet {
    /// There is none.
    #[default]
    Text,
    /// After IAC.
    Command,
    /// After IAC and one of WILL, WONT, DO and DONT.
    Option(u8),
    /// In a subnegotiation, which may still have so many bytes.
    Subnegotiation(usize),
    /// In one, after IAC.
    SubnegotiationCommand(usize),
}

/// What a byte is.
#[derive(Debug, PartialEq, Eq)]
pub enum TelnetByte {
    /// Part of a command.
    Command,
    /// The end of a request, with the answer to it.
    Request([u8; 3]),
    /// Part of the text, after IAC if that was no command.
    Text {
        /// IAC was no command: another program's text that is not UTF-8.
        after_iac: bool,
    },
}

impl Telnet {
    /// Takes the next byte.
    pub fn take(&mut self, byte: u8) -> TelnetByte {
        let (next, meaning) = match (*self, byte) {
            (Self::Text, IAC) => (Self::Command, TelnetByte::Command),
            (Self::Text, _) => (Self::Text, TelnetByte::Text { after_iac: false }),
            (Self::Command, SUBNEGOTIATION) => (
                Self::Subnegotiation(LONGEST_SUBNEGOTIATION),
                TelnetByte::Command,
            ),
            (Self::Command, WILL..=DONT) => (Self::Option(byte), TelnetByte::Command),
            // Those without an option: interrupt, "are you there?" and others.
            (Self::Command, SUBNEGOTIATION_END..SUBNEGOTIATION) => {
                (Self::Text, TelnetByte::Command)
            }
            (Self::Command, _) => (Self::Text, TelnetByte::Text { after_iac: true }),
            (Self::Option(WILL), option) => (Self::Text, TelnetByte::Request([IAC, DONT, option])),
            (Self::Option(DO), option) => (Self::Text, TelnetByte::Request([IAC, WONT, option])),
            (Self::Option(_), _) => (Self::Text, TelnetByte::Command),
            (Self::Subnegotiation(0) | Self::SubnegotiationCommand(0), _) => {
                (Self::Text, TelnetByte::Text { after_iac: true })
            }
            (Self::Subnegotiation(left), IAC) => {
                (Self::SubnegotiationCommand(left - 1), TelnetByte::Command)
            }
            (Self::SubnegotiationCommand(_), SUBNEGOTIATION_END) => {
                (Self::Text, TelnetByte::Command)
            }
            (Self::Subnegotiation(left) | Self::SubnegotiationCommand(left), _) => {
                (Self::Subnegotiation(left - 1), TelnetByte::Command)
            }
        };
        *self = next;
        meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of these bytes, with `?` for an IAC that is no command, and the answers.
    fn taken(bytes: &[u8]) -> (String, Vec<[u8; 3]>) {
        let (mut telnet, mut text, mut answers) = (Telnet::default(), String::new(), Vec::new());
        for byte in bytes {
            match telnet.take(*byte) {
                TelnetByte::Command => {}
                TelnetByte::Request(answer) => answers.push(answer),
                TelnetByte::Text { after_iac } => {
                    text.extend(after_iac.then_some('?'));
                    text.push(char::from(*byte));
                }
            }
        }
        (text, answers)
    }

    #[test]
    fn commands_are_no_text_and_requests_are_refused() {
        let wont = |option| [IAC, WONT, option];
        let dont = |option| [IAC, DONT, option];
        for (bytes, text, answers) in [
            // PuTTY, as it connects.
            (
                &b"\xff\xfb\x1f\xff\xfb\x20\xff\xfd\x01\xff\xfd\x03ping"[..],
                "ping",
                vec![dont(0x1f), dont(0x20), wont(1), wont(3)],
            ),
            // Ctrl-C of the telnet program: interrupt, and a request to mark the time.
            (b"pi\xff\xf4\xff\xfd\x06ng", "ping", vec![wont(6)]),
            // Refusals and "no operation" are not answered.
            (b"\xff\xfc\x01\xff\xfe\x03\xff\xf1x", "x", vec![]),
            // A window of 10 lines and 255 columns: its numbers are no line ends.
            (b"\xff\xfa\x1f\x00\xff\xff\x00\x0a\xff\xf0x", "x", vec![]),
            // Latin-1: a y with diaeresis.
            (b"\xffa", "?a", vec![]),
            (b"a\xff\xff", "a?\u{ff}", vec![]),
        ] {
            assert_eq!(taken(bytes), (text.to_owned(), answers), "{bytes:?}");
        }
    }

    #[test]
    fn a_subnegotiation_without_an_end_does_not_swallow_the_rest() {
        let bytes = [&b"\xff\xfa"[..], &[b'x'; LONGEST_SUBNEGOTIATION], b"yz"].concat();
        assert_eq!(taken(&bytes).0, "?yz");
    }
}
