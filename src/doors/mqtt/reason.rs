//! Reason codes of MQTT 5 in words (section 2.4), for the log.
//!
//! Brokers send more codes than MQTT 5 defines, and codes where MQTT 5 does not allow them. So a code
//! is a number here, and its name is only looked up to be shown.

use std::fmt;

use bytes::{Buf, Bytes};

use crate::visible::visible_start;

/// The longest start of a broker's own words, in characters, that is shown.
const LONGEST_WORDS: usize = 200;
/// The identifiers of the two properties that every answer of a broker may have, MQTT 5 section 2.2.2.2.
const REASON_STRING: u8 = 0x1F;
const USER_PROPERTY: u8 = 0x26;

/// The reason code of a packet from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonCode(pub u8);

impl ReasonCode {
    pub const UNSUPPORTED_PROTOCOL_VERSION: Self = Self(0x84);
    pub const CLIENT_ID_NOT_VALID: Self = Self(0x85);
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(0x86);
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8C);
    pub const SERVER_SHUTTING_DOWN: Self = Self(0x8B);
    pub const SESSION_TAKEN_OVER: Self = Self(0x8E);
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    pub const RETAIN_NOT_SUPPORTED: Self = Self(0x9A);
    pub const QOS_NOT_SUPPORTED: Self = Self(0x9B);
    pub const USE_ANOTHER_SERVER: Self = Self(0x9C);
    pub const SERVER_MOVED: Self = Self(0x9D);

    /// Every code from 0x80 on says that something was refused, whether MQTT 5 defines it or not.
    pub fn is_refusal(self) -> bool {
        self.0 >= 0x80
    }

    /// Whether the same message may be taken a little later: the broker takes fewer messages
    /// ([`ReasonCode::is_rate`]), is not available, shuts down or uses the packet identifier still.
    pub fn passes(self) -> bool {
        self.is_rate() || matches!(self.0, 0x88 | 0x8B | 0x91 | 0x9F)
    }

    /// Whether the broker takes fewer messages than it got: busy, receive maximum, rate, quota.
    pub fn is_rate(self) -> bool {
        matches!(self.0, 0x89 | 0x93 | 0x96 | 0x97)
    }

    /// Whether the size of a message can be the reason. Codes that name something else cannot:
    /// user, topic name, a matter of time.
    pub fn can_mean_size(self) -> bool {
        self.is_refusal() && !self.passes() && !matches!(self.0, 0x87 | 0x90)
    }

    /// The name in MQTT 5.
    fn name(self) -> Option<&'static str> {
        let name = match self.0 {
            0x00 => "success",
            0x80 => "unspecified error",
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "implementation specific error",
            0x84 => "unsupported protocol version",
            0x85 => "client identifier not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8A => "banned",
            0x8B => "server shutting down",
            0x8C => "bad authentication method",
            0x8D => "keep alive timeout",
            0x8E => "session taken over",
            0x8F => "topic filter invalid",
            0x90 => "topic name invalid",
            0x91 => "packet identifier in use",
            0x92 => "packet identifier not found",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9A => "retain not supported",
            0x9B => "QoS not supported",
            0x9C => "use another server",
            0x9D => "server moved",
            0x9E => "shared subscriptions not supported",
            0x9F => "connection rate exceeded",
            0xA0 => "maximum connect time",
            0xA1 => "subscription identifiers not supported",
            0xA2 => "wildcard subscriptions not supported",
            _ => return None,
        };
        Some(name)
    }
}

/// The broker's own words for a reason (Reason String), if it has any. Many codes say nothing without them. Two are
/// equal whatever they say: brokers put times and numbers into them, which make no other reason of it.
#[derive(Debug, Clone, Default)]
pub struct BrokerWords(Option<Box<str>>);

impl BrokerWords {
    /// Of a packet whose properties the library has read.
    pub fn new(words: Option<&str>) -> Self {
        let words = words.filter(|words| !words.trim().is_empty());
        Self(words.map(|words| visible_start(words, LONGEST_WORDS).into()))
    }

