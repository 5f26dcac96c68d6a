//! One topic that carries an operation out: its payload, its plan, and what follows from it.
//!
//! Only the data and its builders. `Call` turns it into requests; the room's queue and executor act
//! on the rest.

use serde_json::Value;

use super::call::Call;
use super::entity::Entity;
use super::field::{Field, SwitchWords};
use super::file::FileSpec;
use super::payload::Payload;
use super::references::StateTopic;
use super::state::Context;
use super::step::Step;
use crate::command::Failure;

/// Whether a topic only reads (a query) or changes something (a command).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    /// It changes something.
    Command,
    /// It only reads.
    Query,
}

impl TopicKind {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
        }
    }
}

/// How a command becomes requests.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// One request, as the entry says.
    Direct,
    /// Steps found from the command alone.
    Split(fn(Step, &Context) -> Result<Vec<Step>, Failure>),
    /// Steps found from a state that is read from the device first.
    From {
        /// The state.
        state: StateTopic,
        /// Makes the steps from the command and the state's value (null where there is none).
        steps: fn(Step, &Value) -> Result<Vec<Step>, Failure>,
    },
    /// Reads the state from the device and answers with its value.
    Read(StateTopic),
    /// Answers with the state's stored value: the device has no request for it.
    Stored(StateTopic),
    /// Checks whether the room is ready: several reads, a move of the camera, and a call.
    Readiness,
    /// Starts a camera, which must be stopped again.
    Move,
    /// Creates a directory query, pages through it and deletes it.
    Search,
    /// Logs out and in again.
    Renew,
    /// Switches to another provider, and waits until it is active.
    SwitchProvider,
}

/// What a later command can end: a move by a stop, a dial by a hang-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A camera's move.
    Move,
    /// A call, from whatever area it is dialled.
    Dial,
}

impl Ended {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Move, Self::Dial];
}

/// The position of a command among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// In order of arrival.
    InTurn,
    /// Before all others.
    First,
    /// Before all others; waiting commands that it would end are superseded.
    Ends(Ended),
}

/// How long a command may take, from its first request to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeLimit {
    /// Ten seconds.
    Ordinary,
    /// A minute: dialling, logs, files.
    Slow,
    /// Several minutes. It runs alongside the other commands of the room, which do not wait for it.
    Minutes,
}

/// What the device answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// JSON, or nothing.
    Json,
    /// Bytes that are published at a topic of their own.
    File(FileSpec),
}

/// Makes a result's body of a command and the device's answer, or the failure that the answer means.
pub type AnswerReading = fn(&Call, &Value) -> Result<Value, Failure>;

/// One topic that carries an operation out.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The topic below the room with its parameters: `camera/preset/{index}/activate`.
    pub topic: &'static str,
    /// What it does in the room, or what a query answers with. Empty for another spelling of a topic's first
    /// command.
    pub about: &'static str,
    /// It changes the device for good, so it needs the room's `allow`, or an administrator.
    pub guarded: bool,
    /// A query that leaves something at the device, such as a search that must be deleted: it counts as a change.
    pub creates_resource: bool,
    /// Set if the HTTP method does not show whether it reads or changes.
    pub kind: Option<TopicKind>,
    /// The allowed payloads.
    pub payload: Payload,
    /// Body fields that are always sent, before the payload's: (the device's name, value).
    pub body_constants: &'static [(&'static str, &'static str)],
    /// Truth values of the body that are always sent: (the device's name, value).
    pub body_flags: &'static [(&'static str, bool)],
    /// Parameters of the path that the topic does not name: (parameter, value).
    pub path_constants: &'static [(&'static str, &'static str)],
    /// Parameters of the topic that go into the body: (parameter, the device's name).
    pub params_in_body: &'static [(&'static str, &'static str)],
    /// If two operations share the topic: the value of the switch that selects this one.
    pub selected_by: Option<bool>,
    /// It is another spelling of the topic's first command, and is sent only where the device
    /// answers that it lacks the first.
    pub fallback: bool,
    /// How it becomes requests.
    pub plan: Plan,
    /// The state that is inverted for `toggle`.
    pub toggles: Option<StateTopic>,
    /// The states it changes, which are read back before its result.
    pub refresh: &'static [StateTopic],
    /// Carrying it out twice is the same as once.
    pub idempotent: bool,
    /// It sets this state: a newer command supersedes a waiting older one.
    pub sets: Option<StateTopic>,
    /// Whether it waits its turn.
    pub urgency: Urgency,
    /// It dials, so a hang-up can end it.
    pub dials: bool,
    /// How long it may take.
    pub time_limit: TimeLimit,
    /// What the device answers.
    pub answer: AnswerKind,
    /// What is made of the device's answer, such as where clients must not see all of it; `None`: the
    /// answer itself is the result's body. States are read back before.
    pub map_answer: Option<AnswerReading>,
    /// Its entity in Home Assistant.
    pub entities: &'static [Entity],
}

impl Command {
    /// What it begins that a later command can end.
    pub fn begins(&self) -> Option<Ended> {
        match self.plan {
            Plan::Move => Some(Ended::Move),
            _ => self.dials.then_some(Ended::Dial),
        }
    }

