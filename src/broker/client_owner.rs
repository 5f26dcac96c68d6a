//! Whom a client's sessions, filters and messages are counted for: its user, or its address where
//! clients connect without a user.

use std::net::IpAddr;
use std::sync::Arc;

use crate::network::Network;

/// Whom a client belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientOwner {
    /// The gateway itself.
    Gateway,
    /// A configured user.
    User(Arc<str>),
    /// An address, where the broker has no users.
    Address(Network),
}

impl ClientOwner {
    /// The owner of a client without a user.
    pub fn address(peer: IpAddr) -> Self {
        Self::Address(Network::of(peer))
    }
}
