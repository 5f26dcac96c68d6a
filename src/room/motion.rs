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

#[derive(Debug)]
struct Debt {
    camera: String,
    stop: Call,
    due: Instant,
    tries: u32,
}

/// All stops that are still owed.
#[derive(Debug, Default)]
pub struct Stops {
    debts: Vec<Debt>,
}

impl Stops {
    /// A camera is started, or was: its stop is owed at `due`.
    pub fn owe(&mut self, motion: &Motion, due: Instant) {
        self.paid(&motion.camera);
        self.debts.push(Debt {
            camera: motion.camera.clone(),
            stop: motion.stop.clone(),
            due,
            tries: 0,
        });
    }

    /// The camera has been stopped.
    pub fn paid(&mut self, camera: &str) {
        self.debts.retain(|debt| debt.camera != camera);
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
