//! A client that does what a gateway of a cluster does at the broker: many filters, many messages, all acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Codec, Connect, ConnectProperties, Filter, Packet, PubAck, Publish, RetainForwardRule,
    Subscribe,
};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

/// How many messages wait for their acknowledgement: what Mosquitto offers.
const MOST_IN_FLIGHT: usize = 1000;
/// How long nothing may come while something is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connected client.
pub struct MemberClient {
    link: Framed<TcpStream, Codec>,
    last_id: u16,
    in_flight: usize,
    received: Arc<AtomicU64>,
}

impl MemberClient {
    /// Connects. What is received is counted in `received`.
    pub async fn connect(port: u16, id: &str, received: Arc<AtomicU64>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let codec = Codec {
            max_incoming_size: None,
            max_outgoing_size: None,
        };
        let mut client = Self {
            link: Framed::new(stream, codec),
            last_id: 0,
            in_flight: 0,
            received,
        };
        let mut properties = ConnectProperties::new();
        properties.receive_maximum = Some(u16::MAX);
        let connect = Connect {
            keep_alive: 600,
            client_id: id.to_owned(),
            clean_start: true,
            properties: Some(properties),
        };
        let connect = Packet::Connect(connect, None, None);
        client.link.send(connect).await.unwrap();
        let ack = client.link.next().await.unwrap().unwrap();
        assert!(matches!(ack, Packet::ConnAck(_)), "{ack:?}");
        client
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// Subscribes as a gateway does, without its own messages and without retained ones, and waits for the answer.
    pub async fn subscribe(&mut self, filters: &[String]) {
        let filters = filters.iter().map(|filter| Filter {
            path: filter.clone(),
            qos: QoS::AtLeastOnce,
            nolocal: true,
            preserve_retain: true,
            retain_forward_rule: RetainForwardRule::Never,
        });
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = self.next_id();
        self.link.send(Packet::Subscribe(subscribe)).await.unwrap();
        while !self.read().await {}
    }

    /// Publishes these retained with QoS 1, and waits until all are acknowledged.
    pub async fn publish(&mut self, messages: impl IntoIterator<Item = (String, Bytes)>) {
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() || self.in_flight > 0 {
            while self.in_flight < MOST_IN_FLIGHT
                && let Some((topic, payload)) = messages.next()
            {
                let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
                publish.pkid = self.next_id();
                publish.retain = true;
                self.link.feed(Packet::Publish(publish)).await.unwrap();
                self.in_flight += 1;
            }
            self.link.flush().await.unwrap();
            self.read().await;
        }
    }

    /// Receives and acknowledges until all clients together have received so many.
    pub async fn receive(&mut self, all: u64) {
        while self.received.load(Ordering::Relaxed) < all {
            // Others may receive what is missing.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.read()).await;
        }
    }

    /// Reads what is there, at least one packet. Whether a SUBACK was among it.
    async fn read(&mut self) -> bool {
        let packet = tokio::time::timeout(PATIENCE, self.link.next());
        let mut next = Some(packet.await.expect("the broker answers"));
        let mut is_granted = false;
        while let Some(packet) = next {
            match packet.unwrap().unwrap() {
                Packet::Publish(publish) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    let ack = PubAck::new(publish.pkid, None);
                    self.link.feed(Packet::PubAck(ack)).await.unwrap();
                }
                Packet::PubAck(_) => self.in_flight -= 1,
                Packet::SubAck(_) => is_granted = true,
                _ => {}
            }
            next = self.link.next().now_or_never();
        }
        self.link.flush().await.unwrap();
        is_granted
    }
}
