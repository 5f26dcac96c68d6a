//! Which protocol the other side of a connection speaks, by its first bytes: so a door that speaks another one can say
//! so at once, and neither side waits for what never comes.
//!
//! Pure. The only list of what is recognised. Each door has its own words for it.

/// A protocol that many programs speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP, any version.
    Http,
    /// TLS, any version.
    Tls,
    /// MQTT, any version.
    Mqtt,
    /// MQTT for sensor networks.
    MqttSn,
}

/// How a request of HTTP begins.
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
/// How a response of HTTP/1 begins.
const HTTP_RESPONSE: &[u8] = b"HTTP";

/// A TLS alert, a TLS handshake record, and the major version of all TLS versions (RFC 8446, 5.1).
const TLS_ALERT: u8 = 0x15;
const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR: u8 = 3;

/// The type of MQTT's first packet, CONNECT (MQTT 5, 3.1.1).
const MQTT_CONNECT: u8 = 0x10;
/// The protocol's name in it, in MQTT 3.1 and since (3.1.2.1).
const MQTT_NAMES: [&[u8]; 2] = [b"\x00\x06MQIsdp", b"\x00\x04MQTT"];

/// The types of the packets with which a client of MQTT-SN begins (MQTT-SN 1.2, 5.2.2).
const SN_SEARCHGW: u8 = 1;
const SN_CONNECT: u8 = 4;

impl Protocol {
    /// The protocol of a client whose first bytes these are.
    pub fn of_client(bytes: &[u8]) -> Option<Self> {
        if HTTP_METHODS.iter().any(|method| bytes.starts_with(method)) {
            return Some(Self::Http);
        }
        match bytes {
            [TLS_HANDSHAKE, TLS_MAJOR, ..] => Some(Self::Tls),
            [MQTT_CONNECT, rest @ ..] if names_mqtt(rest) => Some(Self::Mqtt),
            // The length of the packet, then its type.
            [length, SN_SEARCHGW | SN_CONNECT, ..] if usize::from(*length) == bytes.len() => {
                Some(Self::MqttSn)
            }
            _ => None,
        }
    }

    /// The protocol of a client at a door whose own protocol begins with no letter: the first letters of a method are
    /// enough to know HTTP.
    pub fn of_client_in_binary(bytes: &[u8]) -> Option<Self> {
        let is_cut = |method: &&[u8]| method.starts_with(bytes);
        let cut = || HTTP_METHODS.iter().any(is_cut).then_some(Self::Http);
        Self::of_client(bytes).or_else(cut)
    }

    /// The protocol of a server whose first bytes these are, as an answer to what it does not understand.
    pub fn of_server(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [TLS_ALERT | TLS_HANDSHAKE, TLS_MAJOR, ..] => Some(Self::Tls),
            _ => bytes.starts_with(HTTP_RESPONSE).then_some(Self::Http),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Mqtt => "MQTT",
            Self::MqttSn => "MQTT-SN",
        }
    }
}

/// Whether these are the packet's length, in one to four bytes, and then the protocol's name.
fn names_mqtt(rest: &[u8]) -> bool {
    let is_name = |at: usize| {
        let rest = rest.get(at..).unwrap_or_default();
        MQTT_NAMES.iter().any(|name| rest.starts_with(name))
    };
    (1..=4).any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_their_first_bytes() {
        for (bytes, wanted) in [
            (
                &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..],
                Protocol::Mqtt,
            ),
            (b"\x10\x8c\x01\x00\x04MQTT\x05", Protocol::Mqtt),
            (b"\x10\x10\x00\x06MQIsdp\x03", Protocol::Mqtt),
            (b"GET / HTTP/1.1\r\n", Protocol::Http),
            (b"POST /room/1/audio/mute HTTP/1.1\r\n", Protocol::Http),
            (b"OPTIONS * HTTP/1.0\r\n", Protocol::Http),
            (b"TRACE / HTTP/1.1\r\n", Protocol::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                Protocol::Tls,
            ),
            (b"\x07\x04\x04\x01\0\x1ec", Protocol::MqttSn),
            (b"\x03\x01\0", Protocol::MqttSn),
        ] {
            assert_eq!(Protocol::of_client(bytes), Some(wanted), "{bytes:?}");
        }
        for bytes in [
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
            b"\x15\x03\x03\0\x02",
            b"HTTP/1.1 200 OK\r\n",
            b"GE",
        ] {
            assert_eq!(Protocol::of_client(bytes), None, "{bytes:?}");
        }
        for cut in [&b"GE"[..], b"CONNEC", b"GET / HTTP/1.1\r\n"] {
            let known = Protocol::of_client_in_binary(cut);
            assert_eq!(known, Some(Protocol::Http), "{cut:?}");
        }
        assert_eq!(Protocol::of_client_in_binary(b"GETTING\n"), None);
    }

    #[test]
    fn servers_are_known_by_their_first_bytes() {
        for (bytes, wanted) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some(Protocol::Http)),
            (b"\x15\x03\x01\0\x02\x02\x46", Some(Protocol::Tls)),
            (b"\x16\x03\x03", Some(Protocol::Tls)),
            (b"HTT", None),
            (b"\x20\x02\0\0", None),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", None),
        ] {
            assert_eq!(Protocol::of_server(bytes), wanted, "{bytes:?}");
        }
    }
}
