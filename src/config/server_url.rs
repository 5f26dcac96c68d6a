//! The URL of a server: a scheme, a host and perhaps a port, and nothing that can be read in two ways.
//!
//! URL parsers and the system's look-up take IPv4 addresses in octal, hexadecimal and short forms, and letters
//! of every alphabet. The machine that is reached may then be another one than people read, so such
//! hosts are refused. Messages hold nothing that may be a password.

use std::net::{IpAddr, Ipv6Addr};

use url::Host;

/// What a key takes, for messages.
#[derive(Debug, Clone, Copy)]
pub struct UrlForm {
    /// The whole form: `takes https://HOST`.
    pub takes: &'static str,
    /// The keys that hold user and password instead of the URL.
    pub login_keys: &'static str,
}

/// A URL that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// In lower case.
    pub scheme: String,
    /// A name in lower case, or an address.
    pub host: Host,
    /// The port, where it is given.
    pub port: Option<u16>,
}

impl ServerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What the key takes instead.
    pub fn parse(text: &str, form: UrlForm) -> Result<Self, String> {
        let wrong_form = || form.takes.to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong_form)?;
        if rest.contains('@') {
            return Err(format!(
                "takes no user and password; give {}",
                form.login_keys
            ));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '\\', '?', '#']) {
            return Err(wrong_form());
        }
        let (host, port) = match authority.rfind([':', ']']) {
            Some(at) if authority[at..].starts_with(':') => {
                (&authority[..at], Some(read_port(&authority[at + 1..])?))
            }
            _ => (authority, None),
        };
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: read_host(host)?.ok_or_else(wrong_form)?,
            port,
        })
    }

    /// This URL, if it names exactly one server.
    ///
    /// # Errors
    /// The address or the port stands for many, or for none.
    pub fn of_one_server(self) -> Result<Self, String> {
        let address = match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(ip.to_canonical()),
        };
        match address {
            Some(ip) if ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip) => Err(
                format!("takes the address of one machine, and {ip} is not one"),
            ),
            Some(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Err(format!(
                "takes no link-local address such as {ip}, which says nothing without an interface"
            )),
            _ if self.port == Some(0) => Err(WRONG_PORT.to_owned()),
            _ => Ok(self),
        }
    }
}

const WRONG_PORT: &str = "takes a port from 1 to 65535";

fn read_port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or_else(|| WRONG_PORT.to_owned())
}

/// The host; none if it is no host at all.
fn read_host(text: &str) -> Result<Option<Host>, String> {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or(address);
        if address.contains('%') {
            return Err("takes no interface (%…) in an IPv6 address".into());
        }
        let address: Result<Ipv6Addr, _> = address.parse();
        return match address {
            Ok(address) => Ok(Some(Host::Ipv6(address))),
            Err(_) => Err("takes an IPv6 address in brackets, such as [2001:db8::1]".into()),
        };
    }
    if text.contains(':') {
        return Err("takes an IPv6 address in brackets, such as [2001:db8::1]".into());
    }
    if text.contains(['%', '<', '>']) {
        // A parser would decode the percent signs. Angle brackets are those of an example.
        return Ok(None);
    }
    let host = Host::parse(text);
    if !text.is_ascii() {
        return match host {
            Ok(host) => Err(format!(
                "takes a host in the letters a to z, digits and hyphens; what is written here would be \
                 {host}: write that if you mean it"
            )),
            Err(_) => Ok(None),
        };
    }
    match host {
        Ok(Host::Ipv4(ip)) if ip.to_string() != text => Err(format!(
            "takes an IPv4 address as four decimal numbers without leading zeros; \"{text}\" would be \
             read as {ip}"
        )),
        Ok(host) => Ok(Some(host)),
        Err(_) if ends_in_number(text) => Err(format!(
            "takes an IPv4 address as four decimal numbers from 0 to 255, not \"{text}\""
        )),
        Err(_) => Ok(None),
    }
}

