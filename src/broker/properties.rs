//! The properties of MQTT 5 that a client may send: which belong to which packet, how often, and
//! with which values (MQTT 5, 2.2.2.2).
//!
//! Pure.

use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::answers::Denial;
use super::frames::{FieldReader, Malformed, Property};

pub const PAYLOAD_FORMAT: usize = 0x01;
pub const RESPONSE_TOPIC: usize = 0x08;
pub const SUBSCRIPTION_IDENTIFIER: usize = 0x0B;
pub const AUTHENTICATION_METHOD: usize = 0x15;
pub const AUTHENTICATION_DATA: usize = 0x16;
pub const REQUEST_PROBLEM_INFORMATION: usize = 0x17;
pub const REQUEST_RESPONSE_INFORMATION: usize = 0x19;
pub const RECEIVE_MAXIMUM: usize = 0x21;
pub const TOPIC_ALIAS: usize = 0x23;
pub const USER_PROPERTY: usize = 0x26;
pub const MAXIMUM_PACKET_SIZE: usize = 0x27;

/// Text properties. Those of CONNECT are the library's to decode.
const TEXTS: [usize; 3] = [0x03, RESPONSE_TOPIC, 0x1F];

pub const MALFORMED: Denial = Denial::new(ReasonCode::MalformedPacket, "the packet is malformed");
const TWICE: Denial = Denial::new(ReasonCode::ProtocolError, "a property must not come twice");
const BAD_VALUE: Denial = Denial::new(
    ReasonCode::ProtocolError,
    "a property has a value that MQTT forbids",
);
const SERVERS_PROPERTY: Denial = Denial::new(
    ReasonCode::ProtocolError,
    "only a server sends a subscription identifier in a message",
);
const RESPONSE_WILDCARD: Denial = Denial::new(
    ReasonCode::ProtocolError,
    "a response topic must not have wildcards",
);
const RESPONSE_EMPTY: Denial = Denial::new(
    ReasonCode::ProtocolError,
    "a response topic must not be empty",
);
const ALIAS_ZERO: Denial =
    Denial::new(ReasonCode::TopicAliasInvalid, "a topic alias must not be 0");

impl From<Malformed> for Denial {
    fn from(_: Malformed) -> Self {
        MALFORMED
    }
}

/// The packet that properties belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertiesOf {
    Connect,
    Will,
    Publish,
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Acknowledgement,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

impl PropertiesOf {
    fn allows(self, identifier: usize) -> bool {
        let allowed: &[usize] = match self {
            Self::Connect => &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
            Self::Will => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
            Self::Publish => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26],
            Self::Acknowledgement => &[0x1F, 0x26],
            Self::Subscribe => &[0x0B, 0x26],
            Self::Unsubscribe => &[0x26],
            Self::Disconnect => &[0x11, 0x1F, 0x26],
        };
        allowed.contains(&identifier)
    }
}

/// The identifiers that were found, one bit each: they are all below 64.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identifiers(u64);

impl Identifiers {
    pub fn contains(self, identifier: usize) -> bool {
        self.0 >> identifier & 1 != 0
    }

    fn insert(&mut self, identifier: usize) {
        self.0 |= 1 << identifier;
    }
}

/// Reads properties with their length in front.
///
/// # Errors
/// One of them is wrong.
pub fn check(reader: &mut FieldReader<'_>, owner: PropertiesOf) -> Result<Identifiers, Denial> {
    let mut properties = reader.properties()?;
    let mut found = Identifiers::default();
    while !properties.0.is_empty() {
        let property = properties.property()?;
        if !owner.allows(property.identifier) {
            return Err(MALFORMED);
        }
        if found.contains(property.identifier) && property.identifier != USER_PROPERTY {
            return Err(TWICE);
        }
        found.insert(property.identifier);
        check_value(property, owner)?;
    }
    Ok(found)
}

