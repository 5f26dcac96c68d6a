//! What each firmware has and lacks: one table, with the source of every row.
//!
//! Areas ask [`Profile::has`] for the spelling of their answers. Whole calls that a firmware lacks are
//! refused here, by [`Profile::refuses`], so that no area needs to know of firmwares for that.

use super::Firmware;
use super::check::DeviceReply;

/// How well it is known that real firmware does this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// The guide, or several drivers that were tested on hardware.
    A,
    /// One driver that was tested on hardware, or a recording.
    B,
    /// Reported, unproven.
    C,
}

/// Something in which firmwares differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    XsrfToken,
    SystemInfo,
    SystemMode,
    AppsState,
    Apps,
    Devices,
    CurrentDevices,
    DeviceConfig,
    CallLog,
    CurrentSession,
    SessionList,
    PlainSessionList,
    PasswordChange,
    LogOut,
    OneAccessError,
    AlreadyActive412,
    VolumeWithoutRange,
    BareWords,
    Lists,
    ShortCollaboration,
    IdleCollaboration,
    LowerCaseCalendar,
    TrackingState,
    ContentsSaveStatus,
    ContentSaveStatus,
    DtmfAction,
    PlayDtmf,
    RebootAction,
    RestartAll,
    FullConferences,
    PolyCalls,
    ProviderLock,
}

/// What answers in place of a call that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// 404: the path does not exist.
    Path,
    /// 405: the path has other methods.
    Method,
    /// 403 to what changes something, and 404 to what reads.
    Refused,
}

struct Row {
    feature: Feature,
    /// What it is, for people.
    about: &'static str,
    /// By firmware, in the order of [`Firmware::ALL`].
    firmwares: [bool; 6],
    grade: Grade,
    source: &'static str,
    /// The calls that are missing where the feature is: method and path. `<>` is any segment, and `*`
    /// at the end is all that follows.
    calls: &'static [(&'static str, &'static str)],
    missing: Missing,
}

const fn row(
    feature: Feature,
    about: &'static str,
    firmwares: [u8; 6],
    grade: Grade,
    source: &'static str,
) -> Row {
    let [a, b, c, d, e, f] = firmwares;
    Row {
        feature,
        about,
        firmwares: [a == 1, b == 1, c == 1, d == 1, e == 1, f == 1],
        grade,
        source,
        calls: &[],
        missing: Missing::Path,
    }
}

impl Row {
    const fn calls(
        mut self,
        calls: &'static [(&'static str, &'static str)],
        missing: Missing,
    ) -> Self {
        self.calls = calls;
        self.missing = missing;
        self
    }
}

const ANY: &str = "";
const RECORDED: &str = "recording of 3.12";

