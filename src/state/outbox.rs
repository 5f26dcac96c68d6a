//! The bounded queue of messages that one front door still has to send.
//!
//! Owns the order of states, events and results towards one reader. A state waits at most once,
//! however often it changes, and its value is read when its turn comes. So a slow reader gets the
//! newest value of each state, and the states that a command touched go out before its result.
//!
//! Where results name their room ([`OutboxReply`]), each room has a queue of its own, and those with a result, an event or
//! their availability go first: after a start or a take-over the states of thousands of rooms wait, and no command waits
//! for them, nor whether the others can be used.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Change, Subscriber};
use crate::topics::{Topic, is_about_availability};

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
}

/// Of a reader that sends no commands.
impl OutboxReply for () {}

impl<R: OutboxReply> Item<R> {
    /// The room whose queue it waits in; empty for what is of no room.
    fn room(&self) -> &str {
        match self {
            _ if !R::OVERTAKES => "",
            Self::State(topic) | Self::Event(topic, _) => {
                let room = Topic::parse(topic).and_then(|topic| topic.room());
                room.unwrap_or_default()
            }
            Self::Reply(reply) => reply.room(),
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
/// dropped, the oldest first, above [`Outbox::EVENT_LIMIT`].
#[derive(Debug)]
pub struct Outbox<R> {
    queue: Mutex<Queue<R>>,
    filled: Notify,
}

/// What waits of one room, in order.
#[derive(Debug)]
struct RoomQueue<R> {
    items: VecDeque<Item<R>>,
    /// How many of them are urgent.
    urgent: usize,
    /// How often it is in `turns`.
    turns: usize,
}

impl<R> RoomQueue<R> {
    fn new() -> Self {
        Self {
            items: VecDeque::new(),
            urgent: 0,
            turns: 0,
        }
    }
}

#[derive(Debug)]
struct Queue<R> {
    rooms: HashMap<Arc<str>, RoomQueue<R>>,
    /// The rooms in the order in which they began to wait.
    turns: VecDeque<Arc<str>>,
    /// Rooms with a result, an event or their availability, which come before all others. One may be here that has nothing urgent any more.
    urgent: VecDeque<Arc<str>>,
    waiting_states: HashSet<Arc<str>>,
    waiting_events: usize,
    waiting_replies: usize,
    len: usize,
}

/// Where an item is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

impl End {
    fn push<T>(self, queue: &mut VecDeque<T>, item: T) {
        match self {
            Self::Front => queue.push_front(item),
            Self::Back => queue.push_back(item),
        }
    }
}

impl<R> Default for Queue<R> {
    fn default() -> Self {
        Self {
            rooms: HashMap::new(),
            turns: VecDeque::new(),
            urgent: VecDeque::new(),
            waiting_states: HashSet::new(),
            waiting_events: 0,
            waiting_replies: 0,
            len: 0,
        }
    }
}

impl<R: OutboxReply> Queue<R> {
    fn push(&mut self, item: Item<R>, end: End) {
        self.count(&item);
        let name = item.room();
        let room = match self.rooms.get_key_value(name) {
            Some((room, _)) => room.clone(),
            None => Arc::from(name),
        };
        let queue = self
            .rooms
            .entry(room.clone())
            .or_insert_with(RoomQueue::new);
        if item.is_urgent() {
            if queue.urgent == 0 || end == End::Front {
                end.push(&mut self.urgent, room.clone());
            }
            queue.urgent += 1;
        }
        if queue.turns == 0 || end == End::Front {
            queue.turns += 1;
            end.push(&mut self.turns, room);
        }
        end.push(&mut queue.items, item);
    }

    fn count(&mut self, item: &Item<R>) {
        self.len += 1;
        match item {
            Item::State(_) => {}
            Item::Event(..) => self.waiting_events += 1,
            Item::Reply(_) => self.waiting_replies += 1,
        }
    }

    /// The item has been taken out of its room's queue.
    fn taken(&mut self, item: &Item<R>) {
        self.len -= 1;
        match item {
            Item::State(topic) => {
                self.waiting_states.remove(topic);
            }
            Item::Event(..) => self.waiting_events -= 1,
            Item::Reply(_) => self.waiting_replies -= 1,
        }
        if self.len > 0 {
            return;
        }
        self.rooms.clear();
        self.turns.clear();
        self.urgent.clear();
        if self.waiting_states.capacity() > KEPT_CAPACITY {
            *self = Self::default();
        }
    }

    /// Takes the next item.
    fn pop(&mut self) -> Option<Item<R>> {
        while let Some(room) = self.urgent.front() {
            let queue = self.rooms.get_mut(room).filter(|queue| queue.urgent > 0);
            let Some(queue) = queue else {
                self.urgent.pop_front();
                continue;
            };
            let item = queue.items.pop_front()?;
            if item.is_urgent() {
                queue.urgent -= 1;
                // By turns: a room with many results does not stand before the others.
                self.urgent.rotate_left(1);
            }
            self.taken(&item);
            return Some(item);
        }
        while let Some(room) = self.turns.front() {
            let Some(queue) = self.rooms.get_mut(room) else {
                self.turns.pop_front();
                continue;
            };
            if let Some(item) = queue.items.pop_front() {
                self.taken(&item);
                return Some(item);
            }
            queue.turns -= 1;
            if queue.turns == 0 {
                self.rooms.remove(room);
            }
            self.turns.pop_front();
        }
        None
    }

    /// Takes the oldest of the urgent items that this is true of.
    fn take_urgent(&mut self, is_it: impl Fn(&Item<R>) -> bool) -> Option<Item<R>> {
        for room in &self.urgent {
            let Some(queue) = self.rooms.get_mut(room) else {
                continue;
            };
            if let Some(position) = queue.items.iter().position(&is_it) {
                let item = queue.items.remove(position)?;
                queue.urgent -= 1;
                self.taken(&item);
                return Some(item);
            }
        }
        None
    }

    fn remove_state(&mut self, item: &Item<R>) {
        let Item::State(topic) = item else { return };
        let Some(queue) = self.rooms.get_mut(item.room()) else {
            return;
        };
        let is_it = |item: &Item<R>| matches!(item, Item::State(waiting) if waiting == topic);
        if let Some(removed) = queue.items.iter().position(is_it)
            && let Some(removed) = queue.items.remove(removed)
        {
            queue.urgent -= usize::from(removed.is_urgent());
            self.taken(&removed);
        }
    }
}

impl<R> Default for Outbox<R> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
        }
    }
}

