//! What counts as one address.
//!
//! Pure: an IPv4 address counts alone. Of IPv6 the /64 counts, since one machine can have every
//! address in it. An IPv4 address in IPv6 form counts as itself.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The part of an IPv6 address that one network has.
const NETWORK_BITS: u32 = 64;
/// The part that one site has: providers and universities hand out a /48 at most to one of their customers.
const SITE_BITS: u32 = 48;

/// The addresses that have one penalty together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self::prefix(address, NETWORK_BITS),
            first @ IpAddr::V4(_) => Self { first, bits: 32 },
        }
    }

    /// The site that it is part of; `None` for IPv4.
    pub fn site(self) -> Option<Self> {
        match self.first {
            IpAddr::V6(first) => Some(Self::prefix(first, SITE_BITS)),
            IpAddr::V4(_) => None,
        }
    }

    fn prefix(address: Ipv6Addr, bits: u32) -> Self {
        let host_bits = u128::MAX.checked_shr(bits).unwrap_or_default();
        Self {
            first: Ipv6Addr::from_bits(address.to_bits() & !host_bits).into(),
            bits,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(first) => write!(f, "{first}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv4_address_counts_alone_in_either_form() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("192.0.2.1").site(), None);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(
            network("2001:db8::1").site(),
            network("2001:db8:0:ffff::1").site()
        );
        assert_ne!(
            network("2001:db8::1").site(),
            network("2001:db8:1::1").site()
        );
    }
}
