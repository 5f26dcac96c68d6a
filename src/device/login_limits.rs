//! When a log-in may be tried: how many at once, and how long after a refusal; and what else thousands of rooms do at a
//! start, by turns (`docs/decisions/many-rooms-at-once.md`).
//!
//! Owns the waits after refusals, so that the gateway never locks people out. Sends nothing.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::problem::{Problem, ProblemCode};
use super::timings::DeviceTimings;

/// How many devices are logged in to at once, so that a start with many rooms does not overload the
/// network.
const MOST_LOGINS_AT_ONCE: usize = 20;
/// While log-ins wait for each other, so many rooms that are logged in read their states for the first time.
const MOST_FIRST_READERS: usize = 20;
/// So many devices have their turn at a time. More would not be quicker where the processor is busy, and a command beside
/// them takes as many times longer as there are more of them.
const TURNS: usize = 8;
/// So many devices for which commands wait do not stand in line with the others, at each place where there is one.
const MOST_URGENT: usize = 20;
/// How long a turn is. A device that takes longer to answer costs this gateway no processor meanwhile, so another one may
/// have its turn: with slow devices 1600 begin each second.
pub(super) const LONGEST_TURN: Duration = Duration::from_millis(5);
/// How long a turn to connect is. Shorter ones would open all connections of a site long before the log-ins, which come
/// at 100 a second with slow devices: 160 begin each second.
pub(super) const LONGEST_CONNECT_TURN: Duration = Duration::from_millis(50);
/// A turn whose end comes later than this is not over: the processor lacks, not the device's answer, and another turn would
/// only make everything wait longer.
const LATE: Duration = Duration::from_millis(20);
/// Then it ends after this time, in case the device is slow too.
const LONGEST_BUSY_TURN: Duration = Duration::from_secs(1);
/// The longest wait after refused passwords, unless the first wait is longer.
const LONGEST_LOGIN_WAIT: Duration = Duration::from_secs(3600);

/// Limits what rooms do at once after a start: log-ins, and what comes before and after them. Clones share the limits.
#[derive(Debug, Clone)]
pub struct LoginLimiter {
    permits: Arc<Semaphore>,
    /// The devices that are being logged in to, wait for that, or are asked whether they still take a session.
    connecting: Arc<AtomicUsize>,
    first_readers: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    urgent_turns: Arc<Semaphore>,
    urgent_log_ins: Arc<Semaphore>,
}

/// One such device, as long as this lives.
#[derive(Debug)]
pub(super) struct Connecting(Arc<AtomicUsize>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for LoginLimiter {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MOST_LOGINS_AT_ONCE)),
            connecting: Arc::default(),
            first_readers: Arc::new(Semaphore::new(MOST_FIRST_READERS)),
            turns: Arc::new(Semaphore::new(TURNS)),
            urgent_turns: Arc::new(Semaphore::new(MOST_URGENT)),
            urgent_log_ins: Arc::new(Semaphore::new(MOST_URGENT)),
        }
    }
}

impl LoginLimiter {
    /// A device is about to be logged in to, or to be asked whether it takes a session. It is known to be there, or is
    /// believed to be.
    pub(super) fn begin(&self) -> Connecting {
        self.connecting.fetch_add(1, Ordering::Relaxed);
        Connecting(self.connecting.clone())
    }

    /// Whether log-ins wait for each other.
    pub fn is_crowded(&self) -> bool {
        self.connecting.load(Ordering::Relaxed) > MOST_LOGINS_AT_ONCE
    }

    /// Lets a room read its states for the first time, if few others do. Its end is the permit's drop.
    pub fn first_reader(&self) -> Option<OwnedSemaphorePermit> {
        self.first_readers.clone().try_acquire_owned().ok()
    }

    /// Asks a device something when its turn has come. For what every room does after a start: if thousands did it at
    /// once, a command, a result or a sign of life would have to wait until the processor is through with all of them.
    pub async fn in_turn<T>(&self, ask: impl Future<Output = T>) -> T {
        self.in_turn_of(LONGEST_TURN, pending(), ask).await
    }

