//! Secrets that are easy to recognize, and a search for them in a text.

pub const PASSWORD: &str = "canary-device-password";
pub const OTHER: &str = "canary-other-password";
pub const CALL: &str = "canary-call-password";
pub const PIN: &str = "canary-pin";
/// Set as the device's own configuration.
pub const SETTING: &str = "canary-setting";
/// The secret and the hidden value of the simulator's own configuration.
const DEVICE_SETTINGS: [&str; 2] = ["sip-secret-4711", "hidden-support-key"];
/// The beginning of every session id of the simulator.
const SESSION: &str = "PO+";
/// The beginning of every XSRF token of the simulator.
const TOKEN: &str = "xsrf-";

/// A line of a text that contains a secret, from its start and cut to 400 characters.
pub fn find(text: &str) -> Option<String> {
    let ours = [PASSWORD, OTHER, CALL, PIN, SETTING, SESSION, TOKEN];
    let at = ours
        .iter()
        .chain(&DEVICE_SETTINGS)
        .find_map(|secret| text.find(secret))?;
    let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
    Some(text[from..].chars().take(400).collect())
}
