//! Why a client is closed. Each door says it in its own form: a close code, or a last line.

use super::OtherProtocol;
use crate::doors::payers::TooMuch;

/// Why a client is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client left, or its connection broke.
    ClientLeft,
    /// Nothing came from it for twice the ping interval.
    PingTimeout,
    /// It did not read what was sent.
    SendTimeout,
    /// It violated the protocol.
    ProtocolError,
    /// It speaks another protocol.
    OtherProtocol(OtherProtocol),
    /// It sent text that is not UTF-8.
    InvalidText,
    /// It sent a message above the limit.
    MessageTooLarge,
    /// Its token is missing, wrong or no longer valid.
    BadToken,
    /// Its token is right, and permits something else than when it was shown.
    AccessChanged,
    /// Too many wrong tokens came from its address.
    TooManyGuesses,
    /// There are too many clients.
    TooManyClients,
    /// There are too many clients with its token, or from its address where no token is needed.
    TooManyOfPayer,
    /// Too many large messages are on their way.
    TooManyLarge,
    /// Its message did not become whole in time.
    MessageTooSlow,
    /// The gateway is stopping.
    Stopping,
}

impl CloseReason {
    /// The text for the client; `None` if it is gone and cannot read it.
    pub fn message(self) -> Option<&'static str> {
        Some(match self {
            Self::ClientLeft | Self::PingTimeout | Self::SendTimeout => return None,
            Self::ProtocolError => "the message violates the protocol",
            Self::OtherProtocol(protocol) => protocol.message,
            Self::InvalidText => "the message is not UTF-8 text",
            Self::MessageTooLarge => "the message is too large; files are uploaded over HTTP",
            Self::BadToken => "the token is missing, wrong or no longer valid",
            Self::AccessChanged => "the token permits something else now; connect again",
            Self::TooManyGuesses => {
                "too many wrong tokens from this address; try again in 10 seconds"
            }
            Self::TooManyClients => "too many clients; try again later",
            Self::TooManyOfPayer => {
                "too many clients with this token, or from this address; try again later"
            }
            Self::TooManyLarge => "too many large messages are on their way; try again later",
            Self::MessageTooSlow => "the message took too long to arrive",
            Self::Stopping => "the gateway stops",
        })
    }
}

impl From<TooMuch> for CloseReason {
    fn from(why: TooMuch) -> Self {
        match why {
            TooMuch::Bytes => Self::TooManyLarge,
            TooMuch::Time => Self::MessageTooSlow,
        }
    }
}
