//! What people and monitoring see of the cluster: `gateway/cluster`, metrics, the part of `gateway/health`.
//!
//! Reads, and decides nothing. The follower tells it of changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::placed_rooms::PlacedRooms;
use crate::boot_instant::BootInstant;
use crate::cluster::link::LinkStatus;
use crate::cluster::{
    ClusterCounts, ClusterFacts, ClusterState, ClusterView, FENCE, MemberFence, cluster_document,
    differing_members, differing_rooms, state_word,
};
use crate::doors::mqtt::SharedRooms;
use crate::telemetry::{ClusterSample, Telemetry};

/// How many reasons for having no contact the log names: those of several addresses take turns.
const REASONS_IN_LOG: usize = 8;

/// What the log was told last.
#[derive(Debug, Default)]
struct Told {
    /// Requests could begin since it joined.
    was_in: bool,
    /// There is no contact with etcd.
    is_cut_off: bool,
    /// The reasons since there was contact last.
    reasons: BTreeSet<String>,
    /// The gateways that have other rooms.
    differing: Vec<String>,
    /// The rooms whose device has another name elsewhere.
    conflicts: Vec<String>,
}

/// A change of the contact with etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contact {
    Lost,
    Back,
    /// Still no contact, for a reason that was not logged yet.
    None,
}

impl Told {
    /// What the log has to say of this state.
    fn contact(&mut self, state: ClusterState, problem: Option<&str>) -> Option<Contact> {
        match state {
            ClusterState::NoCluster => {
                let is_new = problem.is_some_and(|problem| {
                    self.reasons.len() < REASONS_IN_LOG && self.reasons.insert(problem.to_owned())
                });
                if self.was_in && !self.is_cut_off {
                    self.is_cut_off = true;
                    return Some(Contact::Lost);
                }
                // One that has just joined waits for its first acknowledgement: it has no problem.
                is_new.then_some(Contact::None)
            }
            ClusterState::Ok | ClusterState::Leaving => {
                self.was_in = true;
                self.reasons.clear();
                std::mem::take(&mut self.is_cut_off).then_some(Contact::Back)
            }
            ClusterState::Joining | ClusterState::Ended => {
                self.was_in = false;
                self.is_cut_off = false;
                None
            }
        }
    }
}

/// The cluster, to be looked at.
#[derive(Debug)]
pub struct ClusterStatus {
    placed: Arc<PlacedRooms>,
    fence: MemberFence,
    shared: Option<Arc<SharedRooms>>,
    telemetry: Arc<Telemetry>,
    /// What the log has said last.
    told: Mutex<Told>,
}

impl ClusterStatus {
    /// Of a gateway that has not joined yet.
    pub fn new(
        placed: Arc<PlacedRooms>,
        fence: MemberFence,
        shared: Option<Arc<SharedRooms>>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            placed,
            fence,
            shared,
            telemetry,
            told: Mutex::default(),
        }
    }

    /// The events.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The cluster looks like this: counts what that means.
    pub fn seen(&self, view: &ClusterView) {
        let mut told = self.told.lock();
        match told.contact(view.state, view.problem.as_deref()) {
            Some(Contact::None) => {
                let why = view.problem.as_deref().unwrap_or_default();
                self.telemetry.no_contact(why);
            }
            Some(Contact::Lost) => self.telemetry.fence_closed(view.problem.as_deref()),
            Some(Contact::Back) => self.telemetry.fence_opened(),
            None => {}
        }
        let differing = differing_members(view);
        if told.differing != differing {
            self.telemetry.configurations_differ(&differing);
            told.differing = differing.into_iter().map(str::to_owned).collect();
        }
        // What is blocked changes with each shard; who has what under which name only with the configurations.
        let conflicts = view.conflicts.devices.iter();
        let conflicts = conflicts.map(|(room, it)| format!("{room} ({})", it.member));
        let conflicts: Vec<String> = conflicts.collect();
        if told.conflicts != conflicts && !view.conflicts.are_unknown {
            self.telemetry.device_conflicts(&conflicts);
            told.conflicts = conflicts;
        }
    }

    /// The payload of `gateway/cluster`. `lacks_owners`: shards are without an owner for longer than a move takes.
    pub fn document(&self, view: &ClusterView, lacks_owners: bool) -> String {
        let facts = ClusterFacts {
            rooms: self.placed.shard_rooms(),
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
        let heartbeat_age = (closes_at.as_nanos() > 0).then(|| {
            if is_open {
                FENCE.saturating_sub(closes_at.since(now))
            } else {
                FENCE + now.since(closes_at)
            }
        });
        ClusterSample {
            state: state_word(view.state),
            contact: is_open,
            heartbeat_age,
            members: counts.members,
            own_shards: counts.own_shards,
            own_rooms: usize::try_from(counts.own_rooms).unwrap_or(usize::MAX),
            unowned_shards: counts.unowned_shards,
            differing_members: differing_members(&view).len(),
            differing_shards: view.differing.len(),
            differing_rooms: differing_rooms(&view).len(),
            device_conflicts: view.conflicts.devices.len(),
            links,
            links_connected,
            remembered,
            forgotten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_of_contact_is_told_once_and_joining_is_none() {
        use ClusterState::{Ended, Joining, Leaving, NoCluster, Ok};
        let (lost, back) = (Some(Contact::Lost), Some(Contact::Back));
        let mut told = Told::default();
        for (state, expected) in [
            (Joining, None),
            (NoCluster, None),
            (Ok, None),
            (NoCluster, lost),
            (NoCluster, None),
            (Ok, back),
            (Ok, None),
            (Leaving, None),
            (NoCluster, lost),
            (Leaving, back),
            (NoCluster, lost),
            // It was removed meanwhile.
            (Joining, None),
            (NoCluster, None),
            (Ok, None),
            (Ended, None),
        ] {
            assert_eq!(told.contact(state, None), expected, "{state:?}");
        }
    }

    #[test]
    fn each_reason_for_no_contact_is_told_once() {
        use ClusterState::{Joining, NoCluster, Ok};
        let mut told = Told::default();
        let mut is_told =
            |state, problem| told.contact(state, Some(problem)) == Some(Contact::None);
        assert!(is_told(NoCluster, "wrong password"));
        assert!(!is_told(NoCluster, "wrong password"));
        // It could read meanwhile.
        assert!(!is_told(Joining, "wrong password"));
        assert!(!is_told(NoCluster, "wrong password"));
        assert!(is_told(NoCluster, "no rights"));
        let reasons: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let lines = reasons.iter().filter(|why| is_told(NoCluster, why)).count();
        assert_eq!(lines, REASONS_IN_LOG - 2);
        assert!(!is_told(Ok, ""));
        // The line about the loss names the first; another one gets its own.
        assert!(!is_told(NoCluster, "no answer"));
        assert!(is_told(NoCluster, "wrong password"));
    }
}