    /// The words that its switches take.
    pub fn switch_words(&self) -> SwitchWords {
        match self.toggles {
            Some(_) => SwitchWords::OnOffToggle,
            None => SwitchWords::OnOff,
        }
    }

    /// `about` tells a person in the room what the command does, or what the query answers with.
    pub(super) const fn new(topic: &'static str, about: &'static str) -> Self {
        Self {
            topic,
            about,
            guarded: false,
            creates_resource: false,
            kind: None,
            payload: Payload::None,
            body_constants: &[],
            body_flags: &[],
            path_constants: &[],
            params_in_body: &[],
            selected_by: None,
            fallback: false,
            plan: Plan::Direct,
            toggles: None,
            refresh: &[],
            idempotent: true,
            sets: None,
            urgency: Urgency::InTurn,
            dials: false,
            time_limit: TimeLimit::Ordinary,
            answer: AnswerKind::Json,
            map_answer: None,
            entities: &[],
        }
    }

    /// It needs the room's `allow`, or an administrator.
    pub(super) const fn guarded(self) -> Self {
        Self {
            guarded: true,
            ..self
        }
    }

    /// Its answer leaves something at the device.
    pub(super) const fn creates_resource(self) -> Self {
        Self {
            creates_resource: true,
            ..self
        }
    }

    pub(super) const fn kind(self, kind: TopicKind) -> Self {
        Self {
            kind: Some(kind),
            ..self
        }
    }

    pub(super) const fn entities(self, entities: &'static [Entity]) -> Self {
        Self { entities, ..self }
    }

    /// Takes these fields as a JSON object. A payload that is no object is the value of the field
    /// `bare`.
    pub(super) const fn fields(self, bare: Option<&'static str>, fields: &'static [Field]) -> Self {
        Self {
            payload: Payload::Fields {
                bare,
                fields,
                whole: false,
            },
            ..self
        }
    }

    /// Takes one value, which is the whole body.
    pub(super) const fn value(self, field: &'static [Field]) -> Self {
        Self {
            payload: Payload::Fields {
                bare: Some(field[0].name),
                fields: field,
                whole: true,
            },
            ..self
        }
    }

    /// Takes a file of this MIME type.
    pub(super) const fn bytes(self, content_type: &'static str) -> Self {
        Self {
            payload: Payload::Bytes { content_type },
            ..self
        }
    }

    pub(super) const fn body_constants(
        self,
        body_constants: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            body_constants,
            ..self
        }
    }

    pub(super) const fn body_flags(self, body_flags: &'static [(&'static str, bool)]) -> Self {
        Self { body_flags, ..self }
    }

    /// Another spelling of a topic, which is sent only where the device lacks the topic's first command.
    /// Words, plan, read-back and urgency are those of the first; fields have the same names and may go
    /// elsewhere in the request.
    pub(super) const fn fallback(topic: &'static str) -> Self {
        Self {
            fallback: true,
            ..Self::new(topic, "")
        }
    }

    pub(super) const fn path_constants(
        self,
        path_constants: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            path_constants,
            ..self
        }
    }

    pub(super) const fn params_in_body(
        self,
        params_in_body: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            params_in_body,
            ..self
        }
    }

    pub(super) const fn selected_by(self, on: bool) -> Self {
        Self {
            selected_by: Some(on),
            ..self
        }
    }

    pub(super) const fn plan(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }

    pub(super) const fn toggles(self, state: StateTopic) -> Self {
        Self {
            toggles: Some(state),
            ..self
        }
    }

    pub(super) const fn refresh(self, refresh: &'static [StateTopic]) -> Self {
        Self { refresh, ..self }
    }

    pub(super) const fn sets(self, state: StateTopic) -> Self {
        Self {
            sets: Some(state),
            ..self
        }
    }

    /// Repeating it is not safe: it is sent again only if no byte of it was sent.
    pub(super) const fn not_idempotent(self) -> Self {
        Self {
            idempotent: false,
            ..self
        }
    }

    /// It runs before all waiting commands.
    pub(super) const fn first(self) -> Self {
        Self {
            urgency: Urgency::First,
            ..self
        }
    }

    /// It runs before all waiting commands, and supersedes those that it would end.
    pub(super) const fn ends(self, ended: Ended) -> Self {
        Self {
            urgency: Urgency::Ends(ended),
            ..self
        }
    }

    /// It dials: devices take up to a minute for that, and dialling twice is not safe. A hang-up ends it.
    pub(super) const fn dials(self) -> Self {
        Self {
            dials: true,
            ..self.not_idempotent().slow()
        }
    }

    pub(super) const fn slow(self) -> Self {
        self.within(TimeLimit::Slow)
    }

    pub(super) const fn within(self, time_limit: TimeLimit) -> Self {
        Self { time_limit, ..self }
    }

    /// The result's body is made of the device's answer by this function, which may also find that the
    /// device did not carry everything out.
    pub(super) const fn map_answer(self, map: AnswerReading) -> Self {
        Self {
            map_answer: Some(map),
            ..self
        }
    }

    /// Answers with a file.
    pub(super) const fn file(self, file: FileSpec) -> Self {
        Self {
            answer: AnswerKind::File(file),
            ..self
        }
    }
}