/// The columns are 3.12, 4.0, 4.4, 4.6.2, 4.7 and 5.0.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(Feature::XsrfToken, "log-in sets an XSRF token, which every change must bring", [0, 0, 0, 1, 0, 1],
        Grade::A, "drivers: from 4.6.2; can be switched off in 4.7"),
    row(Feature::SystemInfo, "`system`", [1, 0, 0, 1, 1, 1], Grade::A, "drivers; said to be missing in 4.4")
        .calls(&[(ANY, "system")], Missing::Path),
    row(Feature::SystemMode, "`system/mode`, `current/system/mode`", [0, 0, 1, 1, 1, 1], Grade::B, "the drivers for Crestron (the first) and Symphony (the second)")
        .calls(&[(ANY, "system/mode"), (ANY, "current/system/mode")], Missing::Path),
    row(Feature::AppsState, "`system/apps/state`, `current/system/apps/state`", [0, 0, 1, 1, 1, 1], Grade::B, "Extron's driver of 2026; that the second stands beside the first is an assumption")
        .calls(&[(ANY, "system/apps/state"), (ANY, "current/system/apps/state")], Missing::Path),
    row(Feature::Apps, "`system/apps`, `current/system/apps`", [1, 0, 1, 1, 1, 1], Grade::B, RECORDED)
        .calls(&[(ANY, "system/apps"), (ANY, "current/system/apps")], Missing::Path),
    row(Feature::Devices, "`devicemanagement/devices`", [0, 0, 1, 1, 1, 1], Grade::A, "drivers; recording of 3.10")
        .calls(&[(ANY, "devicemanagement/devices")], Missing::Path),
    row(Feature::CurrentDevices, "`current/devicemanagement/devices`", [1, 0, 0, 1, 1, 1], Grade::A, RECORDED)
        .calls(&[(ANY, "current/devicemanagement/devices")], Missing::Path),
    row(Feature::DeviceConfig, "`config`", [1, 0, 1, 1, 1, 1], Grade::A, RECORDED)
        .calls(&[(ANY, "config")], Missing::Path),
    row(Feature::CallLog, "`calllog/entries`", [1, 0, 1, 1, 1, 0], Grade::A, "drivers; recording of 3.10")
        .calls(&[(ANY, "calllog/*")], Missing::Path),
    row(Feature::CurrentSession, "`current/session`", [1, 0, 0, 1, 1, 1], Grade::A, "drivers try one, then the other; which firmware has which is an assumption")
        .calls(&[(ANY, "current/session")], Missing::Path),
    row(Feature::SessionList, "`current/session/sessions`", [1, 0, 0, 1, 1, 1], Grade::B, RECORDED)
        .calls(&[(ANY, "current/session/sessions")], Missing::Path),
    row(Feature::PlainSessionList, "`session/sessions`", [0, 0, 1, 1, 1, 1], Grade::A, "drivers try one, then the other; which firmware has which is an assumption")
        .calls(&[(ANY, "session/sessions")], Missing::Path),
    row(Feature::PasswordChange, "`security/password/ADMIN`", [1, 0, 1, 1, 1, 1], Grade::B, "recording of 3.10")
        .calls(&[(ANY, "security/password/<>")], Missing::Path),
    row(Feature::LogOut, "`DELETE session`", [1, 1, 0, 1, 1, 1], Grade::C, "drivers; said to be missing in 4.4")
        .calls(&[("DELETE", "session")], Missing::Method),
    row(Feature::OneAccessError, "403 is the one error of access", [0, 0, 1, 0, 0, 0], Grade::C, "said of the guide for 4.4"),
    row(Feature::AlreadyActive412, "`SessionAlreadyActive` comes with 412", [0, 0, 0, 0, 1, 1], Grade::B, "the driver for Mividas"),
    row(Feature::VolumeWithoutRange, "a volume out of range is limited, not refused", [0, 0, 1, 0, 0, 0], Grade::C, "said of the guide for 4.4"),
    row(Feature::BareWords, "a word without quotes at `cameras/contentstatus`", [1, 0, 0, 1, 1, 1], Grade::B, RECORDED),
    row(Feature::Lists, "lists where the guide's samples have one object, `mute` as 0 or 1, `UP` for `ON`", [1, 0, 0, 1, 1, 1], Grade::B, RECORDED),
    row(Feature::ShortCollaboration, "`id` and `state` at `collaboration`", [1, 0, 0, 1, 1, 1], Grade::B, RECORDED),
    row(Feature::IdleCollaboration, "`INACTIVE` in place of 404 without a collaboration", [1, 0, 0, 0, 0, 0], Grade::B, RECORDED),
    row(Feature::LowerCaseCalendar, "`status` for `Status` at `calendar`", [0, 0, 0, 1, 1, 1], Grade::B, "the driver for Symphony"),
    row(Feature::TrackingState, "`trackingstate` of cameras", [0, 1, 1, 1, 1, 1], Grade::C, "not in the guide and not recorded"),
    row(Feature::ContentsSaveStatus, "`collaboration/contentssavestatus`", [0, 1, 1, 1, 0, 0], Grade::A, "guide 4.0.0")
        .calls(&[(ANY, "collaboration/contentssavestatus")], Missing::Path),
    row(Feature::ContentSaveStatus, "`collaboration/contentsavestatus` with `True` or `False`", [1, 0, 0, 1, 1, 1], Grade::A, "guide 3.1; Extron's driver of 2026")
        .calls(&[(ANY, "collaboration/contentsavestatus")], Missing::Path),
    row(Feature::DtmfAction, "`POST audio`", [1, 1, 1, 1, 0, 0], Grade::A, "guide 4.0.0; that newer firmware lacks it is an assumption")
        .calls(&[("POST", "audio")], Missing::Method),
    row(Feature::PlayDtmf, "`audio/playdtmf`", [0, 0, 0, 1, 1, 1], Grade::B, "Extron's driver of 2026")
        .calls(&[(ANY, "audio/playdtmf")], Missing::Path),
    row(Feature::RebootAction, "reboot by `action`", [1, 1, 1, 1, 0, 0], Grade::A, "guide 4.0.0; that newer firmware lacks it is an assumption"),
    row(Feature::RestartAll, "reboot by `restartAll`", [0, 0, 0, 1, 1, 1], Grade::B, "Extron's driver of 2026"),
    row(Feature::FullConferences, "`terms`, and an entry `PENDING` beside a live call, at `conferences`", [1, 0, 0, 0, 1, 0], Grade::B, "recording of 3.10"),
    row(Feature::PolyCalls, "Poly calls", [1, 1, 1, 1, 1, 0], Grade::C, "said of 5.0")
        .calls(&[
            (ANY, "conferences"), (ANY, "conferences/*"), ("POST", "calendar/meetings/<>"),
            ("POST", "directory/<>/entries/<>"),
        ], Missing::Refused),
    row(Feature::ProviderLock, "changes are refused while another provider than Poly runs", [1, 1, 1, 1, 1, 0], Grade::B, "one driver; 5.0 has no other"),
];

