//! When the device started, told from its uptime.
//!
//! Pure: gets the time. The value is the same from the first reading to the next real start, whatever
//! uptime, clock and network jitter: a computed time would be a new value at each poll.

use tokio::time::Instant;

/// How much less than the time that passed the uptime may have grown, in seconds, without a start. A device
/// may take ten seconds to answer, and a start takes longer than this.
const UPTIME_TOLERANCE: i64 = 30;
/// How much smaller than before an uptime may be, in seconds, without a start: two answers may overtake each
/// other.
const OVERTAKING_TOLERANCE: i64 = 2;

/// The newest reading of the uptime.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Seconds since the device started.
    uptime: i64,
    at: Instant,
}

/// When a device started.
#[derive(Debug, Default)]
pub struct BootTime {
    /// Seconds since 1970.
    started: Option<i64>,
    newest: Option<Reading>,
}

impl BootTime {
    /// Takes an uptime in seconds. `unix_now`: the clock, in seconds since 1970; it is looked at only when
    /// the device has started, so that setting the clock changes nothing.
    pub fn read(&mut self, uptime: i64, unix_now: i64, now: Instant) {
        let has_started = self.newest.is_none_or(|before| {
            let passed = now.saturating_duration_since(before.at);
            let passed = i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
            let expected = before.uptime.saturating_add(passed);
            uptime.saturating_add(UPTIME_TOLERANCE) < expected
                || uptime.saturating_add(OVERTAKING_TOLERANCE) < before.uptime
        });
        if has_started {
            self.started = Some(unix_now.saturating_sub(uptime));
        }
        self.newest = Some(Reading { uptime, at: now });
    }

    /// When the device started, in seconds since 1970.
    pub fn started(&self) -> Option<i64> {
        self.started
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CLOCK: i64 = 1_800_000_000;

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn the_time_is_the_same_at_each_poll_whatever_the_jitter() {
        let (mut boot, start) = (BootTime::default(), Instant::now());
        boot.read(1000, CLOCK, start);
        assert_eq!(boot.started(), Some(CLOCK - 1000));
        // A year of polls by a device whose clock runs slow, with answers that are up to 9 s late, while
        // the gateway's clock is set.
        for n in 1..20_000_i64 {
            let seconds = n * 15;
            let late = [0.0, 9.0, 0.4, 3.0][usize::try_from(n % 4).unwrap()];
            let uptime = 1000 + seconds - seconds / 10_000;
            let clock = CLOCK + seconds + [0, 3600, -86_400][usize::try_from(n % 3).unwrap()];
            boot.read(uptime, clock, after(start, seconds as f64 + late));
            assert_eq!(boot.started(), Some(CLOCK - 1000), "{n}");
        }
    }

    #[test]
    fn a_start_changes_it() {
        let (mut boot, start) = (BootTime::default(), Instant::now());
        boot.read(1000, CLOCK, start);
        // At once, and while the device could not be read for long.
        boot.read(5, CLOCK + 100, after(start, 100.0));
        assert_eq!(boot.started(), Some(CLOCK + 95));
        boot.read(1, CLOCK + 120, after(start, 120.0));
        assert_eq!(boot.started(), Some(CLOCK + 119));
        boot.read(2000, CLOCK + 10_000, after(start, 10_000.0));
        assert_eq!(boot.started(), Some(CLOCK + 8000));
    }

    #[test]
    fn no_uptime_is_too_much() {
        let mut boot = BootTime::default();
        for uptime in [i64::MAX, i64::MIN, 0, i64::MAX] {
            boot.read(uptime, CLOCK, Instant::now());
        }
    }
}
