//! The first packet of a client: read within bounds, checked, and written again for the library
//! with the name that the client's place has here.

use std::io;

use bytes::BytesMut;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::packet::{FixedHeader, MqttPacket, PacketType};
use mqtt5::protocol::v5::properties::Properties;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::answers::{Answers, Denial, MQTT_5};
use super::connect_rules::{USER, check_connect};
use super::frames::{FieldReader, Frame, kind, packet};
use super::limits::LARGEST_CONNECT;
use super::unsupported_protocol::{MQTT_311, UnsupportedProtocol};

/// The Keep Alive of a client that has none, for the library: it closes a connection without Keep
/// Alive when nothing came for five minutes, which MQTT forbids (MQTT 5, 3.1.2.10). The operating
/// system notices clients that are gone.
const NO_KEEP_ALIVE: u16 = u16::MAX;

/// A CONNECT with a longer protocol name, with the two bytes of its length, is not read on.
const LONGEST_PROTOCOL_NAME: usize = 32;

/// Where the flags stand in the body of a CONNECT whose protocol is MQTT (MQTT 5, 3.1.2.3).
const CONNECT_FLAGS: usize = 7;

/// A CONNECT that can be understood, and what came after it.
#[derive(Debug)]
pub struct Connect {
    pub packet: ConnectPacket,
    /// Bytes of later packets.
    pub rest: BytesMut,
}

/// Why there is no CONNECT.
#[derive(Debug)]
pub enum NoConnect {
    /// The client went, or what it sent is malformed: nothing can be answered.
    Gone,
    /// It speaks another protocol, or a version that is not supported.
    UnsupportedProtocol(UnsupportedProtocol),
    /// It is to be answered with these bytes.
    Refused(Vec<u8>),
}

impl From<io::Error> for NoConnect {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads the CONNECT of a new connection: at most [`LARGEST_CONNECT`] bytes.
///
/// # Errors
/// There is none.
pub async fn read_connect(stream: &mut (impl AsyncRead + Unpin)) -> Result<Connect, NoConnect> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if let Some(connect) = parse(&mut bytes)? {
            return Ok(connect);
        }
        let room = LARGEST_CONNECT.saturating_sub(bytes.len()).max(1);
        if (&mut *stream)
            .take(room as u64)
            .read_buf(&mut bytes)
            .await?
            == 0
        {
            return Err(NoConnect::Gone);
        }
    }
}

/// The CONNECT at the start of these bytes, if all of it is there.
fn parse(bytes: &mut BytesMut) -> Result<Option<Connect>, NoConnect> {
    let frame = match Frame::at(bytes) {
        Ok(Some(frame)) => frame,
        Ok(None) => return Ok(None),
        Err(_) => {
            return Err(NoConnect::UnsupportedProtocol(UnsupportedProtocol::of(
                bytes,
            )));
        }
    };
    if frame.kind != kind::CONNECT || frame.flags != 0 {
        return Err(NoConnect::UnsupportedProtocol(UnsupportedProtocol::of(
            bytes,
        )));
    }
    let Some(version) = version(frame.body_in(bytes))? else {
        return Ok(None);
    };
    let answers = Answers::new(version, true, None);
    if frame.length() > LARGEST_CONNECT {
        return Err(refused(
            answers,
            ReasonCode::PacketTooLarge,
            "a CONNECT may have 16 KiB",
        ));
    }
    if bytes.len() < frame.length() {
        return Ok(None);
    }
    let lone_password = check_connect(frame.body_in(bytes))
        .map_err(|denial| NoConnect::Refused(answers.connack(&denial)))?;
    let body = bytes.split_to(frame.length());
    let mut body = match lone_password {
        None => body.freeze().slice(frame.header..),
        Some(password) => with_empty_user(&body[frame.header..], password).into(),
    };
    let header = FixedHeader::new(
        PacketType::Connect,
        0,
        body.len().try_into().unwrap_or(u32::MAX),
    );
    let packet = match ConnectPacket::decode_body(&mut body, &header) {
        Ok(packet) => ConnectPacket {
            username: packet.username.filter(|_| lone_password.is_none()),
            ..packet
        },
        Err(_) => {
            return Err(refused(
                answers,
                ReasonCode::MalformedPacket,
                "the CONNECT is malformed",
            ));
        }
    };
    Ok(Some(Connect {
        packet,
        rest: std::mem::take(bytes),
    }))
}

/// A CONNECT whose password has no user before it, for the library, which insists on one.
fn with_empty_user(body: &[u8], password: usize) -> Vec<u8> {
    let (before, password) = body.split_at(password);
    let mut with_user = [before, &[0, 0], password].concat();
    with_user[CONNECT_FLAGS] |= USER;
    with_user
}

fn refused(answers: Answers, code: ReasonCode, reason: &'static str) -> NoConnect {
    NoConnect::Refused(answers.connack(&Denial::new(code, reason)))
}

