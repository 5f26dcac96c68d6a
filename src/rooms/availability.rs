//! Whether the device of a room is online, and when an offline one is tried again.
//!
//! Pure: gets events and the time, returns what to do. Publishes nothing and sends nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Beginning, Moment};
use crate::device::{DeviceTimings, Problem, ProblemCode};

/// After this many requests in a row without an answer the device counts as offline. One may be
/// lost without the device being gone.
const UNANSWERED_BEFORE_OFFLINE: u32 = 2;
/// An unreachable device is tried at least this often, so that one that was switched on is online
/// within half a minute.
pub const LONGEST_RECONNECT_WAIT: Duration = Duration::from_secs(30);
/// Retry sooner while a camera may still be moving: it needs its stop.
const RECONNECT_WAIT_WHILE_CAMERA_MOVES: Duration = Duration::from_secs(1);

/// How often a room looks whether its gateway may use the device again. A look costs some microseconds.
const FENCE_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The state of the connection to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A log-in is under way; commands wait.
    Connecting,
    /// Logged in, and nothing has been read yet that a Poly device says. Requests are sent.
    LoggedIn,
    /// Logged in and understood.
    Online,
    /// Cannot be used before `retry_at`; commands are answered at once.
    Offline { retry_at: Instant },
}

/// Whether one room's device can be used.
#[derive(Debug)]
pub struct Availability {
    timings: Arc<DeviceTimings>,
    phase: Phase,
    /// How many requests in a row had no answer.
    unanswered: u32,
    /// The wait after the next failure to reach the device; doubled by each failure.
    reconnect_wait: Duration,
    /// The problem, and its start.
    problem: Option<(ProblemCode, Beginning)>,
}

/// A device that was usable until now, or that was tried without success.
#[derive(Debug, PartialEq, Eq)]
pub struct WentOffline {
    /// When this problem began, in RFC 3339. Another one than at the last attempt if the clock was set since.
    pub since: String,
    /// It is another problem than at the last attempt.
    pub is_new: bool,
}

impl Availability {
    /// Before the first log-in.
    pub fn new(timings: Arc<DeviceTimings>) -> Self {
        Self {
            phase: Phase::Connecting,
            unanswered: 0,
            reconnect_wait: timings.first_reconnect_delay,
            problem: None,
            timings,
        }
    }

    /// Whether the device is understood.
    pub fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    /// Whether requests can be sent.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.phase, Phase::LoggedIn | Phase::Online)
    }

    /// When the device is tried again; `None` unless it is offline.
    pub fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Offline { retry_at } => Some(retry_at),
            Phase::Connecting | Phase::LoggedIn | Phase::Online => None,
        }
    }

    /// This gateway still may not use the device. Called instead of [`Availability::connecting`].
    pub fn still_fenced_off(&mut self, now: Moment) {
        if let Phase::Offline { retry_at } = &mut self.phase {
            *retry_at = now.instant + jittered(FENCE_LOOK_INTERVAL, noise(now));
        }
    }

    /// Whether the device is offline because this gateway may not use it.
    pub fn waits_for_fence(&self) -> bool {
        matches!(self.problem, Some((ProblemCode::NoCluster, _)))
    }

    /// A log-in starts.
    pub fn connecting(&mut self) {
        self.phase = Phase::Connecting;
    }

    /// The log-in succeeded.
    pub fn logged_in(&mut self) {
        self.phase = Phase::LoggedIn;
        self.unanswered = 0;
    }

    /// A read brought what a Poly device says. True if that makes the room online.
    pub fn understood(&mut self) -> bool {
        if self.phase != Phase::LoggedIn {
            return false;
        }
        self.phase = Phase::Online;
        self.reconnect_wait = self.timings.first_reconnect_delay;
        self.problem = None;
        true
    }

    /// A request was answered.
    pub fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// A request was not answered. `seen`: what came instead, if that is known. Returns the problem if that
    /// was one too many.
    pub fn unanswered(&mut self, seen: Option<Problem>) -> Option<Problem> {
        self.unanswered += 1;
        let is_too_often = self.unanswered >= UNANSWERED_BEFORE_OFFLINE;
        is_too_often.then(|| {
            seen.unwrap_or_else(|| Problem {
                code: ProblemCode::Offline,
                message: "the device does not answer any more".into(),
            })
        })
    }

    /// The device cannot be used. `None` if that was known already. `log_in_at`: when the device's client logs in
    /// again, if it is too early now.
    pub fn failed(
        &mut self,
        problem: ProblemCode,
        log_in_at: Option<Instant>,
        camera_may_move: bool,
        now: Moment,
    ) -> Option<WentOffline> {
        if let Phase::Offline { .. } = self.phase {
            return None;
        }
        let retry_at = match (problem, log_in_at) {
            // Before that there would be no attempt.
            (
                ProblemCode::Unauthorized | ProblemCode::LockedOut | ProblemCode::TooManySessions,
                Some(log_in_at),
            ) => log_in_at,
            _ => now.instant + self.next_wait(problem, camera_may_move, noise(now)),
        };
        self.phase = Phase::Offline { retry_at };
        self.unanswered = 0;
        let (mut beginning, is_new) = match self.problem {
            Some((code, beginning)) if code == problem => (beginning, false),
            _ => (Beginning::new(now), true),
        };
        beginning.correct(now);
        self.problem = Some((problem, beginning));
        Some(WentOffline {
            since: beginning.text(),
            is_new,
        })
    }

    /// The device asks not to be tried before this.
    pub fn put_off(&mut self, until: Instant) {
        if let Phase::Offline { retry_at } = &mut self.phase {
            *retry_at = until.max(*retry_at);
        }
    }

    /// How long to wait before the next attempt: a device that cannot be reached is tried less and less often.
    fn next_wait(&mut self, problem: ProblemCode, camera_may_move: bool, noise: u32) -> Duration {
        // Nothing is sent before the fence is open.
        if problem == ProblemCode::NoCluster {
            return jittered(FENCE_LOOK_INTERVAL, noise);
        }
        let mut wait = self.reconnect_wait;
        if camera_may_move {
            wait = wait.min(RECONNECT_WAIT_WHILE_CAMERA_MOVES);
        }
        let longest = LONGEST_RECONNECT_WAIT.max(self.timings.first_reconnect_delay);
        self.reconnect_wait = (wait * 2).min(longest);
        jittered(wait, noise)
    }
}

