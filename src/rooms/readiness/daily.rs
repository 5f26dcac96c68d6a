//! When the daily run of a room is due.
//!
//! Pure: gets the time in seconds since 1970, and a function that tells the local time's offset from UTC.
//! A room is checked once a day, whatever the clock does: at a time that a clock change skips, an hour
//! later by that clock; at a time that comes twice, the first time. Rooms are spread over some minutes.

use std::time::Duration;

use crate::config::TimeOfDay;
use crate::rooms::spread::spread_number;

const DAY: i64 = 24 * 60 * 60;
/// Rooms with the same time start within this time, in seconds: of 500 rooms one a second, so that neither
/// the network nor the number that the test calls go to gets all at once.
const SPREAD: i64 = 10 * 60;
/// A run that could not take place is tried again after this time, in seconds: calls and meetings take half
/// an hour or more.
const RETRY_AFTER: i64 = 10 * 60;
/// A run that is later than this, in seconds, is left out until the next day: the machine slept, its clock
/// was set, or the room was in use all morning.
const LATEST: i64 = 6 * 60 * 60;
/// The clock is looked at this often, since it can be set at any time.
const LONGEST_WAIT: i64 = 60 * 60;

/// How many seconds local time is ahead of UTC at a time in seconds since 1970.
type Offset = fn(i64) -> i64;

/// The daily run of one room.
#[derive(Debug)]
pub struct Daily {
    at: TimeOfDay,
    /// Seconds after that time, different for each room.
    spread: i64,
    offset: Offset,
    /// When the next run is due.
    due: i64,
    /// The day of the newest run, counted from 1970 in local time.
    last_day: Option<i64>,
    /// Not before this, since the room was in use.
    retry_at: Option<i64>,
}

impl Daily {
    /// The runs of a room from now on.
    pub fn new(at: TimeOfDay, room: &str, offset: Offset, now: i64) -> Self {
        let spread = i64::try_from(spread_number(room) % SPREAD.unsigned_abs()).unwrap_or(0);
        let mut daily = Self {
            at,
            spread,
            offset,
            due: 0,
            last_day: None,
            retry_at: None,
        };
        daily.due = daily.next_after(now);
        daily
    }

    /// Whether a run is due. Leaves out one that is too late, and follows a clock that was set.
    pub fn is_due(&mut self, now: i64) -> bool {
        if now > self.due + LATEST {
            self.finish(now);
        }
        // The clock was set back: the next time comes sooner than what is waited for.
        let next = self.next_after(now);
        if next < self.due {
            self.due = next;
            self.retry_at = None;
        }
        now >= self.due && self.retry_at.is_none_or(|at| now >= at)
    }

    /// A run has taken place.
    pub fn done(&mut self, now: i64) {
        self.last_day = Some(self.day_of(self.due));
        self.finish(now);
    }

    /// The room could not be checked now.
    pub fn postpone(&mut self, now: i64) {
        self.retry_at = Some(now + RETRY_AFTER);
    }

    fn finish(&mut self, now: i64) {
        self.retry_at = None;
        self.due = self.next_after(now);
    }

    /// After which time to look again.
    pub fn next_look(&self, now: i64) -> Duration {
        let at = self.retry_at.map_or(self.due, |at| at.max(self.due));
        let wait = at.saturating_sub(now).clamp(1, LONGEST_WAIT);
        Duration::from_secs(wait.unsigned_abs())
    }

    /// The local day, counted from 1970.
    fn day_of(&self, at: i64) -> i64 {
        at.saturating_add((self.offset)(at)).div_euclid(DAY)
    }

    /// The next time after `now`, on a day without a run so far.
    fn next_after(&self, now: i64) -> i64 {
        let today = self.day_of(now);
        // A run in the future was made before the clock was set back by days. It does not count.
        let done = self.last_day.filter(|day| *day <= today + 1);
        let mut days = (today - 1..=today + 2).filter(|day| Some(*day) != done);
        let time = days.find_map(|day| Some(self.on_day(day)).filter(|at| *at > now));
        time.unwrap_or(now + DAY)
    }

