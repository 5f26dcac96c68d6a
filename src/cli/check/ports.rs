//! The ports that the gateway listens on: free, or in use by whom.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Map;

use super::report::{Trial, TrialSubject};
use crate::app::ListenSettings;
use crate::config::{BrokerUrl, Config};
use crate::net::{ListenSetting, port_holder, try_bind};

/// Tries every port of the configuration.
pub fn try_ports(config: &Config) -> Vec<Trial> {
    let settings = ListenSettings::default();
    let broker = match config.mqtt.url {
        BrokerUrl::Embedded(at) => Some(at),
        _ => None,
    };
    [
        (settings.broker, broker),
        (settings.http, config.http.listen),
        (settings.tcp, config.tcp.listen),
    ]
    .into_iter()
    .filter_map(|(setting, at)| Some(try_port(setting, at?)))
    .collect()
}

/// Listens on the port for a moment. A port that the running gateway has is as good as a free one.
fn try_port(setting: ListenSetting, at: SocketAddr) -> Trial {
    let started = Instant::now();
    let (usable, report) = match try_bind(at) {
        Ok(_) => (true, "the port is free".to_owned()),
        Err(error) => match port_holder(at) {
            Some(holder) if holder.is_gateway() => (
                true,
                format!("the gateway runs: the port is in use by {holder}"),
            ),
            _ => (
                false,
                format!("cannot be listened on: {}", setting.why_not(at, &error)),
            ),
        },
    };
    Trial {
        subject: TrialSubject::Key(setting.name()),
        address: at.to_string(),
        usable,
        report,
        took: started.elapsed(),
        facts: Map::new(),
        clock_ahead: None,
    }
}
