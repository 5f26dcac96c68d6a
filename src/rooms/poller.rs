//! Reading a room's states, one operation after the other.
//!
//! Pure except for its counters: gives the next request to send, and interprets its response. The
//! schedule decides when; [`super::knowledge`] publishes what was read.

use std::sync::Arc;

use tokio::time::Instant;

use super::reading::{ReadOutcome, Reading};
use super::schedule::{PollIntervals, Schedule};
use crate::catalogue::{Operation, Request};
use crate::device::{DeviceResponse, Problem, RequestError};
use crate::telemetry::{PollOutcome, Telemetry};

/// A read that was begun.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// Which entry of the schedule it is.
    index: usize,
    /// How often commands had written the entry's states when it was begun.
    writes: u64,
}

/// What a read means for the room.
#[derive(Debug)]
pub enum Polled {
    /// The device answered, and there is nothing to publish.
    Unchanged,
    /// The device answered.
    Read(Reading),
    /// The device could not be asked for this; it may be usable all the same.
    Failed,
    /// The device did not answer.
    Unanswered,
    /// The device cannot be used.
    Problem(Problem),
}

/// Reads the states of one room.
#[derive(Debug)]
pub struct Poller {
    schedule: Schedule,
    /// What [`Poller::completed`] said last.
    said_complete: bool,
    telemetry: Arc<Telemetry>,
}

impl Poller {
    /// Everything is due at once.
    pub fn new(intervals: PollIntervals, telemetry: Arc<Telemetry>, now: Instant) -> Self {
        Self {
            schedule: Schedule::new(intervals, now),
            said_complete: false,
            telemetry,
        }
    }

    /// The time of the next read.
    pub fn next_due(&self) -> Option<Instant> {
        self.schedule.next().map(|(_, due)| due)
    }

    /// Begins the read that is due, if there is one. `conference`: the one that is up.
    pub fn begin(&mut self, conference: Option<&str>, now: Instant) -> Option<(Poll, Request)> {
        let (index, due) = self.schedule.next().filter(|(_, due)| *due <= now)?;
        let interval = self.schedule.interval_at(index);
        let late = now.duration_since(due).div_duration_f64(interval);
        self.telemetry.poll_started(late);
        self.schedule.began(index, now);
        let entry = self.schedule.entry(index)?;
        let writes = entry.writes();
        let conference = conference.map(|conference| ("conf_id", conference.to_owned()));
        let params = conference.into_iter().collect();
        let request = Request::read(entry.operation, &params).ok()?;
        Some((Poll { index, writes }, request))
    }

    /// Takes the response of a read.
    pub fn finish(
        &mut self,
        poll: Poll,
        response: Result<DeviceResponse, RequestError>,
        now: Instant,
    ) -> Polled {
        let outcome = match response {
            Ok(response) => self.read(poll, &response, now),
            Err(RequestError::Problem(problem)) => {
                self.telemetry.poll_finished(PollOutcome::Failed);
                Polled::Problem(problem)
            }
            Err(error @ (RequestError::TimedOut { .. } | RequestError::Broken(_))) => {
                tracing::debug!(?error, "a state cannot be read");
                self.telemetry.poll_finished(PollOutcome::Silent);
                Polled::Unanswered
            }
            Err(error) => {
                self.telemetry.poll_finished(PollOutcome::Failed);
                tracing::debug!(?error, "a state cannot be read");
                Polled::Failed
            }
        };
        self.schedule.asked(poll.index);
        outcome
    }

    fn read(&mut self, poll: Poll, response: &DeviceResponse, now: Instant) -> Polled {
        let index = poll.index;
        let Some(entry) = self.schedule.entry(index) else {
            return Polled::Unchanged;
        };
        if entry.writes() != poll.writes {
            // A command read the same states while this read was under way: it is unknown which
            // of the two is newer.
            self.schedule.again(index, now);
            return Polled::Unchanged;
        }
        let operation = entry.operation;
        let same_body = response.status == 200 && entry.answered_last(&response.body);
        if same_body && !operation.at_time() {
            self.telemetry.poll_finished(PollOutcome::Unchanged);
            return Polled::Unchanged;
        }
        let outcome = ReadOutcome::of(operation, response);
        self.telemetry.poll_finished(match outcome {
            ReadOutcome::Value(_) | ReadOutcome::Absent => PollOutcome::Changed,
            ReadOutcome::Unsupported(_) | ReadOutcome::Failed(_) => PollOutcome::Failed,
        });
        match &outcome {
            ReadOutcome::Value(_) | ReadOutcome::Absent => {
                self.schedule.answered(index, &response.body);
            }
            ReadOutcome::Unsupported(status) => {
                tracing::debug!(operation.path, status, "the device does not have this");
                self.schedule.unsupported(index, now);
            }
            ReadOutcome::Failed(failure) => {
                tracing::debug!(operation.path, failure.message, "a state cannot be read");
            }
        }
        Polled::Read(Reading { operation, outcome })
    }

