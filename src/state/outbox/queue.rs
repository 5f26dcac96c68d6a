//! What waits for one reader, in the order in which it goes out.
//!
//! Owns the rooms' queues, whose turn it is, and how much of each kind waits. It is pure: it takes no lock, wakes
//! nobody and has no limits; these are of [`Outbox`](super::Outbox).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::{Item, OutboxReply};

/// An emptied outbox with room for more items than this gives its memory back. At a start with
/// thousands of rooms all states wait at once, and never again.
pub(super) const KEPT_CAPACITY: usize = 4096;

/// What waits of one room, in order.
#[derive(Debug)]
pub(super) struct RoomQueue<R> {
    items: VecDeque<Item<R>>,
    /// How many of them are urgent.
    urgent: usize,
    /// The bytes of the results among them.
    reply_bytes: usize,
    /// How often it is in `turns`.
    turns: usize,
}

impl<R> RoomQueue<R> {
    fn new() -> Self {
        Self {
            items: VecDeque::new(),
            urgent: 0,
            reply_bytes: 0,
            turns: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct OutboxQueue<R> {
    pub(super) rooms: HashMap<Arc<str>, RoomQueue<R>>,
    /// The rooms in the order in which they began to wait.
    turns: VecDeque<Arc<str>>,
    /// Rooms with a result, an event or their availability, which go first. Some may have nothing urgent any more.
    urgent: VecDeque<Arc<str>>,
    pub(super) waiting_states: HashSet<Arc<str>>,
    pub(super) waiting_events: usize,
    /// The bytes of the results that wait.
    pub(super) reply_bytes: usize,
    pub(super) len: usize,
}

/// Where an item is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
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

impl<R> Default for OutboxQueue<R> {
    fn default() -> Self {
        Self {
            rooms: HashMap::new(),
            turns: VecDeque::new(),
            urgent: VecDeque::new(),
            waiting_states: HashSet::new(),
            waiting_events: 0,
            reply_bytes: 0,
            len: 0,
        }
    }
}

impl<R: OutboxReply> OutboxQueue<R> {
    pub(super) fn push(&mut self, item: Item<R>, end: End) {
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
        queue.reply_bytes += item.reply_bytes();
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
        self.reply_bytes += item.reply_bytes();
        if let Item::Event(..) = item {
            self.waiting_events += 1;
        }
    }

    /// The item has been taken out of its room's queue.
    fn taken(&mut self, item: &Item<R>) {
        self.len -= 1;
        let bytes = item.reply_bytes();
        self.reply_bytes -= bytes;
        if bytes > 0
            && let Some(queue) = self.rooms.get_mut(item.room())
        {
            queue.reply_bytes -= bytes;
        }
        match item {
            Item::State(topic) => {
                self.waiting_states.remove(topic);
            }
            Item::Event(..) => self.waiting_events -= 1,
            Item::Reply(_) => {}
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
    pub(super) fn pop(&mut self) -> Option<Item<R>> {
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

    /// Takes the next item that may go: the first one of its room that may, so what may go must not depend on others of
    /// its room that may not.
    pub(super) fn pop_of(&mut self, may_go: impl Fn(&Item<R>) -> bool) -> Option<Item<R>> {
        let first = |room: &Arc<str>| {
            let mut items = self.rooms.get(room)?.items.iter();
            items.position(&may_go)
        };
        let is_urgent = |room: &Arc<str>| self.rooms.get(room).is_some_and(|it| it.urgent > 0);
        let mut urgent = self.urgent.iter().enumerate();
        let urgent = urgent.find_map(|(turn, room)| {
            let position = is_urgent(room).then(|| first(room))??;
            Some((Some(turn), room, position))
        });
        let mut turns = self.turns.iter();
        let found = urgent.or_else(|| turns.find_map(|room| Some((None, room, first(room)?))));
        let (turn, room, position) = found?;
        let room = room.clone();
        let queue = self.rooms.get_mut(&room)?;
        let item = queue.items.remove(position)?;
        if item.is_urgent() {
            queue.urgent -= 1;
            // By turns, as in `pop`.
            let has_more = queue.urgent > 0;
            if let Some(turn) = turn
                && let Some(room) = self.urgent.remove(turn)
                && has_more
            {
                self.urgent.push_back(room);
            }
        }
        self.taken(&item);
        Some(item)
    }

    /// Takes the first of the urgent items that this is true of, in the order of the rooms' turns. It is the oldest of
    /// its room, and another room may have an older one.
    pub(super) fn take_urgent(&mut self, is_it: impl Fn(&Item<R>) -> bool) -> Option<Item<R>> {
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

    /// Takes results of the room whose results have most bytes, the oldest first: of so many bytes at least, but no
    /// more than half of what it has and one.
    pub(super) fn take_replies_of_fullest(&mut self, bytes: usize, taken: &mut Vec<R>) {
        let fullest = self
            .rooms
            .values_mut()
            .max_by_key(|queue| queue.reply_bytes);
        let Some(queue) = fullest else { return };
        let enough = bytes.min(queue.reply_bytes / 2 + 1);
        let (mut kept, mut found, mut found_bytes) = (Vec::new(), Vec::new(), 0);
        while found_bytes < enough
            && let Some(item) = queue.items.pop_front()
        {
            match item {
                Item::Reply(_) => {
                    found_bytes += item.reply_bytes();
                    found.push(item);
                }
                item => kept.push(item),
            }
        }
        for item in kept.into_iter().rev() {
            queue.items.push_front(item);
        }
        queue.urgent -= found.len();
        for item in found {
            self.taken(&item);
            if let Item::Reply(reply) = item {
                taken.push(reply);
            }
        }
    }

    pub(super) fn remove_state(&mut self, item: &Item<R>) {
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

#[cfg(test)]
mod tests {
    use super::super::tests::RoomReply;
    use super::*;

    #[test]
    fn a_room_that_has_nothing_urgent_any_more_takes_no_turn() {
        let mut queue = OutboxQueue::default();
        let may_go = |item: &Item<RoomReply>| item.room() != "blocked";
        queue.push(Item::Reply(RoomReply("blocked", 1)), End::Back);
        for _ in 0..100 {
            queue.push(Item::Reply(RoomReply("other", 1)), End::Back);
            assert!(queue.pop_of(may_go).is_some());
        }
        assert_eq!(queue.urgent.len(), 1);
        // Whoever has more takes turns.
        for n in 0..4 {
            let room = if n < 2 { "a" } else { "b" };
            queue.push(Item::Reply(RoomReply(room, n)), End::Back);
        }
        let next = || match queue.pop_of(may_go) {
            Some(Item::Reply(RoomReply(_, number))) => Some(number),
            _ => None,
        };
        assert_eq!(std::iter::from_fn(next).collect::<Vec<_>>(), [0, 2, 1, 3]);
    }
}
