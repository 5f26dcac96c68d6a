//! From a file and the environment to a checked configuration.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde_json::{Map, Value};
use toml_edit::ImDocument;
use url::Url;

use super::error::{ConfigError, ConfigErrors};
use super::keys::{DEFAULTS, HOME_ASSISTANT, MQTT, MQTT_USER, POLL, ROOM, ROOT};
use super::section::{Section, Sources, line_of};
use super::{
    BrokerUrl, Certificate, Config, HomeAssistantConfig, MqttConfig, MqttUser, PollConfig,
    RoomConfig, RoomId,
};
use crate::catalogue::GUARDED;

/// The variables' common beginning.
const PREFIX: &str = "POLY2MQTT_";
/// Variables with that beginning that are no keys.
const NOT_KEYS: &[&str] = &["CONFIG", "LOG", "LOG_FORMAT", "RUNTIME_DIR"];
/// More often than this no device is polled.
const FASTEST: Duration = Duration::from_millis(200);

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed but worth a word.
    pub warnings: Vec<String>,
}

fn whole(place: &str, message: impl Into<String>) -> ConfigErrors {
    ConfigErrors(vec![ConfigError {
        place: place.to_owned(),
        key: String::new(),
        message: message.into(),
    }])
}

/// Finds the file: the one asked for, `$POLY2MQTT_CONFIG`, or one of the usual places.
///
/// # Errors
/// There is none; the message says where it was looked for.
pub fn locate(asked: Option<&Path>, variable: Option<&str>) -> Result<PathBuf, ConfigErrors> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    if let Some(path) = variable {
        return Ok(path.into());
    }
    let usual = ["./poly2mqtt.toml", "/etc/poly2mqtt/poly2mqtt.toml"];
    usual
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| {
            whole(
                "poly2mqtt",
                format!(
                    "there is no configuration: $POLY2MQTT_CONFIG is not set, and neither {} \
                     exists; \"poly2mqtt demo\" runs without one",
                    usual.join(" nor ")
                ),
            )
        })
}

/// Reads and checks a file with these environment variables over it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| whole(&file, format!("cannot be read: {error}")))?;
    read(file, &text, env)
}

/// The same of a file's text; `file` is what errors call it.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn read(
    file: String,
    text: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    // A syntax error is told without its line's text, which may hold a password.
    let document = ImDocument::parse(text.to_owned()).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        let place = line.map_or(file.clone(), |line| format!("{file}:{line}"));
        whole(&place, format!("not TOML: {}", error.message()))
    })?;
    let ids: Vec<String> = document
        .get("rooms")
        .and_then(|rooms| rooms.as_table_like())
        .map(|rooms| rooms.iter().map(|(id, _)| id.to_owned()).collect())
        .unwrap_or_default();
    let mut figment = Figment::from(Toml::string(text));
    let mut sources = Sources {
        file,
        document: Some(document),
        env: BTreeMap::new(),
    };
    for (variable, value) in env {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if NOT_KEYS.contains(&name) {
            continue;
        }
        let key = env_key(name, &ids);
        figment = figment.merge(Serialized::default(&key, value));
        sources.env.insert(key, variable);
    }
    let values: Map<String, Value> = figment
        .extract()
        .map_err(|_| whole(&sources.file, "holds values that cannot be read"))?;
    check(values, &sources)
}

/// `ROOMS__1__PASSWORD` is `rooms.1.password`; the case of a room's id is the file's.
fn env_key(name: &str, ids: &[String]) -> String {
    let mut path: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    if path.len() > 1 && path[0] == "rooms" {
        let id = ids.iter().find(|id| id.eq_ignore_ascii_case(&path[1]));
        if let Some(id) = id {
            path[1].clone_from(id);
        }
    }
    path.join(".")
}

