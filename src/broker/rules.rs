//! What MQTT requires of a client's packets after CONNECT. The library takes many packets that the
//! standard forbids, and says nothing when it closes a connection.
//!
//! Pure. `properties` knows the properties of MQTT 5. Who may do what is for `rights`.

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::answers::Denial;
use super::frames::{FieldReader, Frame, kind};
use super::properties::{self, MALFORMED, PropertiesOf, check_text};
use crate::topics::{SHARE, check_wildcards, split_shared};

/// Reason codes that a client may put into PUBACK and PUBREC (MQTT 5, 3.4.2.1).
const PUBACK_CODES: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
/// Reason codes of PUBREL and PUBCOMP (MQTT 5, 3.6.2.1).
const PUBREL_CODES: &[u8] = &[0x00, 0x92];
/// Reason codes that a client may put into DISCONNECT (MQTT 5, 3.14.2.1).
const DISCONNECT_CODES: &[u8] = &[
    0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
];

const fn forbidden(reason: &'static str) -> Denial {
    Denial::new(ReasonCode::ProtocolError, reason)
}

const NO_PACKET_ID: Denial = forbidden("a packet identifier must not be 0");
const NO_TOPIC: Denial = forbidden("a topic must not be empty");
const WILDCARD: Denial = forbidden("a topic to publish to must not have wildcards");
const NO_FILTER: Denial = forbidden("there must be a topic filter");
const SHARED_NO_LOCAL: Denial = forbidden("a shared subscription must not have No Local");
const SECOND_CONNECT: Denial = forbidden("CONNECT may be sent once");
const NO_AUTHENTICATION: Denial = forbidden("AUTH needs an Authentication Method in CONNECT");
const SERVERS_PACKET: Denial = forbidden("only a server sends this packet");

const BAD_FILTER: Denial = Denial::new(
    ReasonCode::TopicFilterInvalid,
    "a topic filter is empty, or has a wildcard where none may be",
);
const BAD_GROUP: Denial = Denial::new(
    ReasonCode::TopicFilterInvalid,
    "a shared subscription is $share/GROUP/FILTER",
);

