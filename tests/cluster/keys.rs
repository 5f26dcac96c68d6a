//! The layout of the cluster's keys in etcd, as far as the judge reads them. The only place that knows it.
//!
//! ```text
//! <prefix>/members/<name>   a live member
//! <prefix>/table            {"owners":["gw-1@4711",…],"shards":"00--01…"}: two hexadecimal digits a shard, the
//!                           owner's place in the list; an owner is a member's name and the revision of its key
//! ```

use ring::digest::{SHA256, digest};

/// Where the gateways of a run keep their keys.
pub const PREFIX: &str = "/poly2mqtt/judge";
pub const SHARDS: usize = 1024;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A live member.
    Member(String),
    /// Who owns which shard.
    Table,
}

/// Reads a key below [`PREFIX`]; `None` if it is about anything else.
pub fn read(key: &str) -> Option<Key> {
    let rest = key.strip_prefix(PREFIX)?.strip_prefix('/')?;
    match rest.split_once('/') {
        None if rest == "table" => Some(Key::Table),
        Some(("members", name)) => Some(Key::Member(name.to_owned())),
        _ => None,
    }
}

/// A member from its joining to its end: one that joins again under the same name is another owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub name: String,
    /// The revision at which its key was created.
    pub created: u64,
}

impl Owner {
    pub fn read(text: &str) -> Option<Self> {
        let (name, created) = text.rsplit_once('@')?;
        Some(Self {
            name: name.to_owned(),
            created: created.parse().ok()?,
        })
    }
}

/// The owner of each shard; `None` if it is no table.
pub fn table(value: &[u8]) -> Option<Vec<Option<Owner>>> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    let owners = value["owners"].as_array()?.iter();
    let owners: Vec<_> = owners.map(|owner| Owner::read(owner.as_str()?)).collect();
    let shards = value["shards"].as_str()?.as_bytes().chunks(2);
    let owner = |digits: &[u8]| {
        let place = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        owners.get(place)?.clone()
    };
    let shards: Vec<_> = shards.map(owner).collect();
    (shards.len() == SHARDS).then_some(shards)
}

/// The shard of a room: the first eight bytes of the SHA-256 of its id.
pub fn shard(room: &str) -> usize {
    let hash = digest(&SHA256, room.as_bytes());
    let first = u64::from_be_bytes(hash.as_ref()[..8].try_into().unwrap());
    usize::try_from(first % SHARDS as u64).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        let member = read("/poly2mqtt/judge/members/gw-1");
        assert_eq!(member, Some(Key::Member("gw-1".into())));
        assert_eq!(read("/poly2mqtt/judge/table"), Some(Key::Table));
        for other in ["/poly2mqtt/judge/format", "/poly2mqtt/judge2/table", "x"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_table_is_read() {
        let shards = format!("00--01{}", "--".repeat(SHARDS - 3));
        let text = format!(r#"{{"owners":["gw-1@7","gw@2@9"],"shards":"{shards}"}}"#);
        let table = table(text.as_bytes()).unwrap();
        assert_eq!(table[0], Owner::read("gw-1@7"));
        assert_eq!(table[1], None);
        let other = table[2].as_ref().unwrap();
        assert_eq!((other.name.as_str(), other.created), ("gw@2", 9));
        assert!(super::table(b"{\"owners\":[],\"shards\":\"00\"}").is_none());
    }
}
