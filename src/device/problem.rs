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
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::Offline,
        Self::CertificateUnknown,
        Self::CertificateChanged,
        Self::Unauthorized,
        Self::LockedOut,
        Self::TooManySessions,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A new code does not compile until it is given its place in the list here.
    fn place(code: ProblemCode) -> usize {
        match code {
            ProblemCode::Offline => 0,
            ProblemCode::CertificateUnknown => 1,
            ProblemCode::CertificateChanged => 2,
            ProblemCode::Unauthorized => 3,
            ProblemCode::LockedOut => 4,
            ProblemCode::TooManySessions => 5,
        }
    }

    #[test]
    fn the_list_of_codes_is_complete() {
        for (at, code) in ProblemCode::ALL.into_iter().enumerate() {
            assert_eq!(place(code), at);
        }
    }
}
