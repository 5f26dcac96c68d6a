//! The bounded queue of messages that one front door still has to send.
//!
//! Owns the order of states, events and results towards one reader. A state waits at most once,
//! however often it changes, and its value is read when its turn comes. So a slow reader gets the
//! newest value of each state, and the states that a command touched go out before its result.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Change, Subscriber};

/// One thing to send; `R` is a reply of the front door's kind.
#[derive(Debug)]
pub enum Item<R> {
    /// The state at this topic changed. Its value is in the state store; none means cleared.
    State(Arc<str>),
    /// An event, with its payload.
    Event(Arc<str>, Bytes),
    /// A command's result, with where it goes.
    Reply(R),
}

/// A queue from the gateway to one front door.
///
/// States are bounded by the number of topics, replies by the commands in flight; events are
/// dropped, the oldest first, above [`Outbox::EVENT_LIMIT`].
#[derive(Debug)]
pub struct Outbox<R> {
    queue: Mutex<Queue<R>>,
    filled: Notify,
}

#[derive(Debug)]
struct Queue<R> {
    items: VecDeque<Item<R>>,
    waiting_states: HashSet<Arc<str>>,
    waiting_events: usize,
    waiting_replies: usize,
}

impl<R> Queue<R> {
    fn remove_state(&mut self, topic: &str) {
        let is_it = |item: &Item<R>| matches!(item, Item::State(waiting) if **waiting == *topic);
        if let Some(position) = self.items.iter().position(is_it) {
            self.items.remove(position);
        }
    }
}

impl<R> Default for Outbox<R> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Queue {
                items: VecDeque::new(),
                waiting_states: HashSet::new(),
                waiting_events: 0,
                waiting_replies: 0,
            }),
            filled: Notify::new(),
        }
    }
}

impl<R> Outbox<R> {
    /// How many events may wait: enough for every room of a large site to say something at once,
    /// and some hundred kilobytes at most.
    pub const EVENT_LIMIT: usize = 1024;
    /// An emptied outbox with room for more items than this gives its memory back. At a start with
    /// thousands of rooms all states wait at once, and never again.
    const KEPT_CAPACITY: usize = 4096;

