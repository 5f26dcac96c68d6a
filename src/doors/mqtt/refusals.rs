//! Which messages the broker does not take, so that each costs itself and nothing else.
//!
//! A PUBACK names its message. A connection that ends does not: whatever was in flight is a suspect
//! then, and on the next connections messages go one by one until every suspect is acknowledged or
//! found out. Outlives the connections. Pure: gets what happened and the time; sends and logs
//! nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::error::Blame;
use super::reason::ReasonCode;

/// A connection that ends without a word may have another cause than the message in flight. The
/// third time in a row with this message, it is the message.
const ENDS_UNTIL_CONVICTED: u32 = 3;
/// After this long a message that ends the connection is tried again: the broker's rules may have
/// changed. It costs one connection.
const LEFT_OUT_FOR: Duration = Duration::from_secs(60 * 60);
/// With so many found out in a row, and none taken, the broker takes none at all.
const CONVICTIONS_IN_A_ROW: u32 = 5;
/// Topics that are remembered. Clients choose the topics of their results, so there can be any
/// number of them.
const REMEMBERED_TOPICS: usize = 4096;

/// Why a message is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The configuration's limit of payloads, in bytes.
    MaxPayload(usize),
    /// The broker's announced limit of packets, in bytes.
    MaximumPacketSize(usize),
    /// The broker's PUBACK says so.
    Refused(ReasonCode),
    /// The connection ends with these words whenever the broker gets the message.
    EndsConnection(String),
    /// It was refused before, and its line was written then.
    RefusedBefore {
        /// The broker said that it is too large.
        is_by_size: bool,
    },
}

impl Obstacle {
    /// The size is the reason.
    pub fn is_size(&self) -> bool {
        match self {
            Self::MaxPayload(_) | Self::MaximumPacketSize(_) => true,
            Self::Refused(reason) => *reason == ReasonCode::PACKET_TOO_LARGE,
            Self::EndsConnection(_) => false,
            Self::RefusedBefore { is_by_size } => *is_by_size,
        }
    }

    /// A smaller message may be taken.
    pub fn can_mean_size(&self) -> bool {
        match self {
            Self::Refused(reason) => reason.can_mean_size(),
            _ => true,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxPayload(limit) => write!(f, "mqtt.max_payload allows {limit} bytes"),
            Self::MaximumPacketSize(limit) => {
                write!(
                    f,
                    "the broker takes packets of {limit} bytes (its Maximum Packet Size)"
                )
            }
            Self::Refused(reason @ ReasonCode::PACKET_TOO_LARGE) => write!(
                f,
                "the broker refuses it ({reason}): its limit is smaller and not announced"
            ),
            Self::Refused(reason @ ReasonCode::NOT_AUTHORIZED) => write!(
                f,
                "the broker refuses it ({reason}): check its access rules for this user"
            ),
            Self::Refused(reason) => write!(f, "the broker refuses it ({reason})"),
            Self::EndsConnection(lost) => {
                write!(
                    f,
                    "it ends the connection ({lost}): check the broker's limits and access rules"
                )
            }
            Self::RefusedBefore { .. } => f.write_str("the broker refused it before"),
        }
    }
}

/// What the end of a connection says about the messages in flight.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Unrelated,
    /// One of them may be the cause. They are tried one by one.
    Suspected,
    /// The one with this index is the cause, and is left out from now on.
    Convicted(usize),
    /// The broker takes no message at all.
    TakesNothing,
}

/// A topic whose messages are left out.
#[derive(Debug)]
struct LeftOut {
    /// Payloads of this size and larger ones.
    size: usize,
    /// The broker said that the size is why.
    is_by_size: bool,
    /// When it is tried again; `None`: on the next connection.
    until: Option<Instant>,
}

/// What is known of the broker's refusals, by topic as the broker knows it.
#[derive(Debug, Default)]
pub struct Refusals {
    /// In flight when a connection ended and not acknowledged since: how many connections ended so.
    suspects: HashMap<Bytes, u32>,
    left_out: HashMap<Bytes, LeftOut>,
    /// What the log was told of a topic last.
    reported: HashMap<Bytes, Obstacle>,
    convictions_in_a_row: u32,
    takes_nothing: bool,
}

impl Refusals {
    /// A connection came up. What a PUBACK refused is tried again; its refusal costs one message.
    pub fn connected(&mut self) {
        self.left_out.retain(|_, left_out| left_out.until.is_some());
    }

