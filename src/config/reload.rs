//! Compares a new configuration with the running one, and says when each change takes effect.
//!
//! The tables of keys say it. Takes over nothing itself: the application does.

use super::Config;
use super::key::{Key, KeyValue, Reload, Section, Values};

/// The keys that differ between two configurations, such as `mqtt.url` or `rooms.boardroom.poll`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changed keys that a reload takes over at once.
    pub now: Vec<String>,
    /// Changed keys that take effect at the next start.
    pub at_next_start: Vec<String>,
}

/// The keys that differ between the running configuration and a new one.
pub fn changes(running: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    compare(
        Config::KEYS,
        "",
        &running.values(),
        &new.values(),
        &mut changes,
    );
    changes
}

fn compare(keys: &[Key], path: &str, old: &Values, new: &Values, changes: &mut Changes) {
    for key in keys {
        let (Some(old), Some(new)) = (old.get(key.name), new.get(key.name)) else {
            continue;
        };
        let path = format!("{path}{}", key.name);
        match (old, new) {
            _ if old == new => {}
            (KeyValue::Table(old), KeyValue::Table(new)) => {
                compare(key.below(), &format!("{path}."), old, new, changes);
            }
            (KeyValue::ById(old), KeyValue::ById(new)) => {
                for (id, new) in new {
                    let path = format!("{path}.{id}");
                    match old.get(id) {
                        Some(old) => compare(key.below(), &format!("{path}."), old, new, changes),
                        None => changes.now.push(path),
                    }
                }
                let gone = old.keys().filter(|id| !new.contains_key(*id));
                changes.now.extend(gone.map(|id| format!("{path}.{id}")));
            }
            _ => {
                let now = match key.reload {
                    Reload::Now => true,
                    Reload::NextStart => false,
                    Reload::ValueNow => old.is_set() == new.is_set(),
                };
                let list = if now {
                    &mut changes.now
                } else {
                    &mut changes.at_next_start
                };
                list.push(path);
            }
        }
    }
}

impl Config {
    /// Takes back what takes effect only at the next start.
    pub fn keep_until_restart(&mut self, running: &Self) {
        self.mqtt.keep_until_restart(&running.mqtt);
        self.http.keep_until_restart(&running.http);
        self.tcp.keep_until_restart(&running.tcp);
        self.home_assistant
            .keep_until_restart(&running.home_assistant);
        self.cluster.clone_from(&running.cluster);
    }
}
