//! Room readiness: the report, and the command that makes one.
//!
//! No operation of the device: the room makes the report from several. What is checked is in
//! `rooms/readiness`.

use crate::catalogue::command::{Command, Plan, TimeLimit};
use crate::catalogue::operation::{Operation, gateways_own};
use crate::catalogue::state::State;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    /// The newest report.
    pub const READINESS: StateTopic = StateTopic::new(
        "readiness",
        "The report of the room's last check: `ok`, when it was made (`at`), and `checks`, each \
         with `name`, `ok` and a `message` in words.",
    );
}

/// The commands of this area that others refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const RUN: CommandTopic = CommandTopic::new("readiness/run");
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[gateways_own()
    .states(&[State::whole(states::READINESS)])
    .commands(&[Command::new(
        commands::RUN.as_str(),
        "Checks whether the room is ready (log-in, microphones, cameras, registrations, calendar), \
         and answers with the report. It moves the camera and, if so configured, makes a call.",
    )
    .plan(Plan::Readiness)
    .within(TimeLimit::Minutes)
    .not_idempotent()])];
