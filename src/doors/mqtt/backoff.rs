//! When the next connection is tried, and what is logged about the last one.
//!
//! Pure. The wait doubles from connection to connection. A connection that ends soon after it was
//! made is no success: the wait goes on growing, and after some of them the log names the usual
//! reason, which is another client with the same client id.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait. Brokers restart in less than a second.
const FIRST_RECONNECT_DELAY: Duration = Duration::from_millis(200);
/// The longest wait: a broker that comes back is used again after half a minute at most.
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_secs(30);
/// The wait when only a change at the broker helps: whoever has made it waits a minute at most.
const FINAL_RECONNECT_DELAY: Duration = Duration::from_secs(60);
/// A connection must last this long to count as a success. Two gateways with one client id throw
/// each other out within milliseconds.
const BRIEF_CONNECTION: Duration = Duration::from_secs(5);
/// After this many brief connections in a row the log names the likely cause.
const BRIEF_CONNECTIONS_WARNED: u32 = 3;

/// The history of the connections.
#[derive(Debug)]
pub struct Backoff {
    delay: Duration,
    connected_at: Option<Instant>,
    /// Brief connections in a row.
    brief: u32,
    /// The reason that the log was told last.
    reported: Option<String>,
}

/// What is logged about a lost connection.
#[derive(Debug, PartialEq, Eq)]
pub struct LossReport {
    /// The reason is new.
    pub is_new_reason: bool,
    /// The connection keeps ending soon after it is made.
    pub keeps_ending: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            delay: FIRST_RECONNECT_DELAY,
            connected_at: None,
            brief: 0,
            reported: None,
        }
    }
}

impl Backoff {
    /// A connection was made. Unless connections keep ending, the next loss is news again.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
        if self.brief < BRIEF_CONNECTIONS_WARNED {
            self.reported = None;
        }
    }

    /// A connection could not be made, or was lost. `by_message`: a message is why, or may be.
    pub fn lost(&mut self, reason: String, by_message: bool, now: Instant) -> LossReport {
        let mut keeps_ending = false;
        if let Some(since) = self.connected_at.take()
            && !by_message
        {
            if now.duration_since(since) < BRIEF_CONNECTION {
                self.brief += 1;
            } else {
                self.brief = 0;
                self.delay = FIRST_RECONNECT_DELAY;
            }
            keeps_ending = self.brief >= BRIEF_CONNECTIONS_WARNED;
        }
        let is_new_reason = self.reported.as_ref() != Some(&reason);
        self.reported = Some(reason);
        LossReport {
            is_new_reason,
            keeps_ending,
        }
    }

    /// It is known which message ended the connection, so the next one is tried soon.
    pub fn cause_found(&mut self) {
        self.delay = FIRST_RECONNECT_DELAY;
    }

    /// How long to wait before the next connection. `is_final`: only a change at the broker helps.
    pub fn next_delay(&mut self, is_final: bool) -> Duration {
        if is_final {
            return FINAL_RECONNECT_DELAY;
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(LONGEST_RECONNECT_DELAY);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_until_a_connection_lasts() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let delays: Vec<u128> = (0..10)
            .map(|_| {
                backoff.lost("refused".into(), false, now);
                backoff.next_delay(false).as_millis()
            })
            .collect();
        assert_eq!(delays[..4], [200, 400, 800, 1600]);
        assert_eq!(delays[9], 30_000);
        backoff.connected(now);
        backoff.lost("closed".into(), false, now + Duration::from_secs(1));
        assert_eq!(backoff.next_delay(false), LONGEST_RECONNECT_DELAY);
        assert_eq!(backoff.next_delay(true), FINAL_RECONNECT_DELAY);
        now += Duration::from_secs(60);
        backoff.connected(now);
        backoff.lost("closed".into(), false, now + Duration::from_secs(6));
        assert_eq!(backoff.next_delay(false), FIRST_RECONNECT_DELAY);
        assert_ne!(backoff.next_delay(false), FIRST_RECONNECT_DELAY);
        backoff.cause_found();
        assert_eq!(backoff.next_delay(false), FIRST_RECONNECT_DELAY);
    }

    #[test]
    fn a_reason_is_told_once_and_again_after_a_connection() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let mut is_news = |reason: &str| backoff.lost(reason.into(), false, now).is_new_reason;
        assert!(is_news("refused"));
        assert!(!is_news("refused"));
        assert!(is_news("timed out"));
        backoff.connected(now);
        let later = now + BRIEF_CONNECTION;
        assert!(backoff.lost("timed out".into(), false, later).is_new_reason);
    }

    #[test]
    fn connections_that_keep_ending_are_told_of_after_the_third() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let reports: Vec<LossReport> = (0..4)
            .map(|_| {
                backoff.connected(now);
                backoff.lost("closed".into(), false, now)
            })
            .collect();
        assert_eq!(
            reports.iter().map(|r| r.keeps_ending).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        // Ends that a message explains are not counted.
        backoff.connected(now);
        assert!(!backoff.lost("closed".into(), true, now).keeps_ending);
        // The reason itself is not repeated from then on.
        assert!(reports[2].is_new_reason && !reports[3].is_new_reason);
    }
}
