//! An outside broker: can it be reached, does it let the gateway in, and what may the gateway do there?

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::report::{Trial, TrialSubject};
use crate::app;
use crate::config::Config;
use crate::doors::mqtt::{BrokerRight, BrokerTrial};

/// Tries the broker, if there is an outside one.
pub fn try_broker(config: &Config) -> Option<impl Future<Output = Trial>> {
    let trial = app::try_broker(config)?;
    Some(async move {
        let started = Instant::now();
        let mut facts = Map::new();
        let (usable, report) = match trial.await {
            Ok(trial) => {
                facts.insert("rights".into(), trial.rights.iter().map(right).collect());
                (trial.problems.is_empty(), report(config, trial))
            }
            Err(why) => (false, why),
        };
        Trial {
            subject: TrialSubject::Key("mqtt.url"),
            address: config.mqtt.url.to_string(),
            usable,
            report,
            took: started.elapsed(),
            facts,
            clock_ahead: None,
        }
    })
}

fn right(right: &BrokerRight) -> Value {
    json!({right.does: right.topic, "ok": right.is_granted})
}

fn report(config: &Config, trial: BrokerTrial) -> String {
    let connected = match &config.mqtt.username {
        Some(user) => format!("MQTT 5, logged in as \"{user}\""),
        None => "MQTT 5, without user".to_owned(),
    };
    let rights = if trial.problems.is_empty() {
        vec!["the gateway may subscribe and publish".to_owned()]
    } else {
        trial.problems
    };
    let parts = [connected].into_iter().chain(rights).chain(trial.limits);
    parts.collect::<Vec<_>>().join("; ")
}
