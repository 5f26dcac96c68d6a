//! The machine's clock, which people may set, and its times as text.
//!
//! Pure parts get the time as an argument; their callers read it here. How long something takes is measured with
//! `Instant` or `boot_instant`, which nobody can set.
//!
//! A machine without a battery learns the time only after the start: its clock begins in 1970, or when it was switched
//! off. How long ago something began is always known, so a clock that is set corrects the date of it
//! ([`corrected_date`]).

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::boot_instant::BootInstant;

/// A clock that is set by less changes no date.
const TOLERATED: time::Duration = time::Duration::MINUTE;

/// The time of an event, as pure parts get it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// To measure from.
    pub instant: Instant,
    /// To measure from what may be days ago: also runs while the machine sleeps.
    pub boot: BootInstant,
    /// To show to people.
    pub utc: OffsetDateTime,
}

impl Moment {
    /// The present moment.
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            boot: BootInstant::now(),
            utc: OffsetDateTime::now_utc(),
        }
    }
}

/// The beginning of something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    at: BootInstant,
    date: OffsetDateTime,
}

impl Beginning {
    /// It begins now.
    pub fn new(now: Moment) -> Self {
        Self {
            at: now.boot,
            date: now.utc,
        }
    }

    /// Takes over what the clock says now.
    pub fn correct(&mut self, now: Moment) {
        let correct = corrected_date(self.date, now.utc, now.boot.since(self.at));
        self.date = correct.unwrap_or(self.date);
    }

    /// In RFC 3339.
    pub fn text(&self) -> String {
        rfc3339(self.date)
    }
}

/// The date of something that was told as of the date `told`, and began so long before `now`. `None` if what was told
/// is right.
pub fn corrected_date(
    told: OffsetDateTime,
    now: OffsetDateTime,
    ago: Duration,
) -> Option<OffsetDateTime> {
    let ago = time::Duration::try_from(ago).ok()?;
    let date = now.checked_sub(ago)?;
    ((date - told).abs() > TOLERATED).then_some(date)
}

/// Seconds since 1970; 0 if the clock is set to a time before.
pub fn unix_seconds() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp().max(0)
}

/// The time now, in RFC 3339.
pub fn utc_now() -> String {
    rfc3339(OffsetDateTime::now_utc())
}

/// A time in RFC 3339; empty where that has no year for it.
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// A time in seconds since 1970, in RFC 3339; `None` where that has no year for it.
pub fn rfc3339_of_unix(seconds: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_corrects_the_beginning_of_what_lasts() {
        let at = |seconds: u64, utc: i64| Moment {
            instant: Instant::now(),
            boot: BootInstant::from_nanos(0) + Duration::from_secs(seconds),
            utc: OffsetDateTime::from_unix_timestamp(utc).unwrap(),
        };
        const RIGHT: i64 = 1_796_000_000;
        let mut beginning = Beginning::new(at(20, 20));
        // The clock runs, and is a minute slow at most.
        for now in [at(500, 500), at(500, 560)] {
            beginning.correct(now);
            assert_eq!(beginning.text(), "1970-01-01T00:00:20Z");
        }
        beginning.correct(at(520, RIGHT + 500));
        assert_eq!(Some(beginning.text()), rfc3339_of_unix(RIGHT));
        beginning.correct(at(700, RIGHT + 680));
        assert_eq!(Some(beginning.text()), rfc3339_of_unix(RIGHT));
    }

    #[test]
    fn a_time_without_a_year_of_four_digits_has_no_text() {
        let text = rfc3339_of_unix(1_700_000_000);
        assert_eq!(text.as_deref(), Some("2023-11-14T22:13:20Z"));
        // The last second of the year 9999, the one after it, and what is no date at all.
        assert!(rfc3339_of_unix(253_402_300_799).is_some());
        for seconds in [253_402_300_800, i64::MAX, i64::MIN] {
            assert_eq!(rfc3339_of_unix(seconds), None, "{seconds}");
        }
    }
}
