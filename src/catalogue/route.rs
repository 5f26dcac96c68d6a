//! A topic pattern with the operations behind it.

use super::command::{Command, TopicKind};
use super::operation::{Method, Operation};

/// The commands that change a device for good: they need the room's `allow`, or an administrator.
pub const GUARDED: &[&str] = &[
    "system/reboot",
    "system/reset_settings",
    "system/time/set",
    "directory/import",
    "session/renew",
    "config/set",
    "system/provider/set",
];

/// An operation together with the command that carries it out.
#[derive(Debug)]
pub struct Variant {
    /// The REST operation.
    pub operation: &'static Operation,
    /// The entry of the topic.
    pub command: Command,
}

/// A topic pattern with what it means.
#[derive(Debug)]
pub struct Route {
    /// The pattern below the room: `camera/preset/{index}/activate`.
    pub topic: String,
    /// What it does in the room, or what it answers with, in a sentence.
    pub about: String,
    /// One operation, or two that a switch chooses between; then the fallbacks.
    pub variants: Vec<Variant>,
}

impl Route {
    /// The command of its first variant; another differs only in what the switch must say, or in its
    /// request.
    pub fn command(&self) -> &Command {
        &self.variants[0].command
    }

    /// Whether it asks or changes.
    pub fn kind(&self) -> TopicKind {
        let by_method = match self.variants[0].operation.method {
            Method::Get => TopicKind::Query,
            _ => TopicKind::Command,
        };
        self.command().kind.unwrap_or(by_method)
    }

    /// It needs the room's `allow`, or an administrator.
    pub fn guarded(&self) -> bool {
        GUARDED.contains(&self.topic.as_str())
    }
}
