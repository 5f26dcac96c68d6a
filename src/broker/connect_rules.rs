//! What MQTT requires of CONNECT. The library takes some of what the standard forbids.
//!
//! Pure. Looks at the form only, never at who the client is.

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::answers::{Denial, MQTT_5};
use super::frames::FieldReader;
use super::properties::{self, MALFORMED, PropertiesOf, check_text};

const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
/// A user is in the CONNECT.
pub const USER: u8 = 0b1000_0000;

const WILL_TOPIC: Denial = Denial::new(
    ReasonCode::TopicNameInvalid,
    "the will's topic must not be empty or have wildcards",
);
const DATA_WITHOUT_METHOD: Denial = Denial::new(
    ReasonCode::ProtocolError,
    "Authentication Data needs an Authentication Method",
);

/// Checks the body of a CONNECT of MQTT 3.1.1 or MQTT 5 (3.1 in both). Returns where the password
/// begins if there is no user before it, which only MQTT 5 allows.
///
/// # Errors
/// The connection must be refused. MQTT 3.1.1 wants it closed without an answer.
pub fn check_connect(body: &[u8]) -> Result<Option<usize>, Denial> {
    let mut reader = FieldReader(body);
    reader.binary()?;
    let is_mqtt_5 = reader.byte()? == MQTT_5;
    let flags = reader.byte()?;
    if !flags_are_right(flags, is_mqtt_5) {
        return Err(MALFORMED);
    }
    // Keep Alive.
    reader.two_bytes()?;
    if is_mqtt_5 {
        let found = properties::check(&mut reader, PropertiesOf::Connect)?;
        if found.contains(properties::AUTHENTICATION_DATA)
            && !found.contains(properties::AUTHENTICATION_METHOD)
        {
            return Err(DATA_WITHOUT_METHOD);
        }
    }
    // The client id.
    check_text(reader.binary()?)?;
    if flags & WILL != 0 {
        if is_mqtt_5 {
            properties::check(&mut reader, PropertiesOf::Will)?;
        }
        let topic = check_text(reader.binary()?)?;
        if topic.is_empty() || topic.contains(['+', '#']) {
            return Err(WILL_TOPIC);
        }
        reader.binary()?;
    }
    if flags & USER != 0 {
        check_text(reader.binary()?)?;
    }
    let password = body.len() - reader.0.len();
    if flags & PASSWORD != 0 {
        reader.binary()?;
    }
    if !reader.0.is_empty() {
        return Err(MALFORMED);
    }
    Ok((flags & (USER | PASSWORD) == PASSWORD).then_some(password))
}

fn flags_are_right(flags: u8, is_mqtt_5: bool) -> bool {
    let has = |bits| flags & bits != 0;
    let reserved = has(1);
    let will = if has(WILL) {
        flags & WILL_QOS != WILL_QOS
    } else {
        !has(WILL_QOS | WILL_RETAIN)
    };
    let password = is_mqtt_5 || has(USER) || !has(PASSWORD);
    !reserved && will && password
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of the denial of a CONNECT with these flags, properties (MQTT 5 only) and payload
    /// after the client id; 0 if there is none.
    fn code(version: u8, flags: u8, properties: &[u8], payload: &[u8]) -> u8 {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', version, flags, 0, 60];
        if version == MQTT_5 {
            body.push(properties.len() as u8);
            body.extend_from_slice(properties);
        }
        body.extend_from_slice(&[0, 1, b'c']);
        body.extend_from_slice(payload);
        match check_connect(&body) {
            Ok(_) => 0,
            Err(denial) => denial.code.into(),
        }
    }

    #[test]
    fn flags_and_fields_belong_together() {
        for (flags, payload, version_311, version_5) in [
            (0b10, &[][..], 0, 0),
            (0b11, &[], 0x81, 0x81),
            (0b0001_0010, &[], 0x81, 0x81),
            (0b0010_0010, &[], 0x81, 0x81),
            (0b0001_1110, &[0, 1, b't', 0, 0], 0x81, 0x81),
            (0b0010_1110, &[0, 1, b't', 0, 1, b'x'], 0, 0x81),
            (0b0010_1110, &[0, 0, 1, b't', 0, 1, b'x'], 0x90, 0),
            (0b1100_0010, &[0, 1, b'u', 0, 1, 0xFF], 0, 0),
            (0b1000_0010, &[0, 1, 0xFF], 0x81, 0x81),
            (0b0100_0010, &[0, 1, b'p'], 0x81, 0),
            (0b10, &[1], 0x81, 0x81),
            (0b1000_0010, &[], 0x81, 0x81),
        ] {
            assert_eq!(
                code(4, flags, &[], payload),
                version_311,
                "{flags:#b} {payload:x?}"
            );
            assert_eq!(
                code(5, flags, &[], payload),
                version_5,
                "{flags:#b} {payload:x?}"
            );
        }
        for topic in [&[0, 0][..], &[0, 3, b't', b'/', b'#'], &[0, 1, b'+']] {
            let payload = [topic, &[0, 0]].concat();
            assert_eq!(code(4, 0b110, &[], &payload), 0x90);
        }
    }

    #[test]
    fn properties_are_checked() {
        for (properties, expected) in [
            (&[0x21, 0, 1][..], 0),
            (&[0x21, 0, 0], 0x82),
            (&[0x16, 0, 0], 0x82),
            (&[0x15, 0, 1, b'm', 0x16, 0, 0], 0),
            (&[0x23, 0, 1], 0x81),
        ] {
            assert_eq!(code(5, 0b10, properties, &[]), expected, "{properties:x?}");
        }
    }
}
