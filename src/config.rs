//! The configuration: one TOML file with the environment over it.
//!
//! Owns the keys, their defaults and their checks. All errors are told at once, each with its key
//! and place, and none holds a secret. Starts nothing and opens nothing but the files it names.

mod certificate;
mod error;
mod http;
mod keys;
mod load;
mod section;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

pub use certificate::{Certificate, Fingerprint};
pub use error::{ConfigError, ConfigErrors};
pub use http::{AccessLevel, HttpConfig, HttpToken, TcpConfig, TlsFiles};
pub use keys::schema;
pub use load::{Loaded, load, locate, read};

/// The gateway's whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The broker.
    pub mqtt: MqttConfig,
    /// The door for controllers and people.
    pub http: HttpConfig,
    /// Plain lines over bare TCP.
    pub tcp: TcpConfig,
    /// Home Assistant.
    pub home_assistant: HomeAssistantConfig,
    /// The rooms by id.
    pub rooms: BTreeMap<RoomId, RoomConfig>,
}

/// Where the MQTT broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// There is none, and no MQTT.
    Off,
    /// The gateway's own broker listens here.
    Embedded(SocketAddr),
    /// A broker without TLS.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A broker with TLS.
    Tls {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// `[mqtt]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttConfig {
    /// `url`.
    pub url: BrokerUrl,
    /// `username`.
    pub username: Option<String>,
    /// `password` or `password_file`.
    pub password: Option<Secret>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `ca_file`: trusted instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// `client_cert_file`.
    pub client_cert_file: Option<PathBuf>,
    /// `client_key_file`.
    pub client_key_file: Option<PathBuf>,
    /// `topic_prefix`, without slashes at its ends.
    pub topic_prefix: String,
    /// `session_expiry`.
    pub session_expiry: Duration,
    /// `max_payload` in bytes.
    pub max_payload: usize,
    /// `keep_alive`.
    pub keep_alive: Duration,
    /// `open`: the embedded broker takes anyone from anywhere.
    pub open: bool,
    /// `[[mqtt.user]]`.
    pub users: Vec<MqttUser>,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: BrokerUrl::Embedded(SocketAddr::from(([127, 0, 0, 1], 1883))),
            username: None,
            password: None,
            client_id: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            topic_prefix: String::new(),
            session_expiry: Duration::from_secs(10),
            max_payload: 10 << 20,
            keep_alive: Duration::from_secs(30),
            open: false,
            users: Vec::new(),
        }
    }
}

/// A user of the embedded broker.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttUser {
    /// `name`.
    pub name: String,
    /// `password` or `password_file`.
    pub password: Secret,
    /// `rooms`; all where it is not set.
    pub rooms: Option<Vec<RoomId>>,
    /// `access = "control"`: may send commands, not only read.
    pub control: bool,
}

/// `[home_assistant]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistantConfig {
    /// `discovery`.
    pub discovery: bool,
    /// `prefix`, without slashes at its ends.
    pub prefix: String,
    /// `status_topic`.
    pub status_topic: String,
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        Self {
            discovery: true,
            prefix: "homeassistant".into(),
            status_topic: "homeassistant/status".into(),
        }
    }
}

/// `[poll]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollConfig {
    /// `fast`.
    pub fast: Duration,
    /// `normal`.
    pub normal: Duration,
    /// `slow`.
    pub slow: Duration,
    /// `meters`: the audio meters too.
    pub meters: bool,
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            fast: Duration::from_secs(2),
            normal: Duration::from_secs(15),
            slow: Duration::from_secs(60),
            meters: false,
        }
    }
}

/// `[rooms.<id>]`, with `[defaults]` and `[poll]` worked in.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomConfig {
    /// `name`, for people.
    pub name: Option<String>,
    /// `url`, always https.
    pub url: Url,
    /// `user`.
    pub user: String,
    /// `password` or `password_file`.
    pub password: Secret,
    /// `certificate` or `ca_file`.
    pub certificate: Certificate,
    /// `allow`.
    pub allow: BTreeSet<String>,
    /// `poll`.
    pub poll: PollConfig,
    /// `preset_offset`; learned from the device where it is not set.
    pub preset_offset: Option<i8>,
    /// `keep_alive`.
    pub keep_alive: bool,
    /// `max_command_age`.
    pub max_command_age: Duration,
}

/// A room's id: letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// The id, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (!text.is_empty() && text.bytes().all(fits)).then(|| Self(text.into()))
    }

    /// As a shared text.
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

/// A password. Its Debug shows nothing of it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// For where it is used.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Only told apart to see whether the configuration changed.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Config {
    /// The configuration for `gateway/info`: everything but the secrets.
    pub fn redacted(&self) -> Value {
        let seconds = |duration: Duration| duration.as_secs_f64();
        let url = match &self.mqtt.url {
            BrokerUrl::Off => "off".to_owned(),
            BrokerUrl::Embedded(listen) => format!("embedded://{listen}"),
            BrokerUrl::Tcp { host, port } => format!("mqtt://{host}:{port}"),
            BrokerUrl::Tls { host, port } => format!("mqtts://{host}:{port}"),
        };
        let rooms: serde_json::Map<String, Value> = self
            .rooms
            .iter()
            .map(|(id, room)| {
                let about = json!({
                    "name": room.name,
                    "url": room.url.as_str(),
                    "user": room.user,
                    "certificate": room.certificate.to_string(),
                    "allow": room.allow,
                    "poll": {
                        "fast": seconds(room.poll.fast),
                        "normal": seconds(room.poll.normal),
                        "slow": seconds(room.poll.slow),
                        "meters": room.poll.meters,
                    },
                    "preset_offset": room.preset_offset,
                    "keep_alive": room.keep_alive,
                    "max_command_age": seconds(room.max_command_age),
                });
                (id.to_string(), about)
            })
            .collect();
        json!({
            "mqtt": {
                "url": url,
                "username": self.mqtt.username,
                "topic_prefix": self.mqtt.topic_prefix,
                "session_expiry": seconds(self.mqtt.session_expiry),
                "max_payload": self.mqtt.max_payload,
            },
            "http": self.http.redacted(),
            "tcp": self.tcp.redacted(),
            "home_assistant": {
                "discovery": self.home_assistant.discovery,
                "prefix": self.home_assistant.prefix,
                "status_topic": self.home_assistant.status_topic,
            },
            "rooms": rooms,
        })
    }
}
