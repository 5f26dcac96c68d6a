//! Retained topics that the broker still holds from an earlier run.
//!
//! A broker keeps retained messages while the gateway is away. This run publishes most of these
//! topics again; the others would stay for ever. Only what has this gateway's mark is cleared: a
//! topic of a configured room once every state of the room has been read and none of them was this
//! topic, a topic of another room at once. What this run does not read from a device, a picture for example, stays as
//! long as its room is configured. Nothing is cleared before [`Leftovers::settle`].
//!
//! What has another mark or none stays: there may be other gateways at the broker. It is counted, so
//! that the log can tell of it.
//!
//! Pure. Decides which topics are to be cleared; publishes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::catalogue::CATALOGUE;
use crate::catalogue::checked::READINESS;
use crate::topics::{Below, RoomTopics, Topic};

/// At most this many topics are remembered: any client can publish more of them.
const LEFTOVER_LIMIT: usize = 1 << 16;
/// A longer topic is none that a gateway publishes for a room. It is not remembered.
const LONGEST_TOPIC: usize = 1024;
/// Of at most this many rooms the topics of others are counted.
const COUNTED_ROOMS: usize = 1 << 12;
/// The id of a gateway is shorter.
const LONGEST_ID: usize = 64;

/// What a retained message from the broker is, by its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained<'a> {
    /// A state of a room.
    State {
        /// The room's id.
        room: &'a str,
        /// The gateway reads this state from the device, so that after a complete reading it knows
        /// whether the state exists. Others (availability, snapshots) can stay as they are.
        is_read: bool,
    },
    /// Not a state: a command, perhaps.
    Other,
}

impl<'a> Retained<'a> {
    /// By the topic without prefix.
    pub fn of(topic: &'a str) -> Self {
        let Some(Topic::Room { room, below }) = Topic::parse(topic) else {
            return Self::Other;
        };
        match below {
            Below::Availability | Below::Problem => Self::State {
                room,
                is_read: false,
            },
            Below::Other(state) if CATALOGUE.is_kept_file(state) || state == READINESS.as_str() => {
                Self::State {
                    room,
                    is_read: false,
                }
            }
            Below::Other(state) if CATALOGUE.is_state(state) => Self::State {
                room,
                is_read: true,
            },
            _ => Self::Other,
        }
    }
}

/// The topics of an earlier run, and those of others.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Held by the broker with this gateway's mark, and not published by this run.
    topics: BTreeSet<Arc<str>>,
    /// The same of configured rooms, where it is not read from the device.
    kept: BTreeSet<Arc<str>>,
    /// Topics of this run whose newest message at the broker is another gateway's.
    taken: BTreeMap<Arc<str>, Taken>,
    /// There are more of them than are remembered.
    too_many_taken: bool,
    /// How many topics without this gateway's mark the broker held at the start, by the rooms that
    /// are not configured and the gateway that has left them: its id, or nothing.
    unclaimed: BTreeMap<(String, String), usize>,
    is_settled: bool,
}

/// Who has published one of this run's topics last.
#[derive(Debug)]
struct Taken {
    /// The other gateway's id.
    by: String,
    at: Instant,
}

/// What gateways that have gone had published at topics of this run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// The topics.
    pub topics: Vec<Arc<str>>,
    /// There were more than can be remembered.
    pub are_more: bool,
}

/// What [`Leftovers`] knows of the topics that it does not clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// The room.
    pub room: String,
    /// The id of the gateway that has left them; empty for none.
    pub id: String,
    /// How many there are.
    pub topics: usize,
}

impl Leftovers {
    /// The broker holds this topic with this gateway's mark.
    pub fn remember(&mut self, topic: Arc<str>) {
        if self.topics.len() < LEFTOVER_LIMIT && topic.len() <= LONGEST_TOPIC {
            self.topics.insert(topic);
        }
    }

    /// The broker holds this topic with this gateway's mark, which stays as long as its room.
    pub fn keep(&mut self, topic: Arc<str>) {
        if self.kept.len() < LEFTOVER_LIMIT && topic.len() <= LONGEST_TOPIC {
            self.kept.insert(topic);
        }
    }

    /// A room is not configured any more: nothing of it stays.
    pub fn room_gone(&mut self, room: &str) {
        for topic in below(&self.kept, room) {
            self.kept.remove(&topic);
            self.remember(topic);
        }
    }

    /// The broker holds a topic of a room that is not configured, without this gateway's mark.
    pub fn count(&mut self, room: &str, id: Option<&str>) {
        let id = id.filter(|id| id.len() <= LONGEST_ID).unwrap_or_default();
        let key = (room.to_owned(), id.to_owned());
        if self.is_settled
            || room.len() > LONGEST_TOPIC
            || self.unclaimed.len() >= COUNTED_ROOMS && !self.unclaimed.contains_key(&key)
        {
            return;
        }
        *self.unclaimed.entry(key).or_default() += 1;
    }

