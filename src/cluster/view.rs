//! What the rest of the gateway sees of the cluster: members, and the owner of every shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::placement::{Shard, shard_of};

/// How this gateway stands to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// It is a member, and its requests may begin.
    Ok,
    /// It is not a member yet, or not any more.
    Joining,
    /// It is a member that gives up its rooms.
    Leaving,
    /// The store has not acknowledged a heartbeat in time: no request may begin.
    NoCluster,
    /// It has left, or cannot join.
    Ended,
}

/// A member, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// How its HTTP port is reached.
    pub advertise: String,
    /// Its share of the rooms.
    pub weight: u32,
    /// The version of its program.
    pub version: String,
    /// When it joined, in seconds since 1970.
    pub since: u64,
    /// It gives up its rooms and will end.
    pub leaving: bool,
    /// The digest of its configuration of the rooms.
    pub rooms: String,
    /// How many shards it owns.
    pub shards: usize,
}

#[cfg(test)]
impl MemberView {
    /// A member without rooms.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            advertise: format!("http://{name}"),
            weight: 1,
            version: String::new(),
            since: 0,
            leaving: false,
            rooms: String::new(),
            shards: 0,
        }
    }
}

/// A shard of which not all members have the same rooms with the same settings. It does not move while a member has it
/// that knows any of its rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingShard {
    /// Which one.
    pub shard: Shard,
    /// The members, those with the same configuration together.
    pub members: Vec<Vec<String>>,
    /// The rooms that differ, as far as the members have named them: that takes a second, and each names 1,000 rooms at
    /// most.
    pub rooms: Vec<String>,
}

/// Another member's configuration has a room's device in another room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConflict {
    /// The other member.
    pub member: Arc<str>,
    /// That member has the other room's shard, so it may use the device: this gateway must not begin to.
    pub blocks: bool,
}

/// A room that the member with its shard does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerlessRoom {
    /// The member that has the shard.
    pub owner: Arc<str>,
    /// Of the members that have the room this one comes first, so it says at the broker that nobody drives it.
    pub tells: bool,
}

/// What differing configurations mean for this gateway's rooms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomConflicts {
    /// It is not known yet which devices some member has: no room may start.
    pub are_unknown: bool,
    /// Devices under two names.
    pub devices: BTreeMap<Arc<str>, DeviceConflict>,
    /// Rooms that the owner of their shard does not know.
    pub ownerless: BTreeMap<Arc<str>, OwnerlessRoom>,
}

/// The cluster at one moment. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// This gateway's name.
    pub me: Arc<str>,
    /// How this gateway stands to it.
    pub state: ClusterState,
    /// Why it is not `Ok`, for people.
    pub problem: Option<Arc<str>>,
    /// The members by name.
    pub members: Arc<[MemberView]>,
    /// The place in `members` of each shard's owner; none if no live member owns it.
    pub owners: Arc<[Option<u16>]>,
    /// The place in `members` of each shard's next owner: who takes it over, or will when its owner ends.
    pub heirs: Arc<[Option<u16>]>,
    /// The shards in which the members' configurations differ.
    pub differing: Arc<[DifferingShard]>,
    /// What that means for the rooms of this gateway's newest configuration.
    pub conflicts: Arc<RoomConflicts>,
    /// The newest of this gateway's configurations that the others can read, as it was numbered.
    pub told_configuration: u64,
    /// The revision of the store that it shows.
    pub revision: u64,
}

impl ClusterView {
    /// Before anything is known.
    pub fn unknown(me: &str) -> Self {
        Self {
            me: me.into(),
            state: ClusterState::Joining,
            problem: None,
            members: Arc::default(),
            owners: Shard::all().map(|_| None).collect(),
            heirs: Shard::all().map(|_| None).collect(),
            differing: Arc::default(),
            conflicts: Arc::default(),
            told_configuration: 0,
            revision: 0,
        }
    }

    /// Whether members and shards are the same. The table's revision counts every write, also one that changes nothing.
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.owners == other.owners
            && self.heirs == other.heirs
            && self.differing == other.differing
            && self.conflicts == other.conflicts
            && self.told_configuration == other.told_configuration
            && self.members == other.members
    }

    /// The live member that owns a shard.
    pub fn owner(&self, shard: Shard) -> Option<&MemberView> {
        let at = self.owners.get(shard.index()).copied().flatten()?;
        self.members.get(usize::from(at))
    }

    /// The members but this gateway.
    pub fn others(&self) -> impl Iterator<Item = &MemberView> {
        let is_other = |member: &&MemberView| *member.name != *self.me;
        self.members.iter().filter(is_other)
    }

    /// Whether another gateway is there that does not end too.
    pub fn has_successor(&self) -> bool {
        self.others().any(|member| !member.leaving)
    }

    /// The member that takes a shard over, or will when its owner ends.
    pub fn heir(&self, shard: Shard) -> Option<&MemberView> {
        let at = self.heirs.get(shard.index()).copied().flatten()?;
        self.members.get(usize::from(at))
    }

    /// The live member that owns a room.
    pub fn owner_of_room(&self, room_id: &str) -> Option<&MemberView> {
        self.owner(shard_of(room_id))
    }
}