/// Differs from room to room: the clock's nanoseconds.
fn noise(now: Moment) -> u32 {
    now.utc.nanosecond()
}

/// Spreads the attempts of many rooms: 75 to 125 per cent of the wait.
fn jittered(wait: Duration, noise: u32) -> Duration {
    wait * 3 / 4 + wait * (noise % 1000) / 2000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_instant::BootInstant;

    fn availability() -> Availability {
        Availability::new(Arc::default())
    }

    fn at(instant: Instant) -> Moment {
        Moment {
            instant,
            boot: BootInstant::from_nanos(0),
            utc: time::OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn waits(availability: &mut Availability, camera_may_move: bool) -> Vec<u64> {
        // This noise leaves the wait as it is.
        let mut next = || availability.next_wait(ProblemCode::Offline, camera_may_move, 500);
        (0..7).map(|_| next().as_secs()).collect()
    }

    #[test]
    fn a_room_looks_at_its_fence_without_a_log_in() {
        let mut availability = availability();
        let now = Instant::now();
        assert!(!availability.waits_for_fence());
        availability.failed(ProblemCode::NoCluster, None, false, at(now));
        assert!(availability.waits_for_fence());
        let mut last = now;
        for _ in 0..5 {
            let next = availability.retry_at().unwrap();
            assert!(next > last && next <= last + FENCE_LOOK_INTERVAL * 5 / 4);
            last = next;
            availability.still_fenced_off(at(last));
        }
        availability.connecting();
        availability.logged_in();
        assert!(availability.understood());
        assert!(!availability.waits_for_fence());
    }

    #[test]
    fn the_waits_for_an_unreachable_device_double_up_to_thirty_seconds() {
        let mut availability = availability();
        assert_eq!(waits(&mut availability, false), [1, 2, 4, 8, 16, 30, 30]);
        // A log-in alone does not show that the device is well.
        availability.logged_in();
        assert_eq!(waits(&mut availability, false)[0], 30);
        assert!(availability.understood());
        assert_eq!(waits(&mut availability, false)[..2], [1, 2]);
    }

    #[test]
    fn a_device_whose_camera_may_move_is_tried_every_second() {
        let mut availability = availability();
        waits(&mut availability, false);
        assert_eq!(waits(&mut availability, true), [1; 7]);
    }

    #[test]
    fn a_refused_log_in_waits_as_long_as_the_client_does() {
        let (mut availability, now) = (availability(), Instant::now());
        let log_in_at = now + Duration::from_secs(600);
        for problem in [
            ProblemCode::Unauthorized,
            ProblemCode::LockedOut,
            ProblemCode::TooManySessions,
        ] {
            availability.connecting();
            availability.failed(problem, Some(log_in_at), true, at(now));
            assert_eq!(availability.retry_at(), Some(log_in_at));
        }
        // It does not lengthen the next wait for an unreachable device, whose session may still be good.
        availability.connecting();
        availability.failed(ProblemCode::Offline, Some(log_in_at), false, at(now));
        assert!(availability.retry_at() < Some(now + Duration::from_secs(2)));
    }

    #[test]
    fn an_attempt_waits_as_long_as_the_device_asks() {
        let (mut availability, now) = (availability(), Instant::now());
        let until = now + Duration::from_secs(60);
        availability.put_off(until);
        assert_eq!(availability.retry_at(), None);
        availability.failed(ProblemCode::NotUnderstood, None, false, at(now));
        availability.put_off(until);
        assert_eq!(availability.retry_at(), Some(until));
        availability.put_off(now);
        assert_eq!(availability.retry_at(), Some(until));
    }

    #[test]
    fn waits_are_spread_by_a_quarter() {
        let wait = Duration::from_secs(4);
        assert_eq!(jittered(wait, 0), Duration::from_secs(3));
        assert_eq!(jittered(wait, 500), wait);
        assert!(jittered(wait, 999) < Duration::from_secs(5));
    }

    #[test]
    fn two_unanswered_requests_in_a_row_are_one_too_many() {
        let mut availability = availability();
        availability.logged_in();
        assert_eq!(availability.unanswered(None), None);
        availability.answered();
        assert_eq!(availability.unanswered(None), None);
        let problem = availability.unanswered(None).map(|problem| problem.code);
        assert_eq!(problem, Some(ProblemCode::Offline));
    }

    #[test]
    fn a_problem_that_stays_keeps_its_beginning() {
        let (mut availability, now) = (availability(), Instant::now());
        let fail = |availability: &mut Availability, problem| {
            availability.connecting();
            availability.failed(problem, None, false, at(now))
        };
        let first = fail(&mut availability, ProblemCode::Offline).unwrap();
        assert!(first.is_new);
        let again = fail(&mut availability, ProblemCode::Offline).unwrap();
        assert_eq!((again.since, again.is_new), (first.since, false));
        let other = fail(&mut availability, ProblemCode::Unauthorized).unwrap();
        assert!(other.is_new);
        availability.connecting();
        availability.logged_in();
        availability.understood();
        assert!(
            fail(&mut availability, ProblemCode::Unauthorized)
                .unwrap()
                .is_new
        );
    }

    /// A room that cannot be used at the start of a machine whose clock begins in 1970.
    #[test]
    fn a_clock_that_is_set_corrects_the_beginning_of_a_problem() {
        let mut availability = availability();
        let mut fail = |seconds: u64, utc: i64| {
            let now = Moment {
                instant: Instant::now(),
                boot: BootInstant::from_nanos(0) + Duration::from_secs(seconds),
                utc: time::OffsetDateTime::from_unix_timestamp(utc).unwrap(),
            };
            availability.connecting();
            let failed = availability.failed(ProblemCode::Offline, None, false, now);
            failed.unwrap().since
        };
        assert_eq!(fail(10, 10), "1970-01-01T00:00:10Z");
        assert_eq!(fail(40, 40), "1970-01-01T00:00:10Z");
        let right = fail(70, 1_796_000_060);
        assert_eq!(right, crate::clock::rfc3339_of_unix(1_796_000_000).unwrap());
        assert_eq!(fail(100, 1_796_000_090), right);
    }

    #[test]
    fn a_device_is_online_when_it_is_logged_in_to_and_understood() {
        let mut availability = availability();
        assert!(!availability.understood());
        availability.logged_in();
        assert!(availability.is_logged_in() && !availability.is_online());
        assert!(availability.understood());
        assert!(availability.is_logged_in() && availability.is_online());
        assert!(!availability.understood());
    }

    #[test]
    fn an_offline_device_is_not_offline_twice() {
        let (mut availability, now) = (availability(), Instant::now());
        assert!(
            availability
                .failed(ProblemCode::Offline, None, false, at(now))
                .is_some()
        );
        let retry_at = availability.retry_at();
        assert!(retry_at.is_some_and(|at| at > now));
        assert_eq!(
            availability.failed(ProblemCode::LockedOut, None, false, at(now)),
            None
        );
        assert_eq!(availability.retry_at(), retry_at);
        availability.connecting();
        assert_eq!(availability.retry_at(), None);
    }
}
