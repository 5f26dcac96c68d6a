//! Which shard a room belongs to, and which member of the cluster is wanted for it.
//!
//! Members of different versions and on different machines must come to the same result, so nothing here may
//! ever change without [`FORMAT`], and there are only whole numbers: what a floating-point logarithm gives
//! depends on the machine's library. Pure: knows no store and no time.

use std::fmt;

use ring::digest::{SHA256, digest};

/// How many shards there are: at eight members the busiest has about a tenth more than the mean, and the table
/// of owners takes 2 KiB.
pub const SHARDS: u16 = 1024;

/// What this file does, as it is written in the store. A member that finds another text there does not join.
pub const FORMAT: &str = "1024 shards, sha-256, weighted rendezvous, table 1";

/// How many binary digits the fraction of a logarithm has. About once in 2^40 cases two members are the same in
/// all of them, and then the name decides.
const FRACTION_BITS: u32 = 40;

/// A part of the rooms. All rooms of a shard have the same owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// The shard with this number, if there is one.
    pub const fn new(number: u16) -> Option<Self> {
        if number < SHARDS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// All shards in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its number as the index of a list of all shards.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shard of a room: the first eight bytes of the SHA-256 of its id, as a number whose first byte counts
/// most, modulo [`SHARDS`].
pub fn shard_of(room_id: &str) -> Shard {
    let number = first_bytes(room_id.as_bytes()) % u64::from(SHARDS);
    Shard(u16::try_from(number).unwrap_or(0))
}

/// The last four of these eight bytes: they stand for a room where members tell each other about all of theirs.
pub fn room_number(room_id: &str) -> u32 {
    let number = first_bytes(room_id.as_bytes()) & u64::from(u32::MAX);
    u32::try_from(number).unwrap_or(0)
}

/// The shard of the room that has this number.
pub fn shard_of_number(room_number: u32) -> Shard {
    Shard(u16::try_from(room_number % u32::from(SHARDS)).unwrap_or(0))
}

/// The place of the member that wins, of these names, weights and distances.
fn least<'a>(members: impl Iterator<Item = (usize, (&'a str, u32, u64))>) -> Option<usize> {
    let mut best: Option<(usize, (&str, u32, u64))> = None;
    for (at, (name, weight, distance)) in members.filter(|(_, (_, weight, _))| *weight > 0) {
        let wins = best.is_none_or(|(_, (best_name, best_weight, best_distance))| {
            // distance / weight < best_distance / best_weight, without a division.
            let this = u128::from(distance) * u128::from(best_weight);
            let other = u128::from(best_distance) * u128::from(weight);
            (this, name) < (other, best_name)
        });
        if wins {
            best = Some((at, (name, weight, distance)));
        }
    }
    best.map(|(at, _)| at)
}

/// The wanted owner of every shard, for one set of members with names and weights. Their order does not matter; a
/// shard has none if no member has a weight above 0.
///
/// Weighted rendezvous hashing: each member draws a number `u` from 0 to 1, which is made from its name and the
/// shard, and the least `-log2(u) / weight` wins. A member's share is its part of all weights; who
/// joins or leaves moves no shard between two others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    members: Vec<(String, u32)>,
    /// Of each shard the distances of all members.
    distances: Vec<u64>,
    /// The place of the owner in `members`.
    owners: Vec<Option<usize>>,
}

impl Placement {
    /// The placement over these names and weights.
    pub fn new(members: Vec<(String, u32)>) -> Self {
        let distances = Shard::all().flat_map(|shard| {
            let names = members.iter();
            names.map(move |(name, _)| minus_log2(draw(name, shard)))
        });
        let mut placement = Self {
            distances: distances.collect(),
            owners: Vec::new(),
            members,
        };
        placement.owners = Shard::all()
            .map(|shard| placement.owner_among(shard, |_| true))
            .collect();
        placement
    }

    /// The members that it was made for.
    pub fn members(&self) -> &[(String, u32)] {
        &self.members
    }

    /// The wanted owner of a shard.
    pub fn owner(&self, shard: Shard) -> Option<&str> {
        let at = self.owner_place(shard)?;
        self.members.get(at).map(|(name, _)| &**name)
    }

    /// The wanted owner of a shard, as a place in the list of members.
    pub fn owner_place(&self, shard: Shard) -> Option<usize> {
        self.owners.get(shard.index()).copied().flatten()
    }

    /// The place of the member that is wanted for a shard if only those of these places count.
    pub fn owner_among(&self, shard: Shard, counts: impl Fn(usize) -> bool) -> Option<usize> {
        let first = shard.index() * self.members.len();
        let distances = self.distances.get(first..)?;
        let members = self.members.iter().zip(distances);
        let members = members.map(|((name, weight), distance)| (&**name, *weight, *distance));
        least(members.enumerate().filter(|(at, _)| counts(*at)))
    }
}

/// The number that a member draws for a shard: from the SHA-256 of its name, a zero byte and the shard in two
/// bytes.
fn draw(name: &str, shard: Shard) -> u64 {
    let mut bytes = Vec::with_capacity(name.len() + 3);
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&shard.0.to_be_bytes());
    first_bytes(&bytes)
}

fn first_bytes(text: &[u8]) -> u64 {
    let digest = digest(&SHA256, text);
    let bytes = digest.as_ref().iter().take(8);
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// `-log2((drawn + 1) / 2^64)`, with [`FRACTION_BITS`] binary digits after the point.
///
/// The digits come from squaring: the square of a number from 1 to 2 is 2 or more exactly if the next digit of its
/// logarithm is 1. What is cut off is the same on every machine.
fn minus_log2(drawn: u64) -> u64 {
    let number = u128::from(drawn) + 1;
    let whole = number.ilog2();
    if whole == u64::BITS {
        return 0;
    }
    // From 1 to 2, with 63 binary digits after the point.
    let mut mantissa = number << (u64::BITS - 1 - whole);
    let mut logarithm = u64::from(whole);
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> (u64::BITS - 1);
        let digit = mantissa >> u64::BITS;
        mantissa >>= digit;
        logarithm = logarithm << 1 | u64::from(digit == 1);
    }
    (u64::from(u64::BITS) << FRACTION_BITS) - logarithm
}

#[cfg(test)]
mod tests;
