//! One command, from the call to its result.
//!
//! Turns a call into requests as its catalogue entry plans, and reads back the states it touched.
//! Changes no state itself: the readings are handed to the room, which publishes them before the
//! result. [`super::refusal`] says what a refusal means.

mod answer;
mod failures;
mod files;
mod presets;
mod provider;
mod queries;
mod readiness;
#[cfg(test)]
mod tests;

pub use readiness::{CheckOrder, KnownUse};

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use self::answer::{accepted_body, lacks_spelling};
use self::failures::broken_off;
use super::mode_lock::ModeLock;
use super::new_readings::NewReadings;
use super::reading::{LARGEST_JSON_ANSWER, ReadOutcome, Reading};
use super::refusal::{unsupported, without_secrets};
use super::spellings::Spellings;
use crate::catalogue::{
    AnswerKind, CATALOGUE, Call, Command, Context, Ended, Evidence, Method, Operation, Params,
    Plan, Request, SETTING, StateTopic, TopicKind, Urgency, Variant, setting_names, truth,
};
use crate::command::{ErrorCode, Failure, Success, Transfer};
use crate::device::{Device, DeviceResponse, Problem, RequestError};

/// What `session/renew` says where the device now holds two sessions of the gateway's.
const NOT_RELEASED: &str = "the device has no log-out, so it holds the session of before too";

/// Values of the room that a command may depend on.
#[derive(Debug, Clone, Default)]
pub struct CommandEnvironment {
    /// The time and the configured preset offset.
    pub context: Context,
    /// The offset of preset numbers at the device, if it is known.
    pub preset_offset: Option<i8>,
    /// The conference that is up.
    pub conference: Option<String>,
    /// The device lacks the whole branch of what the command names something of, such as all calls.
    pub lacks_branch: bool,
    /// What a check of the room needs besides.
    pub check: Option<CheckOrder>,
    /// The largest file that is held in memory, in bytes.
    pub max_payload: usize,
    /// The stored value of the state that the command asks for, if the device has no request for
    /// that state.
    pub stored: Option<Value>,
    /// The names of the device's own configuration that the room keeps as states.
    pub setting_names: Arc<[String]>,
    /// Which spellings of requests the device has, as far as it is known.
    pub spellings: Spellings,
    /// What the provider that runs the device refuses, as far as it is known.
    pub mode_lock: ModeLock,
    /// Takes what the command reads.
    pub readings: Arc<NewReadings>,
}

