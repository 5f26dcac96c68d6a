//! Host and port, as the `Host` header, the `Origin` header and a request's target name them.
//!
//! Pure and strict: what browsers and HTTP clients never send is no authority. Two spellings of one
//! host are equal: case does not matter, nor a dot after the last label.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::host_name;

/// A host, and its port if one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port; `None` for the scheme's own.
    pub port: Option<u16>,
}

/// A host by address or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An IPv4 address, or an IPv6 address in brackets.
    Address(IpAddr),
    /// A name in lower case, without a dot after the last label.
    Name(String),
}

impl Authority {
    /// Reads `host`, `host:port`, or an address in either place; `None` for everything else, such as
    /// `user@host`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (Host::Address(address.into()), port)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at(end);
            let host = match host.parse::<Ipv4Addr>() {
                Ok(address) => Host::Address(address.into()),
                Err(_) => Host::Name(host_name(host)?),
            };
            (host, port)
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both name the same host and port, with this port where none is named.
    pub fn is_same(&self, other: &Self, default_port: u16) -> bool {
        let port = |authority: &Self| authority.port.unwrap_or(default_port);
        self.host == other.host && port(self) == port(other)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(address) => write!(f, "{address}")?,
            Host::Name(name) => write!(f, "{name:.100}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        let name = |name: &str, port| Authority {
            host: Host::Name(name.into()),
            port,
        };
        let address = |address: &str, port| Authority {
            host: Host::Address(address.parse().unwrap()),
            port,
        };
        for (text, wanted) in [
            ("localhost", name("localhost", None)),
            ("LOCALHOST.:8080", name("localhost", Some(8080))),
            ("av.Example.com:443", name("av.example.com", Some(443))),
            ("127.0.0.1:8080", address("127.0.0.1", Some(8080))),
            ("[::1]", address("::1", None)),
            ("[2001:DB8::1]:80", address("2001:db8::1", Some(80))),
            // Only in this form is it an address.
            ("0x7f000001", name("0x7f000001", None)),
        ] {
            assert_eq!(Authority::parse(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "user@localhost",
            "user:password@localhost",
            "localhost:",
            "localhost:+80",
            "localhost:99999",
            "localhost:80:80",
            "::1",
            "[::1",
            "[127.0.0.1]",
            "[[::1]]",
            "[::1]80",
            "[fe80::1%eth0]",
            "localhost/x",
            "http://localhost",
            "b\u{fc}cher",
            "a,b",
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_missing_port_is_that_of_the_scheme() {
        let same = |one: &str, other: &str, port| {
            let parse = |text| Authority::parse(text).unwrap();
            parse(one).is_same(&parse(other), port)
        };
        assert!(same("localhost", "LOCALHOST:80", 80));
        assert!(!same("localhost", "localhost:80", 443));
        assert!(!same("localhost", "127.0.0.1", 80));
    }
}
