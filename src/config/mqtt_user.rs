//! `[[mqtt.user]]`: who may connect to the embedded broker.

use super::forms;
use super::key::{Key, KeyType, KeyValue, Reload, Section, Values, plain};
use super::reader::Reader;
use super::values::room_names;
use super::{RoomId, Secret};

/// A user of the embedded broker.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttUser {
    /// `name`.
    pub name: String,
    /// `password` or `password_file`.
    pub password: Secret,
    /// `rooms`; `None` for all.
    pub rooms: Option<Vec<RoomId>>,
    /// `access = "control"`: may send commands, not only read.
    pub control: bool,
}

impl Section for MqttUser {
    const KEYS: &'static [Key] = &[
        Key::new("name", KeyType::Text, Reload::NextStart, "User name")
            .required()
            .example("panel"),
        Key::new("password", KeyType::Secret, Reload::NextStart, "Password")
            .required()
            .example("secret"),
        Key::new(
            "password_file",
            KeyType::File,
            Reload::NextStart,
            "File that holds the password, instead of `password`",
        )
        .part_of("password")
        .example("/run/secrets/panel"),
        Key::new(
            "rooms",
            KeyType::List,
            Reload::NextStart,
            "Rooms the user sees",
        )
        .form(forms::room_id)
        .without("all rooms")
        .example("[\"boardroom\"]"),
        Key::new(
            "access",
            KeyType::Choice,
            Reload::NextStart,
            "What the user may do",
        )
        .choices(&[
            ("read", "states and events only"),
            ("control", "commands too"),
        ])
        .default("control"),
    ];

    fn values(&self) -> Values {
        let access = if self.control { "control" } else { "read" };
        Values::from([
            ("name", plain(self.name.as_str())),
            ("password", KeyValue::Secret(Some(self.password.clone()))),
            ("rooms", plain(room_names(self.rooms.as_deref()))),
            ("access", plain(access)),
        ])
    }
}

impl MqttUser {
    /// Reads one user; `ids` are the rooms there are.
    pub(super) fn read(mut reader: Reader<'_>, ids: &[RoomId]) -> Option<Self> {
        let name = reader.required_text("name");
        if name.as_ref().is_some_and(|name| name.contains(':')) {
            reader.error("name", "takes no colon");
        }
        let password = reader.required_secret("password");
        let rooms = reader.rooms(ids);
        let control = reader.choice("access") != Some("read");
        reader.finish();
        Some(Self {
            name: name?,
            password: password?,
            rooms,
            control,
        })
    }
}
