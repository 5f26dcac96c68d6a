//! The publishes that the broker has not acknowledged yet.
//!
//! Owns the packet identifiers and the limit of unacknowledged publishes. Sends nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::message::Delivery;
use crate::state::Item;

/// While results wait, at most this many publishes are in flight, if the broker allows it: enough
/// for the results of a hundred commands with the states that go before them.
const WINDOW_WITH_RESULTS: usize = 256;
/// With no result waiting, at most 20 publishes are in flight (Mosquitto's default window), so a
/// state that changes again is sent once.
const WINDOW_WITHOUT_RESULTS: usize = 20;

/// A message that was sent and not acknowledged.
#[derive(Debug)]
pub struct SentMessage {
    id: u16,
    /// As the broker knows it.
    pub topic: Bytes,
    /// The size of its payload.
    pub size: usize,
    pub sent: Instant,
    /// What its acknowledgement completes.
    pub item: Option<Item<Delivery>>,
    /// The number of the newest command that was acknowledged to the broker before.
    pub sent_after: u64,
    /// The broker has acknowledged one that was sent later. Only known of the oldest.
    is_passed_over: bool,
}

/// The publishes of one connection, in the order they were sent.
#[derive(Debug)]
pub struct Inflight {
    window: usize,
    last_id: u16,
    last_command: u64,
    publishes: VecDeque<SentMessage>,
}

impl Inflight {
    /// Nothing is in flight yet. `receive_maximum` is the broker's limit (MQTT 5 section
    /// 3.2.2.3.3).
    pub fn new(receive_maximum: u16) -> Self {
        Self {
            window: WINDOW_WITH_RESULTS.min(usize::from(receive_maximum).max(1)),
            last_id: 0,
            last_command: 0,
            publishes: VecDeque::new(),
        }
    }

    /// Whether one more may be sent. `one_by_one`: not before the last is acknowledged.
    pub fn has_room(&self, results_wait: bool, one_by_one: bool) -> bool {
        let window = match (one_by_one, results_wait) {
            (true, _) => 1,
            (false, true) => self.window,
            (false, false) => self.window.min(WINDOW_WITHOUT_RESULTS),
        };
        self.publishes.len() < window
    }

    /// A packet identifier that nothing in flight has.
    pub fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.publishes.iter().any(|sent| sent.id == self.last_id) {
                return self.last_id;
            }
        }
    }

    /// A publish with this identifier is sent now; its acknowledgement completes `item`.
    pub fn push(&mut self, id: u16, topic: Bytes, size: usize, item: Option<Item<Delivery>>) {
        self.publishes.push_back(SentMessage {
            id,
            topic,
            size,
            sent: Instant::now(),
            item,
            sent_after: self.last_command,
            is_passed_over: false,
        });
    }

    /// The number of the newest command that was acknowledged to the broker on this connection.
    pub fn last_command(&self) -> u64 {
        self.last_command
    }

    /// The command with this number was acknowledged to the broker. What is sent from now on comes after
    /// that.
    pub fn command_acknowledged(&mut self, number: u64) {
        self.last_command = number;
    }

    /// The broker acknowledged this identifier; `None` if nothing in flight has it.
    pub fn acknowledged(&mut self, id: u16) -> Option<SentMessage> {
        let position = self.publishes.iter().position(|sent| sent.id == id)?;
        let acknowledged = self.publishes.remove(position);
        if position > 0
            && let Some(oldest) = self.publishes.front_mut()
        {
            oldest.is_passed_over = true;
        }
        acknowledged
    }

    /// Takes the message with this index out.
    pub fn take(&mut self, index: usize) -> Option<SentMessage> {
        self.publishes.remove(index)
    }

    /// The messages in flight, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SentMessage> {
        self.publishes.iter()
    }

    /// When the oldest message was sent, and whether the broker has acknowledged later ones.
    pub fn oldest(&self) -> Option<(Instant, bool)> {
        let oldest = self.publishes.front()?;
        Some((oldest.sent, oldest.is_passed_over))
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty()
    }

    /// The connection was lost: the items that were not acknowledged, in order.
    pub fn into_items(self) -> Vec<Item<Delivery>> {
        let items = self.publishes.into_iter().filter_map(|sent| sent.item);
        items.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn push(inflight: &mut Inflight, topic: &'static str) -> u16 {
        let id = inflight.next_id();
        let item = Some(Item::State(Arc::from(topic)));
        inflight.push(id, topic.into(), 0, item);
        id
    }

    #[test]
    fn what_is_not_acknowledged_comes_back_in_order() {
        let mut inflight = Inflight::new(3);
        for topic in ["a", "b", "c"] {
            assert!(inflight.has_room(true, false), "{topic}");
            push(&mut inflight, topic);
        }
        assert!(!inflight.has_room(true, false));
        let acknowledged = inflight.acknowledged(2).unwrap();
        assert_eq!(acknowledged.topic, "b");
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
        let first = push(&mut inflight, "a");
        for _ in 0..u16::MAX {
            let id = inflight.next_id();
            assert!(id != 0 && id != first);
        }
    }

    #[test]
    fn the_window_is_small_while_no_result_waits() {
        let mut inflight = Inflight::new(u16::MAX);
        for n in 0..WINDOW_WITH_RESULTS {
            assert_eq!(inflight.has_room(false, false), n < WINDOW_WITHOUT_RESULTS);
            assert_eq!(inflight.has_room(true, true), n == 0);
            assert!(inflight.has_room(true, false));
            push(&mut inflight, "a");
        }
        assert!(!inflight.has_room(true, false));
        // A Receive Maximum of 0 is not allowed (section 3.2.2.3.3); it is taken as 1.
        let mut smallest = Inflight::new(0);
        assert!(smallest.has_room(false, false));
        push(&mut smallest, "a");
        assert!(!smallest.has_room(true, false));
    }

    #[test]
    fn a_message_is_passed_over_when_a_later_one_is_acknowledged() {
        let mut inflight = Inflight::new(9);
        assert_eq!(inflight.oldest(), None);
        let ids = ["a", "b", "c"].map(|topic| push(&mut inflight, topic));
        let is_passed_over = |inflight: &Inflight| inflight.oldest().unwrap().1;
        inflight.acknowledged(ids[0]);
        assert!(!is_passed_over(&inflight));
        inflight.acknowledged(ids[2]);
        assert!(is_passed_over(&inflight));
    }
}
