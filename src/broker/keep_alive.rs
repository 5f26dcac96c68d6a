//! Lets the library know that a client is alive, while packets of the client are answered without it.
//!
//! The library closes a connection when it gets no packet for longer than the Keep Alive. Any packet of the
//! client counts (MQTT 5, 3.1.2.10), also one that the library does not get.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{Frame, kind};

/// The library is told again after this. It waits 1.5 times the Keep Alive, which is a second at least.
const TELL_AFTER: Duration = Duration::from_millis(400);
/// What the library gets instead of a packet that it does not get.
const PINGREQ: &[u8] = &[kind::PINGREQ << 4, 0];

/// What the library knows of one client.
#[derive(Debug)]
pub struct KeepAlive {
    /// When it last got a packet.
    passed: Instant,
    /// How many PINGRESP it owes to nobody.
    owed: usize,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            passed: Instant::now(),
            owed: 0,
        }
    }
}

impl KeepAlive {
    /// The library gets a packet of the client.
    pub fn passes(&mut self) {
        self.passed = Instant::now();
    }

    /// The library does not get a packet of the client. Gives what it gets instead, if anything.
    pub fn withholds(&mut self) -> &'static [u8] {
        if self.passed.elapsed() < TELL_AFTER {
            return &[];
        }
        self.passes();
        self.owed += 1;
        PINGREQ
    }

    /// Whether the client did not ask for this packet of the library.
    pub fn is_owed(&mut self, frame: &Frame) -> bool {
        let is_owed = frame.kind == kind::PINGRESP && self.owed > 0;
        self.owed -= usize::from(is_owed);
        is_owed
    }
}
