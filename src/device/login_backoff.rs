//! How long after a failed log-in the next one may be tried, so that the gateway never locks people out.
//!
//! Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

use super::problem::{Problem, ProblemCode};
use super::timings::DeviceTimings;

/// The longest wait after refused passwords, unless the first wait is longer.
pub const LONGEST_LOGIN_WAIT: Duration = Duration::from_secs(3600);

/// How long log-ins to one device have to wait after a failed one.
#[derive(Debug, Default)]
pub struct LoginBackoff {
    /// Refused passwords since the last success.
    refusals: u32,
    /// The device took the password before.
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

    /// A log-in succeeded.
    pub fn succeeded(&mut self) {
        *self = Self {
            was_right: true,
            ..Self::default()
        };
    }

    /// A log-in failed for this reason.
    pub fn failed(&mut self, problem: &Problem, timings: &DeviceTimings, now: Instant) {
        let wait = match problem.code {
            ProblemCode::Unauthorized if std::mem::take(&mut self.was_right) => timings
                .retry_after_doubtful_refusal
                .min(timings.retry_after_refused_login),
            ProblemCode::Unauthorized => {
                let first = timings.retry_after_refused_login;
                let doubled = first.saturating_mul(2_u32.saturating_pow(self.refusals));
                self.refusals = self.refusals.saturating_add(1);
                doubled.min(first.max(LONGEST_LOGIN_WAIT))
            }
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
}
