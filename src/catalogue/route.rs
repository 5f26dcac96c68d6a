//! A topic pattern with the operations behind it.

use super::command::{Command, TopicKind};
use super::operation::{Method, Operation};

/// An operation together with the command that carries it out.
#[derive(Debug)]
pub struct Variant {
    /// The REST operation.
    pub operation: &'static Operation,
    /// The entry of the topic.
    pub command: Command,
}

impl Variant {
    /// Whether its request names something in particular, such as a call by its id.
    pub fn names_something(&self) -> bool {
        let in_path = !self.operation.commands.is_empty() && self.operation.path.contains('{');
        in_path || !self.command.params_in_body.is_empty()
    }
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

    /// Whether it changes nothing at the device. The HTTP method does not say so: some GETs set something, and some
    /// POSTs only read.
    pub fn only_reads(&self) -> bool {
        let mut variants = self.variants.iter();
        self.kind() == TopicKind::Query && !variants.any(|variant| variant.command.creates_resource)
    }

    /// It needs the room's `allow`, or an administrator.
    pub fn guarded(&self) -> bool {
        self.command().guarded
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::CATALOGUE;

    #[test]
    fn what_only_reads_is_told_by_the_entry_not_by_the_name() {
        for reads in [
            "audio/volume/get",
            "camera/near/3/get",
            "config/get",
            "calendar/discover",
            "directory/search",
            "directory/export",
            "system/network/ping",
            "system/network/traceroute",
        ] {
            assert!(CATALOGUE.only_reads(reads), "{reads}");
        }
        for changes in [
            "audio/volume/set",
            "collaboration/content/save",
            "collaboration/content/saving/set",
            "directory/query/create",
            "directory/query/initial",
            "directory/local/entry/e1/members/query",
            "readiness/run",
            "no/such/command/get",
        ] {
            assert!(!CATALOGUE.only_reads(changes), "{changes}");
        }
    }
}
