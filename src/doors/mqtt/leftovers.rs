//! Retained topics that the broker still holds from an earlier run.
//!
//! A broker keeps retained messages while the gateway is away. This run publishes most of these
//! topics again; the others would stay for ever. A topic of a configured room is cleared once every
//! state of the room has been read and none of them was this topic. A room that is not configured
//! any more is cleared at once, if the `gateway/info` of an earlier run lists it: another gateway
//! at the same broker may have rooms of its own.
//!
//! Pure. Decides which topics are to be cleared; publishes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::catalogue::CATALOGUE;
use crate::topics::{Below, GATEWAY_INFO, RoomTopics, Topic};

/// At most this many topics are remembered: any client can publish more of them.
const LEFTOVER_LIMIT: usize = 1 << 16;

/// What a retained message from the broker is, by its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained<'a> {
    /// The `gateway/info` of an earlier run.
    GatewayInfo,
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
        if topic == GATEWAY_INFO {
            return Self::GatewayInfo;
        }
        let Some(Topic::Room { room, below }) = Topic::parse(topic) else {
            return Self::Other;
        };
        match below {
            Below::Availability | Below::Problem => Self::State {
                room,
                is_read: false,
            },
            Below::Other(state) if CATALOGUE.is_state(state) => Self::State {
                room,
                is_read: true,
            },
            Below::Other(state) if is_snapshot(state) => Self::State {
                room,
                is_read: false,
            },
            _ => Self::Other,
        }
    }
}

fn is_snapshot(state: &str) -> bool {
    state.starts_with("camera/snapshot/") && !state.ends_with("/get")
}

/// The topics of an earlier run, and the rooms it had.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Held by the broker, and not published by this run.
    topics: BTreeSet<Arc<str>>,
    /// Listed by an earlier `gateway/info` and not configured now.
    former_rooms: BTreeSet<String>,
}

impl Leftovers {
    /// The broker holds this topic.
    pub fn remember(&mut self, topic: Arc<str>) {
        if self.topics.len() < LEFTOVER_LIMIT {
            self.topics.insert(topic);
        }
    }

    /// This run publishes or clears the topic itself. True if it was remembered.
    pub fn forget(&mut self, topic: &str) -> bool {
        self.topics.remove(topic)
    }

    /// Whether an earlier run of this gateway had this room, which is not configured any more.
    pub fn is_former_room(&self, room: &str) -> bool {
        self.former_rooms.contains(room)
    }

    /// Takes the remembered topics of a room, to be cleared.
    pub fn take_room(&mut self, room: &str) -> Vec<Arc<str>> {
        if self.topics.is_empty() {
            return Vec::new();
        }
        let start = RoomTopics::new(room).start();
        let below = self.topics.range(Arc::from(start.as_str())..);
        let topics: Vec<Arc<str>> = below
            .take_while(|topic| topic.starts_with(&start))
            .cloned()
            .collect();
        for topic in &topics {
            self.topics.remove(topic);
        }
        topics
    }

    /// The `gateway/info` of an earlier run arrived: returns the topics to be cleared at once.
    pub fn earlier_info(
        &mut self,
        info: &[u8],
        is_configured: impl Fn(&str) -> bool,
    ) -> Vec<Arc<str>> {
        let info: Value = serde_json::from_slice(info).unwrap_or_default();
        let rooms = info["rooms"].as_object().into_iter().flatten();
        let mut topics = Vec::new();
        for (room, _) in rooms.filter(|(room, _)| !is_configured(room)) {
            topics.extend(self.take_room(room));
            self.former_rooms.insert(room.clone());
        }
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembering(topics: &[&str]) -> Leftovers {
        let mut leftovers = Leftovers::default();
        for topic in topics {
            leftovers.remember((*topic).into());
        }
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
            ("gateway/info", Retained::GatewayInfo),
            ("gateway/health", Retained::Other),
            ("room/1/audio/volume", read("1")),
            ("room/2/availability", unread("2")),
            ("room/2/problem", unread("2")),
            ("room/1/camera/snapshot/near", unread("1")),
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
    fn only_rooms_that_an_earlier_run_listed_are_cleared_at_once() {
        let mut leftovers = remembering(&[
            "room/1/audio/volume",
            "room/gone/audio/volume",
            "room/other/audio/volume",
        ]);
        let info = br#"{"rooms": {"1": null, "gone": "Hall"}}"#;
        let topics = leftovers.earlier_info(info, |room| room == "1");
        assert_eq!(topics, ["room/gone/audio/volume".into()]);
        assert!(leftovers.is_former_room("gone"));
        assert!(!leftovers.is_former_room("1") && !leftovers.is_former_room("other"));
        for info in [&b""[..], b"[]", b"{\"rooms\": 1}", b"\xff"] {
            assert!(leftovers.earlier_info(info, |_| false).is_empty());
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut leftovers = Leftovers::default();
        for n in 0..=LEFTOVER_LIMIT {
            leftovers.remember(format!("room/1/system/parts/{n}").into());
        }
        assert_eq!(leftovers.take_room("1").len(), LEFTOVER_LIMIT);
    }
}
