//! What each check says of what was read.
//!
//! Pure. `None` means that the device lacks it or does not use it: that is no failure, and the report
//! leaves the check out.

use serde_json::Value;

use super::Check;
use crate::catalogue::{PairedDevice, paired_devices, truth};

/// What was read of a state.
#[derive(Debug, Clone, PartialEq)]
pub enum StateReading {
    /// Its value.
    Value(Value),
    /// The device does not have it, or there is none at the moment.
    Missing,
    /// It could not be read, with the reason.
    Failed(String),
}

/// Words for a connection that is up.
const UP: &[&str] = &["UP", "ON", "ONLINE", "REGISTERED", "OK"];
/// Words of a calendar that nobody uses. The guide has DISABLED.
const CALENDAR_UNUSED: &[&str] = &["DISABLED", "OFF", "NONE", "NOT_CONFIGURED", "UNKNOWN"];

fn is_word(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn unread(name: &'static str, why: &str) -> Check {
    Check::failed(name, format!("could not be read: {why}"))
}

/// Applies a check to the value, if there is one.
fn of_value(
    name: &'static str,
    seen: &StateReading,
    check: impl FnOnce(&Value) -> Option<Check>,
) -> Option<Check> {
    match seen {
        StateReading::Value(value) => check(value),
        StateReading::Missing => None,
        StateReading::Failed(why) => Some(unread(name, why)),
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default().trim()
}

/// The log-in. `problem`: the message of the room's problem while it is not online.
pub fn login(user: Option<&str>, problem: Option<&str>) -> Check {
    match (problem, user) {
        (Some(problem), _) => Check::failed("login", problem),
        (None, Some(user)) => Check::passed("login", format!("logged in as {user}")),
        (None, None) => Check::passed("login", "logged in"),
    }
}

/// The number of microphones.
pub fn microphones(count: &StateReading) -> Option<Check> {
    of_value("microphones", count, |count| {
        Some(match count.as_i64()? {
            1 => Check::passed("microphones", "1 microphone is connected"),
            count @ 2.. => {
                Check::passed("microphones", format!("{count} microphones are connected"))
            }
            _ => Check::failed(
                "microphones",
                "no microphone is connected; check the microphones and their cables",
            ),
        })
    })
}

/// The cameras, of the list of all near sources.
pub fn cameras(list: &StateReading) -> Option<Check> {
    of_value("cameras", list, |list| {
        let is_camera = |source: &&Value| !word(source, "sourceType").contains("CONTENT");
        let sources: Vec<_> = list.as_array()?.iter().filter(is_camera).collect();
        let connected = sources
            .iter()
            .filter(|source| truth(&source["connected"]).unwrap_or(true));
        let names: Vec<_> = connected
            .map(|source| match word(source, "name") {
                "" => "a camera",
                name => name,
            })
            .collect();
        Some(match names.as_slice() {
            [] => Check::failed(
                "cameras",
                "no camera is connected; check the camera's cable and power",
            ),
            [name] => Check::passed("cameras", format!("{name} is connected")),
            names => Check::passed("cameras", format!("{} are connected", names.join(", "))),
        })
    })
}

/// The servers of SIP and H.323. One without an address is not configured.
pub fn registrations(sip: &StateReading, gatekeepers: &StateReading) -> Option<Check> {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for (kind, seen) in [("SIP server", sip), ("gatekeeper", gatekeepers)] {
        let list = match seen {
            StateReading::Value(list) => list.as_array(),
            StateReading::Missing => None,
            StateReading::Failed(why) => return Some(unread("registrations", why)),
        };
        for server in list.into_iter().flatten() {
            let (address, state) = (word(server, "address"), word(server, "state"));
            if address.is_empty() || address == "0.0.0.0" {
                continue;
            }
            let text = match state {
                "" => format!("{kind} {address} has no state"),
                state => format!("{kind} {address} is {state}"),
            };
            let list = if is_word(state, UP) {
                &mut up
            } else {
                &mut down
            };
            list.push(text);
        }
    }
    if down.is_empty() {
        return (!up.is_empty()).then(|| Check::passed("registrations", up.join(", ")));
    }
    let message = format!(
        "{}; check the server, the network, and the account in the device's settings",
        down.join(", ")
    );
    Some(Check::failed("registrations", message))
}

/// The connection to the calendar's server.
pub fn calendar(status: &StateReading) -> Option<Check> {
    of_value("calendar", status, |status| {
        let status = status.as_str()?.trim();
        if status.is_empty() || is_word(status, CALENDAR_UNUSED) {
            return None;
        }
        Some(if is_word(status, UP) {
            Check::passed("calendar", format!("the calendar is {status}"))
        } else {
            Check::failed(
                "calendar",
                format!(
                    "the calendar is {status}; check its server, and the account in the device's \
                     settings"
                ),
            )
        })
    })
}

/// The touch panels. `known`: those that were paired at some time since the gateway started.
pub fn panels(devices: &StateReading, known: &[PairedDevice]) -> Option<Check> {
    of_value("panels", devices, |devices| {
        let paired = paired_devices(devices);
        let panels = paired.iter().filter(|device| device.is_panel());
        let (up, lost): (Vec<_>, Vec<_>) = panels.partition(|panel| panel.is_connected());
        let lost = lost.into_iter().map(|panel| {
            let (name, state) = (name_of(panel), &panel.state);
            format!("{name} is {state}; check its power and its network cable")
        });
        let is_gone = |panel: &&PairedDevice| {
            panel.is_panel() && !paired.iter().any(|device| device.id == panel.id)
        };
        let gone = known.iter().filter(is_gone).map(|panel| {
            let name = name_of(panel);
            format!(
                "{name} is not paired any more; pair it again, or restart the gateway if it was \
                 taken away for good"
            )
        });
        let wrong: Vec<_> = lost.chain(gone).collect();
        let names: Vec<_> = up.into_iter().map(name_of).collect();
        match (wrong.as_slice(), names.as_slice()) {
            ([], []) => None,
            ([], [name]) => Some(Check::passed("panels", format!("{name} is connected"))),
            ([], names) => {
                let message = format!("{} are connected", names.join(", "));
                Some(Check::passed("panels", message))
            }
            (wrong, _) => Some(Check::failed("panels", wrong.join("; "))),
        }
    })
}

fn name_of(panel: &PairedDevice) -> &str {
    match panel.name.as_str() {
        "" => &panel.id,
        name => name,
    }
}

/// Whether a camera moves, as far as it tells.
pub fn moves(camera: &Value) -> bool {
    let told: Vec<_> = ["ptzcapable", "hasPan", "hasTilt", "hasZoom"]
        .iter()
        .filter_map(|name| truth(&camera[name]))
        .collect();
    told.is_empty() || told.contains(&true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Judge = fn(&StateReading) -> Option<Check>;

    fn sip(seen: &StateReading) -> Option<Check> {
        registrations(seen, &StateReading::Missing)
    }

    fn gatekeepers(seen: &StateReading) -> Option<Check> {
        registrations(&json_list(), seen)
    }

    fn json_list() -> StateReading {
        StateReading::Value(json!([{"state": "UP", "address": "192.0.2.1"}]))
    }

    fn panel(state: &str) -> Value {
        json!({"deviceType": "TOUCHCONTROL", "deviceState": state, "serialNumber": "8L1", "systemName": "TC8"})
    }

    fn known() -> Vec<PairedDevice> {
        paired_devices(&json!([panel("CONNECTED")]))
    }

    fn panels_now(seen: &StateReading) -> Option<Check> {
        panels(seen, &known())
    }

    #[test]
    fn each_check_says_what_is_wrong_and_what_to_do() {
        let camera = |name: &str, kind: &str, connected: bool| json!({"name": name, "sourceType": kind, "connected": connected});
        let people = |connected: bool| camera("Main", "SRC_PEOPLE", connected);
        let content = camera("HDMI", "SRC_CONTENT", true);
        let server = |state: &str| json!([{"state": state, "address": "192.0.2.1"}]);
        let table: &[(Judge, Value, bool, &str)] = &[
            (microphones, json!(2), true, "2 microphones are connected"),
            (
                microphones,
                json!(0),
                false,
                "no microphone is connected; check",
            ),
            (
                cameras,
                json!([people(true), content]),
                true,
                "Main is connected",
            ),
            (
                cameras,
                json!([people(false), content]),
                false,
                "no camera is connected; check",
            ),
            (cameras, json!([]), false, "no camera"),
            (sip, server("UP"), true, "SIP server 192.0.2.1 is UP"),
            (sip, server("ON"), true, "is ON"),
            (
                sip,
                server("off"),
                false,
                "SIP server 192.0.2.1 is off; check",
            ),
            (sip, server("REGISTERING"), false, "is REGISTERING; check"),
            (sip, server(""), false, "has no state"),
            (
                gatekeepers,
                server("DOWN"),
                false,
                "gatekeeper 192.0.2.1 is DOWN; check",
            ),
            (
                gatekeepers,
                server("UP"),
                true,
                "SIP server 192.0.2.1 is UP, gatekeeper 192.0.2.1 is UP",
            ),
            (calendar, json!("ONLINE"), true, "the calendar is ONLINE"),
            (
                calendar,
                json!("OFFLINE"),
                false,
                "the calendar is OFFLINE; check",
            ),
            (
                calendar,
                json!("ERR_AUTHENTICATION"),
                false,
                "ERR_AUTHENTICATION; check",
            ),
            (
                panels_now,
                json!([panel("CONNECTED")]),
                true,
                "TC8 is connected",
            ),
            (
                panels_now,
                json!([panel("DISCONNECTED")]),
                false,
                "TC8 is DISCONNECTED; check",
            ),
            (
                panels_now,
                json!([]),
                false,
                "TC8 is not paired any more; pair it again",
            ),
        ];
        for (check, value, ok, words) in table {
            let check = check(&StateReading::Value(value.clone())).unwrap();
            assert_eq!(check.ok, *ok, "{value} {check:?}");
            assert!(check.message.contains(words), "{value} {check:?}");
        }
    }

    #[test]
    fn what_a_device_lacks_or_does_not_use_is_no_check() {
        let all: [Judge; 5] = [microphones, cameras, sip, calendar, panels_now];
        for check in all {
            assert_eq!(check(&StateReading::Missing), None);
            let failed = check(&StateReading::Failed("timeout".into())).unwrap();
            assert!(
                !failed.ok && failed.message.contains("timeout"),
                "{failed:?}"
            );
        }
        let unused = StateReading::Value(json!([{"state": "OFF", "address": ""}]));
        assert_eq!(registrations(&unused, &unused), None);
        assert_eq!(calendar(&StateReading::Value(json!("DISABLED"))), None);
        assert_eq!(panels(&StateReading::Value(json!([])), &[]), None);
    }

    #[test]
    fn a_camera_moves_unless_it_says_otherwise() {
        assert!(moves(&json!({})));
        assert!(moves(&json!({"hasPan": false, "hasZoom": true})));
        assert!(!moves(&json!({"ptzcapable": false, "hasPan": false})));
    }

    #[test]
    fn a_room_that_cannot_be_used_has_one_check() {
        assert!(login(Some("admin"), None).ok);
        let refused = login(Some("admin"), Some("user or password is wrong"));
        assert_eq!(
            (refused.ok, &*refused.message),
            (false, "user or password is wrong")
        );
    }
}
