//! An address or a network of addresses, such as `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The bits of an IPv6 address before the IPv4 address that it holds.
const MAPPED_BITS: u32 = 96;

/// A network. An IPv4 address in IPv6 form is in the networks of the IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpNetwork {
    /// As it is written in the configuration.
    text: String,
    first: u128,
    mask: u128,
}

impl IpNetwork {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        to_bits(address) & self.mask == self.first
    }

    /// Its addresses, without those of an IPv4 network that name the network and all of its machines;
    /// `None` if they are more than `most`.
    pub fn addresses(&self, most: usize) -> Option<Vec<IpAddr>> {
        let is_ipv4 = self.text.contains('.') && !self.text.contains(':');
        let last = self.first | !self.mask;
        let (first, last) = if is_ipv4 && last - self.first > 1 {
            (self.first + 1, last - 1)
        } else {
            (self.first, last)
        };
        let fits = last - first < u128::try_from(most).ok()?;
        let address = |bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical();
        fits.then(|| (first..=last).map(address).collect())
    }
}

/// Both kinds of addresses in one: an IPv4 address in its IPv6 form.
fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

impl FromStr for IpNetwork {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (offset, most) = match address {
            IpAddr::V4(_) => (MAPPED_BITS, 32),
            IpAddr::V6(_) => (0, 128),
        };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| ())?
            }
            Some(_) => return Err(()),
            None => most,
        };
        if bits > most {
            return Err(());
        }
        let mask = !u128::MAX.checked_shr(offset + bits).unwrap_or_default();
        Ok(Self {
            text: text.to_owned(),
            first: to_bits(address) & mask,
            mask,
        })
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: IpNetwork = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_its_addresses() {
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("10.1.2.3/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
    }

    #[test]
    fn the_addresses_of_a_network_are_those_of_machines() {
        for (network, count, first, last) in [
            ("192.0.2.0/24", 254, "192.0.2.1", "192.0.2.254"),
            ("192.0.2.77/30", 2, "192.0.2.77", "192.0.2.78"),
            ("192.0.2.0/31", 2, "192.0.2.0", "192.0.2.1"),
            ("192.0.2.9", 1, "192.0.2.9", "192.0.2.9"),
            ("10.0.0.0/20", 4094, "10.0.0.1", "10.0.15.254"),
            ("2001:db8::/126", 4, "2001:db8::", "2001:db8::3"),
        ] {
            let addresses = network
                .parse::<IpNetwork>()
                .unwrap()
                .addresses(4096)
                .unwrap();
            let ends = [addresses[0], addresses[addresses.len() - 1]];
            assert_eq!(addresses.len(), count, "{network}");
            assert_eq!(ends.map(|ip| ip.to_string()), [first, last], "{network}");
        }
        for large in ["10.0.0.0/19", "0.0.0.0/0", "::/0", "2001:db8::/64"] {
            let network: IpNetwork = large.parse().unwrap();
            assert!(network.addresses(4096).is_none(), "{large}");
        }
    }

    #[test]
    fn other_texts_are_no_networks() {
        for bad in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0",
            "::1/129",
            "[::1]",
            "10.0.0.1:80",
            "10.0.0.0/8/8",
        ] {
            assert!(bad.parse::<IpNetwork>().is_err(), "{bad}");
        }
    }
}
