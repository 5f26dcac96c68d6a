//! The configuration: one TOML file with the environment over it.
//!
//! Each section is one file: its keys with their explanations, its defaults, its checks, and what a
//! reload takes over. The JSON Schema, the tables of `docs/configuration.md`, the example file and
//! the configuration in `gateway/info` are made from these tables of keys. `docs/adding-a-key.md`
//! shows how to add one.
//!
//! All errors are reported at once, each with its key and place, and none holds a secret. Starts
//! nothing, and opens no files but those it names. Relative paths are beside the file.
//!
//! | | |
//! |---|---|
//! | sections | `mqtt` and `mqtt_user`, `http` and `http_token`, `tcp`, `home_assistant`, `cluster` |
//! | of rooms | `room`, `poll`, `presets`, `room_id`; `room_configs`: all; `room_digest`: whether two gateways agree |
//! | tables of keys | `key`; `generate` and `info` make documents of them, `forms` the schema's patterns |
//! | reading | `sources` (file and `environment`), `reader`, `text_file`; `error` says what is wrong |
//! | warnings | `exposed` (files of secrets that others can read), `oddities` (what looks like a mistake) |
//! | values | `broker_url`, `server_url`, `certificate`, `ip_network`, `secret`, `time_of_day`, `units`, `values` |
//! | changes | `reload`; `edit` adds a room to the file; `replaced`: files that were replaced behind a mount |

mod broker_url;
mod certificate;
mod cluster;
mod edit;
mod environment;
mod error;
mod exposed;
mod forms;
pub mod generate;
mod home_assistant;
mod http;
mod http_token;
mod info;
mod ip_network;
mod key;
mod mqtt;
mod mqtt_user;
mod oddities;
mod poll;
mod presets;
mod reader;
mod reload;
mod replaced;
mod room;
mod room_configs;
mod room_digest;
mod room_id;
mod secret;
mod server_url;
mod sources;
mod tcp;
#[cfg(test)]
mod tests;
mod text_file;
mod time_of_day;
mod units;
mod values;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use broker_url::{BrokerUrl, host_port};
pub use certificate::{Certificate, Fingerprint};
pub use cluster::ClusterConfig;
pub use edit::{NewRoom, with_room};
pub use error::{ConfigError, ConfigErrors};
pub use exposed::SecretPlaces;
pub use home_assistant::HomeAssistantConfig;
pub use http::{HttpConfig, TlsFiles, host_name};
pub use http_token::{AccessLevel, HttpToken};
pub use ip_network::IpNetwork;
pub use mqtt::{LARGEST_MAX_PAYLOAD, MqttConfig};
pub use mqtt_user::MqttUser;
pub use poll::PollConfig;
pub use reload::{Changes, changes};
pub use room::{RoomConfig, device_url};
pub use room_configs::RoomConfigs;
pub use room_digest::RoomDigest;
pub use room_id::RoomId;
pub use secret::Secret;
pub use sources::{is_there, locate, read_file, usual_file};
pub use tcp::TcpConfig;
pub use time_of_day::TimeOfDay;
pub use units::duration;
pub use values::{LEVELS_FORM, are_levels};

use crate::gateway_id::GatewayId;
use key::{Key, KeyType, KeyValue, Reload, Section, Values};
use reader::{Findings, Reader};
use room::RoomDefaults;
use sources::Sources;
use values::beyond_this_machine;

/// What messages name instead of a file where there is none.
const NO_FILE: &str = "the environment";

/// The gateway's whole configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The broker.
    pub mqtt: MqttConfig,
    /// WebSocket, HTTP and the dashboard.
    pub http: HttpConfig,
    /// Plain lines over bare TCP.
    pub tcp: TcpConfig,
    /// Home Assistant.
    pub home_assistant: HomeAssistantConfig,
    /// Other gateways that share the rooms; none if this one is alone.
    pub cluster: Option<ClusterConfig>,
    /// The rooms by id.
    pub rooms: RoomConfigs,
}

