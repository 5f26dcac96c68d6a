//! `[mqtt]`: the broker, and how the gateway connects to it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::forms;
use super::key::{DurationBounds, Key, KeyType, KeyValue, Reload, Section, Values, plain};
use super::reader::Reader;
use super::values::{check_levels, path_text};
use super::{BrokerUrl, Certificate, Fingerprint, MqttUser, RoomId, Secret};
use crate::gateway_id::{GatewayId, prefix_in_id};

/// The largest `max_payload` that can be configured, as a limit for the memory.
pub const LARGEST_MAX_PAYLOAD: usize = 256 << 20;
/// The bounds of `max_payload`, from the size of the largest state.
const MAX_PAYLOAD: KeyType = KeyType::Size(64 << 10, LARGEST_MAX_PAYLOAD);
/// How long a protocol's name may be (RFC 7301, 3.1).
const ALPN_NAME_BYTES: RangeInclusive<usize> = 1..=255;
/// The keys that only a broker with TLS needs.
const TLS_KEYS: [&str; 5] = [
    "certificate",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "alpn",
];

/// The keys that only a broker of another program needs.
const LOGIN_KEYS: [&str; 3] = ["username", "password", "password_file"];
/// The keys that only the embedded broker has.
const EMBEDDED_KEYS: [&str; 2] = ["open", "user"];

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
    /// `certificate`: the broker's only trusted certificate; `None` if authorities decide.
    pub certificate: Option<Fingerprint>,
    /// `ca_file`: trusted instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// `client_cert_file`.
    pub client_cert_file: Option<PathBuf>,
    /// `client_key_file`.
    pub client_key_file: Option<PathBuf>,
    /// `alpn`: the protocols that TLS asks for, each of 1 to 255 bytes.
    pub alpn: Vec<String>,
    /// `topic_prefix`, without slashes at its ends.
    pub topic_prefix: String,
    /// `session_expiry`.
    pub session_expiry: Duration,
    /// `max_payload` in bytes.
    pub max_payload: usize,
    /// `keep_alive`.
    pub keep_alive: Duration,
    /// `open`: the embedded broker lets anyone connect, from anywhere.
    pub open: bool,
    /// `[[mqtt.user]]`.
    pub users: Vec<MqttUser>,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: BrokerUrl::Embedded(([127, 0, 0, 1], 1883).into()),
            username: None,
            password: None,
            client_id: None,
            certificate: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            alpn: Vec::new(),
            topic_prefix: String::new(),
            session_expiry: Duration::from_secs(10),
            max_payload: 10 << 20,
            keep_alive: Duration::from_secs(30),
            open: false,
            users: Vec::new(),
        }
    }
}

