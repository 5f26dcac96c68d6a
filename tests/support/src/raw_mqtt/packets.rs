//! The packets of MQTT, in parts that may be wrong.

use bytes::Buf;

use super::fixed_header::{packet, variable_integer};

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

pub const BOTH: [Version; 2] = [Version::V311, Version::V5];

/// The types of packets: the upper half of the first byte.
pub mod kind {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
}

pub const PINGREQ: [u8; 2] = [0xC0, 0];
pub const DISCONNECT: [u8; 2] = [0xE0, 0];

impl Version {
    /// Properties with their length in front; nothing in MQTT 3.1.1.
    fn properties(self, properties: &[u8]) -> Vec<u8> {
        match self {
            Self::V311 => Vec::new(),
            Self::V5 => [&variable_integer(properties.len())[..], properties].concat(),
        }
    }

    /// The number in CONNECT.
    fn number(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// A text with its length in front.
pub fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u16).to_be_bytes(), text].concat()
}

/// A user property.
pub fn user_property(key: &str, value: &str) -> Vec<u8> {
    [vec![0x26], text(key), text(value)].concat()
}

/// CONNECT in its parts.
#[derive(Debug, Clone)]
pub struct Connect {
    pub version: Version,
    pub client_id: String,
    pub clean: bool,
    pub keep_alive: u16,
    pub properties: Vec<u8>,
    pub will: Option<Will>,
    /// Flags that are set besides those that the other parts need.
    pub more_flags: u8,
    /// User and password.
    pub login: Option<(String, String)>,
}

/// The will in CONNECT.
#[derive(Debug, Clone, Default)]
pub struct Will {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub properties: Vec<u8>,
}

impl Connect {
    /// A client that keeps no session.
    pub fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            keep_alive: 60,
            properties: Vec::new(),
            will: None,
            more_flags: 0,
            login: None,
        }
    }

    /// Takes up its session, and keeps it for so many seconds afterwards. In MQTT 3.1.1 the broker
    /// decides how long.
    pub fn with_session(mut self, seconds: u32) -> Self {
        self.clean = false;
        self.with_property(0x11, &seconds.to_be_bytes())
    }

    pub fn with_property(mut self, identifier: u8, value: &[u8]) -> Self {
        self.properties.push(identifier);
        self.properties.extend_from_slice(value);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = self.more_flags | u8::from(self.clean) << 1;
        let mut payload = text(&self.client_id);
        if let Some(will) = &self.will {
            flags |= 0b100 | will.qos << 3;
            payload.extend(self.version.properties(&will.properties));
            payload.extend(text(&will.topic));
            payload.extend(text(&will.payload));
        }
        if let Some((user, password)) = &self.login {
            flags |= 0b1100_0000;
            payload.extend(text(user));
            payload.extend(text(password));
        }
        let head = [&text("MQTT")[..], &[self.version.number(), flags]].concat();
        let keep_alive = self.keep_alive.to_be_bytes();
        let properties = self.version.properties(&self.properties);
        packet(
            0x10,
            &[&head[..], &keep_alive, &properties, &payload].concat(),
        )
    }
}

/// PUBLISH in its parts.
#[derive(Debug, Clone)]
pub struct Publish {
    pub version: Version,
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub duplicate: bool,
    pub packet_id: u16,
    pub properties: Vec<u8>,
}

impl Publish {
    /// A message of this QoS with the packet identifier 1.
    pub fn new(version: Version, topic: impl AsRef<[u8]>, qos: u8) -> Self {
        Self {
            version,
            topic: topic.as_ref().to_vec(),
            payload: b"x".to_vec(),
            qos,
            retain: false,
            duplicate: false,
            packet_id: 1,
            properties: Vec::new(),
        }
    }

    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    pub fn packet_id(mut self, packet_id: u16) -> Self {
        self.packet_id = packet_id;
        self
    }

    pub fn properties(mut self, properties: &[u8]) -> Self {
        self.properties = properties.to_vec();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let first = 0x30 | u8::from(self.duplicate) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = text(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        body.extend(self.version.properties(&self.properties));
        body.extend(&self.payload);
        packet(first, &body)
    }

    /// From its first byte and its body.
    pub fn parse(version: Version, first: u8, body: &[u8]) -> Self {
        let mut rest = body;
        let length = rest.get_u16().into();
        let topic = rest.split_off(..length).unwrap().to_vec();
        let qos = first >> 1 & 3;
        let packet_id = if qos > 0 { rest.get_u16() } else { 0 };
        let mut properties = Vec::new();
        if version == Version::V5 {
            let length = read_variable_integer(&mut rest);
            properties = rest.split_off(..length).unwrap().to_vec();
        }
        Self {
            version,
            topic,
            payload: rest.to_vec(),
            qos,
            retain: first & 1 != 0,
            duplicate: first & 8 != 0,
            packet_id,
            properties,
        }
    }

    /// Its properties, each with its identifier in front.
    pub fn properties_list(&self) -> Vec<Vec<u8>> {
        let mut rest = &self.properties[..];
        let mut all = Vec::new();
        while !rest.is_empty() {
            let length = match rest[0] {
                0x01 | 0x17 | 0x19 => 2,
                0x13 | 0x21..=0x23 => 3,
                0x02 | 0x11 | 0x18 | 0x27 => 5,
                0x0B => 1 + rest[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1,
                0x26 => {
                    let key = 3 + usize::from(u16::from_be_bytes([rest[1], rest[2]]));
                    key + 2 + usize::from(u16::from_be_bytes([rest[key], rest[key + 1]]))
                }
                _ => 3 + usize::from(u16::from_be_bytes([rest[1], rest[2]])),
            };
            all.push(rest.split_off(..length).unwrap().to_vec());
        }
        all
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

fn read_variable_integer(bytes: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = bytes.get_u8();
        value |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// SUBSCRIBE with the packet identifier 1, for filters with their options.
pub fn subscribe(version: Version, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_with(version, 1, &[], filters)
}

pub fn subscribe_with(
    version: Version,
    packet_id: u16,
    properties: &[u8],
    filters: &[(&str, u8)],
) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(version.properties(properties));
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// UNSUBSCRIBE for these filters.
pub fn unsubscribe(version: Version, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(version.properties(&[]));
    body.extend(filters.iter().flat_map(text));
    packet(0xA2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP without a reason.
pub fn acknowledge(packet_kind: u8, packet_id: u16) -> Vec<u8> {
    let flags = if packet_kind == kind::PUBREL { 2 } else { 0 };
    packet(packet_kind << 4 | flags, &packet_id.to_be_bytes())
}

/// The filters of a SUBSCRIBE of MQTT 5 with its packet identifier, from its body.
pub fn subscribed(body: &[u8]) -> (u16, Vec<String>) {
    let (packet_id, filters) = subscribed_with(body);
    let filters = filters.into_iter().map(|(filter, _)| filter);
    (packet_id, filters.collect())
}

/// The same, each filter with its options.
pub fn subscribed_with(body: &[u8]) -> (u16, Vec<(String, u8)>) {
    let mut rest = body;
    let packet_id = rest.get_u16();
    let properties = read_variable_integer(&mut rest);
    rest.advance(properties);
    let mut filters = Vec::new();
    while !rest.is_empty() {
        let length = rest.get_u16().into();
        let filter = rest.split_off(..length).unwrap();
        let filter = String::from_utf8(filter.to_vec()).unwrap();
        filters.push((filter, rest.get_u8()));
    }
    (packet_id, filters)
}

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub first: u8,
    pub body: Vec<u8>,
}

impl Received {
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }
}
