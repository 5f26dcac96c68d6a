//! One operation that a room reads, and what the device has said to it since the log-in.
//!
//! Pure.

use std::hash::{DefaultHasher, Hasher};

use tokio::time::Instant;

use super::after_call::PendingReads;
use crate::catalogue::{Class, Evidence, Operation, When};

/// An operation is no longer read after this many answers in a row that the device does not have
/// it. A device that is starting, or in trouble, says so for a moment of what it has.
pub(super) const UNSUPPORTED_BEFORE_DROPPED: u8 = 4;

/// One operation that is read. A room has some forty, so each takes as little memory as it can.
#[derive(Debug)]
pub struct ScheduledRead {
    /// The operation.
    pub operation: &'static Operation,
    pub(super) class: Class,
    pub(super) when: When,
    pub(super) due: Instant,
    /// The index of the entry that this is read in place of, while the device lacks that one.
    pub(super) fallback_for: Option<u16>,
    /// The reads of what a call leaves behind that do not wait for its pace. None for what is read at its
    /// pace alone.
    pub(super) after_call: Option<PendingReads>,
    /// The device has answered since the log-in, so it has this.
    pub(super) answered: bool,
    /// How often in a row the device has said that it does not have this, or refused it.
    pub(super) unsupported: u8,
    /// The device has refused it, which may be about the provider that runs it.
    pub(super) refused: bool,
    /// It was read since the log-in, with or without success.
    pub(super) read_since_login: bool,
    /// The digest of the newest body that was of use, so that the same body is not parsed again, and
    /// what that body says about who sent it.
    pub(super) last_body: Option<(Digest, Evidence)>,
    /// How often commands have read states of this entry; after the largest number comes 0 again.
    pub(super) writes: u32,
}

impl ScheduledRead {
    /// What a body says about who sent it, if the newest body that was of use was the same. Reads that
    /// failed in between do not change that.
    pub fn evidence_of_same(&self, body: &[u8]) -> Option<Evidence> {
        let (digest, evidence) = self.last_body?;
        (digest == Digest::of(body)).then_some(evidence)
    }

    /// What was true of an earlier session, and may not be of this one, is forgotten.
    pub(super) fn forget(&mut self) {
        self.answered = false;
        self.unsupported = 0;
        self.refused = false;
        self.last_body = None;
    }

    /// The device's newest answers say that it lacks this.
    pub(super) fn is_missing(&self) -> bool {
        self.unsupported > 0
    }

    /// Not read until the next log-in: the device says again and again that it lacks this, and never had it since the
    /// last log-in.
    pub(super) fn is_dropped(&self) -> bool {
        !self.answered && self.unsupported >= UNSUPPORTED_BEFORE_DROPPED
    }

    /// Changes whenever a command has read states of this entry.
    pub fn writes(&self) -> u32 {
        self.writes
    }
}

/// Tells bodies apart without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn of(body: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        Self(hasher.finish())
    }
}
