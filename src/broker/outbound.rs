//! What the library writes to a client, corrected where it is not what MQTT says.
//!
//! Pure. A packet that is right is not copied.

use super::corrections::{Correction, correct};
use super::frames::{Frame, Reader, kind, packet, put_variable_integer};
use super::inbound::Inbound;

/// The corrections for one client.
#[derive(Debug, Default)]
pub struct Outbound {
    /// The client speaks MQTT 5.
    pub is_mqtt_5: bool,
    /// The largest packet that it takes.
    pub maximum_packet_size: Option<u32>,
    /// The client id that the gateway chose because the client had none: CONNACK must name it
    /// (MQTT 5, 3.2.2.3.7).
    pub assigned_client_id: Option<String>,
}

/// The message of QoS 2 that this packet sends or releases.
fn delivered(frame: &Frame, bytes: &[u8]) -> Option<u16> {
    let mut reader = Reader(frame.body_in(bytes));
    match frame.kind {
        kind::PUBLISH if frame.flags >> 1 & 3 == 2 => drop(reader.binary().ok()?),
        kind::PUBREL => {}
        _ => return None,
    }
    reader.two_bytes().ok()
}

impl Outbound {
    /// What to send instead of this packet; `None` if it is right. `inbound` knows what the packet
    /// answers.
    pub fn correct(
        &mut self,
        frame: &Frame,
        bytes: &[u8],
        inbound: &mut Inbound,
    ) -> Option<Correction> {
        let instead = match frame.kind {
            kind::CONNACK => self.connack(frame, bytes, inbound),
            kind::SUBACK => inbound.suback(frame, bytes),
            _ => None,
        };
        if let Some(packet) = instead {
            return Some(Correction::whole(frame, packet));
        }
        let correction = correct(self.is_mqtt_5, self.maximum_packet_size, frame, bytes);
        if !matches!(correction, Some(Correction::Drop(_)))
            && let Some(packet_id) = delivered(frame, bytes)
        {
            inbound.delivers(packet_id);
        }
        correction
    }

    fn connack(&mut self, frame: &Frame, bytes: &[u8], inbound: &mut Inbound) -> Option<Vec<u8>> {
        let body = frame.body_in(bytes);
        let mut reader = Reader(body);
        let (flags, code) = (reader.byte().ok()?, reader.byte().ok()?);
        if code == 0 {
            inbound.connected(flags & 1 != 0);
        }
        let client_id = self.assigned_client_id.take().filter(|_| code == 0)?;
        let properties = reader.properties().ok()?.0;
        let length = u16::try_from(client_id.len()).ok()?;
        let mut corrected = vec![flags, code];
        put_variable_integer(&mut corrected, properties.len() + 3 + client_id.len());
        corrected.push(0x12);
        corrected.extend_from_slice(&length.to_be_bytes());
        corrected.extend_from_slice(client_id.as_bytes());
        corrected.extend_from_slice(properties);
        Some(packet(kind::CONNACK, 0, &corrected))
    }
}