    /// Messages have to go one by one.
    pub fn is_careful(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// The next connection should begin with a message that the broker certainly takes, to learn
    /// whether it takes any.
    pub fn wants_probe(&self) -> bool {
        self.convictions_in_a_row + 1 == CONVICTIONS_IN_A_ROW
    }

    /// Nothing waits to be sent: no suspect is left.
    pub fn all_sent(&mut self) {
        self.suspects.clear();
    }

    /// Whether a message with a payload of this size is left out.
    pub fn left_out(&self, topic: &[u8], size: usize, now: Instant) -> Option<Obstacle> {
        let left_out = self.left_out.get(topic)?;
        let applies = size >= left_out.size && left_out.until.is_none_or(|until| now < until);
        let is_by_size = left_out.is_by_size;
        applies.then_some(Obstacle::RefusedBefore { is_by_size })
    }

    /// A message of this topic is not sent after all.
    pub fn not_sent(&mut self, topic: &[u8]) {
        self.suspects.remove(topic);
    }

    /// The broker took a message.
    pub fn accepted(&mut self, topic: &[u8]) {
        self.suspects.remove(topic);
        self.convictions_in_a_row = 0;
        self.takes_nothing = false;
    }

    /// The broker refused a message in its PUBACK, and the connection goes on.
    pub fn refused(&mut self, topic: &Bytes, size: usize, reason: ReasonCode) {
        self.suspects.remove(topic);
        self.convictions_in_a_row = 0;
        self.takes_nothing = false;
        if reason == ReasonCode::PACKET_TOO_LARGE {
            let left_out = LeftOut {
                size,
                is_by_size: true,
                until: None,
            };
            remember(&mut self.left_out, topic, left_out);
        }
    }

    /// Whether the log has not been told this of the topic.
    pub fn is_news(&mut self, topic: &Bytes, obstacle: &Obstacle) -> bool {
        let is_known = matches!(obstacle, Obstacle::RefusedBefore { .. });
        if is_known || self.reported.get(topic) == Some(obstacle) {
            return false;
        }
        remember(&mut self.reported, topic, obstacle.clone());
        true
    }

    /// The connection ended with these messages in flight, each with its payload's size. `is_by_size`:
    /// the broker said that one is too large.
    pub fn connection_ended(
        &mut self,
        in_flight: &[(Bytes, usize)],
        blame: Blame,
        is_by_size: bool,
        now: Instant,
    ) -> Verdict {
        if blame == Blame::NoMessage || in_flight.is_empty() {
            return Verdict::Unrelated;
        }
        if self.takes_nothing {
            return Verdict::TakesNothing;
        }
        let topics: HashSet<&Bytes> = in_flight.iter().map(|(topic, _)| topic).collect();
        for topic in topics {
            *self.suspects.entry(topic.clone()).or_default() += 1;
        }
        let Some(culprit) = self.culprit(in_flight, blame) else {
            return Verdict::Suspected;
        };
        self.convictions_in_a_row += 1;
        if self.convictions_in_a_row >= CONVICTIONS_IN_A_ROW {
            *self = Self {
                takes_nothing: true,
                reported: std::mem::take(&mut self.reported),
                ..Self::default()
            };
            return Verdict::TakesNothing;
        }
        let (topic, size) = &in_flight[culprit];
        self.suspects.remove(topic);
        // Not by its size, and the second time: no message of this topic is taken.
        let is_again = self.left_out.contains_key(topic) && !is_by_size;
        let left_out = LeftOut {
            size: if is_again { 0 } else { *size },
            is_by_size,
            until: Some(now + LEFT_OUT_FOR),
        };
        remember(&mut self.left_out, topic, left_out);
        Verdict::Convicted(culprit)
    }

    fn culprit(&self, in_flight: &[(Bytes, usize)], blame: Blame) -> Option<usize> {
        if blame == Blame::Oldest {
            return Some(0);
        }
        if let [(topic, _)] = in_flight {
            let ends = self.suspects.get(topic).copied().unwrap_or_default();
            if blame == Blame::OneOfThem || ends >= ENDS_UNTIL_CONVICTED {
                return Some(0);
            }
        }
        // One that was left out until now and is tried again.
        let is_known = |(topic, size): &(Bytes, usize)| {
            let left_out = self.left_out.get(topic);
            left_out.is_some_and(|known| known.until.is_some() && *size >= known.size)
        };
        in_flight.iter().position(is_known)
    }
}

/// Keeps a value of a topic. When there are too many, all others are forgotten, which costs a line or
/// a connection each.
fn remember<T>(topics: &mut HashMap<Bytes, T>, topic: &Bytes, value: T) {
    if topics.len() >= REMEMBERED_TOPICS && !topics.contains_key(topic) {
        topics.clear();
    }
    topics.insert(topic.clone(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(topics: &[(&'static str, usize)]) -> Vec<(Bytes, usize)> {
        let messages = topics.iter().map(|(topic, size)| ((*topic).into(), *size));
        messages.collect()
    }

    struct Setup {
        refusals: Refusals,
        now: Instant,
    }

    impl Setup {
        fn new() -> Self {
            let (refusals, now) = (Refusals::default(), Instant::now());
            Self { refusals, now }
        }

        fn ends(&mut self, topics: &[(&'static str, usize)], blame: Blame) -> Verdict {
            self.refusals
                .connection_ended(&messages(topics), blame, false, self.now)
        }

        fn is_left_out(&self, topic: &str, size: usize) -> bool {
            let left_out = self.refusals.left_out(topic.as_bytes(), size, self.now);
            left_out.is_some()
        }
    }

    #[test]
    fn a_puback_costs_its_message_and_smaller_ones_are_sent() {
        let mut it = Setup::new();
        let topic = Bytes::from("a");
        it.refusals
            .refused(&topic, 500, ReasonCode::PACKET_TOO_LARGE);
        assert!(it.is_left_out("a", 500) && it.is_left_out("a", 501));
        assert!(!it.is_left_out("a", 499) && !it.is_left_out("b", 501));
        // Other reasons say nothing of the next value.
        it.refusals.refused(&"c".into(), 5, ReasonCode(0xC3));
        assert!(!it.is_left_out("c", 5) && !it.refusals.is_careful());
        it.refusals.connected();
        assert!(!it.is_left_out("a", 500));
    }

    #[test]
    fn the_one_message_that_ends_the_connection_is_found_among_many() {
        for (blame, connections) in [(Blame::OneOfThem, 1), (Blame::Perhaps, 2)] {
            let mut it = Setup::new();
            let all = [("a", 1), ("bad", 9), ("c", 1)];
            assert_eq!(it.ends(&all, blame), Verdict::Suspected);
            for n in 1..=connections {
                assert!(it.refusals.is_careful());
                it.refusals.accepted(b"a");
                let last = n == connections;
                let expected = if last {
                    Verdict::Convicted(0)
                } else {
                    Verdict::Suspected
                };
                assert_eq!(it.ends(&[("bad", 9)], blame), expected, "{blame:?} {n}");
            }
            it.refusals.connected();
            assert!(it.is_left_out("bad", 9) && !it.is_left_out("bad", 8));
            it.refusals.accepted(b"c");
            assert!(!it.refusals.is_careful());
            it.now += LEFT_OUT_FOR;
            assert!(!it.is_left_out("bad", 9));
            // It is tried again among others, and known at once.
            assert_eq!(
                it.ends(&[("a", 1), ("bad", 9)], blame),
                Verdict::Convicted(1)
            );
            assert!(it.is_left_out("bad", 0));
        }
    }

    #[test]
    fn what_is_acknowledged_in_between_is_innocent() {
        let mut it = Setup::new();
        for _ in 0..20 {
            assert_eq!(it.ends(&[("a", 1)], Blame::Perhaps), Verdict::Suspected);
            assert_eq!(it.ends(&[("a", 1)], Blame::Perhaps), Verdict::Suspected);
            it.refusals.accepted(b"a");
        }
        assert_eq!(it.ends(&[("a", 1)], Blame::NoMessage), Verdict::Unrelated);
        assert_eq!(it.ends(&[], Blame::OneOfThem), Verdict::Unrelated);
        assert_eq!(
            it.ends(&[("a", 1), ("b", 1)], Blame::Oldest),
            Verdict::Convicted(0)
        );
    }

    #[test]
    fn a_broker_that_takes_nothing_is_known_after_a_few_messages() {
        let mut it = Setup::new();
        let topics = ["a", "b", "c", "d", "e"];
        for (n, topic) in topics.into_iter().enumerate() {
            assert_eq!(it.refusals.wants_probe(), n == 4);
            let last = n == 4;
            let expected = if last {
                Verdict::TakesNothing
            } else {
                Verdict::Convicted(0)
            };
            assert_eq!(it.ends(&[(topic, 1)], Blame::OneOfThem), expected);
        }
        assert!(!it.is_left_out("a", 1));
        assert_eq!(it.ends(&[("a", 1)], Blame::Perhaps), Verdict::TakesNothing);
        it.refusals.accepted(b"a");
        assert_eq!(it.ends(&[("b", 1)], Blame::Perhaps), Verdict::Suspected);
    }

    #[test]
    fn a_topic_is_reported_once_for_each_obstacle_and_memory_is_bounded() {
        let mut refusals = Refusals::default();
        let topic = Bytes::from("a");
        let too_large = Obstacle::MaximumPacketSize(2048);
        assert!(refusals.is_news(&topic, &too_large));
        assert!(!refusals.is_news(&topic, &too_large));
        let is_by_size = true;
        assert!(!refusals.is_news(&topic, &Obstacle::RefusedBefore { is_by_size }));
        assert!(refusals.is_news(&topic, &Obstacle::Refused(ReasonCode(0x87))));
        for n in 0..2 * REMEMBERED_TOPICS {
            let topic = Bytes::from(n.to_string());
            refusals.is_news(&topic, &too_large);
            refusals.refused(&topic, 1, ReasonCode::PACKET_TOO_LARGE);
        }
        assert!(refusals.reported.len() <= REMEMBERED_TOPICS);
        assert!(refusals.left_out.len() <= REMEMBERED_TOPICS);
    }
}
