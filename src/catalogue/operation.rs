//! One operation of the device's REST interface: a method and a path, and what is made of them.
//!
//! Only the data and its builders. How commands become requests is `command` and `call`; when an
//! operation is due is the room's schedule.

use super::command::Command;
use super::evidence::MemberKind;
use super::pattern::parameters;
use super::references::StateTopic;
use super::state::{Pick, Shape, State};

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

/// How often an operation is polled; the intervals are configured below `[poll]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// States that people watch: audio, calls, video mute.
    Fast,
    /// States that change during a day.
    Normal,
    /// States that rarely change.
    Slow,
}

/// The body of the request that reads an operation's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBody {
    /// No body: a GET.
    None,
    /// Always this JSON: a POST that changes nothing.
    Fixed(&'static str),
    /// `{"names":[…]}` with the room's `settings`. Without settings it is not read at all.
    SettingNames,
}

/// The condition under which an operation is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// No condition.
    Always,
    /// Only during a call; its states are cleared when the call ends.
    InCall,
    /// Only if `poll.meters` is set.
    Meters,
    /// No condition; and also after each call that has ended until the answer has changed, a few times at
    /// most. The class finds what came and went between two reads of the calls.
    AfterCall,
    /// No condition; and also a moment after a call has begun or ended, since the device changes it then.
    AroundCalls,
}

/// One (method, path) of the device.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The HTTP method.
    pub method: Method,
    /// The path with its parameters: `/rest/conferences/{conf_id}`. Empty for what the gateway does itself.
    pub path: &'static str,
    /// How the device's answer is made uniform.
    pub shape: Shape,
    /// The members by which its answer is recognised as a Poly device's: an object of the answer has
    /// all of them. Empty where the answer has none that only a Poly device sends.
    pub known_by: &'static [(&'static str, MemberKind)],
    /// Members of which an object of the answer has at least one. Others than Poly devices may send them too, so they
    /// do not show who answered, only that something else did.
    pub one_of: &'static [&'static str],
    /// The body of the request that reads its states; `None`: it does not read.
    pub read: Option<ReadBody>,
    /// The query of the request that reads its states, and of a command that gives none: (name, value).
    pub read_query: &'static [(&'static str, &'static str)],
    /// Null is no answer to it: the device cannot tell at the moment. Otherwise null means that there is
    /// nothing.
    pub never_null: bool,
    /// It reads the same states as the operation with this path, and is used only while the device
    /// lacks that one.
    pub fallback_for: Option<&'static str>,
    /// The retained topics that the answer feeds.
    pub states: &'static [State],
    /// How often it is polled; `None`: never.
    pub poll: Option<(Class, When)>,
    /// 404 means "there is none at the moment": the state becomes the word `none`.
    pub absent: bool,
    /// The topics that carry it out.
    pub commands: &'static [Command],
}

impl Operation {
    const fn new(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            shape: Shape::AsIs,
            known_by: &[],
            one_of: &[],
            read: match method {
                Method::Get => Some(ReadBody::None),
                Method::Post | Method::Put | Method::Delete => None,
            },
            read_query: &[],
            never_null: false,
            fallback_for: None,
            states: &[],
            poll: None,
            absent: false,
            commands: &[],
        }
    }

    pub(super) const fn states(self, states: &'static [State]) -> Self {
        Self { states, ..self }
    }

    pub(super) const fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    pub(super) const fn known_by(self, known_by: &'static [(&'static str, MemberKind)]) -> Self {
        Self { known_by, ..self }
    }

    pub(super) const fn one_of(self, one_of: &'static [&'static str]) -> Self {
        Self { one_of, ..self }
    }

    /// A POST with this body reads its states, and changes nothing.
    pub(super) const fn reads_with(self, body: ReadBody) -> Self {
        Self {
            read: Some(body),
            ..self
        }
    }

    /// The request that reads its states has this query, and so has a command that gives none.
    pub(super) const fn reads_with_query(
        self,
        read_query: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { read_query, ..self }
    }

    /// The device that answers null does not know; the states stay as they are.
    pub(super) const fn never_null(self) -> Self {
        Self {
            never_null: true,
            ..self
        }
    }

    /// Another spelling of the read with this path, for devices that lack that one.
    pub(super) const fn fallback_for(self, path: &'static str) -> Self {
        Self {
            fallback_for: Some(path),
            ..self
        }
    }

    pub(super) const fn poll(self, class: Class) -> Self {
        self.poll_when(class, When::Always)
    }

    pub(super) const fn poll_when(self, class: Class, when: When) -> Self {
        Self {
            poll: Some((class, when)),
            ..self
        }
    }

    /// A 404 is the word `none`, not an error.
    pub(super) const fn or_none(self) -> Self {
        Self {
            absent: true,
            ..self
        }
    }

    pub(super) const fn commands(self, commands: &'static [Command]) -> Self {
        Self { commands, ..self }
    }

    /// Whether one of its states also changes with time, without a new answer.
    pub fn at_time(&self) -> bool {
        let timed = |state: &State| matches!(state.pick, Pick::AtTime(_));
        self.states.iter().any(timed)
    }

    /// The gateway itself makes its states and answers its commands: it has no request of its own.
    pub fn is_gateways_own(&self) -> bool {
        self.path.is_empty()
    }

    /// True if it can be sent to read its states.
    pub fn reads(&self) -> bool {
        self.read.is_some()
    }

    /// True if its answer feeds this state.
    pub fn feeds(&self, state: StateTopic) -> bool {
        self.states.iter().any(|known| known.topic == state)
    }

    /// Whether a request with this query asks for what its states are made of.
    pub fn asks_for_states(&self, query: &[(&'static str, String)]) -> bool {
        let asked = query.iter().map(|(name, value)| (*name, value.as_str()));
        asked.eq(self.read_query.iter().copied())
    }

    /// True if its path has the parameter `name`.
    pub fn takes(&self, name: &str) -> bool {
        parameters(self.path).any(|parameter| parameter == name)
    }
}

/// What the gateway does itself, with several requests or none.
pub(super) const fn gateways_own() -> Operation {
    Operation::new(Method::Post, "")
}

pub(super) const fn get(path: &'static str) -> Operation {
    Operation::new(Method::Get, path)
}

pub(super) const fn post(path: &'static str) -> Operation {
    Operation::new(Method::Post, path)
}

pub(super) const fn put(path: &'static str) -> Operation {
    Operation::new(Method::Put, path)
}

pub(super) const fn delete(path: &'static str) -> Operation {
    Operation::new(Method::Delete, path)
}
