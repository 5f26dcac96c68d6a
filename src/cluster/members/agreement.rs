//! In which shards the members' configurations agree, and who may have those in which they do not.
//!
//! A shard that all have alike goes where it is wanted. One that differs stays with the member that has it, as
//! long as that one has any room of it; without such an owner it goes to a member that has most rooms of it.
//!
//! Shards go by the names of rooms, and a device may have another name at another member: see
//! [`Agreement::conflicts`]. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::members::snapshot::Snapshot;
use crate::cluster::placement::{Placement, Shard, room_number, shard_of_number};
use crate::cluster::record::MemberRecord;
use crate::cluster::room_digests::{
    NamedRooms, RoomDevices, RoomDigests, RoomsDocument, ShardDigests,
};
use crate::cluster::view::{DeviceConflict, DifferingShard, OwnerlessRoom, RoomConflicts};

/// This gateway's rooms, and what is known of the other members'.
#[derive(Debug, Default)]
pub struct Agreement {
    own: RoomDigests,
    own_digest: String,
    own_devices: String,
    configuration: u64,
    named: NamedRooms,
    others: BTreeMap<String, MemberRooms>,
}

/// What a member's document said.
#[derive(Debug)]
struct MemberRooms {
    /// The digests in the member's record then.
    rooms: String,
    named_rooms: String,
    devices: String,
    /// None if it was not there, or did not fit the record.
    document: Option<RoomsDocument>,
}

/// Who may have which shard.
#[derive(Debug, Default)]
pub struct WantedOwners {
    /// The place in the placement's members of the owner that is wanted.
    pub owners: Vec<Option<usize>>,
    /// The place of the owner that is wanted if the present one ends.
    pub heirs: Vec<Option<usize>>,
    /// The shards in which configurations differ.
    pub differing: Arc<[DifferingShard]>,
    /// All members that have rooms of these shards have named them.
    pub all_named: bool,
}

impl Agreement {
    /// Takes over this gateway's rooms: those of the configuration that is numbered so.
    pub fn set_own(&mut self, configuration: u64, rooms: RoomDigests) {
        self.configuration = configuration;
        self.own_digest = rooms.shards().digest();
        self.own_devices = rooms.devices().digest();
        self.own = rooms;
    }

    /// Says in the member's record which rooms this gateway has. Whether that is new.
    pub fn describe(&self, record: &mut MemberRecord) -> bool {
        let named = self.named.digest();
        let is_new = !self.is_described(record) || record.named_rooms != named;
        record.rooms.clone_from(&self.own_digest);
        record.devices.clone_from(&self.own_devices);
        record.configuration = self.configuration;
        record.named_rooms = named;
        is_new
    }

    /// Whether the record says which rooms this gateway has.
    fn is_described(&self, record: &MemberRecord) -> bool {
        record.rooms == self.own_digest
            && record.devices == self.own_devices
            && record.configuration == self.configuration
    }

    /// What this gateway writes about its rooms.
    pub fn own_text(&self) -> String {
        let document = RoomsDocument {
            shards: self.own.shards().clone(),
            named: self.named.clone(),
            devices: self.own.devices().clone(),
        };
        document.to_text()
    }

    /// The rooms of these shards are named to the others.
    pub fn name_rooms(&mut self, shards: &[DifferingShard]) {
        self.named = NamedRooms::of(&self.own, shards.iter().map(|differing| differing.shard));
    }

    /// The members whose documents have to be read.
    pub fn unread(&self, me: &str, snapshot: &Snapshot) -> Vec<String> {
        let live = snapshot.live().filter(|(name, _)| **name != *me);
        let unread = live.filter(|(name, record)| {
            let known = self.others.get(*name);
            let knows_shards = record.rooms.is_empty()
                || record.rooms == self.own_digest
                || known.is_some_and(|known| known.rooms == record.rooms);
            let knows_names = record.named_rooms.is_empty()
                || known.is_some_and(|known| {
                    known.rooms == record.rooms && known.named_rooms == record.named_rooms
                });
            !knows_shards || !knows_names || !self.knows_devices(name, record)
        });
        unread.map(|(name, _)| name.clone()).collect()
    }

    /// A member's document was read, or is not there. Its record is of the same moment.
    pub fn read(&mut self, name: &str, record: &MemberRecord, text: Option<&str>) {
        let document = text.and_then(RoomsDocument::parse);
        let known = MemberRooms {
            rooms: record.rooms.clone(),
            named_rooms: record.named_rooms.clone(),
            devices: record.devices.clone(),
            document: document.filter(|document| document.shards.digest() == record.rooms),
        };
        self.others.insert(name.to_owned(), known);
    }

