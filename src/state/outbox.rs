//! The bounded queue of messages that one front door still has to send.
//!
//! Owns the order of states, events and results towards one reader. A state waits at most once,
//! however often it changes, and its value is read when its turn comes. So a slow reader gets the
//! newest value of each state, and the states that a command touched go out before its result.
//!
//! Where results name their room ([`OutboxReply`]), each room has a queue of its own, and those with a result, an event
//! or their availability go first: after a start or a take-over the states of thousands of rooms wait, and no command
//! waits for them, nor whether the others can be used.
//!
//! The order is in `queue`; here are the limits, the lock, and the waking of the reader. Nothing is sent here, and no
//! value is read.

mod queue;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Change, Subscriber};
use crate::topics::{Topic, is_about_availability};
use queue::{End, OutboxQueue};

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

/// What a front door sends as a command's result.
pub trait OutboxReply {
    /// Whether results overtake what waits of other rooms. Otherwise everything is sent in the order in which it came.
    const OVERTAKES: bool = false;

    /// The room that it is of; its states do not come after it. Empty: none.
    fn room(&self) -> &str {
        ""
    }

    /// About how many bytes it takes while it waits.
    fn size(&self) -> usize {
        0
    }
}

/// For readers that send no commands.
impl OutboxReply for () {}

impl<R: OutboxReply> Item<R> {
    /// The room whose queue it waits in; empty for what is of no room.
    pub fn room(&self) -> &str {
        match self {
            _ if !R::OVERTAKES => "",
            Self::State(topic) | Self::Event(topic, _) => {
                let room = Topic::parse(topic).and_then(|topic| topic.room());
                room.unwrap_or_default()
            }
            Self::Reply(reply) => reply.room(),
        }
    }

    fn reply_bytes(&self) -> usize {
        match self {
            Self::Reply(reply) => reply.size(),
            Self::State(_) | Self::Event(..) => 0,
        }
    }

    fn is_urgent(&self) -> bool {
        match self {
            Self::State(topic) => is_about_availability(topic),
            Self::Event(..) | Self::Reply(_) => true,
        }
    }
}

/// A queue from the gateway to one front door.
///
/// States are bounded by the number of topics, replies by the commands in flight; events are
/// dropped above [`Outbox::MOST_EVENTS`], the first in the order of the rooms' turns.
#[derive(Debug)]
pub struct Outbox<R> {
    queue: Mutex<OutboxQueue<R>>,
    filled: Notify,
}

impl<R> Default for Outbox<R> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
        }
    }
}

impl<R> Outbox<R> {
    /// How many events may wait: enough for every room of a large site to say something at once,
    /// and some hundred kilobytes at most.
    pub const MOST_EVENTS: usize = 1024;

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.queue.lock().len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: OutboxReply> Outbox<R> {
    /// Adds a state to send, unless it waits already.
    pub fn push_state(&self, topic: &Arc<str>) {
        let mut queue = self.queue.lock();
        if queue.waiting_states.insert(topic.clone()) {
            queue.push(Item::State(topic.clone()), End::Back);
            self.filled.notify_one();
        }
    }

    /// A state is not to be sent any more.
    pub fn forget_state(&self, topic: &Arc<str>) {
        let mut queue = self.queue.lock();
        if queue.waiting_states.contains(topic) {
            queue.remove_state(&Item::State(topic.clone()));
        }
    }

    /// Adds a command's result.
    pub fn push_reply(&self, reply: R) {
        self.queue.lock().push(Item::Reply(reply), End::Back);
        self.filled.notify_one();
    }

    /// Takes results, if those that wait have more than this many bytes: the oldest ones of the room that has most. So
    /// who floods one room costs the others nothing.
    pub fn take_replies_above(&self, bytes: usize) -> Vec<R> {
        let mut queue = self.queue.lock();
        let mut taken = Vec::new();
        while let Some(surplus) = queue.reply_bytes.checked_sub(bytes + 1) {
            let before = taken.len();
            queue.take_replies_of_fullest(surplus + 1, &mut taken);
            if taken.len() == before {
                break;
            }
        }
        taken
    }

    /// Adds an event. If too many wait, the first in the order of the rooms' turns is dropped; returns true then.
    pub fn push_event(&self, topic: &Arc<str>, payload: &Bytes) -> bool {
        let mut queue = self.queue.lock();
        let full = queue.waiting_events >= Self::MOST_EVENTS;
        if full {
            queue.take_urgent(|item| matches!(item, Item::Event(..)));
        }
        queue.push(Item::Event(topic.clone(), payload.clone()), End::Back);
        self.filled.notify_one();
        full
    }

    /// Puts items that could not be sent back at the front of their rooms' queues, in their order. What is urgent of
    /// other rooms goes before them. A state that has changed since leaves its later place, so it stays before the
    /// result that came after it.
    pub fn put_back(&self, items: Vec<Item<R>>) {
        if items.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        for item in items.into_iter().rev() {
            if let Item::State(topic) = &item
                && queue.waiting_states.contains(topic)
            {
                queue.remove_state(&item);
            }
            if let Item::State(topic) = &item {
                queue.waiting_states.insert(topic.clone());
            }
            queue.push(item, End::Front);
        }
        self.filled.notify_one();
    }

    /// Takes the next item, if there is one.
    pub fn try_next(&self) -> Option<Item<R>> {
        self.queue.lock().pop()
    }

    /// Takes the next item that may go now, if there is one. Others of its room keep their places.
    pub fn try_next_of(&self, may_go: impl Fn(&Item<R>) -> bool) -> Option<Item<R>> {
        self.queue.lock().pop_of(may_go)
    }

    /// Drops everything that waits.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.queue.lock());
        // Without the lock: what is dropped may be much.
        drop(all);
    }

    /// Waits until an item is added, or one was added since the last wait. Meant for one reader.
    pub fn added(&self) -> Notified<'_> {
        self.filled.notified()
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
}

impl<R: OutboxReply + Send> Subscriber for Outbox<R> {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        self.push_state(topic);
    }

    fn state_forgotten(&self, topic: &Arc<str>) {
        self.forget_state(topic);
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        self.push_event(topic, payload);
    }
}

#[cfg(test)]
mod tests;
