//! When the next connection is tried, and what is logged about the last one.
//!
//! Pure. The wait doubles from connection to connection. A connection that ends soon after it was made is no success:
//! the wait goes on growing, and after some of them the log names the broker's reason or, without one, the usual one,
//! which is another client with the same client id. Two gateways with one client id end each other's connections, each
//! after the other's wait. So from then on only a connection that lasts longer than that wait counts as a success. A
//! bad network looks the same, so that wait is short enough to lose no command.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait. Brokers restart in less than a second.
const FIRST_RECONNECT_DELAY: Duration = Duration::from_millis(200);
/// The longest wait: a broker that comes back is used again after half a minute at most.
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_secs(30);
/// The wait when only a change at the broker helps: whoever has made it waits a minute at most.
const FINAL_RECONNECT_DELAY: Duration = Duration::from_secs(60);
/// The longest wait of a gateway that shares its rooms with others: the broker has no session for it, so commands to
/// its rooms are lost meanwhile.
const SHARED_RECONNECT_DELAY: Duration = Duration::from_secs(2);
/// A connection must last this long to count as a success. Two gateways with one client id throw
/// each other out within milliseconds.
const BRIEF_CONNECTION: Duration = Duration::from_secs(5);
/// After this many brief connections in a row the log names the likely cause.
const BRIEF_CONNECTIONS_WARNED: u32 = 3;
/// The longest wait after a connection that the broker had accepted: shorter than the default of
/// `mqtt.session_expiry` (10 s), so that the broker keeps the commands if it was only a bad network.
const UNSTEADY_RECONNECT_DELAY: Duration = Duration::from_secs(8);
/// After that a connection must last this long: longer than another gateway with this client id waits
/// before it takes the place again. Whatever ended it, a connection that lasted so long was a success.
const STEADY_CONNECTION: Duration = Duration::from_secs(10);
/// A connection that ends before the broker has answered the subscription, or while a message is under way,
/// may end because of that, which is found after fewer ends. From so many on the log names that cause too.
const UNEXPLAINED_ENDS_WARNED: u32 = 8;
/// The cause is told again after so many further connections: with two gateways about every hour.
const BRIEF_CONNECTIONS_TOLD_AGAIN: u32 = 240;

/// The history of the connections.
#[derive(Debug)]
pub struct Backoff {
    delay: Duration,
    longest: Duration,
    opened_at: Option<Instant>,
    is_ready: bool,
    /// The broker had accepted the last connection.
    was_opened: bool,
    /// Brief connections in a row that could be used.
    brief: u32,
    /// Connections in a row that ended before they could be used, or when a message was under way.
    unexplained: u32,
    /// Brief connections in a row since the log was told.
    since_told: Option<u32>,
    /// The reason that the log was told last.
    reported: Option<String>,
}

/// What is logged about a lost connection.
#[derive(Debug, PartialEq, Eq)]
pub struct LossReport {
    /// The reason is new.
    pub is_new_reason: bool,
    /// The connection keeps ending soon after it is made, and the log was not told lately.
    pub keeps_ending: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            delay: FIRST_RECONNECT_DELAY,
            longest: LONGEST_RECONNECT_DELAY,
            opened_at: None,
            is_ready: false,
            was_opened: false,
            brief: 0,
            unexplained: 0,
            since_told: None,
            reported: None,
        }
    }
}

impl Backoff {
    /// Of a gateway that shares its rooms with others.
    pub fn shared() -> Self {
        Self {
            longest: SHARED_RECONNECT_DELAY,
            ..Self::default()
        }
    }

    /// The broker has accepted a connection.
    pub fn opened(&mut self, now: Instant) {
        self.opened_at = Some(now);
        self.is_ready = false;
    }

    /// The connection can be used. Unless connections keep ending, the next loss is news again.
    pub fn connected(&mut self) {
        self.is_ready = true;
        if self.since_told.is_none() {
            self.reported = None;
        }
    }

    /// A connection could not be made, or was lost. `by_message`: a message is why, or may be.
    pub fn lost(&mut self, reason: String, by_message: bool, now: Instant) -> LossReport {
        let mut keeps_ending = false;
        self.was_opened = self.opened_at.is_some();
        if let Some(since) = self.opened_at.take() {
            keeps_ending = self.ended(now.duration_since(since), by_message);
        }
        let is_new_reason = self.reported.as_ref() != Some(&reason);
        self.reported = Some(reason);
        LossReport {
            is_new_reason,
            keeps_ending,
        }
    }

    /// A connection ended after this time. True if the log is to be told that they keep ending.
    fn ended(&mut self, lasted: Duration, by_message: bool) -> bool {
        // Neither the subscription nor a message can be why.
        let is_counted = self.is_ready && !by_message;
        let is_enough = is_counted && self.since_told.is_none() && lasted >= BRIEF_CONNECTION;
        if is_enough || lasted >= STEADY_CONNECTION {
            self.brief = 0;
            self.unexplained = 0;
            self.since_told = None;
            self.delay = FIRST_RECONNECT_DELAY;
            return false;
        }
        if is_counted {
            self.brief += 1
        } else {
            self.unexplained += 1
        }
        let is_told = match self.since_told {
            None => {
                self.brief >= BRIEF_CONNECTIONS_WARNED
                    || self.unexplained >= UNEXPLAINED_ENDS_WARNED
            }
            Some(since) => since + 1 >= BRIEF_CONNECTIONS_TOLD_AGAIN,
        };
        self.since_told = if is_told {
            Some(0)
        } else {
            self.since_told.map(|since| since + 1)
        };
        is_told
    }

