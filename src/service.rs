//! The running program: what starts after what, and what stops before what.
//!
//! Broker, rooms and front doors are started here from a configuration and stopped in the reverse
//! order. Owns the time limits of the stop. Reads no files and handles no signals.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::{BrokerUrl, Config};
use crate::device::Timings;
use crate::gateway::Gateway;
use crate::home_assistant::{Ends, Naming, Pace, Publisher};
use crate::hub::{Heard, Hub};
use crate::mqtt::broker::{Broker, Settings as BrokerSettings, User};
use crate::mqtt::{BrokerAddress, Door, Foreign, Settings, Stats};

/// Commands that have begun are given this long at the stop.
const FINISH: Duration = Duration::from_secs(5);
/// And then the last messages this long.
const FLUSH: Duration = Duration::from_secs(2);
const HEALTH: Duration = Duration::from_secs(60);
/// So many messages of other programs may wait to be heard.
const HEARD: usize = 1024;

/// The gateway with everything around it.
#[derive(Debug)]
pub struct Service {
    broker: Option<Broker>,
    gateway: Arc<Gateway>,
    door: Door,
    home_assistant: Option<Publisher>,
    health: JoinHandle<()>,
    hub: Arc<Hub>,
    config: Config,
}

impl Service {
    /// Starts everything.
    ///
    /// # Errors
    /// What cannot be started, for a person.
    pub async fn start(config: Config, timings: Timings) -> Result<Self, String> {
        let hub = Hub::new();
        let mut mqtt = door_settings(&config);
        let broker = match config.mqtt.url {
            BrokerUrl::Embedded(listen) => {
                let broker = Broker::start(broker_settings(&config, listen), hub.clone()).await?;
                let (user, password) = broker.gateway_login();
                mqtt.username = Some(user);
                mqtt.password = Some(password);
                mqtt.broker = own_broker(&broker);
                Some(broker)
            }
            _ => None,
        };
        let gateway = Gateway::new(hub.clone(), timings);
        if let Err(failed) = gateway.apply(&config).await {
            return Err(failed.join("\n"));
        }
        let (foreign, heard) = foreign(&config).unzip();
        let announcements = foreign
            .as_ref()
            .map(|foreign: &Foreign| foreign.hub.clone());
        let door = Door::start(mqtt, hub.clone(), gateway.clone(), foreign)?;
        let ends = announcements.zip(heard).map(|(announcements, heard)| Ends {
            hub: hub.clone(),
            announcements,
            heard,
            connected: door.connected(),
        });
        let home_assistant = ends.map(|ends| {
            let status_topic = config.home_assistant.status_topic.clone();
            let rooms = config.rooms.clone();
            Publisher::start(naming(&config), status_topic, Pace::default(), rooms, ends)
        });
        let health = tokio::spawn(publish_health(gateway.clone(), door.stats()));
        Ok(Self {
            broker,
            gateway,
            door,
            home_assistant,
            health,
            hub,
            config,
        })
    }

    /// The retained state of everything.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where the embedded broker listens, if it runs.
    pub fn broker_addr(&self) -> Option<std::net::SocketAddr> {
        self.broker.as_ref().map(Broker::addr)
    }

    /// Waits until the broker is connected.
    pub async fn connected(&self) {
        let mut connected = self.door.connected();
        // The sender lives as long as the door.
        let _ = connected.wait_for(|connected| *connected).await;
    }

    /// Takes over a new configuration: rooms and polling at once, the broker at the next start.
    ///
    /// # Errors
    /// The rooms that cannot be started; the others run.
    pub async fn reload(&mut self, config: Config) -> Result<(), Vec<String>> {
        if config.mqtt != self.config.mqtt {
            tracing::warn!("changes below [mqtt] take effect at the next start");
        }
        if config.home_assistant != self.config.home_assistant {
            tracing::warn!("changes below [home_assistant] take effect at the next start");
        }
        self.config.rooms = config.rooms;
        // Before the rooms: entities go before their states are cleared.
        if let Some(home_assistant) = &self.home_assistant {
            home_assistant.set_rooms(self.config.rooms.clone());
        }
        self.gateway.apply(&self.config).await
    }

    /// Stops: no more commands, those begun are finished, `offline` is published, every device is
    /// logged out of.
    pub async fn stop(self) {
        self.health.abort();
        if let Some(home_assistant) = self.home_assistant {
            home_assistant.stop();
        }
        self.gateway.stop(Instant::now() + FINISH).await;
        self.door.stop(Instant::now() + FLUSH).await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }
}

async fn publish_health(gateway: Arc<Gateway>, stats: Arc<Stats>) {
    let mut ticks = interval(HEALTH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gateway.publish_health(&json!({
            "connects": stats.connects.load(Ordering::Relaxed),
            "published": stats.published.load(Ordering::Relaxed),
            "received": stats.received.load(Ordering::Relaxed),
            "refused": stats.refused.load(Ordering::Relaxed),
        }));
    }
}

fn own_broker(broker: &Broker) -> BrokerAddress {
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

fn naming(config: &Config) -> Naming {
    Naming {
        topic_prefix: config.mqtt.topic_prefix.clone(),
        discovery_prefix: config.home_assistant.prefix.clone(),
    }
}

/// What the door does for Home Assistant, and what it hears there.
fn foreign(config: &Config) -> Option<(Foreign, mpsc::Receiver<Heard>)> {
    if !config.home_assistant.discovery {
        return None;
    }
    let (heard, receiver) = mpsc::channel(HEARD);
    let status = config.home_assistant.status_topic.clone();
    let foreign = Foreign {
        hub: Hub::new(),
        filters: vec![status, naming(config).config_filter()],
        heard,
    };
    Some((foreign, receiver))
}

fn door_settings(config: &Config) -> Settings {
    let mqtt = &config.mqtt;
    let broker = match &mqtt.url {
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
    Settings {
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
    }
}

fn broker_settings(config: &Config, listen: std::net::SocketAddr) -> BrokerSettings {
    let mqtt = &config.mqtt;
    let users = mqtt.users.iter().map(|user| User {
        name: user.name.clone(),
        password: user.password.secret().clone(),
        rooms: user
            .rooms
            .as_ref()
            .map(|rooms| rooms.iter().map(crate::config::RoomId::shared).collect()),
        control: user.control,
    });
    BrokerSettings {
        listen,
        users: users.collect(),
        prefix: mqtt.topic_prefix.clone(),
        max_payload: mqtt.max_payload,
    }
}
