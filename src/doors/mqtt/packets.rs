//! Bytes from the broker become packets.
//!
//! Owns the bytes that have arrived and are not a whole packet yet. The form of publishes is the
//! library's (`rumqttc::v5::mqttbytes`). Acknowledgements, CONNACK and DISCONNECT are read here: the
//! library ends the connection at every reason code that it does not know, and does not read the
//! short forms. Whatever a broker sends gives packets or an error, never a panic.

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::v5::mqttbytes::Error as MalformedPacket;
use rumqttc::v5::mqttbytes::v5::{
    ConnAckProperties, DisconnectProperties, Packet, PacketType, Publish, check,
};

use super::error::ConnectionLost;
use super::reason::{BrokerWords, ReasonCode};

/// At least this much is made ready for the next read: a command takes a few hundred bytes.
const READ_SIZE: usize = 4 << 10;
/// The first byte of a DISCONNECT, MQTT 5 section 3.14.
const DISCONNECT: u8 = 0xE0;
/// The upper half of the first byte of an AUTH, which the library does not know.
const AUTH: u8 = 0xF0;

/// A packet of the broker, as far as the door uses it.
#[derive(Debug)]
pub enum BrokerPacket {
    ConnAck(ConnAck),
    Publish(Publish),
    /// A publish was taken or refused: PUBACK, and PUBREC or PUBCOMP of a broker that answers as if
    /// to QoS 2.
    PubAck(PubAck),
    /// A publish of QoS 2 is complete: its packet identifier.
    PubRel(u16),
    SubAck(SubAck),
    PingResp,
    /// One that needs no action: UNSUBACK.
    Other,
}

/// CONNACK, MQTT 5 section 3.2.
#[derive(Debug)]
pub struct ConnAck {
    pub reason: ReasonCode,
    /// The broker has kept the session of the last connection (Session Present).
    pub is_resumed: bool,
    pub properties: Option<ConnAckProperties>,
}

/// An answer to one publish, MQTT 5 section 3.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubAck {
    pub packet_id: u16,
    pub reason: ReasonCode,
    pub words: BrokerWords,
}

/// The answer to a SUBSCRIBE: one reason a filter, in their order. MQTT 5 section 3.9.
#[derive(Debug, PartialEq, Eq)]
pub struct SubAck {
    pub packet_id: u16,
    pub reasons: Vec<ReasonCode>,
    pub words: BrokerWords,
}

#[cfg(test)]
impl SubAck {
    /// An answer without words.
    pub fn of(packet_id: u16, reasons: &[u8]) -> Self {
        Self {
            packet_id,
            words: BrokerWords::default(),
            reasons: reasons.iter().copied().map(ReasonCode).collect(),
        }
    }
}

/// A buffer that was made for a larger packet is given back: `gateway/…/info` of thousands of rooms has megabytes.
const LARGE_PACKET: usize = 64 << 10;

/// The bytes that have arrived.
#[derive(Debug)]
pub struct PacketReader {
    pub arrived: BytesMut,
    /// A larger packet ends the connection, in bytes.
    largest: u32,
}

impl PacketReader {
    /// Takes packets up to this size, in bytes.
    pub fn new(largest: u32) -> Self {
        Self {
            arrived: BytesMut::new(),
            largest,
        }
    }

    /// The next whole packet, if it has arrived.
    ///
    /// # Errors
    /// The bytes are no packet, or the packet is a DISCONNECT.
    pub fn next(&mut self) -> Result<Option<BrokerPacket>, ConnectionLost> {
        if let Some((&DISCONNECT, rest)) = self.arrived.split_first() {
            return disconnect(rest).map_or(Ok(None), Err);
        }
        let header = match check(self.arrived.iter(), Some(self.largest)) {
            Ok(header) => header,
            Err(MalformedPacket::InsufficientBytes(missing)) => {
                self.arrived.reserve(missing.max(READ_SIZE));
                return Ok(None);
            }
            Err(malformed) => return Err(malformed.into()),
        };
        if self
            .arrived
            .first()
            .is_some_and(|first| first & 0xF0 == AUTH)
        {
            return Err(ConnectionLost::WantsAuthentication);
        }
        let mut take = || body(self.arrived.split_to(header.frame_length()).freeze());
        let packet = match header.packet_type()? {
            PacketType::ConnAck => BrokerPacket::ConnAck(connack(take())?),
            PacketType::PubAck | PacketType::PubRec | PacketType::PubComp => {
                BrokerPacket::PubAck(puback(take())?)
            }
            PacketType::PubRel => BrokerPacket::PubRel(puback(take())?.packet_id),
            PacketType::SubAck => BrokerPacket::SubAck(suback(take())?),
            // Nothing waits for it: what still comes of that filter is passed over.
            PacketType::UnsubAck => {
                take();
                BrokerPacket::Other
            }
            _ => match Packet::read(&mut self.arrived, Some(self.largest))? {
                Packet::Publish(publish) => BrokerPacket::Publish(publish),
                Packet::PingResp(_) => BrokerPacket::PingResp,
                _ => BrokerPacket::Other,
            },
        };
        if header.frame_length() > LARGE_PACKET {
            self.arrived = BytesMut::from(&self.arrived[..]);
        }
        Ok(Some(packet))
    }
}

