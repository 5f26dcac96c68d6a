//! The gateway's own session at the device.
//!
//! Logging in and out is the device client's; here is only what users see of it.

use serde_json::{Value, json};

use crate::catalogue::state::State;
use crate::catalogue::{Command, Operation, Plan, delete, post};

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    post("82", "/rest/session")
        .states(&[State::whole("session")])
        .commands(&[Command::new("session/renew").plan(Plan::Renew).once()]),
    delete("x6", "/rest/session"),
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
