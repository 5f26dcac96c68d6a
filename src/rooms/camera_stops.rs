//! The stops that cameras still need.
//!
//! Pure. A camera that was started runs until it is stopped, so every start schedules a stop here.
//! The stop stays until the device has carried out a stop for that camera, also a client's, that was
//! sent after the start: a camera may be started again while a stop is under way.

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

/// A stop of this camera that is under way, and which starts it can end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentStop {
    camera: String,
    /// The number of the last start before it was sent.
    last_start: u64,
}

/// One camera's stop.
#[derive(Debug)]
struct CameraStop {
    camera: String,
    /// The number of the start that it ends.
    start: u64,
    call: Call,
    due: Instant,
    /// How often the device has refused it.
    refusals: u32,
    /// The waits before the stops that follow this one.
    repeats: &'static [Duration],
}

impl CameraStop {
    fn is_ended_by(&self, sent: &SentStop) -> bool {
        self.camera == sent.camera && self.start <= sent.last_start
    }
}

/// The stops that one room's cameras still need, at most one for each camera.
#[derive(Debug, Default)]
pub struct CameraStops {
    stops: Vec<CameraStop>,
    /// How many starts there were.
    starts: u64,
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
        self.starts += 1;
        self.stops.push(CameraStop {
            camera: motion.camera.clone(),
            start: self.starts,
            call: motion.stop.clone(),
            due,
            refusals: 0,
            repeats,
        });
    }

    /// Takes over what another room of the same device has left. A camera that both have started is stopped when the
    /// later of the two is due.
    pub fn append(&mut self, left: Self) {
        for stop in left.stops {
            self.starts += 1;
            let mut stops = self.stops.iter_mut();
            match stops.find(|own| own.camera == stop.camera) {
                Some(own) => {
                    own.start = self.starts;
                    own.due = own.due.max(stop.due);
                    if stop.repeats.len() > own.repeats.len() {
                        own.repeats = stop.repeats;
                    }
                }
                None => self.stops.push(CameraStop {
                    start: self.starts,
                    ..stop
                }),
            }
        }
    }

    /// The stop that is due at `from`, if it still is, is due at `to`.
    pub fn reschedule(&mut self, from: Instant, to: Instant) {
        for stop in self.stops.iter_mut().filter(|stop| stop.due == from) {
            stop.due = to;
        }
    }

    /// A stop of this camera is sent now.
    pub fn sent(&self, camera: String) -> SentStop {
        SentStop {
            camera,
            last_start: self.starts,
        }
    }

    /// The device has carried out this stop.
    pub fn stopped(&mut self, sent: &SentStop, now: Instant) {
        self.stops.retain_mut(|stop| {
            if !stop.is_ended_by(sent) {
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

    /// The device has not carried out this stop: it is tried again, after this wait at least. False if it was given
    /// up.
    pub fn retry(&mut self, sent: &SentStop, wait: Duration, now: Instant) -> bool {
        for stop in &mut self.stops {
            if stop.is_ended_by(sent) {
                stop.refusals += 1;
                stop.due = now + wait.max(STOP_RETRY_WAIT);
            }
        }
        let count = self.stops.len();
        self.stops.retain(|stop| stop.refusals < STOP_ATTEMPTS);
        self.stops.len() == count
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
            stops.stopped(&stops.sent(motion.camera.clone()), due);
        }
        assert_eq!(waits, [0, 1, 4, 14]);
        stops.schedule_repeated(&motion, now);
        // The next move of the camera has a stop of its own.
        stops.schedule(&motion, now);
        stops.stopped(&stops.sent(motion.camera.clone()), now);
        assert!(stops.is_empty());
    }

    #[test]
    fn what_two_rooms_of_a_device_leave_is_stopped_once_and_late_enough() {
        let motion = motion("camera/move");
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let left = |due| {
            let mut stops = CameraStops::default();
            stops.schedule(&motion, due);
            stops
        };
        let mut stops = CameraStops::default();
        for due in [now, later, now] {
            stops.append(left(due));
        }
        assert_eq!((stops.stops.len(), stops.next_due()), (1, Some(later)));
        stops.stopped(&stops.sent(motion.camera.clone()), later);
        assert!(stops.is_empty());
    }

    #[test]
    fn a_refused_stop_is_retried_and_given_up_after_twenty_times() {
        let motion = motion("camera/move");
        let (mut stops, now) = (CameraStops::default(), Instant::now());
        stops.schedule(&motion, now);
        assert!(stops.due(now).is_some());
        for _ in 1..STOP_ATTEMPTS {
            assert!(stops.retry(&stops.sent(motion.camera.clone()), Duration::ZERO, now));
            assert!(stops.due(now).is_none());
            assert_eq!(stops.next_due(), Some(now + STOP_RETRY_WAIT));
        }
        assert!(!stops.retry(&stops.sent(motion.camera.clone()), Duration::ZERO, now));
        assert!(stops.any().is_none());
    }

    #[test]
    fn a_camera_is_stopped_by_its_own_stop_only() {
        let motion = motion("camera/move");
        let (mut stops, now) = (CameraStops::default(), Instant::now());
        stops.schedule(&motion, now);
        stops.stopped(&stops.sent("another camera".to_owned()), now);
        assert!(!stops.is_empty());
    }

    #[test]
    fn a_stop_under_way_is_not_the_stop_of_a_later_start() {
        let motion = motion("camera/move");
        let (mut stops, now) = (CameraStops::default(), Instant::now());
        stops.schedule(&motion, now);
        let sent = stops.sent(motion.camera.clone());
        // The camera is started again while the stop of the first start is under way.
        let due = now + Duration::from_secs(10);
        stops.schedule(&motion, due);
        stops.stopped(&sent, now);
        assert_eq!(stops.next_due(), Some(due));
        assert!(stops.retry(&sent, Duration::ZERO, now));
        assert_eq!(stops.next_due(), Some(due));
        let sent = stops.sent(motion.camera.clone());
        stops.stopped(&sent, now);
        assert!(stops.is_empty());
    }
}
