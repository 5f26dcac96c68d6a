//! The stops that cameras still need.
//!
//! Pure. A camera that was started runs until it is stopped, so every start schedules a stop here.
//! The stop stays until the device has carried out any stop for that camera, also a client's.

use std::time::Duration;

use tokio::time::Instant;

use crate::catalogue::{Call, Motion};

/// A stop that the device refused is sent again after this: the camera moves meanwhile.
const STOP_RETRY_WAIT: Duration = Duration::from_millis(500);
/// After this many refusals (ten seconds) the stop is given up: the camera is not there any more.
const STOP_ATTEMPTS: u32 = 20;
/// When a start had no answer, it may still reach the camera behind the stop. Each wait, counted
/// from the stop before, is followed by one more stop.
const REPEATED_STOP_WAITS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// One camera's stop.
#[derive(Debug)]
struct CameraStop {
    camera: String,
    call: Call,
    due: Instant,
    /// How often the device has refused it.
    refusals: u32,
    /// The waits before the stops that follow this one.
    repeats: &'static [Duration],
}

/// The stops that one room's cameras still need, at most one for each camera.
#[derive(Debug, Default)]
pub struct CameraStops {
    stops: Vec<CameraStop>,
}

impl CameraStops {
    /// Schedules the stop of a camera that starts, or has started. It replaces an earlier one.
    pub fn schedule(&mut self, motion: &Motion, due: Instant) {
        self.replace(motion, due, &[]);
    }

    /// Schedules stops for a start without an answer: now, and again later.
    pub fn schedule_repeated(&mut self, motion: &Motion, now: Instant) {
        self.replace(motion, now, REPEATED_STOP_WAITS);
    }

    fn replace(&mut self, motion: &Motion, due: Instant, repeats: &'static [Duration]) {
        self.stops.retain(|stop| stop.camera != motion.camera);
        self.stops.push(CameraStop {
            camera: motion.camera.clone(),
            call: motion.stop.clone(),
            due,
            refusals: 0,
            repeats,
        });
    }

    /// The stop that is due at `from`, if it still is, is due at `to`.
    pub fn reschedule(&mut self, from: Instant, to: Instant) {
        for stop in self.stops.iter_mut().filter(|stop| stop.due == from) {
            stop.due = to;
        }
    }

    /// The device has carried out a stop of this camera.
    pub fn stopped(&mut self, camera: &str, now: Instant) {
        self.stops.retain_mut(|stop| {
            if stop.camera != camera {
                return true;
            }
            let Some((wait, repeats)) = stop.repeats.split_first() else {
                return false;
            };
            stop.due = now + *wait;
            stop.repeats = repeats;
            true
        });
    }

    /// The device has not carried out the stop: it is tried again.
    pub fn retry(&mut self, camera: &str, now: Instant) {
        for stop in &mut self.stops {
            if stop.camera == camera {
                stop.refusals += 1;
                stop.due = now + STOP_RETRY_WAIT;
            }
        }
        self.stops.retain(|stop| stop.refusals < STOP_ATTEMPTS);
    }

    /// No camera needs a stop.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }

    /// When the next stop must be sent.
    pub fn next_due(&self) -> Option<Instant> {
        self.stops.iter().map(|stop| stop.due).min()
    }

    /// A stop that is due.
    pub fn due(&self, now: Instant) -> Option<Call> {
        let stop = self.stops.iter().find(|stop| stop.due <= now)?;
        Some(stop.call.clone())
    }

    /// Any stop, due or not: for a room that ends.
    pub fn any(&self) -> Option<Call> {
        self.stops.first().map(|stop| stop.call.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;

    fn motion(topic: &str) -> Motion {
        let call = Call::of(CATALOGUE.pattern(topic).unwrap(), vec![]);
        Motion::of(&call.with("duration_ms", 300)).unwrap()
    }

    #[test]
    fn a_start_that_may_come_late_is_stopped_more_than_once() {
        let motion = motion("camera/move");
        let (mut stops, now) = (CameraStops::default(), Instant::now());
        stops.schedule_repeated(&motion, now);
        let mut waits = Vec::new();
        while let Some(due) = stops.next_due() {
            waits.push((due - now).as_secs());
            stops.stopped(&motion.camera, due);
        }
        assert_eq!(waits, [0, 1, 4, 14]);
        stops.schedule_repeated(&motion, now);
        // The next move of the camera has a stop of its own.
        stops.schedule(&motion, now);
        stops.stopped(&motion.camera, now);
        assert!(stops.is_empty());
    }

    #[test]
    fn a_refused_stop_is_retried_and_given_up_after_twenty_times() {
        let motion = motion("camera/move");
        let (mut stops, now) = (CameraStops::default(), Instant::now());
        stops.schedule(&motion, now);
        assert!(stops.due(now).is_some());
        for _ in 1..STOP_ATTEMPTS {
            stops.retry(&motion.camera, now);
            assert!(stops.due(now).is_none());
            assert_eq!(stops.next_due(), Some(now + STOP_RETRY_WAIT));
        }
        stops.retry(&motion.camera, now);
        assert!(stops.any().is_none());
    }

    #[test]
    fn a_camera_is_stopped_by_its_own_stop_only() {
        let motion = motion("camera/move");
        let (mut stops, now) = (CameraStops::default(), Instant::now());
        stops.schedule(&motion, now);
        stops.stopped("another camera", now);
        assert!(!stops.is_empty());
    }
}
