//! Secrets that can be told from anything else, and the finding of them in a text.

pub const PASSWORD: &str = "canary-device-password";
pub const OTHER: &str = "canary-other-password";
pub const CALL: &str = "canary-call-password";
pub const PIN: &str = "canary-pin";
/// How every session id and token of the simulator begins.
const SESSION: &str = "PO+";
const TOKEN: &str = "xsrf-";

/// Where a secret stands in a text, with the line around it.
pub fn find(text: &str) -> Option<String> {
    let secrets = [PASSWORD, OTHER, CALL, PIN, SESSION, TOKEN];
    let at = secrets.iter().find_map(|secret| text.find(secret))?;
    let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
    Some(text[from..].chars().take(400).collect())
}
