//! Which rooms a gateway has in its configuration, as digests: one of each room, and one of all rooms of a shard.
//!
//! Members compare them, so that only rooms move that all of them have alike. Pure: how a room's digest is made is
//! the configuration's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::placement::{SHARDS, Shard, shard_of};

/// How many rooms a member names to the others when configurations differ: some 30 KB in the store.
const MOST_NAMED: usize = 1000;
/// A shard's digest and number of rooms, as they are written.
const BYTES_PER_SHARD: usize = 6;

/// The rooms of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomDigests {
    /// In order.
    rooms: Vec<(Shard, Box<str>, u32)>,
    shards: Arc<ShardDigests>,
}

impl Default for RoomDigests {
    fn default() -> Self {
        Self::new([])
    }
}

impl RoomDigests {
    /// These rooms, each with the digest of what its configuration says.
    pub fn new(rooms: impl IntoIterator<Item = (String, u32)>) -> Self {
        let placed = |(id, digest): (String, u32)| (shard_of(&id), id.into_boxed_str(), digest);
        let mut rooms: Vec<_> = rooms.into_iter().map(placed).collect();
        rooms.sort_unstable();
        let mut digests = vec![ShardDigest::default(); usize::from(SHARDS)];
        for of_shard in rooms.chunk_by(|one, next| one.0 == next.0) {
            digests[of_shard[0].0.index()] = ShardDigest::of(of_shard);
        }
        Self {
            rooms,
            shards: Arc::new(ShardDigests(digests)),
        }
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
}

/// The document as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenRooms {
    shards: String,
    #[serde(default)]
    named: NamedRooms,
}

impl RoomsDocument {
    /// As it is written: 8 KiB, and what is named.
    pub fn to_text(&self) -> String {
        let written = WrittenRooms {
            shards: STANDARD.encode(self.shards.to_bytes()),
            named: self.named.clone(),
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
        })
    }
}

fn short_digest(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let bytes = digest.as_ref().iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(n: u32) -> impl Iterator<Item = (String, u32)> {
        (0..n).map(|room| (format!("room-{room}"), room * 7))
    }

    #[test]
    fn two_configurations_differ_in_the_shards_of_the_rooms_that_differ() {
        let one = RoomDigests::new(rooms(3000));
        let mut others: BTreeMap<String, u32> = rooms(3000).collect();
        // The order does not matter.
        let same = RoomDigests::new(others.clone().into_iter().rev());
        assert_eq!(same.shards().digest(), one.shards().digest());

        others.insert("room-17".into(), 1);
        others.remove("room-18");
        others.insert("new".into(), 1);
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
        };
        for shards in [0, 1, 3, 1024] {
            let document = document(shards);
            let text = document.to_text();
            assert!(text.len() < 40_000, "{shards}: {}", text.len());
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