fn check(values: Map<String, Value>, sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let errors = RefCell::new(Vec::new());
    let mut warnings = Vec::new();
    let mut root = Section::root(values, ROOT, sources, &errors);
    let poll = read_poll(root.section("poll", POLL), PollConfig::default());
    let defaults = read_defaults(root.section("defaults", DEFAULTS), poll);
    let mut rooms = BTreeMap::new();
    for (id, mut section) in root.by_id("rooms", ROOM) {
        let room_id = RoomId::new(&id);
        if room_id.is_none() {
            section.error("", "a room's id takes letters, digits, _ and -");
        }
        let room = read_room(&mut section, &defaults, &id, &mut warnings);
        section.finish();
        if let (Some(id), Some(room)) = (room_id, room) {
            rooms.insert(id, room);
        }
    }
    let ids: Vec<RoomId> = rooms.keys().cloned().collect();
    let mqtt = read_mqtt(root.section("mqtt", MQTT), &ids);
    let (http, tcp) = super::http::read(&mut root, &ids, &mut warnings);
    let home_assistant = read_home_assistant(root.section("home_assistant", HOME_ASSISTANT));
    root.finish();
    if rooms.is_empty() && errors.borrow().is_empty() {
        warnings.push("no rooms are configured, so there is nothing to do".into());
    }
    let errors = errors.into_inner();
    match mqtt {
        Some(mqtt) if errors.is_empty() => {
            let mut urls = HashMap::new();
            for (id, room) in &rooms {
                let first = *urls.entry(&room.url).or_insert(id);
                if first != id {
                    warnings.push(format!("rooms {first} and {id} have the same url"));
                }
            }
            Ok(Loaded {
                config: Config {
                    mqtt,
                    http,
                    tcp,
                    home_assistant,
                    rooms,
                },
                warnings,
            })
        }
        _ => Err(ConfigErrors(errors)),
    }
}

fn read_poll(mut section: Section<'_>, base: PollConfig) -> PollConfig {
    let poll = PollConfig {
        fast: section
            .duration("fast", FASTEST, false)
            .unwrap_or(base.fast),
        normal: section
            .duration("normal", FASTEST, false)
            .unwrap_or(base.normal),
        slow: section
            .duration("slow", FASTEST, false)
            .unwrap_or(base.slow),
        meters: section.bool("meters").unwrap_or(base.meters),
    };
    section.finish();
    poll
}

/// What a room may say, and the defaults too.
struct Shared {
    user: Option<String>,
    password: Option<super::Secret>,
    certificate: Option<Certificate>,
    allow: Option<BTreeSet<String>>,
    poll: PollConfig,
    preset_offset: Option<i8>,
    keep_alive: Option<bool>,
    max_command_age: Option<Duration>,
}

fn read_defaults(mut section: Section<'_>, poll: PollConfig) -> Shared {
    let shared = read_shared(&mut section, poll);
    section.finish();
    shared
}

fn read_shared(section: &mut Section<'_>, poll: PollConfig) -> Shared {
    Shared {
        user: section.text("user"),
        password: section.password(),
        certificate: read_certificate(section),
        allow: section.list("allow").map(|allow| {
            for command in &allow {
                if !GUARDED.contains(&command.as_str()) {
                    let message = format!(
                        "\"{command}\" is not a guarded command; those are {}",
                        GUARDED.join(", ")
                    );
                    section.error("allow", message);
                }
            }
            allow.into_iter().collect()
        }),
        poll: read_poll(section.section("poll", POLL), poll),
        preset_offset: section
            .integer("preset_offset", -1, 0)
            .and_then(|offset| i8::try_from(offset).ok()),
        keep_alive: section.bool("keep_alive"),
        max_command_age: section.duration("max_command_age", Duration::from_millis(100), false),
    }
}

fn read_certificate(section: &mut Section<'_>) -> Option<Certificate> {
    let both = section.has("certificate") && section.has("ca_file");
    let given = section.text("certificate");
    let ca_file = section.path("ca_file");
    if both {
        section.error("ca_file", "stands beside certificate; give one of the two");
    }
    if let Some(path) = ca_file {
        if !path.is_file() {
            section.error("ca_file", format!("{} is not a file", path.display()));
        }
        return Some(Certificate::CaFile(path));
    }
    let certificate = Certificate::parse(&given?);
    if certificate.is_none() {
        let message = "takes \"sha256:\" and 64 hexadecimal digits, \"system\" or \"insecure\"";
        section.error("certificate", message);
    }
    certificate
}

