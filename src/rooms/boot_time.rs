//! When the device started, told from its uptime.
//!
//! Pure: gets the time. The value is the same from the first reading to the next real start, whatever
//! uptime, clock and network jitter: a computed time would be a new value at each poll.

use tokio::time::Instant;

use crate::catalogue::boot_date;

/// How much less than the time that passed the uptime may have grown, in seconds, without a start. A device
/// may take ten seconds to answer, and a start takes longer than this.
const UPTIME_TOLERANCE: i64 = 20;
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
    /// What a task of the room before this one has published.
    published: Option<String>,
}

impl BootTime {
    /// Without a reading. `published`: the state that a task of the room before this one has left.
    pub fn new(published: Option<String>) -> Self {
        Self {
            published,
            ..Self::default()
        }
    }

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
            let started = unix_now.saturating_sub(uptime);
            self.started = Some(self.published.take().map_or(started, |published| {
                as_published(started, &published).unwrap_or(started)
            }));
        }
        self.newest = Some(Reading { uptime, at: now });
    }

    /// When the device started, in seconds since 1970.
    pub fn started(&self) -> Option<i64> {
        self.started
    }
}

/// The time that was published, if it can be the same start.
fn as_published(started: i64, published: &str) -> Option<i64> {
    let mut near =
        started.saturating_sub(UPTIME_TOLERANCE)..=started.saturating_add(UPTIME_TOLERANCE);
    near.find(|at| boot_date(*at).as_deref() == Some(published))
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

    /// After a reload another task of the room reads the uptime, with other latencies.
    #[test]
    fn another_task_of_the_room_keeps_what_is_published() {
        let published = boot_date(CLOCK - 1000);
        for (late, wanted) in [(0, 0), (1, 0), (-1, 0), (19, 0), (21, 21), (5000, 5000)] {
            let mut boot = BootTime::new(published.clone());
            boot.read(1000, CLOCK + late, Instant::now());
            assert_eq!(boot.started(), Some(CLOCK - 1000 + wanted), "{late}");
            // A start after that is one.
            boot.read(5, CLOCK, Instant::now());
            assert_eq!(boot.started(), Some(CLOCK - 5), "{late}");
        }
        let mut boot = BootTime::new(Some("none".into()));
        boot.read(1000, CLOCK, Instant::now());
        assert_eq!(boot.started(), Some(CLOCK - 1000));
    }

    #[test]
    fn no_uptime_panics() {
        let mut boot = BootTime::default();
        for uptime in [i64::MAX, i64::MIN, 0, i64::MAX] {
            boot.read(uptime, CLOCK, Instant::now());
        }
    }
}
