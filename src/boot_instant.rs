//! A moment of the clock that also runs while the machine is suspended.
//!
//! `std::time::Instant` stands still then, so a gateway that wakes up would believe that its time has not yet
//! run out. Nobody can set this clock.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment, in nanoseconds since the machine started. It means nothing on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(u64);

impl BootInstant {
    /// The present moment.
    pub fn now() -> Self {
        let time = clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// The moment at so many nanoseconds after the machine's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the machine's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from an earlier moment to this one; none passed if that one is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_and_sums_do_not_overflow() {
        let before = BootInstant::now();
        std::thread::sleep(Duration::from_millis(2));
        let after = BootInstant::now();
        assert!(after.since(before) >= Duration::from_millis(2));
        assert_eq!(before.since(after), Duration::ZERO);
        let end = BootInstant::from_nanos(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
    }
}
