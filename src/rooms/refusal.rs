//! What a device's refusal, or its silence, means as an error of a command.
//!
//! Pure: the one place that turns statuses and failed requests into error codes and messages.

use crate::catalogue::{Operation, read_body, refusal_reason};
use crate::command::{ErrorCode, Failure};
use crate::device::{DeviceResponse, Oversize, RequestError};

/// In place of the reason of a device that gives none.
const NO_REASON: &str = "it gave no reason";

/// The device does not have what was asked for.
pub fn unsupported(status: u16) -> Failure {
    let message = format!("this device does not have that ({status})");
    Failure::new(ErrorCode::Unsupported, message).with_status(status)
}

/// The device's answer cannot be read.
pub fn invalid_body(status: u16, message: String) -> Failure {
    Failure::new(ErrorCode::DeviceError, message).with_status(status)
}

/// What the device sent in answer to a command is not what a Poly device says.
pub fn unusable_answer(status: u16, message: &str) -> Failure {
    let message = format!("{message}; whether the command was carried out is unknown");
    invalid_body(status, message)
}

/// The device said yes in the status and no in the body (`"success": false`), to a command.
pub fn not_carried_out(status: u16, reason: Option<String>) -> Failure {
    let reason = reason.unwrap_or_else(|| NO_REASON.into());
    invalid_body(status, format!("the device did not carry it out: {reason}"))
}

/// The device said yes in the status and no in the body, to a read.
pub fn could_not_tell(status: u16, reason: Option<String>) -> Failure {
    let reason = reason.unwrap_or_else(|| NO_REASON.into());
    invalid_body(status, format!("the device could not say: {reason}"))
}

/// The message about an answer that is larger than any that is taken.
pub fn too_large(large: &Oversize) -> String {
    let limit = large.limit;
    format!("the device's answer is larger than the {limit} bytes that are taken")
}

/// The file is larger than any device takes.
pub fn upload_too_large() -> Failure {
    Failure::new(
        ErrorCode::TooLarge,
        "the device takes files of at most 10 MB",
    )
}

/// What a status other than success means. `named`: the request named something in particular, so
/// 404 is about that.
pub fn refusal(response: &DeviceResponse, operation: &Operation, named: bool) -> Failure {
    let status = response.status;
    let body = read_body(&response.body).unwrap_or_default();
    let reason = refusal_reason(&body).map_or(String::new(), |reason| format!(": {reason}"));
    let failure = match status {
        404 if operation.absent => Failure::new(ErrorCode::NotFound, "there is none at the moment"),
        404 if named => Failure::new(
            ErrorCode::NotFound,
            format!("the device has nothing of that name{reason}"),
        ),
        404 | 405 | 501 => unsupported(status),
        413 => upload_too_large(),
        // "Not modified", to a request that asked for no such thing, and the like.
        300 | 304..=306 | 309..=399 => Failure::new(
            ErrorCode::DeviceError,
            format!("the device answered {status}, which is no answer to this"),
        ),
        429 => Failure::new(
            ErrorCode::DeviceError,
            format!(
                "the device answered 429: too many requests at a time{}{reason}",
                asked_wait(response)
            ),
        ),
        503 => Failure::new(
            ErrorCode::DeviceError,
            format!("the device answered 503{}{reason}", asked_wait(response)),
        ),
        300..=399 => Failure::new(
            ErrorCode::DeviceError,
            format!(
                "the device answered {status}, a redirect to another address, which the gateway \
                 does not follow"
            ),
        ),
        _ => Failure::new(
            ErrorCode::DeviceError,
            format!("the device answered {status}{reason}"),
        ),
    };
    failure.with_status(status)
}

/// How long the device asks to wait, if it does.
fn asked_wait(response: &DeviceResponse) -> String {
    match response.retry_after {
        Some(wait) => format!("; it asks to wait {} s", wait.as_secs()),
        None => String::new(),
    }
}

/// A failure whose message does not repeat a secret of the command: a device may do so in its reason, which each
/// message here has after a colon. The gateway's own words before that are no secret.
pub fn without_secrets(failure: Failure, secrets: &[String]) -> Failure {
    let reason = failure.message.split_once(": ").map(|(_, reason)| reason);
    let repeats = |secret: &String| reason.is_some_and(|reason| reason.contains(secret.as_str()));
    match failure.status {
        Some(status) if secrets.iter().any(repeats) => Failure {
            message: format!(
                "the device answered {status}; its reason is not shown, because it repeats what is \
                 secret"
            ),
            ..failure
        },
        _ => failure,
    }
}

