//! The front doors: where commands come in, and where results, states and events go out.
//!
//! Each door turns its own messages into a [`Submission`](crate::command::Submission) and writes
//! the [`Outcome`](crate::command::Outcome) in its own form. Doors know nothing of devices.
//!
//! [`MqttDoor`](mqtt::MqttDoor), [`HttpDoor`](http::HttpDoor) and [`TcpDoor`](tcp::TcpDoor) have one
//! shape:
//!
//! - `start(…)` takes what the door needs, begins to work in tasks of its own and gives the running
//!   door. It fails only on what a person must correct.
//! - `addr()` says where HTTP and TCP listen, `connected()` whether MQTT reaches its broker.
//! - `stop_accepting()` of HTTP and TCP refuses new clients while commands that have begun finish.
//! - `stop(deadline)` uses the door up: it sends the last messages and returns by `deadline`.
//!
//! HTTP's WebSocket and TCP's plain lines share [`clients`]: subscriptions, commands in flight and
//! limits. [`access`] decides for both who may see and do what, and [`payers`] who pays for what it costs;
//! for MQTT the broker decides.

pub mod access;
pub mod clients;
pub mod http;
pub mod mqtt;
mod paid_stream;
pub mod payers;
pub mod tcp;
