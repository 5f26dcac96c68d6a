//! Whether connections end because nothing happens on them.
//!
//! A proxy or a firewall that ends idle connections gives no reason, so the end looks like any other. But it comes
//! after the same silence each time, shorter than the keep-alive.
//!
//! Pure. Gets times; logs nothing.

use std::time::Duration;

/// After so many such ends the log names the cause.
const ENDS_IN_A_ROW: u32 = 3;
/// The cause is told again after so many further ends: for a short silence about every hour.
const ENDS_TOLD_AGAIN: u32 = 240;
/// By how much the silences may differ: timers of proxies are not exact.
const TOLERANCE: Duration = Duration::from_secs(1);
/// An end sooner after the last packet may have been caused by that.
const SHORTEST_SILENCE: Duration = Duration::from_secs(3);
/// A shorter connection may have been ended by another client with the same client id, which waits up to 8 s.
const SHORTEST_CONNECTION: Duration = Duration::from_secs(10);

/// How a connection ended that had no message under way, and without a reason.
#[derive(Debug, Clone, Copy)]
pub struct QuietEnd {
    /// The time since the last packet in either direction.
    pub silence: Duration,
    /// The age of the connection.
    pub lasted: Duration,
    /// How often the connection is tested.
    pub keep_alive: Duration,
}

/// What is known of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleEnd {
    /// It came after this silence, as those before, and the log is to be told so.
    News(Duration),
    /// The log was told.
    Told,
}

/// The ends after the same silence.
#[derive(Debug, Default)]
pub struct IdleEnds {
    silence: Duration,
    in_a_row: u32,
}

impl IdleEnds {
    /// A connection ended. `None`: nothing says that it was for being idle.
    pub fn ended(&mut self, end: QuietEnd) -> Option<IdleEnd> {
        let can_be = end.lasted >= SHORTEST_CONNECTION
            && end.silence >= SHORTEST_SILENCE
            && end.silence + TOLERANCE < end.keep_alive;
        if !can_be {
            return None;
        }
        let is_same = self.silence.abs_diff(end.silence) <= TOLERANCE;
        self.in_a_row = if is_same { self.in_a_row + 1 } else { 1 };
        self.silence = end.silence;
        match self.in_a_row.checked_sub(ENDS_IN_A_ROW)? {
            0 => Some(IdleEnd::News(end.silence)),
            ENDS_TOLD_AGAIN => {
                self.in_a_row = ENDS_IN_A_ROW;
                Some(IdleEnd::News(end.silence))
            }
            _ => Some(IdleEnd::Told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(silence: u64) -> QuietEnd {
        QuietEnd {
            silence: Duration::from_secs(silence),
            lasted: Duration::from_secs(8 + silence),
            keep_alive: Duration::from_secs(30),
        }
    }

    #[test]
    fn the_same_silence_again_and_again_is_told_once_an_hour() {
        let mut ends = IdleEnds::default();
        let told: Vec<_> = (0..300).map(|n| ends.ended(end(7 + n % 2))).collect();
        assert_eq!(told[..2], [None, None]);
        let is_news = |it: &&Option<IdleEnd>| matches!(it, Some(IdleEnd::News(_)));
        assert!(is_news(&&told[2]) && told[3] == Some(IdleEnd::Told));
        assert_eq!(told.iter().filter(is_news).count(), 2);
        // Another silence is another cause.
        assert_eq!(ends.ended(end(12)), None);
    }

    #[test]
    fn other_ends_are_not_told() {
        for quiet in [
            end(0),
            end(1),
            // The keep-alive would have come at any moment.
            end(29),
            // Another client with this client id.
            QuietEnd {
                lasted: Duration::from_secs(8),
                ..end(6)
            },
        ] {
            let mut ends = IdleEnds::default();
            for _ in 0..10 {
                assert_eq!(ends.ended(quiet), None, "{quiet:?}");
            }
        }
        let mut ends = IdleEnds::default();
        for silence in [4, 8, 20, 6, 12, 17, 3, 25] {
            assert_eq!(ends.ended(end(silence)), None);
        }
    }
}
