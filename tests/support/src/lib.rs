//! What the tests share: gateways, brokers, clients for every door, a browser, and the built program.
//!
//! ```text
//! gateway     a whole gateway with devices and a broker; door: without MQTT; obliging: a door alone; cluster: several
//! client      an MQTT client that remembers; raw_mqtt: one that sends any bytes; reconnecting_socket: a WebSocket
//! mosquitto   brokers and stores as processes: etcd; scripted_broker: a broker that does what a test tells it
//! program     the built program as a process; programs: others that may be installed; browser: Chromium
//! authority   certificates; tls: servers with any of them; any_certificate: clients that take any
//! wait        waiting with a deadline; watchdog: an end for a test that hangs; cases: at the same time
//! log         a log that a test reads; secrets: what must be in none; random: numbers from a seed
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod any_certificate;
pub mod authority;
pub mod browser;
pub mod cases;
pub mod client;
pub mod cluster;
pub mod door;
pub mod etcd;
pub mod gateway;
pub mod log;
pub mod mosquitto;
pub mod obliging;
pub mod program;
pub mod programs;
pub mod random;
pub mod raw_mqtt;
pub mod reconnecting_socket;
pub mod scripted_broker;
pub mod secrets;
pub mod tls;
pub mod wait;
pub mod watchdog;

use std::net::SocketAddr;
use std::sync::Arc;

use poly2mqtt::broker::{Broker, BrokerSettings, BrokerUser};
use poly2mqtt::doors::mqtt::BrokerAddress;
use poly2mqtt::guesses::Guesses;
use poly2mqtt::net::ListenSetting;
use poly2mqtt::telemetry::Telemetry;
use poly2mqtt::topics::{DiscoveryTopics, Prefix};

pub use etcd::{EtcdCluster, EtcdSetup, EtcdUsers, etcd};
pub use mosquitto::{Mosquitto, mosquitto};
pub use obliging::Obliging;
pub use program::free_port;
pub use wait::{SOON, soon, until};

/// The address of a broker on this machine, without TLS.
pub fn plain_tcp(port: u16) -> BrokerAddress {
    BrokerAddress::Tcp {
        host: "127.0.0.1".into(),
        port,
    }
}

/// Which broker a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    Embedded,
    Mosquitto,
}

/// A broker for a test.
pub enum TestBroker {
    Embedded(Broker),
    Mosquitto(Mosquitto),
}

impl TestBroker {
    pub async fn start(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Embedded => Self::Embedded(embedded(Vec::new()).await),
            BrokerKind::Mosquitto => Self::Mosquitto(Mosquitto::start(0, "")),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Embedded(broker) => broker.addr().port(),
            Self::Mosquitto(mosquitto) => mosquitto.port,
        }
    }

    /// The gateway's own user and password, if the broker has one.
    pub fn gateway_login(&self) -> Option<(String, secrecy::SecretString)> {
        match self {
            Self::Embedded(broker) => Some(broker.gateway_login()),
            Self::Mosquitto(_) => None,
        }
    }

    /// Ends Mosquitto and starts a new one at the same port, with nothing retained.
    pub fn restart(self) -> Self {
        let Self::Mosquitto(mosquitto) = self else {
            panic!("the embedded broker lives and dies with the gateway");
        };
        let port = mosquitto.port;
        drop(mosquitto);
        Self::Mosquitto(Mosquitto::start(port, ""))
    }
}

/// Starts the embedded broker at a free port of this machine.
pub async fn embedded(users: Vec<BrokerUser>) -> Broker {
    watchdog::watch();
    let settings = BrokerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        listen_setting: ListenSetting::BrokerUrl,
        connections: poly2mqtt::broker::MOST_CLIENTS,
        users,
        prefix: Prefix::default(),
        discovery: DiscoveryTopics::default(),
        max_payload: 10 << 20,
    };
    let telemetry = Arc::<Telemetry>::default();
    Broker::start(settings, Guesses::new(telemetry.clone()), telemetry)
        .await
        .unwrap()
}
