//! Rooms whose entities would get equal ids in Home Assistant.
//!
//! An entity's id has no capitals, no `-` and no digit at its start, so different rooms can give the same. Home
//! Assistant then adds `_2` to one of them, and which one that is depends on the order of messages.

use std::collections::BTreeMap;

use super::Namespace;
use super::room::entity_prefix;

/// A warning for each two rooms whose entities would get equal ids, and for one that has those of the gateway.
pub fn clashes<'a>(namespace: &Namespace, rooms: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let gateway = namespace.entity_prefix();
    let mut warnings = Vec::new();
    for room in rooms {
        let prefix = entity_prefix(room);
        if prefix == gateway {
            warnings.push(format!(
                "the room {room} and the gateway get equal entity ids in Home Assistant ({prefix}_…), \
                 which adds _2 to some; give the room another id"
            ));
        }
        if let Some(other) = first.get(&prefix) {
            warnings.push(format!(
                "rooms {other} and {room} get equal entity ids in Home Assistant ({prefix}_…), which adds \
                 _2 to those of one; give one of them another id"
            ));
        } else {
            first.insert(prefix, room);
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_with_equal_entity_ids_are_named() {
        let namespace = Namespace {
            topic_prefix: String::new(),
            discovery_prefix: "homeassistant".into(),
        };
        for (rooms, clashing) in [
            (&["1", "room_1"][..], &["1", "room_1"][..]),
            (&["huddle-1", "huddle_1"], &["huddle-1", "huddle_1"]),
            (&["Huddle", "huddle"], &["Huddle", "huddle"]),
            (&["1", "2", "Room-1"], &["1", "Room-1"]),
            (&["poly2mqtt"], &["poly2mqtt", "the gateway"]),
            (&["1", "room1", "1_room", "huddle1", "huddle_1"], &[]),
        ] {
            let told = clashes(&namespace, rooms.iter().copied());
            assert_eq!(told.len(), usize::from(!clashing.is_empty()), "{told:?}");
            for (told, names) in told.iter().zip([clashing]) {
                assert!(names.iter().all(|name| told.contains(name)), "{told}");
            }
        }
        let three = ["a-b", "a_b", "A-b"];
        assert_eq!(clashes(&namespace, three.into_iter()).len(), 2);
    }
}
