//! The events: each is counted and, if it is useful to an operator, logged.
//!
//! A line's target names the part of the gateway that the event is from, so that a filter such as
//! `poly2mqtt::rooms=debug` shows it. A line about a room is written inside of that room's span,
//! because the JSON form of the log does not show the explicit parent of a line.
//!
//! `gateway`: the gateway as a whole. `reads`: polls, requests to devices (commands and rooms are in `room_events`).
//! `clients`: clients of all doors. `broker`: the connection to the MQTT broker. `messages`: single messages to and
//! from it. `home_assistant`: its devices. `rooms`: checks of the room. `sessions`: sessions that are kept.
//! `accepting`: connections that cannot be accepted. `cluster`: several gateways that share their rooms, and `members`:
//! which these are, and the links between them.

mod accepting;
mod broker;
mod clients;
mod cluster;
mod gateway;
mod home_assistant;
mod members;
mod messages;
mod reads;
mod rooms;
mod sessions;

pub(super) use accepting::AcceptWarning;
pub use clients::ClientRefusal;
pub use cluster::{EtcdOutcome, ShardChange};
pub use reads::PollOutcome;
pub(super) use reads::StatusClass;
pub(super) use rooms::CheckOutcome;

pub(super) const ROOMS: &str = "poly2mqtt::rooms";
pub(super) const DOORS: &str = "poly2mqtt::doors";
pub(super) const MQTT: &str = "poly2mqtt::doors::mqtt";
const APP: &str = "poly2mqtt::app";
const CLUSTER: &str = "poly2mqtt::cluster";
const DEVICE: &str = "poly2mqtt::device";
const NET: &str = "poly2mqtt::net";
