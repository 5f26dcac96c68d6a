//! What a device that asks for fewer requests gets: fewer reads, one request at a time, and a line in the log.
//!
//! The device's client remembers what the device asked for; here the room follows.

use std::time::Duration;

use tokio::time::Instant;

use super::Actor;

/// The longest wait before the stop of a camera is sent again that the device has put off: the camera moves meanwhile.
const LONGEST_WAIT_OF_STOP: Duration = Duration::from_secs(2);

impl Actor {
    /// After each answer: follows what the device asks for now.
    pub(super) fn follow_pace(&mut self, now: Instant) {
        let pace = self.device.requested_pace();
        let before = std::mem::replace(&mut self.pace, pace);
        if pace == before {
            return;
        }
        self.poller.set_pace(pace, now);
        self.in_flight
            .set_one_at_a_time(self.is_gentle || pace.is_throttled);
        match (before.is_throttled, pace.is_throttled) {
            (false, true) => self.telemetry().room_throttled(&self.room, self.is_gentle),
            (true, false) => self.telemetry().room_throttled_no_more(&self.room),
            _ => {}
        }
    }

    /// How long the stop of a camera waits that the device has refused because it wants fewer requests.
    pub(super) fn wait_of_stop(&self, now: Instant) -> Duration {
        let paused_until = self.device.requested_pace().paused_until;
        let wait = paused_until.map(|until| until.saturating_duration_since(now));
        wait.unwrap_or_default().min(LONGEST_WAIT_OF_STOP)
    }
}
