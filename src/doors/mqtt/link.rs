//! One connection to a broker: packets in, packets out.
//!
//! Owns the socket, what has arrived and is not read yet, and what waits to be written. The form of
//! packets is the library's (`rumqttc::v5::mqttbytes`); its event loop is not used, since it writes
//! each packet by itself, cannot be given up while it waits and may wait for a flush for ever. Here
//! all that was put until the next [`Link::turn`] is one write. Knows nothing of topics, sessions or
//! acknowledgements.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rumqttc::v5::mqttbytes::Error as Malformed;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Disconnect, DisconnectReasonCode, Packet,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::options::{self, BrokerAddress, LARGEST_PACKET, Settings};
use crate::net::root_cause::root_cause;
use crate::net::{Stream, dial};

/// From the first packet of the network to the broker's CONNACK.
const CONNECT: Duration = Duration::from_secs(10);
/// At least so much is read at a time.
const READ: usize = 4 << 10;
/// When so much waits to be written, more is to wait elsewhere; nor is more memory kept for it.
const FULL: usize = 64 << 10;
/// The first byte of a DISCONNECT, MQTT 5 section 3.14.
const DISCONNECT: u8 = 0xE0;

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The network, or TLS.
    #[error("{}", root_cause(.0))]
    Network(#[from] io::Error),
    /// It took too long to connect.
    #[error("it does not answer within {} s", CONNECT.as_secs())]
    NotInTime,
    /// Nothing came for too long.
    #[error("the broker does not answer any more")]
    Silent,
    /// The broker closed the connection and did not say why.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker said why it ends the connection; none if by a code that no standard knows.
    #[error("{}", ended(*.0))]
    Ended(Option<DisconnectReasonCode>),
    /// The broker did not let the gateway in.
    #[error("{}", refused(*.0))]
    Refused(ConnectReturnCode),
    /// That is not MQTT 5.
    #[error("what it sends is not MQTT 5: {0}")]
    Malformed(#[from] Malformed),
}

fn refused(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            "it refuses the user and password (mqtt.username, mqtt.password_file)".into()
        }
        ConnectReturnCode::ClientIdentifierNotValid => {
            "it refuses the client id (mqtt.client_id)".into()
        }
        ConnectReturnCode::UnsupportedProtocolVersion
        | ConnectReturnCode::RefusedProtocolVersion => {
            "it does not speak MQTT 5, which the gateway needs".into()
        }
        code => format!("it refuses the connection ({code:?})"),
    }
}

fn ended(reason: Option<DisconnectReasonCode>) -> String {
    match reason {
        Some(DisconnectReasonCode::SessionTakenOver) => {
            "another client has connected with the same client id (mqtt.client_id)".into()
        }
        Some(DisconnectReasonCode::ServerShuttingDown) => "the broker shuts down".into(),
        Some(reason) => format!("the broker ended the connection ({reason:?})"),
        None => "the broker ended the connection".into(),
    }
}

/// What a DISCONNECT says, of which these bytes have arrived after the first; none if they do not
/// say it yet. The library does not take its short forms: no reason, or nothing but the reason.
fn ending(rest: &[u8]) -> Option<Lost> {
    let length = rest.iter().position(|byte| byte & 0x80 == 0)?;
    match rest[..=length] {
        [0] => Some(Lost::Ended(None)),
        _ => Some(Lost::Ended((*rest.get(length + 1)?).try_into().ok())),
    }
}

/// A connection that the broker has accepted.
pub struct Link {
    stream: Box<dyn Stream>,
    arrived: BytesMut,
    put: BytesMut,
}

impl Link {
    /// Connects and introduces the gateway.
    ///
    /// # Errors
    /// Why not.
    pub async fn open(
        settings: &Settings,
        tls: Option<&TlsConnector>,
    ) -> Result<(Self, ConnAck), Lost> {
        let opened = async {
            let mut link = Self {
                stream: connect(&settings.broker, tls).await?,
                arrived: BytesMut::new(),
                put: BytesMut::new(),
            };
            link.put(&options::connect_packet(settings))?;
            let packet = loop {
                if let Some(packet) = link.next()? {
                    break packet;
                }
                link.turn().await?;
            };
            match packet {
                Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => Ok((link, ack)),
                Packet::ConnAck(ack) => Err(Lost::Refused(ack.code)),
                _ => Err(Lost::Malformed(Malformed::MalformedPacket)),
            }
        };
        match timeout(CONNECT, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(Lost::NotInTime),
        }
    }

    /// Puts a packet to what the next turn writes.
    ///
    /// # Errors
    /// It cannot be written as a packet, and was not put.
    pub fn put(&mut self, packet: &Packet) -> Result<(), Malformed> {
        let before = self.put.len();
        let written = packet.write(&mut self.put, None);
        if written.is_err() {
            self.put.truncate(before);
        }
        written.map(drop)
    }

    /// Something was put and is not written yet.
    pub fn has_put(&self) -> bool {
        !self.put.is_empty()
    }

    /// So much was put that nothing more should be, until some of it is written.
    pub fn is_full(&self) -> bool {
        self.put.len() >= FULL
    }

