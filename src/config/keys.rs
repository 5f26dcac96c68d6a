//! Every key, with what it takes.
//!
//! The one list of keys: unknown ones are found with it, and the JSON Schema is made from it.

use serde_json::{Map, Value, json};

/// What a key takes, for the schema.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text.
    Text,
    /// A text such as `2s`.
    Duration,
    /// A text such as `10MiB`.
    Size,
    /// True or false.
    Bool,
    /// A whole number in these bounds.
    Integer(i64, i64),
    /// A list of texts.
    List,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of tables with these keys.
    Tables(&'static [Key]),
    /// A table of tables with these keys, by id.
    ById(&'static [Key]),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is for.
    pub about: &'static str,
}

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about }
}

use Kind::{Bool, ById, Duration, Integer, List, Size, Table, Tables, Text};

pub const ROOT: &[Key] = &[
    key("mqtt", Table(MQTT), "the broker"),
    key("http", Table(HTTP), "the door for controllers and people"),
    key("tcp", Table(TCP), "plain lines over bare TCP"),
    key(
        "home_assistant",
        Table(HOME_ASSISTANT),
        "devices in Home Assistant",
    ),
    key("poll", Table(POLL), "how often states are read"),
    key(
        "defaults",
        Table(DEFAULTS),
        "for each room that does not say otherwise",
    ),
    key("rooms", ById(ROOM), "the rooms by id"),
];

pub const MQTT: &[Key] = &[
    key(
        "url",
        Text,
        "embedded://ADDR:PORT, mqtt://HOST[:PORT], mqtts://HOST[:PORT] or \"off\"",
    ),
    key("username", Text, "the gateway's user at the broker"),
    key("password", Text, "its password"),
    key("password_file", Text, "a file with its password"),
    key("client_id", Text, "the gateway's MQTT client id"),
    key(
        "ca_file",
        Text,
        "the authority that signed the broker's certificate",
    ),
    key("client_cert_file", Text, "the gateway's certificate"),
    key("client_key_file", Text, "the gateway's key"),
    key("topic_prefix", Text, "stands before every topic"),
    key(
        "session_expiry",
        Duration,
        "how long the broker keeps commands for an absent gateway",
    ),
    key(
        "max_payload",
        Size,
        "the largest payload taken or published",
    ),
    key(
        "keep_alive",
        Duration,
        "how often an idle connection is tested",
    ),
    key(
        "open",
        Bool,
        "the embedded broker takes anyone from anywhere",
    ),
    key("user", Tables(MQTT_USER), "the embedded broker's users"),
];

pub const MQTT_USER: &[Key] = &[
    key("name", Text, "the user's name"),
    key("password", Text, "the user's password"),
    key("password_file", Text, "a file with the password"),
    key("rooms", List, "the rooms the user sees; all by default"),
    key("access", Text, "\"read\" or \"control\""),
];

pub const HTTP: &[Key] = &[
    key("listen", Text, "ADDRESS:PORT, or \"off\""),
    key("open", Bool, "take anyone from anywhere"),
    key(
        "hosts",
        List,
        "the names under which the gateway is reached",
    ),
    key("tls_cert_file", Text, "the certificate, for TLS"),
    key("tls_key_file", Text, "its key"),
    key("token", Tables(HTTP_TOKEN), "the tokens that are taken"),
];

pub const HTTP_TOKEN: &[Key] = &[
    key("name", Text, "whose token it is"),
    key("token", Text, "the token"),
    key("token_file", Text, "a file with the token"),
    key("rooms", List, "the rooms seen; all by default"),
    key("access", Text, "\"read\", \"control\" or \"admin\""),
];

pub const TCP: &[Key] = &[
    key("listen", Text, "ADDRESS:PORT, or \"off\""),
    key("tls", Bool, "with the certificate of [http]"),
];

pub const HOME_ASSISTANT: &[Key] = &[
    key("discovery", Bool, "make a device of each room"),
    key("prefix", Text, "Home Assistant's discovery prefix"),
    key(
        "status_topic",
        Text,
        "where Home Assistant says that it is online",
    ),
];

pub const POLL: &[Key] = &[
    key("fast", Duration, "audio, calls, video mute"),
    key("normal", Duration, "cameras, calendar, status"),
    key("slow", Duration, "presets, servers, favourites"),
    key("meters", Bool, "the audio meters too"),
];

pub const DEFAULTS: &[Key] = &[
    USER,
    PASSWORD,
    PASSWORD_FILE,
    CERTIFICATE,
    CA_FILE,
    ALLOW,
    ROOM_POLL,
    PRESET_OFFSET,
    KEEP_ALIVE,
    MAX_COMMAND_AGE,
];

pub const ROOM: &[Key] = &[
    key("name", Text, "the room's name, for people"),
    key("url", Text, "https://HOST[:PORT]"),
    USER,
    PASSWORD,
    PASSWORD_FILE,
    CERTIFICATE,
    CA_FILE,
    ALLOW,
    ROOM_POLL,
    PRESET_OFFSET,
    KEEP_ALIVE,
    MAX_COMMAND_AGE,
];

const USER: Key = key("user", Text, "who logs in at the device");
const PASSWORD: Key = key("password", Text, "with which password");
const PASSWORD_FILE: Key = key("password_file", Text, "a file with the password");
const CERTIFICATE: Key = key(
    "certificate",
    Text,
    "sha256:… of the device's certificate, \"system\" or \"insecure\"",
);
const CA_FILE: Key = key(
    "ca_file",
    Text,
    "the authority that signed the device's certificate",
);
const ALLOW: Key = key("allow", List, "guarded commands that may be sent over MQTT");
const ROOM_POLL: Key = key("poll", Table(POLL), "intervals of its own");
const PRESET_OFFSET: Key = key(
    "preset_offset",
    Integer(-1, 0),
    "-1 where the device counts presets from zero; learned by default",
);
const KEEP_ALIVE: Key = key("keep_alive", Bool, "keep HTTPS connections open");
const MAX_COMMAND_AGE: Key = key(
    "max_command_age",
    Duration,
    "a command older than this is not carried out",
);

/// The configuration's JSON Schema.
pub fn schema() -> Value {
    let mut schema = table(ROOT);
    if let Value::Object(schema) = &mut schema {
        schema.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        schema.insert("title".into(), "poly2mqtt.toml".into());
    }
    schema
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut property = property(key.kind);
            property["description"] = key.about.into();
            (key.name.to_owned(), property)
        })
        .collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn property(kind: Kind) -> Value {
    match kind {
        Text => json!({"type": "string"}),
        Duration => json!({"type": "string", "pattern": r"^(0|[0-9.]+ ?(ms|s|m|min|h))$"}),
        Size => json!({"type": ["string", "integer"]}),
        Bool => json!({"type": "boolean"}),
        Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        List => json!({"type": "array", "items": {"type": "string"}}),
        Table(keys) => table(keys),
        Tables(keys) => json!({"type": "array", "items": table(keys)}),
        ById(keys) => json!({
            "type": "object",
            "patternProperties": {"^[A-Za-z0-9_-]+$": table(keys)},
            "additionalProperties": false,
        }),
    }
}
