//! Reading a room's states, one operation after the other.
//!
//! Pure except for its counters: gives the next request to send, and interprets its response. The
//! schedule decides when; `understanding` counts what the answers say of the device;
//! [`super::knowledge`] publishes what was read.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::time::Instant;

use super::reading::{ReadOutcome, Reading};
use super::refusal::no_response_to_read;
use super::schedule::{PollIntervals, PollPhase, Schedule};
use super::understanding::{Understanding, UnusableAnswer};
use crate::catalogue::{Evidence, Operation, Request};
use crate::device::{DeviceResponse, DeviceTimings, Problem, RequestError, RequestedPace};
use crate::telemetry::{PollOutcome, Telemetry};

/// The status of a refused read.
const FORBIDDEN: u16 = 403;

/// A read that was begun.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// Which entry of the schedule it is.
    index: usize,
    /// How often commands had written the entry's states when it was begun.
    writes: u32,
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
    /// The device asks for fewer requests.
    Postponed,
    /// The device did not answer; with what it did instead, if that is known.
    Unanswered(Option<Problem>),
    /// The device cannot be used.
    Problem(Problem),
}

/// Reads the states of one room.
#[derive(Debug)]
pub struct Poller {
    schedule: Schedule,
    /// The names of the device's own configuration that the room keeps as states.
    setting_names: Arc<[String]>,
    understanding: Understanding,
    /// What [`Poller::completed`] said last.
    said_complete: bool,
    telemetry: Arc<Telemetry>,
}

impl Poller {
    /// Everything is due at once.
    pub fn new(
        intervals: PollIntervals,
        phase: PollPhase,
        setting_names: Arc<[String]>,
        telemetry: Arc<Telemetry>,
        timings: Arc<DeviceTimings>,
        now: Instant,
    ) -> Self {
        Self {
            schedule: Schedule::new(intervals, phase, !setting_names.is_empty(), now),
            setting_names,
            understanding: Understanding::new(timings),
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
        let request = Request::read(entry.operation, &params, &self.setting_names).ok()?;
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
            Ok(response) if response.asks_for_fewer_requests() => {
                return self.postponed(poll.index, &response, now);
            }
            Ok(response) => self.read(poll, &response, now),
            Err(RequestError::Problem(problem)) => {
                self.telemetry.poll_finished(PollOutcome::Failed);
                Polled::Problem(problem)
            }
            Err(error @ (RequestError::TimedOut { .. } | RequestError::Broken(_))) => {
                tracing::debug!(?error, "a state cannot be read");
                self.telemetry.poll_finished(PollOutcome::Silent);
                self.understanding.unanswered(poll.index, now);
                self.schedule.failed(poll.index, now);
                Polled::Unanswered(match error {
                    RequestError::Broken(error) => error.problem(),
                    _ => None,
                })
            }
            Err(RequestError::NoTurn) => {
                self.telemetry.poll_finished(PollOutcome::Failed);
                self.schedule.failed(poll.index, now);
                Polled::Failed
            }
            Err(error @ (RequestError::ModeLocked(_) | RequestError::Forbidden(_))) => {
                self.telemetry.poll_finished(PollOutcome::Failed);
                tracing::debug!(?error, "a state may not be read");
                self.refused(poll.index, &error, now);
                let by_mode = matches!(error, RequestError::ModeLocked(_));
                if self.schedule.refused(poll.index, by_mode, now) {
                    self.not_there(poll.index, by_mode)
                } else {
                    Polled::Failed
                }
            }
            Err(error) => {
                self.telemetry.poll_finished(PollOutcome::Failed);
                tracing::debug!(?error, "a state cannot be read");
                self.refused(poll.index, &error, now);
                self.schedule.failed(poll.index, now);
                Polled::Failed
            }
        };
        self.schedule.read_ended(poll.index);
        self.forget_what_is_not_read();
        if self.understanding.is_useless_again() {
            self.schedule.keep_apart(now);
        }
        if let Some(index) = self.understanding.to_be_read_again() {
            self.schedule.again(index, now);
        }
        outcome
    }