/// An emptied outbox with room for more items than this gives its memory back. At a start with
/// thousands of rooms all states wait at once, and never again.
const KEPT_CAPACITY: usize = 4096;

impl<R> Outbox<R> {
    /// How many events may wait: enough for every room of a large site to say something at once,
    /// and some hundred kilobytes at most.
    pub const EVENT_LIMIT: usize = 1024;

    fn lock(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.lock().len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: OutboxReply> Outbox<R> {
    /// Adds a state to send, unless it waits already.
    pub fn push_state(&self, topic: &Arc<str>) {
        let mut queue = self.lock();
        if queue.waiting_states.insert(topic.clone()) {
            queue.push(Item::State(topic.clone()), End::Back);
            self.filled.notify_one();
        }
    }

    /// Adds a command's result.
    pub fn push_reply(&self, reply: R) {
        self.lock().push(Item::Reply(reply), End::Back);
        self.filled.notify_one();
    }

    /// Takes the oldest result, if more than this many wait.
    pub fn take_reply_above(&self, limit: usize) -> Option<R> {
        let mut queue = self.lock();
        if queue.waiting_replies <= limit {
            return None;
        }
        match queue.take_urgent(|item| matches!(item, Item::Reply(_)))? {
            Item::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Adds an event. If too many wait, the oldest is dropped; returns true then.
    pub fn push_event(&self, topic: &Arc<str>, payload: &Bytes) -> bool {
        let mut queue = self.lock();
        let full = queue.waiting_events >= Self::EVENT_LIMIT;
        if full {
            queue.take_urgent(|item| matches!(item, Item::Event(..)));
        }
        queue.push(Item::Event(topic.clone(), payload.clone()), End::Back);
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
        self.lock().pop()
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

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        self.push_event(topic, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{StateStore, StateValue};

    impl OutboxReply for u32 {}

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
        let topics = 2 * KEPT_CAPACITY;
        for n in 0..topics {
            outbox.push_state(&n.to_string().into());
        }
        let sent = std::iter::from_fn(|| outbox.try_next()).count();
        assert_eq!(sent, topics);
        let queue = outbox.lock();
        assert_eq!(queue.rooms.capacity() + queue.waiting_states.capacity(), 0);
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

    /// A result that overtakes what waits of other rooms: its room, and a number.
    struct RoomReply(&'static str, u32);

    impl OutboxReply for RoomReply {
        const OVERTAKES: bool = true;

        fn room(&self) -> &str {
            self.0
        }
    }

    fn order(outbox: &Outbox<RoomReply>) -> Vec<String> {
        let items = std::iter::from_fn(|| outbox.try_next());
        let words = items.map(|item| match item {
            Item::State(topic) => topic.to_string(),
            Item::Event(topic, _) => format!("event {topic}"),
            Item::Reply(RoomReply(room, number)) => format!("{room} {number}"),
        });
        words.collect()
    }

    #[test]
    fn a_result_waits_for_the_states_of_its_own_room_only() {
        let outbox = Outbox::default();
        for room in 0..3 {
            for state in ["a", "b"] {
                outbox.push_state(&format!("room/{room}/{state}").into());
            }
        }
        outbox.push_state(&"gateway/health".into());
        outbox.push_event(&"room/2/event".into(), &Bytes::new());
        outbox.push_reply(RoomReply("1", 7));
        outbox.push_state(&"room/1/c".into());
        outbox.push_reply(RoomReply("1", 8));
        let expected = [
            "room/2/a",
            "room/2/b",
            "event room/2/event",
            "room/1/a",
            "room/1/b",
            "1 7",
            "room/1/c",
            "1 8",
            "room/0/a",
            "room/0/b",
            "gateway/health",
        ];
        assert_eq!(outbox.len(), expected.len());
        assert_eq!(order(&outbox), expected);
        assert!(outbox.is_empty() && outbox.lock().rooms.is_empty());
    }

    #[test]
    fn whether_a_room_can_be_used_overtakes_the_states_of_others() {
        let outbox = Outbox::default();
        for topic in [
            "room/1/a",
            "room/1/b",
            "room/2/problem",
            "room/2/availability",
        ] {
            outbox.push_state(&topic.into());
        }
        outbox.push_state(&"room/2/a".into());
        // One that cannot be sent, and has changed since.
        let first = outbox.try_next().unwrap();
        outbox.push_state(&"room/2/problem".into());
        outbox.put_back(vec![first]);
        // Its turn is the first now, so its other states follow.
        let expected = [
            "room/2/problem",
            "room/2/availability",
            "room/2/a",
            "room/1/a",
            "room/1/b",
        ];
        assert_eq!(order(&outbox), expected);
        assert!(outbox.is_empty() && outbox.lock().rooms.is_empty());
    }

    #[test]
    fn results_of_a_flooded_room_take_turns_with_others() {
        let outbox = Outbox::default();
        for number in 0..3 {
            outbox.push_reply(RoomReply("1", number));
        }
        outbox.push_reply(RoomReply("2", 9));
        assert_eq!(order(&outbox), ["1 0", "2 9", "1 1", "1 2"]);
    }

    #[test]
    fn what_is_put_back_comes_before_what_waits_of_its_room() {
        let outbox = Outbox::default();
        for topic in ["room/1/a", "room/2/a", "room/2/b"] {
            outbox.push_state(&topic.into());
        }
        let first = outbox.try_next().unwrap();
        outbox.push_state(&"room/1/b".into());
        outbox.push_reply(RoomReply("2", 2));
        let states = [first, Item::State("room/2/b".into())];
        outbox.put_back(
            states
                .into_iter()
                .chain([Item::Reply(RoomReply("1", 1))])
                .collect(),
        );
        let expected = ["room/1/a", "1 1", "room/2/b", "room/2/a", "2 2", "room/1/b"];
        assert_eq!(order(&outbox), expected);
    }

    #[test]
    fn every_item_comes_once_and_each_room_in_order() {
        let outbox = Outbox::default();
        let mut pushed = Vec::<String>::new();
        let mut got = Vec::new();
        let rooms = ["1", "2", "3"];
        for number in 0_u32..3000 {
            let room = rooms[usize::try_from(number.wrapping_mul(2_654_435_761) >> 7).unwrap() % 3];
            match number.wrapping_mul(40_503) >> 3 & 7 {
                0 => outbox.push_reply(RoomReply(room, number)),
                1 => {
                    outbox.push_event(&format!("room/{room}/e{number}").into(), &Bytes::new());
                }
                2 => outbox.push_state(&format!("gateway/{number}").into()),
                3..6 => outbox.push_state(&format!("room/{room}/s{number}").into()),
                _ => {
                    if let Some(item) = outbox.try_next() {
                        // Half of them cannot be sent, and come again.
                        match number % 2 {
                            0 => outbox.put_back(vec![item]),
                            _ => got.push(item),
                        }
                    }
                    continue;
                }
            }
            pushed.push(number.to_string());
        }
        got.extend(std::iter::from_fn(|| outbox.try_next()));
        let number = |item: &Item<RoomReply>| match item {
            Item::State(topic) | Item::Event(topic, _) => {
                topic.rsplit(['/', 's', 'e']).next().unwrap().to_owned()
            }
            Item::Reply(reply) => reply.1.to_string(),
        };
        let mut numbers: Vec<_> = got.iter().map(number).collect();
        for room in ["", "1", "2", "3"] {
            let of_room = got.iter().filter(|item| item.room() == room).map(number);
            let of_room: Vec<u32> = of_room.map(|text| text.parse().unwrap()).collect();
            assert!(of_room.is_sorted() && !of_room.is_empty(), "{room}");
        }
        numbers.sort();
        pushed.sort();
        assert_eq!(numbers, pushed);
    }
}
