//! The answers for rooms, links and the MQTT door: who has a room, and whether its device may be asked.
//!
//! Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{PlacedRooms, ShardPhase, State};
use crate::boot_instant::BootInstant;
use crate::cluster::link::{Holder, HolderChanges, Member, RoomHolders};
use crate::cluster::{ClusterState, Shard, ShardFence, shard_of};
use crate::config::{RoomConfig, RoomConfigs, RoomId};
use crate::device::{self, DeviceFence, FenceClosed, SessionStore};
use crate::doors::mqtt::SharingRules;
use crate::rooms::RoomSharing;

/// What is said of a room that no live gateway has.
pub const NO_OWNER: &str = "no gateway that runs has the room";
/// What a gateway says of it that cannot know.
const NO_OWNER_KNOWN: &str = "no gateway that runs has the room, as far as this one knows: it has no contact with \
                              the cluster's etcd";

/// What is said of a room whose gateway does not know it.
pub fn not_configured(owner: &str) -> Arc<str> {
    let text = format!(
        "gateway \"{owner}\" should have the room, and has it not in its configuration: give all gateways the same rooms, \
         and reload them"
    );
    text.into()
}

/// What is said of a room whose device another gateway may use under another name.
pub fn device_elsewhere(member: &str) -> Arc<str> {
    let text = format!(
        "gateway \"{member}\" has the room's device under another name: give all gateways the same rooms, and reload \
         them"
    );
    text.into()
}

impl State {
    fn holder(&self, me: &str, room: &str) -> Holder {
        let Some(shard) = self.shard(room) else {
            return Holder::NotShared;
        };
        if let Some(here) = self.here.get(&shard) {
            return match here.phase {
                ShardPhase::Running => match self.waiting.get(room) {
                    None => Holder::Me,
                    Some(None) => Holder::Moving,
                    Some(Some(why)) => Holder::Nobody(why.clone()),
                },
                ShardPhase::Starting | ShardPhase::Stopping => Holder::Moving,
            };
        }
        let view = &self.seen.view;
        let place = view.owners.get(shard.index()).copied().flatten();
        let Some(place) = place.map(usize::from) else {
            return self.without_owner(shard);
        };
        match self.seen.members.get(place) {
            // It was this gateway's, and the table does not say otherwise yet.
            Some(Some(member)) if *member.name == *me => Holder::Moving,
            Some(Some(member)) => {
                if self.is_ownerless(room) {
                    Holder::Nobody(not_configured(&member.name))
                } else {
                    Holder::Member(member.clone())
                }
            }
            _ => Holder::Nobody("the address that its gateway advertises is no URL".into()),
        }
    }

    /// The room's shard has an owner that has not the room.
    fn is_ownerless(&self, room: &str) -> bool {
        self.seen.view.conflicts.ownerless.contains_key(room)
    }

    /// Whether nothing keeps a room of a shard that is here from starting: the others know that this gateway has the
    /// device under this name, and none that may use the device has it under another.
    pub(super) fn may_start(&self, room: &str) -> bool {
        let conflicts = &self.seen.view.conflicts;
        let has_same_device = |rooms: &RoomConfigs| {
            let [own, other] = [&self.rooms, rooms].map(|rooms| rooms.get(room));
            own.map(|room| &room.url) == other.map(|room| &room.url)
        };
        let conflict = conflicts.devices.get(room);
        !conflicts.are_unknown
            && has_same_device(&self.told)
            && self.telling.iter().all(|(_, rooms)| has_same_device(rooms))
            && conflict.is_none_or(|conflict| !conflict.blocks)
    }

    /// Takes over which of the configurations the others can read.
    pub(super) fn take_told(&mut self) {
        let number = self.seen.view.told_configuration;
        while self
            .telling
            .front()
            .is_some_and(|(told, _)| *told <= number)
        {
            self.told = self
                .telling
                .pop_front()
                .map(|(_, rooms)| rooms)
                .unwrap_or_default();
        }
    }

    /// The shard of a configured room.
    fn shard(&self, room: &str) -> Option<Shard> {
        self.rooms.contains_key(room).then(|| shard_of(room))
    }

