//! The retained state of every room, and who is told when it changes.
//!
//! Owns the newest value of each retained topic and the list of subscribers. Rooms write, front
//! doors subscribe. Holds no transport: an [`Outbox`] is drained by whichever front door made it.

mod outbox;

pub use outbox::{Item, Outbox};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// So many topics of an earlier run are remembered; anybody can make more up.
const LEFT_OVER: usize = 1 << 16;

/// A retained topic's newest value.
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

/// What another program said at the broker, where somebody here wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The topic as the broker knows it.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
}

/// How a retained topic changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was there and has another value now.
    Value,
    /// It was not there, or is not any more.
    Presence,
}

/// Told of every change, in order; must return at once.
pub trait Subscriber: Send + Sync {
    /// The retained value of `topic` changed or went away; the newest is in the state store.
    fn state_changed(&self, topic: &Arc<str>, change: Change);
    /// Something happened that is not retained.
    fn event(&self, topic: &Arc<str>, payload: &Bytes);
}

/// Every retained topic with its newest value. Topics are without the configured prefix:
/// `room/1/audio/volume`, `gateway/availability`.
#[derive(Default)]
pub struct StateStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    retained: BTreeMap<Arc<str>, StateValue>,
    /// What a broker still holds of an earlier run and this one has not set yet.
    left_over: BTreeSet<Arc<str>>,
    subscribers: Vec<Weak<dyn Subscriber>>,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore")
            .field("topics", &self.lock().retained.len())
            .finish_non_exhaustive()
    }
}

impl StateStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Every update is one statement, so a panic elsewhere cannot leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a topic's value; tells the subscribers and returns true if that changed it.
    pub fn set(&self, topic: &str, value: StateValue) -> bool {
        let mut inner = self.lock();
        let (topic, change) = match inner.retained.get_key_value(topic) {
            Some((_, old)) if *old == value => return false,
            Some((topic, _)) => (topic.clone(), Change::Value),
            None => (Arc::from(topic), Change::Presence),
        };
        inner.left_over.remove(&topic);
        inner.retained.insert(topic.clone(), value);
        inner.tell(|subscriber| subscriber.state_changed(&topic, change));
        true
    }

    /// Takes a topic away; its retained message is cleared, also one that an earlier run left.
    pub fn clear(&self, topic: &str) -> bool {
        let mut inner = self.lock();
        let known = inner.retained.remove_entry(topic).map(|(topic, _)| topic);
        let Some(topic) = known.or_else(|| inner.left_over.take(topic)) else {
            return false;
        };
        inner.tell(|subscriber| subscriber.state_changed(&topic, Change::Presence));
        true
    }

    /// Takes away every topic that starts with `prefix`, which should end in `/`.
    pub fn clear_below(&self, prefix: &str) {
        for topic in self.topics_below(prefix) {
            self.clear(&topic);
        }
        self.clear_left_over(prefix);
    }

    /// A broker holds this topic from an earlier run. It stands until this run sets or clears it.
    pub fn leave_over(&self, topic: &str) {
        let mut inner = self.lock();
        if !inner.retained.contains_key(topic) && inner.left_over.len() < LEFT_OVER {
            inner.left_over.insert(Arc::from(topic));
        }
    }

    /// Whether a broker still holds anything of an earlier run: a cheap question before the clearing.
    pub fn has_left_over(&self) -> bool {
        !self.lock().left_over.is_empty()
    }

    /// Clears what an earlier run left below `prefix` and this one has not set.
    pub fn clear_left_over(&self, prefix: &str) {
        let topics: Vec<_> = {
            let inner = self.lock();
            let below = inner.left_over.range(Arc::from(prefix)..);
            below
                .take_while(|topic: &&Arc<str>| topic.starts_with(prefix))
                .cloned()
                .collect()
        };
        for topic in topics {
            self.clear(&topic);
        }
    }

    /// Tells the subscribers of every topic, as if each had changed.
    pub fn repeat(&self) {
        let mut inner = self.lock();
        let topics: Vec<_> = inner.retained.keys().cloned().collect();
        for topic in topics {
            inner.tell(|subscriber| subscriber.state_changed(&topic, Change::Value));
        }
    }

    /// Tells the subscribers of something that is not retained.
    pub fn event(&self, topic: &str, payload: Bytes) {
        let topic = Arc::from(topic);
        self.lock()
            .tell(|subscriber| subscriber.event(&topic, &payload));
    }

    /// The newest value of a topic.
    pub fn get(&self, topic: &str) -> Option<StateValue> {
        self.lock().retained.get(topic).cloned()
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.lock().retained.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all topics that start with `prefix`, in order; `""` for all.
    pub fn topics_below(&self, prefix: &str) -> Vec<Arc<str>> {
        let inner = self.lock();
        let from: Arc<str> = Arc::from(prefix);
        inner
            .retained
            .range(from..)
            .map(|(topic, _)| topic)
            .take_while(|topic| topic.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Adds a subscriber, which leaves when its last strong reference is dropped.
    pub fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.lock().subscribers.push(subscriber);
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

    #[test]
    fn what_an_earlier_run_left_is_cleared_unless_it_is_set() {
        let store = StateStore::new();
        let outbox: Arc<Outbox<()>> = Arc::default();
        let subscriber: Arc<dyn Subscriber> = outbox.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        store.leave_over("room/1/call/media_stats");
        store.leave_over("room/1/audio/volume");
        store.leave_over("room/2/audio/volume");
        assert!(store.has_left_over());
        store.set("room/1/audio/volume", StateValue::text("5"));
        assert_eq!(outbox.len(), 1);
        store.clear_left_over("room/1/");
        store.clear_left_over("room/1/");
        assert_eq!(outbox.len(), 2);
        assert_eq!(
            store.get("room/1/audio/volume"),
            Some(StateValue::text("5"))
        );
        store.clear_left_over("room/2/");
        assert!(!store.has_left_over());
    }
}