/// The outcome of a command, with everything that it read.
#[derive(Debug)]
pub struct Executed {
    /// The result for the sender.
    pub result: Result<Success, Failure>,
    /// The readings that were made and that the room has not taken yet, in order.
    pub readings: Vec<Reading>,
    /// A check of the room has started the camera, and the device has carried out no stop.
    pub camera_may_move: bool,
    /// The device cannot be used any more.
    pub problem: Option<Problem>,
    /// A request was sent and not answered in time.
    pub unanswered: bool,
    /// The spelling that the device has, where the command has several: its topic, and the index.
    pub spelled: Option<(&'static str, usize)>,
    /// What the provider that runs the device turned out to refuse.
    pub mode_lock: ModeLock,
}

/// Carries a command out.
pub async fn execute(
    device: &Device,
    call: Call,
    environment: CommandEnvironment,
    transfer: Transfer,
) -> Executed {
    let mut executor = Executor {
        device,
        environment,
        deadline: device.deadline(call.route.command().time_limit),
        transfer,
        last_was_absent: false,
        sends_once: false,
        problem: None,
        unanswered: false,
        spelled: None,
        camera_may_move: false,
        sent: false,
        silence: readiness::Silence::default(),
        found_locked: ModeLock::default(),
    };
    let result = executor.run(call).await;
    Executed {
        result,
        readings: executor.environment.readings.take(),
        problem: executor.problem,
        unanswered: executor.unanswered,
        spelled: executor.spelled,
        camera_may_move: executor.camera_may_move,
        mode_lock: executor.found_locked,
    }
}

/// A command while it is carried out.
struct Executor<'a> {
    device: &'a Device,
    environment: CommandEnvironment,
    /// For all requests of the command together.
    deadline: Instant,
    /// The file that streams along with the command's first request.
    transfer: Transfer,
    /// The device answered the last read with 404: there is no such thing at the moment.
    last_was_absent: bool,
    /// The requests follow from a state that was read, and another reading may give others: they are not repeated,
    /// though each of them alone could be.
    sends_once: bool,
    problem: Option<Problem>,
    unanswered: bool,
    /// The command itself has sent a request, which may have changed something.
    sent: bool,
    spelled: Option<(&'static str, usize)>,
    camera_may_move: bool,
    silence: readiness::Silence,
    found_locked: ModeLock,
}

impl Executor<'_> {
    async fn run(&mut self, call: Call) -> Result<Success, Failure> {
        let command = call.route.command();
        let call = self.resolve_toggle(call, command).await?;
        let carried_out = self.follow_plan(&call, command).await;
        let mut success =
            carried_out.map_err(|failure| without_secrets(failure, &call.secrets()))?;
        let mut unread = Vec::new();
        // Where nothing had to be sent, the states are as they were read.
        let touched = if self.sent { command.refresh } else { &[] };
        for state in touched {
            if self.keeps(*state, &call)
                && let Err(why) = self.read_back(*state).await
            {
                unread.push(format!("{state} could not be read back: {why}"));
            }
        }
        if let Some(map_answer) = command.map_answer {
            let made = map_answer(&call, &success.body);
            success.body = made.map_err(|failure| {
                without_secrets(failure.with_status(success.status), &call.secrets())
            })?;
        }
        if !unread.is_empty() {
            let warning = format!("the device accepted this, but {}", unread.join("; "));
            success.warning = Some(warning);
        }
        Ok(success)
    }

    /// Sends what the command's plan says.
    async fn follow_plan(&mut self, call: &Call, command: &Command) -> Result<Success, Failure> {
        match command.plan {
            Plan::Direct | Plan::Move => self.request(call).await,
            // On the heap: it is long, and would make the future of every command as long.
            Plan::Readiness => Box::pin(self.check_room()).await,
            Plan::Split(_) => {
                let calls = call.planned(&self.environment.context, &Value::Null)?;
                self.request_all(&calls).await
            }
            Plan::From { state, .. } => {
                let value = self.read_state(state, &Params::new()).await?;
                let calls = call.planned(&self.environment.context, &value)?;
                self.sends_once |= !command.idempotent;
                self.request_each_of_state(&calls, command).await
            }
            Plan::Read(state) => self.query_state(state, call).await,
            Plan::Stored(state) => self.stored_state(state),
            Plan::Search => self.search_directory(call).await,
            Plan::Renew => self.renew_session(call).await,
            // On the heap: it is needed rarely, and would make each command's future larger.
            Plan::SwitchProvider => Box::pin(self.switch_provider(call)).await,
        }
    }

    /// Makes `toggle` the opposite of what the device says now.
    async fn resolve_toggle(&mut self, call: Call, command: &Command) -> Result<Call, Failure> {
        let (Some(field), Some(state)) = (call.toggled().map(str::to_owned), command.toggles)
        else {
            return Ok(call);
        };
        match truth(&self.read_state(state, &call.params).await?) {
            Some(on) => {
                self.sends_once = true;
                Ok(call.with(&field, !on))
            }
            None => Err(Failure::new(
                ErrorCode::DeviceError,
                format!("{state} is unknown at the moment, so it cannot be toggled"),
            )),
        }
    }

    /// Several requests, one after the other; the last answer is the result.
    async fn request_all(&mut self, calls: &[Call]) -> Result<Success, Failure> {
        let mut success = Success::new(200, Value::Null);
        for (done, call) in calls.iter().enumerate() {
            let answered = self.request(call).await;
            success = answered.map_err(|failure| broken_off(failure, done, calls.len()))?;
        }
        Ok(success)
    }

