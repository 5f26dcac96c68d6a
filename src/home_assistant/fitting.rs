//! Makes a document fit into the largest message that the broker takes.
//!
//! Pure. Leaves out whole entities, those first that people use least, and says which.

use serde_json::{Map, Value};

/// What a room is mostly used for, by the entities' keys.
const USED_MOST: [&str; 7] = [
    "microphone_mute",
    "volume",
    "video_mute",
    "hang_up",
    "answer",
    "in_call",
    "dial",
];
/// The platforms in the order of their use: first what a person presses, then what is looked at.
const PLATFORMS: [&str; 9] = [
    "switch",
    "number",
    "select",
    "button",
    "text",
    "binary_sensor",
    "sensor",
    "event",
    "image",
];

/// A document that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The document; `None` if not even one entity fits.
    pub document: Option<Value>,
    /// The keys of the entities that are left out.
    pub left_out: Vec<String>,
    /// The size of the whole document in bytes.
    pub whole_size: usize,
}

/// The part of a document that has at most `limit` bytes.
pub fn fit(mut document: Value, limit: usize) -> Fitted {
    let whole_size = document.to_string().len();
    if whole_size <= limit {
        return Fitted {
            document: Some(document),
            left_out: Vec::new(),
            whole_size,
        };
    }
    let components = document["components"].as_object_mut();
    let mut components: Vec<(String, Value)> = components
        .map(std::mem::take)
        .into_iter()
        .flatten()
        .collect();
    components.sort_by_key(|(key, component)| rank(key, component));
    let mut size = document.to_string().len();
    let mut fitting = Map::new();
    let mut left_out = Vec::new();
    for (key, component) in components {
        // A key in quotes, a colon and a comma.
        let more = key.len() + component.to_string().len() + 4;
        if size + more <= limit {
            size += more;
            fitting.insert(key, component);
        } else {
            left_out.push(key);
        }
    }
    let document = (!fitting.is_empty()).then(|| {
        document["components"] = fitting.into();
        document
    });
    Fitted {
        document,
        left_out,
        whole_size,
    }
}

/// What triggers are in a document.
const TRIGGER: &str = "device_automation";

/// Smaller: used more. Automations can be begun by entities too.
fn rank(key: &str, component: &Value) -> (bool, u8, usize, usize, String) {
    let is_disabled = component["enabled_by_default"] == false;
    let category = match component["entity_category"].as_str() {
        None if component["platform"] == TRIGGER => 3,
        None => 0,
        Some("config") => 1,
        Some(_) => 2,
    };
    let place = |names: &[&str], name: &str| {
        let place = names.iter().position(|known| *known == name);
        place.unwrap_or(names.len())
    };
    let platform = component["platform"].as_str().unwrap_or_default();
    let (most, platform) = (place(&USED_MOST, key), place(&PLATFORMS, platform));
    (is_disabled, category, most, platform, key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "device": {"name": "Room 1"},
            "components": {
                "availability": {"platform": "binary_sensor", "entity_category": "diagnostic"},
                "call_state": {"platform": "sensor"},
                "camera_tracking": {"platform": "switch"},
                "microphone_mute": {"platform": "switch"},
                "preset_1": {"platform": "button"},
                "preset_2": {"platform": "button", "enabled_by_default": false},
                "volume": {"platform": "number"},
            },
        })
    }

    fn keys(fitted: &Fitted) -> Vec<&str> {
        let document = fitted.document.as_ref();
        let components = document.and_then(|document| document["components"].as_object());
        components
            .into_iter()
            .flatten()
            .map(|(key, _)| &**key)
            .collect()
    }

    #[test]
    fn what_people_use_comes_first_whatever_the_limit() {
        let whole = document();
        let size = whole.to_string().len();
        let fitted = fit(whole.clone(), size);
        assert_eq!(
            (fitted.document.as_ref(), fitted.left_out.len()),
            (Some(&whole), 0)
        );
        let used_most = [
            "microphone_mute",
            "volume",
            "camera_tracking",
            "preset_1",
            "call_state",
            "availability",
            "preset_2",
        ];
        let mut before = 7;
        for limit in (0..size).rev() {
            let fitted = fit(whole.clone(), limit);
            let kept = keys(&fitted).len();
            assert_eq!(kept + fitted.left_out.len(), 7, "{limit}");
            assert_eq!(fitted.whole_size, size);
            if let Some(document) = &fitted.document {
                assert!(document.to_string().len() <= limit);
                assert_eq!(document["device"], whole["device"]);
            }
            assert!(kept <= before, "{limit}");
            before = kept;
        }
        let two = fit(whole, 120);
        assert_eq!(keys(&two), used_most[..2], "{two:?}");
        assert_eq!(two.left_out, used_most[2..]);
    }

    #[test]
    fn a_document_of_something_else_is_no_panic() {
        for other in [json!(null), json!([1, 2]), json!({"components": 5})] {
            if other.is_object() {
                assert_eq!(fit(other, 1).document, None);
            } else {
                let size = other.to_string().len();
                assert!(fit(other, size).document.is_some());
            }
        }
    }
}
