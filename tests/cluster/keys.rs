//! The layout of the cluster's keys in etcd, as far as the judge reads them. The only place that knows it.

use ring::digest::{SHA256, digest};

/// Where the gateways of a run keep their keys.
pub const PREFIX: &str = "/poly2mqtt/judge";
const SHARDS: u64 = 1024;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A live member.
    Member(String),
    /// Who owns a shard.
    Shard(u32),
}

/// Reads a key below [`PREFIX`]; `None` if it is about anything else.
pub fn read(key: &str) -> Option<Key> {
    let rest = key.strip_prefix(PREFIX)?.strip_prefix('/')?;
    match rest.split_once('/')? {
        ("members", name) if !name.contains('/') => Some(Key::Member(name.to_owned())),
        ("shards", number) => Some(Key::Shard(number.parse().ok()?)),
        _ => None,
    }
}

/// The member that a shard's value names: the name itself, or the `owner` of a JSON object.
pub fn owner(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if text.starts_with('{') {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        return value["owner"]
            .as_str()
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// The shard of a room.
pub fn shard(room: &str) -> u32 {
    let hash = digest(&SHA256, room.as_bytes());
    let first = hash.as_ref()[..8].try_into().unwrap();
    u32::try_from(u64::from_be_bytes(first) % SHARDS).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        let member = read("/poly2mqtt/judge/members/gw-1");
        assert_eq!(member, Some(Key::Member("gw-1".into())));
        assert_eq!(read("/poly2mqtt/judge/shards/17"), Some(Key::Shard(17)));
        for other in ["/poly2mqtt/judge/format", "/poly2mqtt/judge2/shards/1", "x"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(owner(b"gw-1").as_deref(), Some("gw-1"));
        assert_eq!(owner(b"{\"owner\":\"gw-2\"}").as_deref(), Some("gw-2"));
        assert_eq!(owner(b""), None);
        assert_eq!(owner(b"{\"owner\":\"\"}"), None);
    }
}
