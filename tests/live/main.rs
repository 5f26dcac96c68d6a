//! The gateway with other people's programs: Home Assistant, Node-RED, wscat, websocat, MQTT.js,
//! and the clients for Q-SYS, Crestron and Companion.
//!
//! All are ignored unless asked for, because the programs must be installed first; each module
//! says how.
#![allow(clippy::unwrap_used, clippy::panic)]

mod clients;
mod home_assistant;
mod tools;