fn read_room(
    section: &mut Section<'_>,
    defaults: &Shared,
    id: &str,
    warnings: &mut Vec<String>,
) -> Option<RoomConfig> {
    let name = section.text("name");
    let given = section.has("url");
    let url = section.text("url").and_then(|text| {
        let url = Url::parse(&text).ok().filter(|url| {
            url.scheme() == "https"
                && url.has_host()
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if url.is_none() {
            section.error(
                "url",
                "takes https://HOST or https://HOST:PORT and nothing more",
            );
        }
        url
    });
    if !given {
        section.error("url", "is missing; it takes https://HOST");
    }
    let own_password = section.has("password") || section.has("password_file");
    let shared = read_shared(section, defaults.poll);
    let password = shared.password.or_else(|| defaults.password.clone());
    if password.is_none() && !own_password {
        section.error(
            "password",
            "is missing; give password or password_file here or in [defaults]",
        );
    }
    let certificate = shared.certificate.or_else(|| defaults.certificate.clone());
    match &certificate {
        None => warnings.push(format!(
            "rooms.{id} has no certificate: the room stays offline, and its problem names the \
             fingerprint to set"
        )),
        Some(Certificate::Insecure) => warnings.push(format!(
            "rooms.{id} trusts any certificate (\"insecure\"): whoever answers at its address \
             gets the password"
        )),
        Some(_) => {}
    }
    Some(RoomConfig {
        name,
        url: url?,
        user: shared
            .user
            .or_else(|| defaults.user.clone())
            .unwrap_or_else(|| "admin".into()),
        password: password?,
        certificate: certificate.unwrap_or(Certificate::Unset),
        allow: shared
            .allow
            .or_else(|| defaults.allow.clone())
            .unwrap_or_default(),
        poll: shared.poll,
        preset_offset: shared.preset_offset.or(defaults.preset_offset),
        keep_alive: shared.keep_alive.or(defaults.keep_alive).unwrap_or(true),
        max_command_age: shared
            .max_command_age
            .or(defaults.max_command_age)
            .unwrap_or(Duration::from_secs(5)),
    })
}

fn read_mqtt(mut section: Section<'_>, ids: &[RoomId]) -> Option<MqttConfig> {
    let base = MqttConfig::default();
    let url = match section.text("url") {
        Some(text) => broker_url(&text)
            .map_err(|message| section.error("url", message))
            .ok(),
        None => Some(base.url),
    };
    let username = section.text("username");
    let has_password = section.has("password") || section.has("password_file");
    let password = section.password();
    let client_id = section.text("client_id");
    let tls_only = ["ca_file", "client_cert_file", "client_key_file"];
    for key in tls_only {
        if section.has(key) && !matches!(url, Some(BrokerUrl::Tls { .. }) | None) {
            section.error(key, "only has a meaning with an mqtts:// url");
        }
    }
    let ca_file = section.path("ca_file");
    let client_cert_file = section.path("client_cert_file");
    let client_key_file = section.path("client_key_file");
    for (key, path) in tls_only
        .iter()
        .zip([&ca_file, &client_cert_file, &client_key_file])
    {
        if let Some(path) = path.as_ref().filter(|path| !path.is_file()) {
            section.error(key, format!("{} is not a file", path.display()));
        }
    }
    if client_cert_file.is_some() != client_key_file.is_some() {
        section.error(
            "client_cert_file",
            "client_cert_file and client_key_file belong together",
        );
    }
    let prefix = section.any_text("topic_prefix").unwrap_or_default();
    check_levels(&section, "topic_prefix", &prefix);
    let session_expiry = section
        .duration("session_expiry", Duration::from_secs(1), true)
        .unwrap_or(base.session_expiry);
    let max_payload = section
        .size("max_payload", 64 << 10, 256 << 20)
        .unwrap_or(base.max_payload);
    let keep_alive = section
        .duration("keep_alive", Duration::from_secs(5), false)
        .unwrap_or(base.keep_alive);
    let open = section.bool("open").unwrap_or(false);
    let users: Vec<MqttUser> = section
        .sections("user", MQTT_USER)
        .into_iter()
        .filter_map(|section| read_user(section, ids))
        .collect();
    match &url {
        Some(BrokerUrl::Embedded(listen)) => {
            if username.is_some() || has_password {
                section.error(
                    "username",
                    "the gateway needs no log-in at its own broker; for clients give [[mqtt.user]]",
                );
            }
            if !listen.ip().is_loopback() && users.is_empty() && !open {
                section.error(
                    "url",
                    "the embedded broker listens beyond this machine only with [[mqtt.user]], or \
                     with open = true for anyone",
                );
            }
        }
        Some(_) if !users.is_empty() || open => section.error(
            if open { "open" } else { "user" },
            "only has a meaning with the embedded broker",
        ),
        _ => {}
    }
    section.finish();
    Some(MqttConfig {
        url: url?,
        username,
        password,
        client_id,
        ca_file,
        client_cert_file,
        client_key_file,
        topic_prefix: prefix,
        session_expiry,
        max_payload,
        keep_alive,
        open,
        users,
    })
}

/// What may stand before topics, or be one.
fn check_levels(section: &Section<'_>, key: &str, levels: &str) {
    if levels.contains(['+', '#', '\0']) || levels.starts_with(['/', '$']) || levels.ends_with('/')
    {
        section.error(
            key,
            "takes topic levels without wildcards, without a / at either end and without a $ at \
             the start",
        );
    }
}

fn read_home_assistant(mut section: Section<'_>) -> HomeAssistantConfig {
    let base = HomeAssistantConfig::default();
    let discovery = section.bool("discovery").unwrap_or(base.discovery);
    let prefix = section.text("prefix").unwrap_or(base.prefix);
    let status = section.text("status_topic");
    let status_topic = status.unwrap_or_else(|| format!("{prefix}/status"));
    for (key, levels) in [("prefix", &prefix), ("status_topic", &status_topic)] {
        check_levels(&section, key, levels);
        if matches!(levels.split('/').next(), Some("room" | "gateway")) {
            section.error(
                key,
                "takes no topics below room/ or gateway/, which are the gateway's",
            );
        }
    }
    section.finish();
    HomeAssistantConfig {
        discovery,
        prefix,
        status_topic,
    }
}

fn read_user(mut section: Section<'_>, ids: &[RoomId]) -> Option<MqttUser> {
    let name = section.text("name");
    if name.is_none() {
        section.error("name", "is missing");
    }
    let given = section.has("password") || section.has("password_file");
    let password = section.password();
    if !given {
        section.error("password", "is missing; give password or password_file");
    }
    let rooms = section.rooms(ids);
    let control = match section.text("access").as_deref() {
        Some("control") | None => true,
        Some("read") => false,
        Some(_) => {
            section.error("access", "takes \"read\" or \"control\"");
            false
        }
    };
    section.finish();
    Some(MqttUser {
        name: name?,
        password: password?,
        rooms,
        control,
    })
}

fn broker_url(text: &str) -> Result<BrokerUrl, String> {
    let takes =
        "takes embedded://ADDRESS:PORT, mqtt://HOST[:PORT], mqtts://HOST[:PORT], or \"off\"";
    if text == "off" {
        return Ok(BrokerUrl::Off);
    }
    let url = Url::parse(text).map_err(|_| takes.to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("takes no user and password; give username and password_file".into());
    }
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or(takes)?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(takes.into());
    }
    match url.scheme() {
        "embedded" => {
            let address: IpAddr = match host.as_str() {
                "localhost" => IpAddr::from([127, 0, 0, 1]),
                host => host.parse().map_err(|_| {
                    "embedded:// takes an IP address to listen on, such as 127.0.0.1".to_owned()
                })?,
            };
            Ok(BrokerUrl::Embedded(
                (address, url.port().unwrap_or(1883)).into(),
            ))
        }
        "mqtt" => Ok(BrokerUrl::Tcp {
            host,
            port: url.port().unwrap_or(1883),
        }),
        "mqtts" => Ok(BrokerUrl::Tls {
            host,
            port: url.port().unwrap_or(8883),
        }),
        _ => Err(takes.into()),
    }
}
