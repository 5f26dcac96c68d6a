//! How fast messages are sent: how many may be in flight, and how long to wait between them.
//!
//! Usually the window alone limits them. A broker that refuses messages for now, or leaves some
//! unanswered, takes fewer than the gateway has: then messages go one by one with a delay, which
//! doubles with each setback, shrinks with each message that is taken, and is gone after a minute
//! without a setback. One by one, a state is taken before its result is sent. Outlives the
//! connections. Pure: gets what happened and the time; knows no message.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::MOSQUITTO_WINDOW;

/// While results wait, at most this many publishes are in flight, if the broker allows it: enough
/// for the results of a hundred commands with the states that go before them.
const WINDOW_WITH_RESULTS: usize = 256;
/// With no result waiting, no more publishes are in flight than Mosquitto takes by default, so a
/// state that changes again is sent once.
const WINDOW_WITHOUT_RESULTS: usize = MOSQUITTO_WINDOW as usize;
/// How long sending pauses after the first setback. Brokers count by the second: a quarter of one
/// is soon enough to lose little time, and late enough that some of the quota is back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause. Longer ones would make results useless to those who wait for them.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Messages are apart by this part of the pause: 10 ms at first, 320 ms at most.
const MESSAGES_IN_A_PAUSE: u32 = 25;
/// The pause is shorter by this part of it after each message that is taken: half of it is gone
/// after 40 messages, so that it does not swing.
const SHRINKS_BY: u32 = 64;
/// After this long without a setback the broker is believed to take everything again.
const SLOW_FOR: Duration = Duration::from_secs(60);
/// A broker with a lasting limit is met at each burst of messages; one line an hour tells.
const TOLD_EVERY: Duration = Duration::from_secs(60 * 60);

/// The pace of sending.
#[derive(Debug, Default)]
pub struct Pace {
    slow: Option<Slow>,
    /// When the log was told that the broker takes fewer messages.
    told: Option<Instant>,
}

/// The broker takes fewer messages than there are.
#[derive(Debug)]
struct Slow {
    /// How long the next setback stops everything.
    pause: Duration,
    /// When the next message may be sent.
    next: Instant,
    last_setback: Instant,
}

impl Pace {
    /// How many messages may be in flight, as far as the broker's Receive Maximum allows. `careful`:
    /// one message ends the connection, and it is not known which.
    pub fn window(&self, results_wait: bool, careful: bool) -> usize {
        match results_wait {
            _ if careful || self.slow.is_some() => 1,
            true => WINDOW_WITH_RESULTS,
            false => WINDOW_WITHOUT_RESULTS,
        }
    }

    /// Whether the broker takes fewer messages than there are.
    pub fn is_slow(&self) -> bool {
        self.slow.is_some()
    }

