//! What becomes of a command whose request has no response, or one that is no answer; and what a refusal says of the
//! device.
//!
//! [`crate::rooms::refusal`] has the words. Sends nothing.

use super::Executor;
use crate::catalogue::Request;
use crate::command::Failure;
use crate::device::RequestError;
use crate::rooms::refusal::{no_response, no_response_to_read, too_large, unusable_answer};

/// The failure of a command of several requests, of which some were carried out: who sends it again does these twice.
pub(super) fn broken_off(failure: Failure, done: usize, all: usize) -> Failure {
    match done {
        0 => failure,
        done => Failure {
            message: format!(
                "{}; {done} of {all} steps were carried out",
                failure.message
            ),
            ..failure
        },
    }
}

impl Executor<'_> {
    /// The failure of a request without a response; notes what it says of the device.
    pub(super) fn fail(&mut self, error: RequestError, repeatable: bool) -> Failure {
        let failure = no_response(&error, repeatable);
        self.note(error);
        failure
    }

    /// Like [`Self::fail`], for what changes something. A Poly device says little to a command: an answer that is
    /// too large is a page, or another product's.
    pub(super) fn fail_command(&mut self, error: RequestError, repeatable: bool) -> Failure {
        match error {
            RequestError::TooLarge(large) => unusable_answer(large.status, &too_large(&large)),
            other => self.fail(other, repeatable),
        }
    }

    /// Like [`Self::fail`], for a read.
    pub(super) fn fail_read(&mut self, error: RequestError) -> Failure {
        let failure = no_response_to_read(&error);
        self.note(error);
        failure
    }

    fn note(&mut self, error: RequestError) {
        self.unanswered |= matches!(error, RequestError::TimedOut { sent: true });
        if let RequestError::Problem(problem) = error {
            self.problem = Some(problem);
        }
    }

    pub(super) fn note_locked(&mut self, request: &Request, failure: &Failure) {
        for lock in [&mut self.environment.mode_lock, &mut self.found_locked] {
            lock.note(request, failure);
        }
    }
}
