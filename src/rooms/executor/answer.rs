//! What a device's answer to a command means: carried out, refused, or missing in this spelling.
//!
//! Pure. Sends nothing; [`crate::rooms::refusal`] has the words.

use serde_json::Value;

use crate::catalogue::{
    Command, Evidence, Method, Operation, is_plain_text, read_body, refusal_reason, refuses,
};
use crate::command::Failure;
use crate::device::DeviceResponse;
use crate::rooms::reading::{EMPTY_ANSWER, other_kind};
use crate::rooms::refusal::{invalid_body, not_carried_out, refusal, unusable_answer};

/// The body of a response, if the device carried the request out.
pub(super) fn accepted_body(
    response: &DeviceResponse,
    operation: &Operation,
    command: &Command,
) -> Result<Value, Failure> {
    let status = response.status;
    if !is_success(status) {
        let in_path = !operation.commands.is_empty() && operation.path.contains('{');
        let named = in_path || !command.params_in_body.is_empty();
        return Err(refusal(response, operation, named));
    }
    let body = match read_body(&response.body) {
        Ok(body) => body,
        Err(message) if operation.method == Method::Get => {
            return Err(invalid_body(status, message));
        }
        // Some commands are answered in words, which say no more than the status.
        Err(_) if is_plain_text(&response.body) => Value::Null,
        Err(message) => return Err(unusable_answer(status, &message)),
    };
    if refuses(&body) {
        return Err(not_carried_out(status, refusal_reason(&body)));
    }
    if !operation.fits(&body) {
        return Err(invalid_body(status, other_kind(&body)));
    }
    // A state was asked for, and the device could not say.
    let asks_for_state = operation.method == Method::Get && !operation.states.is_empty();
    if asks_for_state && operation.evidence(&body) == Evidence::NotPoly && says_nothing(&body) {
        return Err(invalid_body(status, EMPTY_ANSWER.into()));
    }
    Ok(body)
}

/// The words of a refusal with 400 that say that an action is unknown. With 400 nothing was carried out.
const UNKNOWN_ACTION: [&str; 5] = [
    "action",
    "recogni",
    "unknown",
    "unsupported",
    "not supported",
];

/// Whether the device lacks this spelling of a command, so that it carried nothing out.
pub(super) fn lacks_spelling(failure: &Failure, command: &Command) -> bool {
    let has_action = || {
        command
            .body_constants
            .iter()
            .any(|(name, _)| *name == "action")
    };
    let message = || failure.message.to_ascii_lowercase();
    match failure.status {
        Some(404 | 405 | 501) => true,
        Some(400) => has_action() && UNKNOWN_ACTION.iter().any(|word| message().contains(word)),
        _ => false,
    }
}

fn says_nothing(body: &Value) -> bool {
    body.get("result").unwrap_or(body).is_null()
}

pub(super) fn is_success(status: u16) -> bool {
    (200..=299).contains(&status)
}
