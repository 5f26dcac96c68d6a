//! `gateway/health`: the counters for those who have no Prometheus.

use serde_json::{Value, json};

use super::{Sample, Telemetry};

impl Telemetry {
    /// The payload of `gateway/health`. `topics` is how many retained topics there are.
    pub fn health(&self, sample: &Sample, topics: usize) -> Value {
        let metrics = &self.metrics;
        let mqtt = sample.broker_connected.map(|_| {
            json!({
                "connects": metrics.broker_connects.get(),
                "published": metrics.broker_published.get(),
                "received": metrics.broker_received.get(),
                "refused": metrics.broker_refused.get(),
                "left_out": metrics.broker_left_out.get(),
                "other_gateways": metrics.other_gateways.get(),
                "undelivered_rooms": metrics.undelivered_rooms.get(),
                "cut_documents": metrics.broker_cut_documents.get(),
            })
        });
        json!({
            "uptime_s": self.uptime.elapsed().as_secs(),
            "rooms": sample.rooms.len(),
            "rooms_online": sample.rooms_online(),
            "commands": metrics.all_commands.get(),
            "topics": topics,
            "mqtt": mqtt,
        })
    }
}
