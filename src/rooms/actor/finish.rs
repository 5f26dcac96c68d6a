//! Applies the outcome of a request to the room.
//!
//! The order matters: the states that a command touched are published before its result.

use serde_json::Value;
use tokio::time::Instant;

use super::{Actor, CameraEffect, Done};
use crate::catalogue::Evidence;
use crate::clock::Moment;
use crate::command::{Failure, Reply};
use crate::device::{DeviceResponse, Problem, RequestError};
use crate::rooms::camera_stops::SentStop;
use crate::rooms::executor::Executed;
use crate::rooms::poller::{Poll, Polled};
use crate::rooms::reading::{ReadOutcome, Reading};

impl Actor {
    /// Applies the result of a future.
    pub(super) fn finish(&mut self, done: Done) {
        // They are older than what `done` brings.
        self.take_new_readings();
        match done {
            Done::LoggedIn(Ok(session)) => self.logged_in(session),
            Done::LoggedIn(Err(problem)) => self.offline(problem),
            Done::Polled { poll, response } => {
                self.in_flight.poll_ended();
                self.note_session(matches!(
                    response,
                    Err(RequestError::Forbidden(_) | RequestError::ModeLocked(_))
                ));
                self.polled(poll, response);
            }
            Done::Commanded {
                lane,
                reply,
                effect,
                executed,
            } => {
                self.in_flight.command_ended(lane);
                let failure = executed.result.as_ref().err();
                self.note_session(failure.is_some_and(|failure| failure.status == Some(403)));
                self.commanded(reply, *effect, *executed);
            }
            Done::CameraStopped { sent, executed } => {
                self.in_flight.camera_stop_ended();
                match &executed.result {
                    Ok(_) => self.stops.stopped(&sent, Instant::now()),
                    Err(failure) => self.retry_stop(&sent, failure),
                }
                self.note_device_trouble(executed.problem, executed.unanswered);
            }
            Done::Checked(executed) => self.checked(*executed),
        }
        self.follow_pace(Instant::now());
    }

    fn retry_stop(&mut self, sent: &SentStop, failure: &Failure) {
        let now = Instant::now();
        if !self.stops.retry(sent, self.wait_of_stop(now), now) {
            let telemetry = self.telemetry();
            telemetry.camera_not_stopped(&self.room, failure);
        }
    }

    fn polled(&mut self, poll: Poll, response: Result<DeviceResponse, RequestError>) {
        let polled = self.poller.finish(poll, response, Instant::now());
        self.note_understanding();
        match polled {
            Polled::Unchanged | Polled::Postponed => self.availability.answered(),
            Polled::Read(reading) => {
                self.availability.answered();
                self.take(reading);
            }
            Polled::Failed => {}
            Polled::Unanswered(seen) => {
                if let Some(problem) = self.availability.unanswered(seen) {
                    self.offline(problem);
                }
            }
            Polled::Problem(problem) => self.note_device_trouble(Some(problem), false),
        }
        // Of a device that is not understood nothing is known, however often it was asked.
        if let Some(complete) = self.poller.completed()
            && self.availability.is_online()
        {
            self.publisher.read_so_far(complete);
        }
        if self.in_flight.has_minutes() {
            self.poller.excuse_losses();
        }
        let online = self.availability.is_online();
        let now = Instant::now();
        if self.availability.is_logged_in()
            && let Some(problem) = self.poller.not_understood(online, now)
        {
            self.offline(problem);
        }
        for operation in self.poller.give_up(now) {
            self.knowledge.clear(operation);
        }
    }

    /// Applies what the commands that run have read.
    pub(super) fn take_new_readings(&mut self) {
        let readings = self.new_readings.take();
        self.take_read_back(readings, None);
    }

