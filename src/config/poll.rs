//! `[poll]`, and `poll` of a room: how often states are read from a device.

use std::time::Duration;

use super::key::{DurationBounds, Key, KeyType, Reload, Section, Values, plain};
use super::reader::Reader;

/// No device is polled more often: each poll is a request that the device must answer.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// What each interval takes.
const INTERVAL: KeyType = KeyType::Duration(DurationBounds::at_least(SHORTEST_INTERVAL));

/// The values of `pace`.
const NORMAL: &str = "normal";
const GENTLE: &str = "gentle";

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
    /// `pace`: gentle.
    pub gentle: bool,
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            fast: Duration::from_secs(2),
            normal: Duration::from_secs(15),
            slow: Duration::from_secs(60),
            meters: false,
            gentle: false,
        }
    }
}

impl Section for PollConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "fast",
            INTERVAL,
            Reload::Now,
            "Audio, calls, video mute; twice as often in a call",
        )
        .default("2s")
        .in_info(),
        Key::new("normal", INTERVAL, Reload::Now, "Cameras, calendar, status")
            .default("15s")
            .in_info(),
        Key::new(
            "slow",
            INTERVAL,
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
        Key::new(
            "pace",
            KeyType::Choice,
            Reload::Now,
            "How much is asked of the device",
        )
        .choices(&[
            (NORMAL, "the intervals as they are"),
            (
                GENTLE,
                "one request at a time, and a quarter of the reads; half of that while the device \
                 is asleep or runs another provider than Poly",
            ),
        ])
        .default(NORMAL)
        .in_info(),
    ];

    fn values(&self) -> Values {
        Values::from([
            ("fast", plain(self.fast.as_secs_f64())),
            ("normal", plain(self.normal.as_secs_f64())),
            ("slow", plain(self.slow.as_secs_f64())),
            ("meters", plain(self.meters)),
            ("pace", plain(if self.gentle { GENTLE } else { NORMAL })),
        ])
    }
}

impl PollConfig {
    /// Reads the section; `base` holds where it says nothing.
    pub(super) fn read(mut reader: Reader<'_>, base: Self) -> Self {
        let mut interval = |key, base| reader.duration(key).unwrap_or(base);
        let poll = Self {
            fast: interval("fast", base.fast),
            normal: interval("normal", base.normal),
            slow: interval("slow", base.slow),
            meters: reader.bool("meters").unwrap_or(base.meters),
            gentle: reader
                .choice("pace")
                .map_or(base.gentle, |pace| pace == GENTLE),
        };
        reader.finish();
        poll
    }
}
