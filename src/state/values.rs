//! The values of all topics, in the order of topics.
//!
//! Pure. A room's topics are together in one sorted list. As entries of one map of all topics they would take
//! twice as much memory besides names and values: the nodes of such a map are little more than half full.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::stored::StoredValue;
use crate::topics;

/// The topics of one room, or one topic that is of no room, in order.
type Group = Vec<(Arc<str>, StoredValue)>;

/// Every value by its topic.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// By what the topics of each begin with.
    groups: BTreeMap<Box<str>, Group>,
    /// How many topics there are.
    len: usize,
}

impl Values {
    /// How many topics there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The name and value of a topic.
    pub(super) fn get(&self, topic: &str) -> Option<&(Arc<str>, StoredValue)> {
        let group = self.groups.get(group_of(topic))?;
        group.get(position(group, topic).ok()?)
    }

    /// The name and value of a topic, to change the value.
    pub(super) fn get_mut(&mut self, topic: &str) -> Option<&mut (Arc<str>, StoredValue)> {
        let group = self.groups.get_mut(group_of(topic))?;
        let position = position(group, topic).ok()?;
        group.get_mut(position)
    }

    /// Adds a topic, or sets its value if it is there.
    pub(super) fn insert(&mut self, topic: Arc<str>, value: StoredValue) {
        let group = self.groups.entry(group_of(&topic).into()).or_default();
        match position(group, &topic) {
            Ok(position) => group[position].1 = value,
            Err(position) => {
                if group.len() == group.capacity() {
                    // Not twice as many, of which up to half would stay unused.
                    group.reserve_exact(1 + group.len() / 8);
                }
                group.insert(position, (topic, value));
                self.len += 1;
            }
        }
    }

    /// Removes a topic, and gives its name and value if it was there.
    pub(super) fn remove(&mut self, topic: &str) -> Option<(Arc<str>, StoredValue)> {
        let name = group_of(topic);
        let group = self.groups.get_mut(name)?;
        let removed = group.remove(position(group, topic).ok()?);
        if group.is_empty() {
            self.groups.remove(name);
        }
        self.len -= 1;
        Some(removed)
    }

    /// The topics that start with `prefix`, in order.
    pub(super) fn topics_below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        // A room's, if the prefix names one; otherwise the prefix, below which are whole groups.
        let name = group_of(prefix);
        let from = (Bound::Included(name), Bound::Unbounded);
        let groups = self.groups.range::<str, _>(from);
        groups
            .take_while(move |(group, _)| group.starts_with(name))
            .flat_map(|(_, topics)| topics)
            .map(|(topic, _)| topic)
            .filter(move |topic| topic.starts_with(prefix))
    }
}

/// What the topics of a group begin with: `room/1/`, or the whole topic if it is of no room.
fn group_of(topic: &str) -> &str {
    let state = topics::split_room(topic).map(|(_, state)| state);
    state.map_or(topic, |state| &topic[..topic.len() - state.len()])
}

/// Where a topic is, or where it would be.
fn position(group: &Group, topic: &str) -> Result<usize, usize> {
    group.binary_search_by(|(known, _)| (**known).cmp(topic))
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
                let found = values.get(topic);
                assert_eq!(found.map(|(_, value)| value), map.get(topic), "{topic}");
                // Each topic, and each start of it, as a prefix.
                for end in 0..=topic.len() {
                    let prefix = &topic[..end];
                    let below = values.topics_below(prefix).map(|topic| &**topic);
                    let expected = map.keys().copied().filter(|it| it.starts_with(prefix));
                    assert!(below.eq(expected), "{prefix}");
                }
            }
        };
        for topic in topics {
            values.insert(topic.into(), value("1"));
            map.insert(topic, value("1"));
            check(&values, &map);
        }
        for topic in topics {
            values.insert(topic.into(), value("2"));
            map.insert(topic, value("2"));
        }
        check(&values, &map);
        for topic in topics {
            let removed = values.remove(topic).map(|(topic, _)| topic);
            assert_eq!(removed.as_deref(), Some(topic));
            assert_eq!(values.remove(topic), None);
            map.remove(topic);
            check(&values, &map);
        }
        assert!(values.groups.is_empty());
    }

    #[test]
    fn a_list_has_little_room_to_spare() {
        let mut values = Values::default();
        for number in 0..200 {
            values.insert(format!("room/1/{number}").into(), value("1"));
            let group = &values.groups["room/1/"];
            assert!(group.capacity() <= group.len() + 1 + group.len() / 8);
        }
    }
}
