//! How often states are read, and where a room's reads lie between those of the others.

use std::time::Duration;

use crate::rooms::spread::spread_number;

/// How often each class is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollIntervals {
    /// For states that people watch. Halved in a call.
    pub fast: Duration,
    /// For states that change during a day.
    pub normal: Duration,
    /// For states that rarely change.
    pub slow: Duration,
    /// Read the audio meters too.
    pub meters: bool,
    /// One request at a time, and fewer reads.
    pub gentle: bool,
}

/// Where a room's reads lie between those of the other rooms, in parts of 65,536. Rooms that start together
/// would otherwise all read in the same moments of each interval.
#[derive(Debug, Clone, Copy, Default)]
pub struct PollPhase(u16);

impl PollPhase {
    /// The phase of a room, which is the same at each start.
    pub fn of_room(id: &str) -> Self {
        let [first, second, ..] = spread_number(id).to_be_bytes();
        Self(u16::from_be_bytes([first, second]))
    }

    /// This part of a time.
    pub(super) fn of(self, time: Duration) -> Duration {
        time * u32::from(self.0) / (u32::from(u16::MAX) + 1)
    }
}
