//! The ports that the gateway listens on: free, or in use by whom.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Map;

use super::health::{self, Health};
use super::report::{Trial, TrialSubject};
use crate::app::ListenSettings;
use crate::config::{BrokerUrl, Config};
use crate::net::{ListenSetting, port_holder, try_bind};

/// Tries every port of the configuration. That of HTTP is asked too, if a gateway has it: it may be one with another
/// configuration, which has its broker there.
pub async fn try_ports(config: &Config) -> Vec<Trial> {
    let settings = ListenSettings::default();
    let broker = match config.mqtt.url {
        BrokerUrl::Embedded(at) => Some(at),
        _ => None,
    };
    let ports = [
        (settings.broker, broker),
        (settings.http, config.http.listen),
        (settings.tcp, config.tcp.listen),
    ];
    let tried = ports.into_iter();
    let mut tried: Vec<_> = tried
        .filter_map(|(setting, at)| Some((setting, try_port(setting, at?))))
        .collect();
    for (setting, trial) in &mut tried {
        if *setting == settings.http
            && trial.is_of_gateway
            && let Err(why) = health::ask(&config.http, Health::Alive).await
        {
            let told = &mut trial.told;
            told.usable = false;
            told.report = format!(
                "{}, which does not answer as this one would: {why}",
                told.report
            );
        }
    }
    tried.into_iter().map(|(_, trial)| trial.told).collect()
}

/// What came of a port.
struct PortTrial {
    told: Trial,
    is_of_gateway: bool,
}

/// Listens on the port for a moment. A port that the running gateway has is as good as a free one.
fn try_port(setting: ListenSetting, at: SocketAddr) -> PortTrial {
    let started = Instant::now();
    let mut is_of_gateway = false;
    let (usable, report) = match try_bind(at) {
        Ok(_) => (true, "the port is free".to_owned()),
        Err(error) => match port_holder(at) {
            Some(holder) if holder.is_gateway() => {
                is_of_gateway = true;
                let report = format!("the gateway runs: the port is in use by {holder}");
                (true, report)
            }
            _ => (
                false,
                format!("cannot be listened on: {}", setting.why_not(at, &error)),
            ),
        },
    };
    let told = Trial {
        subject: TrialSubject::Key(setting.name()),
        address: at.to_string(),
        usable,
        report,
        took: started.elapsed(),
        facts: Map::new(),
        clock_ahead: None,
    };
    PortTrial {
        told,
        is_of_gateway,
    }
}
