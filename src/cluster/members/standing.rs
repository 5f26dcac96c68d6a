//! What the rest of the gateway may know of it all.

use std::sync::Arc;

use crate::boot_instant::BootInstant;
use crate::cluster::members::{Members, Membership};
use crate::cluster::placement::Shard;
use crate::cluster::view::{ClusterState, ClusterView, MemberView};

impl Members {
    /// How this gateway stands to the cluster.
    pub fn state(&self, now: BootInstant) -> ClusterState {
        match self.life {
            Membership::Ended => ClusterState::Ended,
            _ if self.problem.is_some() && !self.fence.may_begin(now) => ClusterState::NoCluster,
            Membership::Outside => ClusterState::Joining,
            Membership::Inside { .. } if !self.fence.may_begin(now) => ClusterState::NoCluster,
            Membership::Inside { .. } if self.record.leaving => ClusterState::Leaving,
            Membership::Inside { .. } => ClusterState::Ok,
        }
    }

    /// What the rest of the gateway sees.
    pub fn view(&self, now: BootInstant) -> ClusterView {
        debug_assert!(
            self.view == self.look(),
            "the view is behind: {:?}",
            self.view
        );
        let state = self.state(now);
        ClusterView {
            state,
            problem: match state {
                ClusterState::Ok => None,
                ClusterState::Joining => self.hindrance.clone(),
                _ => self.problem.clone(),
            },
            ..self.view.clone()
        }
    }

    /// Works out the view anew. To be called after what it shows may have changed, and only then: it takes a look at
    /// every shard, and heartbeats are answered several times a second.
    pub(super) fn update_view(&mut self) {
        self.view = self.look();
    }

    /// Members, owners and heirs; without how this gateway stands to the cluster.
    fn look(&self) -> ClusterView {
        let mut members: Vec<MemberView> = self.snapshot.member_views().collect();
        let place = |shard| {
            let owner = self.snapshot.live_owner(shard)?;
            members.iter().position(|member| member.name == owner.name)
        };
        let places: Vec<Option<usize>> = Shard::all().map(place).collect();
        for at in places.iter().flatten() {
            members[*at].shards += 1;
        }
        // What was found last counts also while a member's rooms are read.
        let member = |wanted: &[Option<usize>], shard: Shard| {
            let at = wanted.get(shard.index()).copied().flatten()?;
            let (name, _) = self.placement.members().get(at)?;
            members.iter().position(|member| member.name == *name)
        };
        let heirs = Shard::all().map(|shard| {
            let owner = places[shard.index()];
            // What is wanted elsewhere goes there first.
            let wanted = member(&self.wanted.owners, shard).filter(|at| Some(*at) != owner);
            let heir = wanted.or_else(|| member(&self.wanted.heirs, shard));
            u16::try_from(heir?).ok()
        });
        let heirs: Arc<[Option<u16>]> = heirs.collect();
        ClusterView {
            members: members.into(),
            owners: places
                .into_iter()
                .map(|at| u16::try_from(at?).ok())
                .collect(),
            heirs,
            differing: self.wanted.differing.clone(),
            conflicts: self.conflicts.clone(),
            told_configuration: match self.snapshot.record(&self.name) {
                Some(record) if record.nonce == self.record.nonce => record.configuration,
                _ => self.view.told_configuration,
            },
            revision: self.snapshot.table_revision(),
            ..self.view.clone()
        }
    }
}
