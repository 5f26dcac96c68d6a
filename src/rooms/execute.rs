//! One command, from the call to its result.
//!
//! Turns a call into requests as its entry plans, reads back the states it touched, and says what
//! the device's answers mean. Changes no state itself: readings are handed to the room.

mod files;

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::catalogue::{
    AnswerKind, CATALOGUE, Call, Context, Method, Operation, PRESETS, Params, Plan, Request,
    Search, StateTopic, learned_preset_offset, read_body,
};
use crate::command::{ErrorCode, Failure, Success, Transfer};
use crate::device::{self, Device, DeviceResponse, RequestError};
use crate::topics::encode_level;

/// JSON answers are never larger than this.
const JSON_LIMIT: usize = 8 << 20;
/// More of what a device says about a refusal is not told on, in characters.
const LONGEST_REASON: usize = 200;
/// Between two looks at a directory query that is not ready.
const NOT_READY: Duration = Duration::from_millis(250);

/// What reading an operation's state brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// The answer, made uniform.
    Value(Value),
    /// There is none at the moment, which is no error.
    Absent,
    /// The device lacks it.
    Lacking(u16),
    /// The device could not say.
    Failed(Failure),
}

/// A reading of an operation, to be published.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was read.
    pub operation: &'static Operation,
    /// What came of it.
    pub read: Read,
}

/// What a command may depend on besides itself.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The time and the configured preset offset.
    pub context: Context,
    /// What is added to a preset's number, if it is known.
    pub preset_offset: Option<i8>,
    /// The conference that is up.
    pub conference: Option<String>,
    /// The largest file that is taken.
    pub max_payload: usize,
    /// The retained value of the command's own state, for states that are not read.
    pub stored: Option<Value>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Executed {
    /// The result for the sender.
    pub result: Result<Success, Failure>,
    /// What was read on the way, in order.
    pub readings: Vec<Reading>,
    /// The device cannot be used any more.
    pub problem: Option<device::Problem>,
    /// A request was sent and not answered in time.
    pub silent: bool,
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

/// Reads an operation's state.
///
/// # Errors
/// The device could not be asked.
pub async fn read(
    device: &Device,
    operation: &'static Operation,
    params: &Params,
    deadline: Instant,
) -> Result<Read, RequestError> {
    let request = match Request::read(operation, params) {
        Ok(request) => request,
        Err(failure) => return Ok(Read::Failed(failure)),
    };
    let answer = device.send(&request, JSON_LIMIT, deadline).await?;
    Ok(understand(operation, &answer))
}

/// What an answer says about an operation's state.
pub fn understand(operation: &Operation, answer: &DeviceResponse) -> Read {
    match answer.status {
        200..=299 => match read_body(&answer.body) {
            Ok(value) => Read::Value(operation.shape.apply(value)),
            Err(message) => Read::Failed(
                Failure::new(ErrorCode::DeviceError, message).with_status(answer.status),
            ),
        },
        404 if operation.absent => Read::Absent,
        404 | 405 | 501 => Read::Lacking(answer.status),
        _ => Read::Failed(refusal(answer, operation, false)),
    }
}

/// Carries a command out.
pub async fn execute(
    device: &Device,
    call: Call,
    environment: Environment,
    transfer: Transfer,
) -> Executed {
    let deadline = device.deadline(call.route.command().slow);
    let mut execution = Execution {
        device,
        environment,
        deadline,
        transfer,
        readings: Vec::new(),
        problem: None,
        silent: false,
    };
    let result = execution.run(call).await;
    Executed {
        result,
        readings: execution.readings,
        problem: execution.problem,
        silent: execution.silent,
    }
}

struct Execution<'a> {
    device: &'a Device,
    environment: Environment,
    deadline: Instant,
    /// What streams along with the command's first request.
    transfer: Transfer,
    readings: Vec<Reading>,
    problem: Option<device::Problem>,
    silent: bool,
}

