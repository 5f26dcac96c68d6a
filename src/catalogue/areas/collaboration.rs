//! Collaboration: the content session and what is saved of it.

use serde_json::{Value, json};

use crate::catalogue::payload::{Field, Rule};
use crate::catalogue::state::{Context, State, member};
use crate::catalogue::{Class, Command, Kind, Operation, get, post};

const PIN: &[Field] = &[Field::query("pin", "pin", Rule::Secret)];
const CONTENT: &[Field] = &[
    Field::query("pin", "pin", Rule::Secret),
    Field::query("context_id", "context-id", Rule::Text).required(),
];
const SAVING: &[Field] = &[
    Field::query("pin", "pin", Rule::Secret),
    Field::query("enabled", "status", Rule::Switch).required(),
];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("36", "/rest/collaboration")
        .states(&[State::with("collaboration", session)])
        .poll(Class::Normal)
        .or_none(),
    post("37", "/rest/collaboration").commands(&[Command::new("collaboration/end")
        .fixed(&[("action", "END")])
        .refresh(&["collaboration"])]),
    post("38", "/rest/collaboration/content").commands(&[Command::new(
        "collaboration/content/save",
    )
    .kind(Kind::Query)
    .fields(Some("pin"), PIN)
    .once()
    .slow()]),
    get("39", "/rest/collaboration/content").commands(&[Command::new("collaboration/content/get")
        .fields(Some("context_id"), CONTENT)
        .binary("collaboration/content", "application/octet-stream", false)
        .slow()]),
    // A GET that sets: it is a command and never polled.
    get("40", "/rest/collaboration/contentssavestatus").commands(&[Command::new(
        "collaboration/content/saving/set",
    )
    .kind(Kind::Command)
    .fields(Some("enabled"), SAVING)]),
    get("41", "/rest/collaboration/content/all").commands(&[Command::new(
        "collaboration/content/all/get",
    )
    .fields(Some("pin"), PIN)
    .binary("collaboration/content/all", "application/zip", false)
    .slow()]),
];

/// The guide's names; some firmware says `id` and `state`.
fn session(answer: &Value, _: &Context) -> Option<Value> {
    if answer.is_string() {
        return Some(answer.clone());
    }
    let id = member(answer, &["sessionId", "id"]);
    let state = member(answer, &["sessionState", "state"]);
    state.map(|state| json!({"sessionId": id, "sessionState": state}))
}
