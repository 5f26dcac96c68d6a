//! `system/status`: the parts of the system and how each is.

use serde_json::{Value, json};

use super::Firmware;
use super::condition::{Condition, Conditions};
use super::profile::Profile;

/// Where a part is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// In the guide, in the recording, and so everywhere.
    Both,
    /// In the guide, not in the recording.
    Guide,
    /// In the recording, not in the guide.
    Recording,
}

struct Part {
    name: &'static str,
    langtag: &'static str,
    listed: Listed,
    state: &'static str,
    /// What changes it, and to what.
    amiss: Option<(Condition, &'static str)>,
}

const fn part(
    name: &'static str,
    langtag: &'static str,
    listed: Listed,
    state: &'static str,
    amiss: Option<(Condition, &'static str)>,
) -> Part {
    Part {
        name,
        langtag,
        listed,
        state,
        amiss,
    }
}

#[rustfmt::skip]
const PARTS: &[Part] = &[
    part("ipnetwork", "LAN_NETWORK_HEADING", Listed::Both, "up", None),
    part("trackablecamera", "CAMERA_MODEL_BUILT_IN_1.0", Listed::Recording, "up", Some((Condition::NoCameras, "down"))),
    part("autoanswerp2p", "AUTO_ANSWER_P2P_HEADING", Listed::Both, "off", None),
    part("sipserver", "SIP_SERVER_HEADING", Listed::Both, "up", Some((Condition::RegistrationsDown, "down"))),
    part("gatekeeper", "GATEKEEPER_HEADING", Listed::Both, "up", Some((Condition::RegistrationsDown, "down"))),
    part("mr.camera", "CAMERAS_HEADING", Listed::Both, "all_up", Some((Condition::NoCameras, "none_up"))),
    part("provisioning", "PROVISIONING_SERVICE_HEADING", Listed::Both, "off", None),
    part("mr.audio", "MICROPHONES_HEADING", Listed::Both, "all_up", Some((Condition::NoMicrophones, "all_down"))),
    part("microphones", "MICROPHONES80", Listed::Guide, "up", Some((Condition::NoMicrophones, "down"))),
    part("remotecontrol", "REMOTE_CONTROL_HEADING", Listed::Both, "off", None),
    part("logthreshold", "LOG_THRESHOLD_HEADING", Listed::Recording, "off", Some((Condition::LogFull, "full"))),
    part("globaldirectory", "SYSTEM_STATUS_GLOBALDIRECTORY_SERVER", Listed::Both, "off", None),
    part("calendar", "CALENDAR_SERVICE_HEADING", Listed::Both, "up", Some((Condition::CalendarOffline, "down"))),
];

/// The answer to `GET system/status`.
pub fn list(profile: Profile, now: &Conditions) -> Value {
    let lists = |part: &&Part| match profile.firmware {
        Firmware::V3_12 => part.listed != Listed::Guide,
        Firmware::V4_0 => part.listed != Listed::Recording,
        _ => true,
    };
    let state = |part: &Part| {
        let amiss = part.amiss.filter(|(condition, _)| now.has(*condition));
        let state = amiss.map_or(part.state, |(_, state)| state);
        json!({
            "langtag": part.langtag, "name": format!("system.status.{}", part.name),
            "stateList": [state],
        })
    };
    PARTS.iter().filter(lists).map(state).collect()
}
