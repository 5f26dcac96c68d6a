//! Which rooms a gateway has in its configuration, as digests: one of each room, and one of all rooms of a shard; and
//! which device each room has.
//!
//! Members compare them, so that only rooms move that all of them have alike, and no device is used under two names at
//! once. Pure: how a room's digests are made is the configuration's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::placement::{SHARDS, Shard, room_number, shard_of};
use crate::config::RoomDigest;
use crate::digest::hex_digest;

/// How many rooms a member names to the others when configurations differ: some 30 KB in the store.
const MOST_NAMED: usize = 1000;
/// A shard's digest and number of rooms, as they are written.
const BYTES_PER_SHARD: usize = 6;
/// A room's number and its device's digest, as they are written: 72 KB for 9,000 rooms, once at a start or a reload.
const BYTES_PER_DEVICE: usize = 8;

/// The rooms of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomDigests {
    /// In order.
    rooms: Vec<(Shard, Box<str>, u32)>,
    shards: Arc<ShardDigests>,
    devices: RoomDevices,
}

impl Default for RoomDigests {
    fn default() -> Self {
        Self::new([])
    }
}

impl RoomDigests {
    /// These rooms, each with the digests of what its configuration says.
    pub fn new(rooms: impl IntoIterator<Item = (String, RoomDigest)>) -> Self {
        let mut devices = Vec::new();
        let placed = |(id, digest): (String, RoomDigest)| {
            devices.push((room_number(&id), digest.device));
            (shard_of(&id), id.into_boxed_str(), digest.settings)
        };
        let mut rooms: Vec<_> = rooms.into_iter().map(placed).collect();
        rooms.sort_unstable();
        let mut digests = vec![ShardDigest::default(); usize::from(SHARDS)];
        for of_shard in rooms.chunk_by(|one, next| one.0 == next.0) {
            digests[of_shard[0].0.index()] = ShardDigest::of(of_shard);
        }
        Self {
            rooms,
            shards: Arc::new(ShardDigests(digests)),
            devices: RoomDevices::new(devices),
        }
    }

    /// Which device each room has.
    pub fn devices(&self) -> &RoomDevices {
        &self.devices
    }

    /// The ids of all rooms.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rooms.iter().map(|(_, id, _)| &**id)
    }

    /// The digests of the shards.
    pub fn shards(&self) -> &Arc<ShardDigests> {
        &self.shards
    }

    /// The rooms of a shard.
    pub fn of_shard(&self, shard: Shard) -> impl Iterator<Item = (&str, u32)> {
        let start = self.rooms.partition_point(|(other, ..)| *other < shard);
        let rooms = self.rooms[start..].iter();
        rooms
            .take_while(move |(other, ..)| *other == shard)
            .map(|(_, id, digest)| (&**id, *digest))
    }
}

/// What a configuration has of one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardDigest {
    digest: u32,
    /// How many rooms.
    pub rooms: u16,
}

impl ShardDigest {
    fn of(rooms: &[(Shard, Box<str>, u32)]) -> Self {
        let mut text = Vec::new();
        for (_, id, digest) in rooms {
            text.extend_from_slice(id.as_bytes());
            text.push(0);
            text.extend_from_slice(&digest.to_be_bytes());
        }
        let digest = digest(&SHA256, &text);
        let bytes = digest.as_ref().first_chunk().copied();
        Self {
            digest: u32::from_be_bytes(bytes.unwrap_or_default()),
            rooms: u16::try_from(rooms.len()).unwrap_or(u16::MAX),
        }
    }
}

/// What a configuration has of every shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDigests(Vec<ShardDigest>);

impl ShardDigests {
    /// What it has of this one.
    pub fn get(&self, shard: Shard) -> ShardDigest {
        self.0[shard.index()]
    }

    /// One digest of all, as text.
    pub fn digest(&self) -> String {
        short_digest(&self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.0.iter().flat_map(|shard| {
            let (digest, rooms) = (shard.digest.to_be_bytes(), shard.rooms.to_be_bytes());
            digest.into_iter().chain(rooms)
        });
        bytes.collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BYTES_PER_SHARD * usize::from(SHARDS) {
            return None;
        }
        let shard = |bytes: &[u8]| ShardDigest {
            digest: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            rooms: u16::from_be_bytes([bytes[4], bytes[5]]),
        };
        Some(Self(
            bytes.chunks_exact(BYTES_PER_SHARD).map(shard).collect(),
        ))
    }
}

/// Which device each room has: the room's number with the digest of the device's address, in order. Two rooms of one
/// number, or two devices of one digest, hide a difference, or show one that is none, in one case of 2^32.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomDevices(Vec<(u32, u32)>);

impl RoomDevices {
    fn new(mut devices: Vec<(u32, u32)>) -> Self {
        devices.sort_unstable();
        devices.shrink_to_fit();
        Self(devices)
    }