    /// The time of the run on a local day, in seconds since 1970.
    fn on_day(&self, day: i64) -> i64 {
        let minutes = i64::from(self.at.hour) * 60 + i64::from(self.at.minute);
        let local = day * DAY + minutes * 60;
        // The offsets before and after a change of the clock that may be near.
        let [early, late] = [local - DAY, local + DAY].map(|near| local - (self.offset)(near));
        let shows = |at: i64| at + (self.offset)(at) == local;
        // If the clock skips the time, the offset before the change leads to an hour later.
        let at = if shows(early) || !shows(late) {
            early
        } else {
            late
        };
        at + self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    /// 2026-03-29 00:00 UTC; at 01:00 UTC Berlin goes from 02:00 to 03:00.
    const SPRING: i64 = 1_774_742_400;
    /// 2026-10-25 00:00 UTC; at 01:00 UTC Berlin goes from 03:00 back to 02:00.
    const AUTUMN: i64 = 1_792_886_400;

    fn berlin(at: i64) -> i64 {
        let summer = SPRING + HOUR..AUTUMN + HOUR;
        if summer.contains(&at) { 2 * HOUR } else { HOUR }
    }

    fn utc(_: i64) -> i64 {
        0
    }

    fn at(hour: u8, minute: u8) -> TimeOfDay {
        TimeOfDay { hour, minute }
    }

    /// A room whose spread is zero.
    fn daily(time: TimeOfDay, offset: Offset, now: i64) -> Daily {
        let mut daily = Daily::new(time, "1", offset, now);
        daily.spread = 0;
        daily.due = daily.next_after(now);
        daily
    }

    /// The times at which a room is checked from `start` on, if it is looked at when it asks for it.
    fn runs(daily: &mut Daily, start: i64, days: i64) -> Vec<i64> {
        let (mut now, mut runs) = (start, Vec::new());
        while now < start + days * DAY {
            if daily.is_due(now) {
                runs.push(now);
                daily.done(now);
            }
            now += i64::try_from(daily.next_look(now).as_secs()).unwrap();
        }
        runs
    }

    #[test]
    fn each_day_has_one_run_at_the_local_time() {
        let start = SPRING - 2 * DAY;
        let mut room = daily(at(6, 30), berlin, start);
        let times = runs(&mut room, start, 4);
        // 05:30 UTC before the change, and 04:30 after it, in half hours.
        let wanted = [-85, -37, 9, 57].map(|halves| SPRING + halves * HOUR / 2);
        assert_eq!(times, wanted);
    }

    #[test]
    fn a_time_that_the_clock_skips_is_an_hour_later_and_one_that_comes_twice_is_used_once() {
        let start = SPRING - 12 * HOUR;
        let mut room = daily(at(2, 30), berlin, start);
        // 01:30 UTC is 03:30 in Berlin on that day.
        let first = SPRING + HOUR + HOUR / 2;
        assert_eq!(runs(&mut room, start, 2), [first, SPRING + DAY + HOUR / 2]);
        let start = AUTUMN - 12 * HOUR;
        let mut room = daily(at(2, 30), berlin, start);
        // 00:30 UTC and 01:30 UTC are both 02:30.
        let times = [AUTUMN + HOUR / 2, AUTUMN + DAY + HOUR + HOUR / 2];
        assert_eq!(runs(&mut room, start, 2), times);
    }

    #[test]
    fn a_run_that_could_not_take_place_is_tried_again_and_given_up() {
        let start = SPRING;
        let mut room = daily(at(6, 30), utc, start);
        let due = start + 6 * HOUR + HOUR / 2;
        let (mut now, mut tries) = (due, 0);
        while now <= due + LATEST {
            assert!(room.is_due(now), "{}", now - due);
            room.postpone(now);
            assert!(!room.is_due(now + RETRY_AFTER - 1));
            tries += 1;
            now += RETRY_AFTER;
        }
        assert_eq!(tries, 37);
        // The next one is the next day's.
        assert!(!room.is_due(now));
        assert!(room.is_due(due + DAY));
    }

    #[test]
    fn a_time_that_was_missed_is_made_up_for_within_some_hours() {
        let mut room = daily(at(6, 30), utc, SPRING);
        let due = SPRING + 6 * HOUR + HOUR / 2;
        // The machine slept.
        assert!(room.is_due(due + 2 * HOUR));
        room.done(due + 2 * HOUR);
        assert!(!room.is_due(due + 3 * HOUR));
        assert!(!room.is_due(due + DAY - 1));
        assert!(!room.is_due(due + DAY + LATEST + 1));
        assert!(room.is_due(due + 2 * DAY));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_second_run_on_a_day_and_stops_none() {
        let mut room = daily(at(6, 30), utc, SPRING);
        let due = SPRING + 6 * HOUR + HOUR / 2;
        assert!(room.is_due(due));
        room.done(due);
        // Set back by a quarter of an hour just after the run.
        for minute in 0..120 {
            assert!(!room.is_due(due - 15 * 60 + minute * 60), "{minute}");
        }
        assert!(room.is_due(due + DAY));
        // A machine without a clock starts in 1970, and is set later.
        let mut room = daily(at(6, 30), utc, 0);
        assert!(!room.is_due(SPRING + 12 * HOUR + 31 * 60));
        assert!(room.is_due(due + DAY));
        // And the other way round.
        let mut room = daily(at(6, 30), utc, SPRING + 365 * DAY);
        assert!(!room.is_due(SPRING));
        assert!(room.is_due(due));
    }

    #[test]
    fn rooms_are_spread_over_some_minutes() {
        let mut seconds: Vec<_> = (0..500)
            .map(|room: u32| {
                let room = Daily::new(at(6, 30), &room.to_string(), utc, SPRING);
                room.due - (SPRING + 6 * HOUR + HOUR / 2)
            })
            .collect();
        assert!(seconds.iter().all(|after| (0..SPREAD).contains(after)));
        seconds.sort_unstable();
        let most = seconds.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        assert!(most < Some(8), "{most:?}");
    }
}
