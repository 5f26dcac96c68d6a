//! Until when requests to devices may begin.
//!
//! A device cannot check who talks to it, so whoever owns a room stops by itself in time. Others take the
//! rooms of a member no earlier than 2.5 s after its last heartbeat; it begins no request later
//! than [`FENCE`] after the *sending* of that heartbeat. Handles are cheap to clone and are asked without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::boot_instant::BootInstant;
use crate::device::FenceClosed;

/// How long after the sending of an acknowledged heartbeat a request may begin. Half a second less than others
/// wait, for what a request needs from the check to the network.
pub const FENCE: Duration = Duration::from_millis(2000);

/// The fence of a member: the end of the time in which its requests may begin.
#[derive(Debug, Clone, Default)]
pub struct MemberFence {
    /// Nanoseconds of [`BootInstant`]; 0 while closed.
    closes_at: Arc<AtomicU64>,
}

impl MemberFence {
    /// A fence that is closed.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Whether a request may begin.
    pub fn may_begin(&self, now: BootInstant) -> bool {
        now.as_nanos() < self.closes_at.load(Ordering::Acquire)
    }

    /// When it closes, if no further heartbeat is acknowledged.
    pub fn closes_at(&self) -> BootInstant {
        BootInstant::from_nanos(self.closes_at.load(Ordering::Acquire))
    }

    /// A heartbeat that was sent at `sent` has been acknowledged. Acknowledgements may overtake each other.
    pub(super) fn acknowledged(&self, sent: BootInstant) {
        let closes_at = (sent + FENCE).as_nanos();
        self.closes_at.fetch_max(closes_at, Ordering::AcqRel);
    }

    /// Closes it at once.
    pub(super) fn close(&self) {
        self.closes_at.store(0, Ordering::Release);
    }
}

/// The fence of one shard for one time of ownership. It never opens again once it is given up: a task that is
/// left from an earlier time cannot act in a later one. Asked before each attempt, before a log-in and right before
/// the bytes go.
#[derive(Debug, Clone)]
pub struct ShardFence {
    member: MemberFence,
    is_given_up: Arc<AtomicBool>,
}

impl ShardFence {
    /// The fence of a shard that is owned from now on.
    pub(super) fn new(member: &MemberFence) -> Self {
        Self {
            member: member.clone(),
            is_given_up: Arc::default(),
        }
    }

    /// Whether a request may begin at this moment.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn check_at(&self, now: BootInstant) -> Result<(), FenceClosed> {
        if self.is_given_up.load(Ordering::Acquire) {
            Err(FenceClosed::NotOwner)
        } else if !self.member.may_begin(now) {
            Err(FenceClosed::NoCluster)
        } else {
            Ok(())
        }
    }

    /// Refuses from now on, for ever.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    /// When it closes, if no further heartbeat is acknowledged.
    pub fn closes_at(&self) -> BootInstant {
        self.member.closes_at()
    }

    /// A fence that lets nothing through.
    #[cfg(test)]
    pub fn closed() -> Self {
        Self::new(&MemberFence::closed())
    }

    /// Whether it refuses for ever.
    #[cfg(test)]
    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn no_request_begins_two_seconds_after_the_sending_of_the_last_heartbeat() {
        let fence = MemberFence::closed();
        let room = ShardFence::new(&fence);
        assert_eq!(room.check_at(at(0)), Err(FenceClosed::NoCluster));
        fence.acknowledged(at(1000));
        assert_eq!(room.check_at(at(2999)), Ok(()));
        assert_eq!(room.check_at(at(3000)), Err(FenceClosed::NoCluster));
        // An answer that was overtaken shortens nothing.
        fence.acknowledged(at(500));
        assert_eq!(room.clone().check_at(at(2999)), Ok(()));
        fence.acknowledged(at(1500));
        assert_eq!(room.check_at(at(3499)), Ok(()));
        fence.close();
        assert_eq!(room.check_at(at(1600)), Err(FenceClosed::NoCluster));
    }

    #[test]
    fn a_shard_that_was_given_up_stays_closed_in_every_clone() {
        let fence = MemberFence::closed();
        fence.acknowledged(at(1000));
        let (first, other) = (ShardFence::new(&fence), ShardFence::new(&fence));
        let clone = first.clone();
        first.give_up();
        fence.acknowledged(at(2000));
        assert_eq!(clone.check_at(at(2001)), Err(FenceClosed::NotOwner));
        assert_eq!(other.check_at(at(2001)), Ok(()));
        assert_eq!(ShardFence::new(&fence).check_at(at(2001)), Ok(()));
    }
}