    /// Whether a room of this number is there.
    pub fn has_room(&self, number: u32) -> bool {
        let at = self.0.partition_point(|(other, _)| *other < number);
        self.0.get(at).is_some_and(|(other, _)| *other == number)
    }

    /// The rooms whose device `other` has in a room that is not here, or has another device here: each with the
    /// number of that room.
    pub fn under_other_names(&self, other: &Self) -> Vec<(u32, u32)> {
        let is_new = |pair: &&(u32, u32)| self.0.binary_search(pair).is_err();
        let new = other.0.iter().filter(is_new);
        let mut rooms_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (number, device) in new {
            rooms_of.entry(*device).or_default().push(*number);
        }
        let own = self.0.iter().flat_map(|(number, device)| {
            let others = rooms_of.get(device).into_iter().flatten();
            others.map(|other| (*number, *other))
        });
        own.collect()
    }

    /// Its digest as text; empty without rooms.
    pub fn digest(&self) -> String {
        if self.0.is_empty() {
            String::new()
        } else {
            short_digest(&self.to_bytes())
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.0.iter().flat_map(|(number, device)| {
            let (number, device) = (number.to_be_bytes(), device.to_be_bytes());
            number.into_iter().chain(device)
        });
        bytes.collect()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let devices = bytes.chunks_exact(BYTES_PER_DEVICE);
        Self::new(
            devices
                .map(|each| (number(each), number(&each[4..])))
                .collect(),
        )
    }
}

/// The rooms of some shards by their ids: those of the shards in which configurations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRooms {
    /// The shards.
    shards: BTreeSet<u16>,
    /// The digests of their rooms; not all if there are many.
    rooms: BTreeMap<String, u32>,
}

impl NamedRooms {
    /// The rooms of these shards, in order, as many as are named.
    pub fn of(digests: &RoomDigests, shards: impl IntoIterator<Item = Shard>) -> Self {
        let mut named = Self::default();
        for shard in shards {
            named.shards.insert(shard.number());
            let rooms = usize::from(digests.shards.get(shard).rooms);
            if named.rooms.len() + rooms <= MOST_NAMED {
                let rooms = digests.of_shard(shard);
                named
                    .rooms
                    .extend(rooms.map(|(id, digest)| (id.to_owned(), digest)));
            }
        }
        named
    }

    /// The rooms of all these shards by their shard.
    pub fn by_shard(&self) -> BTreeMap<Shard, BTreeMap<&str, u32>> {
        let mut by_shard: BTreeMap<Shard, BTreeMap<&str, u32>> = BTreeMap::new();
        for (id, digest) in &self.rooms {
            by_shard
                .entry(shard_of(id))
                .or_default()
                .insert(id, *digest);
        }
        by_shard
    }

