//! The bytes of one connection: packets out as one write, bytes in to [`PacketReader`].
//!
//! Owns the socket and what waits to be written. The form of packets is the library's; its loop is
//! not used, since it writes each packet by itself, cannot be given up while it waits and may wait
//! for a flush for ever. Here everything that was put until the next [`BrokerLink::turn`] is one write.
//! Knows nothing of topics, sessions or acknowledgements.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rumqttc::v5::mqttbytes::Error as MalformedPacket;
use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Disconnect, DisconnectReasonCode, Packet};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::error::ConnectionLost;
use super::packets::{BrokerPacket, ConnAck, PacketReader};
use super::reason::{BrokerWords, ReasonCode};
use super::settings::{BROKER_CONNECT_TIMEOUT, BrokerAddress, MqttSettings, connect_packet};
use crate::net::{self, ClientTls, Protocol, Stream, dial};

/// With this much waiting to be written, further items wait in the outbox, where a state that
/// changes again takes no more room. A larger buffer than twice this is given back when it is
/// empty.
const WRITE_BUFFER_LIMIT: usize = 64 << 10;

/// A connection to a broker.
pub struct BrokerLink {
    stream: Box<dyn Stream>,
    packets: PacketReader,
    waiting: BytesMut,
    /// The broker has kept the session of the last connection (Session Present).
    pub is_resumed: bool,
}

impl BrokerLink {
    /// A link over a stream on which nothing has been sent. It takes packets up to this size, in bytes.
    pub fn new(stream: Box<dyn Stream>, largest_packet: u32) -> Self {
        Self {
            stream,
            packets: PacketReader::new(largest_packet),
            waiting: BytesMut::new(),
            is_resumed: false,
        }
    }

    /// Connects and introduces the gateway.
    ///
    /// # Errors
    /// The broker cannot be reached, refuses, or does not answer in time.
    pub async fn open(
        settings: &MqttSettings,
        tls: Option<&ClientTls>,
    ) -> Result<(Self, Option<ConnAckProperties>), ConnectionLost> {
        let opened = async {
            let stream = connect(&settings.broker, tls).await?;
            let link = Self::new(stream, settings.largest_packet());
            link.introduce(settings).await
        };
        match timeout(BROKER_CONNECT_TIMEOUT, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectionLost::ConnectTimeout),
        }
    }

    /// Sends CONNECT and waits for a CONNACK that accepts it. Returns its properties.
    pub async fn introduce(
        mut self,
        settings: &MqttSettings,
    ) -> Result<(Self, Option<ConnAckProperties>), ConnectionLost> {
        self.put(&connect_packet(settings))?;
        let in_tls = matches!(settings.broker, BrokerAddress::Tls { .. });
        let closed = || {
            if in_tls {
                ConnectionLost::ClosedBeforeConnackInTls
            } else {
                ConnectionLost::ClosedBeforeConnack
            }
        };
        let packet = loop {
            if let Some(protocol) = other_protocol(&self.packets.arrived, in_tls) {
                return Err(ConnectionLost::OtherProtocol(protocol));
            }
            if let Some(packet) = self.next().await? {
                break packet;
            }
            self.turn().await.map_err(|lost| match lost {
                ConnectionLost::Closed => closed(),
                // A broker that leaves the CONNECT unread resets the connection.
                ConnectionLost::Network(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                    ) =>
                {
                    closed()
                }
                lost => lost,
            })?;
        };
        let BrokerPacket::ConnAck(connack) = packet else {
            return Err(ConnectionLost::Malformed(MalformedPacket::MalformedPacket));
        };
        let ConnAck {
            reason,
            is_resumed,
            properties,
        } = connack;
        if reason != ReasonCode(0) {
            let words = properties
                .as_ref()
                .and_then(|it| it.reason_string.as_deref());
            return Err(ConnectionLost::Refused {
                reason,
                words: BrokerWords::new(words),
                server: properties.and_then(|properties| properties.server_reference),
            });
        }
        self.is_resumed = is_resumed;
        Ok((self, properties))
    }

    /// Adds a packet to what the next turn writes.
    ///
    /// # Errors
    /// It cannot be encoded; nothing was added.
    pub fn put(&mut self, packet: &Packet) -> Result<(), MalformedPacket> {
        let before = self.waiting.len();
        let written = packet.write(&mut self.waiting, None);
        if written.is_err() {
            self.waiting.truncate(before);
        }
        written.map(drop)
    }

    /// Something waits to be written.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the buffer is full: nothing should be added until some of it is written.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WRITE_BUFFER_LIMIT
    }

    /// The next packet of those that have arrived, if there is one. Others run after a few of them, however many one
    /// read has brought: whoever may publish to one room could stop all rooms else. Safe to cancel.
    ///
    /// # Errors
    /// As for [`PacketReader::next`].
    pub async fn next(&mut self) -> Result<Option<BrokerPacket>, ConnectionLost> {
        net::turn().await;
        self.packets.next()
    }

    /// Writes what waits, and waits until more has arrived. Safe to cancel.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn turn(&mut self) -> Result<(), ConnectionLost> {
        poll_fn(|cx| {
            let written = self.poll_written(cx);
            let arrived = &mut self.packets.arrived;
            let read = poll_read_buf(Pin::new(&mut self.stream), cx, arrived);
            if let Poll::Ready(Err(error)) = written {
                // A broker that closes the connection says why before: in a DISCONNECT, or with TLS in
                // an alert.
                return Poll::Ready(match read {
                    Poll::Ready(Ok(1..)) => Ok(()),
                    Poll::Ready(Err(cause)) => Err(read_failed(cause)),
                    _ => Err(error.into()),
                });
            }
            match ready!(read) {
                Ok(0) => Poll::Ready(Err(ConnectionLost::Closed)),
                Ok(_) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(read_failed(error))),
            }
        })
        .await
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waiting.has_remaining() {
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_write_buf(stream, cx, &mut self.waiting))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        if self.waiting.capacity() > 2 * WRITE_BUFFER_LIMIT {
            self.waiting = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Writes what waits and a DISCONNECT, so that the broker does not publish the will.
    ///
    /// # Errors
    /// The connection was gone before.
    pub async fn close(mut self) -> Result<(), ConnectionLost> {
        let disconnect = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        self.put(&Packet::Disconnect(disconnect))?;
        poll_fn(|cx| self.poll_written(cx)).await?;
        Ok(self.stream.shutdown().await?)
    }
}