/// Why a command without a response failed. `repeatable`: carrying it out twice is the same as
/// once.
pub fn no_response(failed: &RequestError, repeatable: bool) -> Failure {
    match failed {
        RequestError::Problem(problem) => {
            Failure::new(problem.code.error_code(), problem.message.clone())
        }
        RequestError::TimedOut { sent: true } if !repeatable => Failure::new(
            ErrorCode::OutcomeUnknown,
            "the device did not answer in time; whether it carried the command out is unknown, \
             and repeating it is not safe",
        ),
        RequestError::TimedOut { .. } => {
            Failure::new(ErrorCode::Timeout, "the device did not answer in time")
        }
        RequestError::Preempted { sent: true } if !repeatable => Failure::new(
            ErrorCode::OutcomeUnknown,
            "the device was needed to hang up or to stop a camera while it got the file; whether it has taken it \
             is unknown",
        ),
        RequestError::Preempted { .. } => Failure::new(
            ErrorCode::Busy,
            "the device was needed to hang up or to stop a camera while the file was on its way; ask for it again",
        ),
        RequestError::TokenCame => Failure::new(
            ErrorCode::Busy,
            "the device has begun to want a token, so the gateway has logged in anew; send the file again",
        ),
        RequestError::NoTurn => Failure::new(
            ErrorCode::Timeout,
            "other requests took so long that this one was not sent",
        ),
        RequestError::Broken(error) if repeatable => Failure::new(
            ErrorCode::Offline,
            error.not_http().unwrap_or_else(|| {
                "the connection to the device broke each time the command was sent".into()
            }),
        ),
        RequestError::Broken(_) => Failure::new(
            ErrorCode::OutcomeUnknown,
            "the connection broke after the request was sent; whether the device carried it out \
             is unknown, and repeating it is not safe",
        ),
        RequestError::TooLarge(large) => Failure::new(ErrorCode::TooLarge, too_large(large)),
        RequestError::Forbidden(reason) => {
            let message = match reason.as_str() {
                "" => "the device refuses this (403)".to_owned(),
                reason => format!("the device refuses this (403): {reason}"),
            };
            Failure::new(ErrorCode::Forbidden, message).with_status(403)
        }
        RequestError::ModeLocked(mode) => Failure::new(
            ErrorCode::ModeLocked,
            format!("the device runs in {mode} mode and refuses changes"),
        )
        .with_status(403),
        RequestError::UnsafePath => Failure::new(
            ErrorCode::DeviceError,
            "the request was not sent: an id in its path would lead to another path",
        ),
    }
}

