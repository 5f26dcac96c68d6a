//! Who may have how many files open: devices first, then each door that clients connect to.
//!
//! A flood of clients must not leave the rooms without connections to their devices, nor one door
//! without files because of another.

use crate::broker;
use crate::config::{BrokerUrl, Config};
use crate::doors::clients::ClientLimits;
use crate::net::{MOST_LEAVING, open_file_limit, share_files};
use crate::telemetry::Telemetry;

/// The process itself: standard streams, event loop, log, sockets that listen, the connection to a
/// broker, files that are read at a reload, look-ups of names.
const FILES_OF_PROCESS: usize = 48;
/// A room has at most two requests to its device at a time.
const FILES_PER_ROOM: usize = 2;
/// And it writes its session to a file; in a cluster that is in etcd.
const SESSION_FILES: usize = 1;
/// Rooms that a reload may add without a restart.
const ROOMS_TO_COME: usize = 16;
/// A door with fewer connections than this is of no use, however low the limit is.
const FEWEST_CONNECTIONS: usize = 16;

/// How many connections each door may have at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionShares {
    /// The embedded broker.
    pub broker: usize,
    /// HTTP and WebSocket.
    pub http: usize,
    /// Plain lines.
    pub tcp: usize,
}

impl ConnectionShares {
    /// Shares out the files of this process. Raises the system's limit as far as permitted, and
    /// warns if it is too low.
    pub fn new(config: &Config, limits: &ClientLimits, telemetry: &Telemetry) -> Self {
        let wanted = Self::wanted(config, limits);
        let reserved = reserved(config);
        let limit = open_file_limit(reserved + wanted.sum());
        let shares = wanted.within(limit.saturating_sub(reserved));
        if shares != wanted {
            let wanted = reserved + wanted.sum();
            telemetry.few_open_files(limit, wanted, shares.http, shares.tcp, shares.broker);
        }
        shares
    }

    fn wanted(config: &Config, limits: &ClientLimits) -> Self {
        let clients = limits.max_clients + limits.max_connections;
        let embedded = matches!(config.mqtt.url, BrokerUrl::Embedded(_));
        Self {
            broker: if embedded { broker::MOST_CLIENTS } else { 0 },
            http: config.http.listen.map_or(0, |_| clients),
            tcp: config.tcp.listen.map_or(0, |_| clients),
        }
    }

    fn sum(self) -> usize {
        self.broker + self.http + self.tcp
    }

    fn within(self, available: usize) -> Self {
        let wanted = [self.broker, self.http, self.tcp];
        let shares = share_files(available, wanted);
        let share = |index: usize| shares[index].max(FEWEST_CONNECTIONS.min(wanted[index]));
        Self {
            broker: share(0),
            http: share(1),
            tcp: share(2),
        }
    }
}

/// The files that clients never get, but for some of HTTP and TCP that are closed for newer ones.
fn reserved(config: &Config) -> usize {
    let of_room = match &config.cluster {
        Some(_) => FILES_PER_ROOM,
        None => FILES_PER_ROOM + SESSION_FILES,
    };
    FILES_OF_PROCESS + 2 * MOST_LEAVING + of_room * (config.rooms.len() + ROOMS_TO_COME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn wanted(text: &str) -> (ConnectionShares, usize) {
        let room = "[rooms.1]\nurl = \"https://192.0.2.1\"\npassword = \"x\"";
        let text = format!("{text}\n{room}");
        let config = config::read("file".into(), &text, []).unwrap().config;
        let wanted = ConnectionShares::wanted(&config, &ClientLimits::default());
        (wanted, reserved(&config))
    }

    #[test]
    fn under_a_low_limit_every_door_gets_a_share_and_devices_keep_theirs() {
        let text = "[mqtt]\nurl = \"embedded://127.0.0.1:1883\"\n[tcp]\nlisten = \"127.0.0.1:1\"";
        let (wanted, reserved) = wanted(text);
        let shares = wanted.within(300 - reserved);
        assert!(reserved + shares.sum() <= 300);
        for share in [shares.broker, shares.http, shares.tcp] {
            assert!(share >= 40, "{shares:?}");
        }
        // No limit is so low that a door is closed.
        assert_eq!(wanted.within(0).http, FEWEST_CONNECTIONS);
    }

    #[test]
    fn a_door_that_is_off_takes_nothing() {
        let (wanted, _) = wanted("[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:1\"");
        assert_eq!((wanted.broker, wanted.tcp), (0, 0));
        assert_eq!(wanted.within(100).http, 100);
    }
}