    /// The same with a turn of this length. When there is a hurry, others are overtaken.
    pub(super) async fn in_turn_of<T>(
        &self,
        longest: Duration,
        hurry: impl Future<Output = ()>,
        ask: impl Future<Output = T>,
    ) -> T {
        let turn = first_of(&self.turns, &self.urgent_turns, hurry).await;
        let mut ask = pin!(ask);
        let began = Instant::now();
        if let Ok(outcome) = timeout(longest, &mut ask).await {
            return outcome;
        }
        if began.elapsed() > longest + LATE
            && let Ok(outcome) = timeout(LONGEST_BUSY_TURN, &mut ask).await
        {
            return outcome;
        }
        drop(turn);
        ask.await
    }

    /// Crowded as long as what this gives lives.
    #[cfg(test)]
    pub fn crowd(&self) -> impl Sized + use<> {
        let begin = |_| self.begin();
        (0..=MOST_LOGINS_AT_ONCE).map(begin).collect::<Vec<_>>()
    }

    /// Waits until a log-in may run; its end is the permit's drop.
    pub(super) async fn acquire(
        &self,
        hurry: impl Future<Output = ()>,
    ) -> Option<OwnedSemaphorePermit> {
        first_of(&self.permits, &self.urgent_log_ins, hurry).await
    }
}

/// A permit of the line in which all wait, or when there is a hurry of the other one, whichever comes first. `None` only
/// if they were closed, which they never are.
async fn first_of(
    line: &Arc<Semaphore>,
    urgent: &Arc<Semaphore>,
    hurry: impl Future<Output = ()>,
) -> Option<OwnedSemaphorePermit> {
    let urgent = async {
        hurry.await;
        urgent.clone().acquire_owned().await
    };
    let permit = tokio::select! {
        biased;
        permit = line.clone().acquire_owned() => permit,
        permit = urgent => permit,
    };
    permit.ok()
}

/// How long log-ins to one device have to wait after a failed one.
#[derive(Debug, Default)]
pub struct LoginBackoff {
    /// Refused passwords since the last success.
    refusals: u32,
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
        *self = Self::default();
    }

    /// A log-in failed for this reason.
    pub fn failed(&mut self, problem: &Problem, timings: &DeviceTimings, now: Instant) {
        let wait = match problem.code {
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
    use futures_util::FutureExt as _;

    use super::super::hurry::Hurry;
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
        backoff.succeeded();
        backoff.failed(&refused, &timings, now);
        assert_eq!(wait(&backoff, now), timings.retry_after_refused_login);
    }

    #[test]
    fn a_device_for_which_a_command_waits_overtakes_others() {
        let limiter = LoginLimiter::default();
        let turn = |hurry: bool| {
            let limiter = limiter.clone();
            let hurry = async move {
                if !hurry {
                    pending::<()>().await;
                }
            };
            // Timers need a runtime; what waits in line has none yet.
            Box::pin(async move { limiter.acquire(hurry).await })
        };
        let permits: Vec<_> = (0..MOST_LOGINS_AT_ONCE)
            .map(|_| turn(false).now_or_never().flatten().unwrap())
            .collect();
        let mut waits = turn(false);
        assert!((&mut waits).now_or_never().is_none());
        let urgent = turn(true).now_or_never().flatten();
        assert!(urgent.is_some());
        drop(permits);
        assert!(waits.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_hurry_can_begin_while_a_device_waits_in_line() {
        let limiter = LoginLimiter::default();
        let hurry = Hurry::default();
        let asks = |hurry| limiter.in_turn_of(LONGEST_CONNECT_TURN, hurry, async {});
        let turns: Vec<_> = (0..TURNS)
            .map(|_| limiter.turns.clone().try_acquire_owned().unwrap())
            .collect();
        let mut waits = pin!(asks(hurry.begun().boxed()));
        assert!(waits.as_mut().now_or_never().is_none());
        hurry.begin();
        waits.await;
        hurry.end();
        let mut waits = pin!(asks(hurry.begun().boxed()));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(turns);
        waits.await;
    }

    #[test]
    fn it_is_crowded_where_log_ins_wait_for_each_other() {
        let limiter = LoginLimiter::default();
        let mut connecting: Vec<_> = (0..MOST_LOGINS_AT_ONCE).map(|_| limiter.begin()).collect();
        assert!(!limiter.is_crowded());
        connecting.push(limiter.clone().begin());
        assert!(limiter.is_crowded());
        drop(connecting.pop());
        assert!(!limiter.is_crowded());
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
