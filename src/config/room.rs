//! `[rooms.<id>]`, and `[defaults]` for the rooms that do not set a key themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::forms;
use super::key::{DurationBounds, Key, KeyType, KeyValue, Reload, Section, Values, plain};
use super::presets::{PRESETS, read_presets};
use super::reader::Reader;
use super::server_url::{ServerUrl, UrlForm};
use super::time_of_day::TimeOfDay;
use super::values::{OrOff, path_text, read_or_off};
use super::{Certificate, PollConfig, Secret};
use crate::catalogue::{MOST_SETTINGS, PresetNames, is_setting_name};
use crate::visible::quoted_start;

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
    /// `allow`. All rooms that take it from `[defaults]` share it.
    pub allow: Arc<BTreeSet<String>>,
    /// `settings`, each once.
    pub settings: Vec<String>,
    /// `poll`.
    pub poll: PollConfig,
    /// `preset_offset`; learned from the device where it is not set.
    pub preset_offset: Option<i8>,
    /// `presets`.
    pub presets: PresetNames,
    /// `keep_alive`.
    pub keep_alive: bool,
    /// `readiness`: when the room is checked each day.
    pub readiness: Option<TimeOfDay>,
    /// `readiness_dial`: the address that the check calls.
    pub readiness_dial: Option<String>,
    /// `max_command_age`.
    pub max_command_age: Duration,
}

impl Section for RoomConfig {
    const KEYS: &'static [Key] = &[
        // The first two are each room's own; the rest can stand in [defaults] too.
        Key::new(
            "name",
            KeyType::Text,
            Reload::Now,
            "Name of the room, for people",
        )
        .example("Boardroom")
        .in_info(),
        Key::new(
            "url",
            KeyType::Text,
            Reload::Now,
            "Address of the device: `https://HOST` or `https://HOST:PORT`",
        )
        .form(forms::device_url)
        .required()
        .example("https://192.0.2.10")
        .in_use()
        .in_info(),
        Key::new(
            "user",
            KeyType::Text,
            Reload::Now,
            "User name for the device's log-in",
        )
        .default("admin")
        .in_info(),
        Key::new(
            "password",
            KeyType::Secret,
            Reload::Now,
            "Password for the device's log-in",
        )
        .without("required")
        .example("change me")
        .in_use(),
        Key::new(
            "password_file",
            KeyType::File,
            Reload::Now,
            "File that holds the password, instead of `password`",
        )
        .part_of("password")
        .example("/run/secrets/boardroom"),
        Key::new(
            "certificate",
            KeyType::Text,
            Reload::Now,
            "Which certificate the device must show",
        )
        .choices(&[
            (
                "sha256:…",
                "exactly the one with this fingerprint, which `poly2mqtt check --connect` prints",
            ),
            (
                "system",
                "one signed by an authority that this machine trusts",
            ),
            (
                "insecure",
                "any certificate: the password is sent to any machine at that address",
            ),
        ])
        .form(forms::device_certificate)
        .without("none: the room stays offline")
        .example("sha256:0000000000000000000000000000000000000000000000000000000000000000")
        .in_info(),
        Key::new(
            "ca_file",
            KeyType::File,
            Reload::Now,
            "Authority that signed the device's certificate (PEM), instead of `certificate`",
        )
        .instead_of("certificate")
        .example("/etc/poly2mqtt/devices-ca.pem"),
        Key::new(
            "allow",
            KeyType::List,
            Reload::Now,
            "Guarded commands that may be sent over MQTT, and over every door while no tokens are \
             configured",
        )
        .only(GUARDED)
        .default("[]")
        .example("[\"system/reboot\"]")
        .in_info(),
        Key::new(
            "settings",
            KeyType::List,
            Reload::Now,
            "Names of the device's own configuration that are kept as states `config/<name>`, at most \
             50",
        )
        .form(forms::setting_name)
        .most(MOST_SETTINGS)
        .default("[]")
        .example("[\"system.info.systemname\"]")
        .in_info(),
        Key::new(
            "poll",
            KeyType::Table(PollConfig::KEYS),
            Reload::Now,
            "Keys of `[poll]` for this room; or the pace alone, such as `poll = \"gentle\"`",
        )
        .short_for("pace")
        .without("those of `[poll]`")
        .example("{ fast = \"1s\" }")
        .in_info(),
        Key::new(
            "preset_offset",
            KeyType::Integer(-1, 0),
            Reload::Now,
            "`-1` if the device counts camera presets from zero",
        )
        .without("learned from the device")
        .example("0")
        .in_info(),
        Key::new(
            "presets",
            KeyType::TextByNumber(PRESETS),
            Reload::Now,
            "Names of camera presets, by number; shown to people, and taken by commands instead of \
             the number",
        )
        .without("none")
        .example("{ 1 = \"Whole table\", 2 = \"Lectern\" }")
        .in_info(),
        Key::new(
            "keep_alive",
            KeyType::Bool,
            Reload::Now,
            "Keep HTTPS connections to the device open between requests",
        )
        .default("true")
        .in_info(),
        Key::new(
            "readiness",
            KeyType::Text,
            Reload::Now,
            "When the room is checked each day, as `HH:MM` in the local time of this machine",
        )
        .choices(&[("off", "only by `readiness/run`")])
        .form(forms::time_of_day)
        .default("off")
        .example("06:30")
        .in_info(),
        Key::new(
            "readiness_dial",
            KeyType::Text,
            Reload::Now,
            "Address that the check calls; the call is hung up as soon as it is connected",
        )
        .may_be_empty()
        .without("no call")
        .example("echo@example.com")
        .in_info(),
        Key::new(
            "max_command_age",
            KeyType::Duration(DurationBounds::at_least(Duration::from_millis(100))),
            Reload::Now,
            "A command that has waited longer is not carried out; at least 100 ms",
        )
        .default("5s")
        .in_info(),
    ];

    fn values(&self) -> Values {
        let ca_file = match &self.certificate {
            Certificate::CaFile(path) => Some(path_text(path)),
            _ => None,
        };
        Values::from([
            ("name", plain(self.name.clone())),
            ("url", plain(self.url.as_str())),
            ("user", plain(self.user.as_str())),
            ("password", KeyValue::Secret(Some(self.password.clone()))),
            ("certificate", plain(self.certificate.to_string())),
            ("ca_file", plain(ca_file)),
            ("allow", plain(Vec::from_iter(self.allow.iter().cloned()))),
            ("settings", plain(self.settings.clone())),
            ("poll", KeyValue::Table(self.poll.values())),
            ("preset_offset", plain(self.preset_offset)),
            ("presets", plain(self.presets.to_json())),
            ("keep_alive", plain(self.keep_alive)),
            (
                "readiness",
                plain(self.readiness.map_or("off".into(), |at| at.to_string())),
            ),
            ("readiness_dial", plain(self.readiness_dial.clone())),
            ("max_command_age", plain(self.max_command_age.as_secs_f64())),
        ])
    }
}

