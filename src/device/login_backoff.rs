//! How long after a failed log-in the next one may be tried, so that the gateway never locks people out.
//!
//! Pure: the caller passes the time.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::problem::{Problem, ProblemCode};
use super::timings::DeviceTimings;

/// The longest wait after refused passwords, unless the first wait is longer.
pub const LONGEST_LOGIN_WAIT: Duration = Duration::from_secs(3600);
/// How many passwords a device may refuse within an hour, however often its room starts anew. By default devices lock
/// everybody out after ten, but fewer can be set, and other clients use them up too.
const MOST_REFUSALS: usize = 4;
/// That hour, as a multiple of the first wait: tests shorten it.
const REFUSALS_WINDOW: u32 = 6;

/// The longest message that is taken from a store, in characters: anything can stand there.
const LONGEST_MESSAGE: usize = 300;

/// How long log-ins to one device have to wait after a failed one.
#[derive(Debug, Default)]
pub struct LoginBackoff {
    /// When the newest passwords since the last success were refused, the oldest first.
    refused: Vec<Instant>,
    /// How many of them count for the next wait.
    refusals: u32,
    /// The device took the password, or still had a session of this user.
    was_right: bool,
    /// Until when no log-in is tried, and why.
    blocked: Option<(Instant, Problem)>,
}

impl LoginBackoff {
    /// The problem of the last log-in, while it is too early for another.
    pub fn blocked(&self, now: Instant) -> Option<&Problem> {
        let (until, problem) = self.blocked.as_ref()?;
        (now < *until).then_some(problem)
    }

    /// When a log-in may be tried again, if it is too early now.
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        let (until, _) = self.blocked.as_ref()?;
        (now < *until).then_some(*until)
    }

    /// Whether it still limits log-ins, now or after the next refusal.
    pub fn limits(&self, now: Instant) -> bool {
        let newest = self.refused.last();
        newest.is_some_and(|at| now < *at + LONGEST_LOGIN_WAIT) || self.blocked(now).is_some()
    }

    /// A room starts: its password may be another, or may have been put right at the device. A log-in is tried at once,
    /// unless the device has locked out all or has refused too many.
    pub fn room_starts(&mut self, timings: &DeviceTimings, now: Instant) {
        self.was_right = false;
        let is_locked_out = |problem: &Problem| problem.code == ProblemCode::LockedOut;
        if self.blocked(now).is_some_and(is_locked_out) {
            return;
        }
        self.blocked = self.refused_too_often(timings, now).map(|until| {
            let message = format!(
                "the device has refused {MOST_REFUSALS} log-ins within an hour, and may lock everybody out after more; \
                 the gateway tries again when the hour is over"
            );
            (until, Problem::new(ProblemCode::Unauthorized, message))
        });
    }

    /// Until when the device must not be shown a password that may be wrong.
    fn refused_too_often(&self, timings: &DeviceTimings, now: Instant) -> Option<Instant> {
        let oldest = self.refused.iter().rev().nth(MOST_REFUSALS - 1)?;
        let until = *oldest + window(timings);
        (now < until).then_some(until)
    }

    /// A log-in succeeded.
    pub fn succeeded(&mut self) {
        *self = Self {
            was_right: true,
            ..Self::default()
        };
    }

    /// The device takes a session that an earlier log-in made.
    pub fn session_taken(&mut self) {
        // Once it has refused the password since, the session says nothing of that.
        self.was_right |= self.refused.is_empty();
    }

    /// A log-in failed for this reason.
    pub fn failed(&mut self, problem: &Problem, timings: &DeviceTimings, now: Instant) {
        let wait = match problem.code {
            ProblemCode::Unauthorized => self.refused(timings, now),
            ProblemCode::LockedOut => timings.retry_after_lockout,
            ProblemCode::TooManySessions => timings.retry_after_too_many_sessions,
            // The room has its own waits before it tries an unreachable device again.
            ProblemCode::Offline
            | ProblemCode::CertificateUnknown
            | ProblemCode::CertificateChanged
            | ProblemCode::NotUnderstood
            | ProblemCode::NoCluster
            | ProblemCode::NoOwner => Duration::ZERO,
        };
        self.blocked = (!wait.is_zero()).then(|| (now + wait, problem.clone()));
    }

    /// The wait after a refused password.
    fn refused(&mut self, timings: &DeviceTimings, now: Instant) -> Duration {
        if self.refused.len() >= MOST_REFUSALS {
            self.refused.remove(0);
        }
        self.refused.push(now);
        let first = timings.retry_after_refused_login;
        let wait = match std::mem::take(&mut self.was_right) {
            true => timings.retry_after_doubtful_refusal.min(first),
            false => {
                let doubled = first.saturating_mul(2_u32.saturating_pow(self.refusals));
                self.refusals = self.refusals.saturating_add(1);
                doubled.min(first.max(LONGEST_LOGIN_WAIT))
            }
        };
        let too_often = self.refused_too_often(timings, now);
        wait.max(too_often.map_or(Duration::ZERO, |until| until - now))
    }

    /// What the next gateway must know, with times in seconds since 1970. Nothing if the device has refused nothing.
    pub fn to_json(&self, now: Instant, unix_now: u64) -> Option<Value> {
        let locked_out = self
            .blocked
            .as_ref()
            .filter(|(until, problem)| problem.code == ProblemCode::LockedOut && now < *until);
        if self.refused.is_empty() && locked_out.is_none() {
            return None;
        }
        let ago = |at: &Instant| unix_now.saturating_sub((now - *at).as_secs());
        let refused: Vec<u64> = self.refused.iter().map(ago).collect();
        let locked_out = locked_out.map(|(until, problem)| {
            json!({"until": unix_now + (*until - now).as_secs(), "message": problem.message})
        });
        Some(json!({"refused": refused, "locked_out": locked_out}))
    }

    /// Takes over what an earlier run or another gateway has stored, where it is newer.
    pub fn restore(
        &mut self,
        stored: &Value,
        timings: &DeviceTimings,
        now: Instant,
        unix_now: u64,
    ) {
        let window = window(timings);
        let refused = stored["refused"].as_array().into_iter().flatten();
        let ages = refused.filter_map(Value::as_u64).map(|at| {
            // A clock that was put back makes it no younger than now.
            Duration::from_secs(unix_now.saturating_sub(at))
        });
        // Those that do not count any more may be from before the machine started.
        let recent = ages.filter(|age| *age < window);
        let mut recent: Vec<Instant> = recent.filter_map(|age| now.checked_sub(age)).collect();
        recent.sort_unstable();
        recent.drain(..recent.len().saturating_sub(MOST_REFUSALS));
        if recent.last() > self.refused.last() {
            self.refusals = u32::try_from(recent.len()).unwrap_or(u32::MAX);
            self.refused = recent;
        }
        let locked_out = &stored["locked_out"];
        let wait = locked_out["until"].as_u64().unwrap_or_default();
        let wait =
            Duration::from_secs(wait.saturating_sub(unix_now)).min(timings.retry_after_lockout);
        let until = now + wait;
        if !wait.is_zero() && self.blocked_until(now).is_none_or(|own| own < until) {
            let message = locked_out["message"].as_str().unwrap_or_default();
            let message: String = message.chars().take(LONGEST_MESSAGE).collect();
            self.blocked = Some((until, Problem::new(ProblemCode::LockedOut, message)));
        }
    }
}

