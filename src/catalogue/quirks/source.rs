//! Where deviations of firmware are known from.

/// How a deviation is known, and where to look it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuirkSource {
    /// These public drivers, which their makers use with real devices.
    Drivers(&'static [&'static str]),
    /// Answers recorded from a Studio X30: these files in `tests/recorded/`.
    Recordings(&'static [&'static str]),
    /// The guide's own samples contradict its text.
    GuideSamples,
    /// Said in public of firmware that neither a driver nor a recording shows.
    Reported,
    /// Not seen; handled because it costs nothing.
    Precaution,
}

/// The driver for Symphony, in Java. The recording of 3.12.0 is its tests'.
pub(super) const AVISPL: &str = "https://github.com/AVISPL/dal-codecs-singlecodecs-polycom-videoos";
/// The driver for Extron's control processors, in Python. It has no repository of its own: public projects for these
/// processors have copies, which begin with this line.
pub(super) const EXTRON: &str = "Copyright 2026, Extron. All rights reserved.";
/// The driver for Mividas, in Python: `endpoint/ext_api/poly_studiox.py`. The recording of 3.10.0 is its tests'.
pub(super) const MIVIDAS: &str = "https://github.com/HL727/Meeting";
/// The driver for Crestron's control processors, in C#.
pub(super) const CRESTRON: &str = "https://github.com/sifuas/PolyVideoOSRestAPI";

/// Studio X30, VideoOS 3.10.0.
pub(super) const X30_3_10: &str = "studio-x30-3.10.0.json";
/// Studio X30, VideoOS 3.12.0.
pub(super) const X30_3_12: &str = "studio-x30-3.12.0.json";
