//! The one table of what a device can do.
//!
//! Every REST operation is one [`Operation`]; routing, payload rules, polling, the read-back after
//! a command and the printed topic table are made from it. A new operation is one entry in the
//! file of its area and nothing else. Pure: no clock, no sockets.

mod areas;
mod call;
mod entity;
mod gateway_topics;
mod payload;
mod router;
mod search;
mod state;

pub use areas::cameras::{Motion, learned_preset_offset};
pub use areas::conferences::{Connection, Phase, connections};
pub use areas::session::session_state;
pub use call::{Call, Params, Request, RequestBody};
pub use entity::{Category, Enabled, Entity, EntityKind};
pub use gateway_topics::{GATEWAY_TOPICS, GatewayTopic};
pub use payload::{Field, MOST_KEYS, OFF, ON, Payload, Place, Rule, TOGGLE};
pub use router::{CATALOGUE, Catalogue, Route, Variant, about_parameter, parameters};
pub use search::Search;
pub use state::{Context, Pick, Shape, State, is_deep, payload, read_body};

use serde_json::Value;

use crate::command::Failure;

/// The commands that change a device for good: they need the room's `allow`, or an administrator.
pub const GUARDED: &[&str] = &[
    "system/reboot",
    "system/reset_settings",
    "system/time/set",
    "directory/import",
    "session/renew",
];

/// The HTTP methods of the device's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// The method as HTTP spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// How often a state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What people watch: audio, calls, video mute.
    Fast,
    /// What changes during a day.
    Normal,
    /// What rarely changes.
    Slow,
}

/// When a state is read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Only while a call is up; the states go away with it.
    InCall,
    /// Only where the configuration asks for the audio meters.
    Meters,
}

/// What kind of answer an operation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// JSON, or nothing.
    Json,
    /// Bytes that are published at a topic of their own; 204 means there are none yet.
    Binary(Binary),
}

/// A file that an operation answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    /// The topic below the room.
    pub topic: &'static str,
    /// The MIME type to give when the device does not.
    pub content_type: &'static str,
    /// The newest stays retained.
    pub retained: bool,
}

/// One (method, path) of the device with everything the gateway makes of it.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its number in the guide's order, `x1`… for those beyond the guide.
    pub id: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path with its parameters: `/rest/conferences/{conf_id}`.
    pub path: &'static str,
    /// How its answer is read into states.
    pub shape: Shape,
    /// The retained topics it feeds.
    pub states: &'static [State],
    /// How often it is polled, if it is.
    pub poll: Option<(Class, When)>,
    /// 404 means "there is none", not an error: the state is then the word `none`.
    pub absent: bool,
    /// The topics that carry it out.
    pub commands: &'static [Command],
}

impl Operation {
    const fn new(id: &'static str, method: Method, path: &'static str) -> Self {
        Self {
            id,
            method,
            path,
            shape: Shape::AsIs,
            states: &[],
            poll: None,
            absent: false,
            commands: &[],
        }
    }

    const fn states(self, states: &'static [State]) -> Self {
        Self { states, ..self }
    }

    const fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    const fn poll(self, class: Class) -> Self {
        self.poll_when(class, When::Always)
    }

    const fn poll_when(self, class: Class, when: When) -> Self {
        Self {
            poll: Some((class, when)),
            ..self
        }
    }

    /// 404 is the word `none`.
    const fn or_none(self) -> Self {
        Self {
            absent: true,
            ..self
        }
    }

    const fn commands(self, commands: &'static [Command]) -> Self {
        Self { commands, ..self }
    }

    /// True if a state changes with time though the answer does not.
    pub fn at_time(&self) -> bool {
        let timed = |state: &State| matches!(state.pick, Pick::AtTime(_));
        self.states.iter().any(timed)
    }

    /// True if one of its path's parameters is `name`.
    pub fn takes(&self, name: &str) -> bool {
        router::parameters(self.path).any(|parameter| parameter == name)
    }
}

const fn get(id: &'static str, path: &'static str) -> Operation {
    Operation::new(id, Method::Get, path)
}

const fn post(id: &'static str, path: &'static str) -> Operation {
    Operation::new(id, Method::Post, path)
}

const fn put(id: &'static str, path: &'static str) -> Operation {
    Operation::new(id, Method::Put, path)
}

const fn delete(id: &'static str, path: &'static str) -> Operation {
    Operation::new(id, Method::Delete, path)
}

/// Whether a topic asks or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It changes something.
    Command,
    /// It only asks.
    Query,
}

impl Kind {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
        }
    }
}

