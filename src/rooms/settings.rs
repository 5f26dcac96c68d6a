//! What one room is started with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::schedule::PollIntervals;
use crate::device::DeviceSettings;

/// The settings of one room.
#[derive(Debug, Clone)]
pub struct RoomSettings {
    /// The room's id in topics.
    pub id: Arc<str>,
    /// How to reach its device.
    pub device: DeviceSettings,
    /// How often states are read.
    pub intervals: PollIntervals,
    /// What is added to a preset's number; learned from the device if it is not set.
    pub preset_offset: Option<i8>,
    /// A command older than this when its turn comes is not carried out.
    pub max_command_age: Duration,
    /// The guarded commands that this room takes from senders who are not administrators.
    pub allow: BTreeSet<String>,
    /// The largest file that is held in memory, in bytes.
    pub max_payload: usize,
}