    /// The device asks for fewer requests: this read waits for the end of the pause, and is as if it had not begun.
    fn postponed(&mut self, index: usize, response: &DeviceResponse, now: Instant) -> Polled {
        self.telemetry.poll_finished(PollOutcome::Failed);
        if let Some(entry) = self.schedule.entry(index) {
            let reading = Reading::of(entry.operation, response);
            self.count_evidence(Some(index), &reading, now);
        }
        self.schedule.again(index, now);
        Polled::Postponed
    }

    /// A read that the device refuses and never answered brings what a missing one brings.
    /// `by_mode`: the device has named its provider, so it is what refuses.
    fn not_there(&mut self, index: usize, by_mode: bool) -> Polled {
        let entry = self.schedule.entry(index);
        entry.map_or(Polled::Failed, |entry| {
            let outcome = ReadOutcome::Unsupported(FORBIDDEN);
            Polled::Read(Reading {
                operation: entry.operation,
                outcome,
                evidence: if by_mode {
                    Evidence::Poly
                } else {
                    Evidence::NotPoly
                },
            })
        })
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
        if response.status == 200
            && !operation.at_time()
            && let Some(evidence) = entry.evidence_of_same(&response.body)
        {
            self.telemetry.poll_finished(PollOutcome::Unchanged);
            self.understanding
                .answered(Some(index), evidence, None, now);
            self.schedule.unchanged(index, now);
            return Polled::Unchanged;
        }
        let reading = Reading::of(operation, response);
        self.count_evidence(Some(index), &reading, now);
        let outcome = &reading.outcome;
        self.telemetry.poll_finished(match outcome {
            ReadOutcome::Value(_) | ReadOutcome::Absent => PollOutcome::Changed,
            ReadOutcome::Unsupported(_) | ReadOutcome::Failed(_) => PollOutcome::Failed,
        });
        match outcome {
            ReadOutcome::Value(_) | ReadOutcome::Absent => {
                self.schedule
                    .answered(index, &response.body, reading.evidence, now);
            }
            ReadOutcome::Unsupported(status) => {
                tracing::debug!(operation.path, status, "the device does not have this");
                self.schedule.unsupported(index, now);
            }
            ReadOutcome::Failed(failure) => {
                tracing::debug!(operation.path, failure.message, "a state cannot be read");
                self.schedule.failed(index, now);
            }
        }
        Polled::Read(reading)
    }

    /// Counts what a reading says about the device.
    fn count_evidence(&mut self, index: Option<usize>, reading: &Reading, now: Instant) {
        let seen = match (reading.evidence, &reading.outcome) {
            (Evidence::NotPoly, ReadOutcome::Unsupported(status)) => {
                Some(UnusableAnswer::status(*status))
            }
            (Evidence::NotPoly | Evidence::Postponed, _) => reading.trouble().map(Into::into),
            (Evidence::Poly | Evidence::Neutral, _) => None,
        };
        self.understanding
            .answered(index, reading.evidence, seen, now);
    }

    /// The device refused a read.
    fn refused(&mut self, index: usize, error: &RequestError, now: Instant) {
        let evidence = match error {
            // It has named its mode.
            RequestError::ModeLocked(_) => Evidence::Poly,
            _ => Evidence::NotPoly,
        };
        let seen = no_response_to_read(error).into();
        self.understanding
            .answered(Some(index), evidence, Some(seen), now);
    }

    /// A command read states of this operation: polls under way, and what they compare with, are
    /// older now.
    pub fn written(&mut self, reading: &Reading, now: Instant) {
        self.schedule.written(reading.operation);
        let index = self.schedule.index_of(reading.operation);
        let has_answered = matches!(reading.outcome, ReadOutcome::Value(_) | ReadOutcome::Absent);
        if let Some(index) = index.filter(|_| has_answered) {
            self.schedule.is_there(index);
        }
        self.count_evidence(index, reading, now);
        self.forget_what_is_not_read();
    }