/// How one command becomes requests.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// One request, as the entry says.
    Direct,
    /// Several, or others, found from the command alone.
    Split(fn(Call, &Context) -> Result<Vec<Call>, Failure>),
    /// Found from a state that is read from the device first.
    From {
        /// The state's topic.
        state: &'static str,
        /// Makes the calls of the command and the state's value (null where it is absent).
        calls: fn(Call, &Value) -> Result<Vec<Call>, Failure>,
    },
    /// Reads a state's operation and answers with the state's value.
    State(&'static str),
    /// Answers with the value that is retained: the state has no request of its own.
    Held(&'static str),
    /// Starts a camera, which must stop again.
    Move,
    /// Creates a directory query, pages through it and deletes it.
    Search,
    /// Logs out and in again.
    Renew,
}

/// What passes a waiting command by, and what it makes pointless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// In order of arrival.
    InTurn,
    /// First of all, and waiting commands whose topic ends in this word are superseded.
    Before(&'static str),
}

/// One topic that carries an operation out.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The topic below the room with its parameters: `camera/preset/{index}/activate`.
    pub topic: &'static str,
    /// Where the method tells it wrong: whether it asks or changes.
    pub kind: Option<Kind>,
    /// What the payload may be.
    pub payload: Payload,
    /// Body fields that are always sent, before the payload's.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Path parameters that the topic does not name.
    pub bind: &'static [(&'static str, &'static str)],
    /// Topic parameters that go into the body, each with the body's name for it.
    pub carry: &'static [(&'static str, &'static str)],
    /// Of two operations that share a topic, this one is meant when the switch says so.
    pub when: Option<bool>,
    /// How it becomes requests.
    pub plan: Plan,
    /// The state that `toggle` reads.
    pub toggles: Option<&'static str>,
    /// The states it touches, read back before its result.
    pub refresh: &'static [&'static str],
    /// Carrying it out twice is the same as once.
    pub repeatable: bool,
    /// A set of this state: a newer one makes a waiting older one pointless.
    pub sets: Option<&'static str>,
    /// Whether it waits its turn.
    pub urgency: Urgency,
    /// Takes up to a minute rather than ten seconds.
    pub slow: bool,
    /// What the operation answers to this topic.
    pub answer: Answer,
    /// What Home Assistant shows of it.
    pub entities: &'static [Entity],
}

impl Command {
    const fn new(topic: &'static str) -> Self {
        Self {
            topic,
            kind: None,
            payload: Payload::None,
            fixed: &[],
            bind: &[],
            carry: &[],
            when: None,
            plan: Plan::Direct,
            toggles: None,
            refresh: &[],
            repeatable: true,
            sets: None,
            urgency: Urgency::InTurn,
            slow: false,
            answer: Answer::Json,
            entities: &[],
        }
    }

    const fn kind(self, kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..self
        }
    }

    const fn entities(self, entities: &'static [Entity]) -> Self {
        Self { entities, ..self }
    }

    /// Takes these fields as a JSON object; `bare` is the one a payload that is no object gives.
    const fn fields(self, bare: Option<&'static str>, fields: &'static [Field]) -> Self {
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
    const fn value(self, field: &'static [Field]) -> Self {
        Self {
            payload: Payload::Fields {
                bare: Some(field[0].name),
                fields: field,
                whole: true,
            },
            ..self
        }
    }

    const fn bytes(self, content_type: &'static str) -> Self {
        Self {
            payload: Payload::Bytes { content_type },
            ..self
        }
    }

    const fn fixed(self, fixed: &'static [(&'static str, &'static str)]) -> Self {
        Self { fixed, ..self }
    }

    const fn bind(self, bind: &'static [(&'static str, &'static str)]) -> Self {
        Self { bind, ..self }
    }

    const fn carry(self, carry: &'static [(&'static str, &'static str)]) -> Self {
        Self { carry, ..self }
    }

    const fn when(self, on: bool) -> Self {
        Self {
            when: Some(on),
            ..self
        }
    }

    const fn plan(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }

    const fn toggles(self, state: &'static str) -> Self {
        Self {
            toggles: Some(state),
            ..self
        }
    }

    const fn refresh(self, refresh: &'static [&'static str]) -> Self {
        Self { refresh, ..self }
    }

    /// Sets the one state that it refreshes.
    const fn sets(self, state: &'static str) -> Self {
        Self {
            sets: Some(state),
            ..self
        }
    }

    /// Must not be repeated unless no byte of it left.
    const fn once(self) -> Self {
        Self {
            repeatable: false,
            ..self
        }
    }

    const fn before(self, superseded: &'static str) -> Self {
        Self {
            urgency: Urgency::Before(superseded),
            ..self
        }
    }

    const fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    const fn binary(self, topic: &'static str, content_type: &'static str, retained: bool) -> Self {
        Self {
            answer: Answer::Binary(Binary {
                topic,
                content_type,
                retained,
            }),
            ..self
        }
    }
}

/// Every operation, in the guide's order, then those beyond it.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    areas::AREAS.iter().copied().flatten()
}
