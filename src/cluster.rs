//! Several gateways that share the rooms of one campus.
//!
//! `link` takes what a client of this gateway wants of rooms that another one has to that gateway.

pub mod link;
