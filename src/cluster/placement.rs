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

/// How many binary digits the fraction of a logarithm has. Two members are further apart than the last of them
/// but once in 2^40 cases, and then the name decides.
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

    /// Its place in a list of all shards.
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

/// The member that is wanted for a shard, of these names and weights; none if there is no member with a weight
/// above 0. The order of the members does not matter.
///
/// Weighted rendezvous hashing: each member draws a number `u` from 0 to 1, which is made from its name and the
/// shard, and the least `-log2(u) / weight` wins. A member's share is its part of all weights; who
/// joins or leaves moves no shard between two others.
pub fn owner_of<'a>(
    shard: Shard,
    members: impl IntoIterator<Item = (&'a str, u32)>,
) -> Option<&'a str> {
    let mut best: Option<(u64, u32, &str)> = None;
    for (name, weight) in members {
        if weight == 0 {
            continue;
        }
        let distance = minus_log2(draw(name, shard));
        let wins = best.is_none_or(|(best_distance, best_weight, best_name)| {
            // distance / weight < best_distance / best_weight, without a division.
            let this = u128::from(distance) * u128::from(best_weight);
            let other = u128::from(best_distance) * u128::from(weight);
            (this, name) < (other, best_name)
        });
        if wins {
            best = Some((distance, weight, name));
        }
    }
    best.map(|(_, _, name)| name)
}

/// The wanted owner of every shard, for one set of members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    members: Vec<(String, u32)>,
    /// The place of the owner in `members`.
    owners: Vec<Option<usize>>,
}

impl Placement {
    /// The placement over these names and weights.
    pub fn new(members: Vec<(String, u32)>) -> Self {
        let owner = |shard| {
            let named = members.iter().map(|(name, weight)| (&**name, *weight));
            let name = owner_of(shard, named)?;
            members.iter().position(|(other, _)| other == name)
        };
        let owners = Shard::all().map(owner).collect();
        Self { members, owners }
    }

    /// The members that it was made for.
    pub fn members(&self) -> &[(String, u32)] {
        &self.members
    }

    /// The wanted owner of a shard.
    pub fn owner(&self, shard: Shard) -> Option<&str> {
        let at = self.owners.get(shard.index()).copied().flatten()?;
        self.members.get(at).map(|(name, _)| &**name)
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
