//! The lists in payloads, such as a directory entry's devices: their objects' names, texts and numbers
//! become what the guide wants.
//!
//! Pure. `field` has the rules for values that are no list.

use serde_json::{Map, Value};

use super::field::{scalar, text};
use crate::json::whole_number;

/// What the guide says of the members of a list's objects, and of the objects in these.
#[derive(Debug, Clone, Copy)]
pub struct ListMembers {
    /// The members that are texts.
    pub texts: &'static [&'static str],
    /// The members that are whole numbers.
    pub integers: &'static [&'static str],
}

impl ListMembers {
    /// The list for the device, or `None` where `value` is none or a member is neither text nor number
    /// as it should be. `null` in a member means that it is left out.
    pub(super) fn convert(&self, value: &Value) -> Option<Value> {
        value.is_array().then(|| self.nested(value))?
    }

    /// The members in words, to follow the message about a list.
    pub(super) fn describe(&self) -> Option<String> {
        let (texts, integers) = (self.texts.join(", "), self.integers.join(", "));
        let parts = [("texts", texts), ("whole numbers", integers)];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(kind, names)| format!("{kind} are {names}"))
            .collect();
        (!parts.is_empty()).then(|| format!("in its objects, {}", parts.join("; ")))
    }

    fn nested(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.nested(item)).collect(),
            Value::Object(map) => self.object(map),
            other => Some(other.clone()),
        }
    }

    fn object(&self, map: &Map<String, Value>) -> Option<Value> {
        let mut converted = Map::new();
        for (key, value) in map {
            let key = camel(key);
            let is_text = self.texts.contains(&key.as_str());
            let is_integer = self.integers.contains(&key.as_str());
            let value = match value {
                Value::Null if is_text || is_integer => continue,
                value if is_text => text(value)?.into(),
                value if is_integer => whole_number(scalar(value)?)?.into(),
                value => self.nested(value)?,
            };
            converted.insert(key, value);
        }
        Some(Value::Object(converted))
    }
}

/// `first_name` becomes `firstName`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MEMBERS: ListMembers = ListMembers {
        texts: &["number", "extension"],
        integers: &["rate"],
    };

    #[test]
    fn nested_names_become_the_guides() {
        let list = json!([{"address_list": [{"type": "SIP"}]}]);
        let wanted = json!([{"addressList": [{"type": "SIP"}]}]);
        assert_eq!(MEMBERS.convert(&list), Some(wanted));
    }

    #[test]
    fn texts_and_numbers_in_lists_are_what_the_guide_says() {
        let list = "[{\"address_list\":[{\"number\":123456789012345678901,\"extension\":null,\
                    \"rate\":2.048e3,\"x\":1.10,\"y\":null}]},{\"number\":\" a@b \",\"rate\":\"384\"}]";
        let taken = MEMBERS.convert(&serde_json::from_str(list).unwrap());
        let wanted = "[{\"addressList\":[{\"number\":\"123456789012345678901\",\"rate\":2048,\
                      \"x\":1.10,\"y\":null}]},{\"number\":\"a@b\",\"rate\":384}]";
        assert_eq!(taken.unwrap().to_string(), wanted);
    }

    #[test]
    fn other_members_are_refused() {
        for list in [
            "[{\"number\":1.5}]",
            "[{\"number\":true}]",
            "[{\"number\":[]}]",
            "[{\"a\":[{\"rate\":2048.5}]}]",
            "[{\"rate\":true}]",
            "{}",
            "\"x\"",
            "null",
        ] {
            assert_eq!(
                MEMBERS.convert(&serde_json::from_str(list).unwrap()),
                None,
                "{list}"
            );
        }
        let told = MEMBERS.describe().unwrap();
        assert_eq!(
            told,
            "in its objects, texts are number, extension; whole numbers are rate"
        );
    }
}
