//! The stops that moving cameras are owed.
//!
//! Pure. A camera that was started runs until it is stopped, so every start leaves a debt here,
//! which is paid by a stop that the device has answered, whoever sent it.

use std::time::Duration;

use tokio::time::Instant;

use crate::catalogue::{Call, Motion};

/// A stop that the device would not take is sent again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// And given up after so many times: the camera is not there any more.
const TRIES: u32 = 20;
/// A start that was given up may still come to the device, behind the stop: so long after each stop
/// the next one follows.
const LATER: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

#[derive(Debug)]
struct Debt {
    camera: String,
    stop: Call,
    due: Instant,
    tries: u32,
    /// The waits until the stops that follow this one.
    later: &'static [Duration],
}

/// All stops that are still owed.
#[derive(Debug, Default)]
pub struct Stops {
    debts: Vec<Debt>,
}

impl Stops {
    /// A camera is started, or was: its stop is owed at `due`.
    pub fn owe(&mut self, motion: &Motion, due: Instant) {
        self.begin(motion, due, &[]);
    }

    /// Whether and when the start comes to the camera is not known.
    pub fn owe_unsure(&mut self, motion: &Motion, now: Instant) {
        self.begin(motion, now, LATER);
    }

    fn begin(&mut self, motion: &Motion, due: Instant, later: &'static [Duration]) {
        self.debts.retain(|debt| debt.camera != motion.camera);
        self.debts.push(Debt {
            camera: motion.camera.clone(),
            stop: motion.stop.clone(),
            due,
            tries: 0,
            later,
        });
    }

    /// The camera has been stopped.
    pub fn paid(&mut self, camera: &str, now: Instant) {
        self.debts.retain_mut(|debt| {
            if debt.camera != camera {
                return true;
            }
            let Some((next, later)) = debt.later.split_first() else {
                return false;
            };
            debt.due = now + *next;
            debt.later = later;
            true
        });
    }

    /// The device did not take the stop.
    pub fn failed(&mut self, camera: &str, now: Instant) {
        for debt in &mut self.debts {
            if debt.camera == camera {
                debt.tries += 1;
                debt.due = now + AGAIN;
            }
        }
        self.debts.retain(|debt| debt.tries < TRIES);
    }

    /// When the next stop is due.
    pub fn next(&self) -> Option<Instant> {
        self.debts.iter().map(|debt| debt.due).min()
    }

    /// A stop that is due.
    pub fn due(&self, now: Instant) -> Option<Call> {
        let debt = self.debts.iter().find(|debt| debt.due <= now)?;
        Some(debt.stop.clone())
    }

    /// Every stop, for the end.
    pub fn all(&self) -> Vec<Call> {
        self.debts.iter().map(|debt| debt.stop.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;

    #[test]
    fn a_start_that_may_come_late_is_stopped_more_than_once() {
        let call = Call::of(CATALOGUE.pattern("camera/move").unwrap(), vec![]);
        let motion = Motion::of(&call.with("duration_ms", 300)).unwrap();
        let (mut stops, now) = (Stops::default(), Instant::now());
        stops.owe_unsure(&motion, now);
        let mut waits = Vec::new();
        while let Some(due) = stops.next() {
            waits.push((due - now).as_secs());
            stops.paid(&motion.camera, due);
        }
        assert_eq!(waits, [0, 1, 4, 14]);
        stops.owe_unsure(&motion, now);
        // The next move of the camera has a stop of its own.
        stops.owe(&motion, now);
        stops.paid(&motion.camera, now);
        assert_eq!(stops.next(), None);
    }
}