    pub(super) fn is_long_unowned(&self, shard: Shard) -> bool {
        self.unowned[shard.index()].is_some_and(|unowned| unowned.is_long)
    }

    /// Whether all gateways that are known to be there have told the same rooms.
    fn have_same_rooms(&self) -> bool {
        let members = &self.seen.view.members;
        let first = members.first().map(|first| &first.rooms);
        let mut members = members.iter();
        members.all(|member| !member.rooms.is_empty() && Some(&member.rooms) == first)
    }

    /// Between two owners a room is on its way. A gateway without contact does not see where it goes. Clients read why
    /// that is so, also those who may use one room only: the log says more.
    fn without_owner(&self, shard: Shard) -> Holder {
        let view = &self.seen.view;
        let is_awaited = match view.state {
            ClusterState::Ok => view.heir(shard).is_some(),
            ClusterState::Leaving => view.has_successor(),
            ClusterState::NoCluster | ClusterState::Joining | ClusterState::Ended => false,
        };
        match view.state {
            _ if is_awaited && !self.is_long_unowned(shard) => Holder::Moving,
            ClusterState::Ok | ClusterState::Leaving => Holder::Nobody(NO_OWNER.into()),
            ClusterState::NoCluster | ClusterState::Joining | ClusterState::Ended => {
                Holder::Nobody(NO_OWNER_KNOWN.into())
            }
        }
    }
}

impl RoomHolders for PlacedRooms {
    fn holder(&self, room: &str) -> Holder {
        self.state.read().holder(&self.name, room)
    }

    fn changed_since(&self, look: u64) -> HolderChanges {
        let state = self.state.read();
        let changes = &state.changes;
        let are_all = look < changes.of_configuration.max(1);
        let rooms = if are_all {
            state.rooms.keys().map(RoomId::shared).collect()
        } else {
            let changed = Shard::all().filter(|shard| changes.of_shards[shard.index()] > look);
            let rooms = changed.filter_map(|shard| state.by_shard.get(&shard));
            rooms.flatten().cloned().collect()
        };
        HolderChanges {
            look: changes.count,
            rooms,
            are_all,
        }
    }

