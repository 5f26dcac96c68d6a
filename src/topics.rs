//! The gateway's topics: the only place that parses and builds them.
//!
//! ```
//! use poly2mqtt::topics::{Below, Prefix, RoomTopics, Topic};
//!
//! let room = RoomTopics::new("1");
//! assert_eq!(room.below("audio/volume"), "room/1/audio/volume");
//! assert_eq!(room.result("audio/mute"), "room/1/audio/mute/result");
//!
//! let prefix = Prefix::new("av/site");
//! assert_eq!(prefix.add("gateway/info"), "av/site/gateway/info");
//! let topic = prefix.strip("av/site/room/1/audio/mute").unwrap();
//! let parsed = Topic::parse(topic).unwrap();
//! assert_eq!(parsed, Topic::Room { room: "1", below: Below::Other("audio/mute") });
//! ```
//!
//! Only at an MQTT broker do topics have the configured prefix. Pure text: the catalogue's router
//! knows what a command's topic means.

mod discovery;
mod filter;
mod level;
mod member;
mod reach;
mod response;

use std::fmt;

pub use discovery::{DiscoveryTopics, device_of_document, document_topic};
pub use filter::{Filter, FilteredRooms, Filters, SHARE, check_wildcards, split_shared};
pub use level::{decode_level, encode_level, is_harmless};
pub use member::MemberTopics;
pub use reach::{LevelRule, Region, reaches};
pub use response::check_response;

/// `online` while the gateway runs; the broker's will says `offline`.
pub const GATEWAY_AVAILABILITY: &str = "gateway/availability";
/// Version, rooms and configuration without secrets.
pub const GATEWAY_INFO: &str = "gateway/info";
/// Counters, every 60 s.
pub const GATEWAY_HEALTH: &str = "gateway/health";
/// The gateway's warnings and errors, as they happen. Not retained.
pub const GATEWAY_LOG: &str = "gateway/log";

/// The gateways that share their rooms, with how many each has. Only where there are several.
pub const GATEWAY_CLUSTER: &str = "gateway/cluster";

/// The filter for the topics about the gateway, and about others with the same prefix.
pub const ALL_GATEWAY_TOPICS: &str = "gateway/+";

/// The topics about the gateway that tell nothing of any room, nor how many there are: clients who see
/// only some rooms see these.
pub const NAMES_NO_ROOM: [&str; 1] = [GATEWAY_AVAILABILITY];

/// Whether a room's device can be used, below the room; of one of several gateways, whether it runs.
pub const AVAILABILITY: &str = "availability";
/// The value of availability, of rooms and gateways, while it can be used or runs.
pub const ONLINE: &str = "online";
/// The value of availability otherwise.
pub const OFFLINE: &str = "offline";
/// Why a room's device cannot be used, below the room.
pub const PROBLEM: &str = "problem";

/// The filter for everything below the rooms.
pub const ALL_ROOMS: &str = "room/#";

/// What all topics of rooms begin with.
pub const ROOM: &str = "room/";
/// What all topics of gateways begin with.
pub const GATEWAY: &str = "gateway/";
const EVENT: &str = "event/";
/// What the topic of a result has after that of its command.
pub const RESULT: &str = "/result";
const RESPONSE: &str = "response/";

/// MQTT gives a topic's length two bytes (MQTT 5, section 1.5.4).
pub const LONGEST_TOPIC: usize = 65_535;

/// One of the gateway's topics, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// `room/<room>/…`
    Room {
        /// The room's id; whether it is configured is not known here.
        room: &'a str,
        /// The part below the room.
        below: Below<'a>,
    },
    /// `gateway/<topic>`: of the gateway, or of several together.
    Gateway(&'a str),
    /// `gateway/<name>/…`: of one of several gateways that share their rooms.
    Member {
        /// The gateway's name.
        name: &'a str,
        /// The part below the name.
        below: &'a str,
    },
}

