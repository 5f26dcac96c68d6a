//! What the rest of the gateway may know of it all.

use std::sync::Arc;

use crate::cluster::BootInstant;
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
        let mut members: Vec<MemberView> = self.snapshot.member_views().collect();
        let place = |shard| {
            let owner = self.snapshot.live_owner(shard)?;
            members.iter().position(|member| member.name == owner.name)
        };
        let places: Vec<Option<usize>> = Shard::all().map(place).collect();
        for at in places.iter().flatten() {
            members[*at].shards += 1;
        }
        let state = self.state(now);
        let heirs = Shard::all().map(|shard| {
            // What is wanted elsewhere goes there first.
            let heirs = match self.wanted_owner(shard) == self.owner_name(shard) {
                true => &self.wanted.heirs,
                false => &self.wanted.owners,
            };
            let at = heirs.get(shard.index()).copied().flatten()?;
            let (name, _) = self.placement.members().get(at)?;
            let at = members.iter().position(|member| member.name == *name)?;
            u16::try_from(at).ok()
        });
        let heirs: Arc<[Option<u16>]> = heirs.collect();
        ClusterView {
            me: self.name.clone(),
            state,
            problem: self.problem.clone().filter(|_| state != ClusterState::Ok),
            members: members.into(),
            owners: places
                .into_iter()
                .map(|at| u16::try_from(at?).ok())
                .collect(),
            heirs,
            differing: self.wanted.differing.clone(),
            revision: self.snapshot.table_revision(),
        }
    }

    fn owner_name(&self, shard: Shard) -> Option<&str> {
        let owner = self.snapshot.live_owner(shard)?;
        Some(&owner.name)
    }
}
