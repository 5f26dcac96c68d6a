//! Holds the first reads of most rooms back while many devices are being logged in to.
//!
//! After a start or a take-over of thousands of rooms the log-ins come first: a room is online and takes commands much
//! sooner than if the sixty reads of every room that is online already went between them. Their reads take turns, so
//! that commands get their part of the processor. Reads nothing itself.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::device::SharedLimits;

/// A room that is held back looks this often whether it may read.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The first reads of one room.
#[derive(Debug)]
pub struct FirstReads {
    limits: SharedLimits,
    /// It is one of the few that read meanwhile.
    permit: Option<OwnedSemaphorePermit>,
    looks_at: Option<Instant>,
}

impl FirstReads {
    /// The first reads of a room that is about to be logged in to.
    pub fn new(limits: SharedLimits) -> Self {
        Self {
            limits,
            permit: None,
            looks_at: None,
        }
    }

    /// Whether they are held back now. `are_due`: the room is online and has not read everything.
    pub fn hold(&mut self, are_due: bool, now: Instant) -> bool {
        if !are_due {
            self.permit = None;
        } else if self.permit.is_none() && self.limits.logins.is_saturated() {
            self.permit = self.limits.start.first_reader();
            if self.permit.is_none() {
                self.looks_at = Some(now + LOOK_INTERVAL);
                return true;
            }
        }
        self.looks_at = None;
        false
    }

    /// Makes one of them, when it has a permit.
    pub fn read<F: Future>(&self, read: F) -> impl Future<Output = F::Output> + use<F> {
        let limiter = self.limits.start.clone();
        async move { limiter.run(read).await }
    }

    /// While they are held back: when to ask again.
    pub fn looks_at(&self) -> Option<Instant> {
        self.looks_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rooms_read_while_log_ins_wait() {
        let (limits, now) = (SharedLimits::default(), Instant::now());
        let mut reads: Vec<_> = (0..25).map(|_| FirstReads::new(limits.clone())).collect();
        let held = |reads: &mut Vec<FirstReads>| {
            let held = reads
                .iter_mut()
                .filter_map(|it| it.hold(true, now).then_some(it));
            held.map(|it| it.looks_at().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(held(&mut reads), []);
        let saturation = limits.logins.saturate();
        for _ in 0..2 {
            assert_eq!(held(&mut reads), [now + LOOK_INTERVAL; 5]);
        }
        // Two have read everything, or are offline again.
        for it in &mut reads[..2] {
            assert!(!it.hold(false, now));
        }
        let mut others = reads.split_off(2);
        assert_eq!(held(&mut others).len(), 3);
        drop(saturation);
        assert_eq!(held(&mut others), []);
        assert!(others.iter().all(|it| it.looks_at().is_none()));
    }
}
