//! The publishes that the broker has not acknowledged yet.
//!
//! Owns the packet identifiers, the broker's Receive Maximum, and which publishes have waited too
//! long for their PUBACK. Sends nothing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::message::{Delivery, Message};
use super::settings::PUBACK_TIMEOUT;
use crate::state::Item;

/// Brokers acknowledge in order (MQTT 5 section 4.6). A publish is unanswered when one that was sent
/// later has been acknowledged and this much time has passed.
const PASSED_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// All publishes in flight are unanswered when the broker has acknowledged nothing for this long,
/// and did so before on this connection. Longer than a line may stand still, shorter than
/// [`PUBACK_TIMEOUT`].
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// A publish without an answer keeps its place in the broker's Receive Maximum for this long. By then
/// the broker has dropped it, as AWS IoT does, or is about to be given up. Ending the connection would
/// give the place back too, and cost more.
const PLACE_TIMEOUT: Duration = Duration::from_secs(20);

/// Publishes that may stay without an answer on one connection. Each keeps one of 65,535 identifiers, which
/// only another connection gives back.
const UNANSWERED_LIMIT: usize = 1_000;

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
    /// The message itself, if it completes nothing: the file before a result.
    pub file: Option<Message>,
    /// The broker has acknowledged one that was sent later.
    is_passed_over: bool,
}

impl SentMessage {
    /// A copy of this message that completes this item.
    pub fn with_item(&self, item: Option<Item<Delivery>>) -> Self {
        Self {
            topic: self.topic.clone(),
            item,
            file: None,
            ..*self
        }
    }
}

/// The publishes of one connection, in the order they were sent.
#[derive(Debug)]
pub struct Inflight {
    receive_maximum: usize,
    last_id: u16,
    last_command: u64,
    publishes: VecDeque<SentMessage>,
    /// Those that waited too long. Their identifiers stay taken: a PUBACK may still come. Each with
    /// the time when its item is sent again.
    unanswered: VecDeque<(Instant, SentMessage)>,
    /// The broker has acknowledged a publish on this connection.
    has_answered: bool,
    /// Since when something has waited for an answer and none has come.
    silent_since: Option<Instant>,
}

impl Inflight {
    /// Nothing is in flight yet. `receive_maximum` is the broker's limit (MQTT 5 section
    /// 3.2.2.3.3).
    pub fn new(receive_maximum: u16) -> Self {
        Self {
            // 0 is not allowed; it is taken as 1.
            receive_maximum: usize::from(receive_maximum).max(1),
            last_id: 0,
            last_command: 0,
            publishes: VecDeque::new(),
            unanswered: VecDeque::new(),
            has_answered: false,
            silent_since: None,
        }
    }

    /// Whether one more may be sent, if at most `window` may be in flight.
    pub fn has_room(&self, window: usize) -> bool {
        self.publishes.len() < window && self.room() > 0
    }

    /// How many more the broker's Receive Maximum allows.
    pub fn room(&self) -> usize {
        let takes_place = |sent: &SentMessage| sent.sent.elapsed() < PLACE_TIMEOUT;
        let places = self.unanswered.iter().filter(|(_, sent)| takes_place(sent));
        let taken = self.publishes.len() + places.count();
        self.receive_maximum.saturating_sub(taken)
    }

