//! The process of a gateway: its clock, and what it was given.

use std::time::Duration;

use crate::boot_instant::BootInstant;
use crate::cluster::fence::ShardFence;
use crate::cluster::members::Members;
use crate::cluster::room_digests::RoomDigests;

/// A gateway's process.
pub struct Process {
    pub members: Members,
    pub name: String,
    /// Its configuration of the rooms.
    pub rooms: RoomDigests,
    /// The number of these.
    pub configuration: u64,
    /// Its clock: what it shows at the simulation's start, and how many millionths it runs too fast.
    pub offset: u64,
    pub drift: i64,
    pub paused_until: u64,
    pub cut_until: u64,
    pub is_killed: bool,
    /// Another process of its name has been started, or will be.
    pub has_successor: bool,
    pub ended: Option<Option<String>>,
    /// Every fence that it was ever given and that is not closed for ever.
    pub fences: Vec<Vec<ShardFence>>,
    pub stop_time: u64,
    /// When it wants to be woken; other wakes are out of date.
    pub wake: u64,
}

impl Process {
    pub fn clock(&self, now: u64) -> BootInstant {
        let drift = i64::try_from(now).unwrap() / 1_000_000 * self.drift;
        BootInstant::from_nanos((self.offset + now).saturating_add_signed(drift))
    }

    /// How long ago its clock passed `at`.
    pub fn since(&self, at: BootInstant, now: u64) -> Duration {
        self.clock(now).since(at)
    }
}
