//! Whom a client's sessions, filters and messages are counted for: its user, or its address where
//! clients connect without a user.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Whom a client belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The gateway itself.
    Gateway,
    /// A configured user.
    User(Arc<str>),
    /// An address, where the broker has no users.
    Address(IpAddr),
}

impl Owner {
    /// The owner of a client without a user.
    pub fn address(peer: IpAddr) -> Self {
        Self::Address(network(peer))
    }
}

/// The part of an address that one party owns: for IPv6 its /64 network.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}