/// Why a read without a response failed.
pub fn no_response_to_read(failed: &RequestError) -> Failure {
    match failed {
        RequestError::ModeLocked(mode) => Failure::new(
            ErrorCode::ModeLocked,
            format!("the device runs in {mode} mode and refuses this read"),
        )
        .with_status(403),
        other => no_response(other, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{HttpError, Problem, ProblemCode};
    use crate::rooms::testing::operation_and_response;

    fn refused(path: &str, status: u16, body: &'static str, named: bool) -> (ErrorCode, String) {
        let (operation, response) = operation_and_response(path, status, body);
        let failure = refusal(&response, operation, named);
        assert_eq!(failure.status, Some(status));
        (failure.code, failure.message)
    }

    #[test]
    fn statuses_are_told_apart() {
        use ErrorCode::{DeviceError, NotFound, TooLarge, Unsupported};
        for (path, status, named, wanted) in [
            ("/rest/cameras/far/all", 404, false, NotFound),
            ("/rest/audio", 404, true, NotFound),
            ("/rest/audio", 404, false, Unsupported),
            ("/rest/audio", 405, true, Unsupported),
            ("/rest/audio", 501, true, Unsupported),
            ("/rest/audio", 413, false, TooLarge),
            ("/rest/audio", 302, true, DeviceError),
            ("/rest/audio", 400, true, DeviceError),
            ("/rest/audio", 500, false, DeviceError),
        ] {
            let code = refused(path, status, "", named).0;
            assert_eq!(code, wanted, "{path} {status} {named}");
        }
    }

    #[test]
    fn what_the_device_asks_to_wait_is_told() {
        let (operation, response) = operation_and_response("/rest/audio", 429, "");
        for (status, seconds, wanted) in [
            (
                429,
                None,
                "the device answered 429: too many requests at a time",
            ),
            (
                429,
                Some(9),
                "the device answered 429: too many requests at a time; it asks to wait 9 s",
            ),
            (
                503,
                Some(30),
                "the device answered 503; it asks to wait 30 s",
            ),
            (503, None, "the device answered 503"),
            (500, Some(30), "the device answered 500"),
        ] {
            let response = DeviceResponse {
                status,
                retry_after: seconds.map(std::time::Duration::from_secs),
                ..response.clone()
            };
            let failure = refusal(&response, operation, false);
            let told = (failure.code, &*failure.message);
            assert_eq!(told, (ErrorCode::DeviceError, wanted));
        }
    }

    #[test]
    fn the_devices_reason_is_told_and_cut_when_it_is_long() {
        let told = |body| refused("/rest/audio", 400, body, false).1;
        assert_eq!(told(r#"{"reason":"no"}"#), "the device answered 400: no");
        assert_eq!(told(r#""no""#), "the device answered 400: no");
        assert_eq!(told("<html>"), "the device answered 400");
        let page: &'static str = format!(r#"{{"reason":"{}"}}"#, "x".repeat(500)).leak();
        let wanted = format!("the device answered 400: {}", "x".repeat(200));
        assert_eq!(told(page), wanted);
    }

    #[test]
    fn a_reason_that_repeats_a_secret_is_not_shown() {
        let body = r#"{"reason":"hunter2 is too short"}"#;
        let refused = || {
            let (operation, response) = operation_and_response("/rest/config", 400, body);
            refusal(&response, operation, false)
        };
        let told = without_secrets(refused(), &["x1".into(), "hunter2".into()]);
        assert!(!told.message.contains("hunter2"), "{}", told.message);
        assert!(told.message.starts_with("the device answered 400;"));
        assert_eq!(
            (told.code, told.status),
            (ErrorCode::DeviceError, Some(400))
        );
        assert_eq!(
            without_secrets(refused(), &["x1".into()]).message,
            refused().message
        );
        // The gateway's own words are no secret.
        for secret in ["400", "device", "answered"] {
            let told = without_secrets(refused(), &[secret.into()]);
            assert_eq!(told.message, refused().message);
        }
        let own = Failure::new(ErrorCode::InvalidPayload, "takes hunter2");
        assert_eq!(
            without_secrets(own, &["hunter2".into()]).message,
            "takes hunter2"
        );
    }

    #[test]
    fn only_what_may_have_been_carried_out_and_is_not_repeatable_is_unknown() {
        use ErrorCode::{Offline, OutcomeUnknown, Timeout};
        let code = |failed: RequestError, repeatable| no_response(&failed, repeatable).code;
        let broken = || RequestError::Broken(HttpError::SwitchedProtocols);
        let timed_out = |sent| RequestError::TimedOut { sent };
        assert_eq!(code(timed_out(true), false), OutcomeUnknown);
        assert_eq!(code(timed_out(true), true), Timeout);
        assert_eq!(code(timed_out(false), false), Timeout);
        let preempted = |sent| RequestError::Preempted { sent };
        assert_eq!(code(preempted(true), false), OutcomeUnknown);
        for (sent, repeatable) in [(true, true), (false, false)] {
            assert_eq!(code(preempted(sent), repeatable), ErrorCode::Busy);
        }
        assert_eq!(code(broken(), false), OutcomeUnknown);
        assert_eq!(code(broken(), true), Offline);
        let surplus = no_response(&RequestError::Broken(HttpError::TooMuchSurplus), true);
        assert_eq!(
            surplus.message,
            "the device sends more than 1 MiB that is no answer"
        );
    }

    #[test]
    fn failed_requests_say_what_is_wrong() {
        let problem = Problem {
            code: ProblemCode::LockedOut,
            message: "locked".into(),
        };
        let large = Oversize {
            limit: 5,
            status: 200,
            content_type: None,
            length: None,
        };
        for (failed, code, message) in [
            (
                RequestError::Problem(problem),
                ErrorCode::LockedOut,
                "locked",
            ),
            (
                RequestError::TooLarge(large),
                ErrorCode::TooLarge,
                "the device's answer is larger than the 5 bytes that are taken",
            ),
            (
                RequestError::Forbidden(String::new()),
                ErrorCode::Forbidden,
                "the device refuses this (403)",
            ),
            (
                RequestError::Forbidden("why".into()),
                ErrorCode::Forbidden,
                "the device refuses this (403): why",
            ),
            (
                RequestError::ModeLocked("Teams".into()),
                ErrorCode::ModeLocked,
                "the device runs in Teams mode and refuses changes",
            ),
            (
                RequestError::UnsafePath,
                ErrorCode::DeviceError,
                "the request was not sent: an id in its path would lead to another path",
            ),
        ] {
            let failure = no_response(&failed, false);
            assert_eq!((failure.code, &*failure.message), (code, message));
        }
    }
}
