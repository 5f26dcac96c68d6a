//! The embedded broker, if the configuration asks for it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::home_assistant::discovery_topics;
use crate::broker::{Broker, BrokerSettings, BrokerUser};
use crate::config::{BrokerUrl, Config, RoomId};
use crate::guesses::Guesses;
use crate::net::ListenSetting;
use crate::telemetry::Telemetry;
use crate::topics::Prefix;

/// Starts it, with at most this many connections at a time.
///
/// # Errors
/// The address cannot be used.
pub async fn start(
    config: &Config,
    listen_setting: ListenSetting,
    connections: usize,
    guesses: &Arc<Guesses>,
    telemetry: &Arc<Telemetry>,
) -> Result<Option<Broker>, String> {
    match &config.mqtt.url {
        BrokerUrl::Embedded(listen) => {
            let broker = Broker::start(
                BrokerSettings {
                    listen_setting,
                    ..settings(config, *listen, connections)
                },
                guesses.clone(),
                telemetry.clone(),
            );
            broker.await.map(Some)
        }
        _ => Ok(None),
    }
}

fn settings(config: &Config, listen: SocketAddr, connections: usize) -> BrokerSettings {
    let mqtt = &config.mqtt;
    let users = mqtt.users.iter().map(|user| BrokerUser {
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
        listen_setting: ListenSetting::BrokerUrl,
        connections,
        users: users.collect(),
        prefix: Prefix::new(&*mqtt.topic_prefix),
        discovery: discovery_topics(config),
        max_payload: mqtt.max_payload,
    }
}