/// Whether a host that is no address was meant as one: its last part begins with a digit.
fn ends_in_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    let mut numbers = host.bytes();
    last.is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()))
        && numbers.all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b'x' | b'X'))
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: UrlForm = UrlForm {
        takes: "takes https://HOST",
        login_keys: "user and password_file",
    };

    fn read(text: &str) -> Result<String, String> {
        let url = ServerUrl::parse(text, FORM)?.of_one_server()?;
        let port = url.port.map(|port| format!(":{port}"));
        Ok(format!(
            "{}://{}{}",
            url.scheme,
            url.host,
            port.unwrap_or_default()
        ))
    }

    #[test]
    fn what_is_written_is_what_is_reached() {
        for (text, url) in [
            ("https://192.0.2.10", "https://192.0.2.10"),
            (
                "HTTPS://Codec.Example.com:8443/",
                "https://codec.example.com:8443",
            ),
            ("https://codec_1", "https://codec_1"),
            (
                "https://xn--gert-noa.example",
                "https://xn--gert-noa.example",
            ),
            ("https://codec.example.", "https://codec.example."),
            ("https://[::1]:443", "https://[::1]:443"),
            ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
            ("https://1e3", "https://1e3"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn hosts_that_can_be_read_in_two_ways_are_refused_in_words() {
        for (host, wanted) in [
            ("127.0.0.010", "\"127.0.0.010\" would be read as 127.0.0.8"),
            ("010.1.2.3", "read as 8.1.2.3"),
            ("127.0.0.01", "read as 127.0.0.1"),
            ("0x7f.1", "read as 127.0.0.1"),
            ("0x7f000001", "read as 127.0.0.1"),
            ("2130706433", "read as 127.0.0.1"),
            ("127.1", "read as 127.0.0.1"),
            ("192.168.257", "read as 192.168.1.1"),
            ("127.0.0.1.", "read as 127.0.0.1"),
            ("017700000001", "read as 127.0.0.1"),
            ("127.0.0.08", "four decimal numbers from 0 to 255"),
            ("256.1.1.1", "four decimal numbers from 0 to 255"),
            ("1.2.3.4.5", "four decimal numbers from 0 to 255"),
            ("１２７.0.0.1", "would be 127.0.0.1"),
            ("127。0。0。1", "would be 127.0.0.1"),
            ("p\u{43e}ly.example", "would be xn--"),
            ("gerät.example", "would be xn--gert-noa.example"),
            ("%31%32%37.0.0.1", "takes https://HOST"),
            ("[fe80::1%25eth0]", "no interface"),
            ("[fe80::1]", "link-local"),
            ("[::ffff:0.0.0.0]", "address of one machine"),
            ("[::127.0.0.010]", "IPv6 address in brackets"),
            ("[127.0.0.1]", "IPv6 address in brackets"),
            ("2001:db8::1", "IPv6 address in brackets"),
            ("0.0.0.0", "address of one machine"),
            ("[::]", "address of one machine"),
            ("255.255.255.255", "address of one machine"),
            ("224.0.0.1", "address of one machine"),
            ("[ff02::1]", "address of one machine"),
            ("codec:0", "a port from 1 to 65535"),
            ("codec:65536", "a port from 1 to 65535"),
            ("codec:+80", "a port from 1 to 65535"),
            ("codec:", "a port from 1 to 65535"),
            ("codec:https", "a port from 1 to 65535"),
            ("", "takes https://HOST"),
            ("/codec", "takes https://HOST"),
            ("codec/rest", "takes https://HOST"),
            ("codec//", "takes https://HOST"),
            ("codec?x=1", "takes https://HOST"),
            ("codec#x", "takes https://HOST"),
            ("codec\\x", "takes https://HOST"),
            ("co dec", "takes https://HOST"),
            ("co\tdec", "takes https://HOST"),
            ("codec ", "takes https://HOST"),
            ("<codec>", "takes https://HOST"),
            ("admin@codec", "give user and password_file"),
            ("admin:secret@codec", "give user and password_file"),
            ("@codec", "give user and password_file"),
            ("codec/a@b", "give user and password_file"),
        ] {
            let text = format!("https://{host}");
            let message = read(&text).unwrap_err();
            assert!(message.contains(wanted), "{text}: {message}");
            assert!(message.starts_with("takes "), "{text}: {message}");
            assert!(!message.contains("secret"), "{text}: {message}");
        }
        for text in [
            "",
            "codec",
            "https:codec",
            "https:/codec",
            "https:\\\\codec",
        ] {
            assert_eq!(read(text), Err(FORM.takes.to_owned()), "{text}");
        }
    }
}
