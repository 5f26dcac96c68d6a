//! Where the MQTT broker is: the value of `mqtt.url`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Url;

const TAKES: &str =
    "takes embedded://ADDRESS:PORT, mqtt://HOST[:PORT], mqtts://HOST[:PORT], or \"off\"";
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
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let url = Url::parse(text).map_err(|_| TAKES)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("takes no user and password; give username and password_file");
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(TAKES)?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(TAKES);
        }
        match url.scheme() {
            "embedded" => {
                let address: IpAddr = match host.as_str() {
                    "localhost" => IpAddr::from([127, 0, 0, 1]),
                    host => host.parse().map_err(
                        |_| "embedded:// takes an IP address to listen on, such as 127.0.0.1",
                    )?,
                };
                Ok(Self::Embedded((address, url.port().unwrap_or(PORT)).into()))
            }
            "mqtt" => Ok(Self::Tcp {
                host,
                port: url.port().unwrap_or(PORT),
            }),
            "mqtts" => Ok(Self::Tls {
                host,
                port: url.port().unwrap_or(TLS_PORT),
            }),
            _ => Err(TAKES),
        }
    }
}

/// As `gateway/info` shows it.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Embedded(listen) => write!(f, "embedded://{listen}"),
            Self::Tcp { host, port } => write!(f, "mqtt://{host}:{port}"),
            Self::Tls { host, port } => write!(f, "mqtts://{host}:{port}"),
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
            assert_eq!(BrokerUrl::parse(text), Err(TAKES), "{text}");
        }
    }
}
