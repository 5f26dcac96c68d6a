//! How often something is read that a call leaves behind.
//!
//! Pure. The device writes the entry of its call log some time after the call is gone from the list of
//! conferences. So the read is repeated until its answer has changed and then stayed the same (two calls
//! may end at once), and not for ever: a device may keep no log.

use std::time::Duration;

/// The wait before each read after the end of a call: a second is enough for most devices, and half a minute
/// for one that is busy with ending the call.
const AFTER_CALL_DELAYS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(7),
    Duration::from_secs(20),
];

/// All of them are over.
const ALL_WAITED: u8 = AFTER_CALL_DELAYS.len() as u8;

/// The reads that are still to be made.
#[derive(Debug, Clone, Copy)]
pub struct PendingReads {
    /// How many of the waits are over.
    waited: u8,
    /// An answer differed from the one before the end of the call.
    has_changed: bool,
}

impl PendingReads {
    /// One read: after the log-in.
    pub fn once() -> Self {
        Self {
            waited: ALL_WAITED,
            has_changed: false,
        }
    }

    /// After the end of a call; with the wait before the first read.
    pub fn after_call() -> (Self, Duration) {
        let pending = Self {
            waited: 0,
            has_changed: false,
        };
        (pending, AFTER_CALL_DELAYS[0])
    }

    /// The device answered, with something new or as before. Gives the wait before the next read; none if
    /// there is nothing more to read.
    pub fn answered(&mut self, is_new: bool) -> Option<Duration> {
        let is_settled = self.has_changed && !is_new;
        self.has_changed |= is_new;
        if is_settled { None } else { self.next_wait() }
    }

    /// A read failed. Gives the wait before the next one; none if there is no hurry any more.
    pub fn failed(&mut self) -> Option<Duration> {
        self.next_wait()
    }

    fn next_wait(&mut self) -> Option<Duration> {
        self.waited = (self.waited + 1).min(ALL_WAITED);
        AFTER_CALL_DELAYS.get(usize::from(self.waited)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the log is read after a call, in seconds, if it has changed at these reads.
    fn reads(changes: &[usize]) -> Vec<u64> {
        let (mut pending, first) = PendingReads::after_call();
        let mut at = first;
        let mut reads = vec![at.as_secs()];
        while let Some(wait) = pending.answered(changes.contains(&reads.len())) {
            at += wait;
            reads.push(at.as_secs());
        }
        reads
    }

    #[test]
    fn a_log_is_read_until_the_entry_is_there_and_once_more() {
        assert_eq!(reads(&[1]), [1, 3]);
        assert_eq!(reads(&[2]), [1, 3, 10]);
        // The second of two calls that ended together.
        assert_eq!(reads(&[1, 2]), [1, 3, 10]);
        assert_eq!(reads(&[3]), [1, 3, 10, 30]);
        assert_eq!(reads(&[4]), [1, 3, 10, 30]);
        assert_eq!(reads(&[1, 2, 3, 4, 5]), [1, 3, 10, 30]);
        // It keeps none.
        assert_eq!(reads(&[]), [1, 3, 10, 30]);
    }

    #[test]
    fn one_read_ends_with_its_answer() {
        for is_new in [true, false] {
            assert_eq!(PendingReads::once().answered(is_new), None);
        }
    }

    #[test]
    fn a_read_that_fails_is_one_of_those_after_a_call() {
        let (mut pending, _) = PendingReads::after_call();
        let waits = [2, 7, 20].map(Duration::from_secs);
        for wait in waits {
            assert_eq!(pending.failed(), Some(wait));
        }
        for _ in 0..3 {
            assert_eq!(pending.failed(), None);
        }
        // There still was no answer.
        assert_eq!(pending.answered(true), None);
    }
}
