//! The machine's clock, which people may set, and its times as text.
//!
//! Pure parts get the time as an argument; their callers read it here. How long something takes is measured with
//! `Instant` or `boot_instant`, which nobody can set.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

/// The time of an event, as pure parts get it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// To measure from.
    pub instant: Instant,
    /// To show to people.
    pub utc: OffsetDateTime,
}

impl Moment {
    /// The present moment.
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            utc: OffsetDateTime::now_utc(),
        }
    }
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