    /// Its digest as text; empty if there is nothing to name.
    pub fn digest(&self) -> String {
        if self.shards.is_empty() {
            return String::new();
        }
        short_digest(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What a member writes about its rooms: the value of a key of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomsDocument {
    /// Of every shard.
    pub shards: Arc<ShardDigests>,
    /// By name, where configurations differ.
    pub named: NamedRooms,
    /// Which device each room has; none if another version has not written that.
    pub devices: RoomDevices,
}

/// The document as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenRooms {
    shards: String,
    #[serde(default)]
    named: NamedRooms,
    #[serde(default)]
    devices: String,
}

impl RoomsDocument {
    /// As it is written: 8 KiB, what is named, and 11 bytes a room.
    pub fn to_text(&self) -> String {
        let written = WrittenRooms {
            shards: STANDARD.encode(self.shards.to_bytes()),
            named: self.named.clone(),
            devices: STANDARD.encode(self.devices.to_bytes()),
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads it; none if another version wrote it in another form.
    pub fn parse(text: &str) -> Option<Self> {
        let written: WrittenRooms = serde_json::from_str(text).ok()?;
        let bytes = STANDARD.decode(written.shards).ok()?;
        Some(Self {
            shards: Arc::new(ShardDigests::from_bytes(&bytes)?),
            named: written.named,
            devices: RoomDevices::from_bytes(&STANDARD.decode(written.devices).ok()?),
        })
    }
}

fn short_digest(bytes: &[u8]) -> String {
    hex_digest(bytes, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(settings: u32) -> RoomDigest {
        RoomDigest {
            settings,
            device: settings.wrapping_mul(2_654_435_761),
        }
    }

    fn rooms(n: u32) -> impl Iterator<Item = (String, RoomDigest)> {
        (0..n).map(|room| (format!("room-{room}"), digest(room * 7)))
    }

    #[test]
    fn a_device_that_another_configuration_has_under_another_name_is_found() {
        let of = |rooms: &[(&str, u32)]| {
            let rooms = rooms.iter();
            RoomDigests::new(rooms.map(|(id, device)| ((*id).to_owned(), digest(*device))))
        };
        let found = |own: &RoomDigests, other: &RoomDigests| {
            let mut found = own.devices().under_other_names(other.devices());
            found.sort_unstable();
            found
        };
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let mut pairs: Vec<_> = pairs
                .map(|(own, other)| (room_number(own), room_number(other)))
                .collect();
            pairs.sort_unstable();
            pairs
        };
        let one = of(&[("5", 1), ("13", 2), ("17", 3), ("same", 4), ("same-too", 4)]);
        assert_eq!(found(&one, &one), []);
        let renamed = of(&[
            ("five", 1),
            ("13", 2),
            ("17", 3),
            ("same", 4),
            ("same-too", 4),
        ]);
        assert_eq!(found(&one, &renamed), pairs(&[("5", "five")]));
        assert_eq!(found(&renamed, &one), pairs(&[("five", "5")]));
        let swapped = of(&[("5", 1), ("13", 3), ("17", 2), ("new", 9)]);
        let wanted = pairs(&[("13", "17"), ("17", "13")]);
        assert_eq!(found(&one, &swapped), wanted);
        assert_eq!(found(&swapped, &one), wanted);
        assert!(one.devices().has_room(room_number("13")));
        assert!(!one.devices().has_room(room_number("five")));
    }

    #[test]
    fn two_configurations_differ_in_the_shards_of_the_rooms_that_differ() {
        let one = RoomDigests::new(rooms(3000));
        let mut others: BTreeMap<String, RoomDigest> = rooms(3000).collect();
        // The order does not matter.
        let same = RoomDigests::new(others.clone().into_iter().rev());
        assert_eq!(same.shards().digest(), one.shards().digest());

        others.insert("room-17".into(), digest(1));
        others.remove("room-18");
        others.insert("new".into(), digest(1));
        let other = RoomDigests::new(others);
        assert_ne!(other.shards().digest(), one.shards().digest());
        let differs = |shard: &Shard| one.shards().get(*shard) != other.shards().get(*shard);
        let differing: BTreeSet<Shard> = Shard::all().filter(differs).collect();
        let wanted = ["room-17", "room-18", "new"].map(shard_of);
        assert_eq!(differing, BTreeSet::from(wanted));
        let counted: u32 = Shard::all()
            .map(|shard| u32::from(other.shards().get(shard).rooms))
            .sum();
        assert_eq!(counted, 3000);
        assert!(
            one.of_shard(wanted[0])
                .any(|room| room == ("room-17", 17 * 7))
        );
    }

    #[test]
    fn a_document_is_read_as_it_is_written_and_stays_small() {
        let digests = RoomDigests::new(rooms(50_000));
        let document = |shards: usize| RoomsDocument {
            shards: digests.shards().clone(),
            named: NamedRooms::of(&digests, Shard::all().take(shards)),
            devices: digests.devices().clone(),
        };
        for shards in [0, 1, 3, 1024] {
            let document = document(shards);
            let text = document.to_text();
            let devices = 50_000 * BYTES_PER_DEVICE * 4 / 3 + 16;
            assert!(text.len() < 40_000 + devices, "{shards}: {}", text.len());
            assert_eq!(RoomsDocument::parse(&text), Some(document.clone()));
            assert_eq!(document.named.digest().is_empty(), shards == 0);
        }
        let named = document(3).named;
        let of_one = &named.by_shard()[&Shard::new(1).unwrap()];
        assert_eq!(
            of_one.len(),
            usize::from(digests.shards().get(Shard::new(1).unwrap()).rooms)
        );
        for wrong in ["", "{}", r#"{"shards":""}"#, r#"{"shards":"AAAA"}"#] {
            assert_eq!(RoomsDocument::parse(wrong), None, "{wrong}");
        }
    }
}
