//! The address of a request's client, behind proxies too.
//!
//! Pure. `X-Forwarded-For` is believed only from proxies that the configuration names: everybody else
//! could write any address into it, and so escape the penalty for wrong tokens or bring it on others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::config::IpNetwork;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client whose connection comes from `peer`: the last one in `X-Forwarded-For`
/// that is not a trusted proxy. It is the address of `peer` if `peer` is not a trusted proxy, or if the
/// header cannot be read that far.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNetwork]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_proxy = |address| is_proxy(address, proxies);
    if !is_proxy(peer) {
        return peer;
    }
    let mut client = peer;
    // Each proxy adds an address at the end, or a header after the others.
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    for line in lines.into_iter().rev() {
        let Ok(line) = line.to_str() else {
            return peer;
        };
        for entry in line.rsplit(',') {
            match forwarded_address(entry.trim()) {
                Some(address) if is_proxy(address) => client = address,
                Some(address) => return address,
                None => return peer,
            }
        }
    }
    client
}

/// Whether this address is one of these proxies.
pub fn is_proxy(address: IpAddr, proxies: &[IpNetwork]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|proxy| proxy.contains(address))
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || {
        let address = text.strip_prefix('[')?.strip_suffix(']')?;
        address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let address: Option<IpAddr> = bare.or_else(with_port).or_else(in_brackets);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[&str]) -> String {
        let proxies = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &map, &proxies).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        for headers in [
            &["203.0.113.9, 198.51.100.1"][..],
            &["203.0.113.9, 198.51.100.1, 10.0.0.2 ,10.0.0.3"],
            &["203.0.113.9", "198.51.100.1", "10.0.0.2"],
            &["nonsense", "198.51.100.1"],
        ] {
            assert_eq!(client("10.0.0.1", headers), "198.51.100.1", "{headers:?}");
        }
        // A request that a proxy itself makes.
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn addresses_have_several_forms() {
        for (text, wanted) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client("::1", &[text]), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_leaves_the_peer() {
        for headers in [
            &["unknown"][..],
            &["198.51.100.1, "],
            &["198.51.100.1, _hidden, 10.0.0.2"],
            &[""],
            &["198.51.100.1;evil"],
            &["[198.51.100.1]"],
        ] {
            assert_eq!(client("10.0.0.1", headers), "10.0.0.1", "{headers:?}");
        }
    }
}
