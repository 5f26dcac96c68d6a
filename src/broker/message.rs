//! The head of a PUBLISH: everything before its payload.
//!
//! Pure.

use super::frames::{FieldReader, Frame, Malformed, kind, put_variable_integer};
use super::properties::{RESPONSE_TOPIC, TOPIC_ALIAS, USER_PROPERTY};
use super::property_size::PropertySize;

/// The head of a message (MQTT 5, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHead<'a> {
    /// Empty if only an alias names it.
    pub topic: &'a str,
    pub topic_alias: Option<u16>,
    pub response_topic: Option<&'a str>,
    pub qos: u8,
    pub retain: bool,
    /// 0 without QoS.
    pub packet_id: u16,
    /// The bytes of the properties, without their length.
    properties: &'a [u8],
    pub user_properties: usize,
    /// The bytes of the packet before the payload.
    pub length: usize,
    /// The bytes of the payload.
    pub payload: usize,
}

impl<'a> MessageHead<'a> {
    /// The head in these bytes, which begin with the frame.
    ///
    /// # Errors
    /// It is malformed, or not all of it is there.
    pub fn parse(frame: &Frame, bytes: &'a [u8], is_mqtt_5: bool) -> Result<Self, Malformed> {
        let qos = frame.flags >> 1 & 3;
        if qos == 3 {
            return Err(Malformed);
        }
        let body = frame.body_in(bytes);
        let mut reader = FieldReader(body);
        let mut head = Self {
            topic: reader.text()?,
            topic_alias: None,
            response_topic: None,
            qos,
            retain: frame.flags & 1 != 0,
            packet_id: if qos > 0 { reader.two_bytes()? } else { 0 },
            properties: &[],
            user_properties: 0,
            length: 0,
            payload: 0,
        };
        if is_mqtt_5 {
            let mut properties = reader.properties()?;
            head.properties = properties.0;
            while !properties.0.is_empty() {
                let mut property = properties.property()?;
                match property.identifier {
                    RESPONSE_TOPIC => head.response_topic = Some(property.value.text()?),
                    USER_PROPERTY => head.user_properties += 1,
                    TOPIC_ALIAS => head.topic_alias = Some(property.value.two_bytes()?),
                    _ => {}
                }
            }
        }
        let head_length = body.len() - reader.0.len();
        head.length = frame.header + head_length;
        head.payload = frame.body.checked_sub(head_length).ok_or(Malformed)?;
        Ok(head)
    }

    /// The properties without their length.
    pub fn properties(&self) -> &'a [u8] {
        self.properties
    }

    pub fn property_size(&self) -> PropertySize {
        PropertySize {
            bytes: self.properties.len(),
            user_properties: self.user_properties,
        }
    }

    /// The head of a message of MQTT 5 with these flags that names its topic itself, without an
    /// alias.
    ///
    /// # Errors
    /// The topic is longer than 64 KiB.
    pub fn with_topic(&self, topic: &str, flags: u8) -> Result<Vec<u8>, Malformed> {
        self.written(topic, flags, true)
    }

    /// The head of the same message with QoS 0, in the client's version of MQTT.
    ///
    /// # Errors
    /// The topic is longer than 64 KiB.
    pub fn without_qos(&self, topic: &str, is_mqtt_5: bool) -> Result<Vec<u8>, Malformed> {
        self.written(topic, self.retain.into(), is_mqtt_5)
    }

    fn written(&self, topic: &str, flags: u8, is_mqtt_5: bool) -> Result<Vec<u8>, Malformed> {
        let mut properties = Vec::with_capacity(self.properties.len());
        let mut reader = FieldReader(self.properties);
        while !reader.0.is_empty() {
            let before = reader.0;
            let property = reader.property()?;
            if property.identifier != TOPIC_ALIAS {
                properties.extend_from_slice(&before[..before.len() - reader.0.len()]);
            }
        }
        let length = u16::try_from(topic.len()).map_err(|_| Malformed)?;
        let mut body = Vec::with_capacity(topic.len() + properties.len() + 8);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(topic.as_bytes());
        if flags >> 1 & 3 > 0 {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if is_mqtt_5 {
            put_variable_integer(&mut body, properties.len());
            body.extend_from_slice(&properties);
        }
        let mut head = Vec::with_capacity(body.len() + 5);
        head.push(kind::PUBLISH << 4 | flags);
        put_variable_integer(&mut head, body.len() + self.payload);
        head.extend_from_slice(&body);
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::frames::packet;

    fn parse(bytes: &[u8], is_mqtt_5: bool) -> Result<MessageHead<'_>, Malformed> {
        let frame = Frame::at(bytes).unwrap().unwrap();
        MessageHead::parse(&frame, bytes, is_mqtt_5)
    }

    const HEAD: [u8; 14] = [0, 1, b't', 0, 7, 8, 0x23, 0, 3, 0x08, 0, 2, b'r', b's'];

    #[test]
    fn the_head_is_known_before_the_payload_is_there() {
        let body = [&HEAD[..], &[b'x'; 500]].concat();
        let bytes = packet(kind::PUBLISH, 0b0011, &body);
        let frame = Frame::at(&bytes).unwrap().unwrap();
        for cut in 0..HEAD.len() {
            assert_eq!(parse(&bytes[..frame.header + cut], true), Err(Malformed));
        }
        let parsed = parse(&bytes[..frame.header + HEAD.len()], true).unwrap();
        let expected = MessageHead {
            topic: "t",
            topic_alias: Some(3),
            response_topic: Some("rs"),
            qos: 1,
            retain: true,
            packet_id: 7,
            properties: &HEAD[6..],
            user_properties: 0,
            length: frame.header + HEAD.len(),
            payload: 500,
        };
        assert_eq!(parsed, expected);
        assert_eq!(parse(&bytes, false).unwrap().payload, 509);
        assert!(parse(&packet(kind::PUBLISH, 0b0110, &body), true).is_err());
    }

    #[test]
    fn an_alias_is_replaced_by_its_topic() {
        let body = [&HEAD[..], b"on"].concat();
        let bytes = packet(kind::PUBLISH, 0b0011, &body);
        let head = parse(&bytes, true).unwrap();
        let replaced = [head.with_topic("long/er", 0b0011).unwrap(), b"on".to_vec()].concat();
        let expected = MessageHead {
            topic: "long/er",
            topic_alias: None,
            properties: &HEAD[9..],
            length: replaced.len() - 2,
            payload: 2,
            ..head
        };
        assert_eq!(parse(&replaced, true).unwrap(), expected);
        let without_qos = head.with_topic("t", 0).unwrap();
        let frame = Frame::at(&without_qos).unwrap().unwrap();
        assert_eq!(frame.length(), without_qos.len() + 2);
    }

    #[test]
    fn the_same_message_without_qos() {
        for is_mqtt_5 in [false, true] {
            let properties: &[u8] = if is_mqtt_5 { &HEAD[5..] } else { &[] };
            let body = [&HEAD[..5], properties, b"on"].concat();
            let bytes = packet(kind::PUBLISH, 0b1011, &body);
            let head = parse(&bytes, is_mqtt_5).unwrap();
            let rewritten = [head.without_qos("t", is_mqtt_5).unwrap(), b"on".to_vec()].concat();
            let parsed = parse(&rewritten, is_mqtt_5).unwrap();
            assert_eq!(rewritten[0], 0x31);
            assert_eq!((parsed.topic, parsed.qos, parsed.retain), ("t", 0, true));
            assert_eq!(parsed.payload, 2);
            assert_eq!(parsed.response_topic, head.response_topic);
        }
    }
}
