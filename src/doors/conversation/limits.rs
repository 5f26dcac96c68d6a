//! What one client may take of the gateway, and all of them together.

use std::time::Duration;

/// The limits, which are no user's business but which tests shorten.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many clients there can be, over WebSocket and TCP together.
    pub clients: usize,
    /// How many connections there can be before they are clients.
    pub connections: usize,
    /// The largest frame or line that is taken; files are uploaded over HTTP.
    pub message: usize,
    /// How many filters a client can subscribe to.
    pub subscriptions: usize,
    /// How many of its commands may be without a result that was sent.
    pub in_flight: usize,
    /// How many bytes of files may wait for it.
    pub files: usize,
    /// How often a client is asked whether it is there; silent for twice as long, it is not.
    pub ping: Duration,
    /// How long one frame may take to be sent.
    pub send: Duration,
    /// How long a connection may take for its TLS handshake, a request's head, or its first line.
    pub greeting: Duration,
    /// How long the body of a command may take.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 2000,
            connections: 1000,
            message: 256 << 10,
            subscriptions: 500,
            in_flight: 64,
            files: 32 << 20,
            ping: Duration::from_secs(20),
            send: Duration::from_secs(20),
            greeting: Duration::from_secs(10),
            body: Duration::from_secs(30),
        }
    }
}
