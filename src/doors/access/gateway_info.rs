//! `gateway/info` for clients who see only some rooms.
//!
//! Pure. Keeps what is named here and leaves out everything else, so that a new part of the document
//! is not shown by mistake.

use serde_json::{Map, Value, json};

/// The part about the gateway that names no room.
const ABOUT_THE_GATEWAY: [&str; 2] = ["version", "started"];

/// The document with these rooms alone, and nothing of the configuration but theirs.
pub fn for_rooms(info: &[u8], sees: impl Fn(&str) -> bool) -> Value {
    let info: Value = serde_json::from_slice(info).unwrap_or_default();
    let seen = |rooms: &Value| -> Map<String, Value> {
        let rooms = rooms.as_object().into_iter().flatten();
        let rooms = rooms.filter(|(room, _)| sees(room));
        rooms
            .map(|(room, value)| (room.clone(), value.clone()))
            .collect()
    };
    let mut shown: Map<String, Value> = ABOUT_THE_GATEWAY
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), info.get(*key)?.clone())))
        .collect();
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
        let shown = for_rooms(info.to_string().as_bytes(), |room| room == "1");
        let expected = json!({
            "version": "1.2.3",
            "started": "now",
            "rooms": {"1": "Hall"},
            "configuration": {"rooms": {"1": {"user": "admin"}}},
        });
        assert_eq!(shown, expected);
        for broken in [&b""[..], b"[]", b"{\"rooms\": 1}", b"\xff"] {
            let shown = for_rooms(broken, |_| true);
            assert_eq!(shown["rooms"], json!({}));
        }
    }
}
