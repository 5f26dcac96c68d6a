//! Messages that the broker refuses for now, or leaves unanswered, while it takes others: each waits
//! for a time of its own and holds nothing up.
//!
//! Owns how often each topic was set back, and what is to be sent again when. Outlives the
//! connections. Pure: gets what happened and the time; sends nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::message::Delivery;
use super::refusals::remember;
use crate::state::Item;

/// How long a message waits when it is set back while others are taken.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait. It doubles up to there; a try a minute costs the broker nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a message is tried before all others, to keep the order. Then the others go first.
const TRIES_IN_ORDER: u32 = 3;
/// At most this many events and results wait: a broker that refuses them for hours must not fill the
/// memory. Some hundred kilobytes, unless results are files.
const WAITING_LIMIT: usize = 1024;

/// The messages of a topic that were set back, since one was taken.
#[derive(Debug)]
struct Setbacks {
    tries: u32,
    /// How often the broker took others in between.
    others_passed: u32,
    /// How many had no answer, while others had.
    unanswered: u32,
    /// When the last of them was sent.
    sent: Instant,
}

/// What a setback means.
#[derive(Debug, PartialEq, Eq)]
pub struct Setback {
    /// The broker took others that were sent after the try before: it is this message.
    pub is_its_own: bool,
    /// Others should be tried before it.
    pub waits_alone: bool,
    /// How often this message had no answer, while others had.
    pub unanswered: u32,
    /// How long it should wait, if it waits alone.
    pub wait: Duration,
}

/// What waits, and why.
#[derive(Debug, Default)]
pub struct Postponed {
    setbacks: HashMap<Bytes, Setbacks>,
    /// When the newest message was sent that the broker took.
    newest_taken: Option<Instant>,
    states: BTreeMap<Arc<str>, Instant>,
    /// Events and results, the oldest first.
    others: VecDeque<(Instant, Item<Delivery>)>,
}

impl Postponed {
    /// The broker took a message of this topic that was sent at this time.
    pub fn taken(&mut self, topic: &[u8], sent: Instant) {
        self.setbacks.remove(topic);
        self.newest_taken = self.newest_taken.max(Some(sent));
    }

    /// Nothing of this topic is to be sent again.
    pub fn forget(&mut self, topic: &[u8]) {
        self.setbacks.remove(topic);
    }

    /// The broker refused a message of this topic for now, or did not answer it.
    pub fn set_back(&mut self, topic: &Bytes, sent: Instant, is_unanswered: bool) -> Setback {
        let before = self.setbacks.get(topic);
        let is_its_own = before.is_some_and(|before| self.newest_taken > Some(before.sent));
        let is_proof = u32::from(is_unanswered && (is_its_own || before.is_none()));
        let (tries, others_passed, unanswered) = before.map_or((0, 0, 0), |before| {
            (before.tries, before.others_passed, before.unanswered)
        });
        let setbacks = Setbacks {
            tries: tries.saturating_add(1),
            others_passed: others_passed.saturating_add(u32::from(is_its_own)),
            unanswered: unanswered.saturating_add(is_proof),
            sent,
        };
        let doublings = setbacks.others_passed.saturating_sub(1).min(16);
        let setback = Setback {
            is_its_own,
            waits_alone: is_its_own || setbacks.tries > TRIES_IN_ORDER,
            unanswered: setbacks.unanswered,
            wait: LONGEST_WAIT.min(FIRST_WAIT * (1 << doublings)),
        };
        remember(&mut self.setbacks, topic, setbacks);
        setback
    }

    /// Keeps an item until this time. Returns the oldest event or result if there are too many.
    pub fn push(&mut self, item: Item<Delivery>, at: Instant) -> Option<Item<Delivery>> {
        if let Item::State(topic) = item {
            self.states.insert(topic, at);
            return None;
        }
        self.others.push_back((at, item));
        let is_full = self.others.len() > WAITING_LIMIT;
        is_full
            .then(|| self.others.pop_front())
            .flatten()
            .map(|it| it.1)
    }

    /// The items that are due, which it forgets.
    pub fn take_due(&mut self, now: Instant) -> Vec<Item<Delivery>> {
        let mut due = Vec::new();
        self.states.retain(|topic, at| {
            if *at <= now {
                due.push(Item::State(topic.clone()));
            }
            *at > now
        });
        for (at, item) in std::mem::take(&mut self.others) {
            if at <= now {
                due.push(item)
            } else {
                self.others.push_back((at, item))
            }
        }
        due
    }

    /// Whether an event or a result waits. A state is there again after the next start.
    pub fn holds_one_off(&self) -> bool {
        !self.others.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_message_waits_alone_when_the_broker_takes_others() {
        let (mut it, now) = (Postponed::default(), Instant::now());
        let topic = Bytes::from("a");
        // Taken, but sent before.
        it.taken(b"b", now);
        let mut sent = now + SECOND;
        for n in 1..=5 {
            let setback = it.set_back(&topic, sent, false);
            assert!(!setback.is_its_own);
            assert_eq!(setback.waits_alone, n > TRIES_IN_ORDER);
            assert_eq!(setback.wait, FIRST_WAIT);
            sent += SECOND;
        }

        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            it.taken(b"b", sent);
            let setback = it.set_back(&topic, sent, false);
            assert!(setback.is_its_own && setback.waits_alone);
            assert_eq!(setback.wait, Duration::from_secs(seconds));
            sent += SECOND;
        }
        it.taken(&topic, sent);
        assert!(!it.set_back(&topic, sent, false).waits_alone);
    }

    #[test]
    fn silence_counts_only_while_others_are_answered() {
        let (mut it, now) = (Postponed::default(), Instant::now());
        let topic = Bytes::from("a");
        assert_eq!(it.set_back(&topic, now, true).unanswered, 1);
        assert_eq!(it.set_back(&topic, now + SECOND, true).unanswered, 1);
        // A refusal is an answer.
        it.taken(b"b", now + 2 * SECOND);
        assert_eq!(it.set_back(&topic, now + 3 * SECOND, false).unanswered, 1);
        it.taken(b"b", now + 4 * SECOND);
        assert_eq!(it.set_back(&topic, now + 5 * SECOND, true).unanswered, 2);
        it.forget(&topic);
        assert_eq!(it.set_back(&topic, now + 6 * SECOND, true).unanswered, 1);
    }

    #[test]
    fn items_come_back_at_their_time_and_their_number_is_bounded() {
        let (mut it, now) = (Postponed::default(), Instant::now());
        let event = |n: usize| Item::Event("e".into(), Bytes::from(n.to_string()));
        let state = || Item::State("s".into());
        for n in 0..2 {
            assert!(it.push(state(), now + (n + 1) * SECOND).is_none());
        }
        assert!(!it.holds_one_off() && it.take_due(now + SECOND).is_empty());
        assert_eq!(it.take_due(now + 2 * SECOND).len(), 1);
        for n in 0..2 * WAITING_LIMIT {
            let oldest = it.push(event(n), now + SECOND);
            let given_up = oldest.map(|oldest| match oldest {
                Item::Event(_, payload) => payload,
                other => panic!("{other:?}"),
            });
            let expected = n.checked_sub(WAITING_LIMIT);
            assert_eq!(given_up, expected.map(|n| Bytes::from(n.to_string())));
        }
        assert!(it.holds_one_off());
        assert_eq!(it.take_due(now + SECOND).len(), WAITING_LIMIT);
        assert!(!it.holds_one_off());
    }
}
