//! The retained state of every room, and who is told when it changes.
//!
//! Owns the newest value of each retained topic and the list of subscribers. Rooms write, front
//! doors subscribe. Holds no transport: an [`Outbox`] is drained by whichever front door made it.

mod outbox;

pub use outbox::{Item, Outbox};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// A retained topic's newest value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The payload: a scalar as plain text, JSON, or the bytes of a picture.
    pub payload: Bytes,
    /// The MIME type, where it is not text or JSON.
    pub content_type: Option<Arc<str>>,
}

impl Retained {
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
pub struct Heard {
    /// The topic as the broker knows it.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
}

/// Told of every change, in order; must return at once.
pub trait Subscriber: Send + Sync {
    /// The retained value of `topic` changed or went away; the newest is in the hub.
    fn state_changed(&self, topic: &Arc<str>);
    /// Something happened that is not retained.
    fn event(&self, topic: &Arc<str>, payload: &Bytes);
}

/// Every retained topic with its newest value. Topics are without the configured prefix:
/// `room/1/audio/volume`, `gateway/availability`.
#[derive(Default)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    retained: BTreeMap<Arc<str>, Retained>,
    subscribers: Vec<Weak<dyn Subscriber>>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("topics", &self.lock().retained.len())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// An empty hub.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Every update is one statement, so a panic elsewhere cannot leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a topic's value; tells the subscribers and returns true if that changed it.
    pub fn set(&self, topic: &str, value: Retained) -> bool {
        let mut inner = self.lock();
        let topic = match inner.retained.get_key_value(topic) {
            Some((_, old)) if *old == value => return false,
            Some((topic, _)) => topic.clone(),
            None => Arc::from(topic),
        };
        inner.retained.insert(topic.clone(), value);
        inner.tell(|subscriber| subscriber.state_changed(&topic));
        true
    }

    /// Takes a topic away; its retained message is cleared.
    pub fn clear(&self, topic: &str) -> bool {
        let mut inner = self.lock();
        let Some((topic, _)) = inner.retained.remove_entry(topic) else {
            return false;
        };
        inner.tell(|subscriber| subscriber.state_changed(&topic));
        true
    }

    /// Takes away every topic that starts with `prefix`, which should end in `/`.
    pub fn clear_below(&self, prefix: &str) {
        let topics: Vec<_> = self.topics_below(prefix);
        for topic in topics {
            self.clear(&topic);
        }
    }

    /// Takes a topic away and has its retained message cleared, also where it is not this hub's.
    pub fn wipe(&self, topic: &str) {
        let mut inner = self.lock();
        inner.retained.remove(topic);
        let topic = Arc::from(topic);
        inner.tell(|subscriber| subscriber.state_changed(&topic));
    }

    /// Tells the subscribers of every topic, as if each had changed.
    pub fn repeat(&self) {
        let mut inner = self.lock();
        let topics: Vec<_> = inner.retained.keys().cloned().collect();
        for topic in topics {
            inner.tell(|subscriber| subscriber.state_changed(&topic));
        }
    }

    /// Tells the subscribers of something that is not retained.
    pub fn event(&self, topic: &str, payload: Bytes) {
        let topic = Arc::from(topic);
        self.lock()
            .tell(|subscriber| subscriber.event(&topic, &payload));
    }

    /// The newest value of a topic.
    pub fn get(&self, topic: &str) -> Option<Retained> {
        self.lock().retained.get(topic).cloned()
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