    /// When the next message may be sent; `None`: now.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        let next = self.slow.as_ref()?.next;
        (next > now).then_some(next)
    }

    /// A message is sent.
    pub fn sent(&mut self, now: Instant) {
        if let Some(slow) = &mut self.slow {
            slow.next = slow.next.max(now + slow.pause / MESSAGES_IN_A_PAUSE);
        }
    }

    /// The broker took a message.
    pub fn taken(&mut self, now: Instant) {
        let Some(slow) = &mut self.slow else {
            return;
        };
        slow.pause = FIRST_PAUSE.max(slow.pause - slow.pause / SHRINKS_BY);
        if now.duration_since(slow.last_setback) >= SLOW_FOR {
            self.slow = None;
        }
    }

    /// The broker did not take a message that was sent at this time, because of how many there are.
    /// True if the log is to be told.
    pub fn set_back(&mut self, sent: Instant, now: Instant) -> bool {
        match &mut self.slow {
            // It was under way together with the one before: this is one setback.
            Some(slow) if sent <= slow.last_setback => return false,
            Some(slow) => {
                slow.pause = LONGEST_PAUSE.min(slow.pause * 2);
                slow.next = now + slow.pause;
                slow.last_setback = now;
            }
            None => {
                self.slow = Some(Slow {
                    pause: FIRST_PAUSE,
                    next: now + FIRST_PAUSE,
                    last_setback: now,
                });
            }
        }
        let is_news = self.told.is_none_or(|told| now >= told + TOLD_EVERY);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(setbacks: u32) -> (Pace, Instant) {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for n in 0..setbacks {
            assert_eq!(pace.set_back(now, now), n == 0);
            now = pace.waits_until(now).unwrap();
        }
        (pace, now)
    }

    #[test]
    fn the_window_alone_limits_until_a_setback() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..1000 {
            pace.sent(now);
            assert_eq!(pace.waits_until(now), None);
        }
        assert_eq!(pace.window(true, false), WINDOW_WITH_RESULTS);
        assert_eq!(pace.window(false, false), WINDOW_WITHOUT_RESULTS);
        assert_eq!(pace.window(true, true), 1);
        assert!(pace.set_back(now, now));
        assert_eq!(pace.window(true, false), 1);
        assert_eq!(pace.waits_until(now), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn what_was_under_way_together_is_one_setback() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let refused = now + Duration::from_millis(50);
        for n in 0..256 {
            assert_eq!(pace.set_back(now, refused), n == 0);
        }
        assert_eq!(pace.waits_until(refused), Some(refused + FIRST_PAUSE));
    }

    #[test]
    fn the_pause_doubles_up_to_a_bound_and_shrinks_with_what_is_taken() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for millis in [250, 500, 1000, 2000, 4000, 8000, 8000] {
            pace.set_back(now, now);
            let next = pace.waits_until(now).unwrap();
            assert_eq!(next - now, Duration::from_millis(millis));
            now = next;
        }
        pace.sent(now);
        assert_eq!(pace.waits_until(now), Some(now + LONGEST_PAUSE / 25));
        for _ in 0..1000 {
            pace.taken(now);
        }
        now += LONGEST_PAUSE;
        pace.sent(now);
        assert_eq!(pace.waits_until(now), Some(now + FIRST_PAUSE / 25));
    }

    #[test]
    fn a_minute_without_a_setback_ends_it() {
        let (mut pace, now) = slow(9);
        let later = now - LONGEST_PAUSE + SLOW_FOR;
        pace.taken(later - Duration::from_millis(1));
        assert!(pace.is_slow());
        pace.taken(later);
        assert!(!pace.is_slow());
        // The log is told again after an hour.
        assert!(!pace.set_back(later, later));
        let next_day = later + 24 * TOLD_EVERY;
        assert!(pace.set_back(next_day, next_day));
    }

    /// Brokers that take so many messages a second, and count in different ways.
    #[test]
    fn a_broker_with_a_rate_gets_nearly_as_much_as_it_takes() {
        for rate in [5, 20, 50, 100, 500] {
            for counts_by_the_second in [false, true] {
                let (mut pace, began) = (Pace::default(), Instant::now());
                let (mut now, mut counted_at) = (began, began);
                let (mut tokens, mut taken, mut refused) = (f64::from(rate), 0, 0);
                while now - began < Duration::from_secs(50) {
                    now = pace.waits_until(now).unwrap_or(now);
                    pace.sent(now);
                    let passed = (now - counted_at).as_secs_f64();
                    if !counts_by_the_second {
                        tokens = f64::from(rate).min(tokens + passed * f64::from(rate));
                        counted_at = now;
                    } else if passed >= 1.0 {
                        (tokens, counted_at) = (f64::from(rate), now);
                    }
                    now += Duration::from_millis(1);
                    if tokens >= 1.0 {
                        tokens -= 1.0;
                        taken += 1;
                        pace.taken(now);
                    } else {
                        refused += 1;
                        pace.set_back(now, now);
                    }
                }
                // One by one they are 10 ms apart.
                let most = 50 * rate.min(90);
                let counts = format!("{rate} a second: {taken} taken, {refused} refused");
                assert!(taken * 3 > most, "{counts}");
                assert!(refused * 4 < taken, "{counts}");
            }
        }
    }
}
