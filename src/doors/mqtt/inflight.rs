//! What has been put to the broker and is not acknowledged yet.
//!
//! Owns the packet identifiers and the limit of what is under way at a time. Sends nothing.

use std::collections::VecDeque;

use super::Answer;
use crate::state::Item;

/// How many publishes may be unacknowledged, if the broker takes as many, while a command is due its
/// result there: the results of a hundred commands, with the states before them.
const WINDOW: usize = 256;
/// The same while none is, as many as Mosquitto takes by itself: what changes again meanwhile is told
/// once.
const UNHURRIED: usize = 20;

/// The publishes of one connection, in the order they were put.
#[derive(Debug)]
pub struct Inflight {
    window: usize,
    last_id: u16,
    publishes: VecDeque<(u16, Option<Item<Answer>>)>,
}

impl Inflight {
    /// Nothing is under way; the broker takes so many at a time (its Receive Maximum).
    pub fn new(receive_maximum: u16) -> Self {
        Self {
            window: WINDOW.min(usize::from(receive_maximum).max(1)),
            last_id: 0,
            publishes: VecDeque::new(),
        }
    }

    /// There is room for `count` more; there is less where nothing is `due` a sender.
    pub fn has_room(&self, count: usize, due: bool) -> bool {
        let used = self.publishes.len();
        let window = if due {
            self.window
        } else {
            self.window.min(UNHURRIED)
        };
        used == 0 || used + count <= window
    }

    /// An identifier that nothing under way has.
    pub fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.publishes.iter().any(|(id, _)| *id == self.last_id) {
                return self.last_id;
            }
        }
    }

    /// A publish with this identifier is put now, in the name of `item`.
    pub fn push(&mut self, id: u16, item: Option<Item<Answer>>) {
        self.publishes.push_back((id, item));
    }

    /// The broker acknowledged this identifier.
    pub fn acknowledged(&mut self, id: u16) -> Option<Item<Answer>> {
        let place = self.publishes.iter().position(|(put, _)| *put == id)?;
        self.publishes.remove(place)?.1
    }

    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty()
    }

    /// The connection is gone: what was not acknowledged, in order.
    pub fn lost(self) -> Vec<Item<Answer>> {
        let items = self.publishes.into_iter().filter_map(|(_, item)| item);
        items.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn state(topic: &str) -> Option<Item<Answer>> {
        Some(Item::State(Arc::from(topic)))
    }

    #[test]
    fn what_is_not_acknowledged_comes_back_in_order() {
        let mut flight = Inflight::new(3);
        for topic in ["a", "b", "c"] {
            assert!(flight.has_room(1, true), "{topic}");
            let id = flight.next_id();
            flight.push(id, state(topic));
        }
        assert!(!flight.has_room(1, true));
        assert!(matches!(flight.acknowledged(2), Some(Item::State(topic)) if &*topic == "b"));
        assert!(flight.acknowledged(2).is_none());
        let lost = flight.lost();
        let topics = lost.iter().map(|item| match item {
            Item::State(topic) => &**topic,
            _ => "",
        });
        assert_eq!(topics.collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn an_identifier_under_way_is_not_used_again() {
        let mut flight = Inflight::new(u16::MAX);
        let first = flight.next_id();
        flight.push(first, state("a"));
        for _ in 0..u16::MAX {
            let id = flight.next_id();
            assert!(id != 0 && id != first);
        }
    }
}
