//! How much one client may use, and all of them together.

use std::time::Duration;

use crate::doors::payers::OWN_TIME;

/// The limits. Users cannot change them; tests shorten them.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Clients over WebSocket and TCP together.
    pub max_clients: usize,
    /// Connections that are no clients yet, and HTTP requests.
    pub max_connections: usize,
    /// The largest frame, line or payload, in bytes. Files are uploaded over HTTP without a limit.
    pub max_message: usize,
    /// Topic filters of one client.
    pub max_subscriptions: usize,
    /// Commands of one client whose result was not sent yet.
    pub max_in_flight: usize,
    /// Bytes of files that wait to be sent to one client.
    pub max_file_bytes: usize,
    /// Processor time that requests and frames of one token, or of one address where none is needed, may use at
    /// once.
    pub own_processor_time: Duration,
    /// How often a client is pinged. One that sends nothing for twice as long is closed.
    pub ping_interval: Duration,
    /// How long sending one frame may take.
    pub send_timeout: Duration,
    /// How long a connection may take for its TLS handshake, a request's head, or its first line.
    pub greeting_timeout: Duration,
    /// How long the payload of a command over HTTP may take.
    pub body_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            // A panel in each of 500 rooms, with some browsers and scripts beside them.
            max_clients: 2000,
            max_connections: 1000,
            // The largest payload that a command takes is a few KB.
            max_message: 256 << 10,
            // One for each of 500 rooms; `+` and `#` need fewer.
            max_subscriptions: 500,
            // A script that does not wait for results keeps every queue busy with fewer.
            max_in_flight: 64,
            // Some snapshots of 1 to 2 MB, or one archive of logs.
            max_file_bytes: 32 << 20,
            own_processor_time: OWN_TIME,
            // Proxies close a silent WebSocket after 60 s.
            ping_interval: Duration::from_secs(20),
            // A client that reads nothing for this long has stopped.
            send_timeout: Duration::from_secs(20),
            greeting_timeout: Duration::from_secs(10),
            // 256 KiB take 20 s over the slowest lines in use (100 kbit/s).
            body_timeout: Duration::from_secs(30),
        }
    }
}