/// Checks a packet. Its body is all there, except for the payload of PUBLISH.
///
/// # Errors
/// The connection must be closed (MQTT 5, 4.13). The denial says why.
pub fn check_packet(is_mqtt_5: bool, frame: &Frame, body: &[u8]) -> Result<(), Denial> {
    let mut reader = FieldReader(body);
    if frame.kind != kind::PUBLISH && frame.flags != required_flags(frame.kind) {
        return Err(MALFORMED);
    }
    match frame.kind {
        kind::PUBLISH => return check_publish(is_mqtt_5, frame.flags, reader),
        kind::PUBACK | kind::PUBREC => check_acknowledgement(is_mqtt_5, &mut reader, PUBACK_CODES)?,
        kind::PUBREL | kind::PUBCOMP => {
            check_acknowledgement(is_mqtt_5, &mut reader, PUBREL_CODES)?
        }
        kind::SUBSCRIBE => check_subscribe(is_mqtt_5, &mut reader)?,
        kind::UNSUBSCRIBE => check_unsubscribe(is_mqtt_5, &mut reader)?,
        kind::PINGREQ => {}
        kind::DISCONNECT if is_mqtt_5 => {
            check_reason(&mut reader, DISCONNECT_CODES, PropertiesOf::Disconnect)?
        }
        kind::DISCONNECT => {}
        kind::CONNECT => return Err(SECOND_CONNECT),
        kind::AUTH if is_mqtt_5 => return Err(NO_AUTHENTICATION),
        kind::CONNACK | kind::SUBACK | kind::UNSUBACK | kind::PINGRESP => {
            return Err(SERVERS_PACKET);
        }
        _ => return Err(MALFORMED),
    }
    if reader.0.is_empty() {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

/// MQTT 5, 2.1.3: the lower half of the first byte.
fn required_flags(packet: u8) -> u8 {
    match packet {
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 0b0010,
        _ => 0,
    }
}

/// MQTT 5, 3.3. The payload is not looked at: 3.3.2.3.2 leaves it to the server whether to check it.
fn check_publish(is_mqtt_5: bool, flags: u8, mut reader: FieldReader<'_>) -> Result<(), Denial> {
    let (duplicate, qos) = (flags & 0b1000 != 0, flags >> 1 & 3);
    if qos == 3 || (duplicate && qos == 0) {
        return Err(MALFORMED);
    }
    let topic = check_text(reader.binary()?)?;
    if topic.contains(['+', '#']) {
        return Err(WILDCARD);
    }
    if qos > 0 {
        check_packet_id(&mut reader)?;
    }
    let mut has_alias = false;
    if is_mqtt_5 {
        let found = properties::check(&mut reader, PropertiesOf::Publish)?;
        has_alias = found.contains(properties::TOPIC_ALIAS);
    }
    if topic.is_empty() && !has_alias {
        return Err(NO_TOPIC);
    }
    Ok(())
}

fn check_packet_id(reader: &mut FieldReader<'_>) -> Result<(), Denial> {
    match reader.two_bytes()? {
        0 => Err(NO_PACKET_ID),
        _ => Ok(()),
    }
}

fn check_acknowledgement(
    is_mqtt_5: bool,
    reader: &mut FieldReader<'_>,
    codes: &[u8],
) -> Result<(), Denial> {
    check_packet_id(reader)?;
    if is_mqtt_5 {
        check_reason(reader, codes, PropertiesOf::Acknowledgement)?;
    }
    Ok(())
}

/// A reason code and properties. Both may be left out, or the properties alone (MQTT 5, 3.4.2.1).
fn check_reason(
    reader: &mut FieldReader<'_>,
    codes: &[u8],
    owner: PropertiesOf,
) -> Result<(), Denial> {
    if reader.0.is_empty() {
        return Ok(());
    }
    if !codes.contains(&reader.byte()?) {
        return Err(MALFORMED);
    }
    if !reader.0.is_empty() {
        properties::check(reader, owner)?;
    }
    Ok(())
}

/// MQTT 5, 3.8. [`check_filter`] is for filters that are refused in SUBACK.
fn check_subscribe(is_mqtt_5: bool, reader: &mut FieldReader<'_>) -> Result<(), Denial> {
    check_packet_id(reader)?;
    if is_mqtt_5 {
        properties::check(reader, PropertiesOf::Subscribe)?;
    }
    if reader.0.is_empty() {
        return Err(NO_FILTER);
    }
    while !reader.0.is_empty() {
        let filter = check_text(reader.binary()?)?;
        let options = reader.byte()?;
        let (qos, no_local, retain_handling) = (options & 3, options & 4 != 0, options >> 4 & 3);
        let reserved = if is_mqtt_5 { 0xC0 } else { 0xFC };
        if options & reserved != 0 || qos == 3 || retain_handling == 3 {
            return Err(MALFORMED);
        }
        if no_local && filter.starts_with(SHARE) {
            return Err(SHARED_NO_LOCAL);
        }
    }
    Ok(())
}

/// MQTT 5, 3.10.
fn check_unsubscribe(is_mqtt_5: bool, reader: &mut FieldReader<'_>) -> Result<(), Denial> {
    check_packet_id(reader)?;
    if is_mqtt_5 {
        properties::check(reader, PropertiesOf::Unsubscribe)?;
    }
    if reader.0.is_empty() {
        return Err(NO_FILTER);
    }
    while !reader.0.is_empty() {
        check_text(reader.binary()?)?;
    }
    Ok(())
}

/// Checks a filter of SUBSCRIBE (MQTT 5, 4.7.1 and 4.8.2).
///
/// # Errors
/// It is refused in SUBACK. The connection stays.
pub fn check_filter(filter: &str) -> Result<(), Denial> {
    let inner = match split_shared(filter) {
        Some((group, inner)) if !group.is_empty() && !group.contains(['+', '#']) => inner,
        None if !filter.starts_with(SHARE) => filter,
        _ => return Err(BAD_GROUP),
    };
    match check_wildcards(inner) {
        Ok(()) if !inner.is_empty() => Ok(()),
        _ => Err(BAD_FILTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::frames::packet;

    const MALFORMED_CODE: u8 = 0x81;
    const PROTOCOL_ERROR: u8 = 0x82;
    const ALIAS_INVALID: u8 = 0x94;

    /// The code of the denial; 0 if there is none.
    fn code(is_mqtt_5: bool, bytes: &[u8]) -> u8 {
        let frame = Frame::at(bytes).unwrap().unwrap();
        match check_packet(is_mqtt_5, &frame, frame.body_in(bytes)) {
            Ok(()) => 0,
            Err(denial) => denial.code.into(),
        }
    }

    fn text(text: &[u8]) -> Vec<u8> {
        [&(text.len() as u16).to_be_bytes(), text].concat()
    }

    /// PUBLISH to a topic with these flags, packet identifier and properties.
    fn publish(flags: u8, topic: &[u8], id: &[u8], properties: Option<&[u8]>) -> Vec<u8> {
        let mut body = [&text(topic), id].concat();
        if let Some(properties) = properties {
            body.push(properties.len() as u8);
            body.extend_from_slice(properties);
        }
        body.push(b'x');
        packet(kind::PUBLISH, flags, &body)
    }

    fn subscribe(is_mqtt_5: bool, filter: &[u8], options: u8) -> Vec<u8> {
        let properties: &[u8] = if is_mqtt_5 { &[0] } else { &[] };
        packet(
            kind::SUBSCRIBE,
            2,
            &[&[0, 1], properties, &text(filter), &[options]].concat(),
        )
    }

    #[test]
    fn both_versions_refuse_what_both_forbid() {
        for v5 in [false, true] {
            let none: Option<&[u8]> = v5.then_some(&[]);
            for (bytes, expected) in [
                (publish(0, b"t", &[], none), 0),
                (publish(0b1010, b"t", &[0, 1], none), 0),
                (publish(0b0010, b"t", &[0, 0], none), PROTOCOL_ERROR),
                (publish(0b0100, b"t", &[0, 0], none), PROTOCOL_ERROR),
                (publish(0b0110, b"t", &[0, 1], none), MALFORMED_CODE),
                (publish(0b1000, b"t", &[], none), MALFORMED_CODE),
                (publish(0, b"t/#", &[], none), PROTOCOL_ERROR),
                (publish(0, b"", &[], none), PROTOCOL_ERROR),
                (publish(0, b"a\0", &[], none), MALFORMED_CODE),
                (publish(0, b"a\xFF", &[], none), MALFORMED_CODE),
                (publish(0, b"a\xED\xA0\x80", &[], none), MALFORMED_CODE),
                (packet(kind::PUBLISH, 2, &[0, 9, b't']), MALFORMED_CODE),
                (packet(kind::PUBACK, 0, &[0, 1]), 0),
                (packet(kind::PUBACK, 0, &[0, 0]), PROTOCOL_ERROR),
                (packet(kind::PUBACK, 2, &[0, 1]), MALFORMED_CODE),
                (packet(kind::PUBREL, 2, &[0, 1]), 0),
                (packet(kind::PUBREL, 0, &[0, 1]), MALFORMED_CODE),
                (packet(kind::PUBCOMP, 0, &[0]), MALFORMED_CODE),
                (subscribe(v5, b"a/+", 2), 0),
                (subscribe(v5, b"a/+", 3), MALFORMED_CODE),
                (subscribe(v5, b"a/+", 0x30), MALFORMED_CODE),
                (subscribe(v5, b"a/+", 0x40), MALFORMED_CODE),
                (subscribe(v5, b"a\0", 0), MALFORMED_CODE),
                (
                    packet(kind::SUBSCRIBE, 2, &[0, 1, 0]),
                    if v5 { PROTOCOL_ERROR } else { MALFORMED_CODE },
                ),
                (packet(kind::SUBSCRIBE, 2, &[0, 0, 0]), PROTOCOL_ERROR),
                (packet(kind::SUBSCRIBE, 0, &[0, 1, 0]), MALFORMED_CODE),
                (packet(kind::UNSUBSCRIBE, 2, &[0, 0, 0]), PROTOCOL_ERROR),
                (packet(kind::PINGREQ, 0, &[]), 0),
                (packet(kind::PINGREQ, 1, &[]), MALFORMED_CODE),
                (packet(kind::PINGREQ, 0, &[0]), MALFORMED_CODE),
                (packet(kind::DISCONNECT, 0, &[]), 0),
                (packet(kind::CONNECT, 0, &[0]), PROTOCOL_ERROR),
                (packet(kind::SUBACK, 0, &[0, 1, 0]), PROTOCOL_ERROR),
                (packet(0, 0, &[]), MALFORMED_CODE),
            ] {
                assert_eq!(code(v5, &bytes), expected, "MQTT 5: {v5}, {bytes:02x?}");
            }
        }
    }

    #[test]
    fn the_versions_differ_in_options_reasons_and_auth() {
        let no_local = subscribe(true, b"a", 0b0010_1100);
        assert_eq!(code(true, &no_local), 0);
        assert_eq!(
            code(false, &subscribe(false, b"a", 0b0000_0100)),
            MALFORMED_CODE
        );
        assert_eq!(
            code(true, &subscribe(true, b"$share/g/a", 4)),
            PROTOCOL_ERROR
        );
        for (body, version_5, version_311) in [
            (&[0, 1, 0x10][..], 0, MALFORMED_CODE),
            (&[0, 1, 0x10, 0], 0, MALFORMED_CODE),
            (&[0, 1, 0x05], MALFORMED_CODE, MALFORMED_CODE),
            (&[0, 1, 0, 0, 0], MALFORMED_CODE, MALFORMED_CODE),
            (&[0, 1, 0, 3, 0x23, 0, 1], MALFORMED_CODE, MALFORMED_CODE),
        ] {
            let bytes = packet(kind::PUBACK, 0, body);
            assert_eq!(code(true, &bytes), version_5, "{body:02x?}");
            assert_eq!(code(false, &bytes), version_311, "{body:02x?}");
        }
        let disconnect = packet(kind::DISCONNECT, 0, &[0x04, 5, 0x11, 0, 0, 0, 9]);
        assert_eq!(
            (code(true, &disconnect), code(false, &disconnect)),
            (0, MALFORMED_CODE)
        );
        assert_eq!(
            code(true, &packet(kind::DISCONNECT, 0, &[0x05])),
            MALFORMED_CODE
        );
        let auth = packet(kind::AUTH, 0, &[]);
        assert_eq!(
            (code(true, &auth), code(false, &auth)),
            (PROTOCOL_ERROR, MALFORMED_CODE)
        );
    }

    #[test]
    fn properties_of_a_message() {
        for (properties, expected) in [
            (&[0x23, 0, 1][..], 0),
            (&[0x23, 0, 0], ALIAS_INVALID),
            (&[0x0B, 1], PROTOCOL_ERROR),
            (&[0x08, 0, 1, b'#'], PROTOCOL_ERROR),
        ] {
            let bytes = publish(0, b"t", &[], Some(properties));
            assert_eq!(code(true, &bytes), expected, "{properties:02x?}");
        }
        assert_eq!(code(true, &publish(0, b"", &[], Some(&[0x23, 0, 1]))), 0);
    }

    #[test]
    fn wildcards_and_groups_have_their_places() {
        for filter in [
            "a",
            "/",
            "+",
            "#",
            "a/+/b",
            "a/#",
            "+/#",
            "$SYS/#",
            "$share/g/#",
            "$share/g//",
        ] {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for filter in [
            "",
            "a+",
            "+a",
            "a/#/b",
            "##",
            "a#",
            "$share/",
            "$share//x",
            "$share/g",
            "$share/g/",
            "$share/+/x",
            "$share/g#/x",
            "$share/g/a+",
        ] {
            assert!(check_filter(filter).is_err(), "{filter}");
        }
    }
}
