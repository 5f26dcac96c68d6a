//! How entries of the catalogue refer to each other.
//!
//! A state or command that something refers to is one constant, which its own entry uses too: a
//! misspelt reference does not compile. `references_test.rs` resolves every one of them.

use std::fmt;

use serde_json::Value;

use super::quirks::whole;

/// A state: its topic below the room, `audio/volume`, and what it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateTopic {
    topic: &'static str,
    about: &'static str,
    kind: ValueKind,
}

/// What the value of a state is, as far as the guide says so. A word that the guide does not know is published as
/// it is. What is no flag or no count is not: a program that expects one may take it for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKind {
    /// The guide does not say, or it is an object.
    Open,
    /// True or false.
    Flag,
    /// A whole number of at least 0, with its maximum if it has one.
    Count(Option<u32>),
    /// One of these words.
    Words(&'static [&'static str]),
}

impl ValueKind {
    /// Whether a state of this kind can have this value.
    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Flag => value.is_boolean(),
            Self::Count(maximum) => whole(value).is_some_and(|count| {
                count >= 0 && maximum.is_none_or(|maximum| count <= i64::from(maximum))
            }),
            Self::Open | Self::Words(_) => true,
        }
    }
}

/// A command or query, by its topic below the room: `camera/preset/{index}/activate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandTopic(&'static str);

impl StateTopic {
    /// Only the catalogue names states; others use its constants. `about` tells a person in the room
    /// what the value means, with its unit.
    pub(super) const fn new(topic: &'static str, about: &'static str) -> Self {
        Self {
            topic,
            about,
            kind: ValueKind::Open,
        }
    }

    /// The topic below the room.
    pub const fn as_str(self) -> &'static str {
        self.topic
    }

    /// With a value of this kind.
    pub(super) const fn of(self, kind: ValueKind) -> Self {
        Self { kind, ..self }
    }

    /// What its value is.
    pub const fn kind(self) -> ValueKind {
        self.kind
    }

    /// What the value means, in a sentence.
    pub const fn about(self) -> &'static str {
        self.about
    }
}

impl CommandTopic {
    /// Only the catalogue names commands; others use its constants.
    pub(super) const fn new(topic: &'static str) -> Self {
        Self(topic)
    }

    /// The topic below the room, with its parameters.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for StateTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.topic)
    }
}

impl fmt::Display for CommandTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
