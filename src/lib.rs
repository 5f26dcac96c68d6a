//! poly2mqtt: the gateway from MQTT and WebSocket to Poly VideoOS rooms.
//!
//! `ARCHITECTURE.md` shows the data flow and answers "where do I find…".
//!
//! # Layout
//!
//! In the order a command passes through them:
//!
//! * `cli`: The command line: which command was asked for, the log, signals, the exit status.
//!
//! * `config`: The configuration file with the environment over it: keys, defaults, checks.
//!
//! * `service`: The running program: starts broker, rooms and front doors, and stops them in the
//!   reverse order.
//!
//! * `mqtt`: The MQTT front door, and the embedded broker. The only place that names an MQTT
//!   library.
//!
//! * `http`, `tcp`: The front doors for controllers and people: WebSocket, HTTP, plain lines.
//!   `conversation` is what WebSocket and lines have in common, `access` who may come, `listen`
//!   how connections are accepted.
//!
//! * `command`: What passes between a front door and a room: a `Submission` in, one `Outcome`
//!   back. Error codes and the result's JSON are here.
//!
//! * `gateway`: All rooms, and which of them a command is for.
//!
//! * `room`: One room: its task, its queue of commands, its polling. The unit of failure.
//!
//! * `catalogue`: The one table of what a device can do. Topics, payload rules, polling and
//!   read-back all come from its entries.
//!
//! * `topic`: Topic levels: splitting, percent-decoding and encoding.
//!
//! * `device`: The client of one device: HTTPS, certificate, log-in, and when a request may be
//!   repeated.
//!
//! * `home_assistant`: Discovery: from the catalogue's entities and what is known of a room to the
//!   document that Home Assistant makes a device of.
//!
//! * `hub`: The newest value of every retained topic, and who is told when it changes.
//!
//! * `metrics`: What is counted, for Prometheus.
//!
//! * `cause`: What went wrong, below what libraries say of it.
//!
//! * `asyncapi`: The document of every topic and message, from the catalogue.
//!
//! * `simulator`: Simulated devices, for the demo and the tests. Written from the REST guide; it
//!   uses nothing of the modules above.

pub mod access;
pub mod asyncapi;
pub mod catalogue;
mod cause;
pub mod cli;
pub mod command;
pub mod config;
pub mod conversation;
pub mod device;
pub mod gateway;
pub mod home_assistant;
pub mod http;
pub mod hub;
pub mod listen;
pub mod metrics;
pub mod mqtt;
pub mod room;
pub mod service;
pub mod simulator;
pub mod tcp;
pub mod topic;