    /// Of the properties of an acknowledgement, which has no others than these two.
    pub fn of_properties(mut properties: Bytes) -> Self {
        let text = |properties: &mut Bytes| {
            let length = usize::from(properties.try_get_u16().ok()?);
            (length <= properties.len()).then(|| properties.split_to(length))
        };
        while let Ok(identifier) = properties.try_get_u8() {
            let Some(value) = text(&mut properties) else {
                break;
            };
            match identifier {
                REASON_STRING => return Self::new(std::str::from_utf8(&value).ok()),
                // Its name was read.
                USER_PROPERTY if text(&mut properties).is_some() => {}
                _ => break,
            }
        }
        Self::default()
    }
}

impl PartialEq for BrokerWords {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for BrokerWords {}

/// To stand behind a reason.
impl fmt::Display for BrokerWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(words) => write!(f, ": \"{words}\""),
            None => Ok(()),
        }
    }
}

/// Why the broker does not grant the subscription to a filter: the reason in SUBACK, if it has one for it.
pub fn refused_filter(reason: Option<ReasonCode>, words: &BrokerWords) -> String {
    match reason {
        Some(reason) => format!("{reason}{words}"),
        None => "its answer leaves this filter out".to_owned(),
    }
}

/// Why a filter is left out at which the broker ends the connection. `lost`: how the connection ended.
pub fn ended_at_filter(lost: &str) -> String {
    format!("it ends the connection: {lost}")
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}, reason code {}", self.0),
            None => write!(f, "reason code {}, which MQTT 5 does not define", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_and_from_0x80_on_it_is_a_refusal() {
        for code in 0..=u8::MAX {
            let reason = ReasonCode(code);
            assert!(reason.to_string().contains(&code.to_string()), "{reason}");
            assert_eq!(reason.is_refusal(), code >= 0x80, "{reason}");
            assert!(!reason.passes() || reason.is_refusal() && !reason.can_mean_size());
        }
        let too_large = ReasonCode::PACKET_TOO_LARGE.to_string();
        assert_eq!(too_large, "packet too large, reason code 149");
        assert!(ReasonCode(0xC3).to_string().contains("does not define"));
    }

    /// Every reason of a PUBACK, MQTT 5 section 3.4.2.1, and what brokers send besides: `t`aken, sent again `s`lowly or
    /// `l`ater, left `o`ut, or left out from this `z`ize on.
    #[test]
    fn what_follows_from_each_reason_in_puback() {
        for (code, wanted) in [
            (0x00, 't'),
            (0x10, 't'),
            (0x80, 'z'),
            (0x83, 'z'),
            (0x87, 'o'),
            (0x88, 'l'),
            (0x89, 's'),
            (0x8B, 'l'),
            (0x90, 'o'),
            (0x91, 'l'),
            (0x93, 's'),
            (0x95, 'z'),
            (0x96, 's'),
            (0x97, 's'),
            (0x99, 'z'),
            (0x9A, 'z'),
            (0x9F, 'l'),
            (0xC3, 'z'),
        ] {
            let reason = ReasonCode(code);
            let follows = match reason {
                _ if !reason.is_refusal() => 't',
                _ if reason.is_rate() => 's',
                _ if reason.passes() => 'l',
                _ if reason.can_mean_size() => 'z',
                _ => 'o',
            };
            assert_eq!(follows, wanted, "{reason}");
        }
    }

    #[test]
    fn a_brokers_own_words_are_found_and_made_visible() {
        let words = |properties: &'static [u8]| {
            BrokerWords::of_properties(Bytes::from_static(properties)).to_string()
        };
        for (properties, expected) in [
            (&b""[..], ""),
            (b"\x1f\0\x04full", ": \"full\""),
            (b"\x26\0\x01a\0\x01b\x1f\0\x04full", ": \"full\""),
            (b"\x1f\0\x02a\x1b", ": \"a\\u{1b}\""),
            (b"\x1f\0\x01 ", ""),
            // Cut short, not text, or no property of an acknowledgement.
            (b"\x1f\0\x09full", ""),
            (b"\x1f\0", ""),
            (b"\x1f\0\x01\xff", ""),
            (b"\x26\0\x01a\x1f\0\x04full", ""),
            (b"\x11\0\x04full", ""),
        ] {
            assert_eq!(words(properties), expected, "{properties:02x?}");
        }
        let long = "x".repeat(9 * LONGEST_WORDS);
        assert!(BrokerWords::new(Some(&long)).to_string().len() < 2 * LONGEST_WORDS);
    }
}