    /// It is known which message or filter ended the connection, so the next one is tried soon.
    pub fn cause_found(&mut self) {
        self.unexplained = 0;
        self.delay = FIRST_RECONNECT_DELAY;
    }

    /// The longest wait after a connection that ended as the last one.
    pub fn longest_delay(&self, is_final: bool) -> Duration {
        match self.was_opened {
            _ if is_final => FINAL_RECONNECT_DELAY,
            true => UNSTEADY_RECONNECT_DELAY.min(self.longest),
            false => self.longest,
        }
    }

    /// How long to wait before the next connection. `is_final`: only a change at the broker helps.
    pub fn next_delay(&mut self, is_final: bool) -> Duration {
        let longest = self.longest_delay(is_final);
        if is_final {
            return longest;
        }
        let delay = self.delay.min(longest);
        self.delay = (delay * 2).min(longest);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that can be used.
    fn connect(backoff: &mut Backoff, now: Instant) {
        backoff.opened(now);
        backoff.connected();
    }

    #[test]
    fn a_gateway_of_several_is_soon_back() {
        for accepted in [false, true] {
            let (mut backoff, now) = (Backoff::shared(), Instant::now());
            for _ in 0..20 {
                if accepted {
                    backoff.opened(now);
                }
                backoff.lost("closed".into(), false, now);
                assert!(backoff.next_delay(false) <= SHARED_RECONNECT_DELAY);
            }
            assert_eq!(backoff.next_delay(true), FINAL_RECONNECT_DELAY);
        }
    }

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
        connect(&mut backoff, now);
        backoff.lost("closed".into(), false, now + Duration::from_secs(1));
        assert_eq!(backoff.next_delay(false), UNSTEADY_RECONNECT_DELAY);
        assert_eq!(backoff.next_delay(true), FINAL_RECONNECT_DELAY);
        now += Duration::from_secs(60);
        connect(&mut backoff, now);
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
        connect(&mut backoff, now);
        let later = now + BRIEF_CONNECTION;
        assert!(backoff.lost("timed out".into(), false, later).is_new_reason);
    }

    #[test]
    fn connections_that_keep_ending_are_told_of_after_the_third() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let reports: Vec<LossReport> = (0..4)
            .map(|_| {
                connect(&mut backoff, now);
                backoff.lost("closed".into(), false, now)
            })
            .collect();
        assert_eq!(
            reports.iter().map(|r| r.keeps_ending).collect::<Vec<_>>(),
            [false, false, true, false]
        );
        // Ends that a message explains are not counted.
        connect(&mut backoff, now);
        assert!(!backoff.lost("closed".into(), true, now).keeps_ending);
        // The reason itself is not repeated from then on.
        assert!(reports[2].is_new_reason && !reports[3].is_new_reason);
    }

    /// Two gateways with one client id: each takes the other's place when its wait is over.
    #[test]
    fn two_that_throw_each_other_out_wait_ever_longer_and_say_so_once() {
        for (is_ready, by_message) in [(true, false), (false, false), (true, true)] {
            let mut gateways = [Backoff::default(), Backoff::default()];
            let (mut now, mut told, mut losses) = (Instant::now(), [0, 0], 0);
            let began = now;
            // When each connects next; the second one is connected.
            let mut due = [Some(now), None];
            while now < began + Duration::from_secs(30 * 60) {
                let next = if due[0].is_some() && (due[1].is_none() || due[0] <= due[1]) {
                    0
                } else {
                    1
                };
                now = due[next].take().unwrap();
                gateways[next].opened(now);
                if is_ready {
                    gateways[next].connected();
                }
                let other = 1 - next;
                if due[other].is_none() {
                    let report = gateways[other].lost("closed".into(), by_message, now);
                    told[other] += u32::from(report.keeps_ending);
                    due[other] = Some(now + gateways[other].next_delay(false));
                    losses += 1;
                }
            }
            // One in eight seconds, and some at the start.
            assert!(losses < 30 * 60 / 8 + 30, "{losses}");
            assert!(told.iter().all(|told| *told == 1), "{told:?}");
            assert_eq!(gateways[0].delay, UNSTEADY_RECONNECT_DELAY);
        }
    }

    /// A network that breaks now and then, or a broker that is restarted, under way or not.
    #[test]
    fn a_bad_network_never_costs_more_than_the_session() {
        for (lasts, longest) in [(1, UNSTEADY_RECONNECT_DELAY), (12, FIRST_RECONNECT_DELAY)] {
            for (is_ready, by_message) in [(true, false), (false, false), (true, true)] {
                let (mut backoff, mut now) = (Backoff::default(), Instant::now());
                let mut delays = Vec::new();
                for _ in 0..100 {
                    backoff.opened(now);
                    if is_ready {
                        backoff.connected();
                    }
                    now += Duration::from_secs(lasts);
                    backoff.lost("reset".into(), by_message, now);
                    delays.push(backoff.next_delay(false));
                }
                assert_eq!(delays.iter().max(), Some(&longest), "{lasts} {is_ready}");
            }
        }
    }

    #[test]
    fn a_connection_that_lasts_is_a_success_again() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        for _ in 0..BRIEF_CONNECTIONS_WARNED {
            connect(&mut backoff, now);
            backoff.lost("closed".into(), false, now);
            backoff.next_delay(false);
        }
        for (lasts, is_success) in [(BRIEF_CONNECTION, false), (STEADY_CONNECTION, true)] {
            connect(&mut backoff, now);
            now += lasts;
            backoff.lost("closed".into(), false, now);
            let delay = backoff.next_delay(false);
            assert_eq!(delay == FIRST_RECONNECT_DELAY, is_success, "{lasts:?}");
        }
    }
}
