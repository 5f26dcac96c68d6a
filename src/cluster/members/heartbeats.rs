//! When the next heartbeat is sent, and which are under way.

use std::time::Duration;

use crate::boot_instant::BootInstant;

/// How often a heartbeat is sent: four fit between an acknowledged one and the end of the fence.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long a heartbeat may be without an answer before another is sent, which may take another way. A store
/// answers in milliseconds.
const HEDGE_AFTER: Duration = Duration::from_millis(400);
/// How long after a heartbeat that failed the next one is sent: soon enough to try every member of etcd before the
/// fence closes.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How many may be under way: with an answer's time limit of about a second no more are needed.
const MOST_UNDER_WAY: usize = 3;

/// The heartbeats of one member, or its looks at the store while it is none.
#[derive(Debug, Default)]
pub struct Heartbeats {
    under_way: Vec<u64>,
    last_sent: Option<BootInstant>,
    has_failed: bool,
    at_once: bool,
}

impl Heartbeats {
    /// When the next one is due with this interval; none while too many are under way.
    pub fn due(&self, interval: Duration) -> Option<BootInstant> {
        let Some(last_sent) = self.last_sent else {
            return Some(BootInstant::from_nanos(0));
        };
        match self.under_way.len() {
            0 if self.at_once => Some(last_sent),
            0 if self.has_failed => Some(last_sent + RETRY_AFTER),
            0 => Some(last_sent + interval),
            n if n < MOST_UNDER_WAY => Some(last_sent + HEDGE_AFTER),
            _ => None,
        }
    }

    /// One was sent.
    pub fn sent(&mut self, id: u64, now: BootInstant) {
        self.under_way.push(id);
        self.last_sent = Some(now);
        self.at_once = false;
    }

    /// One was answered, or has no answer.
    pub fn ended(&mut self, id: u64, answered: bool) {
        self.under_way.retain(|other| *other != id);
        self.has_failed = !answered;
    }

    /// The next one is sent as soon as none is under way.
    pub fn at_once(&mut self) {
        self.at_once = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_next_heartbeat_is_due_by_what_became_of_the_last() {
        let mut beats = Heartbeats::default();
        let due = |beats: &Heartbeats| beats.due(HEARTBEAT_INTERVAL);
        assert_eq!(due(&beats), Some(at(0)));
        beats.sent(1, at(1000));
        assert_eq!(due(&beats), Some(at(1400)));
        beats.ended(1, true);
        assert_eq!(due(&beats), Some(at(1500)));
        beats.at_once();
        assert_eq!(due(&beats), Some(at(1000)));
        beats.sent(2, at(1500));
        beats.sent(3, at(1900));
        beats.sent(4, at(2300));
        assert_eq!(due(&beats), None);
        beats.ended(2, false);
        assert_eq!(due(&beats), Some(at(2700)));
        beats.ended(3, false);
        beats.ended(4, false);
        assert_eq!(due(&beats), Some(at(2500)));
    }
}