impl RoomConfig {
    /// The keys that `[defaults]` takes: all but `name` and `url`.
    pub(super) const DEFAULTS_KEYS: &'static [Key] = Self::KEYS.split_at(2).1;

    /// Reads one room.
    pub(super) fn read(reader: &mut Reader<'_>, defaults: &RoomDefaults, id: &str) -> Option<Self> {
        let name = reader.text("name");
        let given = reader.has("url");
        let url = reader.text("url").and_then(|text| {
            let url = device_url(&text);
            url.map_err(|message| reader.error("url", message)).ok()
        });
        if !given {
            reader.error("url", "is missing; it takes https://HOST");
        }
        let own = RoomDefaults::read(reader, defaults.poll);
        let password = own.password.or_else(|| defaults.password.clone());
        if !own.has_password && !defaults.has_password {
            reader.error(
                "password",
                "is missing; give password or password_file here or in [defaults]",
            );
        }
        let certificate = own.certificate.or_else(|| defaults.certificate.clone());
        match &certificate {
            None => reader.warn(format!(
                "rooms.{id} has no certificate: the room stays offline, and its problem names the \
                 fingerprint to set"
            )),
            Some(Certificate::Insecure) => reader.warn(format!(
                "rooms.{id} trusts any certificate (\"insecure\"): the password is sent to any \
                 machine at its address"
            )),
            Some(_) => {}
        }
        Some(Self {
            name,
            url: url?,
            user: own
                .user
                .or_else(|| defaults.user.clone())
                .unwrap_or_else(|| "admin".into()),
            password: password?,
            certificate: certificate.unwrap_or(Certificate::Unset),
            allow: own
                .allow
                .or_else(|| defaults.allow.clone())
                .unwrap_or_default(),
            settings: own
                .settings
                .or_else(|| defaults.settings.clone())
                .unwrap_or_default(),
            poll: own.poll,
            preset_offset: own.preset_offset.or(defaults.preset_offset),
            // A room's own table replaces that of [defaults] as a whole.
            presets: own
                .presets
                .or_else(|| defaults.presets.clone())
                .unwrap_or_default(),
            keep_alive: own.keep_alive.or(defaults.keep_alive).unwrap_or(true),
            readiness: own.readiness.or(defaults.readiness).and_then(OrOff::on),
            readiness_dial: own
                .readiness_dial
                .or_else(|| defaults.readiness_dial.clone())
                .filter(|address| !address.is_empty()),
            max_command_age: own
                .max_command_age
                .or(defaults.max_command_age)
                .unwrap_or(Duration::from_secs(5)),
        })
    }
}

