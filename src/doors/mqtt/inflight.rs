//! The publishes that the broker has not acknowledged yet.
//!
//! Owns the packet identifiers and the limit of unacknowledged publishes. Sends nothing.

use std::collections::VecDeque;

use super::message::Delivery;
use crate::state::Item;

/// While results wait, at most this many publishes are in flight, if the broker allows it: enough
/// for the results of a hundred commands with the states that go before them.
const WINDOW_WITH_RESULTS: usize = 256;
/// With no result waiting, at most 20 publishes are in flight (Mosquitto's default window), so a
/// state that changes again is sent once.
const WINDOW_WITHOUT_RESULTS: usize = 20;

/// The publishes of one connection, in the order they were sent.
#[derive(Debug)]
pub struct Inflight {
    window: usize,
    last_id: u16,
    publishes: VecDeque<(u16, Option<Item<Delivery>>)>,
}

impl Inflight {
    /// Nothing is in flight yet. `receive_maximum` is the broker's limit (MQTT 5 section
    /// 3.2.2.3.3).
    pub fn new(receive_maximum: u16) -> Self {
        Self {
            window: WINDOW_WITH_RESULTS.min(usize::from(receive_maximum).max(1)),
            last_id: 0,
            publishes: VecDeque::new(),
        }
    }

    /// Whether `count` more may be sent.
    pub fn has_room(&self, count: usize, results_wait: bool) -> bool {
        let used = self.publishes.len();
        let window = if results_wait {
            self.window
        } else {
            self.window.min(WINDOW_WITHOUT_RESULTS)
        };
        used == 0 || used + count <= window
    }

    /// A packet identifier that nothing in flight has.
    pub fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.publishes.iter().any(|(id, _)| *id == self.last_id) {
                return self.last_id;
            }
        }
    }

    /// A publish with this identifier is sent now; its acknowledgement completes `item`.
    pub fn push(&mut self, id: u16, item: Option<Item<Delivery>>) {
        self.publishes.push_back((id, item));
    }

    /// The broker acknowledged this identifier. Returns the item that is complete by that.
    pub fn acknowledged(&mut self, id: u16) -> Option<Item<Delivery>> {
        let position = self.publishes.iter().position(|(sent, _)| *sent == id)?;
        self.publishes.remove(position)?.1
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty()
    }

    /// The connection was lost: the items that were not acknowledged, in order.
    pub fn into_items(self) -> Vec<Item<Delivery>> {
        let items = self.publishes.into_iter().filter_map(|(_, item)| item);
        items.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn state(topic: &str) -> Option<Item<Delivery>> {
        Some(Item::State(Arc::from(topic)))
    }

    #[test]
    fn what_is_not_acknowledged_comes_back_in_order() {
        let mut inflight = Inflight::new(3);
        for topic in ["a", "b", "c"] {
            assert!(inflight.has_room(1, true), "{topic}");
            let id = inflight.next_id();
            inflight.push(id, state(topic));
        }
        assert!(!inflight.has_room(1, true));
        assert!(matches!(inflight.acknowledged(2), Some(Item::State(topic)) if &*topic == "b"));
        assert!(inflight.acknowledged(2).is_none());
        let lost = inflight.into_items();
        let topics = lost.iter().map(|item| match item {
            Item::State(topic) => &**topic,
            _ => "",
        });
        assert_eq!(topics.collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn an_identifier_in_flight_is_not_used_again() {
        let mut inflight = Inflight::new(u16::MAX);
        let first = inflight.next_id();
        inflight.push(first, state("a"));
        for _ in 0..u16::MAX {
            let id = inflight.next_id();
            assert!(id != 0 && id != first);
        }
    }

    #[test]
    fn the_window_is_small_while_no_result_waits() {
        let mut inflight = Inflight::new(u16::MAX);
        for n in 0..WINDOW_WITH_RESULTS {
            assert_eq!(inflight.has_room(1, false), n < WINDOW_WITHOUT_RESULTS);
            assert!(inflight.has_room(1, true));
            let id = inflight.next_id();
            inflight.push(id, None);
        }
        assert!(!inflight.has_room(1, true));
        // A broker that takes one at a time gets an item's two messages all the same.
        assert!(Inflight::new(1).has_room(2, false));
    }
}
