//! The room's one task.
//!
//! Everything a room knows changes here and nowhere else. Requests run as futures of this task;
//! what they bring is applied in order, so that the states a command touched are published before
//! its result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::execute::{Environment, Executed, Read, Reading, execute, understand, unix_now};
use super::motion::Stops;
use super::queue::{Free, Lane, Queue};
use super::room::{LET_GO, Results, Settings};
use super::schedule::Schedule;
use crate::catalogue::{
    CALLS, Call, Context, Motion, Operation, PRESETS, Pick, Plan, Request, SESSION, StateTopic,
    When, connections, learned_preset_offset, operations,
};
use crate::command::{ErrorCode, Failure, Reply, Success, Transfer};
use crate::device::{Device, DeviceResponse, Problem, ProblemCode, RequestError};
use crate::state::{RoomReading, StateValue};
use crate::telemetry::PollOutcome;

/// Polled answers are never larger than this.
const POLL_LIMIT: usize = 4 << 20;
/// So many requests without an answer in a row, and the device is not there.
const SILENT: u32 = 2;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// But not so long while a camera may be moving that is owed its stop.
const CAMERA_RUNS: Duration = Duration::from_secs(1);

/// Runs a room until it is asked to stop. Begins with the stops that are owed from before, and
/// gives back those that are owed still.
pub async fn run(
    settings: Settings,
    device: Device,
    queue: Arc<Queue>,
    results: Results,
    stop: CancellationToken,
    owed: Stops,
) -> Stops {
    let mut actor = Actor::new(settings, device, queue, results);
    actor.stops = owed;
    actor.connect();
    loop {
        let stopping = stop.is_cancelled();
        actor.begin(stopping);
        if stopping && actor.running.is_empty() {
            break;
        }
        let wake = actor.next_wake(stopping);
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stopping => actor.stop_taking(),
            Some(done) = actor.running.next() => actor.finish(done),
            () = actor.queue.filled(), if !stopping => {}
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
    // On the heap: a room has it in its task for months and needs it once.
    Box::pin(actor.device.close()).await;
    actor.stops
}

/// How the room stands with its device.
#[derive(Debug)]
enum Phase {
    /// A log-in is under way; commands wait.
    Connecting,
    /// Logged in.
    Online,
    /// Cannot be used; tried again then. Commands are answered at once.
    Offline(Instant),
}

/// What a future of the room brought.
enum Done {
    LoggedIn(Result<Value, Problem>),
    Polled {
        place: usize,
        written: u64,
        answer: Result<DeviceResponse, RequestError>,
    },
    Commanded {
        lane: Lane,
        reply: Reply,
        motion: Option<Box<Motion>>,
        stopped: Option<String>,
        executed: Box<Executed>,
    },
    Stopped {
        camera: String,
        executed: Box<Executed>,
    },
}

struct Actor {
    settings: Settings,
    device: Device,
    queue: Arc<Queue>,
    results: Results,
    schedule: Schedule,
    calls: Calls,
    stops: Stops,
    phase: Phase,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The area of the command that runs in order.
    ordered: Option<&'static str>,
    beside: bool,
    polling: bool,
    stopping: bool,
    learned_offset: Option<i8>,
    /// The topics of the parts of the system that the device named.
    parts: BTreeSet<String>,
    silent: u32,
    wait: Duration,
    /// What is wrong, and since when.
    problem: Option<(ProblemCode, String)>,
}

impl Actor {
    fn new(settings: Settings, device: Device, queue: Arc<Queue>, results: Results) -> Self {
        let wait = device.timings().first_reconnect_delay;
        let actor = Self {
            schedule: Schedule::new(settings.intervals, Instant::now()),
            settings,
            device,
            queue,
            results,
            calls: Calls::default(),
            stops: Stops::default(),
            phase: Phase::Connecting,
            running: FuturesUnordered::new(),
            ordered: None,
            beside: false,
            polling: false,
            stopping: false,
            learned_offset: None,
            parts: BTreeSet::new(),
            silent: 0,
            wait,
            problem: None,
        };
        actor.results.state("availability", Some(&"offline".into()));
        actor
    }

    fn run_later(&self, future: impl Future<Output = Done> + Send + 'static) {
        self.running.push(future.boxed());
    }

    /// Starts a log-in.
    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        let device = self.device.clone();
        self.run_later(async move { Done::LoggedIn(device.log_in().await) });
    }

    /// Starts whatever may start now: stops first, then commands, then reads.
    fn begin(&mut self, ending: bool) {
        let now = Instant::now();
        if let Phase::Offline(until) = self.phase
            && until <= now
            && !ending
        {
            self.connect();
        }
        self.queue.expire(now);
        if !matches!(self.phase, Phase::Online) {
            return;
        }
        if !self.stopping
            && let Some(stop) = self.due_stop(ending, now)
        {
            self.stopping = true;
            let camera = Motion::camera(&stop);
            let environment = self.environment(&stop);
            let device = self.device.clone();
            self.run_later(async move {
                let executed = Box::new(execute(&device, stop, environment, Transfer::None).await);
                Done::Stopped { camera, executed }
            });
        }
        if ending {
            return;
        }
        while let Some((lane, ticket)) = self.queue.take(Free {
            ordered: self.ordered.map_or(Ok(()), Err),
            beside: !self.beside,
        }) {
            match lane {
                Lane::Ordered => self.ordered = Some(ticket.area()),
                Lane::Beside => self.beside = true,
            }
            self.command(lane, ticket.call, ticket.reply, ticket.transfer);
        }
        if self.may_poll() {
            self.poll(now);
        }
    }

    /// Commands go before reads, and the device gets two requests at a time.
    fn may_poll(&self) -> bool {
        let others = [self.ordered.is_some(), self.beside, self.stopping];
        !self.polling && others.iter().filter(|busy| **busy).count() < 2
    }

    fn due_stop(&self, ending: bool, now: Instant) -> Option<Call> {
        if ending {
            return self.stops.all().into_iter().next();
        }
        self.stops.due(now)
    }

    fn command(&mut self, lane: Lane, call: Call, reply: Reply, transfer: Transfer) {
        let motion = match call.route.command().plan {
            Plan::Move => Motion::of(&call).ok().map(Box::new),
            _ => None,
        };
        if let Some(motion) = &motion {
            // Should the start's answer never come, the camera may move all the same.
            let longest = self.device.timings().request_timeout + motion.duration;
            self.stops.owe(motion, Instant::now() + longest);
        }
        let stopped = Motion::ended_by(&call);
        let environment = self.environment(&call);
        let device = self.device.clone();
        self.run_later(async move {
            let executed = Box::new(execute(&device, call, environment, transfer).await);
            Done::Commanded {
                lane,
                reply,
                motion,
                stopped,
                executed,
            }
        });
    }

    fn poll(&mut self, now: Instant) {
        let Some((place, due)) = self.schedule.next() else {
            return;
        };
        if due > now {
            return;
        }
        let late = now
            .duration_since(due)
            .div_duration_f64(self.schedule.interval_at(place));
        self.settings.device.telemetry.poll_started(late);
        self.schedule.began(place, now);
        let Some(entry) = self.schedule.entry(place) else {
            return;
        };
        let written = entry.written;
        let params = match self.calls.conference() {
            Some(conference) => vec![("conf_id", conference.to_owned())],
            None => Vec::new(),
        };
        let Ok(request) = Request::read(entry.operation, &params) else {
            return;
        };
        self.polling = true;
        let device = self.device.clone();
        self.run_later(async move {
            let deadline = device.deadline(false);
            let answer = device.send(&request, POLL_LIMIT, deadline).await;
            Done::Polled {
                place,
                written,
                answer,
            }
        });
    }

    fn context(&self) -> Context {
        Context {
            now: unix_now(),
            preset_offset: self.settings.preset_offset,
        }
    }

    fn environment(&self, call: &Call) -> Environment {
        let stored = match call.route.command().plan {
            Plan::Stored(state) => self.stored(state),
            _ => None,
        };
        Environment {
            context: self.context(),
            preset_offset: self.settings.preset_offset.or(self.learned_offset),
            conference: self.calls.conference().map(str::to_owned),
            max_payload: self.settings.max_payload,
            stored,
        }
    }

    fn stored(&self, state: StateTopic) -> Option<Value> {
        let topic = format!("room/{}/{state}", self.settings.id);
        let stored = self.results.store.get(&topic)?;
        serde_json::from_slice(&stored.payload).ok()
    }

    fn next_wake(&self, ending: bool) -> Option<Instant> {
        let retry = match self.phase {
            Phase::Offline(until) => Some(until),
            _ => None,
        };
        if ending {
            return None;
        }
        let online = matches!(self.phase, Phase::Online);
        let polls = online && self.may_poll();
        let poll = polls.then(|| self.schedule.next()).flatten();
        [
            retry,
            self.queue.next_expiry(),
            self.stops.next().filter(|_| online && !self.stopping),
            poll.map(|(_, due)| due),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// From here on every command is refused; those begun are finished.
    fn stop_taking(&self) {
        self.queue.close(Failure::new(ErrorCode::Offline, LET_GO));
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::LoggedIn(Ok(session)) => self.online(&session),
            Done::LoggedIn(Err(problem)) => self.offline(problem),
            Done::Polled {
                place,
                written,
                answer,
            } => {
                self.polling = false;
                self.polled(place, written, answer);
                self.schedule.asked(place);
                let reading = match self.schedule.complete() {
                    true => RoomReading::Complete,
                    false => RoomReading::Incomplete,
                };
                self.results.store.set_room(&self.settings.id, reading);
            }
            Done::Commanded {
                lane,
                reply,
                motion,
                stopped,
                executed,
            } => {
                match lane {
                    Lane::Ordered => self.ordered = None,
                    Lane::Beside => self.beside = false,
                }
                self.commanded(reply, motion, stopped, *executed);
            }
            Done::Stopped { camera, executed } => {
                self.stopping = false;
                match executed.result {
                    Ok(_) => self.stops.paid(&camera, Instant::now()),
                    Err(_) => self.stops.failed(&camera, Instant::now()),
                }
                self.heard(executed.problem, executed.silent);
            }
        }
    }

    /// What a command says of the device. While commands hold both of its requests there are no
    /// reads that could say it.
    fn heard(&mut self, problem: Option<Problem>, silent: bool) {
        match problem {
            Some(problem) => self.offline(problem),
            None if silent => self.unanswered(),
            None => {}
        }
    }

    fn unanswered(&mut self) {
        self.silent += 1;
        if self.silent >= SILENT {
            self.offline(Problem {
                code: ProblemCode::Offline,
                message: "the device does not answer any more".into(),
            });
        }
    }

    fn commanded(
        &mut self,
        reply: Reply,
        motion: Option<Box<Motion>>,
        stopped: Option<String>,
        executed: Executed,
    ) {
        for reading in executed.readings {
            self.schedule.written(reading.operation);
            self.apply(&reading);
        }
        match (&executed.result, motion) {
            (Ok(_), Some(motion)) => self.stops.owe(&motion, Instant::now() + motion.duration),
            (Err(failure), Some(motion)) if failure.code.is_unsure() => {
                self.stops.owe_unsure(&motion, Instant::now());
            }
            // It may have moved before: a stop too many does no harm.
            (Err(_), Some(motion)) => self.stops.owe(&motion, Instant::now()),
            (Ok(_), None) => {
                if let Some(camera) = stopped {
                    self.stops.paid(&camera, Instant::now());
                }
            }
            (Err(_), None) => {}
        }
        if let Ok(success) = &executed.result {
            self.keep_retained(success);
        }
        self.results.give(reply, executed.result);
        self.heard(executed.problem, executed.silent);
    }

    /// A file that stays retained is a state.
    fn keep_retained(&self, success: &Success) {
        if let Some(file) = success.file.as_ref().filter(|file| file.retained)
            && let Some(bytes) = &file.bytes
        {
            let topic = format!("room/{}/{}", self.settings.id, file.topic);
            let retained = StateValue {
                payload: bytes.clone(),
                content_type: Some(file.content_type.clone()),
            };
            self.results.store.set(&topic, retained);
        }
    }

    fn polled(&mut self, place: usize, written: u64, answer: Result<DeviceResponse, RequestError>) {
        let now = Instant::now();
        let count = |outcome| self.settings.device.telemetry.poll_finished(outcome);
        let answer = match answer {
            Ok(answer) => answer,
            Err(RequestError::Problem(problem)) => {
                count(PollOutcome::Failed);
                return self.offline(problem);
            }
            Err(RequestError::TimedOut { .. } | RequestError::Broken) => {
                count(PollOutcome::Silent);
                return self.unanswered();
            }
            Err(failed) => {
                count(PollOutcome::Failed);
                tracing::debug!(?failed, "a state cannot be read");
                return;
            }
        };
        self.silent = 0;
        let Some(entry) = self.schedule.entry(place) else {
            return;
        };
        if entry.written != written {
            // A command read the same state while this read was under way: which of the two is
            // newer cannot be told.
            return self.schedule.again(place, now);
        }
        let operation = entry.operation;
        let same = answer.status == 200 && !operation.at_time();
        if same && entry.knows(&answer.body) {
            return count(PollOutcome::Unchanged);
        }
        let read = understand(operation, &answer);
        count(match read {
            Read::Value(_) | Read::Absent => PollOutcome::Changed,
            Read::Lacking(_) | Read::Failed(_) => PollOutcome::Failed,
        });
        match &read {
            Read::Lacking(status) => {
                tracing::debug!(operation.path, status, "not there");
                self.schedule.lacked(place, now);
            }
            Read::Failed(failure) => {
                let path = operation.path;
                tracing::debug!(path, failure.message, "a state cannot be read");
            }
            Read::Value(_) | Read::Absent => self.schedule.there(place, &answer.body),
        }
        self.apply(&Reading { operation, read });
    }

    /// Publishes what was read, and all that follows from it.
    fn apply(&mut self, reading: &Reading) {
        let Reading { operation, read } = reading;
        let in_call = matches!(operation.poll, Some((_, When::InCall)));
        match read {
            Read::Value(answer) => {
                let context = self.context();
                for state in operation.states {
                    let values = state.values(answer, &context);
                    for (topic, value) in &values {
                        self.results.state(topic, value.as_ref());
                    }
                    if let Pick::Each(_) = state.pick {
                        let named = values.into_iter().map(|(topic, _)| topic).collect();
                        self.forget_parts(named);
                    }
                }
                self.follow(operation, answer);
            }
            Read::Absent if in_call => self.clear(operation),
            Read::Absent => {
                for state in operation.states {
                    self.results
                        .state(state.topic.as_str(), Some(&"none".into()));
                }
            }
            Read::Lacking(_) => self.clear(operation),
            Read::Failed(_) => {}
        }
    }

    /// Clears what a device named before and names no longer: new names at each answer must not
    /// become ever more topics.
    fn forget_parts(&mut self, named: BTreeSet<String>) {
        for topic in self.parts.difference(&named) {
            self.results.state(topic, None);
        }
        self.parts = named;
    }

    fn clear(&self, operation: &Operation) {
        for state in operation.states {
            self.results.state(state.topic.as_str(), None);
        }
    }

    /// What the room itself learns from a reading.
    fn follow(&mut self, operation: &Operation, answer: &Value) {
        if operation.feeds(PRESETS) {
            self.learned_offset = learned_preset_offset(answer).or(self.learned_offset);
        }
        if !operation.feeds(CALLS) {
            return;
        }
        for (event, about) in self.calls.update(connections(answer)) {
            self.results.event(event, &about);
        }
        let in_call = self.calls.in_call();
        self.schedule.set_in_call(in_call, Instant::now());
        if !in_call {
            let ended = |operation: &&Operation| matches!(operation.poll, Some((_, When::InCall)));
            for operation in operations().filter(ended) {
                self.clear(operation);
            }
        }
    }

    fn online(&mut self, session: &Value) {
        let now = Instant::now();
        self.phase = Phase::Online;
        self.silent = 0;
        self.wait = self.device.timings().first_reconnect_delay;
        self.problem = None;
        self.schedule.restart(now);
        self.results.state(SESSION.as_str(), Some(session));
        self.results
            .state("problem", Some(&json!({"code": "none"})));
        self.results.state("availability", Some(&"online".into()));
        self.queue.open();
        let telemetry = &self.settings.device.telemetry;
        telemetry.room_online(&self.settings.id);
    }

    /// The device cannot be used: says so, answers what waits, and sets when to try again.
    fn offline(&mut self, problem: Problem) {
        if matches!(self.phase, Phase::Offline(_)) {
            return;
        }
        let room = &self.settings.id;
        self.results.store.set_room(room, RoomReading::Incomplete);
        let refused = matches!(
            problem.code,
            ProblemCode::Unauthorized | ProblemCode::LockedOut | ProblemCode::TooManySessions
        );
        let now = Instant::now();
        let wait = if refused {
            match problem.code {
                ProblemCode::LockedOut => self.device.timings().retry_after_lockout,
                ProblemCode::TooManySessions => self.device.timings().retry_after_too_many_sessions,
                _ => self.device.timings().retry_after_refused_login,
            }
        } else {
            let mut wait = self.wait;
            if self.stops.next().is_some() {
                wait = wait.min(CAMERA_RUNS);
            }
            self.wait =
                (wait * 2).min(LONGEST_WAIT.max(self.device.timings().first_reconnect_delay));
            jittered(wait)
        };
        self.phase = Phase::Offline(now + wait);
        self.silent = 0;
        self.queue.close(Failure::new(
            problem.code.error_code(),
            problem.message.clone(),
        ));
        let since = match self.problem.take() {
            // The same problem may have other words at each attempt.
            Some((code, since)) if code == problem.code => since,
            _ => {
                let telemetry = &self.settings.device.telemetry;
                telemetry.room_offline(&self.settings.id, &problem.message);
                OffsetDateTime::now_utc()
                    .format(&Rfc3339)
                    .unwrap_or_default()
            }
        };
        let about = json!({
            "code": problem.code,
            "message": problem.message,
            "since": since,
        });
        self.results.state("problem", Some(&about));
        self.problem = Some((problem.code, since));
        self.results.state("availability", Some(&"offline".into()));
    }
}

/// Spreads the attempts of many rooms: three quarters to five quarters of the wait.
fn jittered(wait: Duration) -> Duration {
    let noise = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    wait * 3 / 4 + wait * (noise % 1000) / 2000
}
