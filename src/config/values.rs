//! Values that several sections have: listening addresses, topic levels, lists of rooms.

use std::net::SocketAddr;
use std::path::Path;

use super::RoomId;
use super::reader::Reader;

/// The value of a key that may also say `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrOff<T> {
    Off,
    On(T),
}

impl<T> OrOff<T> {
    /// The value, unless it is off.
    pub fn on(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

/// Reads a key that may say `off`; `None` if it is not there or is wrong. `takes` is the error.
pub fn read_or_off<T>(
    reader: &mut Reader<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
    takes: &str,
) -> Option<OrOff<T>> {
    let text = reader.text(key)?;
    if text == "off" {
        return Some(OrOff::Off);
    }
    let value = parse(&text);
    if value.is_none() {
        reader.error(key, takes);
    }
    value.map(OrOff::On)
}

/// Reads `listen`.
pub fn read_listen(reader: &mut Reader<'_>) -> Option<OrOff<SocketAddr>> {
    let parse = |text: &str| text.replace("localhost:", "127.0.0.1:").parse().ok();
    let takes = "takes ADDRESS:PORT such as \"127.0.0.1:8080\", or \"off\"";
    read_or_off(reader, "listen", parse, takes)
}

/// `listen` as it is shown.
pub fn listen_text(listen: Option<SocketAddr>) -> String {
    listen.map_or("off".into(), |listen| listen.to_string())
}

/// Whether other machines can reach the address.
pub fn beyond_this_machine(listen: Option<SocketAddr>) -> bool {
    listen.is_some_and(|listen| !listen.ip().is_loopback())
}

/// Checks a topic or a topic prefix: levels without wildcards.
pub fn check_levels(reader: &Reader<'_>, key: &str, levels: &str) {
    if !are_levels(levels) {
        reader.error(key, LEVELS_FORM);
    }
}

/// What levels of a topic look like.
pub const LEVELS_FORM: &str = "takes topic levels without wildcards, without a / at either end and without a $ at \
                               the start";

/// Whether a text is levels of a topic, or nothing.
pub fn are_levels(levels: &str) -> bool {
    let is_wrong = levels.contains(['+', '#', '\0'])
        || levels.starts_with(['/', '$'])
        || levels.ends_with('/');
    !is_wrong
}

/// A path as it is shown.
pub fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// `rooms` as it is shown; `None` for all rooms.
pub fn room_names(rooms: Option<&[RoomId]>) -> Option<Vec<String>> {
    rooms.map(|rooms| rooms.iter().map(RoomId::to_string).collect())
}
