//! Several gateways that share their rooms: requests to etcd, shards that change hands, commands for each other.

use std::time::Duration;

use super::CLUSTER;
use crate::telemetry::Telemetry;

/// How many rooms a line names whose devices have several names.
const CONFLICTS_IN_LOG: usize = 20;

/// What came of a request to etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtcdOutcome {
    /// It answered.
    Ok,
    /// Nothing could be sent.
    Unreachable,
    /// It was sent, and no answer came.
    InDoubt,
    /// It refused.
    Refused,
}

impl EtcdOutcome {
    /// All of them, in the order of their numbers.
    pub(in crate::telemetry) const ALL: [Self; 4] =
        [Self::Ok, Self::Unreachable, Self::InDoubt, Self::Refused];

    pub(in crate::telemetry) fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::InDoubt => "in_doubt",
            Self::Refused => "refused",
        }
    }
}

/// How a shard came to this gateway or left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardChange {
    /// It came, and nobody had it, or its former owner has given it up.
    Gained,
    /// It came after the death of its owner.
    GainedAfterDeath,
    /// This gateway has given it up for another.
    GivenUp,
    /// It was taken away: this gateway was without contact for too long.
    Lost,
}

impl ShardChange {
    /// All of them, in the order of their numbers.
    pub(in crate::telemetry) const ALL: [Self; 4] = [
        Self::Gained,
        Self::GainedAfterDeath,
        Self::GivenUp,
        Self::Lost,
    ];

    pub(in crate::telemetry) fn label(self) -> &'static str {
        match self {
            Self::Gained => "gained",
            Self::GainedAfterDeath => "gained_after_death",
            Self::GivenUp => "given_up",
            Self::Lost => "lost",
        }
    }
}

/// The cluster.
impl Telemetry {
    /// A request to etcd has ended.
    pub fn etcd_request(&self, outcome: EtcdOutcome, took: Duration) {
        self.metrics.cluster.etcd_request(outcome, took);
        let outcome = outcome.label();
        let took_ms = took.as_millis();
        tracing::trace!(target: CLUSTER, outcome, took_ms, "request to etcd");
    }

    /// Shards came to this gateway or left it.
    pub fn shards_changed(&self, change: ShardChange, count: usize) {
        if count == 0 {
            return;
        }
        self.metrics.cluster.shards_changed(change, count);
        match change {
            ShardChange::Gained => {
                tracing::info!(target: CLUSTER, shards = count, "this gateway has these shards now");
            }
            ShardChange::GainedAfterDeath => tracing::warn!(
                target: CLUSTER,
                shards = count,
                "this gateway has taken these shards over from one that has ended without a word"
            ),
            ShardChange::GivenUp => {
                tracing::info!(target: CLUSTER, shards = count, "these shards go to another gateway");
            }
            ShardChange::Lost => tracing::warn!(
                target: CLUSTER,
                shards = count,
                "this gateway has lost these shards: other gateways may have them now"
            ),
        }
    }

    /// etcd has acknowledged no heartbeat for two seconds: no request to a device begins until it does. `why` if it is
    /// known.
    pub fn fence_closed(&self, why: Option<&str>) {
        self.metrics.cluster.fence_closings.inc();
        let why = why.unwrap_or("its answers take too long");
        tracing::warn!(
            target: CLUSTER,
            "no contact with etcd, so this gateway uses no device until there is: {why}"
        );
    }

    /// This gateway cannot join, or still has no contact with etcd, for this reason.
    pub fn no_contact(&self, why: &str) {
        tracing::warn!(target: CLUSTER, "no contact with etcd: {why}");
    }

    /// There is contact with etcd again, and this gateway is still a member.
    pub fn fence_opened(&self) {
        tracing::info!(target: CLUSTER, "contact with etcd again");
    }

    /// These other gateways have another configuration of the rooms than this one; none any more if it is empty.
    pub fn configurations_differ(&self, gateways: &[&str]) {
        let gateways = gateways.join(", ");
        if gateways.is_empty() {
            tracing::info!(target: CLUSTER, "the rooms are configured in the same way everywhere again");
        } else {
            tracing::warn!(
                target: CLUSTER,
                gateways,
                "these gateways have another configuration of the rooms than this one: give all the same \
                 [rooms] and [defaults], and reload them"
            )
        }
    }

    /// Other gateways have the devices of these rooms under other names; none any more if it is empty. Each is a room
    /// of this gateway with the other gateway's name.
    pub fn device_conflicts(&self, rooms: &[String]) {
        let first_rooms = rooms.get(..CONFLICTS_IN_LOG).unwrap_or(rooms).join(", ");
        if rooms.is_empty() {
            tracing::info!(target: CLUSTER, "each device has the same name everywhere again")
        } else {
            tracing::warn!(
                target: CLUSTER,
                rooms = rooms.len(),
                first_rooms,
                "other gateways have the devices of these rooms under other names. A device stays with the gateway that \
                 has it; a room that is new here waits until the configurations are the same: reload all gateways"
            )
        }
    }

    /// A room that this gateway has taken cannot run here.
    pub fn taken_room_failed(&self, error: &str) {
        tracing::error!(target: CLUSTER, "{error}");
    }

    /// This gateway ends, and rooms are still its own.
    pub fn rooms_not_handed_over(&self) {
        tracing::warn!(
            target: CLUSTER,
            "not all rooms could be handed over in time; the other gateways take them when this one has ended"
        );
    }

    /// This gateway ends, and is still in the cluster.
    pub fn cluster_not_left(&self) {
        tracing::warn!(
            target: CLUSTER,
            "the cluster could not be left in time; the other gateways notice it by themselves"
        );
    }

    /// A command was passed on to the gateway that has its room.
    pub fn command_passed_on(&self) {
        self.metrics.cluster.commands_passed_on.inc();
    }

    /// Another gateway has passed on a command for a room that is here.
    pub fn command_from_member(&self) {
        self.metrics.cluster.commands_from_members.inc();
    }
}
