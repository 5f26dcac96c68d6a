//! The metrics of several gateways that share their rooms. They are shown only where there is a cluster.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{add, add_all, whole};
use crate::telemetry::events::{EtcdOutcome, ShardChange};
use crate::telemetry::sample::ClusterSample;

/// The upper bounds of the time of requests to etcd, in seconds: from one on the same machine to the time-out.
const ETCD_BUCKETS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// Their registry and values.
#[derive(Debug)]
pub struct ClusterMetrics {
    registry: Registry,
    /// By [`EtcdOutcome`].
    etcd_requests: [Counter; EtcdOutcome::ALL.len()],
    etcd_seconds: Histogram,
    /// By [`ShardChange`].
    shard_changes: [Counter; ShardChange::ALL.len()],
    pub fence_closings: Counter,
    pub commands_passed_on: Counter,
    pub commands_from_members: Counter,
    contact: Gauge,
    heartbeat_age: Gauge<f64, AtomicU64>,
    members: Gauge,
    own_shards: Gauge,
    own_rooms: Gauge,
    unowned_shards: Gauge,
    differing_members: Gauge,
    differing_shards: Gauge,
    differing_rooms: Gauge,
    device_conflicts: Gauge,
    links: Gauge,
    links_connected: Gauge,
    pub link_connects: Counter,
    remembered: Gauge,
    forgotten: Counter,
}

impl Default for ClusterMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("poly2mqtt_cluster");
        let all = &mut registry;
        let etcd_seconds = Histogram::new(ETCD_BUCKETS);
        all.register(
            "etcd_request_seconds",
            "From a request to etcd to its answer",
            etcd_seconds.clone(),
        );
        Self {
            etcd_seconds,
            etcd_requests: add_all(
                all,
                "etcd_requests",
                "Requests to etcd",
                EtcdOutcome::ALL.map(|outcome| ("outcome", outcome.label())),
            ),
            shard_changes: add_all(
                all,
                "shard_changes",
                "Shards that came or left",
                ShardChange::ALL.map(|change| ("how", change.label())),
            ),
            fence_closings: add(all, "fence_closings", "Times without contact with etcd"),
            commands_passed_on: add(all, "commands_passed_on", "Commands to other gateways"),
            commands_from_members: add(all, "commands_received", "Commands from other gateways"),
            contact: add(all, "contact", "Whether etcd acknowledges heartbeats"),
            heartbeat_age: add(
                all,
                "heartbeat_age_seconds",
                "Since the sending of the last acknowledged heartbeat",
            ),
            members: add(all, "members", "Gateways that live"),
            own_shards: add(all, "shards", "Shards of this gateway"),
            own_rooms: add(all, "rooms", "Rooms of this gateway"),
            unowned_shards: add(all, "unowned_shards", "Shards without a gateway"),
            differing_members: add(all, "differing_members", "Gateways with other rooms"),
            differing_shards: add(
                all,
                "differing_shards",
                "Shards that are configured differently",
            ),
            differing_rooms: add(
                all,
                "differing_rooms",
                "Rooms that are configured differently",
            ),
            device_conflicts: add(
                all,
                "device_conflicts",
                "Rooms whose device another gateway has under another name",
            ),
            links: add(all, "links", "Links to other gateways"),
            links_connected: add(all, "links_connected", "Links that are connected"),
            link_connects: add(all, "link_connects", "Links that came up"),
            remembered: add(all, "commands_remembered", "Commands kept as a deputy"),
            forgotten: add(
                all,
                "commands_forgotten",
                "Commands a deputy had no place for",
            ),
            registry,
        }
    }
}

impl ClusterMetrics {
    pub fn etcd_request(&self, outcome: EtcdOutcome, took: Duration) {
        self.etcd_requests[outcome as usize].inc();
        self.etcd_seconds.observe(took.as_secs_f64());
    }

    /// How many requests to etcd have failed.
    pub fn etcd_errors(&self) -> u64 {
        let failed = EtcdOutcome::ALL.into_iter();
        let failed = failed.filter(|outcome| *outcome != EtcdOutcome::Ok);
        failed
            .map(|outcome| self.etcd_requests[outcome as usize].get())
            .sum()
    }

    pub fn shards_changed(&self, change: ShardChange, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.shard_changes[change as usize].inc_by(count);
    }

    /// Adds the text in the OpenMetrics format.
    pub fn write(&self, sample: &ClusterSample, text: &mut String) {
        self.contact.set(sample.contact.into());
        let age = sample
            .heartbeat_age
            .map_or(f64::NAN, |age| age.as_secs_f64());
        self.heartbeat_age.set(age);
        self.members.set(whole(sample.members));
        self.own_shards.set(whole(sample.own_shards));
        self.own_rooms.set(whole(sample.own_rooms));
        self.unowned_shards.set(whole(sample.unowned_shards));
        self.differing_members.set(whole(sample.differing_members));
        self.differing_shards.set(whole(sample.differing_shards));
        self.differing_rooms.set(whole(sample.differing_rooms));
        self.device_conflicts.set(whole(sample.device_conflicts));
        self.links.set(whole(sample.links));
        self.links_connected.set(whole(sample.links_connected));
        self.remembered.set(whole(sample.remembered));
        let forgotten = sample.forgotten.saturating_sub(self.forgotten.get());
        self.forgotten.inc_by(forgotten);
        // Writing to a String cannot fail.
        let _ = encode_registry(text, &self.registry);
    }
}