    fn members(&self) -> Vec<Member> {
        let state = self.state.read();
        let members = state.seen.members.iter().flatten();
        members
            .filter(|member| member.name != self.name)
            .cloned()
            .collect()
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl RoomSharing for PlacedRooms {
    fn owns(&self, room: &str) -> bool {
        let state = self.state.read();
        let here = state.shard(room).and_then(|shard| state.here.get(&shard));
        here.is_some_and(|here| here.phase != ShardPhase::Stopping) && state.may_start(room)
    }

    fn fence(&self, room: &Arc<str>) -> DeviceFence {
        let state = self.state.read();
        match state.shard(room).and_then(|shard| state.here.get(&shard)) {
            Some(here) => DeviceFence::new(Arc::new(here.fence.clone())),
            None => DeviceFence::new(Arc::new(NotHere)),
        }
    }

    fn sessions(&self, room: &Arc<str>, config: &RoomConfig) -> SessionStore {
        self.sessions.of(room, config)
    }
}

impl SharingRules for PlacedRooms {
    fn may_act(&self) -> bool {
        self.state.read().fence.may_begin(BootInstant::now())
    }

    fn max_command_age(&self, room: &str) -> Duration {
        let state = self.state.read();
        state
            .rooms
            .get(room)
            .map_or(Duration::ZERO, |room| room.max_command_age)
    }

    /// Another gateway's configuration may have rooms that this one's has not.
    fn is_configured(&self, room: &str) -> bool {
        let state = self.state.read();
        !state.have_same_rooms() || state.rooms.contains_key(room)
    }

    fn agreed_rooms(&self) -> Option<String> {
        let state = self.state.read();
        let view = &state.seen.view;
        let is_known = view.state == ClusterState::Ok && state.have_same_rooms();
        let first = view.members.first().filter(|_| is_known);
        first.map(|first| first.rooms.clone())
    }

    fn configured(&self) -> Vec<Arc<str>> {
        self.state.read().rooms.keys().map(RoomId::shared).collect()
    }
}

impl device::Fence for ShardFence {
    fn check(&self) -> Result<(), FenceClosed> {
        self.check_at(BootInstant::now())
    }
}

/// The fence of a room that this gateway does not have.
#[derive(Debug)]
struct NotHere;

impl device::Fence for NotHere {
    fn check(&self) -> Result<(), FenceClosed> {
        Err(FenceClosed::NotOwner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cluster::placed_rooms::UNOWNED_AFTER;
    use crate::cluster::{ClusterSessions, ClusterView, Etcd, EtcdSettings, MemberView, SHARDS};
    use crate::config::Secret;

    const ROOM: &str = "1";

    /// Two members; all shards have this owner, and the second member takes them next.
    fn view(state: ClusterState, owner: Option<u16>) -> ClusterView {
        ClusterView {
            state,
            problem: Some("etcd at http://10.0.0.1:2379: no answer".into()),
            members: ["gw-1", "gw-2"].map(MemberView::named).into(),
            owners: vec![owner; usize::from(SHARDS)].into(),
            heirs: vec![Some(1); usize::from(SHARDS)].into(),
            ..ClusterView::unknown("gw-1")
        }
    }

    fn placed() -> Arc<PlacedRooms> {
        let text =
            "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"4\"\n";
        let config = crate::config::read("test".into(), text, []).unwrap().config;
        // Nobody asks it.
        let etcd = Etcd::new(EtcdSettings {
            endpoints: vec!["http://127.0.0.1:1".into()],
            login: None,
            authorities: None,
        });
        let token = Secret::new("the token of this cluster");
        let etcd = Arc::new(etcd.unwrap());
        let (sessions, _) = ClusterSessions::start(etcd, "/test", token, Arc::default());
        PlacedRooms::new("gw-1", &config, sessions)
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_between_two_owners_is_on_its_way_until_that_takes_too_long() {
        let placed = placed();
        placed.seen(view(ClusterState::Ok, None));
        let mut changed = placed.changed();
        changed.mark_unchanged();
        placed.look();
        assert!(matches!(placed.holder(ROOM), Holder::Moving));
        assert!(!changed.has_changed().unwrap() && placed.long_unowned().is_empty());
        tokio::time::advance(UNOWNED_AFTER).await;
        placed.look();
        assert!(matches!(placed.holder(ROOM), Holder::Nobody(why) if &*why == NO_OWNER));
        assert!(changed.has_changed().unwrap() && !placed.long_unowned().is_empty());
        // It is taken, and released again.
        placed.seen(view(ClusterState::Ok, Some(1)));
        assert!(matches!(placed.holder(ROOM), Holder::Member(_)));
        placed.seen(view(ClusterState::Leaving, None));
        assert!(matches!(placed.holder(ROOM), Holder::Moving));
    }

    #[test]
    fn a_room_is_known_to_be_gone_only_when_all_gateways_have_the_same_rooms() {
        let placed = placed();
        assert_eq!(placed.agreed_rooms(), None);
        for (rooms, state, agreed) in [
            (["a", "b"], ClusterState::Ok, None),
            (["a", ""], ClusterState::Ok, None),
            (["", ""], ClusterState::Ok, None),
            (["a", "a"], ClusterState::NoCluster, None),
            (["a", "a"], ClusterState::Ok, Some("a")),
        ] {
            let members = ["gw-1", "gw-2"].into_iter().zip(rooms);
            let members = members.map(|(name, rooms)| MemberView {
                rooms: rooms.into(),
                ..MemberView::named(name)
            });
            placed.seen(ClusterView {
                members: members.collect(),
                ..view(state, None)
            });
            assert_eq!(placed.agreed_rooms().as_deref(), agreed, "{rooms:?}");
            assert!(agreed.is_none() || !placed.is_configured("gone"));
        }
    }

    #[test]
    fn why_nobody_has_a_room_names_no_address_of_etcd() {
        let placed = placed();
        placed.seen(view(ClusterState::NoCluster, None));
        let Holder::Nobody(why) = placed.holder(ROOM) else {
            panic!("a gateway without contact knows of no owner");
        };
        assert_eq!(&*why, NO_OWNER_KNOWN);
        assert!(!why.contains("10.0.0.1"));
    }
}
