//! Holds documents back while many devices are being logged in to.
//!
//! A document is 37 KB of JSON. After a take-over the broker sends those of thousands of rooms, and reading them
//! would take the processor from the log-ins, for which people wait. Reads and publishes nothing itself.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// What is held back looks this often whether it may go on.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Documents wait no longer than this: devices that never answer a log-in would hold up those of all others.
const LONGEST_HOLD: Duration = Duration::from_secs(30);

/// The log-ins of this gateway's devices.
pub trait LogIns: Debug + Send + Sync {
    /// Whether they wait for each other.
    fn are_crowded(&self) -> bool;
}

/// Whether documents wait now.
#[derive(Debug)]
pub struct Hold {
    log_ins: Arc<dyn LogIns>,
    crowded_since: Option<Instant>,
}

impl Hold {
    /// They wait for these.
    pub fn new(log_ins: Arc<dyn LogIns>) -> Self {
        Self {
            log_ins,
            crowded_since: None,
        }
    }

    /// While they wait: when to look again.
    pub fn looks_at(&mut self, now: Instant) -> Option<Instant> {
        if !self.log_ins.are_crowded() {
            self.crowded_since = None;
            return None;
        }
        let end = *self.crowded_since.get_or_insert(now) + LONGEST_HOLD;
        (now < end).then(|| end.min(now + LOOK_INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug, Default)]
    struct Crowd(AtomicBool);

    impl LogIns for Crowd {
        fn are_crowded(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn documents_wait_while_log_ins_are_crowded_but_not_for_ever() {
        let crowd = Arc::<Crowd>::default();
        let (mut hold, start) = (Hold::new(crowd.clone()), Instant::now());
        assert_eq!(hold.looks_at(start), None);
        crowd.0.store(true, Ordering::Relaxed);
        let end = start + LONGEST_HOLD;
        assert_eq!(hold.looks_at(start), Some(start + LOOK_INTERVAL));
        assert_eq!(hold.looks_at(end - Duration::from_millis(1)), Some(end));
        assert_eq!(hold.looks_at(end), None);
        // The next crowd is another one.
        crowd.0.store(false, Ordering::Relaxed);
        assert_eq!(hold.looks_at(end), None);
        crowd.0.store(true, Ordering::Relaxed);
        assert_eq!(hold.looks_at(end), Some(end + LOOK_INTERVAL));
    }
}
