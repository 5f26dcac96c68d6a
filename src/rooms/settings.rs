//! The settings of one room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::schedule::PollIntervals;
use crate::catalogue::PresetNames;
use crate::config::RoomConfig;
use crate::device::{DeviceFence, DeviceSettings, DeviceTimings, SharedLimits};
use crate::telemetry::Telemetry;

/// The settings of one room.
#[derive(Debug, Clone)]
pub struct RoomSettings {
    /// The room's id in topics.
    pub id: Arc<str>,
    /// How to reach its device.
    pub device: DeviceSettings,
    /// How often states are read.
    pub intervals: PollIntervals,
    /// The offset of preset numbers at the device; learned from the device if it is not set.
    pub preset_offset: Option<i8>,
    /// The names of the presets.
    pub preset_names: Arc<PresetNames>,
    /// The names of the device's own configuration that are kept as states.
    pub setting_names: Arc<[String]>,
    /// A command older than this when its turn comes is not carried out.
    pub max_command_age: Duration,
    /// The guarded commands that this room takes from senders who are not administrators.
    pub allow: Arc<BTreeSet<String>>,
    /// The largest file that is held in memory, in bytes.
    pub max_payload: usize,
    /// When the room is checked each day.
    pub readiness: Option<crate::config::TimeOfDay>,
    /// The address that the check calls.
    pub readiness_dial: Option<String>,
}

/// How to reach a configured room's device.
pub fn device_settings(
    room: &RoomConfig,
    timings: &DeviceTimings,
    telemetry: &Arc<Telemetry>,
    limits: &SharedLimits,
) -> DeviceSettings {
    DeviceSettings {
        url: room.url.clone(),
        user: room.user.clone(),
        password: room.password.secret().clone(),
        certificate: room.certificate.clone(),
        keep_alive: room.keep_alive,
        timings: Arc::new(timings.clone()),
        telemetry: telemetry.clone(),
        limits: limits.clone(),
        session_store: None,
        fence: DeviceFence::default(),
    }
}