impl Section for MqttConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "url",
            KeyType::Text,
            Reload::NextStart,
            "Where the broker is",
        )
        .choices(&[
            (
                "embedded://127.0.0.1:1883",
                "the gateway's own broker, for programs on this machine",
            ),
            (
                "embedded://0.0.0.0:1883",
                "the gateway's own broker, for the network; needs `[[mqtt.user]]` or `open`",
            ),
            ("mqtt://HOST[:1883]", "your MQTT 5 broker, without TLS"),
            ("mqtts://HOST[:8883]", "your MQTT 5 broker, with TLS"),
            ("off", "no MQTT"),
        ])
        .form(forms::broker_url)
        .default("embedded://127.0.0.1:1883")
        .in_use()
        .in_info(),
        Key::new(
            "username",
            KeyType::Text,
            Reload::NextStart,
            "User name of the gateway at your broker",
        )
        .example("poly2mqtt")
        .in_info(),
        Key::new(
            "password",
            KeyType::Secret,
            Reload::NextStart,
            "Password of the gateway at your broker",
        )
        .example("secret"),
        Key::new(
            "password_file",
            KeyType::File,
            Reload::NextStart,
            "File that holds the password, instead of `password`",
        )
        .part_of("password")
        .example("/run/secrets/mqtt"),
        Key::new(
            "client_id",
            KeyType::Text,
            Reload::NextStart,
            "MQTT client id of the gateway; two gateways at one broker need two",
        )
        .without(
            "`poly2mqtt`, and with a prefix `poly2mqtt-<prefix>`, in which `/` becomes `-` and digits follow \
             that tell it from others",
        )
        .example("poly2mqtt"),
        Key::new(
            "certificate",
            KeyType::Text,
            Reload::NextStart,
            "For `mqtts://`: which certificate the broker must show",
        )
        .choices(&[
            (
                "sha256:…",
                "exactly the one with this fingerprint, whoever signed it and whatever name it has",
            ),
            (
                "system",
                "one signed by an authority that this machine trusts",
            ),
        ])
        .form(forms::broker_certificate)
        .without("`system`, or what `ca_file` says")
        .example("sha256:0000000000000000000000000000000000000000000000000000000000000000"),
        Key::new(
            "ca_file",
            KeyType::File,
            Reload::NextStart,
            "For `mqtts://`: the authority that signed the broker's certificate (PEM)",
        )
        .instead_of("certificate")
        .without("the system's authorities")
        .example("/etc/poly2mqtt/ca.pem"),
        Key::new(
            "client_cert_file",
            KeyType::File,
            Reload::NextStart,
            "For `mqtts://`: the gateway's own certificate (PEM), if the broker asks for one",
        )
        .together_with("client_key_file")
        .example("/etc/poly2mqtt/client.pem"),
        Key::new(
            "client_key_file",
            KeyType::File,
            Reload::NextStart,
            "The key of `client_cert_file` (PEM)",
        )
        .together_with("client_cert_file")
        .example("/etc/poly2mqtt/client.key"),
        Key::new(
            "alpn",
            KeyType::List,
            Reload::NextStart,
            "For `mqtts://`: the protocol to ask for in TLS (ALPN), where the broker shares its port with a web \
             server, as on port 443",
        )
        .form(forms::alpn_name)
        .without("TLS asks for none")
        .example("[\"x-amzn-mqtt-ca\"]"),
        Key::new(
            "topic_prefix",
            KeyType::Text,
            Reload::NextStart,
            "Put before every topic: with `av`, topics are `av/room/1/…` and `av/gateway/…`",
        )
        .form(forms::topic_prefix)
        .default("")
        .in_info(),
        Key::new(
            "session_expiry",
            KeyType::Duration(DurationBounds::at_least_or_zero(Duration::from_secs(1))),
            Reload::NextStart,
            "How long the broker keeps commands while the gateway restarts; at least 1 s, or `0` \
             for not at all",
        )
        .default("10s")
        .in_info(),
        Key::new(
            "max_payload",
            MAX_PAYLOAD,
            Reload::NextStart,
            "Largest payload that is accepted or published, 64 KiB to 256 MiB",
        )
        .default("10MiB")
        .in_info(),
        Key::new(
            "keep_alive",
            KeyType::Duration(DurationBounds::at_least(Duration::from_secs(5))),
            Reload::NextStart,
            "How often an idle connection to the broker is tested; at least 5 s",
        )
        .default("30s"),
        Key::new(
            "open",
            KeyType::Bool,
            Reload::NextStart,
            "Embedded broker only: let anyone connect, from anywhere",
        )
        .default("false"),
        Key::new(
            "user",
            KeyType::Tables(MqttUser::KEYS),
            Reload::NextStart,
            "Embedded broker only: its users, one table each",
        )
        .in_info_if_set("users"),
    ];

    fn values(&self) -> Values {
        let path = |path: &Option<PathBuf>| plain(path.as_deref().map(path_text));
        Values::from([
            ("url", plain(self.url.to_string())),
            ("username", plain(self.username.clone())),
            ("password", KeyValue::Secret(self.password.clone())),
            ("client_id", plain(self.client_id.clone())),
            (
                "certificate",
                plain(self.certificate.map(|pinned| pinned.to_string())),
            ),
            ("ca_file", path(&self.ca_file)),
            ("client_cert_file", path(&self.client_cert_file)),
            ("client_key_file", path(&self.client_key_file)),
            ("alpn", plain(self.alpn.clone())),
            ("topic_prefix", plain(self.topic_prefix.as_str())),
            ("session_expiry", plain(self.session_expiry.as_secs_f64())),
            ("max_payload", plain(self.max_payload)),
            ("keep_alive", plain(self.keep_alive.as_secs_f64())),
            ("open", plain(self.open)),
            (
                "user",
                KeyValue::Tables(self.users.iter().map(Section::values).collect()),
            ),
        ])
    }
}

