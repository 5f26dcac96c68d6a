//! The topics whose values come from the gateway itself, not from a device operation.
//!
//! Owns their names and descriptions for the generated documents. The rooms and the gateway publish
//! them.

use crate::topics::{Below, Topic};

/// A topic whose value comes from the gateway itself.
#[derive(Debug, Clone, Copy)]
pub struct GatewayTopic {
    /// The topic; a room's has the room `{room}`.
    pub topic: Topic<'static>,
    /// It is a state: doors keep its newest value. An event is not kept.
    pub is_state: bool,
    /// Its description in the topic page and the AsyncAPI document.
    pub about: &'static str,
}

/// Every such topic.
pub const GATEWAY_TOPICS: &[GatewayTopic] = &[
    GatewayTopic {
        topic: of_room(Below::Availability),
        is_state: true,
        about: "`online` or `offline`: whether the device can be reached; while it is offline, its \
                states are old",
    },
    GatewayTopic {
        topic: of_room(Below::Problem),
        is_state: true,
        about: "why the device cannot be used: `code`, `message` and `since`; the code is `none` \
                while there is no problem",
    },
    event("incoming_call", "a call rings"),
    event("call_connected", "a call is connected"),
    event(
        "call_ended",
        "a call ended; `answered` is false if it was never connected",
    ),
    event(
        "device_lost",
        "a touch panel or another paired device is gone: `id`, `name`, `type`, `state`",
    ),
    event("device_back", "a device that was lost is there again"),
    event(
        "readiness_failed",
        "the room was checked and is not ready: `at`, and `failed` with the `name` and `message` of each \
         check that failed",
    ),
    event("command_failed", "a command of any client failed"),
    GatewayTopic {
        topic: Topic::Gateway("availability"),
        is_state: true,
        about: "`online` or `offline`: whether the gateway runs; when the gateway is lost, the \
                broker publishes `offline`",
    },
    GatewayTopic {
        topic: Topic::Gateway("info"),
        is_state: true,
        about: "version, rooms, start time, and the configuration without secrets",
    },
    GatewayTopic {
        topic: Topic::Gateway("health"),
        is_state: true,
        about: "counters, every 60 s",
    },
];

const fn of_room(below: Below<'static>) -> Topic<'static> {
    Topic::Room {
        room: "{room}",
        below,
    }
}

/// An event, which is not kept.
const fn event(name: &'static str, about: &'static str) -> GatewayTopic {
    GatewayTopic {
        topic: of_room(Below::Event(name)),
        is_state: false,
        about,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::{GATEWAY_AVAILABILITY, GATEWAY_HEALTH, GATEWAY_INFO};

    #[test]
    fn the_gateways_topics_are_those_that_are_published() {
        for topic in [GATEWAY_AVAILABILITY, GATEWAY_HEALTH, GATEWAY_INFO] {
            let parsed = Topic::parse(topic);
            let known = GATEWAY_TOPICS.iter().any(|it| Some(it.topic) == parsed);
            assert!(known, "{topic}");
        }
    }
}
