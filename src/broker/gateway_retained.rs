//! What the gateway retains: states, availability, discovery documents.
//!
//! The library never learns that these messages are retained. It compares each filter of a SUBSCRIBE
//! with every retained message, and does nothing else meanwhile: a hundred filters beside 500 rooms
//! took it a second. Here they are sorted by topic, so that a filter is compared with few, and with a
//! few at a time. `replays` sends them to clients.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use mqtt5::types::WillMessage;
use parking_lot::{Mutex, MutexGuard};

use super::message::MessageHead;
use crate::topics::Filter;

/// How many messages a filter is compared with at a time: some 50 µs.
const PART: usize = 1000;

/// A message of the gateway.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub qos: u8,
    /// The properties of MQTT 5, without their length.
    pub properties: Box<[u8]>,
    pub payload: Box<[u8]>,
}

/// The gateway's retained messages.
#[derive(Debug, Default)]
pub struct GatewayRetained {
    messages: Mutex<BTreeMap<Arc<str>, Arc<StoredMessage>>>,
    /// What the broker publishes when the gateway's newest connection breaks.
    will: Mutex<NewestWill>,
}

/// The will of the gateway's newest connection. An older one may end later.
#[derive(Debug, Default)]
struct NewestWill {
    connection: GatewayConnectionNumber,
    message: Option<(Arc<str>, Arc<StoredMessage>)>,
}

/// A connection of the gateway, by its number.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct GatewayConnectionNumber(u64);

/// A filter on its way through the messages.
#[derive(Debug)]
pub struct RetainedSearch {
    filter: Filter,
    /// The last message that it was compared with.
    after: Option<Arc<str>>,
    is_over: bool,
}

/// A retained message that a filter matches.
#[derive(Debug, PartialEq, Eq)]
pub struct RetainedMatch {
    pub topic: Arc<str>,
    pub qos: u8,
}