    /// The topics of others are counted anew. Returns the rooms of which some were counted.
    pub fn count_anew(&mut self) -> BTreeSet<String> {
        let counted = std::mem::take(&mut self.unclaimed);
        counted.into_keys().map(|(room, _)| room).collect()
    }

    /// The gateway with the id `by` has published this topic, which is this run's too.
    pub fn take_over(&mut self, topic: Arc<str>, by: &str, now: Instant) {
        if topic.len() > LONGEST_TOPIC || by.len() > LONGEST_ID {
            return;
        }
        if self.taken.len() >= LEFTOVER_LIMIT && !self.taken.contains_key(&topic) {
            self.too_many_taken = true;
            return;
        }
        let taken = Taken {
            by: by.to_owned(),
            at: now,
        };
        self.taken.insert(topic, taken);
    }

    /// Takes the topics whose newest message is one of a gateway that is not there any more. `is_there` gets the
    /// gateway's id and when it has published the topic.
    pub fn take_returned(&mut self, is_there: impl Fn(&str, Instant) -> bool) -> Returned {
        let mut topics = Vec::new();
        self.taken.retain(|topic, taken| {
            let stays = is_there(&taken.by, taken.at);
            if !stays {
                topics.push(topic.clone());
            }
            stays
        });
        Returned {
            are_more: !topics.is_empty() && std::mem::take(&mut self.too_many_taken),
            topics,
        }
    }

    /// This run publishes the topic now.
    pub fn published(&mut self, topic: &str) {
        if !self.taken.is_empty() {
            self.taken.remove(topic);
        }
    }

    /// Whether this run may clear the topic: no other gateway has published it since.
    pub fn may_clear(&self, topic: &str) -> bool {
        !self.taken.contains_key(topic)
    }

    /// This run publishes or clears the topic itself. True if it was remembered.
    pub fn forget(&mut self, topic: &str) -> bool {
        self.topics.remove(topic) || self.kept.remove(topic)
    }

    /// From now on leftovers may be cleared: nobody else claims this gateway's id. Returns the rooms
    /// of the topics that are remembered, and what was counted.
    pub fn settle(&mut self) -> (BTreeSet<String>, Vec<Unclaimed>) {
        self.is_settled = true;
        let rooms = self.topics.iter().filter_map(|topic| {
            let room = Topic::parse(topic)?.room()?;
            Some(room.to_owned())
        });
        let unclaimed = std::mem::take(&mut self.unclaimed).into_iter();
        let unclaimed = unclaimed.map(|((room, id), topics)| Unclaimed { room, id, topics });
        (rooms.collect(), unclaimed.collect())
    }

    /// Another process uses this gateway's id: its mark proves nothing.
    pub fn unsettle(&mut self) {
        self.is_settled = false;
    }

    /// Takes the remembered topics of a room, to be cleared.
    pub fn take_room(&mut self, room: &str) -> Vec<Arc<str>> {
        if self.topics.is_empty() || !self.is_settled {
            return Vec::new();
        }
        let topics = below(&self.topics, room);
        for topic in &topics {
            self.topics.remove(topic);
        }
        topics
    }
}

