//! What people and monitoring see of the cluster: `gateway/cluster`, metrics, the part of `gateway/health`.
//!
//! Reads, and decides nothing. The follower tells it of changes.

use std::sync::{Arc, Mutex, PoisonError};

use super::placed_rooms::PlacedRooms;
use crate::cluster::link::LinkStatus;
use crate::cluster::{
    BootInstant, ClusterCounts, ClusterFacts, ClusterState, ClusterView, FENCE, Fence,
    cluster_document, state_word,
};
use crate::doors::mqtt::SharedRooms;
use crate::telemetry::{ClusterSample, Telemetry};

/// The cluster, to be looked at.
#[derive(Debug)]
pub struct ClusterStatus {
    placed: Arc<PlacedRooms>,
    fence: Fence,
    shared: Option<Arc<SharedRooms>>,
    telemetry: Arc<Telemetry>,
    /// The state that was told last.
    told: Mutex<ClusterState>,
}

impl ClusterStatus {
    /// Of a gateway that has not joined yet.
    pub fn new(
        placed: Arc<PlacedRooms>,
        fence: Fence,
        shared: Option<Arc<SharedRooms>>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            placed,
            fence,
            shared,
            telemetry,
            told: Mutex::new(ClusterState::Joining),
        }
    }

    /// The events.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The cluster looks like this: counts what that means.
    pub fn seen(&self, view: &ClusterView) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, view.state);
        drop(told);
        match (before, view.state) {
            (ClusterState::NoCluster, ClusterState::NoCluster) => {}
            (_, ClusterState::NoCluster) => self.telemetry.fence_closed(view.problem.as_deref()),
            (ClusterState::NoCluster, ClusterState::Ok | ClusterState::Leaving) => {
                self.telemetry.fence_opened();
            }
            _ => {}
        }
    }

    /// The payload of `gateway/cluster`. `lacks_owners`: shards are without an owner for longer than a move takes.
    pub fn document(&self, view: &ClusterView, lacks_owners: bool) -> String {
        let facts = ClusterFacts {
            rooms: self.placed.shard_rooms(),
            differing: Vec::new(),
            lacks_owners,
        };
        cluster_document(view, &facts).to_string()
    }

    /// The values of this moment.
    pub fn sample(&self, links: Option<&LinkStatus>) -> ClusterSample {
        let view = self.placed.view();
        let counts = ClusterCounts::of(&view, &self.placed.shard_rooms());
        let now = BootInstant::now();
        let closes_at = self.fence.closes_at();
        let is_open = self.fence.may_begin(now);
        let (links, links_connected) = links.map(LinkStatus::counts).unwrap_or_default();
        let shared = self.shared.as_ref();
        let (remembered, forgotten) = shared.map(|it| it.remembered()).unwrap_or_default();
        // The fence was set by the sending of the last heartbeat.
        let heartbeat_age = (closes_at.as_nanos() > 0).then(|| match is_open {
            true => FENCE.saturating_sub(closes_at.since(now)),
            false => FENCE + now.since(closes_at),
        });
        ClusterSample {
            state: state_word(view.state),
            contact: is_open,
            heartbeat_age,
            members: counts.members,
            own_shards: counts.own_shards,
            own_rooms: usize::try_from(counts.own_rooms).unwrap_or(usize::MAX),
            unowned_shards: counts.unowned_shards,
            differing_rooms: 0,
            links,
            links_connected,
            remembered,
            forgotten,
        }
    }
}
