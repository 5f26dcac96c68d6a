//! The other gateways of a cluster: which are in it, how their rooms are configured, and the links to them.

use std::fmt::Display;

use super::CLUSTER;
use crate::telemetry::Telemetry;

/// How many rooms the log names whose configurations differ: one line stays readable, and `gateway/cluster` has all.
const NAMED_IN_LOG: usize = 10;

/// This gateway as a member.
impl Telemetry {
    /// It is in the cluster now.
    pub fn cluster_joined(&self) {
        tracing::info!(target: CLUSTER, "joined the cluster");
    }

    /// Another gateway has removed this one.
    pub fn removed_from_cluster(&self) {
        tracing::warn!(
            target: CLUSTER,
            "another gateway has removed this one from the cluster; joining again"
        );
    }

    /// etcd was restored from a backup, or is another one.
    pub fn etcd_went_back(&self) {
        tracing::warn!(
            target: CLUSTER,
            "etcd has gone back to an earlier state; joining the cluster again"
        );
    }

    /// Another gateway has this one's name.
    pub fn member_name_taken(&self) {
        tracing::warn!(
            target: CLUSTER,
            "another gateway of this name is in the cluster; waiting for its end"
        );
    }

    /// This gateway waits outside of the cluster, for this reason.
    pub fn does_not_join(&self, why: &str) {
        tracing::warn!(target: CLUSTER, "this gateway does not join the cluster: {why}");
    }

    /// What an operator should know of etcd although it answers.
    pub fn etcd_caveat(&self, caveat: &str) {
        tracing::warn!(target: CLUSTER, "{caveat}");
    }
}

/// The other members.
impl Telemetry {
    /// Another gateway is in the cluster now.
    pub fn member_joined(&self, member: &str) {
        tracing::info!(target: CLUSTER, member, "a gateway joined the cluster");
    }

    /// Another gateway has left the cluster, or was removed from it.
    pub fn member_gone(&self, member: &str) {
        tracing::info!(target: CLUSTER, member, "a gateway is no longer in the cluster");
    }

    /// Another gateway seems to be dead.
    pub fn member_silent(&self, member: &str) {
        tracing::warn!(
            target: CLUSTER,
            member,
            "a gateway gives no sign of life; removing it from the cluster"
        );
    }

    /// Some shards have these rooms that are configured differently. `gateways`: those of the first shard that
    /// agree with each other, group by group.
    pub fn rooms_differ(&self, shards: usize, rooms: &[&str], gateways: &str) {
        tracing::warn!(
            target: CLUSTER,
            shards,
            rooms = rooms.len(),
            first_rooms = rooms[..rooms.len().min(NAMED_IN_LOG)].join(", "),
            gateways,
            "the gateways have different configurations of rooms; these rooms stay with the gateway that has them"
        );
    }

    /// No room is configured differently any more.
    pub fn rooms_agree(&self) {
        tracing::info!(target: CLUSTER, "all gateways have the same configuration of the rooms");
    }
}

/// The links to the other members.
impl Telemetry {
    /// The link to another gateway came up.
    pub fn link_up(&self, member: &str) {
        tracing::info!(target: CLUSTER, %member, "the link to the other gateway is up");
    }

    /// A link to another gateway was connected.
    pub fn link_connected(&self) {
        self.metrics.cluster.link_connects.inc();
    }

    /// The link to another gateway is down, for a reason that the log was not told yet.
    pub fn link_down(&self, member: &str, why: &str) {
        tracing::warn!(target: CLUSTER, %member, why, "no link to the other gateway");
    }

    /// Another gateway has sent on its link what this one does not understand.
    pub fn member_misspoke(&self, error: &dyn Display) {
        tracing::warn!(target: CLUSTER, %error, "the link of another gateway was closed");
    }
}