    /// Whether it is known which devices a member has, as far as it says.
    fn knows_devices(&self, name: &str, record: &MemberRecord) -> bool {
        record.devices.is_empty()
            || record.devices == self.own_devices
            || (self.others.get(name)).is_some_and(|known| known.devices == record.devices)
    }

    /// Which devices a member has; none if they are this gateway's, or it does not say so in a form that can be read.
    fn devices_of(&self, name: &str, record: &MemberRecord) -> Option<&RoomDevices> {
        let known = self.others.get(name)?;
        let devices = &known.document.as_ref()?.devices;
        let is_other = record.devices != self.own_devices && known.devices == record.devices;
        (is_other && !record.devices.is_empty()).then_some(devices)
    }

    /// What differing configurations mean for this gateway's rooms.
    ///
    /// A device may have one name here and another one at another member, and the two names' shards two owners. So no
    /// room starts here while a member that has its device under another name has that name's shard. Of two members
    /// that gain such shards the store puts one first, and the other sees it: both have told their devices before
    /// they gained anything, and each gains by an answer that shows what the other has told. A member that comes to
    /// have
    /// another configuration tells it when what it has taken out has ended, and starts what is new in it when that is
    /// told.
    pub fn conflicts(&self, me: &str, snapshot: &Snapshot) -> RoomConflicts {
        let mut conflicts = RoomConflicts::default();
        let others = || snapshot.live().filter(|(name, _)| **name != *me);
        conflicts.are_unknown = others().any(|(name, record)| !self.knows_devices(name, record));
        let differing: BTreeMap<&str, &RoomDevices> = others()
            .filter_map(|(name, record)| Some((&**name, self.devices_of(name, record)?)))
            .collect();
        if differing.is_empty() {
            return conflicts;
        }
        // By the room's number: the member, and whether it has the other room's shard.
        let mut under_other_names: BTreeMap<u32, (&str, bool)> = BTreeMap::new();
        for (name, devices) in &differing {
            for (own, other) in self.own.devices().under_other_names(devices) {
                let owner = snapshot.live_owner(shard_of_number(other));
                let blocks = owner.is_some_and(|owner| owner.name == *name);
                let known = under_other_names.entry(own).or_insert((*name, blocks));
                if blocks && !known.1 {
                    *known = (*name, true);
                }
            }
        }
        for id in self.own.ids() {
            let number = room_number(id);
            if let Some((member, blocks)) = under_other_names.get(&number) {
                let conflict = DeviceConflict {
                    member: (*member).into(),
                    blocks: *blocks,
                };
                conflicts.devices.insert(id.into(), conflict);
            }
            let owner = snapshot.live_owner(shard_of_number(number));
            let lacks_room = |name: &str| {
                differing
                    .get(name)
                    .is_some_and(|devices| !devices.has_room(number))
            };
            if let Some(owner) = owner.filter(|owner| lacks_room(&owner.name)) {
                let mut with_room = snapshot.live().filter(|(name, _)| !lacks_room(name));
                let ownerless = OwnerlessRoom {
                    owner: owner.name.as_str().into(),
                    tells: with_room.next().is_some_and(|(first, _)| **first == *me),
                };
                conflicts.ownerless.insert(id.into(), ownerless);
            }
        }
        conflicts
    }

    /// Forgets members that are gone.
    pub fn keep_only(&mut self, snapshot: &Snapshot) {
        let live: BTreeSet<&String> = snapshot.live().map(|(name, _)| name).collect();
        self.others.retain(|name, _| live.contains(name));
    }

    /// Whether a document that decides about shards has still to be read.
    pub fn is_waiting(&self, me: &str, snapshot: &Snapshot) -> bool {
        let mut others = snapshot
            .live()
            .filter(|(name, record)| **name != *me && !record.leaving && record.weight > 0);
        others.any(|(name, record)| {
            let known = self.others.get(name);
            !record.rooms.is_empty()
                && record.rooms != self.own_digest
                && known.is_none_or(|known| known.rooms != record.rooms)
        })
    }

    /// What a member has of each shard; none if it does not say so in a form that can be read.
    fn shards_of(&self, me: &str, name: &str, snapshot: &Snapshot) -> Option<&Arc<ShardDigests>> {
        let record = snapshot.record(name)?;
        if name == me || record.rooms == self.own_digest {
            return Some(self.own.shards());
        }
        let known = self.others.get(name)?;
        let document = known.document.as_ref()?;
        (known.rooms == record.rooms).then_some(&document.shards)
    }

