//! Why a device cannot be used at the moment, as `room/<room>/problem` tells it.

use serde::Serialize;
use serde_json::{Value, json};

use crate::command::ErrorCode;
use crate::visible::visible;

/// The kind of a problem. Its serialised form is the `code` that users see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// Nothing answers at the address, or not over TLS and HTTP.
    Offline,
    /// Something answers, and not as a Poly device does.
    NotUnderstood,
    /// No certificate is pinned yet, or no trusted authority signed it.
    CertificateUnknown,
    /// Another certificate than the pinned one.
    CertificateChanged,
    /// The user or the password is wrong.
    Unauthorized,
    /// Too many failed log-ins: the device refuses all for a while.
    LockedOut,
    /// All of the device's sessions are in use.
    TooManySessions,
    /// etcd does not answer this gateway, so it may not use the device.
    NoCluster,
    /// No gateway that runs has the room.
    NoOwner,
}

impl ProblemCode {
    /// What a room's problem has in place of a code while the device can be used.
    pub const NONE: &str = "none";

    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::Offline,
        Self::NotUnderstood,
        Self::CertificateUnknown,
        Self::CertificateChanged,
        Self::Unauthorized,
        Self::LockedOut,
        Self::TooManySessions,
        Self::NoCluster,
        Self::NoOwner,
    ];

    /// The code of commands that fail for this reason.
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::Unauthorized => ErrorCode::Unauthorized,
            Self::LockedOut => ErrorCode::LockedOut,
            _ => ErrorCode::Offline,
        }
    }
}

/// Why a device cannot be used, and what a person can do about it. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Its kind, for programs.
    pub code: ProblemCode,
    /// Its text, for people.
    pub message: String,
}

impl Problem {
    pub(super) fn new(code: ProblemCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The state `problem` of the room. `since`: when it began, in RFC 3339.
    pub fn to_json(&self, since: &str) -> Value {
        json!({"code": self.code, "message": visible(&self.message), "since": since})
    }

    /// What answers is not a Poly device, or is in no state to answer as one.
    pub fn not_understood(message: impl Into<String>) -> Self {
        Self::new(ProblemCode::NotUnderstood, message)
    }

    /// All of the device's sessions are in use. `holders`: by whom, if that is known.
    pub(super) fn too_many_sessions(holders: Option<&str>) -> Self {
        let by = holders.map_or_else(String::new, |holders| format!(": {holders}"));
        Self::new(
            ProblemCode::TooManySessions,
            format!(
                "all of the device's sessions are in use{by}; log out elsewhere or restart the device"
            ),
        )
    }

    /// A device that accepts connections and does not respond.
    pub(super) fn no_answer() -> Self {
        Self::new(ProblemCode::Offline, "the device does not answer in time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new code does not compile until it has its position in the list here.
    fn position(code: ProblemCode) -> usize {
        match code {
            ProblemCode::Offline => 0,
            ProblemCode::NotUnderstood => 1,
            ProblemCode::CertificateUnknown => 2,
            ProblemCode::CertificateChanged => 3,
            ProblemCode::Unauthorized => 4,
            ProblemCode::LockedOut => 5,
            ProblemCode::TooManySessions => 6,
            ProblemCode::NoCluster => 7,
            ProblemCode::NoOwner => 8,
        }
    }

    #[test]
    fn the_list_of_codes_is_complete() {
        for (at, code) in ProblemCode::ALL.into_iter().enumerate() {
            assert_eq!(position(code), at);
        }
    }

    #[test]
    fn a_problem_is_shown_by_its_text_and_a_command_fails_with_its_code() {
        let problem = Problem::new(ProblemCode::LockedOut, "wait");
        assert_eq!(problem.to_string(), "wait");
        assert_eq!(problem.code.error_code(), ErrorCode::LockedOut);
        assert_eq!(serde_json::json!(problem.code), "locked_out");
        for code in ProblemCode::ALL {
            let error_code = code.error_code();
            let has_its_own = matches!(code, ProblemCode::Unauthorized | ProblemCode::LockedOut);
            assert_eq!(error_code == ErrorCode::Offline, !has_its_own, "{code:?}");
        }
    }
}