    /// While reads fail: what is not read now, such as the state of a call that has ended or what another
    /// read stands in for, cannot show that the device is still understood.
    fn forget_what_is_not_read(&mut self) {
        if self.understanding.is_in_doubt() {
            let schedule = &self.schedule;
            self.understanding.forget(|index| !schedule.is_read(index));
        }
    }

    /// Whether the device is understood: no read failed since one brought what a Poly device says.
    pub fn is_understood(&self) -> bool {
        self.understanding.is_understood()
    }

    /// Whether the newest answer is that of a Poly device.
    pub fn newest_is_understood(&self) -> bool {
        self.understanding.newest_is_understood()
    }

    /// Reads an operation again soon: the device is asked whether it means what it said.
    pub fn read_again(&mut self, operation: &Operation, now: Instant) {
        if let Some(index) = self.schedule.index_of(operation) {
            self.schedule.again_soon(index, now);
        }
    }

    /// The device is busy with a command that takes minutes: that reads bring nothing meanwhile shows nothing.
    pub fn excuse_losses(&mut self) {
        self.understanding.excuse_losses();
    }

    /// Why the device counts as offline, if its answers are not understood. `online`: they were,
    /// since the log-in.
    pub fn not_understood(&mut self, online: bool, now: Instant) -> Option<Problem> {
        let complete = self.is_complete();
        self.understanding.problem(online, complete, now)
    }

    /// The states of this operation have been taken away.
    pub fn has_nothing(&mut self, operation: &Operation, now: Instant) {
        if let Some(index) = self.schedule.index_of(operation) {
            self.understanding.has_nothing(index, now);
        }
    }

    /// What has not worked for long though the rest of the device does: its states are to be taken away.
    pub fn give_up(&mut self, now: Instant) -> Vec<&'static Operation> {
        let given_up = self.understanding.give_up(self.is_complete(), now);
        let mut operations = Vec::new();
        for index in given_up {
            if let Some(entry) = self.schedule.entry(index) {
                let operation = entry.operation;
                operations.push(operation);
                // What it says when it works again is new.
                self.schedule.written(operation);
            }
        }
        operations
    }

    /// Whether the device lacks all that is read of the branch of paths that this one is in.
    pub fn lacks_branch(&self, path: &str) -> bool {
        self.schedule.lacks_branch(path)
    }

    /// Whether everything has been asked for since the log-in.
    pub fn is_complete(&self) -> bool {
        self.schedule.complete()
    }

    /// Goes over to the pace of a call, or back.
    pub fn set_in_call(&mut self, in_call: bool, now: Instant) {
        self.schedule.set_in_call(in_call, now);
    }

    /// Goes over to the pace that the device asks for, or back.
    pub fn set_pace(&mut self, pace: RequestedPace, now: Instant) {
        self.schedule.set_pace(pace, now);
    }

    /// Goes over to the pace of a device that rests, or back.
    pub fn set_resting(&mut self, resting: bool, now: Instant) {
        self.schedule.set_resting(resting, now);
    }

    /// Another provider runs the device.
    pub fn mode_changed(&mut self, now: Instant) {
        self.schedule.mode_changed(now);
    }

    /// A call has ended: what is read then is due.
    pub fn call_ended(&mut self, now: Instant) {
        self.schedule.call_ended(now);
    }

    /// A request has logged in anew: the firmware may be another, as after each log-in.
    pub fn session_renewed(&mut self, now: Instant) {
        self.schedule.session_renewed(now);
    }

    /// After a log-in: everything is read again.
    pub fn restart(&mut self, now: Instant) {
        self.schedule.restart(now);
        self.understanding.restart();
        self.said_complete = false;
    }

    /// Whether everything has been read since the log-in, if that has changed since the last call
    /// or the last [`Poller::restart`].
    pub fn completed(&mut self) -> Option<bool> {
        let complete = self.is_complete();
        let changed = complete != self.said_complete;
        self.said_complete = complete;
        changed.then_some(complete)
    }
}