    /// Who is wanted for which shard.
    pub fn wanted(&self, me: &str, placement: &Placement, snapshot: &Snapshot) -> WantedOwners {
        let members = placement.members();
        let of_members: Vec<Option<&Arc<ShardDigests>>> = members
            .iter()
            .map(|(name, weight)| {
                let shards = self.shards_of(me, name, snapshot);
                shards.filter(|_| *weight > 0)
            })
            .collect();
        let place_of = |shard| {
            let owner = snapshot.live_owner(shard)?;
            let at = members.iter().position(|(name, _)| *name == owner.name)?;
            (members[at].1 > 0).then_some(at)
        };
        let mut wanted = WantedOwners::default();
        let mut differing = Vec::new();
        for shard in Shard::all() {
            let digests: Vec<_> = of_members
                .iter()
                .map(|shards| shards.map(|shards| shards.get(shard)))
                .collect();
            let present = place_of(shard);
            let mut known = digests.iter().flatten();
            let first = known.next();
            if known.all(|other| Some(other) == first) {
                wanted.owners.push(placement.owner_place(shard));
                let heir = placement.owner_among(shard, |at| Some(at) != present);
                wanted.heirs.push(heir);
                continue;
            }
            let most_rooms = |without: Option<usize>| {
                let rooms = |at: usize| digests[at].map_or(0, |digest| digest.rooms);
                let others = (0..members.len()).filter(|at| Some(*at) != without);
                let most = others.map(rooms).max().filter(|rooms| *rooms > 0);
                placement.owner_among(shard, |at| {
                    Some(at) != without && most.is_none_or(|most| rooms(at) == most)
                })
            };
            let stays = present.filter(|at| digests[*at].is_none_or(|digest| digest.rooms > 0));
            wanted.owners.push(stays.or_else(|| most_rooms(None)));
            wanted.heirs.push(most_rooms(present));
            let mut alike: Vec<(_, Vec<String>)> = Vec::new();
            for ((name, _), digest) in members.iter().zip(&digests) {
                let Some(digest) = digest else { continue };
                match alike.iter_mut().find(|(other, _)| other == digest) {
                    Some((_, names)) => names.push(name.clone()),
                    None => alike.push((*digest, vec![name.clone()])),
                }
            }
            differing.push(DifferingShard {
                shard,
                members: alike.into_iter().map(|(_, names)| names).collect(),
                rooms: Vec::new(),
            });
        }
        wanted.all_named = self.name_differing(me, snapshot, &mut differing);
        wanted.differing = differing.into();
        wanted
    }

    /// Adds the rooms that differ, as far as the members have named them. Whether all have.
    fn name_differing(
        &self,
        me: &str,
        snapshot: &Snapshot,
        differing: &mut [DifferingShard],
    ) -> bool {
        let mut all_named = true;
        let mut named = BTreeMap::new();
        let members: BTreeSet<&String> = differing
            .iter()
            .flat_map(|differing| differing.members.iter().flatten())
            .collect();
        for name in members.into_iter().filter(|name| ***name != *me) {
            let record = snapshot.record(name);
            let known = self.others.get(name);
            all_named &= record.zip(known).is_some_and(|(record, known)| {
                !record.named_rooms.is_empty() && known.named_rooms == record.named_rooms
            });
            if let Some(document) = known.and_then(|known| known.document.as_ref()) {
                named.insert(name.clone(), (document, document.named.by_shard()));
            }
        }
        for differing in differing {
            let shard = differing.shard;
            let mut lists = Vec::new();
            for name in differing.members.iter().flatten() {
                if **name == *me {
                    lists.push(self.own.of_shard(shard).collect::<BTreeMap<_, _>>());
                } else if let Some((document, rooms)) = named.get(name) {
                    let rooms = rooms.get(&shard).cloned().unwrap_or_default();
                    // The list is whole.
                    if rooms.len() == usize::from(document.shards.get(shard).rooms) {
                        lists.push(rooms);
                    }
                }
            }
            let ids: BTreeSet<&str> = lists.iter().flat_map(|list| list.keys().copied()).collect();
            let is_alike = |id: &&str| {
                let first = lists.first().and_then(|list| list.get(id));
                lists.iter().all(|list| list.get(id) == first)
            };
            let ids = ids.into_iter().filter(|id| !is_alike(id));
            differing.rooms = ids.map(str::to_owned).collect();
        }
        all_named
    }
}