impl Section for Config {
    const KEYS: &'static [Key] = &[
        Key::new(
            "mqtt",
            KeyType::Table(MqttConfig::KEYS),
            Reload::Now,
            "The MQTT broker",
        )
        .in_info(),
        Key::new(
            "http",
            KeyType::Table(HttpConfig::KEYS),
            Reload::Now,
            "WebSocket, HTTP and the dashboard, on one port",
        )
        .in_info(),
        Key::new(
            "tcp",
            KeyType::Table(TcpConfig::KEYS),
            Reload::Now,
            "Plain lines over bare TCP, for controllers without WebSocket; if there are tokens, the \
             first line is `token TOKEN`",
        )
        .in_info(),
        Key::new(
            "home_assistant",
            KeyType::Table(HomeAssistantConfig::KEYS),
            Reload::Now,
            "Devices and entities in Home Assistant, by its MQTT discovery",
        )
        .in_info(),
        Key::new(
            "cluster",
            KeyType::Table(ClusterConfig::KEYS),
            Reload::NextStart,
            "Several gateways that share the rooms; without this table a gateway is alone",
        ),
        Key::new(
            "poll",
            KeyType::Table(PollConfig::KEYS),
            Reload::Now,
            "How often states are read from the devices; at least 200 ms",
        )
        .part_of("rooms"),
        Key::new(
            "defaults",
            KeyType::Table(RoomConfig::DEFAULTS_KEYS),
            Reload::Now,
            "For every room that does not set the key itself: any key of a room except `name` and \
             `url`",
        )
        .brief()
        .part_of("rooms"),
        Key::new(
            "rooms",
            KeyType::ById(RoomConfig::KEYS),
            Reload::Now,
            "A room. Its id is part of the topics: `room/boardroom/audio/volume`",
        )
        .example("boardroom")
        .in_info(),
    ];

    fn values(&self) -> Values {
        let rooms = self.rooms.iter();
        Values::from([
            ("mqtt", KeyValue::Table(self.mqtt.values())),
            ("http", KeyValue::Table(self.http.values())),
            ("tcp", KeyValue::Table(self.tcp.values())),
            (
                "home_assistant",
                KeyValue::Table(self.home_assistant.values()),
            ),
            (
                "cluster",
                KeyValue::Table(match &self.cluster {
                    Some(cluster) => cluster.values(),
                    None => ClusterConfig::no_values(),
                }),
            ),
            (
                "rooms",
                KeyValue::ById(
                    rooms
                        .map(|(id, room)| (id.to_string(), room.values()))
                        .collect(),
                ),
            ),
        ])
    }
}

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings: settings that are allowed but unwise. Each names its place.
    pub warnings: Vec<String>,
    /// The rooms in the order of the file; those that only the environment has come last.
    pub room_order: Vec<RoomId>,
    /// Where the secrets are.
    pub secret_places: SecretPlaces,
}

impl Config {
    /// The id with which the gateway marks what it publishes of rooms: its own, or that of its cluster.
    pub fn gateway_id(&self) -> GatewayId {
        match &self.cluster {
            Some(cluster) => cluster.gateway_id(),
            None => self.mqtt.gateway_id(),
        }
    }

    /// The configuration for `gateway/info`, without secrets.
    pub fn redacted(&self) -> Value {
        info::shown(Self::KEYS, &self.values())
    }
}

/// Reads and checks a file with these environment variables over it.
///
/// # Errors
/// All errors of the file at once.
pub fn load(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let text = sources::read_file(path)?;
    let loaded = read(path.display().to_string(), &text, env).map_err(|mut errors| {
        errors.0.extend(replaced::error(path));
        errors
    })?;
    Ok(with_warnings_of_files(loaded, Some(path)))
}

/// Adds a warning for each file of secrets that others can read, and for each file that was replaced behind a mount.
fn with_warnings_of_files(mut loaded: Loaded, file: Option<&Path>) -> Loaded {
    let exposed = exposed::warnings(file, &loaded.secret_places, &loaded.config);
    loaded.warnings.extend(exposed);
    let replaced = replaced::warnings(file, &loaded.secret_places, &loaded.config);
    loaded.warnings.extend(replaced);
    loaded
}

/// Like [`load`], from a file's text; `file` is what errors call it, and relative paths are beside it.
///
/// # Errors
/// All errors of the file at once.
pub fn read(
    file: String,
    text: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let (sources, values) = Sources::read(file, text, Config::KEYS, env)?;
    finished(&sources, read_values(values, &sources))
}

/// Reads a configuration that has no file, only environment variables.
///
/// # Errors
/// All errors at once; also if no variable sets a key.
pub fn load_environment(
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let (sources, values) = Sources::read(NO_FILE.into(), "", Config::KEYS, env)?;
    if sources.environment().is_empty() {
        return Err(sources::nothing_configured(sources.environment()));
    }
    let loaded = finished(&sources, read_values(values, &sources))?;
    Ok(with_warnings_of_files(loaded, None))
}

fn finished(
    sources: &Sources,
    (config, findings): (Option<Config>, Findings),
) -> Result<Loaded, ConfigErrors> {
    match config {
        Some(config) if findings.errors.is_empty() => Ok(Loaded {
            room_order: room_order(sources, &config),
            config,
            warnings: findings.warnings,
            secret_places: findings.secret_places,
        }),
        _ => Err(ConfigErrors(findings.errors)),
    }
}

