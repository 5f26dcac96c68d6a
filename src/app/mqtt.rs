//! Makes the MQTT door's settings from the configuration.

use super::home_assistant::discovery_topics;
use crate::broker::Broker;
use crate::config::{BrokerUrl, Config};
use crate::doors::mqtt::{BrokerAddress, MqttSettings};
use crate::topics::Prefix;

/// The door's settings; `None` if no broker is configured. `embedded` is the gateway's own broker,
/// if it runs.
pub fn settings(config: &Config, embedded: Option<&Broker>) -> Option<MqttSettings> {
    let mqtt = &config.mqtt;
    let broker = match &mqtt.url {
        BrokerUrl::Off => return None,
        BrokerUrl::Embedded(_) => embedded_address(embedded?),
        BrokerUrl::Tcp { host, port } => BrokerAddress::Tcp {
            host: host.clone(),
            port: *port,
        },
        BrokerUrl::Tls { host, port } => BrokerAddress::Tls {
            host: host.clone(),
            port: *port,
        },
    };
    let (username, password) = match embedded {
        Some(embedded) => {
            let (username, password) = embedded.gateway_login();
            (Some(username), Some(password))
        }
        None => {
            let password = mqtt.password.as_ref();
            (
                mqtt.username.clone(),
                password.map(|password| password.secret().clone()),
            )
        }
    };
    let default_client_id = || match mqtt.topic_prefix.as_str() {
        "" => "poly2mqtt".to_owned(),
        prefix => format!("poly2mqtt-{}", prefix.replace('/', "-")),
    };
    Some(MqttSettings {
        broker,
        username,
        password,
        client_id: mqtt.client_id.clone().unwrap_or_else(default_client_id),
        ca_file: mqtt.ca_file.clone(),
        client_cert_file: mqtt.client_cert_file.clone(),
        client_key_file: mqtt.client_key_file.clone(),
        prefix: Prefix::new(&*mqtt.topic_prefix),
        discovery: discovery_topics(config),
        session_expiry: mqtt.session_expiry,
        max_payload: mqtt.max_payload,
        keep_alive: mqtt.keep_alive,
    })
}

/// How the gateway reaches its own broker: if that listens on all addresses, through loopback.
fn embedded_address(broker: &Broker) -> BrokerAddress {
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
