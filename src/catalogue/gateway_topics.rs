//! The topics whose values come from the gateway itself, not from a device operation.
//!
//! Owns their names and descriptions for the generated documents. The rooms and the gateway publish
//! them.

use super::room_event::RoomEvent;
use crate::topics::{Below, Topic};

/// A topic whose value comes from the gateway itself.
#[derive(Debug, Clone, Copy)]
pub struct GatewayTopic {
    /// The topic; a room's has the room `{room}`.
    pub topic: Topic<'static>,
    /// It is a state: doors keep its newest value. An event is not kept.
    pub is_state: bool,
    /// What it says, in a sentence.
    pub about: &'static str,
}

/// Every such topic.
pub const GATEWAY_TOPICS: &[GatewayTopic] = &[
    GatewayTopic {
        topic: of_room(Below::Availability),
        is_state: true,
        about: "Whether the device can be reached and understood: `online` or `offline`. While it \
                is offline, its states are old.",
    },
    GatewayTopic {
        topic: of_room(Below::Problem),
        is_state: true,
        about: "Why the device cannot be used: `code`, `message` in words, and `since` when; the \
                code is `none` while there is no problem.",
    },
    event(RoomEvent::IncomingCall),
    event(RoomEvent::CallConnected),
    event(RoomEvent::CallEnded),
    event(RoomEvent::DeviceLost),
    event(RoomEvent::DeviceBack),
    event(RoomEvent::ReadinessFailed),
    event(RoomEvent::CommandFailed),
    GatewayTopic {
        topic: Topic::Gateway("availability"),
        is_state: true,
        about: "Whether the gateway runs: `online` or `offline`. When the gateway is lost, the \
                broker publishes `offline`.",
    },
    GatewayTopic {
        topic: Topic::Gateway("info"),
        is_state: true,
        about: "The gateway's version and start time, its rooms, and the configuration without secrets.",
    },
    GatewayTopic {
        topic: Topic::Gateway("health"),
        is_state: true,
        about: "How the gateway is doing, in counters, every 60 seconds.",
    },
    GatewayTopic {
        topic: Topic::Gateway("log"),
        is_state: false,
        about: "A warning or an error of the gateway's log: `level`, `text`, `at`, and the `room` that it \
                is about, or null.",
    },
    GatewayTopic {
        topic: Topic::Gateway("cluster"),
        is_state: true,
        about: "Only where several gateways share their rooms: the gateways with what each has, how much \
                nobody has, and what is wrong, or null.",
    },
    of_member(
        "availability",
        "Of one of several gateways, whether it runs: `online` or `offline`. That of all together is `online` while \
         any of them runs.",
    ),
    of_member(
        "info",
        "At the broker, what one of several gateways is: its version, its rooms and its configuration.",
    ),
    of_member(
        "health",
        "At the broker, how one of several gateways is doing, with `cluster` about its part.",
    ),
    GatewayTopic {
        is_state: false,
        ..of_member(
            "log",
            "At the broker, a warning or an error of one of several gateways.",
        )
    },
];

/// Of one of several gateways.
const fn of_member(topic: &'static str, about: &'static str) -> GatewayTopic {
    GatewayTopic {
        topic: Topic::Member {
            name: "{gateway}",
            below: topic,
        },
        is_state: true,
        about,
    }
}

const fn of_room(below: Below<'static>) -> Topic<'static> {
    Topic::Room {
        room: "{room}",
        below,
    }
}

/// An event, which is not kept.
const fn event(event: RoomEvent) -> GatewayTopic {
    GatewayTopic {
        topic: of_room(Below::Event(event.as_str())),
        is_state: false,
        about: event.about(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::{
        GATEWAY_AVAILABILITY, GATEWAY_CLUSTER, GATEWAY_HEALTH, GATEWAY_INFO, GATEWAY_LOG,
        MemberTopics,
    };

    #[test]
    fn every_event_of_a_room_is_documented() {
        for event in RoomEvent::ALL {
            let topic = of_room(Below::Event(event.as_str()));
            let known = GATEWAY_TOPICS.iter().any(|it| it.topic == topic);
            assert!(known, "{event:?}");
        }
    }

    #[test]
    fn the_gateways_topics_are_those_that_are_published() {
        for topic in [
            GATEWAY_AVAILABILITY,
            GATEWAY_CLUSTER,
            GATEWAY_HEALTH,
            GATEWAY_INFO,
            GATEWAY_LOG,
        ] {
            let parsed = Topic::parse(topic);
            let known = GATEWAY_TOPICS.iter().any(|it| Some(it.topic) == parsed);
            assert!(known, "{topic}");
        }
        for topic in [
            GATEWAY_AVAILABILITY,
            GATEWAY_HEALTH,
            GATEWAY_INFO,
            GATEWAY_LOG,
        ] {
            let of_member = MemberTopics::new("{gateway}").of(topic).unwrap();
            let parsed = Topic::parse(&of_member);
            let known = GATEWAY_TOPICS.iter().any(|it| Some(it.topic) == parsed);
            assert!(known, "{of_member}");
        }
    }
}
