//! MQTT topic filters: `+` matches one level, `#` all levels that follow.
//!
//! Pure. Owns which filters there are and which topics they match.

use std::collections::{BTreeSet, HashSet};

use super::{AVAILABILITY, Below, PROBLEM, Topic};
use crate::visible::quoted_start;

/// A longer filter matches no topic of the gateway.
const LONGEST: usize = 1024;

/// Begins a shared subscription: `$share/<group>/<filter>` (MQTT 5, section 4.8.2).
pub const SHARE: &str = "$share/";

/// The group and the filter of a shared subscription, either of which may be empty.
pub fn split_shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix(SHARE)?.split_once('/')
}

/// Whether wildcards stand only where they may (MQTT 5, section 4.7.1).
///
/// # Errors
/// What is wrong, for a message.
pub fn check_wildcards(filter: &str) -> Result<(), &'static str> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        if level.contains('#') && (level != "#" || !is_last) {
            return Err("# must be the whole last level");
        }
        if level.contains('+') && level != "+" {
            return Err("+ must be a whole level");
        }
    }
    Ok(())
}

/// A valid topic filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(Box<str>);

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A message for the user that says what is wrong.
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!(
                "\"{}\" is no topic filter: {what}",
                quoted_start(text)
            ))
        };
        if text.is_empty() || text.len() > LONGEST {
            return wrong("it takes 1 to 1024 bytes");
        }
        if text.contains('\0') {
            return wrong("it holds NUL");
        }
        match check_wildcards(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(what) => wrong(what),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no wildcards, so it matches exactly one topic.
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['+', '#'])
    }

    /// What every topic that it matches begins with: all of it up to a wildcard.
    pub fn start(&self) -> &str {
        match self.0.find(['+', '#']) {
            None => &self.0,
            // `a/#` matches `a` too.
            Some(wildcard) => {
                let start = &self.0[..wildcard];
                start.strip_suffix('/').unwrap_or(start)
            }
        }
    }

    /// The rooms of which it matches more than availability and problem.
    fn rooms(&self) -> RoomLevel<'_> {
        let mut levels = self.0.split('/');
        match levels.next() {
            Some("#") => return RoomLevel::Any,
            Some("room" | "+") => {}
            _ => return RoomLevel::None,
        }
        let room = match levels.next() {
            Some("#") => return RoomLevel::Any,
            Some(room) => room,
            None => return RoomLevel::None,
        };
        match (levels.next(), levels.next()) {
            (None, _) | (Some(AVAILABILITY | PROBLEM), None) => RoomLevel::None,
            _ if room == "+" => RoomLevel::Any,
            _ => RoomLevel::One(room),
        }
    }

    /// Whether it matches a topic. `a/#` matches `a` too; a leading wildcard matches no `$` topic.
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for part in self.0.split('/') {
            match (part, levels.next()) {
                ("#", _) => return true,
                (_, None) => return false,
                ("+", Some(_)) => {}
                (part, Some(level)) if part == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

/// Which rooms several filters are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilteredRooms<'a> {
    /// These.
    Some(BTreeSet<&'a str>),
    /// Each that there is.
    Any,
}

impl FilteredRooms<'_> {
    /// These and those.
    pub fn and(mut self, others: Self) -> Self {
        match (&mut self, others) {
            (Self::Some(rooms), Self::Some(others)) => {
                rooms.extend(others);
                self
            }
            _ => Self::Any,
        }
    }
}

/// Which rooms a filter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoomLevel<'a> {
    /// None.
    None,
    /// The one with this id.
    One(&'a str),
    /// Each that there is.
    Any,
}

/// The filters of one client.
#[derive(Debug, Default)]
pub struct Filters {
    /// The filters without wildcards. A hash set finds a topic in constant time.
    literal: HashSet<Box<str>>,
    patterns: Vec<Filter>,
}

impl Filters {
    /// Adds a filter, unless it is there.
    pub fn add(&mut self, filter: Filter) {
        if filter.is_literal() {
            self.literal.insert(filter.0);
        } else if !self.patterns.contains(&filter) {
            self.patterns.push(filter);
        }
    }

    /// Removes a filter, if it is there.
    pub fn remove(&mut self, filter: &Filter) {
        self.literal.remove(filter.as_str());
        self.patterns.retain(|known| known != filter);
    }

    /// Whether one of them matches this topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.literal.contains(topic) || self.patterns.iter().any(|filter| filter.matches(topic))
    }

    /// Every topic that one of them matches begins with one of these, and these are as few as can be.
    pub fn starts(&self) -> Vec<&str> {
        let patterns = self.patterns.iter().map(Filter::start);
        let mut starts: Vec<&str> = patterns
            .chain(self.literal.iter().map(|text| &**text))
            .collect();
        starts.sort_unstable();
        let mut fewest: Vec<&str> = Vec::new();
        for start in starts {
            if fewest.last().is_none_or(|last| !start.starts_with(last)) {
                fewest.push(start);
            }
        }
        fewest
    }

    /// The rooms of which one of them matches more than availability and problem.
    pub fn rooms(&self) -> FilteredRooms<'_> {
        let mut some = BTreeSet::new();
        for filter in &self.patterns {
            match filter.rooms() {
                RoomLevel::Any => return FilteredRooms::Any,
                RoomLevel::One(room) => {
                    some.insert(room);
                }
                RoomLevel::None => {}
            }
        }
        let literal = self.literal.iter();
        some.extend(literal.filter_map(|topic| match Topic::parse(topic)? {
            Topic::Room { room, below } => {
                let is_more = !matches!(below, Below::Availability | Below::Problem);
                is_more.then_some(room)
            }
            Topic::Gateway(_) | Topic::Member { .. } => None,
        }));
        FilteredRooms::Some(some)
    }

    /// The number of filters.
    pub fn len(&self) -> usize {
        self.literal.len() + self.patterns.len()
    }

    /// Whether there are no filters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        Filter::new(filter).unwrap().matches(topic)
    }

    #[test]
    fn shared_subscriptions_have_a_group_and_a_filter() {
        for (filter, wanted) in [
            ("$share/g/a/b", Some(("g", "a/b"))),
            ("$share/g//a", Some(("g", "/a"))),
            ("$share/g/", Some(("g", ""))),
            ("$share//a", Some(("", "a"))),
            ("$share/g", None),
            ("$share/", None),
            ("$share", None),
            ("$shared/g/a", None),
            ("a/$share/g/b", None),
        ] {
            assert_eq!(split_shared(filter), wanted, "{filter}");
        }
    }

    #[test]
    fn filters_say_which_rooms_they_are_about() {
        let some = |rooms: &[&'static str]| FilteredRooms::Some(rooms.iter().copied().collect());
        for (texts, wanted) in [
            (&["room/1/#"][..], some(&["1"])),
            (&["room/1/audio/volume", "room/2/+"], some(&["1", "2"])),
            (&["+/3/event/+"], some(&["3"])),
            (
                &["room/+/availability", "room/1/problem", "gateway/#"],
                some(&[]),
            ),
            (&["room/1", "rooms/#", "room", "+"], some(&[])),
            (
                &["room/1/availability", "room/+/audio/mute"],
                FilteredRooms::Any,
            ),
            (&["room/#"], FilteredRooms::Any),
            (&["+/#"], FilteredRooms::Any),
            (&["#"], FilteredRooms::Any),
            (&["room/+/+"], FilteredRooms::Any),
        ] {
            let mut filters = Filters::default();
            for text in texts {
                filters.add(Filter::new(text).unwrap());
            }
            assert_eq!(filters.rooms(), wanted, "{texts:?}");
        }
    }

    #[test]
    fn the_examples_of_the_mqtt_standard() {
        for (filter, topic, wanted) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("a", "a/b", false),
            ("a/b", "a", false),
        ] {
            assert_eq!(matches(filter, topic), wanted, "{filter} {topic}");
        }
        for bad in ["", "a#", "a/#/b", "#/a", "a+", "a/+b/c", "a\0"] {
            assert!(Filter::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_are_added_once_and_removed() {
        let mut filters = Filters::default();
        for text in ["room/1/#", "room/1/#", "room/2/x", "room/2/x"] {
            filters.add(Filter::new(text).unwrap());
        }
        assert_eq!(filters.len(), 2);
        assert!(filters.matches("room/1/y") && filters.matches("room/2/x"));
        filters.remove(&Filter::new("room/1/#").unwrap());
        filters.remove(&Filter::new("room/2/x").unwrap());
        assert!(filters.is_empty() && !filters.matches("room/1/y"));
    }

    /// What a filter means, written another way: level by level from both lists.
    fn oracle(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => oracle(filter, topic),
            ([part, filter @ ..], [level, topic @ ..]) => part == level && oracle(filter, topic),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_the_oracle_says(
            filter in "([ab+]/){0,3}[ab+#]",
            topic in "([ab]/){0,3}[ab]",
        ) {
            let wanted = oracle(
                &filter.split('/').collect::<Vec<_>>(),
                &topic.split('/').collect::<Vec<_>>(),
            );
            prop_assert_eq!(matches(&filter, &topic), wanted);
            let mut filters = Filters::default();
            filters.add(Filter::new(&filter).unwrap());
            prop_assert_eq!(filters.matches(&topic), wanted);
        }

        #[test]
        fn what_matches_begins_with_one_of_the_starts(
            texts in prop::collection::vec("([ab+]/){0,3}[ab+#]", 1..5),
            topic in "([ab]/){0,3}[ab]",
        ) {
            let mut filters = Filters::default();
            for text in &texts {
                filters.add(Filter::new(text).unwrap());
            }
            let starts = filters.starts();
            let is_found = starts.iter().any(|start| topic.starts_with(start));
            prop_assert!(is_found || !filters.matches(&topic), "{starts:?}");
        }

        #[test]
        fn a_topic_matches_itself_and_everything_matches_the_number_sign(topic in "[a-z]{1,3}(/[a-z]{0,3}){0,4}") {
            prop_assert!(matches(&topic, &topic));
            prop_assert!(matches("#", &topic));
        }

        #[test]
        fn no_text_panics(filter in "\\PC{0,40}", topic in "\\PC{0,40}") {
            if let Ok(filter) = Filter::new(&filter) {
                let _ = filter.matches(&topic);
            }
        }
    }
}
