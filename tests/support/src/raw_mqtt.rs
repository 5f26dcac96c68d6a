//! A client that sends exactly the bytes it is told to: for what MQTT clients do wrong, and for what
//! libraries hide.

pub mod fixed_header;
mod packets;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::soon;
pub use fixed_header::{packet, variable_integer};
pub use packets::*;

/// The next packet of a stream; `None` when it has ended.
pub async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let first = stream.read_u8().await.ok()?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { first, body })
}

/// A client.
pub struct RawClient {
    stream: TcpStream,
    version: Version,
}

impl RawClient {
    /// Connects and sends these bytes.
    pub async fn start(port: u16, version: Version, bytes: &[u8]) -> Self {
        let stream = soon("a connection", TcpStream::connect(("127.0.0.1", port)));
        let stream = stream.await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream, version };
        client.send(bytes).await;
        client
    }

    /// Logs in. Also returns the body of CONNACK, which says success.
    pub async fn log_in(port: u16, connect: &Connect) -> (Self, Vec<u8>) {
        let mut client = Self::start(port, connect.version, &connect.bytes()).await;
        let connack = client.expect(kind::CONNACK).await;
        assert_eq!(connack[1], 0, "{connect:?} is refused");
        (client, connack)
    }

    /// Logs in without a session.
    pub async fn connect(port: u16, version: Version, client_id: &str) -> Self {
        Self::log_in(port, &Connect::new(version, client_id))
            .await
            .0
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = self.stream.write_all(bytes);
        soon("bytes are sent", sent).await.unwrap();
    }

    /// The next packet; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Received> {
        soon("a packet", self.read()).await
    }

    async fn read(&mut self) -> Option<Received> {
        read_packet(&mut self.stream).await
    }

    /// The body of the next packet, which is of this kind.
    pub async fn expect(&mut self, kind: u8) -> Vec<u8> {
        let packet = self.next().await.expect("the connection is open");
        assert_eq!(packet.kind(), kind, "{packet:02x?}");
        packet.body
    }

    /// The next packet, a message.
    pub async fn message(&mut self) -> Publish {
        let packet = self.next().await.expect("the connection is open");
        self.parse(&packet)
    }

    /// Subscribes with these options. Returns the reason codes.
    pub async fn subscribe(&mut self, filter: &str, options: u8) -> Vec<u8> {
        self.send(&subscribe(self.version, &[(filter, options)]))
            .await;
        let suback = self.expect(kind::SUBACK).await;
        suback[suback.len() - 1..].to_vec()
    }

    /// Publishes to the end of the exchange. Returns the reason code of a refusal, or 0.
    pub async fn publish(&mut self, publish: Publish) -> u8 {
        self.send(&publish.bytes()).await;
        if publish.qos == 0 {
            return 0;
        }
        let acknowledgement = if publish.qos == 1 {
            kind::PUBACK
        } else {
            kind::PUBREC
        };
        let body = self.expect(acknowledgement).await;
        assert_eq!(body[..2], publish.packet_id.to_be_bytes());
        let code = body.get(2).copied().unwrap_or(0);
        if publish.qos == 2 && code < 0x80 {
            self.send(&acknowledge(kind::PUBREL, publish.packet_id))
                .await;
            self.expect(kind::PUBCOMP).await;
        }
        code
    }

    /// The broker has handled everything that was sent before.
    pub async fn ping(&mut self) {
        self.send(&PINGREQ).await;
        assert!(self.expect(kind::PINGRESP).await.is_empty());
    }

    /// A packet that came, which is a message.
    pub fn parse(&self, packet: &Received) -> Publish {
        assert_eq!(packet.kind(), kind::PUBLISH, "{packet:02x?}");
        Publish::parse(self.version, packet.first, &packet.body)
    }

    /// Acknowledges a message to the end of the exchange.
    pub async fn finish(&mut self, message: &Publish) {
        match message.qos {
            0 => {}
            1 => {
                self.send(&acknowledge(kind::PUBACK, message.packet_id))
                    .await
            }
            _ => {
                self.send(&acknowledge(kind::PUBREC, message.packet_id))
                    .await;
                let pubrel = self.expect(kind::PUBREL).await;
                assert_eq!(pubrel[..2], message.packet_id.to_be_bytes());
                self.send(&acknowledge(kind::PUBCOMP, message.packet_id))
                    .await;
            }
        }
    }

    /// Waits for the end of the connection. Returns the reason code of DISCONNECT, if there was one.
    pub async fn end(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some(packet) = self.next().await {
            assert_eq!(packet.kind(), kind::DISCONNECT, "{packet:02x?}");
            assert_eq!(reason, None, "a second DISCONNECT");
            reason = Some(packet.body.first().copied().unwrap_or(0));
        }
        reason
    }

    /// Ends the connection as MQTT wants it, and waits until the broker has closed it.
    pub async fn disconnect(mut self) {
        self.send(&DISCONNECT).await;
        assert_eq!(self.end().await, None);
    }
}
