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

use super::error::{Blame, SizeCause};
use super::reason::{BrokerWords, ReasonCode};
use super::session::LARGEST_MQTT_PACKET;

/// A message is blamed after this many ends of the connection in a row, each without a reason and with this message in
/// flight. A single end may have another cause.
const ENDS_UNTIL_CULPRIT: u32 = 3;
/// The broker may only have been unsteady while this message was in flight. So after an end without a
/// reason it is left out for this long at first.
const LEFT_OUT_AT_FIRST: Duration = Duration::from_secs(60);
/// After this long a message that ends the connection is tried again: the broker's rules may have
/// changed. It costs one connection.
const LEFT_OUT_FOR: Duration = Duration::from_secs(60 * 60);
/// The broker is taken to accept no message at all after this many ends in a row at `gateway/availability`, with which
/// each connection begins. How many others end the connection says nothing of that: a kind of topic, such as
/// `room/<room>/system/status/…`, has many in a row.
const ENDS_AT_NEVER_LEFT_OUT: u32 = 5;
/// A message below this size is not too large: if it ends the connection, its topic is blamed.
const SMALLEST_TOO_LARGE: usize = 4096;
/// Topics that are remembered. Clients choose the topics of their results, so there can be any
/// number of them.
const REMEMBERED_TOPICS: usize = 4096;

/// Why a message is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The configuration's limit of payloads, in bytes.
    MaxPayload(usize),
    /// The broker's announced limit of packets, in bytes; without one that of MQTT itself.
    MaximumPacketSize(usize),
    /// The broker's PUBACK says so.
    Refused(ReasonCode, BrokerWords),
    /// The connection ends with these words whenever the broker gets the message.
    EndsConnection {
        words: String,
        /// Whether its size can be why.
        size: SizeCause,
    },
    /// The broker leaves it without an answer, several times, and answers others.
    NotAcknowledged,
    /// It was refused before, and its line was written then.
    RefusedBefore {
        /// Payloads from this size on, in bytes.
        from: usize,
        /// The broker said that it is too large.
        is_by_size: bool,
    },
}

impl Obstacle {
    /// The size is the reason.
    pub fn is_size(&self) -> bool {
        match self {
            Self::MaxPayload(_) | Self::MaximumPacketSize(_) => true,
            Self::Refused(reason, _) => *reason == ReasonCode::PACKET_TOO_LARGE,
            Self::EndsConnection { .. } | Self::NotAcknowledged => false,
            Self::RefusedBefore { is_by_size, .. } => *is_by_size,
        }
    }

    /// Whether a message of this size was left out because of its size, and the smallest size that is
    /// known to be left out, in bytes.
    pub fn size_cause(&self, size: usize) -> (usize, SizeCause) {
        match self {
            Self::EndsConnection { size: cause, .. } => (size, *cause),
            Self::NotAcknowledged => (size, SizeCause::Possible),
            Self::RefusedBefore { from: 0, .. } => (0, SizeCause::No),
            Self::RefusedBefore { from, is_by_size } => {
                let cause = if *is_by_size {
                    SizeCause::Certain
                } else {
                    SizeCause::Possible
                };
                (size.min(*from), cause)
            }
            _ if self.is_size() => (size, SizeCause::Certain),
            _ => (size, SizeCause::No),
        }
    }

    /// A smaller message may be taken.
    pub fn can_mean_size(&self) -> bool {
        match self {
            Self::Refused(reason, _) => reason.can_mean_size(),
            _ => true,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxPayload(limit) => write!(f, "mqtt.max_payload allows {limit} bytes"),
            Self::MaximumPacketSize(limit @ LARGEST_MQTT_PACKET) => write!(
                f,
                "a packet of MQTT has at most {limit} bytes, with topic and properties"
            ),
            Self::MaximumPacketSize(limit) => {
                write!(
                    f,
                    "the broker takes packets of {limit} bytes (its Maximum Packet Size)"
                )
            }
            Self::Refused(reason @ ReasonCode::PACKET_TOO_LARGE, words) => write!(
                f,
                "the broker refuses it ({reason}{words}): its limit is smaller and not announced"
            ),
            Self::Refused(reason @ ReasonCode::NOT_AUTHORIZED, words) => write!(
                f,
                "the broker refuses it ({reason}{words}): check its access rules for this user"
            ),
            Self::Refused(reason, words) => write!(f, "the broker refuses it ({reason}{words})"),
            Self::EndsConnection { words, .. } => {
                write!(
                    f,
                    "it ends the connection ({words}): check the broker's limits and access rules"
                )
            }
            Self::NotAcknowledged => f.write_str(
                "the broker does not acknowledge it (PUBACK), however often it gets it, and does others: \
                 check its limits and access rules",
            ),
            Self::RefusedBefore { .. } => f.write_str("the broker refused it before"),
        }
    }
}