/// What the simulated firmware has and lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    pub firmware: Firmware,
}

impl Profile {
    pub fn new(firmware: Firmware) -> Self {
        Self { firmware }
    }

    pub fn has(self, feature: Feature) -> bool {
        let row = TABLE.iter().find(|row| row.feature == feature);
        row.is_some_and(|row| self.in_row(row))
    }

    fn in_row(self, row: &Row) -> bool {
        let column = Firmware::ALL
            .iter()
            .position(|known| *known == self.firmware);
        column.is_some_and(|column| row.firmwares[column])
    }

    /// The refusal of a call that this firmware lacks.
    pub fn refuses(self, method: &str, path: &[&str]) -> Option<DeviceReply> {
        let lacks = |row: &&Row| {
            let mut calls = row.calls.iter();
            let named = |(known, pattern): &(&str, &str)| {
                (known.is_empty() || *known == method) && fits(pattern, path)
            };
            !self.in_row(row) && calls.any(named)
        };
        let row = TABLE.iter().find(lacks)?;
        Some(match row.missing {
            Missing::Path => super::check::not_found(),
            Missing::Method => DeviceReply::reason(405, "Not Allowed"),
            Missing::Refused if method == "GET" => super::check::not_found(),
            Missing::Refused => DeviceReply::reason(403, "not in this mode"),
        })
    }
}

/// Whether a path is of this pattern.
fn fits(pattern: &str, path: &[&str]) -> bool {
    let mut segments = path.iter();
    for part in pattern.split('/') {
        match (part, segments.next()) {
            ("*", _) => return true,
            (part, Some(segment)) if part == "<>" || part == *segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// The table of docs/simulator.md, in Markdown: what each firmware has, the grade and the source.
pub fn describe() -> String {
    let names: Vec<_> = Firmware::ALL
        .iter()
        .map(|firmware| firmware.name())
        .collect();
    let mut text = format!("| | {} | grade | source |\n", names.join(" | "));
    text.push_str("|---|:-:|:-:|:-:|:-:|:-:|:-:|---|---|\n");
    for row in TABLE {
        let marks: Vec<_> = row
            .firmwares
            .iter()
            .map(|has| if *has { "●" } else { "–" })
            .collect();
        text.push_str(&format!(
            "| {} | {} | {:?} | {} |\n",
            row.about,
            marks.join(" | "),
            row.grade,
            row.source
        ));
    }
    text
}