/// The part of a topic below `room/<room>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below<'a> {
    /// `availability`
    Availability,
    /// `problem`
    Problem,
    /// `event/<name>`
    Event(&'a str),
    /// `<command>/result`
    Result(&'a str),
    /// A state, a command or a query; the catalogue knows which.
    Other(&'a str),
}

impl<'a> Topic<'a> {
    /// Parses a topic without prefix; `None` if it is not one of the gateway's.
    pub fn parse(topic: &'a str) -> Option<Self> {
        if let Some(rest) = topic.strip_prefix(GATEWAY) {
            return Some(match rest.split_once('/') {
                Some((name, below)) => Self::Member { name, below },
                None => Self::Gateway(rest),
            });
        }
        let (room, below) = topic.strip_prefix(ROOM)?.split_once('/')?;
        let below = match below {
            AVAILABILITY => Below::Availability,
            PROBLEM => Below::Problem,
            _ => match (below.strip_prefix(EVENT), below.strip_suffix(RESULT)) {
                (Some(event), _) => Below::Event(event),
                (None, Some(command)) => Below::Result(command),
                (None, None) => Below::Other(below),
            },
        };
        Some(Self::Room { room, below })
    }

    /// The same topic of another room.
    #[must_use]
    pub fn of_room(self, room: &'a str) -> Self {
        match self {
            Self::Room { below, .. } => Self::Room { room, below },
            Self::Gateway(_) | Self::Member { .. } => self,
        }
    }

    /// The room a topic is about.
    pub fn room(&self) -> Option<&'a str> {
        match self {
            Self::Room { room, .. } => Some(room),
            Self::Gateway(_) | Self::Member { .. } => None,
        }
    }

    /// The room's id and the command or query, if the topic can be one.
    pub fn command(topic: &'a str) -> Option<(&'a str, &'a str)> {
        match Self::parse(topic)? {
            Self::Room {
                room,
                below: Below::Other(command),
            } if !command.is_empty() => Some((room, command)),
            _ => None,
        }
    }
}

/// Whether a topic is the availability or the problem of a room.
pub fn is_about_availability(topic: &str) -> bool {
    let below = match Topic::parse(topic) {
        Some(Topic::Room { below, .. }) => below,
        _ => return false,
    };
    matches!(below, Below::Availability | Below::Problem)
}

/// The inverse of [`Topic::parse`].
impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { room, below } => write!(f, "{ROOM}{room}/{below}"),
            Self::Gateway(topic) => write!(f, "{GATEWAY}{topic}"),
            Self::Member { name, below } => write!(f, "{GATEWAY}{name}/{below}"),
        }
    }
}

impl fmt::Display for Below<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Availability => f.write_str(AVAILABILITY),
            Self::Problem => f.write_str(PROBLEM),
            Self::Event(name) => write!(f, "{EVENT}{name}"),
            Self::Result(command) => write!(f, "{command}{RESULT}"),
            Self::Other(topic) => f.write_str(topic),
        }
    }
}

/// Whether a topic without prefix lies where only the gateway publishes: below `room/` or
/// `gateway/`. Wider than [`Topic::parse`]: `room/1` is in it too.
pub fn is_gateway_topic(topic: &str) -> bool {
    topic.starts_with(ROOM) || topic.starts_with(GATEWAY)
}

/// Whether a topic without prefix can be one of a gateway with a longer prefix, such as `room/hall`:
/// below its first level it has another level `room` or `gateway`, with more below.
pub fn is_below_longer_prefix(topic: &str) -> bool {
    let mut ends = topic
        .match_indices('/')
        .map(|(slash, _)| &topic[slash + 1..]);
    ends.any(is_gateway_topic)
}

/// Splits a topic without prefix into the room and everything that follows it.
pub fn split_room(topic: &str) -> Option<(&str, &str)> {
    topic.strip_prefix(ROOM)?.split_once('/')
}

/// The topics of one room.
#[derive(Debug, Clone, Copy)]
pub struct RoomTopics<'a>(&'a str);

impl RoomTopics<'static> {
    /// Of any room, as an MQTT filter: `room/+/…`.
    pub const ANY: Self = Self("+");
    /// Of any room, as a pattern for people and tools: `room/{room}/…`.
    pub const PATTERN: Self = Self("{room}");
}

impl<'a> RoomTopics<'a> {
    /// Of the room with this id.
    pub fn new(room: &'a str) -> Self {
        Self(room)
    }

    /// The common beginning of its topics: `room/1/`.
    pub fn start(self) -> String {
        [ROOM, self.0, "/"].concat()
    }

    /// Everything of the room, as an MQTT filter: `room/1/#`.
    pub fn all(self) -> String {
        [ROOM, self.0, "/#"].concat()
    }

    /// A state, command or query of the room.
    pub fn below(self, topic: &str) -> String {
        [ROOM, self.0, "/", topic].concat()
    }

    /// Whether the device can be used.
    pub fn availability(self) -> String {
        self.below(AVAILABILITY)
    }

    /// The topic that says why the device cannot be used.
    pub fn problem(self) -> String {
        self.below(PROBLEM)
    }

    /// An event: `incoming_call`, `command_failed` …
    pub fn event(self, name: &str) -> String {
        [ROOM, self.0, "/", EVENT, name].concat()
    }

    /// Where a command's result goes.
    pub fn result(self, command: &str) -> String {
        [ROOM, self.0, "/", command, RESULT].concat()
    }
}

