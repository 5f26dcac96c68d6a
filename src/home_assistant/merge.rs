//! Merges a new document with the one that the broker has.
//!
//! Little is known of a device that is offline or has just come online, and no entity may be lost
//! because of that. So what the old document has is kept until it is certain that the device lacks
//! it. Then it is removed as Home Assistant requires: one document has the component with only its
//! platform, the next leaves it out. So is a component that has become another kind of entity, which Home
//! Assistant would keep beside the new one, and one that is no longer disabled, which would stay so: Home
//! Assistant decides that when it first sees an entity. The next document has them anew.

use serde_json::{Map, Value, json};

/// A document to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The document.
    pub document: Value,
    /// It removes components, which the next document must leave out.
    pub removes: bool,
    /// It has something that only the old document has.
    pub keeps: bool,
}

/// The fields that come from the device itself.
const FIELDS_FROM_DEVICE: [&str; 3] = ["model", "serial_number", "sw_version"];

/// The document to publish when `new` follows `old`. `certain`: the device has nothing that `new`
/// lacks.
pub fn merge(new: Value, old: Option<&Value>, certain: bool) -> Merged {
    let mut merged = Merged {
        document: new,
        removes: false,
        keeps: false,
    };
    let Some(old) = old else { return merged };
    if !certain {
        for name in FIELDS_FROM_DEVICE {
            let known = &old["device"][name];
            if known.is_string() && merged.document["device"][name].is_null() {
                merged.document["device"][name] = known.clone();
                merged.keeps = true;
            }
        }
    }
    let before: Vec<(&String, &Map<String, Value>)> = old["components"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, component)| Some((key, component.as_object()?)))
        .collect();
    for (key, component) in before {
        // Anybody can publish such a document, so a component may have no platform.
        let Some(platform) = component.get("platform").filter(|name| name.is_string()) else {
            continue;
        };
        // The old document removed it already, so this one leaves it out.
        if component.len() < 2 {
            continue;
        }
        let now = &merged.document["components"][key];
        let is_disabled = |component: Option<&Value>| component == Some(&Value::Bool(false));
        let is_enabled_now = is_disabled(component.get("enabled_by_default"))
            && !is_disabled(now.get("enabled_by_default"));
        let is_anew = now.is_object() && (now["platform"] != *platform || is_enabled_now);
        if now.is_object() && !is_anew {
            continue;
        }
        merged.document["components"][key] = if certain || is_anew {
            merged.removes = true;
            json!({"platform": platform})
        } else {
            merged.keeps = true;
            Value::Object(component.clone())
        };
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(components: &Value) -> Value {
        json!({"device": {"name": "Room 1"}, "components": components})
    }

    #[test]
    fn what_is_not_certain_to_be_gone_is_kept() {
        let mut old = document(&json!({"a": {"platform": "button", "name": "A"}}));
        old["device"]["model"] = "G7500".into();
        let new = document(&json!({"b": {"platform": "button", "name": "B"}}));
        let merged = merge(new.clone(), Some(&old), false);
        assert!(merged.keeps && !merged.removes);
        assert_eq!(merged.document["device"]["model"], "G7500");
        assert_eq!(merged.document["components"]["a"]["name"], "A");
        assert_eq!(merged.document["components"]["b"]["name"], "B");
    }

    /// An earlier version of the gateway made a sensor of what is a binary sensor now.
    #[test]
    fn another_kind_of_entity_replaces_the_old_one() {
        let old = json!({"platform": "sensor", "name": "A", "unique_id": "a"});
        let now = json!({"platform": "binary_sensor", "name": "A", "unique_id": "a"});
        let new = document(&json!({"a": now}));
        for certain in [true, false] {
            let merged = merge(new.clone(), Some(&document(&json!({"a": old}))), certain);
            assert!(merged.removes, "{certain}");
            let named = json!({"a": {"platform": "sensor"}});
            assert_eq!(merged.document["components"], named);
            let after = merge(new.clone(), Some(&merged.document), certain);
            assert!(!after.removes && !after.keeps);
            assert_eq!(after.document, new);
        }
    }

    /// A reboot that the room allows from now on, or a preset that an earlier version had disabled.
    #[test]
    fn what_is_no_longer_disabled_is_made_anew() {
        let disabled = json!({"platform": "button", "name": "A", "enabled_by_default": false});
        let enabled = json!({"platform": "button", "name": "A"});
        for (old, new, anew) in [
            (&disabled, &enabled, true),
            (&enabled, &disabled, false),
            (&disabled, &disabled, false),
            (&enabled, &enabled, false),
        ] {
            let new = document(&json!({"a": new}));
            let merged = merge(new.clone(), Some(&document(&json!({"a": old}))), false);
            assert_eq!(merged.removes, anew, "{old} {new}");
            let now = if anew {
                json!({"platform": "button"})
            } else {
                new["components"]["a"].clone()
            };
            assert_eq!(merged.document["components"]["a"], now);
            assert_eq!(
                merge(new.clone(), Some(&merged.document), false).document,
                new
            );
        }
    }

    #[test]
    fn what_is_gone_is_named_once() {
        let old = document(&json!({"a": {"platform": "button", "name": "A"}, "x": 1}));
        let new = document(&json!({}));
        let merged = merge(new.clone(), Some(&old), true);
        assert!(merged.removes && !merged.keeps);
        let named = json!({"a": {"platform": "button"}});
        assert_eq!(merged.document["components"], named);
        let after = merge(new.clone(), Some(&merged.document), true);
        assert!(!after.removes);
        assert_eq!(after.document, new);
        assert_eq!(merge(new.clone(), None, true).document, new);
    }
}