/// The version that a CONNECT names, as soon as it is there: 3.1.1 or 5.
///
/// # Errors
/// It names another version or another protocol.
fn version(body: &[u8]) -> Result<Option<u8>, NoConnect> {
    let mut reader = FieldReader(body);
    let Ok(name) = reader.binary() else {
        return if body.len() > LONGEST_PROTOCOL_NAME {
            Err(NoConnect::Gone)
        } else {
            Ok(None)
        };
    };
    let Ok(version) = reader.byte() else {
        return Ok(None);
    };
    match (name, version) {
        (b"MQTT", MQTT_311 | MQTT_5) => Ok(Some(version)),
        _ => Err(NoConnect::UnsupportedProtocol(
            UnsupportedProtocol::version(name, version),
        )),
    }
}

impl Connect {
    /// How this client is answered.
    pub fn answers(&self) -> Answers {
        let properties = &self.packet.properties;
        Answers::new(
            self.packet.protocol_version,
            properties.get_request_problem_information().unwrap_or(true),
            properties.get_maximum_packet_size(),
        )
    }

    /// The bytes for the library: the packet with another client id and without the password,
    /// which is checked already, and what came after it.
    ///
    /// # Errors
    /// The packet cannot be written, because a text is longer than 64 KiB.
    pub fn for_library(mut self, client_id: String) -> Result<BytesMut, NoConnect> {
        self.packet.client_id = client_id;
        self.packet.properties = properties_for_library(&self.packet.properties);
        if self.packet.keep_alive == 0 {
            self.packet.keep_alive = NO_KEEP_ALIVE;
        }
        self.packet.username = None;
        self.packet.password = None;
        let mut body = Vec::with_capacity(256);
        self.packet
            .encode_body(&mut body)
            .map_err(|_| NoConnect::Gone)?;
        let mut bytes = BytesMut::from(&packet(kind::CONNECT, 0, &body)[..]);
        bytes.extend_from_slice(&self.rest);
        Ok(bytes)
    }
}

/// What the library has to know. `outbound` sees to Maximum Packet Size: the library adds to messages
/// what is taken off again, and would count it.
fn properties_for_library(properties: &Properties) -> Properties {
    let mut needed = Properties::new();
    if let Some(seconds) = properties.get_session_expiry_interval() {
        needed.set_session_expiry_interval(seconds);
    }
    if let Some(messages) = properties.get_receive_maximum() {
        needed.set_receive_maximum(messages);
    }
    if let Some(wanted) = properties.get_request_problem_information() {
        needed.set_request_problem_information(wanted);
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_311(client_id: &str) -> Vec<u8> {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
        body.extend((client_id.len() as u16).to_be_bytes());
        body.extend(client_id.as_bytes());
        packet(kind::CONNECT, 0, &body)
    }

    async fn read(bytes: &[u8]) -> Result<Connect, NoConnect> {
        read_connect(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn a_connect_is_read_and_written_with_another_id() {
        let mut bytes = connect_311("panel");
        bytes.extend([0xC0, 0]);
        let connect = read(&bytes).await.unwrap();
        assert_eq!(connect.packet.client_id, "panel");
        let mut expected = connect_311("other");
        expected.extend([0xC0, 0]);
        assert_eq!(connect.for_library("other".into()).unwrap(), expected);
    }

    #[tokio::test]
    async fn mqtt_5_allows_a_password_without_a_user() {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 0b0100_0010, 0, 60, 0];
        body.extend([0, 1, b'c', 0, 1, b'p']);
        let connect = read(&packet(kind::CONNECT, 0, &body)).await.unwrap();
        assert_eq!(connect.packet.username, None);
        assert_eq!(connect.packet.password.as_deref(), Some(&b"p"[..]));
        assert_eq!(connect.packet.client_id, "c");
    }

    #[tokio::test]
    async fn a_large_one_is_refused_as_soon_as_its_length_is_known() {
        let mut bytes = vec![0x10, 0xFF, 0xFF, 0xFF, 0x7F];
        bytes.extend([0, 4, b'M', b'Q', b'T', b'T', 5]);
        let Err(NoConnect::Refused(answer)) = read(&bytes).await else {
            panic!("refused");
        };
        assert_eq!(answer[3], u8::from(ReasonCode::PacketTooLarge));
        let Err(NoConnect::Refused(answer)) = read(&connect_311(&"x".repeat(20_000))).await else {
            panic!("refused");
        };
        assert_eq!(answer, [0x20, 2, 0, 3]);
    }

    #[tokio::test]
    async fn other_versions_and_other_protocols() {
        for (bytes, answer) in [
            (
                &b"\x10\x0C\0\x06MQIsdp\x03\x02\0\0"[..],
                &[0x20, 2, 0, 1][..],
            ),
            (b"\x10\x0C\0\x04MQTT\x06\x02\0\0\0\0", &[0x20]),
            (b"\x10\x0C\0\x04MQTX\x04\x02\0\0\0\0", b""),
            (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
            (b"\x07\x04\x04\x01\0\x1ec", b""),
        ] {
            let Err(NoConnect::UnsupportedProtocol(unsupported)) = read(bytes).await else {
                panic!("{bytes:?} is taken");
            };
            assert!(unsupported.answer.starts_with(answer), "{bytes:?}");
        }
        for bytes in [
            &b"\x10\x30\xFF\xFFxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[..],
            b"\x10\x0C\0\x06MQIsdp",
            b"\x10",
        ] {
            assert!(matches!(read(bytes).await, Err(NoConnect::Gone)));
        }
    }
}
