//! `[[http.token]]`: who may use WebSocket, HTTP and plain lines, and how far.

use super::forms;
use super::key::{Key, KeyType, KeyValue, Reload, Section, Values, plain};
use super::reader::Reader;
use super::values::room_names;
use super::{RoomId, Secret};
use crate::secret::UNGUESSABLE_TOKEN_LENGTH;

/// A token that controllers and people show.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpToken {
    /// `name`.
    pub name: String,
    /// `token` or `token_file`.
    pub token: Secret,
    /// `rooms`; `None` for all.
    pub rooms: Option<Vec<RoomId>>,
    /// `access`.
    pub level: AccessLevel,
}

/// How far a token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessLevel {
    /// Sees states and events.
    Read,
    /// Sends commands too.
    Control,
    /// Sends guarded commands too.
    Admin,
}

impl AccessLevel {
    /// As the configuration says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }
}

impl Section for HttpToken {
    const KEYS: &'static [Key] = &[
        Key::new(
            "name",
            KeyType::Text,
            Reload::Now,
            "Name of the token, for the log",
        )
        .required()
        .example("panel")
        .in_info(),
        Key::new(
            "token",
            KeyType::Secret,
            Reload::Now,
            "The token: a long random text. It should have at least 16 characters: a shorter one is warned of",
        )
        .form(forms::token)
        .required()
        .example("a long random text"),
        Key::new(
            "token_file",
            KeyType::File,
            Reload::Now,
            "File that holds the token, instead of `token`",
        )
        .part_of("token")
        .example("/run/secrets/panel-token"),
        Key::new(
            "rooms",
            KeyType::List,
            Reload::Now,
            "Rooms the token is valid for",
        )
        .form(forms::room_id)
        .without("all rooms")
        .example("[\"boardroom\"]")
        .in_info(),
        Key::new(
            "access",
            KeyType::Choice,
            Reload::Now,
            "What the token permits",
        )
        .choices(&[
            ("read", "states and events only"),
            ("control", "commands too"),
            ("admin", "guarded commands too"),
        ])
        .default("control")
        .in_info(),
    ];

    fn values(&self) -> Values {
        Values::from([
            ("name", plain(self.name.as_str())),
            ("token", KeyValue::Secret(Some(self.token.clone()))),
            ("rooms", plain(room_names(self.rooms.as_deref()))),
            ("access", plain(self.level.as_str())),
        ])
    }
}

impl HttpToken {
    /// Reads one token; `ids` are the rooms there are.
    pub(super) fn read(mut reader: Reader<'_>, ids: &[RoomId]) -> Option<Self> {
        let name = reader.required_text("name");
        let token = reader.required_secret("token");
        if let (Some(name), Some(token)) = (&name, &token) {
            match token.expose().trim() {
                text if text != token.expose() => reader.error(
                    reader.set_of(&["token", "token_file"]),
                    "takes a text without blanks or line ends at its ends",
                ),
                text if text.len() < UNGUESSABLE_TOKEN_LENGTH => reader.warn(format!(
                    "the token \"{name}\" is shorter than {UNGUESSABLE_TOKEN_LENGTH} characters and may be \
                     guessed"
                )),
                _ => {}
            }
        }
        let rooms = reader.rooms(ids);
        let level = match reader.choice("access") {
            Some("read") => AccessLevel::Read,
            Some("admin") => AccessLevel::Admin,
            _ => AccessLevel::Control,
        };
        reader.finish();
        Some(Self {
            name: name?,
            token: token?,
            rooms,
            level,
        })
    }
}
