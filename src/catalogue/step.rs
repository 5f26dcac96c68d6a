//! One step of a command's plan: which command is carried out, with which parameters and values.
//!
//! Pure data, made by the functions of the areas. `Call` turns it into a request.

use serde_json::{Map, Value};

use super::references::CommandTopic;

/// A topic's parameters by name, decoded.
pub type Params = Vec<(&'static str, String)>;

/// A step. A plan's function is given the command itself as a step and returns the steps to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The command to carry out; `None`: the one that was sent.
    pub command: Option<CommandTopic>,
    /// The parameters of its topic.
    pub params: Params,
    /// The payload's values by field name, as the device wants them.
    pub values: Map<String, Value>,
}

impl Step {
    pub(super) fn to(command: CommandTopic) -> Self {
        Self {
            command: Some(command),
            params: Params::new(),
            values: Map::new(),
        }
    }

    pub(super) fn param(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    pub(super) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.values.insert(field.into(), value.into());
        self
    }
}
