//! What `check` found: a line each, or one JSON document with `--json`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cli::CliError;
use crate::config::RoomId;
use crate::listed::counted;

/// One thing that was tried.
#[derive(Debug)]
pub struct Trial {
    /// The key or the room that it is about.
    pub subject: TrialSubject,
    /// Its address.
    pub address: String,
    /// Whether the gateway can use it.
    pub usable: bool,
    /// What it is, or why it cannot be used.
    pub report: String,
    /// How long it took.
    pub took: Duration,
    /// More about it, for the document.
    pub facts: Map<String, Value>,
    /// How far the device's clock is ahead of this machine's, in seconds, if it tells the time.
    pub clock_ahead: Option<i64>,
}

/// What a trial is about.
#[derive(Debug, Clone)]
pub enum TrialSubject {
    /// A key of the configuration.
    Key(&'static str),
    /// A room.
    Room(RoomId),
}

impl Trial {
    /// Subject, address and report, with tabs between.
    pub fn line(&self) -> String {
        let subject = match &self.subject {
            TrialSubject::Key(key) => (*key).to_owned(),
            TrialSubject::Room(id) => id.to_string(),
        };
        format!("{subject}\t{}\t{}\n", self.address, self.report)
    }

    fn json(&self) -> Value {
        let (kind, name) = match &self.subject {
            TrialSubject::Key(key) => ("key", (*key).to_owned()),
            TrialSubject::Room(id) => ("room", id.to_string()),
        };
        let mut json = json!({
            kind: name,
            "address": self.address,
            "ok": self.usable,
            "message": self.report,
            "took_ms": milliseconds(self.took),
        });
        if let Some(json) = json.as_object_mut() {
            json.extend(self.facts.clone());
        }
        json
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is allowed but unwise.
    pub warnings: Vec<String>,
    /// What was tried, in order.
    pub trials: Vec<Trial>,
    /// How long everything took.
    pub took: Duration,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl CheckReport {
    /// The document of `--json`. `outcome` is how the command ends.
    pub fn document(&self, outcome: &Result<(), CliError>) -> Value {
        let errors = match outcome {
            Err(CliError::Config(errors)) => errors.0.iter().map(ToString::to_string).collect(),
            Err(CliError::Files(errors)) => errors.clone(),
            Err(CliError::Other(error)) => vec![error.clone()],
            Ok(()) => Vec::new(),
        };
        json!({
            "ok": outcome.is_ok(),
            "errors": errors,
            "warnings": self.warnings,
            "took_ms": milliseconds(self.took),
            "checks": self.trials.iter().map(Trial::json).collect::<Vec<_>>(),
        })
    }

    /// What cannot be used, if there is any: `mqtt.url and 2 rooms`.
    pub fn unusable(&self) -> Option<String> {
        let unusable = || self.trials.iter().filter(|trial| !trial.usable);
        let keys = unusable().filter_map(|trial| match trial.subject {
            TrialSubject::Key(key) => Some(key.to_owned()),
            TrialSubject::Room(_) => None,
        });
        let mut parts: Vec<String> = keys.collect();
        let rooms = unusable().count() - parts.len();
        // Several addresses of one key follow each other.
        parts.dedup();
        if rooms > 0 {
            parts.push(counted(rooms, "room"));
        }
        let (last, others) = parts.split_last()?;
        Some(match others {
            [] => last.clone(),
            others => format!("{} and {last}", others.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: TrialSubject = TrialSubject::Key("http.listen");
    const MQTT: TrialSubject = TrialSubject::Key("mqtt.url");

    fn room() -> TrialSubject {
        TrialSubject::Room(RoomId::new("1").unwrap())
    }

    /// The findings of these trials, each with whether its subject can be used.
    fn findings(trials: impl IntoIterator<Item = (TrialSubject, bool)>) -> CheckReport {
        let trials = trials.into_iter().map(|(subject, usable)| Trial {
            subject,
            address: "there".into(),
            usable,
            report: "so".into(),
            took: Duration::from_millis(7),
            facts: Map::new(),
            clock_ahead: None,
        });
        CheckReport {
            trials: trials.collect(),
            took: Duration::from_millis(9),
            ..CheckReport::default()
        }
    }

    #[test]
    fn what_cannot_be_used_is_summed_up() {
        for (trials, wanted) in [
            (vec![], None),
            (vec![(room(), true)], None),
            (vec![(room(), false)], Some("1 room")),
            (vec![(MQTT, false), (room(), true)], Some("mqtt.url")),
            (
                vec![(MQTT, false), (room(), false), (room(), false)],
                Some("mqtt.url and 2 rooms"),
            ),
            (
                vec![(HTTP, false), (MQTT, false), (room(), false)],
                Some("http.listen, mqtt.url and 1 room"),
            ),
        ] {
            assert_eq!(findings(trials).unusable().as_deref(), wanted);
        }
    }

    #[test]
    fn the_document_has_the_same() {
        let mut found = findings([(MQTT, true), (room(), false)]);
        found.trials[0].facts.insert("rights".into(), json!([]));
        let document = found.document(&Err(CliError::Other("1 room cannot be used".into())));
        let wanted = json!({
            "ok": false,
            "errors": ["1 room cannot be used"],
            "warnings": [],
            "took_ms": 9,
            "checks": [
                {"key": "mqtt.url", "address": "there", "ok": true, "message": "so", "took_ms": 7,
                    "rights": []},
                {"room": "1", "address": "there", "ok": false, "message": "so", "took_ms": 7},
            ],
        });
        assert_eq!(document, wanted);
        assert_eq!(found.trials[1].line(), "1\tthere\tso\n");
    }
}
