//! `gateway/health`: the counters for those who have no Prometheus.

use serde_json::{Value, json};

use super::{Sample, Telemetry};

impl Telemetry {
    /// The payload of `gateway/health`. `topics` is how many retained topics there are; `mqtt` is
    /// null if no broker is configured.
    pub fn health(&self, sample: &Sample, topics: usize, mqtt: &Value) -> Value {
        json!({
            "uptime_s": self.started.elapsed().as_secs(),
            "rooms": sample.rooms.len(),
            "rooms_online": sample.rooms_online(),
            "commands": self.metrics.all_commands.get(),
            "topics": topics,
            "mqtt": mqtt,
        })
    }
}