/// How long a refused password counts.
fn window(timings: &DeviceTimings) -> Duration {
    let window = timings.retry_after_refused_login * REFUSALS_WINDOW;
    window.min(LONGEST_LOGIN_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(backoff: &LoginBackoff, now: Instant) -> Duration {
        let (until, _) = backoff.blocked.as_ref().unwrap();
        *until - now
    }

    #[test]
    fn the_wait_after_a_refused_password_doubles_up_to_an_hour() {
        let (timings, now) = (DeviceTimings::default(), Instant::now());
        let refused = Problem::new(ProblemCode::Unauthorized, "refused");
        let mut backoff = LoginBackoff::default();
        assert!(backoff.blocked(now).is_none());
        for minutes in [10, 20, 40, 60, 60] {
            backoff.failed(&refused, &timings, now);
            assert_eq!(wait(&backoff, now), Duration::from_secs(60 * minutes));
        }
        assert_eq!(backoff.blocked(now), Some(&refused));
        assert!(backoff.blocked(now + LONGEST_LOGIN_WAIT).is_none());
        // The password was right: it may not be the password that is wrong.
        backoff.succeeded();
        backoff.failed(&refused, &timings, now);
        assert_eq!(wait(&backoff, now), timings.retry_after_doubtful_refusal);
        for minutes in [10, 20] {
            backoff.failed(&refused, &timings, now);
            assert_eq!(wait(&backoff, now), Duration::from_secs(60 * minutes));
        }
    }

    #[test]
    fn a_first_wait_of_more_than_an_hour_is_kept() {
        let now = Instant::now();
        let timings = DeviceTimings {
            retry_after_refused_login: Duration::from_secs(7200),
            ..DeviceTimings::default()
        };
        let mut backoff = LoginBackoff::default();
        let refused = Problem::new(ProblemCode::Unauthorized, "refused");
        for _ in 0..40 {
            backoff.failed(&refused, &timings, now);
            assert_eq!(wait(&backoff, now), Duration::from_secs(7200));
        }
    }

    #[test]
    fn each_reason_has_its_wait_and_an_unreachable_device_has_none() {
        let (timings, now) = (DeviceTimings::default(), Instant::now());
        let mut backoff = LoginBackoff::default();
        for (code, seconds) in [
            (ProblemCode::LockedOut, 120),
            (ProblemCode::TooManySessions, 60),
        ] {
            backoff.failed(&Problem::new(code, ""), &timings, now);
            assert_eq!(wait(&backoff, now), Duration::from_secs(seconds));
        }
        backoff.failed(&Problem::new(ProblemCode::Offline, ""), &timings, now);
        assert!(backoff.blocked(now).is_none());
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn refused() -> Problem {
        Problem::new(ProblemCode::Unauthorized, "refused")
    }

    #[test]
    fn a_room_that_starts_again_and_again_is_refused_four_times_an_hour() {
        let (timings, begin) = (DeviceTimings::default(), Instant::now());
        let mut backoff = LoginBackoff::default();
        let mut tries = Vec::new();
        for minute in 0..180 {
            let now = begin + minute * MINUTE;
            backoff.room_starts(&timings, now);
            if backoff.blocked(now).is_none() {
                tries.push(minute);
                backoff.failed(&refused(), &timings, now);
            }
        }
        assert_eq!(tries, [0, 1, 2, 3, 60, 61, 62, 63, 120, 121, 122, 123]);
        backoff.room_starts(&timings, begin + 150 * MINUTE);
        let told = &backoff.blocked(begin + 150 * MINUTE).unwrap().message;
        assert!(told.contains("refused 4 log-ins"), "{told}");
    }

    #[test]
    fn what_a_device_refused_outlives_a_restart() {
        let (timings, now, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
        let mut backoff = LoginBackoff::default();
        assert_eq!(backoff.to_json(now, unix), None);
        for _ in 1..MOST_REFUSALS {
            backoff.failed(&refused(), &timings, now);
        }
        let stored = backoff.to_json(now, unix).unwrap();
        let restarted = |seconds: u64| {
            let mut backoff = LoginBackoff::default();
            let now = now + Duration::from_secs(seconds);
            backoff.restore(&stored, &timings, now, unix + seconds);
            backoff.room_starts(&timings, now);
            assert!(backoff.blocked(now).is_none(), "there is one more");
            backoff.failed(&refused(), &timings, now);
            backoff.blocked_until(now).map(|until| until - now)
        };
        assert_eq!(restarted(60), Some(60 * MINUTE));
        // It is forgotten when it does not count any more.
        assert_eq!(restarted(3600), Some(10 * MINUTE));
        backoff.succeeded();
        assert_eq!(backoff.to_json(now, unix), None);
    }

    #[test]
    fn a_lock_out_outlives_restarts_and_new_passwords() {
        let (timings, now, unix) = (DeviceTimings::default(), Instant::now(), 1_800_000_000);
        let locked = Problem::new(ProblemCode::LockedOut, "locked");
        let mut backoff = LoginBackoff::default();
        backoff.failed(&locked, &timings, now);
        let stored = backoff.to_json(now, unix).unwrap();
        for unix in [unix, unix + 5] {
            let mut restarted = LoginBackoff::default();
            restarted.restore(&stored, &timings, now, unix);
            restarted.room_starts(&timings, now);
            assert_eq!(restarted.blocked(now), Some(&locked));
        }
        let mut restarted = LoginBackoff::default();
        restarted.restore(&stored, &timings, now, unix + 120);
        assert_eq!(restarted.blocked(now), None);
    }

    #[test]
    fn what_is_stored_may_be_anything() {
        let (timings, now) = (DeviceTimings::default(), Instant::now());
        for stored in [
            json!(null),
            json!({"refused": [u64::MAX, -1, "x"], "locked_out": {"until": u64::MAX}}),
            json!({"refused": vec![5; 1000], "locked_out": 7}),
        ] {
            let mut backoff = LoginBackoff::default();
            backoff.restore(&stored, &timings, now, 5);
            assert!(backoff.refused.len() <= MOST_REFUSALS);
            let longest = now + timings.retry_after_lockout;
            assert!(
                backoff
                    .blocked_until(now)
                    .is_none_or(|until| until <= longest)
            );
            backoff.room_starts(&timings, now);
        }
    }

    #[test]
    fn a_session_that_the_device_still_takes_makes_a_refusal_doubtful_once() {
        let (timings, now) = (DeviceTimings::default(), Instant::now());
        let mut backoff = LoginBackoff::default();
        backoff.session_taken();
        backoff.failed(&refused(), &timings, now);
        assert_eq!(wait(&backoff, now), timings.retry_after_doubtful_refusal);
        backoff.session_taken();
        backoff.failed(&refused(), &timings, now);
        assert_eq!(wait(&backoff, now), timings.retry_after_refused_login);
    }
}
