//! Why a device cannot be used at the moment, as `room/<room>/problem` tells it.

use std::fmt;

use serde::Serialize;

use crate::command::ErrorCode;

/// The kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// Nothing answers at the address, or not as a Poly device does.
    Offline,
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
}

impl ProblemCode {
    /// The code of commands that fail for this reason.
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::Unauthorized => ErrorCode::Unauthorized,
            Self::LockedOut => ErrorCode::LockedOut,
            _ => ErrorCode::Offline,
        }
    }
}

/// A problem with what a person can do about it. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: ProblemCode,
    /// For a person.
    pub message: String,
}

impl Problem {
    pub(super) fn new(code: ProblemCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
