//! The newest value of every state, and the subscribers to changes.
//!
//! Owns the newest value of each topic, which rooms are configured, and the list of subscribers.
//! Rooms write, front doors subscribe. Knows no transport: an [`Outbox`] is emptied by the front
//! door that made it.

mod outbox;
mod stored;
mod values;

pub use outbox::{Item, Outbox, OutboxReply};

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use stored::StoredValue;
use values::Values;

use crate::topics::RoomTopics;

/// The value of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateValue {
    /// The payload: a scalar as plain text, JSON, or the bytes of a picture.
    pub payload: Bytes,
    /// The MIME type, where it is not text or JSON.
    pub content_type: Option<Arc<str>>,
}

impl StateValue {
    /// A text or JSON value.
    pub fn text(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            content_type: None,
        }
    }
}

/// How a state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has another value now.
    Value,
    /// It appeared, or was cleared.
    Presence,
}

/// The status of a configured room. The room's task sets it; readiness, metrics, Home
/// Assistant and the MQTT door read it here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomStatus {
    /// The device is logged in to.
    pub online: bool,
    /// The first attempt to reach the device has ended, so the room's `problem` says something.
    pub known: bool,
    /// Every state that is polled has been read since the last log-in.
    pub complete: bool,
}

/// Receives every change, in order. Its methods run while the store is locked, so they must
/// return at once and must not call the store.
pub trait Subscriber: Send + Sync {
    /// The state at `topic` changed or was cleared; its value is in the state store.
    fn state_changed(&self, topic: &Arc<str>, change: Change);
    /// The state at `topic` was taken away, and nobody is to see that: a change of it that still waits is of no use. By
    /// default nothing happens.
    fn state_forgotten(&self, _topic: &Arc<str>) {}
    /// An event: it is passed on once and not stored.
    fn event(&self, topic: &Arc<str>, payload: &Bytes);
    /// The status of a room changed; `None`: it is not configured any more. By default nothing
    /// happens.
    fn room_changed(&self, _room: &str, _status: Option<RoomStatus>) {}
    /// Every topic of the store was told again, since somebody who reads them has started. By default
    /// nothing happens.
    fn repeated(&self) {}
}

/// Every state by its topic, without the configured prefix: `room/1/audio/volume`,
/// `gateway/availability`.
#[derive(Default)]
pub struct StateStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    values: Values,
    /// The configured rooms by id.
    rooms: HashMap<Arc<str>, RoomStatus>,
    subscribers: Vec<Weak<dyn Subscriber>>,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore")
            .field("topics", &self.inner.lock().values.len())
            .finish_non_exhaustive()
    }
}

