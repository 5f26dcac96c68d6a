//! What the configuration means for the MQTT door, the embedded broker and Home Assistant.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::broker::{Broker, Settings as BrokerSettings, User};
use crate::config::{BrokerUrl, Config, RoomId};
use crate::doors::mqtt::{BrokerAddress, ExtraTopics, Settings};
use crate::home_assistant::{self, Naming};
use crate::state::{Inbound, StateStore};

/// So many messages of other programs may wait to be heard, besides those that every room brings: at
/// the start the broker tells of all their documents at once.
const HEARD: usize = 1024;

/// How the gateway reaches its own broker.
pub fn own_broker(broker: &Broker) -> BrokerAddress {
    let addr = broker.addr();
    let host = match addr.ip() {
        ip if ip.is_unspecified() && ip.is_ipv6() => "::1".to_owned(),
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        ip => ip.to_string(),
    };
    BrokerAddress::Tcp {
        host,
        port: addr.port(),
    }
}

/// The MQTT door's settings, where there is to be one.
pub fn door_settings(config: &Config) -> Option<Settings> {
    let mqtt = &config.mqtt;
    let broker = match &mqtt.url {
        BrokerUrl::Off => return None,
        BrokerUrl::Embedded(listen) => BrokerAddress::Tcp {
            host: listen.ip().to_string(),
            port: listen.port(),
        },
        BrokerUrl::Tcp { host, port } => BrokerAddress::Tcp {
            host: host.clone(),
            port: *port,
        },
        BrokerUrl::Tls { host, port } => BrokerAddress::Tls {
            host: host.clone(),
            port: *port,
        },
    };
    let client_id = || match mqtt.topic_prefix.as_str() {
        "" => "poly2mqtt".to_owned(),
        prefix => format!("poly2mqtt-{}", prefix.replace('/', "-")),
    };
    Some(Settings {
        broker,
        username: mqtt.username.clone(),
        password: mqtt
            .password
            .as_ref()
            .map(|password| password.secret().clone()),
        client_id: mqtt.client_id.clone().unwrap_or_else(client_id),
        ca_file: mqtt.ca_file.clone(),
        client_cert_file: mqtt.client_cert_file.clone(),
        client_key_file: mqtt.client_key_file.clone(),
        prefix: mqtt.topic_prefix.clone(),
        session_expiry: mqtt.session_expiry,
        max_payload: mqtt.max_payload,
        keep_alive: mqtt.keep_alive,
    })
}

/// The embedded broker's settings.
pub fn broker_settings(config: &Config, listen: SocketAddr) -> BrokerSettings {
    let mqtt = &config.mqtt;
    let users = mqtt.users.iter().map(|user| User {
        name: user.name.clone(),
        password: user.password.secret().clone(),
        rooms: user
            .rooms
            .as_ref()
            .map(|rooms| rooms.iter().map(RoomId::shared).collect()),
        control: user.control,
    });
    BrokerSettings {
        listen,
        users: users.collect(),
        prefix: mqtt.topic_prefix.clone(),
        max_payload: mqtt.max_payload,
    }
}

/// How Home Assistant's topics and ids are named.
pub fn naming(config: &Config) -> Naming {
    Naming {
        topic_prefix: config.mqtt.topic_prefix.clone(),
        discovery_prefix: config.home_assistant.prefix.clone(),
    }
}

/// What the MQTT door does for Home Assistant, where that is wanted, and what it hears there.
pub fn foreign(config: &Config) -> Option<(ExtraTopics, mpsc::Receiver<Inbound>)> {
    if !config.home_assistant.discovery {
        return None;
    }
    let (heard, receiver) = mpsc::channel(HEARD + 2 * config.rooms.len());
    let status = config.home_assistant.status_topic.clone();
    let foreign = ExtraTopics {
        store: StateStore::new(),
        payload: home_assistant::decompressed,
        filters: vec![status, naming(config).config_filter()],
        heard,
    };
    Some((foreign, receiver))
}