/// What it means that nothing more can be read. In TLS a broker that only closes the connection, without
/// the word with which TLS ends, is an error of its own.
fn read_failed(error: io::Error) -> ConnectionLost {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectionLost::Closed,
        _ => error.into(),
    }
}

/// What answers instead of a broker, in words.
fn other_protocol(arrived: &[u8], in_tls: bool) -> Option<&'static str> {
    match Protocol::of_server(arrived)? {
        Protocol::Http if in_tls => Some(
            "a web server (HTTP), not an MQTT broker; a broker that shares the port with one is chosen by \
             mqtt.alpn",
        ),
        Protocol::Http => Some("a web server (HTTP), not an MQTT broker"),
        Protocol::Tls => Some("TLS: the URL has to begin with mqtts://"),
        Protocol::Mqtt | Protocol::MqttSn => None,
    }
}

async fn connect(
    broker: &BrokerAddress,
    tls: Option<&ClientTls>,
) -> Result<Box<dyn Stream>, ConnectionLost> {
    let (BrokerAddress::Tcp { host, port } | BrokerAddress::Tls { host, port }) = broker;
    let stream = dial(host, *port).await?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    Ok(Box::new(tls.connect(host, stream).await?))
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{PingReq, Publish};
    use tokio::io::AsyncReadExt;

    use super::*;

    fn publish(payload: &'static [u8]) -> Packet {
        Packet::Publish(Publish {
            pkid: 1,
            qos: QoS::AtLeastOnce,
            topic: "t".into(),
            payload: payload.into(),
            ..Publish::default()
        })
    }

    #[tokio::test]
    async fn what_was_put_is_one_write() {
        let (stream, mut broker) = tokio::io::duplex(1024);
        let mut link = BrokerLink::new(Box::new(stream), 1 << 20);
        let packets = [publish(b"one"), publish(b"two"), Packet::PingReq(PingReq)];
        for packet in &packets {
            link.put(packet).unwrap();
        }
        assert!(poll_once(&mut link).is_pending());
        assert!(!link.has_waiting());
        let mut read = BytesMut::new();
        broker.read_buf(&mut read).await.unwrap();
        for packet in packets {
            assert_eq!(Packet::read(&mut read, None).unwrap(), packet);
        }
    }

    fn poll_once(link: &mut BrokerLink) -> Poll<Result<(), ConnectionLost>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(link.turn()).poll(&mut context)
    }

    /// The broker takes seven bytes at a time, and each wait for it is given up.
    #[tokio::test]
    async fn a_turn_that_is_given_up_loses_nothing() {
        let (stream, mut broker) = tokio::io::duplex(7);
        let mut link = BrokerLink::new(Box::new(stream), 1 << 20);
        let packet = publish(b"forty bytes that no pipe takes in one go");
        link.put(&packet).unwrap();
        let mut read = BytesMut::new();
        while poll_once(&mut link).is_pending() && link.has_waiting() {
            broker.read_buf(&mut read).await.unwrap();
        }
        broker.read_buf(&mut read).await.unwrap();
        assert_eq!(Packet::read(&mut read, None).unwrap(), packet);
        // An acknowledgement in two pieces.
        broker.write_all(&[0x40, 2, 0]).await.unwrap();
        assert!(matches!(poll_once(&mut link), Poll::Ready(Ok(()))));
        assert!(link.next().await.unwrap().is_none());
        assert!(poll_once(&mut link).is_pending());
        broker.write_all(&[9]).await.unwrap();
        assert!(matches!(poll_once(&mut link), Poll::Ready(Ok(()))));
        assert!(
            matches!(link.next().await, Ok(Some(BrokerPacket::PubAck(ack))) if ack.packet_id == 9)
        );
        drop(broker);
        assert!(matches!(
            poll_once(&mut link),
            Poll::Ready(Err(ConnectionLost::Closed))
        ));
    }

    #[tokio::test]
    async fn others_run_after_a_few_packets() {
        const PACKETS: usize = 1000;
        let (stream, mut broker) = tokio::io::duplex(4096);
        let mut link = BrokerLink::new(Box::new(stream), 1 << 20);
        broker.write_all(&[0xD0, 0].repeat(PACKETS)).await.unwrap();
        assert!(link.next().await.unwrap().is_none());
        link.turn().await.unwrap();
        let mut reading = std::pin::pin!(async {
            let mut read = 0;
            while link.next().await.unwrap().is_some() {
                read += 1;
            }
            read
        });
        let mut turns = 0;
        let read = poll_fn(|cx| {
            turns += 1;
            reading.as_mut().poll(cx)
        })
        .await;
        assert_eq!(read, PACKETS);
        assert!(turns >= PACKETS / 16, "{turns}");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let (stream, _broker) = tokio::io::duplex(64);
        let mut link = BrokerLink::new(Box::new(stream), 1 << 20);
        assert!(
            link.put(&Packet::Publish(Publish {
                qos: QoS::AtLeastOnce,
                ..Publish::default()
            }))
            .is_err()
        );
        assert!(!link.has_waiting());
    }
}
