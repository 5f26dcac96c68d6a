//! What becomes of the document that the broker has when a new one is made.
//!
//! A device that is away, or has only just come, says little of itself: nobody shall lose an
//! entity over that. What was there is kept until it is certain that the device lacks it, and is
//! then taken away as Home Assistant wants it: named once without anything, and left out after.

use serde_json::{Map, Value, json};

/// A document to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The document.
    pub document: Value,
    /// It holds components that are taken away with it, and must be left out of the next.
    pub removes: bool,
    /// It holds what only the old one had.
    pub keeps: bool,
}

/// What of the device is kept while it does not say otherwise.
const TOLD_BY_THE_DEVICE: [&str; 3] = ["model", "serial_number", "sw_version"];

/// The document to publish when `new` follows `old`; `certain` where what `new` lacks is not there.
pub fn merge(new: Value, old: Option<&Value>, certain: bool) -> Merged {
    let mut merged = Merged {
        document: new,
        removes: false,
        keeps: false,
    };
    let Some(old) = old else { return merged };
    if !certain {
        for name in TOLD_BY_THE_DEVICE {
            let known = &old["device"][name];
            if known.is_string() && merged.document["device"][name].is_null() {
                merged.document["device"][name] = known.clone();
                merged.keeps = true;
            }
        }
    }
    let gone: Vec<(&String, &Map<String, Value>)> = old["components"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| merged.document["components"][*key].is_null())
        .filter_map(|(key, component)| Some((key, component.as_object()?)))
        .collect();
    for (key, component) in gone {
        let platform = &component["platform"];
        // What the old one took away already is left out.
        if component.len() < 2 || !platform.is_string() {
            continue;
        }
        merged.document["components"][key] = if certain {
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
