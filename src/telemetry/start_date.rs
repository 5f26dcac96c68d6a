//! When the gateway started, as a date.
//!
//! A clock that is set corrects the date ([`corrected_date`]). The date also tells one run of a gateway from another,
//! so those that were told before stay known. Pure.

use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::{corrected_date, rfc3339};

/// Dates of one run that are remembered. A clock that is set more often is one that nobody believes.
const REMEMBERED: usize = 8;

/// The date, and those that were told before the clock was set.
#[derive(Debug)]
pub struct StartDate {
    told: Vec<OffsetDateTime>,
}

impl StartDate {
    /// The date of a gateway that starts now.
    pub fn new(now: OffsetDateTime) -> Self {
        Self { told: vec![now] }
    }

    /// As text. Empty is never seen: the years of a machine's clock can be written.
    pub fn text(&self) -> String {
        let newest = self.told.last();
        newest.map(|date| rfc3339(*date)).unwrap_or_default()
    }

    /// Takes over what the clock says now that the gateway has run for so long. Whether the date is another one since.
    pub fn correct(&mut self, now: OffsetDateTime, uptime: Duration) -> bool {
        let newest = self.told.last();
        let Some(date) = newest.and_then(|told| corrected_date(*told, now, uptime)) else {
            return false;
        };
        if self.told.len() == REMEMBERED {
            self.told.remove(0);
        }
        self.told.push(date);
        true
    }

    /// Whether this text is the date, or was before.
    pub fn was_told(&self, date: &str) -> bool {
        self.told.iter().any(|told| rfc3339(*told) == date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn a_clock_that_is_set_corrects_the_date() {
        const RIGHT: i64 = 1_796_000_000;
        let mut date = StartDate::new(at(61));
        assert_eq!(date.text(), "1970-01-01T00:01:01Z");
        let uptime = Duration::from_secs(60);
        assert!(!date.correct(at(61 + 60), uptime));
        assert!(!date.correct(at(61 + 120), uptime), "a minute is nothing");
        assert!(date.correct(at(RIGHT + 60), uptime));
        assert_eq!(date.text(), rfc3339(at(RIGHT)));
        assert!(!date.correct(at(RIGHT + 60), uptime));
        // Back too, and both are dates of this run.
        assert!(date.correct(at(RIGHT + 60 - 7200), uptime));
        assert_eq!(date.text(), rfc3339(at(RIGHT - 7200)));
        for told in [61, RIGHT, RIGHT - 7200] {
            assert!(date.was_told(&rfc3339(at(told))), "{told}");
        }
        assert!(!date.was_told(&rfc3339(at(60))) && !date.was_told(""));
        assert!(!date.correct(at(0), Duration::MAX));
        for n in 1..100 {
            assert!(date.correct(at(RIGHT + 3600 * n), uptime));
        }
        assert_eq!(date.told.len(), REMEMBERED);
    }
}