    /// The next packet of those that have arrived, if there is one.
    ///
    /// # Errors
    /// It is none, or says that the connection ends.
    pub fn next(&mut self) -> Result<Option<Packet>, Lost> {
        if let Some((&DISCONNECT, rest)) = self.arrived.split_first() {
            return ending(rest).map_or(Ok(None), Err);
        }
        match Packet::read(&mut self.arrived, Some(LARGEST_PACKET)) {
            Ok(packet) => Ok(Some(packet)),
            Err(Malformed::InsufficientBytes(more)) => {
                self.arrived.reserve(more.max(READ));
                Ok(None)
            }
            Err(malformed) => Err(malformed.into()),
        }
    }

    /// Writes what was put, and waits until more has arrived. May be given up at any time.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn turn(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_written(cx) {
                return Poll::Ready(Err(error.into()));
            }
            match ready!(poll_read_buf(
                Pin::new(&mut self.stream),
                cx,
                &mut self.arrived
            )) {
                Ok(0) => Poll::Ready(Err(Lost::Closed)),
                Ok(_) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error.into())),
            }
        })
        .await
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.put.has_remaining() {
            let stream = Pin::new(&mut self.stream);
            if ready!(poll_write_buf(stream, cx, &mut self.put))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        if self.put.capacity() > 2 * FULL {
            self.put = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Writes what was put and takes leave, so that the broker does not publish the will.
    ///
    /// # Errors
    /// The connection was gone before.
    pub async fn close(mut self) -> Result<(), Lost> {
        let leave = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        self.put(&Packet::Disconnect(leave))?;
        poll_fn(|cx| self.poll_written(cx)).await?;
        Ok(self.stream.shutdown().await?)
    }
}

async fn connect(
    broker: &BrokerAddress,
    tls: Option<&TlsConnector>,
) -> Result<Box<dyn Stream>, io::Error> {
    let (BrokerAddress::Tcp { host, port } | BrokerAddress::Tls { host, port }) = broker;
    let host = host.trim_matches(['[', ']']);
    let stream = dial(host, *port).await?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(tls.connect(name, stream).await?))
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{PingReq, Publish};
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn the_reason_of_a_disconnect_is_understood_in_every_form() {
        let told = |rest: &[u8]| ending(rest).map(|lost| lost.to_string());
        let taken_over = "another client has connected with the same client id (mqtt.client_id)";
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[1]), None);
        assert_eq!(told(&[0]).unwrap(), "the broker ended the connection");
        assert_eq!(told(&[1, 0x8E]).unwrap(), taken_over);
        assert_eq!(told(&[0x80, 0x02, 0x8E, 0]).unwrap(), taken_over);
        assert_eq!(told(&[0x80]), None);
        assert_eq!(told(&[1, 0x77]).unwrap(), "the broker ended the connection");
    }

    fn link(stream: impl Stream + 'static) -> Link {
        Link {
            stream: Box::new(stream),
            arrived: BytesMut::new(),
            put: BytesMut::new(),
        }
    }

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
        let mut link = link(stream);
        let packets = [publish(b"one"), publish(b"two"), Packet::PingReq(PingReq)];
        for packet in &packets {
            link.put(packet).unwrap();
        }
        assert!(poll_once(&mut link).is_pending());
        assert!(!link.has_put());
        let mut read = BytesMut::new();
        broker.read_buf(&mut read).await.unwrap();
        for packet in packets {
            assert_eq!(Packet::read(&mut read, None).unwrap(), packet);
        }
    }

    fn poll_once(link: &mut Link) -> Poll<Result<(), Lost>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(link.turn()).poll(&mut context)
    }

    /// The broker takes seven bytes at a time, and each wait for it is given up.
    #[tokio::test]
    async fn a_turn_that_is_given_up_loses_nothing() {
        let (stream, mut broker) = tokio::io::duplex(7);
        let mut link = link(stream);
        let packet = publish(b"forty bytes that no pipe takes in one go");
        link.put(&packet).unwrap();
        let mut read = BytesMut::new();
        while poll_once(&mut link).is_pending() && link.has_put() {
            broker.read_buf(&mut read).await.unwrap();
        }
        broker.read_buf(&mut read).await.unwrap();
        assert_eq!(Packet::read(&mut read, None).unwrap(), packet);
        // An acknowledgement in two pieces.
        broker.write_all(&[0x40, 2, 0]).await.unwrap();
        assert!(matches!(poll_once(&mut link), Poll::Ready(Ok(()))));
        assert!(link.next().unwrap().is_none());
        assert!(poll_once(&mut link).is_pending());
        broker.write_all(&[9]).await.unwrap();
        assert!(matches!(poll_once(&mut link), Poll::Ready(Ok(()))));
        assert!(matches!(link.next(), Ok(Some(Packet::PubAck(ack))) if ack.pkid == 9));
        drop(broker);
        assert!(matches!(
            poll_once(&mut link),
            Poll::Ready(Err(Lost::Closed))
        ));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let (stream, _broker) = tokio::io::duplex(64);
        let mut link = link(stream);
        assert!(
            link.put(&Packet::Publish(Publish {
                qos: QoS::AtLeastOnce,
                ..Publish::default()
            }))
            .is_err()
        );
        assert!(!link.has_put());
    }
}
