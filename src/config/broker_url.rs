//! Where the MQTT broker is: the value of `mqtt.url`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Host;

use super::server_url::{ServerUrl, UrlForm};

const FORM: UrlForm = UrlForm {
    takes: "takes embedded://ADDRESS:PORT, mqtt://HOST[:PORT], mqtts://HOST[:PORT], or \"off\"",
    login_keys: "username and password_file",
};
/// The port that IANA registered for MQTT.
const PORT: u16 = 1883;
/// The port that IANA registered for MQTT over TLS.
const TLS_PORT: u16 = 8883;

/// Where the MQTT broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// There is none, and no MQTT.
    Off,
    /// The gateway's own broker listens here.
    Embedded(SocketAddr),
    /// A broker without TLS.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A broker with TLS.
    Tls {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl BrokerUrl {
    /// Reads the value of the key.
    ///
    /// # Errors
    /// The message lists the allowed values. It never holds the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let url = ServerUrl::parse(text, FORM)?;
        match url.scheme.as_str() {
            "embedded" => {
                let address: IpAddr = match url.host {
                    Host::Ipv4(ip) => ip.into(),
                    Host::Ipv6(ip) => ip.into(),
                    Host::Domain(name) if name == "localhost" => [127, 0, 0, 1].into(),
                    Host::Domain(_) => {
                        return Err(
                            "embedded:// takes an IP address to listen on, such as 127.0.0.1"
                                .into(),
                        );
                    }
                };
                Ok(Self::Embedded((address, url.port.unwrap_or(PORT)).into()))
            }
            "mqtt" => {
                let (host, port) = host_and_port(url, PORT)?;
                Ok(Self::Tcp { host, port })
            }
            "mqtts" => {
                let (host, port) = host_and_port(url, TLS_PORT)?;
                Ok(Self::Tls { host, port })
            }
            _ => Err(FORM.takes.into()),
        }
    }
}

/// An IPv6 address has no brackets here.
fn host_and_port(url: ServerUrl, default: u16) -> Result<(String, u16), String> {
    let url = url.of_one_server()?;
    let host = match url.host {
        Host::Domain(name) => name,
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Ok((host, url.port.unwrap_or(default)))
}

/// `host:port`, with the brackets of an IPv6 address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// As `gateway/info` shows it.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Embedded(listen) => write!(f, "embedded://{listen}"),
            Self::Tcp { host, port } => write!(f, "mqtt://{}", host_port(host, *port)),
            Self::Tls { host, port } => write!(f, "mqtts://{}", host_port(host, *port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_localhost_have_defaults() {
        for (text, shown) in [
            ("off", "off"),
            ("embedded://localhost", "embedded://127.0.0.1:1883"),
            ("embedded://[::1]:99", "embedded://[::1]:99"),
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker", "mqtts://broker:8883"),
            ("mqtts://broker:99/", "mqtts://broker:99"),
            ("mqtt://[2001:db8::1]", "mqtt://[2001:db8::1]:1883"),
            ("embedded://0.0.0.0:0", "embedded://0.0.0.0:0"),
        ] {
            assert_eq!(BrokerUrl::parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "broker",
            "tcp://broker",
            "mqtt://broker/path",
            "mqtt://b?x",
        ] {
            assert_eq!(BrokerUrl::parse(text), Err(FORM.takes.to_owned()), "{text}");
        }
        for (text, wanted) in [
            ("mqtt://127.0.0.010", "would be read as 127.0.0.8"),
            ("mqtts://127.1", "would be read as 127.0.0.1"),
            ("embedded://127.0.0.010", "would be read as 127.0.0.8"),
            ("embedded://broker", "takes an IP address to listen on"),
            ("mqtt://0.0.0.0", "address of one machine"),
            ("mqtt://broker:0", "a port from 1 to 65535"),
            (
                "mqtt://user:secret@broker",
                "give username and password_file",
            ),
        ] {
            let message = BrokerUrl::parse(text).unwrap_err();
            assert!(message.contains(wanted), "{text}: {message}");
        }
    }
}
