//! The topics that no request feeds: what the gateway says of its rooms and of itself.
//!
//! Only their names, for documents; the rooms and the gateway publish them.

/// A topic of the gateway's own.
#[derive(Debug, Clone, Copy)]
pub struct GatewayTopic {
    /// The whole topic but for the configured prefix: `room/{room}/availability`.
    pub topic: &'static str,
    /// Its newest value stays.
    pub retained: bool,
    /// What it says.
    pub about: &'static str,
}

/// All of them.
pub const GATEWAY_TOPICS: &[GatewayTopic] = &[
    GatewayTopic {
        topic: "room/{room}/availability",
        retained: true,
        about: "`online` or `offline`: whether the device can be reached; its states are stale \
                while it is offline",
    },
    GatewayTopic {
        topic: "room/{room}/problem",
        retained: true,
        about: "why the device cannot be used, with `code`, `message` and `since`; the code is \
                `none` where it can",
    },
    GatewayTopic {
        topic: "room/{room}/event/incoming_call",
        retained: false,
        about: "a call rings",
    },
    GatewayTopic {
        topic: "room/{room}/event/call_connected",
        retained: false,
        about: "a call is up",
    },
    GatewayTopic {
        topic: "room/{room}/event/call_ended",
        retained: false,
        about: "a call is over; `answered` is false where it was never up",
    },
    GatewayTopic {
        topic: "room/{room}/event/command_failed",
        retained: false,
        about: "a command got an error for its result, whoever sent it",
    },
    GatewayTopic {
        topic: "gateway/availability",
        retained: true,
        about: "`online` or `offline`: whether the gateway runs; the broker says `offline` for it \
                when it is lost",
    },
    GatewayTopic {
        topic: "gateway/info",
        retained: true,
        about: "version, rooms, when it started, and its configuration without secrets",
    },
    GatewayTopic {
        topic: "gateway/health",
        retained: true,
        about: "counters, every 60 s",
    },
];
