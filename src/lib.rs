//! poly2mqtt: the gateway between control systems and Poly VideoOS rooms.
//!
//! Clients speak MQTT, WebSocket, HTTP or plain lines; devices speak an HTTPS REST interface.
//!
//! # Map
//!
//! A command passes through these modules from top to bottom, its result back up:
//!
//! ```text
//! cli          the command line: one file a command
//! app          start, stop and reload, in the right order
//! config       the configuration file: keys, defaults, checks, messages
//! doors        MQTT, WebSocket, HTTP and plain lines; access rights
//! topics       parsing and building topics
//! command      a submission in, its one outcome back; the error codes
//! rooms        every room: its task, queue, polling, call events, camera stops
//! catalogue    what a device can do: one entry an operation
//! device       the client of one device: HTTPS, session, certificate
//! state        the newest value of each topic, and the subscribers to changes
//! ```
//!
//! Outside that path are `cluster` (several gateways that share the rooms), `broker` (the embedded MQTT broker),
//! `home_assistant` (discovery), `dashboard` (the web page), `render` (documents made from the catalogue), `net`
//! (listening, dialling, TLS), `network` (what counts as one address), `setup` (finding and adding devices),
//! `gateway_id` (whose message at a broker it is), `guesses` (slowing down wrong tokens and passwords), `json`
//! (numbers, ids and flaws of JSON), `listed` (lists and counts in words), `nearest` (the known names nearest to an
//! unknown one), `secret` (random bytes, comparing secrets), `digest` (digests as text), `deflate` (compression of what
//! stays in memory), `os_error` (errors of the system in words), `visible` (characters that cannot be seen), `sleep`
//! (ticks, and a time that there may not be), `boot_instant` (a clock that also runs while the machine sleeps),
//! `standstill` (whether the process ran all the time), `clock` (the time of day), `byte_budget` (a bound for bytes
//! that wait) and `telemetry` (log lines, counters, health). Simulated devices are a package of their own,
//! `simulator/`.
//!
//! `ARCHITECTURE.md` follows one command through the code and answers "where do I find…".

pub mod app;
pub mod boot_instant;
pub mod broker;
mod byte_budget;
pub mod catalogue;
pub mod cli;
mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod dashboard;
mod deflate;
pub mod device;
mod digest;
pub mod doors;
pub mod gateway_id;
pub mod guesses;
pub mod home_assistant;
pub mod json;
mod listed;
mod nearest;
pub mod net;
pub mod network;
mod os_error;
pub mod render;
pub mod rooms;
mod secret;
pub mod setup;
mod sleep;
mod standstill;
pub mod state;
pub mod telemetry;
pub mod topics;
pub mod visible;