/// The keys that a room and `[defaults]` both take.
#[derive(Debug)]
pub struct RoomDefaults {
    user: Option<String>,
    /// A password or its file is given, even if it is wrong.
    has_password: bool,
    password: Option<Secret>,
    certificate: Option<Certificate>,
    allow: Option<Arc<BTreeSet<String>>>,
    settings: Option<Vec<String>>,
    poll: PollConfig,
    preset_offset: Option<i8>,
    presets: Option<PresetNames>,
    keep_alive: Option<bool>,
    readiness: Option<OrOff<TimeOfDay>>,
    /// Empty: no call, also where `[defaults]` names an address.
    readiness_dial: Option<String>,
    max_command_age: Option<Duration>,
}

impl RoomDefaults {
    /// Reads the keys; `poll` holds where the table says nothing about an interval.
    pub(super) fn read(reader: &mut Reader<'_>, poll: PollConfig) -> Self {
        Self {
            user: reader.text("user"),
            has_password: reader.has("password") || reader.has("password_file"),
            password: reader.secret("password"),
            certificate: read_certificate(reader),
            allow: read_allow(reader),
            settings: read_settings(reader),
            poll: PollConfig::read(reader.table("poll", PollConfig::KEYS), poll),
            preset_offset: reader
                .integer("preset_offset")
                .and_then(|offset| i8::try_from(offset).ok()),
            presets: read_presets(reader),
            keep_alive: reader.bool("keep_alive"),
            readiness: read_readiness(reader),
            readiness_dial: reader
                .any_text("readiness_dial")
                .map(|address| address.trim().to_owned()),
            max_command_age: reader.duration("max_command_age"),
        }
    }
}

/// The form of `url`.
const DEVICE_URL: UrlForm = UrlForm {
    takes: "takes https://HOST or https://HOST:PORT and nothing more",
    login_keys: "user and password_file",
};

/// The address of a device, as the key `url` takes it.
///
/// # Errors
/// What the key takes instead.
pub fn device_url(text: &str) -> Result<Url, String> {
    let url = ServerUrl::parse(text, DEVICE_URL)?.of_one_server()?;
    let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
    let canonical = Url::parse(&format!("https://{}{port}", url.host));
    let canonical = canonical.ok().filter(|_| url.scheme == "https");
    canonical.ok_or_else(|| DEVICE_URL.takes.into())
}

/// What `allow` takes: the guarded commands of the catalogue, with what each does to the device.
const GUARDED: &[(&str, &str)] = &[
    ("system/reboot", "restarts the device"),
    ("system/reset_settings", "resets its settings"),
    ("system/time/set", "sets its clock"),
    (
        "directory/import",
        "imports entries into its local directory",
    ),
    ("session/renew", "logs in anew"),
    ("config/set", "changes its own configuration"),
    (
        "system/provider/set",
        "switches to another provider, such as Teams",
    ),
];

fn read_allow(reader: &mut Reader<'_>) -> Option<Arc<BTreeSet<String>>> {
    let allow = reader.list("allow")?;
    let guarded: Vec<&str> = GUARDED.iter().map(|(command, _)| *command).collect();
    for command in &allow {
        if !guarded.contains(&command.as_str()) {
            let message = format!(
                "\"{command}\" is not a guarded command; those are {}",
                guarded.join(", ")
            );
            reader.error("allow", message);
        }
    }
    Some(Arc::new(allow.into_iter().collect()))
}

fn read_readiness(reader: &mut Reader<'_>) -> Option<OrOff<TimeOfDay>> {
    let takes = "takes a time of day from \"00:00\" to \"23:59\", or \"off\"";
    read_or_off(reader, "readiness", TimeOfDay::parse, takes)
}

fn read_settings(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let names = reader.list("settings")?;
    if names.len() > MOST_SETTINGS {
        let message = format!("names {} settings; at most {MOST_SETTINGS}", names.len());
        reader.error("settings", message);
    }
    let mut seen = BTreeSet::new();
    for name in &names {
        if !is_setting_name(name) {
            let message = format!(
                "\"{}\" is not the name of a setting, such as system.info.systemname",
                quoted_start(name)
            );
            reader.error("settings", message);
        } else if !seen.insert(name) {
            reader.error("settings", format!("names {name} twice"));
        }
    }
    Some(names)
}

fn read_certificate(reader: &mut Reader<'_>) -> Option<Certificate> {
    let both = reader.both("certificate", "ca_file");
    let given = reader.text("certificate");
    // Both keys are read, so that both are checked.
    let ca_file = reader.file("ca_file");
    if both {
        reader.error("ca_file", "certificate is set too; remove one of the two");
    }
    if let Some(path) = ca_file {
        return Some(Certificate::CaFile(path));
    }
    let certificate = Certificate::parse(&given?);
    if certificate.is_none() {
        let message = "takes \"sha256:\" and 64 hexadecimal digits, \"system\" or \"insecure\"";
        reader.error("certificate", message);
    }
    certificate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;

    #[test]
    fn allow_explains_every_guarded_command() {
        let explained: BTreeSet<&str> = GUARDED.iter().map(|(command, _)| *command).collect();
        assert_eq!(explained, CATALOGUE.guarded().collect());
    }
}
