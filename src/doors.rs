//! The front doors: where commands come in, and where results, states and events go out.
//!
//! Each door turns its own messages into a [`Submission`](crate::command::Submission) and writes
//! the [`Outcome`](crate::command::Outcome) in its own form. Doors know nothing of devices.

pub mod access;
pub mod conversation;
pub mod http;
pub mod mqtt;
pub mod tcp;