/// Reads every section. There is no configuration where a key that it needs is wrong.
fn read_values(values: Map<String, Value>, sources: &Sources) -> (Option<Config>, Findings) {
    let environment = sources.environment();
    let findings = RefCell::new(Findings {
        errors: environment.errors.clone(),
        warnings: environment.warnings.clone(),
        ..Findings::default()
    });
    let mut root = Reader::root(values, Config::KEYS, sources, &findings);
    let (rooms, ids) = read_rooms(&mut root);
    let mqtt = MqttConfig::read(root.table("mqtt", MqttConfig::KEYS), &ids);
    let broker = mqtt.as_ref().and_then(|mqtt| match mqtt.url {
        BrokerUrl::Embedded(at) => Some(at),
        _ => None,
    });
    let (http, tcp) = read_listeners(&mut root, &ids, broker);
    let home_assistant =
        HomeAssistantConfig::read(root.table("home_assistant", HomeAssistantConfig::KEYS));
    let cluster = ClusterConfig::read(
        root.table("cluster", ClusterConfig::KEYS),
        mqtt.as_ref(),
        &http,
    );
    root.finish();
    let mut findings = findings.into_inner();
    let config = mqtt.map(|mqtt| Config {
        mqtt,
        http,
        tcp,
        home_assistant,
        cluster,
        rooms,
    });
    if let Some(config) = config.as_ref().filter(|_| findings.errors.is_empty()) {
        let warnings = check_rooms(&config.rooms).into_iter();
        findings
            .warnings
            .extend(warnings.map(|warning| sources.warning(warning)));
    }
    (config, findings)
}

/// The ids of the rooms in the order of the file, then those that the file does not have.
fn room_order(sources: &Sources, config: &Config) -> Vec<RoomId> {
    let in_file = sources.room_ids().filter_map(RoomId::new);
    let mut order: Vec<RoomId> = in_file.collect();
    order.retain(|id| config.rooms.contains_key(id));
    let ordered: BTreeSet<&RoomId> = order.iter().collect();
    let others = config.rooms.keys().filter(|id| !ordered.contains(id));
    let others: Vec<RoomId> = others.cloned().collect();
    order.extend(others);
    order
}

/// The rooms, and the ids of all that are there, also of those that are wrong.
fn read_rooms(root: &mut Reader<'_>) -> (RoomConfigs, Vec<RoomId>) {
    let poll = PollConfig::read(root.table("poll", PollConfig::KEYS), PollConfig::default());
    let mut reader = root.table("defaults", RoomConfig::DEFAULTS_KEYS);
    let defaults = RoomDefaults::read(&mut reader, poll);
    reader.finish();
    let (mut rooms, mut ids) = (BTreeMap::new(), Vec::new());
    for (id, mut reader) in root.by_id("rooms", RoomConfig::KEYS) {
        let room_id = RoomId::new(&id);
        if room_id.is_none() {
            reader.error("", RoomId::FORM);
        }
        let room = RoomConfig::read(&mut reader, &defaults, &id);
        reader.finish();
        ids.extend(room_id.clone());
        if let (Some(id), Some(room)) = (room_id, room) {
            rooms.insert(id, Arc::new(room));
        }
    }
    // Made anew of all rooms at once: the nodes of a map that got them one by one are half empty.
    (rooms.into_iter().collect(), ids)
}

/// Reads `[http]` and `[tcp]`, which share tokens and certificate. `broker` is where the embedded broker listens.
fn read_listeners(
    root: &mut Reader<'_>,
    ids: &[RoomId],
    broker: Option<SocketAddr>,
) -> (HttpConfig, TcpConfig) {
    let mut http_reader = root.table("http", HttpConfig::KEYS);
    let mut tcp_reader = root.table("tcp", TcpConfig::KEYS);
    let http = HttpConfig::read(&mut http_reader, ids);
    let tcp = TcpConfig::read(&mut tcp_reader, &http);
    http.check_listen(&http_reader, http.listen);
    http.check_listen(&tcp_reader, tcp.listen);
    for (reader, own, others) in [
        (&http_reader, http.listen, &[("mqtt.url", broker)][..]),
        (
            &tcp_reader,
            tcp.listen,
            &[("mqtt.url", broker), ("http.listen", http.listen)],
        ),
    ] {
        let share = |(key, other): &&(&str, Option<SocketAddr>)| {
            share_a_port(own, *other) && !reader.is_any_wrong(&[key])
        };
        let same = others.iter().find(share);
        if let Some((key, _)) = same {
            let message = format!("has the port of {key}: each needs a port of its own");
            reader.error("listen", message);
        }
    }
    let plain = (beyond_this_machine(http.listen) && http.tls.is_none())
        || (beyond_this_machine(tcp.listen) && !tcp.tls);
    if plain && !http.tokens.is_empty() {
        root.warn(
            "tokens are sent without TLS beyond this machine: whoever is on the way can read them",
        );
    }
    http_reader.finish();
    tcp_reader.finish();
    (http, tcp)
}

/// Whether two listeners are in each other's way.
fn share_a_port(one: Option<SocketAddr>, other: Option<SocketAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    // One at `[::]` takes the port of IPv4 too.
    let covers = |all: SocketAddr, at: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || at.is_ipv4())
    };
    let meet = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    // Port 0 is any that is free.
    one.port() == other.port() && one.port() != 0 && meet
}

fn check_rooms(rooms: &RoomConfigs) -> Vec<String> {
    let mut warnings = Vec::new();
    if rooms.is_empty() {
        warnings.push("no rooms are configured, so there is nothing to do".into());
    }
    let mut urls = HashMap::new();
    for (id, room) in rooms {
        let first = *urls.entry(&room.url).or_insert(id);
        if first != id {
            warnings.push(format!("rooms {first} and {id} have the same url"));
        }
    }
    warnings
}
