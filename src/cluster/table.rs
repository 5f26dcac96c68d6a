//! Who owns which shard: the value of one key in the store.
//!
//! One key for all shards, so that taking or giving up any number of them is one compare-and-swap, and whoever
//! reads it sees all of them at one moment. As text it is 2 KiB of JSON: the owners, and two hexadecimal digits a
//! shard, which are the owner's place in that list, or `--`.

use serde::{Deserialize, Serialize};

use super::placement::{SHARDS, Shard};
use super::record::Owner;

/// What stands for a shard without an owner.
const NO_OWNER: &str = "--";

/// The owners of all shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    owners: Vec<Owner>,
    /// The place in `owners`.
    shards: Vec<Option<u8>>,
}

/// The table as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenTable {
    owners: Vec<String>,
    shards: String,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            owners: Vec::new(),
            shards: vec![None; usize::from(SHARDS)],
        }
    }
}

impl Table {
    /// The owner of a shard.
    pub fn owner(&self, shard: Shard) -> Option<&Owner> {
        let at = self.shards.get(shard.index()).copied().flatten()?;
        self.owners.get(usize::from(at))
    }

    /// Sets the owner of a shard. An owner that finds no place, since there are 256 others, is not set.
    pub fn set(&mut self, shard: Shard, owner: Option<&Owner>) {
        let at = owner.and_then(|owner| self.place_of(owner));
        if let Some(entry) = self.shards.get_mut(shard.index()) {
            *entry = at;
        }
    }

    /// The place of an owner in the list; owners without a shard give way.
    fn place_of(&mut self, owner: &Owner) -> Option<u8> {
        let known = self.owners.iter().position(|other| other == owner);
        let at = known.unwrap_or_else(|| {
            let unused = |at: &usize| !self.shards.contains(&u8::try_from(*at).ok());
            let place = (0..self.owners.len()).find(unused);
            match place {
                Some(at) => self.owners[at] = owner.clone(),
                None => self.owners.push(owner.clone()),
            }
            place.unwrap_or(self.owners.len() - 1)
        });
        u8::try_from(at).ok()
    }

    /// As it is written.
    pub fn to_text(&self) -> String {
        let shards = self.shards.iter().map(|at| match at {
            Some(at) => format!("{at:02x}"),
            None => NO_OWNER.to_owned(),
        });
        let written = WrittenTable {
            owners: self.owners.iter().map(Owner::to_string).collect(),
            shards: shards.collect(),
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads it; none if it is no table of this format.
    pub fn parse(text: &str) -> Option<Self> {
        let written: WrittenTable = serde_json::from_str(text).ok()?;
        let owners: Option<Vec<Owner>> = written
            .owners
            .iter()
            .map(|text| Owner::parse(text))
            .collect();
        let owners = owners?;
        let digits = written.shards.as_bytes();
        if digits.len() != 2 * usize::from(SHARDS) {
            return None;
        }
        let entry = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            if text == NO_OWNER {
                return Some(None);
            }
            // The library would take a sign too.
            let at = u8::from_str_radix(text, 16).ok()?;
            if text.starts_with('+') {
                return None;
            }
            (usize::from(at) < owners.len()).then_some(Some(at))
        };
        let shards: Option<Vec<Option<u8>>> = digits.chunks(2).map(entry).collect();
        let shards = shards?;
        Some(Self { owners, shards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(n: u64) -> Owner {
        Owner {
            name: format!("gw-{n}"),
            created: n,
        }
    }

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let mut table = Table::default();
        assert_eq!(Table::parse(&table.to_text()), Some(table.clone()));
        for (n, shard) in (0..).zip(Shard::all()) {
            let owner = owner(n % 7);
            table.set(shard, (n % 5 != 0).then_some(&owner));
        }
        let text = table.to_text();
        assert!(text.len() < 2300, "{}", text.len());
        let read = Table::parse(&text).unwrap();
        for (n, shard) in (0..).zip(Shard::all()) {
            let wanted = (n % 5 != 0).then(|| owner(n % 7));
            assert_eq!(read.owner(shard), wanted.as_ref(), "{n}");
        }
    }

    #[test]
    fn owners_of_the_past_take_no_place() {
        let mut table = Table::default();
        let shard = Shard::new(3).unwrap();
        for n in 0..1000 {
            table.set(shard, Some(&owner(n)));
            assert_eq!(table.owner(shard), Some(&owner(n)));
        }
        assert!(table.owners.len() <= 2, "{}", table.owners.len());
        table.set(shard, None);
        assert_eq!(table.owner(shard), None);
    }

    #[test]
    fn what_is_no_table_is_not_read() {
        let good = Table::default().to_text();
        let owned = good.replace("[]", "[\"gw-1@1\"]").replacen("--", "00", 1);
        assert!(Table::parse(&owned).is_some());
        for wrong in [
            &owned.replacen("00", "+0", 1),
            &owned.replacen("00", "01", 1),
            &owned.replacen("@1", "@+1", 1),
            "",
            "{}",
            &good.replace("[]", "[\"gw-1\"]"),
            &good.replacen("--", "00", 1),
            &good.replacen("--", "+0", 1),
            &good.replacen("--", "-", 1),
            &good.replacen("--", "----", 1),
        ] {
            assert_eq!(Table::parse(wrong), None, "{wrong}");
        }
    }
}