    /// Like [`Self::request_all`], for calls made from a state that was read. A hang-up ends each call that it
    /// can, and fails if one is left; what has ended meanwhile needs no hang-up any more.
    async fn request_each_of_state(
        &mut self,
        calls: &[Call],
        command: &Command,
    ) -> Result<Success, Failure> {
        let hangs_up = command.urgency == Urgency::Ends(Ended::Dial);
        let mut success = Success::new(200, Value::Null);
        let mut failed = None;
        let mut done = 0;
        for call in calls {
            match self.request(call).await {
                Ok(answered) => success = answered,
                Err(failure) if !hangs_up => return Err(broken_off(failure, done, calls.len())),
                Err(failure) if failure.code == ErrorCode::NotFound => {}
                Err(failure) => {
                    failed = failed.or(Some(failure));
                    continue;
                }
            }
            done += 1;
        }
        match failed {
            Some(failure) => Err(broken_off(failure, done, calls.len())),
            None => Ok(success),
        }
    }

    /// One request, in the spelling that the device has. The next spelling is sent only after an
    /// answer that says that nothing was carried out.
    async fn request(&mut self, call: &Call) -> Result<Success, Failure> {
        let mut spellings = self.environment.spellings.of_command(call).into_iter();
        loop {
            let Some((index, variant)) = spellings.next() else {
                return self.request_spelled(call, call.variant()).await;
            };
            match self.request_spelled(call, variant).await {
                Err(failure)
                    if spellings.len() > 0 && lacks_spelling(&failure, &variant.command) => {}
                Ok(success) => {
                    self.note_spelling(call, index);
                    return Ok(success);
                }
                failed => return failed,
            }
        }
    }

    fn note_spelling(&mut self, call: &Call, index: usize) {
        if call.spellings().nth(1).is_some() {
            let topic = call.route.topic.as_str();
            self.environment.spellings.command_worked(topic, index);
            self.spelled = Some((topic, index));
        }
    }

    async fn request_spelled(
        &mut self,
        call: &Call,
        variant: &'static Variant,
    ) -> Result<Success, Failure> {
        let (operation, command) = (variant.operation, &variant.command);
        let offset = self.preset_offset(operation).await?;
        let mut request = call.request_spelled(variant, offset)?;
        request.repeatable &= !self.sends_once;
        // What ends a movement or a call is always sent.
        if command.urgency == Urgency::InTurn
            && let Some(refusal) = self.environment.mode_lock.refusal_of(&request)
        {
            return Err(refusal);
        }
        self.sent = true;
        let sent = self.send(&request, operation, command).await;
        if let Err(failure) = &sent {
            self.note_locked(&request, failure);
        }
        sent
    }

