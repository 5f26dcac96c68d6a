//! The firmwares that can be simulated, by the names that people type.

use std::fmt;
use std::str::FromStr;

/// The firmware that a device simulates. What each has and lacks is in `profile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Firmware {
    /// As recorded from a Studio X30: before the guide.
    V3_12,
    /// The firmware of the guide: its shapes of answers, nothing beyond it but a few calls, no XSRF token.
    V4_0,
    /// As reported of the next guide: a session cannot be ended, and `/rest/system` is missing.
    V4_4,
    /// Log-in sets an XSRF token, and both spellings of what was renamed work.
    V4_6_2,
    /// The XSRF token is switched off, and only the newer spellings work.
    V4_7,
    /// Teams Rooms and device mode only: there are no Poly calls.
    V5_0,
}

impl Firmware {
    /// All of them, oldest first.
    pub const ALL: [Self; 6] = [
        Self::V3_12,
        Self::V4_0,
        Self::V4_4,
        Self::V4_6_2,
        Self::V4_7,
        Self::V5_0,
    ];

    /// The short name: `4.6.2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V3_12 => "3.12",
            Self::V4_0 => "4.0",
            Self::V4_4 => "4.4",
            Self::V4_6_2 => "4.6.2",
            Self::V4_7 => "4.7",
            Self::V5_0 => "5.0",
        }
    }

    /// The `softwareVersion` and the `build` that the device gives.
    pub(crate) fn version(self) -> (&'static str, &'static str) {
        match self {
            Self::V3_12 => ("3.12.0", "366027"),
            Self::V4_0 => ("4.0.0-382263", "382263"),
            Self::V4_4 => ("4.4.0-412134", "412134"),
            Self::V4_6_2 => ("4.6.2-421104", "421104"),
            Self::V4_7 => ("4.7.0-425310", "425310"),
            Self::V5_0 => ("5.0.1-500117", "500117"),
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|known| known.name() == text);
        found.ok_or_else(|| format!("there is no firmware {text}"))
    }
}