impl MqttConfig {
    /// Reads the section; `ids` are the rooms there are. `None` where `url` is wrong.
    pub(super) fn read(mut reader: Reader<'_>, ids: &[RoomId]) -> Option<Self> {
        let base = Self::default();
        let url = match reader.text("url") {
            Some(text) => BrokerUrl::parse(&text)
                .map_err(|message| reader.error("url", message))
                .ok(),
            None => (!reader.is_any_wrong(&["mqtt.url"])).then_some(base.url),
        };
        // A variable may name another kind of broker than the file has keys for.
        if !matches!(url, Some(BrokerUrl::Tls { .. }) | None) {
            reader.overrule("url", &TLS_KEYS);
        }
        match url {
            Some(BrokerUrl::Embedded(_)) => reader.overrule("url", &LOGIN_KEYS),
            Some(_) => reader.overrule("url", &EMBEDDED_KEYS),
            None => {}
        }
        let username = reader.text("username");
        let has_password = reader.has("password") || reader.has("password_file");
        let password = reader.secret("password");
        let client_id = reader.text("client_id");
        for key in TLS_KEYS {
            if reader.has(key) && !matches!(url, Some(BrokerUrl::Tls { .. }) | None) {
                reader.error(key, "only has a meaning with an mqtts:// url");
            }
        }
        if reader.both("certificate", "ca_file") {
            reader.error("ca_file", "certificate is set too; remove one of the two");
        }
        let certificate = read_certificate(&mut reader);
        if matches!(url, Some(BrokerUrl::Tls { .. }) | None) {
            reader.belong_together(&["client_cert_file"], &["client_key_file"]);
        }
        let [ca_file, client_cert_file, client_key_file] =
            ["ca_file", "client_cert_file", "client_key_file"].map(|key| reader.file(key));
        let alpn = reader.list("alpn").unwrap_or_default();
        if alpn
            .iter()
            .any(|name| !ALPN_NAME_BYTES.contains(&name.len()))
        {
            reader.error("alpn", "takes names of 1 to 255 bytes");
        }
        let topic_prefix = reader.any_text("topic_prefix").unwrap_or_default();
        check_levels(&reader, "topic_prefix", &topic_prefix);
        let config = Self {
            url: url.clone().unwrap_or(BrokerUrl::Off),
            username,
            password,
            client_id,
            certificate,
            ca_file,
            client_cert_file,
            client_key_file,
            alpn,
            topic_prefix,
            session_expiry: reader
                .duration("session_expiry")
                .unwrap_or(base.session_expiry),
            max_payload: reader.size("max_payload").unwrap_or(base.max_payload),
            keep_alive: reader.duration("keep_alive").unwrap_or(base.keep_alive),
            open: reader.bool("open").unwrap_or(base.open),
            users: read_users(&mut reader, ids),
        };
        if url.is_some() {
            config.check(&reader, has_password);
        }
        reader.finish();
        url.map(|_| config)
    }

    /// What the embedded broker needs, and what only it can have.
    fn check(&self, reader: &Reader<'_>, has_password: bool) {
        match &self.url {
            BrokerUrl::Embedded(listen) => {
                if self.username.is_some() || has_password {
                    reader.error(
                        reader.set_of(&LOGIN_KEYS),
                        "the gateway needs no log-in at its own broker; for clients give \
                         [[mqtt.user]]",
                    );
                }
                let is_known = !reader.is_any_wrong(&["mqtt.user", "mqtt.open"]);
                let is_open_to_all = !listen.ip().is_loopback() && self.users.is_empty();
                if is_open_to_all && !self.open && is_known {
                    reader.error(
                        "url",
                        "the embedded broker listens beyond this machine only with [[mqtt.user]], \
                         or with open = true for anyone",
                    );
                }
            }
            _ if !self.users.is_empty() || self.open => reader.error(
                if self.open { "open" } else { "user" },
                "only has a meaning with the embedded broker",
            ),
            _ => {}
        }
    }

    /// The MQTT client id of a gateway with this configuration, and with this prefix instead of
    /// `topic_prefix`.
    pub fn client_id_below(&self, prefix: &str) -> String {
        match (&self.client_id, prefix) {
            (Some(client_id), _) => client_id.clone(),
            (None, "") => "poly2mqtt".to_owned(),
            // Without `/`: where an access list has %c, Mosquitto refuses a client id with one.
            (None, prefix) => format!("poly2mqtt-{}", prefix_in_id(prefix, |c| c != '/')),
        }
    }

    /// The id of the gateway with this configuration.
    pub fn gateway_id(&self) -> GatewayId {
        GatewayId::of_client(&self.client_id_below(&self.topic_prefix))
    }

    /// Takes back what takes effect at the next start.
    pub(super) fn keep_until_restart(&mut self, running: &Self) {
        self.clone_from(running);
    }
}

fn read_users(reader: &mut Reader<'_>, ids: &[RoomId]) -> Vec<MqttUser> {
    let users = reader.tables("user", MqttUser::KEYS).into_iter();
    let users: Vec<MqttUser> = users
        .filter_map(|reader| MqttUser::read(reader, ids))
        .collect();
    for (n, user) in users.iter().enumerate() {
        if users[..n].iter().any(|other| other.name == user.name) {
            let message = format!(
                "\"{}\" is there twice; each name takes one table",
                user.name
            );
            reader.error("user", message);
        }
    }
    users
}

/// The pinned certificate, where one is given.
fn read_certificate(reader: &mut Reader<'_>) -> Option<Fingerprint> {
    match Certificate::parse(&reader.text("certificate")?) {
        Some(Certificate::Pinned(fingerprint)) => Some(fingerprint),
        Some(Certificate::System) => None,
        _ => {
            let message = "takes \"sha256:\" and 64 hexadecimal digits, or \"system\"";
            reader.error("certificate", message);
            None
        }
    }
}