    /// Sends the request of a command.
    async fn send(
        &mut self,
        request: &Request,
        operation: &'static Operation,
        command: &Command,
    ) -> Result<Success, Failure> {
        let response = match (command.answer, std::mem::take(&mut self.transfer)) {
            (AnswerKind::File(spec), transfer) => {
                return self.fetch_file(request, operation, spec, transfer).await;
            }
            (AnswerKind::Json, Transfer::Upload(upload)) => self.upload(request, upload).await?,
            (AnswerKind::Json, Transfer::Download(_) | Transfer::None) => {
                let sent = self
                    .device
                    .send(request, LARGEST_JSON_ANSWER, self.deadline)
                    .await;
                let asks =
                    operation.method == Method::Get || command.kind == Some(TopicKind::Query);
                sent.map_err(|error| {
                    if asks {
                        self.fail(error, request.repeatable)
                    } else {
                        self.fail_command(error, request.repeatable)
                    }
                })?
            }
        };
        if self.lacks(&response) {
            return Err(unsupported(response.status));
        }
        let body = accepted_body(&response, operation, command)?;
        // A page is not the whole.
        let whole = operation.method == Method::Get && operation.asks_for_states(&request.query);
        if whole && !operation.states.is_empty() {
            let reading = Reading::of(operation, &response);
            let trouble = reading.no_answer();
            if operation.poll.is_some() && !operation.takes("conf_id") {
                self.keep(reading);
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
        Ok(Success::new(response.status, body))
    }

    /// Whether the device has said of what the command names that it is not there, because it has nothing of that kind.
    fn lacks(&self, response: &DeviceResponse) -> bool {
        response.status == 404 && self.environment.lacks_branch
    }

    /// Passes a reading on to the room.
    fn keep(&mut self, reading: Reading) {
        self.last_was_absent = reading.outcome == ReadOutcome::Absent;
        self.environment.readings.push(reading);
    }

    /// Reads an operation's states from the device, in the spelling that the device has. Passes the reading on, and
    /// gives what `use_it` makes of it.
    async fn read<T>(
        &mut self,
        operation: &'static Operation,
        given: &Params,
        use_it: impl FnOnce(&Self, &Reading) -> T,
    ) -> Result<T, Failure> {
        let mut missing = Vec::new();
        for spelling in self.environment.spellings.of_read(operation) {
            let reading = self.read_spelled(spelling, given).await?;
            if !matches!(reading.outcome, ReadOutcome::Unsupported(_)) {
                let used = use_it(self, &reading);
                self.keep(reading);
                return Ok(used);
            }
            missing.push(reading);
        }
        // The device has none of them.
        let used = missing.last().map(|reading| use_it(self, reading));
        for reading in missing {
            self.keep(reading);
        }
        used.ok_or_else(|| Failure::new(ErrorCode::Unsupported, "this cannot be read"))
    }

    async fn read_spelled(
        &mut self,
        operation: &'static Operation,
        given: &Params,
    ) -> Result<Reading, Failure> {
        let params = self.with_conference(operation, given);
        let settings = self.environment.setting_names.clone();
        let request = Request::read(operation, &params, &settings)?;
        if let Some(refusal) = self.environment.mode_lock.refusal_of(&request) {
            return Err(refusal);
        }
        let sent = self
            .device
            .send(&request, LARGEST_JSON_ANSWER, self.deadline)
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                let failure = self.fail_read(error);
                self.note_locked(&request, &failure);
                return Err(failure);
            }
        };
        Ok(Reading::of(operation, &response))
    }

    /// Adds the conference that is up, if the operation is about one and the topic names none.
    fn with_conference(&self, operation: &Operation, given: &Params) -> Params {
        let mut params = given.clone();
        if operation.takes("conf_id")
            && !params.iter().any(|(name, _)| *name == "conf_id")
            && let Some(conference) = &self.environment.conference
        {
            params.push(("conf_id", conference.clone()));
        }
        params
    }

    /// Whether the room has the state that a command touches. Of the device's own configuration it has
    /// what its `settings` name.
    fn keeps(&self, state: StateTopic, call: &Call) -> bool {
        let kept = &self.environment.setting_names;
        let mut names = setting_names(call).into_iter();
        state != SETTING || names.any(|name| kept.iter().any(|kept| kept == name))
    }

    /// Reads back a state that the command touched. The command has succeeded already, so a state
    /// that cannot be read is left to the next poll, and the result has a warning.
    ///
    /// # Errors
    /// Why the state could not be read.
    async fn read_back(&mut self, state: StateTopic) -> Result<(), String> {
        let Some((operation, _)) = CATALOGUE.reader(state) else {
            return Ok(());
        };
        let read = self
            .read(operation, &Params::new(), |this, reading| {
                let value = reading.value_of(state, &this.environment.context);
                reading.trouble().or(value.err())
            })
            .await;
        match read {
            Ok(None) => Ok(()),
            Ok(Some(failure)) | Err(failure) => Err(failure.message),
        }
    }

    async fn renew_session(&mut self, call: &Call) -> Result<Success, Failure> {
        match self.device.renew_session().await {
            Ok(session) => {
                self.keep(Reading {
                    operation: call.variant().operation,
                    outcome: ReadOutcome::Value(session.clone()),
                    evidence: Evidence::Neutral,
                });
                let mut success = Success::new(200, session);
                if self.device.leaves_session() {
                    success.warning = Some(NOT_RELEASED.into());
                }
                Ok(success)
            }
            Err(problem) => {
                let failure = self.fail(RequestError::Problem(problem), true);
                if self.device.session_generation().is_some() {
                    // The device still takes the session of before, so the room stays as it is.
                    self.problem = None;
                }
                Err(failure)
            }
        }
    }
}
