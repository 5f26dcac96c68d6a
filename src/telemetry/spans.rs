//! The spans of log lines: `room{room="boardroom"}`.
//!
//! Creating a span takes about 0.4 µs, entering one 0.04 µs, and one that is disabled nothing
//! (measured in a release build). So there is one for each room's task and each MQTT door, which is
//! entered often and created once, and one for each command only while the log is at debug level.
//! Polls have none.

use tracing::Span;

/// The target of the spans that are always enabled, with any filter of the log: without its room a
/// line is of no use among hundreds of rooms.
pub const SPAN_TARGET: &str = "poly2mqtt::span";

/// The name of the span of a room; its field `room` is the room's id.
pub(super) const ROOM_SPAN: &str = "room";

/// What happens in a room and with its device. It has no parent: if the caller is in a room's span
/// already, the room is still named once.
pub fn room_span(room: &str) -> Span {
    tracing::info_span!(target: SPAN_TARGET, parent: None, "room", room)
}

/// What happens while a command is carried out, inside of its room's span.
pub fn command_span(command: &str) -> Span {
    tracing::debug_span!("command", command)
}

/// What happens on the connection to a broker at this address.
pub fn broker_span(address: &str) -> Span {
    tracing::info_span!(target: SPAN_TARGET, parent: None, "broker", address)
}