    fn lock(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a state to send, unless it waits already.
    pub fn push_state(&self, topic: &Arc<str>) {
        let mut queue = self.lock();
        if queue.waiting_states.insert(topic.clone()) {
            queue.items.push_back(Item::State(topic.clone()));
            self.filled.notify_one();
        }
    }

    /// Adds a command's result.
    pub fn push_reply(&self, reply: R) {
        let mut queue = self.lock();
        queue.waiting_replies += 1;
        queue.items.push_back(Item::Reply(reply));
        self.filled.notify_one();
    }

    /// Takes the oldest result, if more than this many wait.
    pub fn take_reply_above(&self, limit: usize) -> Option<R> {
        let mut queue = self.lock();
        if queue.waiting_replies <= limit {
            return None;
        }
        let is_reply = |item: &Item<R>| matches!(item, Item::Reply(_));
        let oldest = queue.items.iter().position(is_reply)?;
        queue.waiting_replies -= 1;
        match queue.items.remove(oldest)? {
            Item::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Adds an event. If too many wait, the oldest is dropped; returns true then.
    pub fn push_event(&self, topic: &Arc<str>, payload: &Bytes) -> bool {
        let mut queue = self.lock();
        let full = queue.waiting_events >= Self::EVENT_LIMIT;
        if full {
            let oldest = queue
                .items
                .iter()
                .position(|item| matches!(item, Item::Event(..)));
            if let Some(oldest) = oldest {
                queue.items.remove(oldest);
                queue.waiting_events -= 1;
            }
        }
        queue.waiting_events += 1;
        queue
            .items
            .push_back(Item::Event(topic.clone(), payload.clone()));
        self.filled.notify_one();
        full
    }

    /// Puts items that could not be sent back at the front, in their order. A state that has changed
    /// since leaves its later place, so it stays before the result that came after it.
    pub fn put_back(&self, items: Vec<Item<R>>) {
        if items.is_empty() {
            return;
        }
        let mut queue = self.lock();
        for item in items.into_iter().rev() {
            match &item {
                Item::State(topic) => {
                    if !queue.waiting_states.insert(topic.clone()) {
                        queue.remove_state(topic);
                    }
                }
                Item::Event(..) => queue.waiting_events += 1,
                Item::Reply(_) => queue.waiting_replies += 1,
            }
            queue.items.push_front(item);
        }
        self.filled.notify_one();
    }

    /// Takes the next item, if there is one.
    pub fn try_next(&self) -> Option<Item<R>> {
        let mut queue = self.lock();
        let item = queue.items.pop_front()?;
        match &item {
            Item::State(topic) => {
                queue.waiting_states.remove(topic);
            }
            Item::Event(..) => queue.waiting_events -= 1,
            Item::Reply(_) => queue.waiting_replies -= 1,
        }
        if queue.items.is_empty() && queue.items.capacity() > Self::KEPT_CAPACITY {
            queue.items = VecDeque::new();
            queue.waiting_states = HashSet::new();
        }
        Some(item)
    }

    /// Waits until there is a next item.
    pub async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            if !self.is_empty() {
                return;
            }
            filled.await;
        }
    }

    /// Waits for the next item. Cancel-safe; meant for one reader.
    pub async fn next(&self) -> Item<R> {
        loop {
            self.filled().await;
            if let Some(item) = self.try_next() {
                return item;
            }
        }
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: Send> Subscriber for Outbox<R> {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        self.push_state(topic);
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        self.push_event(topic, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{StateStore, StateValue};

    #[tokio::test]
    async fn a_state_that_changes_twice_is_sent_once_and_newest() {
        let store = StateStore::new();
        let outbox: Arc<Outbox<()>> = Arc::default();
        let subscriber: Arc<dyn Subscriber> = outbox.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        store.set("room/1/audio/volume", StateValue::text("1"));
        store.set("room/1/audio/volume", StateValue::text("2"));
        store.set("room/1/audio/volume", StateValue::text("2"));
        let Item::State(topic) = outbox.next().await else {
            unreachable!()
        };
        assert_eq!(store.get(&topic), Some(StateValue::text("2")));
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_room_that_a_start_took_is_given_back() {
        let outbox: Outbox<()> = Outbox::default();
        let topics = 2 * Outbox::<()>::KEPT_CAPACITY;
        for n in 0..topics {
            outbox.push_state(&n.to_string().into());
        }
        let sent = std::iter::from_fn(|| outbox.try_next()).count();
        assert_eq!(sent, topics);
        let queue = outbox.lock();
        assert_eq!(queue.items.capacity() + queue.waiting_states.capacity(), 0);
    }

    #[test]
    fn what_is_put_back_comes_first_and_in_order() {
        let outbox: Outbox<u32> = Outbox::default();
        outbox.push_state(&"a".into());
        let state = outbox.try_next().unwrap();
        outbox.push_reply(1);
        outbox.push_state(&"b".into());
        outbox.push_state(&"a".into());
        outbox.put_back(vec![state, Item::Reply(0)]);
        let order = std::iter::from_fn(|| outbox.try_next()).map(|item| match item {
            Item::State(topic) => topic.to_string(),
            Item::Event(..) => "event".into(),
            Item::Reply(number) => number.to_string(),
        });
        assert_eq!(order.collect::<Vec<_>>(), ["a", "0", "1", "b"]);
    }

    #[test]
    fn the_oldest_of_too_many_results_can_be_taken() {
        let outbox: Outbox<u32> = Outbox::default();
        outbox.push_state(&"a".into());
        for number in 0..5 {
            outbox.push_reply(number);
        }
        assert!(outbox.try_next().is_some());
        let taken = std::iter::from_fn(|| outbox.take_reply_above(3));
        assert_eq!(taken.collect::<Vec<_>>(), [0, 1]);
        outbox.put_back(vec![Item::Reply(9)]);
        assert_eq!(outbox.take_reply_above(3), Some(9));
        assert_eq!(outbox.len(), 3);
    }

    #[test]
    fn too_many_events_drop_the_oldest_and_are_counted() {
        let outbox: Outbox<()> = Outbox::default();
        for n in 0..=Outbox::<()>::EVENT_LIMIT {
            let dropped = outbox.push_event(&"e".into(), &Bytes::from(n.to_string()));
            assert_eq!(dropped, n == Outbox::<()>::EVENT_LIMIT);
        }
        let Some(Item::Event(_, first)) = outbox.try_next() else {
            unreachable!()
        };
        assert_eq!(first, "1");
    }
}
