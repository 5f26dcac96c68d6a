//! The values of all topics, in the order of topics.
//!
//! Pure. A room's topics are together in one sorted list, without what all of them begin with. As entries of
//! one map of all topics they would take twice as much memory besides names and values: the nodes of such a map are
//! little more than half full. All rooms have mostly the same topics, so the rest of a name is held once.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use super::stored::StoredValue;
use crate::topics;

/// The topics of one room, or one topic that is of no room, in order: what follows the group's name, and the
/// value.
type Group = Vec<(Arc<str>, StoredValue)>;

/// Every value by its topic.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// By what the topics of each begin with.
    groups: BTreeMap<Box<str>, Group>,
    /// The rest of each name, shared by all groups that have it.
    rests: HashSet<Arc<str>>,
    /// How many topics there are.
    len: usize,
}

impl Values {
    /// How many topics there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of a topic.
    pub(super) fn get(&self, topic: &str) -> Option<&StoredValue> {
        let (name, rest) = split(topic);
        let group = self.groups.get(name)?;
        Some(&group[position(group, rest).ok()?].1)
    }

    /// The value of a topic, to change it.
    pub(super) fn get_mut(&mut self, topic: &str) -> Option<&mut StoredValue> {
        let (name, rest) = split(topic);
        let group = self.groups.get_mut(name)?;
        let position = position(group, rest).ok()?;
        Some(&mut group[position].1)
    }

    /// Adds a topic, or sets its value if it is there.
    pub(super) fn insert(&mut self, topic: &str, value: StoredValue) {
        let (name, rest) = split(topic);
        let group = self.groups.entry(name.into()).or_default();
        match position(group, rest) {
            Ok(position) => group[position].1 = value,
            Err(position) => {
                if group.len() == group.capacity() {
                    // Not twice as many, of which up to half would stay unused.
                    group.reserve_exact(1 + group.len() / 8);
                }
                let rest = self.rests.get(rest).cloned().unwrap_or_else(|| {
                    let rest: Arc<str> = rest.into();
                    self.rests.insert(rest.clone());
                    rest
                });
                group.insert(position, (rest, value));
                self.len += 1;
            }
        }
    }

    /// Removes a topic, and gives its value if it was there.
    pub(super) fn remove(&mut self, topic: &str) -> Option<StoredValue> {
        let (name, rest) = split(topic);
        let group = self.groups.get_mut(name)?;
        let (rest, value) = group.remove(position(group, rest).ok()?);
        if group.is_empty() {
            self.groups.remove(name);
        }
        // This one and that in `rests`: no group has it any more.
        if Arc::strong_count(&rest) == 2 {
            self.rests.remove(&rest);
        }
        self.len -= 1;
        Some(value)
    }

    /// The topics that start with `prefix`, in order.
    pub(super) fn topics_below(&self, prefix: &str) -> impl Iterator<Item = Arc<str>> {
        // A room's, if the prefix names one; otherwise the prefix, below which are whole groups.
        let (name, rest) = split(prefix);
        let from = (Bound::Included(name), Bound::Unbounded);
        let groups = self.groups.range::<str, _>(from);
        groups
            .take_while(move |(group, _)| group.starts_with(name))
            .flat_map(|(group, topics)| topics.iter().map(move |(rest, _)| (group, rest)))
            .filter(move |(_, topic)| topic.starts_with(rest))
            .map(|(group, rest)| [&**group, rest].concat().into())
    }
}

/// The name of a topic's group, with which all its topics begin, and the rest: `room/1/` and what follows. A
/// topic that is of no room is a group of its own, without a rest.
fn split(topic: &str) -> (&str, &str) {
    let rest = topics::split_room(topic).map_or("", |(_, rest)| rest);
    topic.split_at(topic.len() - rest.len())
}

/// Where a topic is, or where it would be.
fn position(group: &Group, rest: &str) -> Result<usize, usize> {
    group.binary_search_by(|(known, _)| (**known).cmp(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateValue;

    fn value(text: &'static str) -> StoredValue {
        StateValue::text(text).into()
    }

    #[test]
    fn all_is_as_in_one_sorted_map() {
        let topics = [
            "room/1/a",
            "room/1/b/c",
            "room/1/b",
            "room/1/",
            "room/1",
            "room/1-2/a",
            "room/1.2/a",
            "room/10/a",
            "room/",
            "room",
            "room//a",
            "rooms/1/a",
            "gateway/info",
            "gateway/log",
            "homeassistant/device/x_1/config",
            "homeassistant/device/x_2/config",
            "z",
            "",
        ];
        let mut values = Values::default();
        let mut map = BTreeMap::new();
        let check = |values: &Values, map: &BTreeMap<&str, StoredValue>| {
            assert_eq!(values.len(), map.len());
            for topic in topics {
                assert_eq!(values.get(topic), map.get(topic), "{topic}");
                // Each topic, and each start of it, as a prefix.
                for end in 0..=topic.len() {
                    let prefix = &topic[..end];
                    let below: Vec<_> = values.topics_below(prefix).collect();
                    let expected = map.keys().copied().filter(|it| it.starts_with(prefix));
                    assert!(below.iter().map(|topic| &**topic).eq(expected), "{prefix}");
                }
            }
        };
        for topic in topics {
            values.insert(topic, value("1"));
            map.insert(topic, value("1"));
            check(&values, &map);
        }
        for topic in topics {
            values.insert(topic, value("2"));
            map.insert(topic, value("2"));
        }
        check(&values, &map);
        for topic in topics {
            assert_eq!(values.remove(topic), Some(value("2")));
            assert_eq!(values.remove(topic), None);
            map.remove(topic);
            check(&values, &map);
        }
        assert!(values.groups.is_empty() && values.rests.is_empty());
    }

    #[test]
    fn rooms_share_the_names_of_their_topics() {
        let mut values = Values::default();
        for room in 0..100 {
            for state in ["audio/volume", "availability"] {
                values.insert(&format!("room/{room}/{state}"), value("1"));
            }
        }
        assert_eq!((values.len(), values.rests.len()), (200, 2));
        // The last room that has it takes it away.
        for room in 0..100 {
            assert!(values.rests.contains("availability"));
            values.remove(&format!("room/{room}/availability"));
        }
        assert_eq!((values.len(), values.rests.len()), (100, 1));
    }

    #[test]
    fn a_list_has_little_room_to_spare() {
        let mut values = Values::default();
        for number in 0..200 {
            values.insert(&format!("room/1/{number}"), value("1"));
            let group = &values.groups["room/1/"];
            assert!(group.capacity() <= group.len() + 1 + group.len() / 8);
        }
    }
}