    /// A command read states of this operation: polls under way, and what they compare with, are
    /// older now.
    pub fn written(&mut self, operation: &Operation) {
        self.schedule.written(operation);
    }

    /// Goes over to the pace of a call, or back.
    pub fn set_in_call(&mut self, in_call: bool, now: Instant) {
        self.schedule.set_in_call(in_call, now);
    }

    /// After a log-in: everything is read again.
    pub fn restart(&mut self, now: Instant) {
        self.schedule.restart(now);
        self.said_complete = false;
    }

    /// Whether everything has been read since the log-in, if that has changed since the last call
    /// or the last [`Poller::restart`].
    pub fn completed(&mut self) -> Option<bool> {
        let complete = self.schedule.complete();
        let changed = complete != self.said_complete;
        self.said_complete = complete;
        changed.then_some(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{HttpError, ProblemCode};
    use crate::rooms::testing::INTERVALS;

    fn poller(now: Instant) -> Poller {
        Poller::new(INTERVALS, Arc::default(), now)
    }

    fn response(status: u16, body: &'static str) -> Result<DeviceResponse, RequestError> {
        Ok(DeviceResponse {
            status,
            content_type: None,
            body: body.into(),
        })
    }

    /// Begins reads, each answered with 500, until the one of a path.
    fn begin(poller: &mut Poller, path: &str, mut now: Instant) -> (Poll, &'static Operation) {
        loop {
            now = now.max(poller.next_due().unwrap());
            let (poll, _) = poller.begin(None, now).unwrap();
            let operation = poller.schedule.entry(poll.index).unwrap().operation;
            if operation.path == path {
                return (poll, operation);
            }
            poller.finish(poll, response(500, ""), now);
        }
    }

    #[test]
    fn the_same_body_is_published_once() {
        let now = Instant::now();
        let mut poller = poller(now);
        for first in [true, false] {
            let (poll, _) = begin(&mut poller, "/rest/audio", now);
            let outcome = poller.finish(poll, response(200, r#"{"volume":5}"#), now);
            match outcome {
                Polled::Read(_) => assert!(first),
                Polled::Unchanged => assert!(!first),
                other => unreachable!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_poll_that_a_command_overtook_is_not_published_and_repeated() {
        let now = Instant::now();
        let mut poller = poller(now);
        let (poll, operation) = begin(&mut poller, "/rest/audio", now);
        poller.written(operation);
        let outcome = poller.finish(poll, response(200, r#"{"volume":5}"#), now);
        assert!(matches!(outcome, Polled::Unchanged), "{outcome:?}");
        let (again, _) = begin(&mut poller, "/rest/audio", now);
        let outcome = poller.finish(again, response(200, r#"{"volume":5}"#), now);
        assert!(matches!(outcome, Polled::Read(_)), "{outcome:?}");
    }

    #[test]
    fn errors_are_told_apart() {
        let now = Instant::now();
        let mut poller = poller(now);
        let mut finish = |error| {
            let (poll, _) = begin(&mut poller, "/rest/audio", now);
            poller.finish(poll, Err(error), now)
        };
        let timed_out = finish(RequestError::TimedOut { sent: true });
        assert!(matches!(timed_out, Polled::Unanswered));
        assert!(matches!(
            finish(RequestError::Broken(HttpError::SwitchedProtocols)),
            Polled::Unanswered
        ));
        let forbidden = finish(RequestError::Forbidden(String::new()));
        assert!(matches!(forbidden, Polled::Failed));
        let problem = Problem {
            code: ProblemCode::Unauthorized,
            message: String::new(),
        };
        let outcome = finish(RequestError::Problem(problem.clone()));
        assert!(matches!(outcome, Polled::Problem(told) if told == problem));
    }

    #[test]
    fn nothing_begins_before_it_is_due() {
        let now = Instant::now();
        let mut poller = poller(now);
        while let Some((poll, _)) = poller.begin(None, now) {
            poller.finish(poll, response(200, "{}"), now);
        }
        assert_eq!(poller.completed(), Some(true));
        assert_eq!(poller.completed(), None);
        assert!(poller.next_due().unwrap() > now);
        poller.restart(now);
        assert_eq!(poller.completed(), None);
        assert!(poller.begin(None, now).is_some());
    }
}