    /// A packet identifier that nothing in flight has.
    pub fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let unanswered = self.unanswered.iter().map(|(_, sent)| sent);
            let mut taken = self.publishes.iter().chain(unanswered);
            if !taken.any(|sent| sent.id == self.last_id) {
                return self.last_id;
            }
        }
    }

    /// A publish with this identifier is sent now; its acknowledgement completes `item`. `file`: the
    /// message, if there is no item.
    pub fn push(
        &mut self,
        id: u16,
        topic: Bytes,
        size: usize,
        item: Option<Item<Delivery>>,
        file: Option<Message>,
    ) {
        let sent = Instant::now();
        self.silent_since.get_or_insert(sent);
        self.publishes.push_back(SentMessage {
            id,
            topic,
            size,
            sent,
            item,
            sent_after: self.last_command,
            file,
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
        let is_it = |sent: &SentMessage| sent.id == id;
        let acknowledged = if let Some(position) = self.publishes.iter().position(is_it) {
            for before in self.publishes.range_mut(..position) {
                before.is_passed_over = true;
            }
            self.publishes.remove(position)
        } else {
            let position = self.unanswered.iter().position(|(_, sent)| is_it(sent))?;
            self.unanswered.remove(position).map(|(_, sent)| sent)
        };
        self.has_answered = true;
        let still_waits = !self.publishes.is_empty() || self.room() == 0;
        self.silent_since = still_waits.then(Instant::now);
        acknowledged
    }

    /// Takes out a publish that has waited too long for its acknowledgement. It is to be given back
    /// with [`Inflight::keep`].
    pub fn take_unanswered(&mut self, now: Instant) -> Option<SentMessage> {
        let is_silent = self.has_answered
            && (self.silent_since)
                .is_some_and(|since| now.duration_since(since) >= SILENCE_TIMEOUT);
        let waits_too_long = |sent: &SentMessage| {
            let age = now.duration_since(sent.sent);
            sent.is_passed_over && age >= PASSED_OVER_TIMEOUT || is_silent && age >= SILENCE_TIMEOUT
        };
        let position = self.publishes.iter().position(waits_too_long)?;
        self.publishes.remove(position)
    }

    /// Keeps the identifier of an unanswered publish, and its item until `repeat_at`.
    pub fn keep(&mut self, message: SentMessage, repeat_at: Instant) {
        self.unanswered.push_back((repeat_at, message));
    }

    /// The items of unanswered publishes that are to be sent again now.
    pub fn take_repeats(&mut self, now: Instant) -> Vec<Item<Delivery>> {
        let due = self.unanswered.iter_mut().filter(|(at, _)| *at <= now);
        due.filter_map(|(_, sent)| sent.item.take()).collect()
    }

    /// Takes the message with this index out.
    pub fn take(&mut self, index: usize) -> Option<SentMessage> {
        self.publishes.remove(index)
    }

    /// The messages that wait for their acknowledgement, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SentMessage> {
        self.publishes.iter()
    }

    /// The broker has acknowledged nothing for [`PUBACK_TIMEOUT`], although something waits for it.
    pub fn is_silent(&self, now: Instant) -> bool {
        self.silent_since
            .is_some_and(|since| now.duration_since(since) >= PUBACK_TIMEOUT)
    }

    /// The broker leaves so many publishes without an answer that identifiers become scarce.
    pub fn is_short_of_ids(&self) -> bool {
        self.unanswered.len() >= UNANSWERED_LIMIT
    }

    /// Whether nothing waits for its acknowledgement or to be sent again.
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.unanswered.iter().all(|(_, sent)| sent.item.is_none())
    }

    /// The connection was lost: the items that were not acknowledged, in order.
    pub fn into_items(self) -> Vec<Item<Delivery>> {
        let unanswered = self.unanswered.into_iter().map(|(_, sent)| sent);
        let all = unanswered.chain(self.publishes);
        all.filter_map(|sent| sent.item).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn push(inflight: &mut Inflight, topic: &'static str) -> u16 {
        let id = inflight.next_id();
        let item = Some(Item::State(Arc::from(topic)));
        inflight.push(id, topic.into(), 0, item, None);
        id
    }

    fn topics(items: Vec<Item<Delivery>>) -> Vec<String> {
        let topics = items.iter().map(|item| match item {
            Item::State(topic) => topic.to_string(),
            _ => String::new(),
        });
        topics.collect()
    }

    #[test]
    fn what_is_not_acknowledged_comes_back_in_order() {
        let mut inflight = Inflight::new(3);
        for topic in ["a", "b", "c"] {
            assert!(inflight.has_room(20), "{topic}");
            push(&mut inflight, topic);
        }
        assert!(!inflight.has_room(20));
        let acknowledged = inflight.acknowledged(2).unwrap();
        assert_eq!(acknowledged.topic, "b");
        assert!(inflight.acknowledged(2).is_none());
        assert_eq!(topics(inflight.into_items()), ["a", "c"]);
    }

    #[test]
    fn an_identifier_in_flight_is_not_used_again() {
        let mut inflight = Inflight::new(u16::MAX);
        let first = push(&mut inflight, "a");
        let second = push(&mut inflight, "b");
        let unanswered = inflight.take(0).unwrap();
        inflight.keep(unanswered, Instant::now());
        for _ in 0..u16::MAX {
            let id = inflight.next_id();
            assert!(id != 0 && id != first && id != second);
        }
    }

    #[test]
    fn the_smaller_of_window_and_receive_maximum_counts() {
        let mut inflight = Inflight::new(3);
        for n in 0..3 {
            assert_eq!(inflight.room(), 3 - n);
            assert_eq!(inflight.has_room(2), n < 2);
            assert!(inflight.has_room(20));
            push(&mut inflight, "a");
        }
        assert!(!inflight.has_room(20));
        // A Receive Maximum of 0 is not allowed (section 3.2.2.3.3); it is taken as 1.
        let mut smallest = Inflight::new(0);
        assert!(smallest.has_room(20));
        push(&mut smallest, "a");
        assert!(!smallest.has_room(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_publish_that_is_passed_over_is_unanswered_and_keeps_its_identifier() {
        let mut inflight = Inflight::new(3);
        let ids = ["a", "b", "c"].map(|topic| push(&mut inflight, topic));
        inflight.acknowledged(ids[0]);
        inflight.acknowledged(ids[2]);
        let soon = Instant::now() + PASSED_OVER_TIMEOUT / 2;
        assert!(inflight.take_unanswered(soon).is_none());
        let now = Instant::now() + PASSED_OVER_TIMEOUT;
        let unanswered = inflight.take_unanswered(now).unwrap();
        assert_eq!(unanswered.topic, "b");
        assert!(inflight.take_unanswered(now).is_none());
        inflight.keep(unanswered, now + PASSED_OVER_TIMEOUT);
        assert!(!inflight.is_empty());
        push(&mut inflight, "d");
        push(&mut inflight, "e");
        assert!(!inflight.has_room(20), "it takes a place");
        assert!(inflight.take_repeats(now).is_empty());
        let later = now + PASSED_OVER_TIMEOUT;
        assert_eq!(topics(inflight.take_repeats(later)), ["b"]);
        assert!(inflight.take_repeats(later).is_empty());
        // A late answer gives the place back.
        assert!(inflight.acknowledged(ids[1]).unwrap().item.is_none());
        assert!(inflight.has_room(20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unanswered_publish_gives_its_place_back_in_the_end() {
        let mut inflight = Inflight::new(1);
        let id = push(&mut inflight, "a");
        let unanswered = inflight.take(0).unwrap();
        inflight.keep(unanswered, Instant::now());
        tokio::time::sleep(PLACE_TIMEOUT - Duration::from_secs(1)).await;
        assert!(!inflight.has_room(20));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(inflight.has_room(20));
        // Its identifier stays taken.
        assert_ne!(push(&mut inflight, "b"), id);
        assert!(inflight.acknowledged(id).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn many_publishes_without_an_answer_are_too_many_for_one_connection() {
        let mut inflight = Inflight::new(u16::MAX);
        let mut ids = Vec::new();
        while !inflight.is_short_of_ids() {
            ids.push(push(&mut inflight, "a"));
            let unanswered = inflight.take(0).unwrap();
            inflight.keep(unanswered, Instant::now());
        }
        assert_eq!(ids.len(), UNANSWERED_LIMIT);
        inflight.acknowledged(ids[0]);
        assert!(!inflight.is_short_of_ids());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_in_time_prevents_the_repeat() {
        let mut inflight = Inflight::new(9);
        let ids = ["a", "b"].map(|topic| push(&mut inflight, topic));
        inflight.acknowledged(ids[1]);
        let now = Instant::now() + PASSED_OVER_TIMEOUT;
        let unanswered = inflight.take_unanswered(now).unwrap();
        inflight.keep(unanswered, now);
        assert!(inflight.acknowledged(ids[0]).unwrap().item.is_some());
        assert!(inflight.take_repeats(now).is_empty() && inflight.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_reason_to_repeat_before_the_first_answer() {
        for answers in [false, true] {
            let mut inflight = Inflight::new(9);
            let ids = ["a", "b", "c"].map(|topic| push(&mut inflight, topic));
            if answers {
                inflight.acknowledged(ids[0]);
            }
            let now = Instant::now() + SILENCE_TIMEOUT;
            let mut unanswered = 0;
            while let Some(message) = inflight.take_unanswered(now) {
                inflight.keep(message, now);
                unanswered += 1;
            }
            assert_eq!(unanswered, if answers { 2 } else { 0 });
            // Whether they are repeated or not: it is given up.
            assert!(!inflight.is_silent(now));
            assert!(inflight.is_silent(Instant::now() + PUBACK_TIMEOUT));
        }
    }
}
