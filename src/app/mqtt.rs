//! Makes the MQTT door's settings from the configuration, and starts it.

use super::core::Core;
use super::home_assistant::{discovery_topics, extra_topics};
use super::own_thread::DoorThread;
use crate::broker::Broker;
use crate::config::{BrokerUrl, Config, MqttConfig};
use crate::doors;
use crate::doors::mqtt::{
    BrokerAddress, BrokerTrial, ExtraTopics, MqttDoor, MqttSettings, TrialTopics,
};
use crate::topics::Prefix;

/// The MQTT door that runs.
pub struct RunningMqtt {
    /// The door.
    pub door: MqttDoor,
    /// The settings that it was started with.
    pub settings: MqttSettings,
    /// Where it runs, if several gateways share the rooms.
    pub thread: Option<DoorThread>,
}

impl RunningMqtt {
    /// Starts the door. `extra_topics`: those of Home Assistant, if it gets any.
    ///
    /// # Errors
    /// Certificate files that cannot be used, or the system gives no thread.
    pub fn start(
        core: &Core,
        settings: MqttSettings,
        extra_topics: Option<ExtraTopics>,
    ) -> Result<Self, String> {
        let shared = settings.shared.as_ref();
        let thread = shared.map(|_| DoorThread::start()).transpose()?;
        let door = {
            let _entered = thread.as_ref().map(DoorThread::enter);
            MqttDoor::start(
                settings.clone(),
                core.store.clone(),
                core.submit(),
                core.telemetry.clone(),
                extra_topics,
            )?
        };
        Ok(Self {
            door,
            settings,
            thread,
        })
    }
}

/// Tries an outside broker with the settings of the door; `None` if none is configured.
pub fn try_broker(config: &Config) -> Option<impl Future<Output = Result<BrokerTrial, String>>> {
    let settings = command_line_settings(config)?;
    let discovery = extra_topics(config).map(|(topics, _)| topics.filters);
    let topics = TrialTopics {
        rooms: config.rooms.keys().map(ToString::to_string).collect(),
        discovery: discovery.is_some(),
        filters: discovery.unwrap_or_default(),
    };
    Some(async move { doors::mqtt::try_broker(&settings, &topics).await })
}

/// How the command line connects to an outside broker; `None` if none is configured.
pub fn command_line_settings(config: &Config) -> Option<MqttSettings> {
    let settings = settings(config, None)?;
    Some(match &config.cluster {
        Some(cluster) => settings.beside_member(&cluster.cluster_id(), &cluster.name),
        None => settings,
    })
}

/// The door's settings; `None` if no broker is configured. `embedded` is the gateway's own broker,
/// if it runs.
pub fn settings(config: &Config, embedded: Option<&Broker>) -> Option<MqttSettings> {
    let mqtt = &config.mqtt;
    let connection = match (embedded, &mqtt.url) {
        (Some(embedded), _) => to_embedded(embedded),
        (None, BrokerUrl::Off | BrokerUrl::Embedded(_)) => return None,
        (None, BrokerUrl::Tcp { host, port }) => {
            let (host, port) = (host.clone(), *port);
            to_external(mqtt, BrokerAddress::Tcp { host, port })
        }
        (None, BrokerUrl::Tls { host, port }) => {
            let (host, port) = (host.clone(), *port);
            to_external(mqtt, BrokerAddress::Tls { host, port })
        }
    };
    Some(MqttSettings {
        client_id: mqtt.client_id_below(&mqtt.topic_prefix),
        gateway_id: mqtt.gateway_id(),
        prefix: Prefix::new(&*mqtt.topic_prefix),
        discovery: discovery_topics(config),
        session_expiry: mqtt.session_expiry,
        max_payload: mqtt.max_payload,
        keep_alive: mqtt.keep_alive,
        ..connection
    })
}

fn to_external(mqtt: &MqttConfig, broker: BrokerAddress) -> MqttSettings {
    let password = mqtt.password.as_ref();
    MqttSettings {
        username: mqtt.username.clone(),
        password: password.map(|password| password.secret().clone()),
        certificate: mqtt.certificate,
        ca_file: mqtt.ca_file.clone(),
        client_cert_file: mqtt.client_cert_file.clone(),
        client_key_file: mqtt.client_key_file.clone(),
        alpn: mqtt.alpn.clone(),
        ..MqttSettings::new(broker)
    }
}

fn to_embedded(broker: &Broker) -> MqttSettings {
    let (username, password) = broker.gateway_login();
    MqttSettings {
        username: Some(username),
        password: Some(password),
        marks_messages: false,
        ..MqttSettings::new(embedded_address(broker))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_given_are_those_of_the_configuration() {
        let (host, port) = ("broker".to_owned(), 1883);
        let mut config = Config::default();
        config.home_assistant.discovery = false;
        config.mqtt.url = BrokerUrl::Tcp {
            host: host.clone(),
            port,
        };
        let configured = settings(&config, None).unwrap();
        let new = MqttSettings::new(BrokerAddress::Tcp { host, port });
        assert_eq!(format!("{configured:?}"), format!("{new:?}"));
    }

    #[test]
    fn the_command_line_of_each_gateway_of_a_cluster_is_another_client() {
        let client_id = |cluster: &str| {
            let text = format!(
                "[mqtt]\nurl = \"mqtt://broker\"\n[http]\nlisten = \"127.0.0.1:0\"\n{cluster}\n\
                 [rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"4\"\n"
            );
            let config = crate::config::read("test".into(), &text, []);
            let settings = command_line_settings(&config.unwrap().config);
            settings.unwrap().client_id
        };
        let of_member = |name: &str| {
            client_id(&format!(
                "[cluster]\nname = \"{name}\"\netcd = [\"http://127.0.0.1:2379\"]\nprefix = \"/test/campus\"\n\
                 advertise = \"http://127.0.0.1:1\"\ntoken = \"a token of the cluster\""
            ))
        };
        assert_eq!(client_id(""), "poly2mqtt");
        assert_eq!(of_member("gw-1"), "test:campus::gw-1.cli");
        assert_eq!(of_member("gw-2"), "test:campus::gw-2.cli");
    }
}
