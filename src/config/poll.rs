//! `[poll]`, and `poll` of a room: how often states are read from a device.

use std::time::Duration;

use super::key::{Key, KeyType, Reload, Section, Values, plain};
use super::reader::Reader;

/// No device is polled more often: each poll is a request that the device must answer.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// `[poll]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollConfig {
    /// `fast`.
    pub fast: Duration,
    /// `normal`.
    pub normal: Duration,
    /// `slow`.
    pub slow: Duration,
    /// `meters`: the audio meters too.
    pub meters: bool,
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            fast: Duration::from_secs(2),
            normal: Duration::from_secs(15),
            slow: Duration::from_secs(60),
            meters: false,
        }
    }
}

impl Section for PollConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "fast",
            KeyType::Duration,
            Reload::Now,
            "Audio, calls, video mute; twice as often in a call",
        )
        .default("2s")
        .in_info(),
        Key::new(
            "normal",
            KeyType::Duration,
            Reload::Now,
            "Cameras, calendar, status",
        )
        .default("15s")
        .in_info(),
        Key::new(
            "slow",
            KeyType::Duration,
            Reload::Now,
            "Presets, servers, favourites",
        )
        .default("60s")
        .in_info(),
        Key::new(
            "meters",
            KeyType::Bool,
            Reload::Now,
            "Read the audio meters too, as often as `fast`",
        )
        .default("false")
        .in_info(),
    ];

    fn values(&self) -> Values {
        Values::from([
            ("fast", plain(self.fast.as_secs_f64())),
            ("normal", plain(self.normal.as_secs_f64())),
            ("slow", plain(self.slow.as_secs_f64())),
            ("meters", plain(self.meters)),
        ])
    }
}

impl PollConfig {
    /// Reads the section; `base` holds where it says nothing.
    pub(super) fn read(mut reader: Reader<'_>, base: Self) -> Self {
        let mut interval = |key, base| reader.duration(key, SHORTEST_INTERVAL).unwrap_or(base);
        let poll = Self {
            fast: interval("fast", base.fast),
            normal: interval("normal", base.normal),
            slow: interval("slow", base.slow),
            meters: reader.bool("meters").unwrap_or(base.meters),
        };
        reader.finish();
        poll
    }
}
