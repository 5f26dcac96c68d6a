//! The gateway's session at the device, and who else holds sessions there.
//!
//! Only what users see; the device client logs in and out.

use serde_json::{Value, json};

use crate::catalogue::command::{Command, Plan};
use crate::catalogue::operation::{Operation, delete, get, post};
use crate::catalogue::session_list::sessions_listed;
use crate::catalogue::state::State;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    /// Who is logged in: it comes with the log-in and has no request of its own.
    pub const SESSION: StateTopic = StateTopic::new(
        "session",
        "As whom the gateway is logged in at the device: `userId`, `role`, and whether it is \
         `authenticated`.",
    );
}

/// Who holds sessions: the path, and its other spelling, for devices that lack the first.
pub const SESSION_LISTS: [&str; 2] = ["/rest/current/session/sessions", "/rest/session/sessions"];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    post("/rest/session")
        .states(&[State::whole(states::SESSION)])
        .commands(&[Command::new(
            "session/renew",
            "Logs the gateway out of the device and in again.",
        )
        .guarded()
        .plan(Plan::Renew)
        .not_idempotent()]),
    delete("/rest/session"),
    get(SESSION_LISTS[0]).commands(&[Command::new(
        "session/list/get",
        "Answers with who is logged in at the device: user, role, address and kind of client of \
         each session.",
    )
    .map_answer(sessions_listed)]),
    get(SESSION_LISTS[1]).commands(&[Command::fallback("session/list/get")]),
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