/// What the end of a connection says about the messages in flight.
#[derive(Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// Nothing.
    Unrelated,
    /// One of them may be the cause. They are tried one by one.
    Suspected,
    /// The one with this index is the cause, and is left out from now on.
    Culprit(usize),
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
    /// This one is never left out: without it everything seems to be away.
    never_left_out: Bytes,
    /// In flight when a connection ended and not acknowledged since: how many connections ended so.
    suspects: HashMap<Bytes, u32>,
    left_out: HashMap<Bytes, LeftOut>,
    /// What the log was told of a topic last.
    reported: HashMap<Bytes, Obstacle>,
    takes_nothing: bool,
}

impl Refusals {
    /// Messages of this topic are never left out.
    pub fn new(never_left_out: Bytes) -> Self {
        Self {
            never_left_out,
            ..Self::default()
        }
    }

    /// A connection came up. What a PUBACK refused is tried again; its refusal costs one message.
    pub fn connected(&mut self) {
        self.left_out.retain(|_, left_out| left_out.until.is_some());
    }

    /// Messages have to go one by one.
    pub fn is_careful(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Nothing waits to be sent: no suspect is left.
    pub fn all_sent(&mut self) {
        self.suspects.clear();
    }

    /// Whether a message with a payload of this size is left out.
    pub fn left_out(&self, topic: &[u8], size: usize, now: Instant) -> Option<Obstacle> {
        let left_out = self.left_out.get(topic)?;
        let applies = size >= left_out.size && left_out.until.is_none_or(|until| now < until);
        let (from, is_by_size) = (left_out.size, left_out.is_by_size);
        applies.then_some(Obstacle::RefusedBefore { from, is_by_size })
    }

    /// When a message that was left out for the first time is to be tried again, if it is not certain
    /// that it is the cause.
    pub fn try_again_at(&self, topic: &[u8], now: Instant) -> Option<Instant> {
        let until = self.left_out.get(topic)?.until?;
        (until <= now + LEFT_OUT_AT_FIRST).then_some(until)
    }

    /// A message of this topic is not sent after all.
    pub fn not_sent(&mut self, topic: &[u8]) {
        self.suspects.remove(topic);
    }

    /// The broker took a message.
    pub fn accepted(&mut self, topic: &[u8]) {
        self.suspects.remove(topic);
        self.takes_nothing = false;
    }

    /// The broker refused a message in its PUBACK, and the connection goes on.
    pub fn refused(&mut self, topic: &Bytes, size: usize, reason: ReasonCode) {
        self.suspects.remove(topic);
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
    ) -> Diagnosis {
        if blame == Blame::NoMessage || in_flight.is_empty() {
            return Diagnosis::Unrelated;
        }
        if self.takes_nothing {
            return Diagnosis::TakesNothing;
        }
        let topics: HashSet<&Bytes> = in_flight.iter().map(|(topic, _)| topic).collect();
        for topic in topics {
            *self.suspects.entry(topic.clone()).or_default() += 1;
        }
        let Some(culprit) = self.culprit(in_flight, blame) else {
            return Diagnosis::Suspected;
        };
        let (topic, size) = &in_flight[culprit];
        if *topic == self.never_left_out {
            let ends = self.suspects.get(topic).copied().unwrap_or_default();
            if ends < ENDS_AT_NEVER_LEFT_OUT {
                return Diagnosis::Suspected;
            }
            self.suspects.clear();
            self.takes_nothing = true;
            return Diagnosis::TakesNothing;
        }
        let left_out_for = match blame {
            Blame::Perhaps if !self.left_out.contains_key(topic) => LEFT_OUT_AT_FIRST,
            _ => LEFT_OUT_FOR,
        };
        self.leave_out(topic, *size, is_by_size, now + left_out_for);
        Diagnosis::Culprit(culprit)
    }

    /// The broker does not answer messages of this topic, and answers others. False if it is one
    /// that is never left out.
    pub fn unanswered(&mut self, topic: &Bytes, size: usize, now: Instant) -> bool {
        let is_left_out = *topic != self.never_left_out;
        if is_left_out {
            self.leave_out(topic, size, false, now + LEFT_OUT_FOR);
        }
        is_left_out
    }

    fn leave_out(&mut self, topic: &Bytes, size: usize, is_by_size: bool, until: Instant) {
        self.suspects.remove(topic);
        let size = match self.left_out.get(topic) {
            // Not by its size, and the second time: no message of this topic is taken.
            Some(_) if !is_by_size && size <= SMALLEST_TOO_LARGE => 0,
            Some(known) if !is_by_size => known.size.min(size),
            _ => size,
        };
        let left_out = LeftOut {
            size,
            is_by_size,
            until: Some(until),
        };
        remember(&mut self.left_out, topic, left_out);
    }

    fn culprit(&self, in_flight: &[(Bytes, usize)], blame: Blame) -> Option<usize> {
        if let [(topic, _)] = in_flight {
            let ends = self.suspects.get(topic).copied().unwrap_or_default();
            if blame == Blame::OneOfThem || ends >= ENDS_UNTIL_CULPRIT {
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
pub fn remember<T>(topics: &mut HashMap<Bytes, T>, topic: &Bytes, value: T) {
    if topics.len() >= REMEMBERED_TOPICS && !topics.contains_key(topic) {
        topics.clear();
    }
    topics.insert(topic.clone(), value);
}

#[cfg(test)]
mod tests;
