//! What the library writes and MQTT forbids: its own user properties in others' messages, packets
//! larger than the client takes, and MQTT 5 for a client of MQTT 3.1.1.
//!
//! Pure. A payload is never copied.

use super::frames::{FieldReader, Frame, Malformed, kind, packet, put_variable_integer};
use super::properties::USER_PROPERTY;

/// The library adds the sender's user and client id to each message. Other clients must not learn
/// them, and MQTT forbids to add properties (MQTT 5, 3.3.2.3.7).
const LIBRARYS_PROPERTIES: [&[u8]; 2] = [b"x-mqtt-sender", b"x-mqtt-client-id"];
/// The reason code of an acknowledgement without success: "implementation specific error".
const NOT_SENT: u8 = 0x83;

/// What is sent instead of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Correction {
    /// The packet's first bytes are replaced. The rest is right.
    Replace {
        /// How many bytes are replaced.
        replaced: usize,
        /// What is sent in their place.
        with: Vec<u8>,
    },
    /// Nothing is sent. The library gets this answer as if it came from the client.
    Drop(Vec<u8>),
}

impl Correction {
    /// All of the packet is replaced.
    pub fn whole(frame: &Frame, with: Vec<u8>) -> Self {
        Self::Replace {
            replaced: frame.length(),
            with,
        }
    }
}

/// Corrects a packet of the library to a client of this version. Only CONNACK is left as it is.
/// `maximum` is the largest packet that the client takes.
pub fn correct(
    is_mqtt_5: bool,
    maximum: Option<u32>,
    frame: &Frame,
    bytes: &[u8],
) -> Option<Correction> {
    if !is_mqtt_5 {
        return correct_for_311(frame, bytes);
    }
    let fits = |length: usize| maximum.is_none_or(|maximum| length <= maximum as usize);
    match frame.kind {
        kind::PUBLISH => correct_publish(frame, bytes, fits).unwrap_or_default(),
        _ if fits(frame.length()) => None,
        kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP => {
            let body = frame.body_in(bytes);
            let short = &body[..body.len().min(3)];
            Some(Correction::whole(
                frame,
                packet(frame.kind, frame.flags, short),
            ))
        }
        kind::SUBACK | kind::UNSUBACK => {
            let short = without_properties(frame.body_in(bytes)).ok()?;
            Some(Correction::whole(
                frame,
                packet(frame.kind, frame.flags, &short),
            ))
        }
        _ => None,
    }
}

/// MQTT 3.1.1 has no reasons in acknowledgements, and no DISCONNECT from a server.
fn correct_for_311(frame: &Frame, bytes: &[u8]) -> Option<Correction> {
    match frame.kind {
        kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP if frame.body > 2 => {
            let identifier = frame.body_in(bytes).get(..2)?;
            Some(Correction::whole(
                frame,
                packet(frame.kind, frame.flags, identifier),
            ))
        }
        kind::DISCONNECT | kind::AUTH => Some(Correction::Drop(Vec::new())),
        _ => None,
    }
}

/// An identifier and what comes after the properties.
fn without_properties(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = FieldReader(body);
    let identifier = reader.take(2)?;
    reader.properties()?;
    Ok([identifier, &[0], reader.0].concat())
}

fn correct_publish(
    frame: &Frame,
    bytes: &[u8],
    fits: impl Fn(usize) -> bool,
) -> Result<Option<Correction>, Malformed> {
    let body = frame.body_in(bytes);
    let mut reader = FieldReader(body);
    reader.binary()?;
    let qos = frame.flags >> 1 & 3;
    let identifier = if qos > 0 { reader.take(2)? } else { &[] };
    let before = &body[..body.len() - reader.0.len()];
    let mut properties = reader.properties()?;
    let head = body.len() - reader.0.len();
    let all = properties.0;
    let mut kept = Vec::with_capacity(all.len());
    while !properties.0.is_empty() {
        let start = properties.0;
        let mut property = properties.property()?;
        let is_librarys = property.identifier == USER_PROPERTY
            && LIBRARYS_PROPERTIES.contains(&property.value.binary()?);
        if !is_librarys {
            kept.extend_from_slice(&start[..start.len() - properties.0.len()]);
        }
    }
    let mut new_head = before.to_vec();
    put_variable_integer(&mut new_head, kept.len());
    new_head.extend_from_slice(&kept);
    let mut with = vec![bytes[0]];
    put_variable_integer(&mut with, new_head.len() + frame.body - head);
    with.extend_from_slice(&new_head);
    if !fits(with.len() + frame.body - head) {
        return Ok(Some(Correction::Drop(not_sent(qos, identifier))));
    }
    let replace = Correction::Replace {
        replaced: frame.header + head,
        with,
    };
    Ok((kept.len() < all.len()).then_some(replace))
}

