//! `gateway/health`: the counters for those who have no Prometheus.

use serde_json::{Value, json};

use super::{ClusterSample, Sample, Telemetry};

impl Telemetry {
    /// The payload of `gateway/health`. `topics` is how many retained topics there are.
    pub fn health(&self, sample: &Sample, topics: usize) -> Value {
        let metrics = &self.metrics;
        let mqtt = sample.broker_connected.map(|_| {
            json!({
                "connects": metrics.broker.connects.get(),
                "published": metrics.broker.published.get(),
                "received": metrics.broker.received.get(),
                "refused": metrics.broker.refused.get(),
                "left_out": metrics.broker.left_out.get(),
                "other_gateways": metrics.broker.other_gateways.get(),
                "undelivered_rooms": metrics.broker.undelivered_rooms.get(),
                "cut_documents": metrics.broker.cut_documents.get(),
            })
        });
        let mut health = json!({
            "uptime_s": self.uptime.elapsed().as_secs(),
            "rooms": sample.rooms.len(),
            "rooms_online": sample.rooms_online(),
            "commands": metrics.all_commands.get(),
            "topics": topics,
            "mqtt": mqtt,
        });
        if let Some(cluster) = &sample.cluster {
            health["cluster"] = self.cluster_health(cluster);
        }
        health
    }

    fn cluster_health(&self, sample: &ClusterSample) -> Value {
        let metrics = &self.metrics.cluster;
        json!({
            "state": sample.state,
            "contact": sample.contact,
            "heartbeat_age_ms": sample.heartbeat_age.map(|age| age.as_millis() as u64),
            "members": sample.members,
            "shards": sample.own_shards,
            "rooms": sample.own_rooms,
            "unowned_shards": sample.unowned_shards,
            "differing_members": sample.differing_members,
            "links": sample.links,
            "links_connected": sample.links_connected,
            "etcd_errors": metrics.etcd_errors(),
            "fence_closings": metrics.fence_closings.get(),
            "passed_on": metrics.commands_passed_on.get(),
            "received": metrics.commands_from_members.get(),
        })
    }
}
