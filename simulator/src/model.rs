//! The models: the names that devices give, and the cameras and inputs of each.

use std::fmt;
use std::str::FromStr;

use super::Firmware;

/// The model that a device simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Studio X30.
    X30,
    /// Studio X32.
    X32,
    /// Studio X50.
    X50,
    /// Studio X52.
    X52,
    /// Studio X70.
    X70,
    /// Studio X72.
    X72,
    /// G7500.
    G7500,
    /// Studio G62.
    G62,
}

/// Where a picture comes from: an entry of `cameras/near/all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub index: i64,
    pub model: &'static str,
    pub name: &'static str,
    pub content: bool,
    /// A device is connected to it. One that has a model is a camera that moves.
    pub connected: bool,
}

impl Source {
    const fn new(index: i64, model: &'static str, name: &'static str) -> Self {
        Self {
            index,
            model,
            name,
            content: false,
            connected: false,
        }
    }

    const fn content(mut self) -> Self {
        self.content = true;
        self
    }

    const fn connected(mut self) -> Self {
        self.connected = true;
        self
    }

    pub fn camera(&self) -> bool {
        !self.model.is_empty()
    }
}

const BUILT_IN: Source = Source::new(1, "BUILT_IN_1.0", "Main").connected();
const EAGLEEYE_IV: Source = Source::new(1, "EAGLEEYE_IV", "Main").connected();
const CUBE: Source = Source::new(3, "EAGLEEYE_CUBE_USB", "EagleEye Cube USB").connected();
const E70: Source = Source::new(3, "POLY_STUDIO_E70", "Poly Studio E70").connected();
const HDMI: Source = Source::new(2, "", "HDMI Input").content();
const LAPTOP: Source = HDMI.connected();

/// All twelve entries of a Studio X30, as recorded: there is no number 8.
const RECORDED: [Source; 12] = [
    BUILT_IN,
    HDMI,
    Source::new(3, "", ""),
    Source::new(4, "", ""),
    Source::new(5, "", ""),
    Source::new(6, "", "PPCIP").content(),
    Source::new(7, "", "UILAYER1").content(),
    Source::new(9, "", "rdpLP"),
    Source::new(10, "", "VIRTDEV1"),
    Source::new(11, "", "VIRTDEV2"),
    Source::new(12, "", "VIRTDEV3"),
    Source::new(13, "", "VIRTDEV4"),
];

impl Model {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::X30,
        Self::X32,
        Self::X50,
        Self::X52,
        Self::X70,
        Self::X72,
        Self::G7500,
        Self::G62,
    ];

    /// The name that the device gives: `StudioX30` is recorded, the others are like it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X30 => "StudioX30",
            Self::X32 => "StudioX32",
            Self::X50 => "StudioX50",
            Self::X52 => "StudioX52",
            Self::X70 => "StudioX70",
            Self::X72 => "StudioX72",
            Self::G7500 => "G7500",
            Self::G62 => "StudioG62",
        }
    }

    /// The short name that people type: `X30`.
    pub fn short(self) -> &'static str {
        let name = self.name();
        name.strip_prefix("Studio").unwrap_or(name)
    }

    /// Whether this firmware exists for the model. 5.0 is not for X30, X50, X70 and G7500.
    pub fn runs(self, firmware: Firmware) -> bool {
        let old = matches!(self, Self::X30 | Self::X50 | Self::X70 | Self::G7500);
        firmware != Firmware::V5_0 || !old
    }

    /// The model that is taken where none is named: the recorded one, and one that has version 5.
    pub fn usual(firmware: Firmware) -> Self {
        match firmware {
            Firmware::V3_12 => Self::X30,
            Firmware::V5_0 => Self::X52,
            _ => Self::X50,
        }
    }

    /// What `cameras/near/all` lists.
    pub(crate) fn sources(self) -> Vec<Source> {
        let own: &[Source] = match self {
            Self::X30 | Self::X32 => &[],
            Self::X50 | Self::X52 => &[LAPTOP, CUBE],
            Self::X70 | Self::X72 => &[LAPTOP, E70],
            Self::G7500 => &[EAGLEEYE_IV, LAPTOP, CUBE],
            Self::G62 => &[EAGLEEYE_IV, HDMI, E70],
        };
        let source = |listed: Source| {
            let found = own.iter().find(|source| source.index == listed.index);
            *found.unwrap_or(&listed)
        };
        RECORDED.into_iter().map(source).collect()
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|known| known.short() == text);
        found.ok_or_else(|| format!("there is no model {text}"))
    }
}
