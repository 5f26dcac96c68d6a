//! Clients that speak another protocol, known by their first bytes: they are told at once, instead of
//! waiting for an answer that never comes.
//!
//! Pure.

/// Another protocol than the door's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherProtocol {
    /// MQTT, any version.
    Mqtt,
    /// HTTP.
    Http,
    /// TLS.
    Tls,
}

/// How an HTTP request begins. No line of a client does: its words are in lower case, and a topic is no
/// method.
const HTTP_METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    // HTTP/2.
    b"PRI ",
];

/// The type of MQTT's first packet, CONNECT (MQTT 5, 3.1.1).
const MQTT_CONNECT: u8 = 0x10;
/// The protocol's name in it, in MQTT 3.1 and since (3.1.2.1).
const MQTT_NAMES: [&[u8]; 2] = [b"\x00\x06MQIsdp", b"\x00\x04MQTT"];
/// A TLS handshake record, and the major version of all TLS versions (RFC 8446, 5.1).
const TLS_HANDSHAKE: [u8; 2] = [0x16, 3];

impl OtherProtocol {
    /// The protocol of a client whose first bytes these are.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if HTTP_METHODS.iter().any(|method| bytes.starts_with(method)) {
            return Some(Self::Http);
        }
        if bytes.starts_with(&TLS_HANDSHAKE) {
            return Some(Self::Tls);
        }
        // The type, then the packet's length in one to four bytes.
        let (kind, rest) = bytes.split_first()?;
        let is_name = |at: usize| {
            let rest = rest.get(at..).unwrap_or_default();
            MQTT_NAMES.iter().any(|name| rest.starts_with(name))
        };
        (*kind == MQTT_CONNECT && (1..=4).any(is_name)).then_some(Self::Mqtt)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Http => "HTTP",
            Self::Tls => "TLS",
        }
    }

    /// The message for the client: where that protocol is spoken.
    pub fn message(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT is not spoken here; MQTT clients connect to the broker in mqtt.url",
            Self::Http => "HTTP is not spoken here; it is at the address in http.listen",
            Self::Tls => "TLS is not spoken here; tcp.tls = true turns it on",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        for (bytes, wanted) in [
            (
                &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..],
                OtherProtocol::Mqtt,
            ),
            (b"\x10\x8c\x01\x00\x04MQTT\x05", OtherProtocol::Mqtt),
            (b"\x10\x10\x00\x06MQIsdp\x03", OtherProtocol::Mqtt),
            (b"GET / HTTP/1.1\r\n", OtherProtocol::Http),
            (b"POST /room/1/audio/mute HTTP/1.1\r\n", OtherProtocol::Http),
            (b"OPTIONS * HTTP/1.0\r\n", OtherProtocol::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OtherProtocol::Http),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                OtherProtocol::Tls,
            ),
        ] {
            assert_eq!(OtherProtocol::of(bytes), Some(wanted), "{bytes:?}");
        }
        for lines in [
            &b""[..],
            b"\n",
            b"ping\n",
            b"get\n",
            b"GETTING\n",
            b"room/1/audio/volume/set 40\r\n",
            b"token POST x\n",
            b"\xff\xfd\x01",
            b"\x10\x04hello",
            b"\x10",
            b"\x16",
        ] {
            assert_eq!(OtherProtocol::of(lines), None, "{lines:?}");
        }
    }
}