/// The topics of a room.
fn below(topics: &BTreeSet<Arc<str>>, room: &str) -> Vec<Arc<str>> {
    let start = RoomTopics::new(room).start();
    let from = topics.range(Arc::from(start.as_str())..);
    let below = from.take_while(|topic| topic.starts_with(&start));
    below.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembering(topics: &[&str]) -> Leftovers {
        let mut leftovers = Leftovers::default();
        for topic in topics {
            leftovers.remember((*topic).into());
        }
        leftovers.settle();
        leftovers
    }

    #[test]
    fn retained_messages_are_told_apart_by_their_topic() {
        let read = |room| Retained::State {
            room,
            is_read: true,
        };
        let unread = |room| Retained::State {
            room,
            is_read: false,
        };
        for (topic, expected) in [
            ("gateway/info", Retained::Other),
            ("gateway/health", Retained::Other),
            ("room/1/audio/volume", read("1")),
            ("room/2/availability", unread("2")),
            ("room/2/problem", unread("2")),
            ("room/1/camera/snapshot/near", unread("1")),
            ("room/1/readiness", unread("1")),
            ("room/1/readiness/run", Retained::Other),
            ("room/1/camera/snapshot/near/get", Retained::Other),
            ("room/1/audio/volume/set", Retained::Other),
            ("room/1/audio/volume/set/result", Retained::Other),
            ("room/1/event/call_ended", Retained::Other),
            ("elsewhere", Retained::Other),
        ] {
            assert_eq!(Retained::of(topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_room_that_was_read_gives_up_what_this_run_did_not_set() {
        let mut leftovers = remembering(&[
            "room/1/call/media_stats",
            "room/1/audio/volume",
            "room/10/audio/volume",
            "room/2/audio/volume",
        ]);
        assert!(leftovers.forget("room/1/audio/volume"));
        assert!(!leftovers.forget("room/1/audio/volume"));
        let topics = leftovers.take_room("1");
        assert_eq!(topics, ["room/1/call/media_stats".into()]);
        assert!(leftovers.take_room("1").is_empty());
        assert_eq!(leftovers.take_room("10").len(), 1);
        assert_eq!(leftovers.take_room("2").len(), 1);
    }

    #[test]
    fn nothing_is_given_up_before_the_broker_has_told_what_it_holds() {
        let mut leftovers = Leftovers::default();
        leftovers.remember("room/1/audio/volume".into());
        leftovers.remember("room/2/audio/volume".into());
        assert!(leftovers.take_room("1").is_empty());
        let (rooms, _) = leftovers.settle();
        assert_eq!(rooms, ["1".to_owned(), "2".to_owned()].into());
        assert_eq!(leftovers.take_room("1").len(), 1);
        leftovers.unsettle();
        assert!(leftovers.take_room("2").is_empty());
    }

    #[test]
    fn a_topic_that_another_gateway_has_published_is_not_cleared() {
        let mut leftovers = Leftovers::default();
        leftovers.take_over("room/1/audio/volume".into(), "a", Instant::now());
        assert!(!leftovers.may_clear("room/1/audio/volume"));
        assert!(leftovers.may_clear("room/1/audio/muted"));
        leftovers.published("room/1/audio/volume");
        assert!(leftovers.may_clear("room/1/audio/volume"));
    }

    #[test]
    fn a_topic_returns_when_the_gateway_that_has_published_it_is_gone() {
        let (mut leftovers, now) = (Leftovers::default(), Instant::now());
        for (topic, by) in [("a", "goes"), ("b", "stays"), ("c", "goes")] {
            leftovers.take_over(topic.into(), by, now);
        }
        // Its newest message counts.
        leftovers.take_over("c".into(), "stays", now);
        let is_there = |by: &str, _| by == "stays";
        assert_eq!(leftovers.take_returned(is_there).topics, ["a".into()]);
        assert!(leftovers.may_clear("a") && !leftovers.may_clear("b"));
        assert_eq!(leftovers.take_returned(is_there), Returned::default());
        for n in 0..LEFTOVER_LIMIT {
            leftovers.take_over(n.to_string().into(), "goes", now);
        }
        let returned = leftovers.take_returned(is_there);
        assert_eq!(returned.topics.len(), LEFTOVER_LIMIT - 2);
        assert!(returned.are_more);
    }

    #[test]
    fn topics_of_others_are_counted_by_room_and_gateway_until_it_is_settled() {
        let mut leftovers = Leftovers::default();
        for id in [None, Some("a"), Some("a")] {
            leftovers.count("7", id);
        }
        let unclaimed = |id: &str, topics| Unclaimed {
            room: "7".into(),
            id: id.into(),
            topics,
        };
        let (_, counted) = leftovers.settle();
        assert_eq!(counted, [unclaimed("", 1), unclaimed("a", 2)]);
        leftovers.count("7", None);
        assert!(leftovers.settle().1.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut leftovers = Leftovers::default();
        for n in 0..=LEFTOVER_LIMIT {
            leftovers.remember(format!("room/1/system/parts/{n}").into());
        }
        leftovers.settle();
        assert_eq!(leftovers.take_room("1").len(), LEFTOVER_LIMIT);
    }

    #[test]
    fn what_is_remembered_is_short() {
        let mut leftovers = Leftovers::default();
        let long = "x".repeat(LONGEST_TOPIC);
        leftovers.remember(format!("room/1/system/parts/{long}").into());
        leftovers.take_over(format!("room/2/{long}").into(), "a", Instant::now());
        leftovers.take_over("room/2/audio/volume".into(), &long, Instant::now());
        assert!(leftovers.topics.is_empty() && leftovers.taken.is_empty());
        leftovers.count(&format!("{long}x"), None);
        leftovers.count("7", Some(&long));
        let (_, counted) = leftovers.settle();
        let expected = Unclaimed {
            room: "7".into(),
            id: String::new(),
            topics: 1,
        };
        assert_eq!(counted, [expected]);
    }
}