/// A whole packet without its fixed header: the first byte and the length, which `check` has read.
fn body(mut packet: Bytes) -> Bytes {
    let length = packet.iter().skip(1).position(|byte| byte & 0x80 == 0);
    packet.split_off(length.map_or(packet.len(), |position| position + 2))
}

/// A CONNACK of two bytes is one of MQTT 3.1.1, whatever it says; its codes become those of MQTT 5.
fn connack(mut body: Bytes) -> Result<ConnAck, MalformedPacket> {
    if body.len() < 2 {
        return Err(MalformedPacket::MalformedPacket);
    }
    let (is_resumed, code) = (body[0] & 1 != 0, ReasonCode(body[1]));
    body.advance(2);
    let reason = match code.0 {
        0 if body.is_empty() => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        1 => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        2 => ReasonCode::CLIENT_ID_NOT_VALID,
        3 => ReasonCode::SERVER_UNAVAILABLE,
        4 => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        5 => ReasonCode::NOT_AUTHORIZED,
        _ => code,
    };
    let properties = match ConnAckProperties::read(&mut body) {
        Ok(properties) => properties,
        // A refusal is one, whatever follows it.
        Err(_) if reason.0 != 0 => None,
        Err(malformed) => return Err(malformed),
    };
    Ok(ConnAck {
        reason,
        is_resumed,
        properties,
    })
}

/// Without a reason it says success (section 3.4.2.1). Properties that cannot be read are passed over.
fn puback(mut body: Bytes) -> Result<PubAck, MalformedPacket> {
    let packet_id = body
        .try_get_u16()
        .map_err(|_| MalformedPacket::MalformedPacket)?;
    let reason = ReasonCode(body.try_get_u8().unwrap_or_default());
    let length = variable_integer(&mut body).unwrap_or_default();
    body.truncate(length);
    Ok(PubAck {
        packet_id,
        reason,
        words: BrokerWords::of_properties(body),
    })
}

fn suback(mut body: Bytes) -> Result<SubAck, MalformedPacket> {
    let malformed = || MalformedPacket::MalformedPacket;
    let packet_id = body.try_get_u16().map_err(|_| malformed())?;
    let properties = variable_integer(&mut body).ok_or_else(malformed)?;
    if properties > body.len() {
        return Err(malformed());
    }
    let words = BrokerWords::of_properties(body.split_to(properties));
    Ok(SubAck {
        packet_id,
        words,
        reasons: body.iter().copied().map(ReasonCode).collect(),
    })
}

/// A length in seven bits a byte, of four bytes at most (section 1.5.5).
fn variable_integer(bytes: &mut Bytes) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = bytes.try_get_u8().ok()?;
        value |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Reads a DISCONNECT after its first byte; `None` if its reason has not arrived yet. Its short
