//! The embedded broker against clients that want too much: before their log-in, and after it.
//!
//! Clients here are bytes on a socket, so that they can do what no library does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poly2mqtt::broker::{Broker, BrokerSettings, BrokerUser};
use poly2mqtt::guesses::Guesses;
use poly2mqtt::net::ListenSetting;
use poly2mqtt::topics::{DiscoveryTopics, Prefix};
use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::raw_mqtt::{packet, text, variable_integer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

mod after_login;
mod before_login;
mod places;
mod wills;

async fn broker(users: &[&str], connections: usize) -> Broker {
    let users = users.iter().map(|name| BrokerUser {
        name: (*name).into(),
        password: format!("{name}-secret").into(),
        rooms: None,
        control: true,
    });
    let settings = BrokerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        listen_setting: ListenSetting::BrokerUrl,
        connections,
        users: users.collect(),
        prefix: Prefix::default(),
        discovery: DiscoveryTopics::default(),
        max_payload: 10 << 20,
    };
    Broker::start(settings, Guesses::new(Arc::default()), Arc::default())
        .await
        .unwrap()
}

/// The types of packets.
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const DISCONNECT: u8 = 14;

const QUOTA_EXCEEDED: u8 = 0x97;

/// How a client connects.
#[derive(Clone, Copy)]
struct Login<'a> {
    version: u8,
    client_id: &'a str,
    user: Option<(&'a str, &'a str)>,
    clean: bool,
    /// Seconds.
    session_expiry: u32,
}

const ANYONE: Login<'_> = Login {
    version: 5,
    client_id: "",
    user: None,
    clean: true,
    session_expiry: 0,
};

fn connect_packet(login: &Login<'_>) -> Vec<u8> {
    let mut flags = u8::from(login.clean) << 1;
    flags |= if login.user.is_some() { 0xC0 } else { 0 };
    let mut body = [text("MQTT"), vec![login.version, flags, 0, 60]].concat();
    if login.version == 5 {
        body.extend([5, 0x11]);
        body.extend(login.session_expiry.to_be_bytes());
    }
    body.extend(text(login.client_id));
    if let Some((user, password)) = login.user {
        body.extend([text(user), text(password)].concat());
    }
    packet(0x10, &body)
}

fn publish_packet(topic: &str, id: u16, flags: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(variable_integer(properties.len()));
    body.extend(properties);
    body.extend(payload);
    packet(0x30 | flags, &body)
}

/// A client on the wire.
struct Wire {
    socket: TcpStream,
    version: u8,
}

impl Wire {
    async fn open(broker: &Broker) -> TcpStream {
        TcpStream::connect(broker.addr()).await.unwrap()
    }

    /// Connects; gives the CONNACK as well.
    async fn try_connect(broker: &Broker, login: Login<'_>) -> (Self, Vec<u8>) {
        let mut wire = Self {
            socket: Self::open(broker).await,
            version: login.version,
        };
        wire.send(&connect_packet(&login)).await;
        let (kind, connack) = wire.receive().await.expect("an answer");
        assert_eq!(kind, CONNACK);
        (wire, connack)
    }

    async fn connect(broker: &Broker, login: Login<'_>) -> Self {
        let (wire, connack) = Self::try_connect(broker, login).await;
        assert_eq!(connack[1], 0, "accepted");
        wire
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next packet: its type and body. `None` at the end of the connection.
    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let packet = async {
            let first = self.socket.read_u8().await.ok()?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.socket.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7F) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.socket.read_exact(&mut body).await.ok()?;
            Some((first >> 4, body))
        };
        timeout(SOON, packet).await.expect("a packet or the end")
    }

    /// The next packet, which must be of this type.
    async fn expect(&mut self, kind: u8) -> Vec<u8> {
        let (found, body) = self.receive().await.expect("a packet");
        assert_eq!(found, kind, "{body:?}");
        body
    }

    async fn subscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let mut body = vec![0, 9];
        if self.version == 5 {
            body.push(0);
        }
        for filter in filters {
            body.extend(text(filter));
            body.push(1);
        }
        self.send(&packet(0x82, &body)).await;
        let suback = self.expect(SUBACK).await;
        suback[suback.len() - filters.len()..].to_vec()
    }

    /// Publishes with QoS 1; gives the code of the answer.
    async fn publish(&mut self, topic: &str, retain: bool, payload: &[u8]) -> u8 {
        self.send(&publish_packet(
            topic,
            5,
            2 | u8::from(retain),
            &[],
            payload,
        ))
        .await;
        let puback = self.expect(PUBACK).await;
        puback.get(2).copied().unwrap_or_default()
    }

    async fn is_alive(&mut self) -> bool {
        self.socket.write_all(&[0xC0, 0]).await.is_ok()
            && matches!(self.receive().await, Some((13, _)))
    }
}

async fn ends(mut socket: TcpStream) {
    let mut rest = Vec::new();
    // A connection that is reset has ended as well.
    let _ = timeout(SOON, socket.read_to_end(&mut rest))
        .await
        .expect("it is closed");
}