/// The configured prefix: levels before every topic at the broker, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Levels without a slash at either end; empty for none.
    pub fn new(levels: impl Into<String>) -> Self {
        Self(levels.into())
    }

    /// The prefix as it is configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic or filter as the broker knows it.
    pub fn add(&self, topic: &str) -> String {
        if self.0.is_empty() {
            topic.to_owned()
        } else {
            [&self.0, "/", topic].concat()
        }
    }

    /// The topic without the prefix; `None` if it does not begin with it.
    pub fn strip<'a>(&self, topic: &'a str) -> Option<&'a str> {
        if self.0.is_empty() {
            Some(topic)
        } else {
            topic.strip_prefix(self.0.as_str())?.strip_prefix('/')
        }
    }

    /// The user whose response topics a topic at the broker is among, encoded as a level:
    /// `response/<user>/…`.
    pub fn response_user<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let below = self.strip(topic)?.strip_prefix(RESPONSE)?;
        below.split('/').next()
    }

    /// Where the response topics of a user begin.
    pub fn responses_of(&self, user: &str) -> String {
        self.add(&format!("{RESPONSE}{}/", encode_level(user)))
    }

    /// The room and the command of a topic at the broker; `None` if it is no command, or if the
    /// topic of its result would be longer than a topic can be.
    pub fn command<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let command = Topic::command(self.strip(topic)?)?;
        (topic.len() + RESULT.len() <= LONGEST_TOPIC).then_some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics_are_taken_apart() {
        let room = |below| Some(Topic::Room { room: "1", below });
        let member = |name, below| Some(Topic::Member { name, below });
        for (topic, wanted) in [
            ("room/1/availability", room(Below::Availability)),
            ("room/1/problem", room(Below::Problem)),
            ("room/1/event/call_ended", room(Below::Event("call_ended"))),
            (
                "room/1/audio/mute/result",
                room(Below::Result("audio/mute")),
            ),
            ("room/1/audio/volume", room(Below::Other("audio/volume"))),
            ("room/1/", room(Below::Other(""))),
            (
                "room//x",
                Some(Topic::Room {
                    room: "",
                    below: Below::Other("x"),
                }),
            ),
            ("room/1/result", room(Below::Other("result"))),
            ("gateway/info", Some(Topic::Gateway("info"))),
            ("gateway/", Some(Topic::Gateway(""))),
            ("gateway/gw-1/log/x", member("gw-1", "log/x")),
            ("gateway/gw-1/", member("gw-1", "")),
            ("gateway//info", member("", "info")),
            ("gateway", None),
            ("/gateway/info", None),
            ("room/1", None),
            ("rooms/1/x", None),
            ("", None),
        ] {
            assert_eq!(Topic::parse(topic), wanted, "{topic}");
            let again = wanted.map(|it| it.to_string());
            assert!(again.is_none_or(|again| again == topic), "{topic}");
        }
        assert_eq!(
            Topic::command("room/1/audio/mute"),
            Some(("1", "audio/mute"))
        );
        assert_eq!(Topic::command("room/1/"), None);
        assert_eq!(Topic::command("room/1/problem"), None);
    }

    #[test]
    fn a_command_at_the_broker_has_the_prefix_and_room_for_its_result() {
        let none = Prefix::default();
        let command = Some(("1", "audio/mute"));
        assert_eq!(none.command("room/1/audio/mute"), command);
        let prefix = Prefix::new("av");
        assert_eq!(prefix.command("av/room/1/audio/mute"), command);
        assert_eq!(prefix.command("room/1/audio/mute"), None);
        for other in [
            "room/1/audio/mute/result",
            "room/1/availability",
            "room/1/event/call_ended",
            "gateway/info",
            "room/1",
        ] {
            assert_eq!(none.command(other), None, "{other}");
        }
        let longest = format!("room/1/{}", "x".repeat(LONGEST_TOPIC - 14));
        assert!(none.command(&longest).is_some());
        assert_eq!(none.command(&format!("{longest}x")), None);
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_taken_apart(room in "[A-Za-z0-9_-]{1,8}", word in "[a-z]{1,8}", prefix in "([a-z]{1,4}(/[a-z]{1,4})?)?") {
            let topics = RoomTopics::new(&room);
            let state = format!("{word}/{word}");
            let cases = [
                (topics.below(&state), Below::Other(&state)),
                (topics.event(&word), Below::Event(&word)),
                (topics.result(&state), Below::Result(&state)),
                (topics.availability(), Below::Availability),
                (topics.problem(), Below::Problem),
            ];
            let prefix = Prefix::new(prefix);
            for (topic, below) in cases {
                let full = prefix.add(&topic);
                let stripped = prefix.strip(&full).unwrap();
                prop_assert_eq!(stripped, &*topic);
                let parsed = Topic::Room { room: &room, below };
                prop_assert_eq!(Topic::parse(stripped), Some(parsed));
                prop_assert_eq!(parsed.to_string(), stripped);
            }
        }
    }
}