/// forms leave out the properties, or the reason too (section 3.14.2).
fn disconnect(rest: &[u8]) -> Option<ConnectionLost> {
    let length = rest.iter().position(|byte| byte & 0x80 == 0)?;
    if rest[..=length] == [0] {
        return Some(ConnectionLost::Disconnected {
            reason: ReasonCode(0),
            server: None,
            words: BrokerWords::default(),
        });
    }
    let (reason, properties) = rest[length + 1..].split_first()?;
    let properties = DisconnectProperties::extract(&mut Bytes::copy_from_slice(properties));
    let properties = properties.ok().flatten();
    let words = properties
        .as_ref()
        .and_then(|it| it.reason_string.as_deref());
    Some(ConnectionLost::Disconnected {
        reason: ReasonCode(*reason),
        words: BrokerWords::new(words),
        server: properties.and_then(|properties| properties.server_reference),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<BrokerPacket>, ConnectionLost> {
        let mut reader = PacketReader::new(2 << 20);
        reader.arrived.extend_from_slice(bytes);
        reader.next()
    }

    #[test]
    fn the_reason_of_a_disconnect_is_understood_in_every_form() {
        let reason = |rest: &[u8]| disconnect(rest).map(|lost| lost.to_string());
        let taken_over = "another client has connected with the same client id (mqtt.client_id; in a cluster cluster.name)";
        assert_eq!(reason(&[]), None);
        assert_eq!(reason(&[1]), None);
        assert_eq!(reason(&[0]).unwrap(), "the broker ended the connection");
        assert_eq!(reason(&[1, 0x8E]).unwrap(), taken_over);
        assert_eq!(reason(&[0x80, 0x02, 0x8E, 0]).unwrap(), taken_over);
        assert_eq!(reason(&[0x80]), None);
        assert_eq!(
            reason(&[1, 0x77]).unwrap(),
            "the broker ended the connection (reason code 119, which MQTT 5 does not define)"
        );
        let moved = reason(b"\x06\x9D\x04\x1C\x00\x01b").unwrap();
        assert!(moved.contains("has moved to b"), "{moved}");
        assert_eq!(
            reason(b"\x08\x98\x06\x1F\x00\x03now").unwrap(),
            "the broker ended the connection (administrative action, reason code 152): \"now\""
        );
    }

    #[test]
    fn a_buffer_that_was_made_for_a_large_packet_is_given_back() {
        let mut reader = PacketReader::new(2 << 20);
        let topic = b"\0\x01t\0";
        let payload = vec![b'x'; 1 << 20];
        reader.arrived.extend_from_slice(&[0x30, 0x84, 0x80, 0x40]);
        reader.arrived.extend_from_slice(topic);
        reader.arrived.extend_from_slice(&payload);
        reader.arrived.extend_from_slice(&[0xD0, 0]);
        let Ok(Some(BrokerPacket::Publish(publish))) = reader.next() else {
            panic!("no publish");
        };
        assert_eq!(publish.payload, payload);
        drop(publish);
        assert!(matches!(reader.next(), Ok(Some(BrokerPacket::PingResp))));
        assert!(matches!(reader.next(), Ok(None)));
        assert!(reader.arrived.capacity() < LARGE_PACKET);
    }

    #[test]
    fn a_packet_over_the_limit_is_an_error_before_it_has_arrived() {
        // A PUBLISH of 2^28 - 1 bytes.
        let large = read(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
        assert!(matches!(large, Err(ConnectionLost::Malformed(_))));
    }

    #[test]
    fn every_reason_code_of_an_acknowledgement_is_read() {
        for code in 0..=u8::MAX {
            for bytes in [
                vec![0x40, 3, 0, 7, code],
                vec![0x40, 4, 0, 7, code, 0],
                vec![0x40, 8, 0, 7, code, 4, 0x1F, 0, 1, b'x'],
                vec![0x50, 3, 0, 7, code],
            ] {
                let Ok(Some(BrokerPacket::PubAck(ack))) = read(&bytes) else {
                    panic!("{bytes:?}");
                };
                assert_eq!((ack.packet_id, ack.reason), (7, ReasonCode(code)));
                let has_words = bytes.len() == 10;
                assert_eq!(ack.words.to_string().is_empty(), !has_words, "{bytes:?}");
            }
            let suback = [0x90, 9, 0, 7, 4, 0x1F, 0, 1, b'x', 1, code];
            let Ok(Some(BrokerPacket::SubAck(ack))) = read(&suback) else {
                panic!("{code}");
            };
            assert_eq!(ack.packet_id, 7);
            assert_eq!(ack.reasons, [ReasonCode(1), ReasonCode(code)]);
            let unsuback = read(&[0xB0, 4, 0, 7, 0, code]);
            assert!(matches!(unsuback, Ok(Some(BrokerPacket::Other))));
        }
        let Ok(Some(BrokerPacket::PubAck(ack))) = read(&[0x40, 2, 0, 7]) else {
            panic!("without a reason");
        };
        assert_eq!(ack.reason, ReasonCode(0));
    }

    #[test]
    fn a_connack_of_mqtt_3_is_told_by_its_length() {
        for (bytes, expected) in [
            (&[0x20, 2, 0, 0][..], 0x84),
            (&[0x20, 2, 0, 1], 0x84),
            (&[0x20, 2, 0, 2], 0x85),
            (&[0x20, 2, 0, 3], 0x88),
            (&[0x20, 2, 0, 4], 0x86),
            (&[0x20, 2, 0, 5], 0x87),
            (&[0x20, 2, 0, 0x86], 0x86),
            (&[0x20, 2, 0, 0xC3], 0xC3),
            (&[0x20, 3, 0, 1, 0], 0x84),
            (&[0x20, 3, 0, 0, 0], 0),
            (&[0x20, 6, 0, 0, 3, 0x13, 0, 1], 0),
            (&[0x20, 6, 0, 0x95, 3, 0x77, 0, 1], 0x95),
        ] {
            let Ok(Some(BrokerPacket::ConnAck(ack))) = read(bytes) else {
                panic!("{bytes:?}");
            };
            assert_eq!(ack.reason, ReasonCode(expected), "{bytes:?}");
            assert!(!ack.is_resumed);
        }
        let Ok(Some(BrokerPacket::ConnAck(ack))) = read(&[0x20, 3, 1, 0, 0]) else {
            panic!("with Session Present");
        };
        assert!(ack.is_resumed);
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        for bytes in [
            &[0x20, 1, 0][..],
            &[0x20, 0],
            &[0x40, 0],
            &[0x40, 1, 7],
            &[0x90, 2, 0, 7],
            &[0x90, 4, 0, 7, 0x80, 0x80],
            &[0x90, 4, 0, 7, 9, 1],
        ] {
            let read = read(bytes);
            assert!(
                matches!(read, Err(ConnectionLost::Malformed(_))),
                "{bytes:?}"
            );
        }
        let auth = read(&[0xF0, 2, 0x18, 0]);
        assert!(matches!(auth, Err(ConnectionLost::WantsAuthentication)));
    }
}