impl StateStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets a topic's value; tells the subscribers and returns true if that changed it.
    pub fn set(&self, topic: &str, value: StateValue) -> bool {
        let value = StoredValue::from(value);
        let mut inner = self.inner.lock();
        let change = match inner.values.get_mut(topic) {
            Some(old) if *old == value => return false,
            Some(old) => {
                *old = value;
                Change::Value
            }
            None => {
                inner.values.insert(topic, value);
                Change::Presence
            }
        };
        let topic = Arc::from(topic);
        inner.tell(|subscriber| subscriber.state_changed(&topic, change));
        true
    }

    /// Removes a topic; tells the subscribers and returns true if it was there.
    pub fn clear(&self, topic: &str) -> bool {
        let mut inner = self.inner.lock();
        if inner.values.remove(topic).is_none() {
            return false;
        }
        let topic = Arc::from(topic);
        inner.tell(|subscriber| subscriber.state_changed(&topic, Change::Presence));
        true
    }

    /// Takes a topic away and tells the subscribers even if it was not here: another place may
    /// still hold a value of it.
    pub fn clear_everywhere(&self, topic: &str) {
        let mut inner = self.inner.lock();
        inner.values.remove(topic);
        let topic = Arc::from(topic);
        inner.tell(|subscriber| subscriber.state_changed(&topic, Change::Presence));
    }

    /// Sets the status of a configured room; tells the subscribers if it is new.
    pub fn set_room(&self, room: &Arc<str>, status: RoomStatus) {
        let mut inner = self.inner.lock();
        if inner.rooms.insert(room.clone(), status) != Some(status) {
            inner.tell(|subscriber| subscriber.room_changed(room, Some(status)));
        }
    }

    /// A room is not configured any more: its states are cleared.
    pub fn remove_room(&self, room: &str) {
        for topic in self.topics_below(&RoomTopics::new(room).start()) {
            self.clear(&topic);
        }
        let mut inner = self.inner.lock();
        inner.rooms.remove(room);
        inner.tell(|subscriber| subscriber.room_changed(room, None));
    }

    /// Sets values without telling the subscribers, who have seen them already or want none of them.
    pub fn insert_quietly(&self, values: Vec<(Arc<str>, StateValue)>) {
        let mut inner = self.inner.lock();
        for (topic, value) in values {
            inner.values.insert(&topic, StoredValue::from(value));
        }
    }

    /// Removes a topic, so that nobody sees it.
    pub fn remove_quietly(&self, topic: &str) {
        let mut inner = self.inner.lock();
        inner.values.remove(topic);
        let topic = Arc::from(topic);
        inner.tell(|subscriber| subscriber.state_forgotten(&topic));
    }

    /// Removes all topics of a room, so that nobody sees it; returns what they were.
    pub fn take_room_quietly(&self, room: &str) -> Vec<(Arc<str>, StateValue)> {
        let topics = self.topics_below(&RoomTopics::new(room).start());
        let mut inner = self.inner.lock();
        let taken = topics.into_iter().filter_map(|topic| {
            let value = inner.values.remove(&topic)?;
            inner.tell(|subscriber| subscriber.state_forgotten(&topic));
            Some((topic, value.into()))
        });
        taken.collect()
    }

    /// The status of a room; `None` if it is not configured.
    pub fn room(&self, room: &str) -> Option<RoomStatus> {
        self.inner.lock().rooms.get(room).copied()
    }

    /// Tells the subscribers of every topic, as if each had changed.
    pub fn repeat(&self) {
        let mut inner = self.inner.lock();
        let topics: Vec<_> = inner.values.topics_below("").collect();
        for topic in topics {
            inner.tell(|subscriber| subscriber.state_changed(&topic, Change::Value));
        }
        inner.tell(|subscriber| subscriber.repeated());
    }

    /// Tells the subscribers of one topic, as if it had changed.
    pub fn repeat_topic(&self, topic: &str) {
        let mut inner = self.inner.lock();
        if inner.values.get(topic).is_some() {
            let topic = Arc::from(topic);
            inner.tell(|subscriber| subscriber.state_changed(&topic, Change::Value));
        }
    }

    /// Tells the subscribers of an event.
    pub fn event(&self, topic: &str, payload: Bytes) {
        let topic = Arc::from(topic);
        self.inner
            .lock()
            .tell(|subscriber| subscriber.event(&topic, &payload));
    }

    /// The value of a state.
    pub fn get(&self, topic: &str) -> Option<StateValue> {
        // Decompressed when the store is free again.
        let value = self.inner.lock().values.get(topic).cloned();
        value.map(StateValue::from)
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.inner.lock().values.len()
    }

    /// Whether there are no states.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all topics that start with `prefix`, in order; `""` for all.
    pub fn topics_below(&self, prefix: &str) -> Vec<Arc<str>> {
        self.inner.lock().values.topics_below(prefix).collect()
    }

    /// Adds a subscriber. It is removed when its last strong reference is dropped.
    pub fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        let subscribers = &mut self.inner.lock().subscribers;
        // A change removes those that are gone, but a store may not change for weeks while clients come and go. Each of
        // them would keep its memory.
        if subscribers.len() == subscribers.capacity() {
            subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        }
        subscribers.push(subscriber);
    }
}