impl Execution<'_> {
    async fn run(&mut self, mut call: Call) -> Result<Success, Failure> {
        let command = call.route.command();
        if let (Some(field), Some(state)) = (call.toggled().map(str::to_owned), command.toggles) {
            let on = self.fresh(state, &call.params).await?;
            let on = on.as_bool().ok_or_else(|| {
                Failure::new(
                    ErrorCode::DeviceError,
                    format!("{state} is unknown at the moment, so it cannot be toggled"),
                )
            })?;
            call = call.with(&field, !on);
        }
        let refresh = command.refresh;
        let success = match command.plan {
            Plan::Direct | Plan::Move => self.request(&call).await?,
            Plan::Split(_) => {
                let calls = call.planned(&self.environment.context, &Value::Null)?;
                self.each(calls, false).await?
            }
            Plan::From { state, .. } => {
                let value = self.fresh(state, &Params::new()).await?;
                let calls = call.planned(&self.environment.context, &value)?;
                self.each(calls, true).await?
            }
            Plan::Read(state) => self.state(state, &call).await?,
            Plan::Stored(state) => self.stored(state)?,
            Plan::Search => self.search(&call).await?,
            Plan::Renew => self.renew(&call).await?,
        };
        for state in refresh {
            self.refresh(*state).await;
        }
        Ok(success)
    }

    /// Several requests, one after the other; the last answer is the result.
    async fn each(&mut self, calls: Vec<Call>, all_gone_is_done: bool) -> Result<Success, Failure> {
        let mut success = Success::new(200, Value::Null);
        for call in calls {
            match self.request(&call).await {
                Ok(answered) => success = answered,
                // What a hang-up of every call finds ended already is ended.
                Err(failure)
                    if all_gone_is_done
                        && failure.code == ErrorCode::NotFound
                        && call.route.topic.ends_with("/hangup") => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(success)
    }

    async fn request(&mut self, call: &Call) -> Result<Success, Failure> {
        let variant = call.variant();
        let (operation, command) = (variant.operation, &variant.command);
        let request = call.request(self.preset_offset(operation).await?)?;
        let answer = match (command.answer, std::mem::take(&mut self.transfer)) {
            (AnswerKind::Binary(kind), transfer) => {
                return self.file(&request, operation, kind, transfer).await;
            }
            (AnswerKind::Json, Transfer::Upload(upload)) => self.upload(&request, upload).await,
            (AnswerKind::Json, _) => self
                .device
                .send(&request, JSON_LIMIT, self.deadline)
                .await
                .map_err(|failed| self.failure(failed, request.repeatable)),
        }?;
        if !(200..=299).contains(&answer.status) {
            let named = !operation.commands.is_empty() && operation.path.contains('{');
            return Err(refusal(&answer, operation, named));
        }
        let body = match read_body(&answer.body) {
            Ok(body) => body,
            Err(message) if operation.method == Method::Get => {
                return Err(
                    Failure::new(ErrorCode::DeviceError, message).with_status(answer.status)
                );
            }
            Err(_) => Value::Null,
        };
        if body["success"] == false {
            let reason = body["reason"].as_str().unwrap_or("it gave no reason");
            let reason: String = reason.chars().take(LONGEST_REASON).collect();
            return Err(Failure::new(
                ErrorCode::DeviceError,
                format!("the device did not carry it out: {reason}"),
            )
            .with_status(answer.status));
        }
        let whole = !operation.states.is_empty() && request.query.is_empty();
        if whole && operation.poll.is_some() && !operation.takes("conf_id") {
            self.readings.push(Reading {
                operation,
                read: Read::Value(operation.shape.apply(body.clone())),
            });
        }
        Ok(Success::new(answer.status, body))
    }

    /// What is added to a preset's number. Where it is not known yet how the device counts, it is
    /// asked first: it would be another preset.
    async fn preset_offset(&mut self, operation: &Operation) -> Result<i8, Failure> {
        if !operation.takes("index") {
            return Ok(0);
        }
        if let Some(offset) = self.environment.preset_offset {
            return Ok(offset);
        }
        let Some((presets, _)) = CATALOGUE.reader(PRESETS) else {
            return Ok(0);
        };
        match self.read(presets, &Params::new()).await? {
            Read::Value(list) => {
                self.environment.preset_offset = learned_preset_offset(&list);
                Ok(self.environment.preset_offset.unwrap_or(0))
            }
            Read::Absent | Read::Lacking(_) => Ok(0),
            Read::Failed(failure) => Err(failure),
        }
    }

    /// What stands in for a conference that the topic does not name.
    fn params(&self, operation: &Operation, given: &Params) -> Params {
        let mut params = given.clone();
        if operation.takes("conf_id")
            && !params.iter().any(|(name, _)| *name == "conf_id")
            && let Some(conference) = &self.environment.conference
        {
            params.push(("conf_id", conference.clone()));
        }
        params
    }

    async fn read(
        &mut self,
        operation: &'static Operation,
        given: &Params,
    ) -> Result<Read, Failure> {
        let params = self.params(operation, given);
        let read = match read(self.device, operation, &params, self.deadline).await {
            Ok(read) => read,
            Err(failed) => return Err(self.failure(failed, true)),
        };
        self.readings.push(Reading {
            operation,
            read: read.clone(),
        });
        Ok(read)
    }

    /// A state's value, read from the device now; null where there is none.
    async fn fresh(&mut self, state: StateTopic, params: &Params) -> Result<Value, Failure> {
        let (operation, known) = CATALOGUE.reader(state).ok_or_else(|| {
            Failure::new(ErrorCode::Unsupported, format!("{state} has no source"))
        })?;
        match self.read(operation, params).await? {
            Read::Value(answer) => {
                let values = known.values(&answer, &self.environment.context);
                Ok(values
                    .into_iter()
                    .find_map(|(_, value)| value)
                    .unwrap_or_default())
            }
            Read::Absent => Ok(Value::Null),
            Read::Lacking(status) => Err(lacking(status)),
            Read::Failed(failure) => Err(failure),
        }
    }

    /// Answers `<state>/get`.
    async fn state(&mut self, state: StateTopic, call: &Call) -> Result<Success, Failure> {
        let Some(name) = call.param("name") else {
            let value = match self.fresh(state, &call.params).await? {
                Value::Null if self.last_was_absent() => "none".into(),
                value => value,
            };
            return Ok(Success::new(200, value));
        };
        let operation = call.variant().operation;
        let topic = format!("{state}/{}", encode_level(name));
        match self.read(operation, &Params::new()).await? {
            Read::Value(answer) => operation
                .states
                .iter()
                .flat_map(|known| known.values(&answer, &self.environment.context))
                .find_map(|(known, value)| value.filter(|_| known == topic))
                .map(|value| Success::new(200, value))
                .ok_or_else(|| {
                    Failure::new(ErrorCode::NotFound, format!("the device has no {topic}"))
                }),
            Read::Absent => Ok(Success::new(200, "none".into())),
            Read::Lacking(status) => Err(lacking(status)),
            Read::Failed(failure) => Err(failure),
        }
    }

    fn last_was_absent(&self) -> bool {
        self.readings
            .last()
            .is_some_and(|reading| reading.read == Read::Absent)
    }

    fn stored(&self, state: StateTopic) -> Result<Success, Failure> {
        let value = self.environment.stored.clone();
        value
            .map(|value| Success::new(200, value))
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, format!("{state} is not known yet")))
    }

    /// Reads back what a command touched. The command has succeeded already, so a state that
    /// cannot be read is left to the next poll.
    async fn refresh(&mut self, state: StateTopic) {
        let Some((operation, _)) = CATALOGUE.reader(state) else {
            return;
        };
        if let Err(failure) = self.read(operation, &Params::new()).await {
            tracing::debug!(%state, message = failure.message, "read-back failed");
        }
    }

    /// Creates a query, pages through it and deletes it, also when something fails between.
    async fn search(&mut self, call: &Call) -> Result<Success, Failure> {
        let created = self.request(&Search::create(call)?).await?;
        let mut search = Search::begin(call, &created.body)?;
        let paged = self.pages(&mut search).await;
        let deleted = self.request(&search.delete()?).await;
        if let Err(failure) = deleted {
            tracing::debug!(message = failure.message, "directory query not deleted");
        }
        paged?;
        Ok(Success::new(200, search.found()))
    }

    async fn pages(&mut self, search: &mut Search) -> Result<(), Failure> {
        while let Some(page) = search.page()? {
            let answer = self.request(&page).await?;
            if answer.status == 204 {
                if Instant::now() + NOT_READY >= self.deadline {
                    return Err(Failure::new(
                        ErrorCode::Timeout,
                        "the directory query was not ready in time",
                    ));
                }
                sleep(NOT_READY).await;
            } else {
                search.take(answer.body);
            }
        }
        Ok(())
    }

    async fn renew(&mut self, call: &Call) -> Result<Success, Failure> {
        self.device.log_out().await;
        match self.device.log_in().await {
            Ok(state) => {
                self.readings.push(Reading {
                    operation: call.variant().operation,
                    read: Read::Value(state.clone()),
                });
                Ok(Success::new(200, state))
            }
            Err(problem) => Err(self.failure(RequestError::Problem(problem), true)),
        }
    }

    fn failure(&mut self, failed: RequestError, repeatable: bool) -> Failure {
        let new = |code, message: &str| Failure::new(code, message);
        self.silent |= matches!(failed, RequestError::TimedOut { sent: true });
        match failed {
            RequestError::Problem(problem) => {
                let failure = new(problem.code.error_code(), &problem.message);
                self.problem = Some(problem);
                failure
            }
            RequestError::TimedOut { sent } if sent && !repeatable => new(
                ErrorCode::OutcomeUnknown,
                "the device did not answer in time; whether it carried the command out is \
                 unknown, and repeating it is not safe",
            ),
            RequestError::TimedOut { .. } => {
                new(ErrorCode::Timeout, "the device did not answer in time")
            }
            RequestError::Broken if repeatable => new(
                ErrorCode::Offline,
                "the connection to the device broke each time the command was sent",
            ),
            RequestError::Broken => new(
                ErrorCode::OutcomeUnknown,
                "the connection broke after the request was sent; whether the device carried it \
                 out is unknown, and repeating it is not safe",
            ),
            RequestError::TooLarge(large) => new(
                ErrorCode::TooLarge,
                &format!(
                    "the device's answer is larger than the {} bytes that are taken",
                    large.limit
                ),
            ),
            RequestError::Forbidden(reason) => new(
                ErrorCode::Forbidden,
                &match reason.as_str() {
                    "" => "the device refuses this (403)".into(),
                    reason => format!("the device refuses this (403): {reason}"),
                },
            )
            .with_status(403),
            RequestError::ModeLocked(mode) => new(
                ErrorCode::ModeLocked,
                &format!("the device runs in {mode} mode and refuses changes"),
            )
            .with_status(403),
        }
    }
}

