//! Clients that speak something else than MQTT 3.1.1 or MQTT 5: what they speak, in words for the log,
//! and the answer that they understand.
//!
//! Pure. Sees the first bytes of a connection; [`Protocol`] recognises them.

use std::borrow::Cow;

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::answers::{Answers, Denial, MQTT_5};
use crate::net::Protocol;

/// The version number of MQTT 3.1.1 in CONNECT.
pub const MQTT_311: u8 = 4;
/// A bridge of Mosquitto sets this bit of the version to say that it is one. It comes again without
/// it when its CONNECT is refused.
const BRIDGE: u8 = 0x80;
/// The protocol name of MQTT 3.1, which it has in place of `MQTT`.
const NAME_OF_MQTT_31: &[u8] = b"MQIsdp";
/// How many bytes of a text the log shows.
const SHOWN_BYTES: usize = 24;

const MQTT_31: &str = "it speaks MQTT 3.1; set it to MQTT 3.1.1 or 5";

const UNSUPPORTED: Denial = Denial::new(
    ReasonCode::UnsupportedProtocolVersion,
    "the versions are 3.1.1 and 5",
);

const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
Connection: close\r\n\r\nThis port speaks MQTT. HTTP, WebSocket and the dashboard are at the port of \
http.listen, 8080 by default.\n";

/// What a client speaks, and how it is answered.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsupportedProtocol {
    /// For the log: what it is and what to do.
    pub why: Cow<'static, str>,
    /// For the client; empty if it would understand nothing.
    pub answer: Vec<u8>,
}

impl UnsupportedProtocol {
    fn unanswered(why: &'static str) -> Self {
        Self {
            why: why.into(),
            answer: Vec::new(),
        }
    }

    /// A CONNECT of a version or a protocol that is not supported. A version is refused in its own
    /// form: MQTT 5 and what may come after it have one, all before it have another. Another
    /// protocol has an unknown form, and is not answered (MQTT 3.1.1, 3.1.2.1).
    pub fn version(name: &[u8], version: u8) -> Self {
        let number = version & !BRIDGE;
        let (why, form) = match name {
            NAME_OF_MQTT_31 => (MQTT_31.into(), MQTT_311),
            b"MQTT" if number <= 3 => (MQTT_31.into(), MQTT_311),
            b"MQTT" => {
                let why = if version == number {
                    format!("its version of MQTT is {version}; set it to 3.1.1 or 5").into()
                } else {
                    "it is a bridge and says so in its version; set try_private to false".into()
                };
                (why, number.min(MQTT_5))
            }
            name => {
                let name = shown(name);
                let why = format!("its protocol is \"{name}\"; set it to MQTT 3.1.1 or 5");
                return Self {
                    why: why.into(),
                    answer: Vec::new(),
                };
            }
        };
        Self {
            why,
            answer: Answers::new(form, true, None).connack(&UNSUPPORTED),
        }
    }

    /// Bytes that do not begin with CONNECT.
    pub fn of(bytes: &[u8]) -> Self {
        match Protocol::of_client_in_binary(bytes) {
            Some(Protocol::Http) => Self {
                why: "it speaks HTTP; HTTP and WebSocket are at http.listen".into(),
                answer: HTTP_ANSWER.to_vec(),
            },
            Some(Protocol::Tls) => Self::unanswered(
                "it speaks TLS, which this port does not: use mqtt://, not mqtts://",
            ),
            Some(Protocol::MqttSn) => {
                Self::unanswered("it speaks MQTT-SN; a gateway for it must stand between")
            }
            _ if is_text(bytes) => Self {
                why: format!(
                    "it sends text, \"{}\"; plain lines are at tcp.listen",
                    shown(bytes)
                )
                .into(),
                answer: Vec::new(),
            },
            Some(Protocol::Mqtt) | None => Self::unanswered("what it sends is not MQTT"),
        }
    }
}

/// The first line, or some of it, with everything that cannot be printed escaped.
fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let line = line.unwrap_or_default();
    line[..line.len().min(SHOWN_BYTES)]
        .escape_ascii()
        .to_string()
}

fn is_text(bytes: &[u8]) -> bool {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    bytes.iter().all(is_printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_refused_in_its_own_form() {
        let old = [0x20, 2, 0, 1];
        for (name, version, says) in [
            (&b"MQIsdp"[..], 3, "MQTT 3.1;"),
            (b"MQIsdp", 4, "MQTT 3.1;"),
            (b"MQIsdp", 0x83, "MQTT 3.1;"),
            (b"MQTT", 3, "MQTT 3.1;"),
            (b"MQTT", 0, "MQTT 3.1;"),
            (b"MQTT", 0x84, "try_private"),
        ] {
            let unsupported = UnsupportedProtocol::version(name, version);
            assert!(unsupported.why.contains(says), "{}", unsupported.why);
            assert_eq!(unsupported.answer, old, "{}", unsupported.why);
        }
        for (name, version, says) in [
            (&b"MQTT"[..], 6, "is 6"),
            (b"MQTT", 0x7F, "is 127"),
            (b"MQTT", 0x85, "try_private"),
        ] {
            let unsupported = UnsupportedProtocol::version(name, version);
            assert!(unsupported.why.contains(says), "{}", unsupported.why);
            assert_eq!((unsupported.answer[0], unsupported.answer[3]), (0x20, 0x84));
        }
        for (name, says) in [(&b"mqtt"[..], "\"mqtt\""), (b"A\xffQP", "\"A\\xffQP\"")] {
            let unsupported = UnsupportedProtocol::version(name, 4);
            assert!(unsupported.why.contains(says), "{}", unsupported.why);
            assert!(unsupported.answer.is_empty());
        }
    }

    #[test]
    fn other_protocols_are_named() {
        for (bytes, says) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "HTTP"),
            (b"GE", "HTTP"),
            (b"POST /room/1/audio/mute HTTP/1.1\r\n", "HTTP"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
            (b"\x16\x03\x01\x02\0\x01\0", "mqtts://"),
            (b"\x07\x04\x04\x01\0\x1ec", "MQTT-SN"),
            (b"\x03\x01\0", "MQTT-SN"),
            (b"room/1/audio/mute\r\n", "\"room/1/audio/mute\""),
            (
                b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
                "\"SSH-2.0-OpenSSH_9.2p1 De\"",
            ),
            (b"\0\x01\x02", "not MQTT"),
            (b"\x30\x05\0\x01tx", "not MQTT"),
        ] {
            let unsupported = UnsupportedProtocol::of(bytes);
            assert!(
                unsupported.why.contains(says),
                "{bytes:?}: {}",
                unsupported.why
            );
            assert_eq!(unsupported.answer.is_empty(), says != "HTTP", "{bytes:?}");
        }
    }
}
