//! MQTT 5 packets as bytes, so that a flood can send what no library would.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A packet with this first byte. Its length is a variable byte integer, MQTT 5 section 1.5.5.
pub fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(kind);
    packet.extend_from_slice(&length(body.len()));
    packet.extend_from_slice(body);
    packet
}

/// A variable byte integer.
pub fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return bytes;
        }
    }
}

fn text(into: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap();
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}

/// What a CONNECT says.
#[derive(Debug, Clone, Default)]
pub struct Login<'a> {
    pub id: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    /// How long the broker is to keep the session, in seconds.
    pub expiry: u32,
    /// Topic and payload of a will, and whether it is retained.
    pub will: Option<(&'a str, &'a str, bool)>,
}

impl Login<'_> {
    /// The CONNECT packet, MQTT 5 section 3.1. The session is always a new one.
    pub fn packet(&self) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        let will = match self.will {
            None => 0,
            Some((_, _, false)) => 0x04,
            Some((_, _, true)) => 0x24,
        };
        body.extend_from_slice(&[5, 0xc2 | will, 0, 60]);
        body.extend_from_slice(&[5, 0x11]);
        body.extend_from_slice(&self.expiry.to_be_bytes());
        text(&mut body, self.id);
        if let Some((topic, payload, _)) = self.will {
            body.push(0);
            text(&mut body, topic);
            text(&mut body, payload);
        }
        text(&mut body, self.user);
        text(&mut body, self.password);
        packet(0x10, &body)
    }

    /// Logs in. Gives the reason code of the CONNACK: 0 is success.
    pub async fn log_in(&self, stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(&self.packet()).await?;
        let (kind, body) = read(stream).await?;
        match (kind, body.get(1)) {
            (0x20, Some(reason)) => Ok(*reason),
            _ => Err(io::Error::other("no CONNACK")),
        }
    }
}

/// A PUBLISH.
#[derive(Debug, Default)]
pub struct Publish<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub retain: bool,
    /// The packet id and quality of service; `None` for QoS 0.
    pub qos: Option<(u16, u8)>,
    pub response_topic: Option<&'a str>,
}

impl Publish<'_> {
    /// The packet, MQTT 5 section 3.3.
    pub fn packet(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.payload.len() + 64);
        text(&mut body, self.topic);
        if let Some((id, _)) = self.qos {
            body.extend_from_slice(&id.to_be_bytes());
        }
        let mut properties = Vec::new();
        if let Some(topic) = self.response_topic {
            properties.push(0x08);
            text(&mut properties, topic);
        }
        body.extend_from_slice(&length(properties.len()));
        body.extend_from_slice(&properties);
        body.extend_from_slice(self.payload);
        let qos = self.qos.map_or(0, |(_, qos)| qos);
        packet(0x30 | (qos << 1) | u8::from(self.retain), &body)
    }
}

/// A SUBSCRIBE to these filters at QoS 0, MQTT 5 section 3.8.
pub fn subscribe(id: u16, filters: impl Iterator<Item = String>) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    for filter in filters {
        text(&mut body, &filter);
        body.push(0);
    }
    packet(0x82, &body)
}

/// Reads one packet: its first byte and its body.
pub async fn read(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}
