//! What a member writes about itself in the store, and the id that the table of owners calls it by.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The value of a member's key. Unknown fields of later versions are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// A random text by which a process knows its own key.
    pub nonce: String,
    /// How the others reach its HTTP port.
    pub advertise: String,
    /// Its share of the rooms; 0 for none.
    pub weight: u32,
    /// The version of its program.
    #[serde(default)]
    pub version: String,
    /// When it joined, in seconds since 1970, for people.
    #[serde(default)]
    pub since: u64,
    /// It gives up its rooms and will end.
    #[serde(default)]
    pub leaving: bool,
    /// The digest of its configuration of the rooms; what it stands for is in a key of its own.
    #[serde(default)]
    pub rooms: String,
    /// The digest of what it names of its rooms because configurations differ; empty for nothing.
    #[serde(default)]
    pub named_rooms: String,
    /// The digest of which device each of its rooms has; empty for none.
    #[serde(default)]
    pub devices: String,
    /// Which of this process's configurations these are: it may come back to an earlier one.
    #[serde(default)]
    pub configuration: u64,
    /// Settings that all members must have alike, by their keys: as they are, or as digests.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl MemberRecord {
    /// As it is written.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The settings that this member and another have, and not alike. A later version may know more of them.
    pub fn differing_settings<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let settings = self.settings.iter();
        let differing = settings.filter(|(key, value)| {
            let other = other.settings.get(*key);
            other.is_some_and(|other| other != *value)
        });
        differing.map(|(key, _)| &**key)
    }

    /// Reads it; none if another version wrote it in another form.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// An owner in the table: a member from its joining to its end. One that joins again under the same name is
/// another owner, which owns nothing of what the earlier one did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The member's name.
    pub name: String,
    /// The store's revision at which its key was created.
    pub created: u64,
}

impl Owner {
    /// Reads `gw-1@4711`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, created) = text.rsplit_once('@')?;
        let owner = Self {
            name: name.to_owned(),
            created: created.parse().ok()?,
        };
        // One owner has one text: the library would take a sign and zeros at the start too.
        (owner.to_string() == text).then_some(owner)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_later_version_can_be_read() {
        let text = r#"{"nonce":"x","advertise":"https://a","weight":2,"new":{"a":1}}"#;
        let record = MemberRecord::parse(text).unwrap();
        assert_eq!((record.weight, record.leaving), (2, false));
        assert_eq!(MemberRecord::parse(&record.to_text()), Some(record));
        assert_eq!(MemberRecord::parse("{}"), None);
    }

    #[test]
    fn an_owner_is_read_as_it_is_written() {
        let owner = Owner {
            name: "gw-1".into(),
            created: 4711,
        };
        assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
        for wrong in ["", "gw-1", "gw-1@", "gw-1@x", "gw-1@+1", "gw-1@01"] {
            assert_eq!(Owner::parse(wrong), None, "{wrong}");
        }
    }
}
