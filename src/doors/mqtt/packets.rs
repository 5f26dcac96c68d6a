//! Bytes from the broker become packets.
//!
//! The form of packets is the library's (`rumqttc::v5::mqttbytes`), except for the short forms of
//! DISCONNECT, which the library does not read. Owns the bytes that have arrived and are not a whole
//! packet yet. Whatever a broker sends gives packets or an error, never a panic.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error as MalformedPacket;
use rumqttc::v5::mqttbytes::v5::Packet;

use super::error::ConnectionLost;
use super::settings::LARGEST_PACKET;

/// At least this much is made ready for the next read: a command takes a few hundred bytes.
const READ_SIZE: usize = 4 << 10;
/// The first byte of a DISCONNECT, MQTT 5 section 3.14.
const DISCONNECT: u8 = 0xE0;

/// The bytes that have arrived.
#[derive(Debug, Default)]
pub struct PacketReader {
    pub arrived: BytesMut,
}

impl PacketReader {
    /// The next whole packet, if it has arrived.
    ///
    /// # Errors
    /// The bytes are no packet, or the packet is a DISCONNECT.
    pub fn next(&mut self) -> Result<Option<Packet>, ConnectionLost> {
        if let Some((&DISCONNECT, rest)) = self.arrived.split_first() {
            return disconnect(rest).map_or(Ok(None), Err);
        }
        match Packet::read(&mut self.arrived, Some(LARGEST_PACKET)) {
            Ok(packet) => Ok(Some(packet)),
            Err(MalformedPacket::InsufficientBytes(missing)) => {
                self.arrived.reserve(missing.max(READ_SIZE));
                Ok(None)
            }
            Err(malformed) => Err(malformed.into()),
        }
    }
}

/// Reads a DISCONNECT after its first byte; `None` if its reason has not arrived yet. Its short
/// forms leave out the properties, or the reason too (MQTT 5 section 3.14.2).
fn disconnect(rest: &[u8]) -> Option<ConnectionLost> {
    let length = rest.iter().position(|byte| byte & 0x80 == 0)?;
    match rest[..=length] {
        [0] => Some(ConnectionLost::Disconnected(None)),
        _ => {
            let reason = *rest.get(length + 1)?;
            Some(ConnectionLost::Disconnected(reason.try_into().ok()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_disconnect_is_understood_in_every_form() {
        let reason = |rest: &[u8]| disconnect(rest).map(|lost| lost.to_string());
        let taken_over = "another client has connected with the same client id (mqtt.client_id)";
        assert_eq!(reason(&[]), None);
        assert_eq!(reason(&[1]), None);
        assert_eq!(reason(&[0]).unwrap(), "the broker ended the connection");
        assert_eq!(reason(&[1, 0x8E]).unwrap(), taken_over);
        assert_eq!(reason(&[0x80, 0x02, 0x8E, 0]).unwrap(), taken_over);
        assert_eq!(reason(&[0x80]), None);
        assert_eq!(
            reason(&[1, 0x77]).unwrap(),
            "the broker ended the connection"
        );
    }

    #[test]
    fn a_packet_over_the_limit_is_an_error_before_it_has_arrived() {
        let mut reader = PacketReader::default();
        // A PUBLISH of 2^28 - 1 bytes.
        reader
            .arrived
            .extend_from_slice(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
        assert!(matches!(reader.next(), Err(ConnectionLost::Malformed(_))));
    }
}