fn check_value(property: Property<'_>, owner: PropertiesOf) -> Result<(), Denial> {
    let Property {
        identifier,
        mut value,
    } = property;
    match identifier {
        PAYLOAD_FORMAT | REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION
            if value.byte()? > 1 =>
        {
            Err(BAD_VALUE)
        }
        RECEIVE_MAXIMUM if value.two_bytes()? == 0 => Err(BAD_VALUE),
        MAXIMUM_PACKET_SIZE if value.0 == [0; 4] => Err(BAD_VALUE),
        SUBSCRIPTION_IDENTIFIER if owner == PropertiesOf::Publish => Err(SERVERS_PROPERTY),
        SUBSCRIPTION_IDENTIFIER if value.variable_integer()? == 0 => Err(BAD_VALUE),
        TOPIC_ALIAS if value.two_bytes()? == 0 => Err(ALIAS_ZERO),
        USER_PROPERTY => {
            check_text(value.binary()?)?;
            check_text(value.binary()?)?;
            Ok(())
        }
        _ if TEXTS.contains(&identifier) => {
            let text = check_text(value.binary()?)?;
            match identifier {
                RESPONSE_TOPIC if text.is_empty() => Err(RESPONSE_EMPTY),
                RESPONSE_TOPIC if text.contains(['+', '#']) => Err(RESPONSE_WILDCARD),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// MQTT 5, 1.5.4: UTF-8 without the null character.
///
/// # Errors
/// It is something else.
pub fn check_text(bytes: &[u8]) -> Result<&str, Denial> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(owner: PropertiesOf, properties: &[u8]) -> u8 {
        let bytes = [&[properties.len() as u8], properties].concat();
        match check(&mut FieldReader(&bytes), owner) {
            Ok(_) => 0,
            Err(denial) => denial.code.into(),
        }
    }

    #[test]
    fn a_response_topic_is_refused_in_words_that_are_true() {
        for (topic, words) in [
            ("", "must not be empty"),
            ("a/+", "must not have wildcards"),
        ] {
            let length = topic.len() as u8;
            let bytes = [&[3 + length, 0x08, 0, length], topic.as_bytes()].concat();
            let denial = check(&mut FieldReader(&bytes), PropertiesOf::Publish).unwrap_err();
            assert!(denial.reason.contains(words), "{}", denial.reason);
        }
    }

    #[test]
    fn each_packet_has_its_properties() {
        for (owner, properties, expected) in [
            (PropertiesOf::Publish, &[][..], 0),
            (PropertiesOf::Publish, &[0x01, 1, 0x02, 0, 0, 0, 9], 0),
            (
                PropertiesOf::Publish,
                &[0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0],
                0,
            ),
            (PropertiesOf::Publish, &[0x11, 0, 0, 0, 9], 0x81),
            (PropertiesOf::Publish, &[0x7F, 0], 0x81),
            (PropertiesOf::Publish, &[0x02, 0, 0], 0x81),
            (PropertiesOf::Publish, &[0x01, 2], 0x82),
            (PropertiesOf::Publish, &[0x01, 1, 0x01, 1], 0x82),
            (PropertiesOf::Publish, &[0x03, 0, 1, 0xFF], 0x81),
            (PropertiesOf::Publish, &[0x03, 0, 1, 0], 0x81),
            (PropertiesOf::Publish, &[0x26, 0, 1, b'a', 0, 1, 0xFF], 0x81),
            (PropertiesOf::Publish, &[0x08, 0, 0], 0x82),
            (PropertiesOf::Publish, &[0x23, 0, 0], 0x94),
            (PropertiesOf::Subscribe, &[0x0B, 1], 0),
            (PropertiesOf::Subscribe, &[0x0B, 0], 0x82),
            (PropertiesOf::Unsubscribe, &[0x0B, 1], 0x81),
            (PropertiesOf::Connect, &[0x21, 0, 1, 0x27, 0, 0, 0, 1], 0),
            (PropertiesOf::Connect, &[0x21, 0, 0], 0x82),
            (PropertiesOf::Connect, &[0x27, 0, 0, 0, 0], 0x82),
            (PropertiesOf::Connect, &[0x17, 2], 0x82),
            (PropertiesOf::Connect, &[0x18, 0, 0, 0, 1], 0x81),
            (PropertiesOf::Will, &[0x18, 0, 0, 0, 1], 0),
            (PropertiesOf::Will, &[0x23, 0, 1], 0x81),
            (PropertiesOf::Disconnect, &[0x11, 0, 0, 0, 1], 0),
            (PropertiesOf::Acknowledgement, &[0x1F, 0, 1, b'a'], 0),
        ] {
            assert_eq!(
                code(owner, properties),
                expected,
                "{owner:?} {properties:02x?}"
            );
        }
    }
}