fn too_much() -> Failure {
    Failure::new(ErrorCode::TooLarge, "the device takes no more than 10 MB")
}

fn lacking(status: u16) -> Failure {
    Failure::new(
        ErrorCode::Unsupported,
        format!("this device does not have that ({status})"),
    )
    .with_status(status)
}

/// What a status other than success means. `named`: the request named something in particular.
fn refusal(answer: &DeviceResponse, operation: &Operation, named: bool) -> Failure {
    let status = answer.status;
    let body = read_body(&answer.body).unwrap_or_default();
    let reason = body["reason"]
        .as_str()
        .or_else(|| body.as_str())
        .map(|reason| reason.chars().take(LONGEST_REASON).collect::<String>())
        .map_or(String::new(), |reason| format!(": {reason}"));
    match status {
        404 if operation.absent => Failure::new(
            ErrorCode::NotFound,
            "there is none at the moment".to_owned(),
        )
        .with_status(status),
        404 if named => Failure::new(
            ErrorCode::NotFound,
            format!("the device knows nothing of that name{reason}"),
        )
        .with_status(status),
        404 | 405 | 501 => lacking(status),
        413 => too_much().with_status(status),
        _ => Failure::new(
            ErrorCode::DeviceError,
            format!("the device answered {status}{reason}"),
        )
        .with_status(status),
    }
}
