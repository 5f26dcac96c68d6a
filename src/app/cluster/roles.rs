//! Which gateway hears a shard's commands at the broker without having it.
//!
//! Pure: members and owners in, one role for each shard out.

use crate::cluster::{ClusterView, Placement, Shard};

/// What this gateway is for a shard that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardRole {
    /// It is the next to have it: it remembers its commands, for the case that the owner dies.
    Deputy,
    /// It is of no concern.
    None,
}

/// The roles of one gateway, as far as the members tell them. They are worked out anew only when members change.
#[derive(Debug, Default)]
pub struct Roles {
    members: Vec<(String, u32)>,
    wanted: Placement,
    /// By owner: who is wanted where that one is not there.
    without: Vec<(String, Placement)>,
}

impl Roles {
    /// Takes over the members of this view.
    pub fn update(&mut self, view: &ClusterView) {
        let staying = view.members.iter().filter(|member| !member.leaving);
        let members: Vec<_> = staying
            .map(|member| (member.name.clone(), member.weight))
            .collect();
        if members == self.members && !self.wanted.members().is_empty() {
            return;
        }
        self.without = members
            .iter()
            .map(|(name, _)| {
                let others = members.iter().filter(|(other, _)| other != name);
                (name.clone(), Placement::new(others.cloned().collect()))
            })
            .collect();
        self.wanted = Placement::new(members.clone());
        self.members = members;
    }

    /// The role of `me` for a shard that it has not, with this owner.
    pub fn role(&self, me: &str, shard: Shard, owner: Option<&str>) -> ShardRole {
        // It will get the shard, from its owner or because there is none.
        if self.wanted.owner(shard) == Some(me) {
            return ShardRole::Deputy;
        }
        let heir = owner.and_then(|owner| {
            let (_, placement) = self.without.iter().find(|(name, _)| name == owner)?;
            placement.owner(shard)
        });
        match heir == Some(me) {
            true => ShardRole::Deputy,
            false => ShardRole::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MemberView;

    fn view(names: &[&str]) -> ClusterView {
        let member = |name: &&str| MemberView {
            name: (*name).into(),
            advertise: String::new(),
            weight: 1,
            version: String::new(),
            since: 0,
            leaving: false,
            rooms: String::new(),
            shards: 0,
        };
        ClusterView {
            members: names.iter().map(member).collect(),
            ..ClusterView::unknown("a")
        }
    }

    #[test]
    fn each_shard_has_one_deputy_who_has_it_next() {
        let names = ["a", "b", "c"];
        let mut roles = Roles::default();
        roles.update(&view(&names));
        let owners = Placement::new(names.iter().map(|name| ((*name).into(), 1)).collect());
        for shard in Shard::all() {
            let owner = owners.owner(shard).unwrap();
            let others = names.iter().filter(|name| **name != owner);
            let deputies: Vec<_> = others
                .clone()
                .filter(|name| roles.role(name, shard, Some(owner)) == ShardRole::Deputy)
                .collect();
            let left = Placement::new(others.map(|name| ((*name).into(), 1)).collect());
            assert_eq!(deputies.len(), 1);
            assert_eq!(left.owner(shard), Some(*deputies[0]));
        }
    }

    #[test]
    fn whoever_is_to_get_a_shard_from_a_live_owner_is_its_deputy_already() {
        let mut roles = Roles::default();
        roles.update(&view(&["a", "b"]));
        let shard = Shard::all()
            .find(|shard| roles.wanted.owner(*shard) == Some("a"))
            .unwrap();
        assert_eq!(roles.role("a", shard, Some("b")), ShardRole::Deputy);
        assert_eq!(roles.role("a", shard, None), ShardRole::Deputy);
        assert_eq!(roles.role("b", shard, None), ShardRole::None);
    }
}