/// MQTT 5, 3.1.2.11.4: a message that is too large for the client counts as sent. The
/// acknowledgement that the library waits for; a refused PUBREC ends the exchange of QoS 2.
pub fn not_sent(qos: u8, identifier: &[u8]) -> Vec<u8> {
    match qos {
        0 => Vec::new(),
        1 => packet(kind::PUBACK, 0, identifier),
        _ => packet(kind::PUBREC, 0, &[identifier, &[NOT_SENT]].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_property(key: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
        [vec![0x26], text(key), text(value)].concat()
    }

    fn publish(flags: u8, identifier: &[u8], properties: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut body = [&[0, 1, b't'], identifier].concat();
        put_variable_integer(&mut body, properties.len());
        packet(kind::PUBLISH, flags, &[&body, properties, payload].concat())
    }

    /// What the client gets; `Err` with what the library gets if that is nothing.
    fn sent(is_mqtt_5: bool, maximum: Option<u32>, bytes: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        let frame = Frame::at(bytes).unwrap().unwrap();
        match correct(is_mqtt_5, maximum, &frame, bytes) {
            None => Ok(bytes.to_vec()),
            Some(Correction::Replace { replaced, with }) => {
                Ok([with, bytes[replaced..].to_vec()].concat())
            }
            Some(Correction::Drop(answer)) => Err(answer),
        }
    }

    #[test]
    fn the_librarys_properties_are_taken_off_and_the_senders_stay() {
        let own = [
            user_property("a", "1"),
            vec![0x02, 0, 0, 0, 9],
            user_property("a", "2"),
        ];
        let sender = user_property("x-mqtt-sender", "panel");
        let client = user_property("x-mqtt-client-id", &"long".repeat(50));
        let (own, all) = (own.concat(), [&own[0], &sender, &own[1], &client, &own[2]]);
        let all: Vec<u8> = all.into_iter().flatten().copied().collect();
        for (flags, identifier) in [(1, &[][..]), (0b1010, &[0, 7]), (0b0100, &[1, 0])] {
            let right = publish(flags, identifier, &own, b"payload");
            let librarys = publish(flags, identifier, &all, b"payload");
            assert_eq!(sent(true, None, &librarys).unwrap(), right);
            let frame = Frame::at(&right).unwrap().unwrap();
            assert_eq!(correct(true, None, &frame, &right), None);
        }
    }

    #[test]
    fn what_is_too_large_counts_as_sent() {
        let librarys = user_property("x-mqtt-client-id", "another");
        for (flags, identifier, answer) in [
            (0, &[][..], &[][..]),
            (0b0010, &[0, 7], &[0x40, 2, 0, 7]),
            (0b0100, &[0, 7], &[0x50, 3, 0, 7, 0x83]),
        ] {
            let right = publish(flags, identifier, &[], b"payload");
            let written = publish(flags, identifier, &librarys, b"payload");
            let length = right.len() as u32;
            assert_eq!(sent(true, Some(length), &written).unwrap(), right);
            assert_eq!(sent(true, Some(length - 1), &written).unwrap_err(), answer);
        }
    }

    #[test]
    fn reasons_are_left_out_where_they_do_not_fit() {
        let reason = [7, 0x1F, 0, 4, b'f', b'u', b'l', b'l'];
        let puback = packet(kind::PUBACK, 0, &[&[0, 1, 0x97], &reason[..]].concat());
        assert_eq!(
            sent(true, Some(12), &puback).unwrap(),
            [0x40, 3, 0, 1, 0x97]
        );
        assert_eq!(sent(true, Some(13), &puback).unwrap(), puback);
        let suback = packet(
            kind::SUBACK,
            0,
            &[&[0, 1], &reason[..], &[0, 0x97]].concat(),
        );
        assert_eq!(
            sent(true, Some(9), &suback).unwrap(),
            [0x90, 5, 0, 1, 0, 0, 0x97]
        );
    }

    #[test]
    fn mqtt_311_gets_no_reasons_and_no_disconnect() {
        let puback = packet(kind::PUBACK, 0, &[0, 1, 0x87, 0]);
        assert_eq!(sent(false, None, &puback).unwrap(), [0x40, 2, 0, 1]);
        let pubcomp = packet(kind::PUBCOMP, 0, &[0, 1, 0x92, 0]);
        assert_eq!(sent(false, None, &pubcomp).unwrap(), [0x70, 2, 0, 1]);
        let pubrel = packet(kind::PUBREL, 2, &[0, 1]);
        assert_eq!(sent(false, None, &pubrel).unwrap(), pubrel);
        let disconnect = packet(kind::DISCONNECT, 0, &[0x8E]);
        assert!(sent(false, None, &disconnect).unwrap_err().is_empty());
        assert_eq!(sent(true, None, &disconnect).unwrap(), disconnect);
    }
}
