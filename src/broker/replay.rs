//! What is on its way to a client because it was retained when the client subscribed.
//!
//! The library copies a retained message for each filter that matches it, also where one SUBSCRIBE
//! has the same filter many times, and before the client has read anything. Counts the copies of
//! one client from its SUBSCRIBE until they are written.

use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::time::{Duration, Instant};

use super::answers::Denial;
use super::limits::REPLAY_BYTES;

/// What the library takes for a message besides its bytes.
pub const MESSAGE_OVERHEAD: usize = 512;
/// A client that was sent nothing for this long, although it could be, has everything.
const QUIET_TIME: Duration = Duration::from_secs(1);

const TOO_MUCH: Denial = Denial::limit(
    "replay",
    ReasonCode::QuotaExceeded,
    "too many retained messages are on their way already; subscribe again when they have come",
);

/// The retained messages that are on their way to one client.
#[derive(Debug, Default)]
pub struct ReplayBacklog {
    bytes: usize,
    /// When the client subscribed, or was sent something.
    last_change: Option<Instant>,
}

impl ReplayBacklog {
    /// Whether so many bytes more may be on their way. Those of one filter always may.
    ///
    /// # Errors
    /// They may not.
    pub fn check(&self, bytes: usize) -> Result<(), Denial> {
        if self.bytes > 0 && bytes > 0 && self.bytes + bytes > REPLAY_BYTES {
            return Err(TOO_MUCH);
        }
        Ok(())
    }

    /// More bytes are on their way.
    pub fn add(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes;
        self.last_change = Some(now);
    }

    /// A message is sent.
    pub fn sent(&mut self, length: usize) {
        if self.bytes > 0 {
            self.bytes = self.bytes.saturating_sub(length + MESSAGE_OVERHEAD);
            self.last_change = Some(Instant::now());
        }
    }

    /// The client takes what it is sent. If that was nothing for a while, nothing is on its way: a
    /// message may have expired.
    pub fn takes_everything(&mut self, now: Instant) {
        let is_quiet = |last: Instant| now.duration_since(last) >= QUIET_TIME;
        if self.last_change.is_none_or(is_quiet) {
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_may_come_when_the_first_has_been_sent() {
        let mut replay = ReplayBacklog::default();
        let now = Instant::now();
        replay.check(REPLAY_BYTES * 2).unwrap();
        replay.add(REPLAY_BYTES * 2, now);
        assert_eq!(replay.check(1), Err(TOO_MUCH));
        replay.check(0).unwrap();
        replay.takes_everything(now + QUIET_TIME / 2);
        assert_eq!(replay.check(1), Err(TOO_MUCH));
        replay.sent(REPLAY_BYTES);
        replay.check(MESSAGE_OVERHEAD).unwrap();
        replay.add(REPLAY_BYTES, now);
        replay.takes_everything(now + QUIET_TIME);
        replay.check(REPLAY_BYTES).unwrap();
    }
}
