//! Why an address cannot be listened on, and what the user changes to listen elsewhere.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::port_holder::{PortHolder, port_holder};
use crate::os_error;

/// The first port that every user may listen on.
const FIRST_OPEN_PORT: u16 = 1024;
/// Added to a port below that: 80 becomes 8080, and 443 becomes 8443.
const TO_OPEN_PORT: u16 = 8000;

/// What a user changes to listen elsewhere. Messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenSetting {
    /// A key of the configuration that holds the address, such as `http.listen`.
    Key(&'static str),
    /// `mqtt.url`, for the embedded broker.
    BrokerUrl,
    /// An option of the command, such as `--http`.
    Option(&'static str),
}

impl ListenSetting {
    /// The key or option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key(name) | Self::Option(name) => name,
            Self::BrokerUrl => "mqtt.url",
        }
    }

    /// What to write to listen at this address.
    pub fn set_to(self, at: SocketAddr) -> String {
        match self {
            Self::Key(key) => format!("set {key} = \"{at}\""),
            Self::BrokerUrl => format!("set mqtt.url = \"embedded://{at}\""),
            Self::Option(option) => format!("give {option} {at}"),
        }
    }

    /// The message for an address that cannot be listened on: one line that says what to do.
    pub fn cannot_listen(self, at: SocketAddr, error: &io::Error) -> String {
        let (name, why) = (self.name(), self.why_not(at, error));
        format!("{name}: cannot listen on {at}: {why}")
    }

    /// Why an address cannot be listened on, and what to do.
    pub fn why_not(self, at: SocketAddr, error: &io::Error) -> String {
        match Errno::from_io_error(error) {
            Some(Errno::ADDRINUSE) => self.in_use(at),
            Some(Errno::ACCESS | Errno::PERM) if at.port() < FIRST_OPEN_PORT => format!(
                "Permission denied; ports below {FIRST_OPEN_PORT} are for root: {}, or give the \
                 program the right (AmbientCapabilities=CAP_NET_BIND_SERVICE in its unit)",
                self.set_to(with_port(at, at.port() + TO_OPEN_PORT))
            ),
            Some(Errno::ADDRNOTAVAIL) => format!(
                "this machine does not have the address {}; {} for all that it has, or write one of \
                 those",
                at.ip(),
                self.set_to(every_address(at))
            ),
            _ => os_error::words(error),
        }
    }

    fn in_use(self, at: SocketAddr) -> String {
        let holder = port_holder(at);
        let by = match &holder {
            Some(holder) => format!(" by {holder}"),
            None => String::new(),
        };
        let usual = match usual_holder(at.port()) {
            Some(usual) => format!("; port {} is usually that of {usual}", at.port()),
            None => String::new(),
        };
        let elsewhere = self.set_to(with_port(at, at.port().checked_add(1).unwrap_or(1024)));
        if holder.as_ref().is_some_and(PortHolder::is_self) {
            return format!(
                "this program listens there already, for something else; each needs a port of its own: {elsewhere}"
            );
        }
        let instead = match self {
            Self::BrokerUrl => format!(
                ": if that is a broker that you want to use, set mqtt.url = \"mqtt://{at}\"; else end \
                 it, or {elsewhere}"
            ),
            _ if holder.as_ref().is_some_and(PortHolder::is_gateway) => {
                format!(": a gateway runs already; end it, or {elsewhere}")
            }
            _ => format!(": end the other program, or {elsewhere}"),
        };
        format!("Address already in use{by}{usual}{instead}")
    }
}

/// The program that people usually find at this port.
fn usual_holder(port: u16) -> Option<&'static str> {
    match port {
        1883 | 8883 => Some("Mosquitto or another MQTT broker"),
        80 | 443 | 8000 | 8080 | 8081 | 8443 => Some("a web server"),
        _ => None,
    }
}

fn with_port(at: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(at.ip(), port)
}

fn every_address(at: SocketAddr) -> SocketAddr {
    match at {
        SocketAddr::V4(_) => ([0, 0, 0, 0], at.port()).into(),
        SocketAddr::V6(_) => ([0_u16; 8], at.port()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: ListenSetting = ListenSetting::Key("http.listen");

    /// The message for this error at this address.
    fn told(setting: ListenSetting, at: &str, errno: Errno) -> String {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        let told = setting.cannot_listen(at.parse().unwrap(), &error);
        assert!(!told.contains("os error") && !told.contains('\n'), "{told}");
        told
    }

    #[test]
    fn each_reason_says_what_to_change() {
        let option = ListenSetting::Option("--http");
        for (setting, at, errno, wanted) in [
            (
                HTTP,
                "127.0.0.1:8080",
                Errno::ADDRINUSE,
                "http.listen = \"127.0.0.1:8081\"",
            ),
            (
                HTTP,
                "127.0.0.1:8080",
                Errno::ADDRINUSE,
                "usually that of a web server",
            ),
            (
                option,
                "[::1]:8080",
                Errno::ADDRINUSE,
                "give --http [::1]:8081",
            ),
            (
                ListenSetting::BrokerUrl,
                "127.0.0.1:1883",
                Errno::ADDRINUSE,
                "Mosquitto",
            ),
            (
                ListenSetting::BrokerUrl,
                "127.0.0.1:1883",
                Errno::ADDRINUSE,
                "\"embedded://127.0.0.1:1884\"",
            ),
            (
                ListenSetting::BrokerUrl,
                "127.0.0.1:1883",
                Errno::ADDRINUSE,
                "\"mqtt://127.0.0.1:1883\"",
            ),
            (
                HTTP,
                "127.0.0.1:65535",
                Errno::ADDRINUSE,
                "\"127.0.0.1:1024\"",
            ),
            (
                HTTP,
                "0.0.0.0:80",
                Errno::ACCESS,
                "http.listen = \"0.0.0.0:8080\"",
            ),
            (HTTP, "0.0.0.0:443", Errno::ACCESS, "CAP_NET_BIND_SERVICE"),
            (
                HTTP,
                "192.0.2.7:8080",
                Errno::ADDRNOTAVAIL,
                "http.listen = \"0.0.0.0:8080\"",
            ),
            (
                HTTP,
                "[2001:db8::1]:8080",
                Errno::ADDRNOTAVAIL,
                "http.listen = \"[::]:8080\"",
            ),
            (HTTP, "[::1]:8080", Errno::AFNOSUPPORT, "IPv6"),
            (HTTP, "127.0.0.1:8080", Errno::MFILE, "LimitNOFILE"),
        ] {
            let told = told(setting, at, errno);
            assert!(told.contains(wanted), "{told}");
            assert!(told.starts_with(setting.name()), "{told}");
        }
    }
}
