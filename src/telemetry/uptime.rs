//! How long the gateway runs, whatever happens to the machine's clock.
//!
//! The clock that people see may be set, hours forward or back: a machine without a battery learns the time only
//! after the start. This one only runs, and on Linux also while the machine sleeps.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment that the time is counted from.
#[derive(Debug, Clone, Copy)]
pub struct Uptime {
    started: Duration,
}

impl Uptime {
    /// Counts from now on.
    pub fn start() -> Self {
        Self { started: now() }
    }

    /// The time since then.
    pub fn elapsed(self) -> Duration {
        now().saturating_sub(self.started)
    }
}

/// The time since the machine was started.
fn now() -> Duration {
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_only_goes_on() {
        let uptime = Uptime::start();
        let first = uptime.elapsed();
        assert!(first < Duration::from_secs(60));
        let mut last = first;
        while last == first {
            let next = uptime.elapsed();
            assert!(next >= last);
            last = next;
        }
    }
}
