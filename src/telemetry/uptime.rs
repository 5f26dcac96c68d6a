//! How long the gateway runs, whatever happens to the machine's clock.
//!
//! The clock that people see may be set, hours forward or back: a machine without a battery learns the time only
//! after the start. This one only runs, and on Linux also while the machine sleeps.

use std::fmt;
use std::time::Duration;

use crate::boot_instant::BootInstant;

/// A moment that the time is counted from.
#[derive(Debug, Clone, Copy)]
pub struct Uptime {
    started: BootInstant,
}

impl Uptime {
    /// Counts from now on.
    pub fn start() -> Self {
        let started = BootInstant::now();
        Self { started }
    }

    /// The time since then.
    pub fn elapsed(self) -> Duration {
        BootInstant::now().since(self.started)
    }
}

/// In words, with the two largest units: `3 d 4 h`, `12 min 5 s`.
impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&time_in_words(self.elapsed().as_secs()))
    }
}

/// A time in words, with its two largest units.
pub fn time_in_words(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let two = units.iter().skip(first).take(2);
    let two: Vec<_> = two.map(|(count, unit)| format!("{count} {unit}")).collect();
    two.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_the_two_largest_units() {
        for (seconds, wanted) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3725, "1 h 2 min"),
            (90_000, "1 d 1 h"),
            (8_640_059, "100 d 0 h"),
        ] {
            assert_eq!(time_in_words(seconds), wanted);
        }
    }

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
