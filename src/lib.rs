//! poly2mqtt: the gateway from MQTT and WebSocket to Poly VideoOS rooms.

pub mod catalogue;
pub mod command;
pub mod hub;
pub mod topic;