impl Inner {
    fn tell(&mut self, tell: impl Fn(&dyn Subscriber)) {
        self.subscribers
            .retain(|subscriber| match subscriber.upgrade() {
                Some(subscriber) => {
                    tell(&*subscriber);
                    true
                }
                None => false,
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Rooms(Mutex<Vec<(String, Option<RoomStatus>)>>);

    impl Subscriber for Rooms {
        fn state_changed(&self, topic: &Arc<str>, _: Change) {
            self.0.lock().push((topic.to_string(), None));
        }
        fn event(&self, _: &Arc<str>, _: &Bytes) {}
        fn room_changed(&self, room: &str, status: Option<RoomStatus>) {
            self.0.lock().push((room.to_owned(), status));
        }
    }

    #[test]
    fn a_subscriber_that_is_gone_is_removed_also_while_nothing_changes() {
        let store = StateStore::new();
        let stays: Arc<dyn Subscriber> = Arc::<Rooms>::default();
        store.subscribe(Arc::downgrade(&stays));
        for _ in 0..1000 {
            let goes: Arc<dyn Subscriber> = Arc::<Rooms>::default();
            store.subscribe(Arc::downgrade(&goes));
        }
        let inner = store.inner.lock();
        assert!(inner.subscribers.len() < 10 && inner.subscribers[0].strong_count() == 1);
    }

    #[test]
    fn subscribers_are_told_of_rooms_when_they_change() {
        let store = StateStore::new();
        let told = Arc::<Rooms>::default();
        let subscriber: Arc<dyn Subscriber> = told.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        let room: Arc<str> = "1".into();
        let online = RoomStatus {
            online: true,
            known: true,
            complete: false,
        };
        store.set_room(&room, RoomStatus::default());
        store.set_room(&room, online);
        store.set_room(&room, online);
        assert_eq!(store.room("1"), Some(online));
        store.set("room/1/x", StateValue::text("5"));
        store.remove_room("1");
        assert_eq!((store.room("1"), store.len()), (None, 0));
        let expected = [
            ("1", Some(RoomStatus::default())),
            ("1", Some(online)),
            ("room/1/x", None),
            ("room/1/x", None),
            ("1", None),
        ];
        let expected = expected.map(|(name, status)| (name.to_owned(), status));
        assert_eq!(*told.0.lock(), expected);
    }

    #[test]
    fn clearing_everywhere_tells_also_of_an_unknown_topic() {
        let store = StateStore::new();
        let outbox: Arc<Outbox<()>> = Arc::default();
        let subscriber: Arc<dyn Subscriber> = outbox.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        assert!(!store.clear("a"));
        assert!(outbox.is_empty());
        store.clear_everywhere("a");
        assert_eq!(outbox.len(), 1);
    }

    #[derive(Default)]
    struct Changes(Mutex<Vec<Change>>);

    impl Subscriber for Changes {
        fn state_changed(&self, _: &Arc<str>, change: Change) {
            self.0.lock().push(change);
        }
        fn event(&self, _: &Arc<str>, _: &Bytes) {}
    }

    #[test]
    fn only_changes_are_told() {
        let store = StateStore::new();
        let told = Arc::<Changes>::default();
        let subscriber: Arc<dyn Subscriber> = told.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        assert!(store.set("a", StateValue::text("1")));
        assert!(!store.set("a", StateValue::text("1")));
        assert!(store.set("a", StateValue::text("2")));
        assert!(store.clear("a"));
        assert!(!store.clear("a"));
        let expected = [Change::Presence, Change::Value, Change::Presence];
        assert_eq!(*told.0.lock(), expected);
        // Unless that is asked for.
        store.repeat_topic("a");
        assert_eq!(told.0.lock().len(), 3, "there is no such topic");
        store.set("a", StateValue::text("1"));
        store.repeat_topic("a");
        assert_eq!(told.0.lock()[3..], [Change::Presence, Change::Value]);
    }

    #[test]
    fn a_long_value_is_read_as_it_was_written_and_is_a_change_only_once() {
        let store = StateStore::new();
        let list = |name: &str| StateValue::text(format!("{{\"name\":\"{name}\"}},").repeat(500));
        assert!(store.set("a", list("Main")));
        assert!(!store.set("a", list("Main")));
        assert_eq!(store.get("a"), Some(list("Main")));
        assert!(store.set("a", list("Side")));
        assert_eq!(store.get("a"), Some(list("Side")));
    }

    #[test]
    fn topics_are_found_by_what_they_begin_with() {
        let store = StateStore::new();
        for topic in ["room/1/a", "room/1/b/c", "room/10/a", "gateway/info"] {
            store.set(topic, StateValue::text("1"));
        }
        let found = store.topics_below("room/1/");
        assert_eq!(found, ["room/1/a".into(), "room/1/b/c".into()]);
        assert_eq!(store.topics_below("").len(), store.len());
    }
}
