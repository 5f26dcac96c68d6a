//! How much less a device is to be read that asks for fewer requests (429, or 503 with `Retry-After`).
//!
//! Pure: the caller passes the time. Remembers what the device asked for, and for how long it has not asked again.
//! Holds nothing back: who reads does that, and commands go on.

use std::time::Duration;

use tokio::time::Instant;

/// By how much reads are slowed down at most: to the gentle pace.
const MOST_SLOWDOWN: u32 = 4;
/// The first pause if the device names none. The next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// "Retry-After: 0" is none.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// A device may ask for more. A mistake of what stands before it must not leave a room unread for a day, and one
/// request a minute is a load for nobody.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What one device has asked for.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// By how much reads are slowed down. None: the device has not asked for fewer requests lately.
    slowdown: Option<u32>,
    /// The end of the pause that it asked for last.
    paused_until: Option<Instant>,
    /// When it asked last, or when the reads became faster since.
    changed: Option<Instant>,
}

/// How a device is to be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedPace {
    /// The device has asked for fewer requests, and the reads are not back at their usual pace for long enough.
    pub is_throttled: bool,
    /// How many times as long the reads are apart as usual.
    pub slowdown: u32,
    /// Nothing is to be read before.
    pub paused_until: Option<Instant>,
}

impl Default for RequestedPace {
    fn default() -> Self {
        Self {
            is_throttled: false,
            slowdown: 1,
            paused_until: None,
        }
    }
}

impl Throttle {
    /// The device asks for fewer requests. `wait`: for how long none, if it says so.
    pub fn asked(&mut self, wait: Option<Duration>, now: Instant) {
        // What was sent before the pause began tells nothing of the new pace.
        if self.paused_until.is_none_or(|until| until <= now) {
            let slower = self.slowdown.unwrap_or(1) * 2;
            self.slowdown = Some(slower.min(MOST_SLOWDOWN));
        }
        let pause = wait.unwrap_or(FIRST_PAUSE * self.slowdown.unwrap_or(1) / 2);
        let until = now + pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.paused_until = Some(self.paused_until.map_or(until, |before| before.max(until)));
        self.changed = Some(now);
    }

    /// The device has answered otherwise. After `quiet` without another such request its reads become faster by one
    /// step, and after the last of these it counts as one that never asked.
    pub fn answered(&mut self, quiet: Duration, now: Instant) {
        let is_quiet = self.changed.is_some_and(|changed| now >= changed + quiet);
        let is_over = self.paused_until.is_none_or(|until| until <= now);
        if !is_quiet || !is_over {
            return;
        }
        *self = Self {
            slowdown: self.slowdown.filter(|slow| *slow > 1).map(|slow| slow / 2),
            paused_until: None,
            changed: Some(now),
        };
        if self.slowdown.is_none() {
            *self = Self::default();
        }
    }

    /// How the device is to be read now.
    pub fn pace(&self) -> RequestedPace {
        RequestedPace {
            is_throttled: self.slowdown.is_some(),
            slowdown: self.slowdown.unwrap_or(1),
            paused_until: self.paused_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(300);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_pause_that_was_not_enough_makes_reads_slower_up_to_the_gentle_pace() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.pace(), RequestedPace::default());
        for (slowdown, pause) in [(2, 5), (4, 10), (4, 10)] {
            throttle.asked(None, now);
            // The answer to what was sent beside it.
            throttle.asked(None, now);
            let pace = throttle.pace();
            assert!(pace.is_throttled);
            assert_eq!(pace.slowdown, slowdown);
            now += seconds(pause);
            assert_eq!(pace.paused_until, Some(now));
        }
    }

    #[test]
    fn the_device_says_how_long_within_bounds() {
        for (asked, pause) in [(0, 1), (9, 9), (60, 60), (86_400, 60), (u64::MAX, 60)] {
            let (mut throttle, now) = (Throttle::default(), Instant::now());
            throttle.asked(Some(seconds(asked)), now);
            // A shorter one does not end it.
            throttle.asked(Some(seconds(0)), now);
            let until = throttle.pace().paused_until;
            assert_eq!(until, Some(now + seconds(pause)), "{asked}");
        }
    }

    #[test]
    fn reads_are_back_at_their_usual_pace_step_by_step() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        throttle.asked(Some(seconds(9)), start);
        throttle.asked(Some(seconds(9)), start + seconds(9));
        let mut now = start + seconds(9);
        for slowdown in [4, 2, 1] {
            throttle.answered(QUIET, now + QUIET - seconds(1));
            let pace = throttle.pace();
            assert!(pace.is_throttled && pace.slowdown == slowdown, "{pace:?}");
            now += QUIET;
            throttle.answered(QUIET, now);
        }
        assert_eq!(throttle.pace(), RequestedPace::default());
        throttle.answered(QUIET, now + QUIET);
        assert_eq!(throttle.pace(), RequestedPace::default());
    }

    #[test]
    fn a_device_that_asks_again_is_read_slower_again() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        throttle.asked(None, now);
        throttle.answered(QUIET, now + QUIET);
        assert_eq!(
            (throttle.pace().slowdown, throttle.pace().is_throttled),
            (1, true)
        );
        throttle.asked(None, now + QUIET);
        throttle.answered(QUIET, now + QUIET + QUIET / 2);
        assert_eq!(throttle.pace().slowdown, 2);
    }
}