    /// Applies what a command has read, and which spelling it has found.
    pub(super) fn take_read_back(
        &mut self,
        readings: Vec<Reading>,
        spelled: Option<(&'static str, usize)>,
    ) {
        for reading in readings {
            self.poller.written(&reading, Instant::now());
            self.note_understanding();
            match reading.evidence {
                Evidence::NotPoly => self.take(reading),
                // Also while the room is not online yet: the state comes before the result.
                Evidence::Poly | Evidence::Neutral => self.apply(&reading),
                Evidence::Postponed => {}
            }
        }
        if let Some((topic, index)) = spelled {
            self.knowledge.spellings().command_worked(topic, index);
        }
    }

    fn commanded(&mut self, reply: Reply, effect: CameraEffect, executed: Executed) {
        self.take_read_back(executed.readings, executed.spelled);
        // A device that is not understood, or something before it, may answer so to everything.
        if self.availability.is_online() {
            self.knowledge.mode_lock().add(executed.mode_lock);
        }
        self.schedule_stop(effect, executed.result.as_ref().err());
        if let Ok(success) = &executed.result
            && let Some(file) = &success.file
        {
            self.publisher.file(file);
        }
        self.publisher.answer(reply, executed.result);
        self.note_device_trouble(executed.problem, executed.unanswered);
    }

    /// Schedules or cancels a camera's stop after a command that was about the camera.
    pub(super) fn schedule_stop(&mut self, effect: CameraEffect, failure: Option<&Failure>) {
        let now = Instant::now();
        match &effect {
            CameraEffect::Recalls(preset) => self.preset = Some(preset.clone()),
            CameraEffect::Starts(_) | CameraEffect::Places => self.preset = None,
            CameraEffect::Stops(_) | CameraEffect::None => {}
        }
        if failure.is_some() && matches!(effect, CameraEffect::Recalls(_)) {
            self.preset = None;
        }
        match (effect, failure) {
            (CameraEffect::Starts(motion), None) => {
                self.stops.schedule(&motion, now + motion.duration);
            }
            (CameraEffect::Starts(motion), Some(failure)) if failure.code.is_unsure() => {
                self.stops.schedule_repeated(&motion, now);
            }
            // An earlier start may still move it: a stop too many does no harm.
            (CameraEffect::Starts(motion), Some(_)) => self.stops.schedule(&motion, now),
            (CameraEffect::Stops(sent), None) => self.stops.stopped(&sent, now),
            (CameraEffect::Stops(_), Some(_))
            | (CameraEffect::None | CameraEffect::Recalls(_) | CameraEffect::Places, _) => {}
        }
    }

    /// Applies a reading, or keeps it until the device is known to be understood: an error page may
    /// look as if the device had lost all that it has.
    fn take(&mut self, reading: Reading) {
        let says_something = matches!(reading.outcome, ReadOutcome::Value(_));
        let is_certain = match reading.evidence {
            Evidence::Poly => true,
            Evidence::Neutral => self.availability.is_online() && says_something,
            Evidence::NotPoly | Evidence::Postponed => false,
        };
        if is_certain {
            self.apply(&reading);
        } else if !matches!(reading.outcome, ReadOutcome::Failed(_)) {
            self.doubtful.keep(reading);
        }
    }

    fn apply(&mut self, reading: &Reading) {
        self.doubtful.applied(reading);
        self.knowledge.apply(reading);
        let in_call = self.knowledge.in_call();
        let now = Instant::now();
        self.poller.set_in_call(in_call, now);
        self.poller.set_resting(self.knowledge.is_resting(), now);
        if self.knowledge.take_call_ended() {
            self.poller.call_ended(now);
        }
        if self.knowledge.mode_lock().take_changed() {
            self.poller.mode_changed(now);
        }
    }

    /// What a request says about the device itself. Commands count too: while they take both of its
    /// requests there are no polls that could say it.
    pub(super) fn note_device_trouble(&mut self, problem: Option<Problem>, unanswered: bool) {
        if let Some(problem) = problem {
            self.offline(problem);
        } else if unanswered && let Some(problem) = self.availability.unanswered(None) {
            self.offline(problem);
        }
    }

    /// A request that finds the session stale logs in anew, and after each log-in the firmware may be another.
    /// `refused`: the device refuses the request in the new session too. Then the session was not the cause, and
    /// to ask again for all that was refused would cost log-ins without end.
    fn note_session(&mut self, refused: bool) {
        let generation = self.device.session_generation();
        if generation.is_none() || generation == self.generation {
            return;
        }
        self.generation = generation;
        if !refused && self.availability.is_logged_in() {
            self.poller.session_renewed(Instant::now());
            self.knowledge.logged_in();
        }
    }

    fn logged_in(&mut self, session: Value) {
        self.generation = self.device.session_generation();
        self.availability.logged_in();
        self.poller.restart(Instant::now());
        self.knowledge.logged_in();
        self.session = session;
        self.doubtful.clear();
    }

    /// While the device is understood, the room is online, and nothing that it said is doubtful.
    fn note_understanding(&mut self) {
        if !self.poller.is_understood() {
            return;
        }
        if self.availability.understood() {
            // Not needed any more until the next log-in.
            self.publisher.online(&std::mem::take(&mut self.session));
            self.publisher.read_so_far(self.poller.is_complete());
            self.queue.open();
            self.telemetry().room_online(&self.room);
        }
        if !self.poller.newest_is_understood() {
            return;
        }
        for reading in self.doubtful.take() {
            let has_states = self.knowledge.has_states(reading.operation);
            if self.doubtful.must_be_repeated(&reading, has_states) {
                self.poller.read_again(reading.operation, Instant::now());
            } else {
                self.apply(&reading);
                if reading.evidence == Evidence::NotPoly {
                    self.poller.has_nothing(reading.operation, Instant::now());
                }
            }
        }
    }

    /// The device cannot be used: answers what waits, and says why.
    fn offline(&mut self, problem: Problem) {
        let camera_may_move = !self.stops.is_empty();
        let log_in_at = self.device.log_in_blocked_until();
        let now = Moment::now();
        let failed = (self.availability).failed(problem.code, log_in_at, camera_may_move, now);
        let Some(went_offline) = failed else {
            return;
        };
        if let Some(until) = self.device.requested_pace().paused_until
            && !camera_may_move
        {
            self.availability.put_off(until);
        }
        self.doubtful.clear();
        let code = problem.code.error_code();
        self.queue.close(Failure::new(code, &*problem.message));
        if went_offline.is_new {
            let telemetry = self.telemetry();
            telemetry.room_offline(&self.room, &problem.message);
        }
        self.publisher.offline(&problem, &went_offline);
    }
}
