//! Who is dead: a member whose key has not changed for [`GUARD`], while this gateway's own heartbeats were
//! acknowledged without a break.
//!
//! Without the second half a member that comes back from a pause, or a store that does, would look as if all others
//! were dead.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::boot_instant::BootInstant;

/// How long a key must not have changed. The member begins no request later than 2.0 s after the sending of its
/// last heartbeat, and half a second is left for what that request needs from the check to the network.
pub const GUARD: Duration = Duration::from_millis(2500);
/// The longest time from one acknowledged heartbeat to the next without a break: two heartbeats. A member that
/// others could not reach for that long has 1.5 s left to show that it lives.
const LONGEST_GAP: Duration = Duration::from_millis(1000);

/// The revisions of other members, and since when they have been so.
#[derive(Debug, Default)]
pub struct Guard {
    watched: BTreeMap<String, Watched>,
    acknowledged: Option<BootInstant>,
}

#[derive(Debug)]
struct Watched {
    modified: u64,
    /// When the answer that showed this revision first had arrived, or the break had ended.
    since: BootInstant,
}

impl Guard {
    /// A heartbeat of this gateway was acknowledged.
    pub fn acknowledged(&mut self, now: BootInstant) {
        let is_break = self
            .acknowledged
            .is_none_or(|before| now.since(before) > LONGEST_GAP);
        if is_break {
            self.watched
                .values_mut()
                .for_each(|watched| watched.since = now);
        }
        self.acknowledged = Some(now);
    }

    /// The store shows these members with these revisions.
    pub fn seen<'a>(&mut self, members: impl Iterator<Item = (&'a String, u64)>, now: BootInstant) {
        let mut before = std::mem::take(&mut self.watched);
        for (name, modified) in members {
            let watched = before
                .remove(name)
                .filter(|watched| watched.modified == modified)
                .unwrap_or(Watched {
                    modified,
                    since: now,
                });
            self.watched.insert(name.clone(), watched);
        }
    }

    /// A member that is dead, and the revision that proves it.
    pub fn dead(&self, now: BootInstant) -> Option<(String, u64)> {
        if now.since(self.acknowledged?) > LONGEST_GAP {
            return None;
        }
        let dead = |watched: &Watched| now.since(watched.since) >= GUARD;
        let (name, watched) = self.watched.iter().find(|(_, watched)| dead(watched))?;
        Some((name.clone(), watched.modified))
    }

    /// When the next member may be found dead.
    pub fn wakes_at(&self) -> Option<BootInstant> {
        let since = self.watched.values().map(|watched| watched.since).min()?;
        Some(since + GUARD)
    }

    /// No member is watched.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_nanos(millis * 1_000_000)
    }

    fn beat(guard: &mut Guard, other: u64, millis: u64) {
        let name = "gw-2".to_owned();
        guard.acknowledged(at(millis));
        guard.seen([(&name, other)].into_iter(), at(millis));
    }

    #[test]
    fn a_member_is_dead_after_two_and_a_half_seconds_without_a_change() {
        let mut guard = Guard::default();
        for n in 0..5 {
            assert_eq!(guard.dead(at(1000 + n * 500)), None);
            beat(&mut guard, 7, 1000 + n * 500);
        }
        assert_eq!(guard.wakes_at(), Some(at(3500)));
        assert_eq!(guard.dead(at(3499)), None);
        assert_eq!(guard.dead(at(3500)), Some(("gw-2".to_owned(), 7)));
        beat(&mut guard, 8, 3600);
        assert_eq!(guard.dead(at(3600)), None);
    }

    #[test]
    fn a_break_of_ones_own_heartbeats_begins_the_count_anew() {
        let mut guard = Guard::default();
        for n in 0..4 {
            beat(&mut guard, 7, 1000 + n * 500);
        }
        // Nothing is decided during a break, nor right after it.
        assert_eq!(guard.dead(at(6000)), None);
        beat(&mut guard, 7, 6000);
        assert_eq!(guard.dead(at(6000)), None);
        for n in 1..5 {
            beat(&mut guard, 7, 6000 + n * 500);
            assert_eq!(guard.dead(at(6000 + n * 500)), None);
        }
        beat(&mut guard, 7, 8500);
        assert_eq!(guard.dead(at(8500)), Some(("gw-2".to_owned(), 7)));
    }
}
