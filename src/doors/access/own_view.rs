//! `gateway/info`, `gateway/health` and `gateway/cluster` for clients who see only some rooms.
//!
//! Pure. Keeps what is named here and leaves out everything else, so that a new part of a document
//! is not shown by mistake.

use serde_json::{Map, Value, json};

/// The part about the gateway that names no room.
const ABOUT_THE_GATEWAY: [&str; 2] = ["version", "started"];

/// What `gateway/health` says that counts no rooms, nor what is done or published in them.
const HEALTH_WITHOUT_ROOMS: [&str; 1] = ["uptime_s"];

/// The same of the connection to the broker.
const BROKER_WITHOUT_ROOMS: [&str; 2] = ["connects", "other_gateways"];

/// What `gateway/cluster` says that counts no rooms and names none. The number of a member's shards says nothing
/// of the rooms in them.
const CLUSTER_WITHOUT_ROOMS: [&str; 6] =
    ["from", "state", "members", "shards", "unowned", "placement"];

/// The keys of each member that tell nothing of its rooms.
const MEMBER_WITHOUT_ROOMS: [&str; 5] = ["name", "state", "shards", "version", "since"];

fn only(keys: &[&str], document: &Value) -> Map<String, Value> {
    let part = |key: &&str| Some(((*key).to_owned(), document.get(*key)?.clone()));
    keys.iter().filter_map(part).collect()
}

/// `gateway/health` without the counters that tell how many rooms there are, or what is done in them.
pub fn health_without_rooms(health: &[u8]) -> Value {
    let health: Value = serde_json::from_slice(health).unwrap_or_default();
    let mut shown = only(&HEALTH_WITHOUT_ROOMS, &health);
    let broker = match &health["mqtt"] {
        Value::Null => Value::Null,
        broker => only(&BROKER_WITHOUT_ROOMS, broker).into(),
    };
    shown.insert("mqtt".into(), broker);
    shown.into()
}

/// `gateway/cluster` without rooms and addresses. Of a problem only its code is shown: its words count rooms.
pub fn cluster_without_rooms(cluster: &[u8]) -> Value {
    let cluster: Value = serde_json::from_slice(cluster).unwrap_or_default();
    let mut shown = only(&CLUSTER_WITHOUT_ROOMS, &cluster);
    let members = cluster["members"].as_array().into_iter().flatten();
    let members: Vec<Value> = members
        .map(|member| only(&MEMBER_WITHOUT_ROOMS, member).into())
        .collect();
    shown.insert("members".into(), members.into());
    let problem = match &cluster["problem"]["code"] {
        Value::Null => Value::Null,
        code => json!({"code": code}),
    };
    shown.insert("problem".into(), problem);
    shown.into()
}

/// `gateway/info` with these rooms alone, and nothing of the configuration but theirs.
pub fn info_for_rooms(info: &[u8], sees: impl Fn(&str) -> bool) -> Value {
    let info: Value = serde_json::from_slice(info).unwrap_or_default();
    let seen = |rooms: &Value| -> Map<String, Value> {
        let rooms = rooms.as_object().into_iter().flatten();
        let rooms = rooms.filter(|(room, _)| sees(room));
        rooms
            .map(|(room, value)| (room.clone(), value.clone()))
            .collect()
    };
    let mut shown = only(&ABOUT_THE_GATEWAY, &info);
    shown.insert("rooms".into(), seen(&info["rooms"]).into());
    let configuration = json!({"rooms": seen(&info["configuration"]["rooms"])});
    shown.insert("configuration".into(), configuration);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_rooms_and_the_gateways_configuration_are_left_out() {
        let info = json!({
            "version": "1.2.3",
            "started": "now",
            "rooms": {"1": "Hall", "2": null},
            "configuration": {
                "http": {"tokens": [{"name": "operator"}]},
                "rooms": {"1": {"user": "admin"}, "2": {"user": "root"}},
            },
            "added_later": ["2"],
        });
        let shown = info_for_rooms(info.to_string().as_bytes(), |room| room == "1");
        let expected = json!({
            "version": "1.2.3",
            "started": "now",
            "rooms": {"1": "Hall"},
            "configuration": {"rooms": {"1": {"user": "admin"}}},
        });
        assert_eq!(shown, expected);
        for broken in [&b""[..], b"[]", b"{\"rooms\": 1}", b"\xff"] {
            let shown = info_for_rooms(broken, |_| true);
            assert_eq!(shown["rooms"], json!({}));
        }
    }

    #[test]
    fn the_cluster_counts_no_rooms() {
        let cluster = json!({
            "from": "a", "state": "ok", "shards": 1024, "rooms": 9, "unowned": 3, "unowned_rooms": 2,
            "members": [{
                "name": "a", "state": "ok", "shards": 512, "rooms": 5, "version": "1", "since": "now",
                "advertise": "https://10.0.0.1", "weight": 1, "configuration": "ab", "added_later": 2,
            }],
            "differing": ["b"], "placement": "cd",
            "problem": {"code": "differing", "message": "1 rooms differ"}, "added_later": ["2"],
        });
        let shown = cluster_without_rooms(cluster.to_string().as_bytes());
        let expected = json!({
            "from": "a", "state": "ok", "shards": 1024, "unowned": 3, "placement": "cd",
            "members": [{"name": "a", "state": "ok", "shards": 512, "version": "1", "since": "now"}],
            "problem": {"code": "differing"},
        });
        assert_eq!(shown, expected);
        let broken = cluster_without_rooms(b"\xff");
        assert_eq!(broken, json!({"members": [], "problem": null}));
    }

    #[test]
    fn health_counts_no_rooms() {
        let health = json!({
            "uptime_s": 5, "rooms": 2, "rooms_online": 1, "commands": 3, "topics": 9,
            "mqtt": {"connects": 1, "published": 212, "undelivered_rooms": 2, "other_gateways": 0},
            "added_later": 2,
        });
        let shown = health_without_rooms(health.to_string().as_bytes());
        let expected = json!({"uptime_s": 5, "mqtt": {"connects": 1, "other_gateways": 0}});
        assert_eq!(shown, expected);
        assert_eq!(health_without_rooms(b"\xff"), json!({"mqtt": null}));
    }
}
