//! The id of a room, which is part of its topics.

use std::fmt;
use std::sync::Arc;

/// A room's id: letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// What an id takes, for messages.
    pub const FORM: &str = "a room's id takes letters, digits, _ and -";

    /// The id, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (!text.is_empty() && text.bytes().all(fits)).then(|| Self(text.into()))
    }

    /// The id as a text that many can share.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl std::borrow::Borrow<str> for RoomId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
