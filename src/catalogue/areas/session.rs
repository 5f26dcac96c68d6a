//! The gateway's session at the device.
//!
//! Only the state that users see; the device client logs in and out.

use serde_json::{Value, json};

use crate::catalogue::command::{Command, Plan};
use crate::catalogue::operation::{Operation, delete, post};
use crate::catalogue::state::State;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    /// Who is logged in: it comes with the log-in and has no request of its own.
    pub const SESSION: StateTopic = StateTopic::new("session");
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    post("/rest/session")
        .states(&[State::whole(states::SESSION)])
        .commands(&[Command::new("session/renew").plan(Plan::Renew).once()]),
    delete("/rest/session"),
];

/// The state `session` from the answer to a log-in: who is logged in, never the session's id.
pub fn session_state(answer: &Value) -> Value {
    let session = &answer["session"];
    json!({
        "role": session["role"],
        "userId": session["userId"],
        "authenticated": session["isAuthenticated"],
    })
}
