//! The lists in payloads, such as a directory entry's devices: their objects' names, texts, words and numbers
//! become what the guide wants.
//!
//! Pure. `field` has the rules for single values.

use serde_json::{Map, Value};

use super::field::{Rule, SwitchWords};
use crate::visible::visible_start;

/// The longest start of a member, in characters, that is repeated in a message.
const LONGEST_SHOWN: usize = 40;

/// What the guide says of the objects of a list.
#[derive(Debug, Clone, Copy)]
pub struct ListMembers {
    /// The members that the guide has, by its names, each with what it takes. Others are passed on.
    pub members: &'static [(&'static str, Rule)],
    /// The member that each object must have, and in which the list must have an object at all; `None`: none.
    pub required: Option<&'static str>,
}

impl ListMembers {
    /// The list `name` for the device. `null` in a member that the guide has means that it is left out.
    ///
    /// # Errors
    /// Which member is wrong, and what it takes.
    pub(super) fn convert(&self, name: &str, value: &Value) -> Result<Value, String> {
        let list = value
            .as_array()
            .ok_or_else(|| format!("{name} takes a JSON list"))?;
        if list.is_empty() && self.required.is_some() {
            return Err(format!("{name} takes a list that is not empty"));
        }
        list.iter().map(|item| self.object(name, item)).collect()
    }

    fn object(&self, list: &str, item: &Value) -> Result<Value, String> {
        let map = item
            .as_object()
            .ok_or_else(|| format!("{list} takes JSON objects, not {}", shown(item)))?;
        let mut converted = Map::new();
        for (key, value) in map {
            let key = camel(key);
            let known = self.members.iter().find(|(known, _)| *known == key);
            let value = match (known, value) {
                (Some(_), Value::Null) => continue,
                (Some((name, rule)), value) => member(name, rule, value)?,
                (None, value) => renamed(value),
            };
            converted.insert(key, value);
        }
        match self.required {
            Some(required) if !converted.contains_key(required) => {
                Err(format!("{required} is missing in an object of {list}"))
            }
            _ => Ok(Value::Object(converted)),
        }
    }
}

/// The value of the member `name` for the device.
fn member(name: &str, rule: &Rule, value: &Value) -> Result<Value, String> {
    // A list says which of its own members is wrong.
    if let Rule::List(members) = rule {
        return members.convert(name, value);
    }
    let words = SwitchWords::OnOff;
    let converted = rule.convert(value, words);
    converted.ok_or_else(|| {
        let takes = rule.describe(words);
        format!("{name} takes {takes}, not {}", shown(value))
    })
}

/// The same with the guide's names of members, at any depth.
fn renamed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(renamed).collect(),
        Value::Object(map) => {
            let members = map.iter().map(|(key, value)| (camel(key), renamed(value)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

fn shown(value: &Value) -> String {
    visible_start(&value.to_string(), LONGEST_SHOWN)
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
    use super::*;

    const ADDRESSES: ListMembers = ListMembers {
        members: &[
            ("number", Rule::AnyText),
            ("rate", Rule::Integer { min: 0, max: 4000 }),
            ("type", Rule::Word(&[("sip", "SIP")])),
        ],
        required: Some("number"),
    };
    const DEVICES: ListMembers = ListMembers {
        members: &[
            ("name", Rule::AnyText),
            ("addressList", Rule::List(ADDRESSES)),
        ],
        required: None,
    };

    fn convert(list: &str) -> Result<String, String> {
        let list = serde_json::from_str(list).unwrap();
        DEVICES
            .convert("devices", &list)
            .map(|list| list.to_string())
    }

    #[test]
    fn members_become_what_the_guide_says() {
        let list = "[{\"address_list\":[{\"number\":123456789012345678901,\"type\":\"sip\",\
                    \"rate\":2.048e3,\"x_y\":{\"a_b\":1.10},\"z\":null}],\"name\":null}]";
        let wanted = "[{\"addressList\":[{\"number\":\"123456789012345678901\",\"type\":\"SIP\",\
                      \"rate\":2048,\"xY\":{\"aB\":1.10},\"z\":null}]}]";
        assert_eq!(convert(list).unwrap(), wanted);
        assert_eq!(convert("[]").unwrap(), "[]");
        assert_eq!(convert("[{}]").unwrap(), "[{}]");
    }

    #[test]
    fn the_member_that_is_wrong_is_named() {
        let of_address = |member: &str| format!("[{{\"addressList\":[{{{member}}}]}}]");
        for (list, message) in [
            ("{}".to_owned(), "devices takes a JSON list"),
            (
                "[\"x\"]".to_owned(),
                "devices takes JSON objects, not \"x\"",
            ),
            ("[{\"name\":1.5}]".to_owned(), "name takes a text, not 1.5"),
            (
                "[{\"addressList\":[]}]".to_owned(),
                "addressList takes a list that is not empty",
            ),
            (
                of_address("\"numbr\":\"1\""),
                "number is missing in an object of addressList",
            ),
            (
                of_address("\"number\":\"1\",\"rate\":-5"),
                "rate takes an integer from 0 to 4000, not -5",
            ),
            (
                of_address("\"number\":\"1\",\"type\":\"fax\""),
                "type takes one of sip, not \"fax\"",
            ),
        ] {
            assert_eq!(convert(&list).unwrap_err(), message, "{list}");
        }
    }
}