impl RetainedSearch {
    /// A search that has not begun.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            after: None,
            is_over: false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl GatewayRetained {
    /// The gateway publishes this with the retain flag; without a payload, it retains nothing.
    pub fn publish(&self, head: &MessageHead<'_>, payload: &[u8]) {
        if payload.is_empty() {
            lock(&self.messages).remove(head.topic);
            return;
        }
        let message = StoredMessage {
            qos: head.qos,
            properties: head.properties().into(),
            payload: payload.into(),
        };
        lock(&self.messages).insert(head.topic.into(), message.into());
    }

    /// The gateway connects: takes the retain flag off its will, and keeps the will.
    pub fn connect(&self, will: Option<&mut WillMessage>) -> GatewayConnectionNumber {
        let message = will.filter(|will| will.retain).map(|will| {
            will.retain = false;
            let message = StoredMessage {
                qos: will.qos.into(),
                properties: [].into(),
                payload: will.payload.as_slice().into(),
            };
            (will.topic.as_str().into(), Arc::new(message))
        });
        let mut newest = lock(&self.will);
        let connection = GatewayConnectionNumber(newest.connection.0 + 1);
        *newest = NewestWill {
            connection,
            message,
        };
        connection
    }

    /// A connection of the gateway has ended. Its will is retained, unless it was discarded or a newer
    /// connection has taken over.
    pub fn disconnected(&self, connection: GatewayConnectionNumber) {
        if let Some((topic, message)) = self.take_will(connection) {
            lock(&self.messages).insert(topic, message);
        }
    }

    /// The gateway has ended this connection with DISCONNECT and reason 0: its will is discarded (MQTT 5,
    /// 3.14.4).
    pub fn discard_will(&self, connection: GatewayConnectionNumber) {
        self.take_will(connection);
    }

    fn take_will(
        &self,
        connection: GatewayConnectionNumber,
    ) -> Option<(Arc<str>, Arc<StoredMessage>)> {
        let mut newest = lock(&self.will);
        if newest.connection == connection {
            newest.message.take()
        } else {
            None
        }
    }

    /// What is retained at a topic.
    pub fn get(&self, topic: &str) -> Option<Arc<StoredMessage>> {
        lock(&self.messages).get(topic).cloned()
    }

    /// Goes on with a search; `None` when it is over.
    pub fn next_part(&self, search: &mut RetainedSearch) -> Option<Vec<RetainedMatch>> {
        if search.is_over {
            return None;
        }
        let messages = lock(&self.messages);
        let mut found = Vec::new();
        let mut add = |topic: &Arc<str>, message: &StoredMessage| {
            found.push(RetainedMatch {
                topic: topic.clone(),
                qos: message.qos,
            });
        };
        if search.filter.is_literal() {
            let known = messages.get_key_value(search.filter.as_str());
            if let Some((topic, message)) = known {
                add(topic, message);
            }
            search.is_over = true;
            return Some(found);
        }
        let start = match &search.after {
            Some(after) => Bound::Excluded(&**after),
            None => Bound::Included(search.filter.start()),
        };
        let mut compared = 0;
        let mut last = None;
        let rest = messages.range::<str, _>((start, Bound::Unbounded));
        for (topic, message) in
            rest.take_while(|(topic, _)| topic.starts_with(search.filter.start()))
        {
            if search.filter.matches(topic) {
                add(topic, message);
            }
            last = Some(topic.clone());
            compared += 1;
            if compared == PART {
                break;
            }
        }
        search.is_over = compared < PART;
        search.after = last;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retained(topics: impl IntoIterator<Item = String>) -> GatewayRetained {
        let messages = topics.into_iter().map(|topic| {
            let message = StoredMessage {
                qos: 1,
                properties: [].into(),
                payload: b"x".as_slice().into(),
            };
            (topic.into(), message.into())
        });
        GatewayRetained {
            messages: Mutex::new(messages.collect()),
            will: Mutex::default(),
        }
    }

    fn all(retained: &GatewayRetained, filter: &str) -> (usize, Vec<Arc<str>>) {
        let mut search = RetainedSearch::new(Filter::new(filter).unwrap());
        let (mut parts, mut topics) = (0, Vec::new());
        while let Some(found) = retained.next_part(&mut search) {
            parts += 1;
            topics.extend(found.into_iter().map(|found| found.topic));
        }
        (parts, topics)
    }

    #[test]
    fn a_search_goes_on_where_it_was() {
        let rooms = (0..500).flat_map(|room| {
            ["availability", "audio/volume", "problem"].map(|state| format!("room/{room}/{state}"))
        });
        let retained = retained(rooms);
        assert_eq!(all(&retained, "room/7/audio/volume").0, 1);
        let (parts, topics) = all(&retained, "#");
        assert_eq!((parts, topics.len()), (2, 1500));
        let (parts, topics) = all(&retained, "room/7/#");
        assert_eq!((parts, topics.len()), (1, 3));
        let (_, topics) = all(&retained, "+/+/availability");
        assert_eq!(topics.len(), 500);
    }

    #[test]
    fn a_will_is_retained_when_the_connection_ends() {
        let retained = GatewayRetained::default();
        let mut will = WillMessage::new("gateway/availability", "offline");
        will.retain = true;
        let connection = retained.connect(Some(&mut will));
        assert!(!will.retain);
        assert_eq!(retained.get("gateway/availability"), None);
        retained.disconnected(connection);
        let will = retained.get("gateway/availability").unwrap();
        assert_eq!(&*will.payload, b"offline");
    }

    #[test]
    fn only_the_newest_connection_has_a_will_and_a_normal_end_discards_it() {
        let retained = GatewayRetained::default();
        let connect = || {
            let mut will = WillMessage::new("gateway/availability", "offline");
            will.retain = true;
            retained.connect(Some(&mut will))
        };
        let is_offline = || retained.get("gateway/availability").is_some();
        let (old, new) = (connect(), connect());
        // The old one ends after the new one has taken over, in whatever way.
        retained.disconnected(old);
        retained.discard_will(old);
        assert!(!is_offline());
        retained.disconnected(new);
        assert!(is_offline(), "the new one has its will still");
        retained.messages.lock().clear();
        let normal = connect();
        retained.discard_will(normal);
        retained.disconnected(normal);
        assert!(!is_offline());
        let without = retained.connect(None);
        retained.disconnected(normal);
        retained.disconnected(without);
        assert!(!is_offline());
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just("a"), Just("ab"), Just("b"), Just(""), Just("$x")].prop_map(str::to_owned)
    }

    fn filter_level() -> impl Strategy<Value = String> {
        prop_oneof![3 => level(), 1 => Just("+".to_owned())]
    }

    proptest! {
        #[test]
        fn a_search_finds_what_its_filter_matches(
            topics in prop::collection::btree_set(
                prop::collection::vec(level(), 1..4).prop_map(|levels| levels.join("/")), 0..40),
            levels in prop::collection::vec(filter_level(), 1..4),
            ends_open: bool,
        ) {
            let mut filter = levels.join("/");
            if ends_open {
                filter.push_str("/#");
            }
            prop_assume!(!filter.is_empty());
            let matcher = Filter::new(&filter).unwrap();
            let expected: Vec<Arc<str>> = topics
                .iter()
                .filter(|topic| matcher.matches(topic))
                .map(|topic| topic.as_str().into())
                .collect();
            prop_assert_eq!(all(&retained(topics), &filter).1, expected);
        }
    }
}
