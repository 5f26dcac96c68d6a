//! `[cluster]`: several gateways that share the rooms, and the etcd that they agree by.

use std::path::PathBuf;

use super::key::{Key, KeyType, KeyValue, Reload, Section, Values, plain};
use super::reader::Reader;
use super::server_url::{ServerUrl, UrlForm};
use super::values::path_text;
use super::{BrokerUrl, HttpConfig, MqttConfig, Secret};
use crate::gateway_id::GatewayId;
use crate::secret::UNGUESSABLE_TOKEN_LENGTH;

const ETCD_URL: UrlForm = UrlForm {
    takes: "takes addresses such as https://HOST:2379",
    login_keys: "username and password_file",
};
const ADVERTISED_URL: UrlForm = UrlForm {
    takes: "takes https://HOST[:PORT] or http://HOST[:PORT]",
    login_keys: "token_file",
};
/// The port that IANA registered for clients of etcd.
const ETCD_PORT: u16 = 2379;
/// A name is a part of topics, of keys in etcd and of MQTT client ids.
const LONGEST_NAME: usize = 32;

/// `[cluster]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// `name`.
    pub name: String,
    /// `etcd`: addresses with scheme and port.
    pub etcd: Vec<String>,
    /// `username`.
    pub username: Option<String>,
    /// `password` or `password_file`.
    pub password: Option<Secret>,
    /// `ca_file`: trusted instead of the system's authorities, for etcd and for the other gateways.
    pub ca_file: Option<PathBuf>,
    /// `prefix`, without a slash at its end.
    pub prefix: String,
    /// `advertise`, without a slash at its end.
    pub advertise: String,
    /// `token` or `token_file`.
    pub token: Secret,
    /// `weight`.
    pub weight: u32,
}

impl Section for ClusterConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "name",
            KeyType::Text,
            Reload::NextStart,
            "Name of this gateway; each has its own, of letters, digits, `_` and `-`",
        )
        .without("required")
        .example("gw-1"),
        Key::new(
            "etcd",
            KeyType::List,
            Reload::NextStart,
            "Addresses of all members of etcd (3.4 or later), with `https://` or `http://`; port 2379 \
             may be left out",
        )
        .without("required")
        .example(
            "[\"https://10.0.0.1:2379\", \"https://10.0.0.2:2379\", \"https://10.0.0.3:2379\"]",
        ),
        Key::new(
            "username",
            KeyType::Text,
            Reload::NextStart,
            "User of the gateways at etcd",
        )
        .example("poly2mqtt"),
        Key::new(
            "password",
            KeyType::Secret,
            Reload::NextStart,
            "Password of the gateways at etcd",
        )
        .example("secret"),
        Key::new(
            "password_file",
            KeyType::File,
            Reload::NextStart,
            "File that holds the password, instead of `password`",
        )
        .part_of("password")
        .example("/run/secrets/etcd-password"),
        Key::new(
            "ca_file",
            KeyType::File,
            Reload::NextStart,
            "PEM file with the authorities that sign the certificates of etcd and of the other gateways, instead \
             of the system's",
        )
        .example("/etc/poly2mqtt/cluster-ca.pem"),
        Key::new(
            "prefix",
            KeyType::Text,
            Reload::NextStart,
            "Where the cluster's keys are in etcd; the same at all its gateways",
        )
        .default("/poly2mqtt"),
        Key::new(
            "advertise",
            KeyType::Text,
            Reload::NextStart,
            "How the other gateways reach this one's HTTP port, with no proxy between",
        )
        .without("required")
        .example("https://10.0.0.11:8080"),
        Key::new(
            "token",
            KeyType::Secret,
            Reload::NextStart,
            "The token that the gateways show each other, at least 16 characters; the same at all of them",
        )
        .without("required")
        .example("a long random text"),
        Key::new(
            "token_file",
            KeyType::File,
            Reload::NextStart,
            "File that holds the token, instead of `token`",
        )
        .part_of("token")
        .example("/run/secrets/cluster-token"),
        Key::new(
            "weight",
            KeyType::Integer(1, 100),
            Reload::NextStart,
            "Share of the rooms: a gateway of weight 2 gets twice as many as one of weight 1",
        )
        .default("1"),
    ];

    fn values(&self) -> Values {
        Values::from([
            ("name", plain(self.name.as_str())),
            ("etcd", plain(self.etcd.clone())),
            ("username", plain(self.username.clone())),
            ("password", KeyValue::Secret(self.password.clone())),
            ("ca_file", plain(self.ca_file.as_deref().map(path_text))),
            ("prefix", plain(self.prefix.as_str())),
            ("advertise", plain(self.advertise.as_str())),
            ("token", KeyValue::Secret(Some(self.token.clone()))),
            ("weight", plain(self.weight)),
        ])
    }
}

impl ClusterConfig {
    /// What the cluster is called at the broker, in client ids and in the mark of its messages: `poly2mqtt:campus` for
    /// the prefix `/poly2mqtt/campus`. No level of a prefix contains `:`, so two clusters never have the same.
    pub fn cluster_id(&self) -> String {
        self.prefix.trim_matches('/').replace('/', ":")
    }

    /// The id with which all gateways of the cluster mark what they publish of rooms.
    pub fn gateway_id(&self) -> GatewayId {
        GatewayId::of_client(&self.cluster_id())
    }

    /// # Errors
    /// Why this is not the name of a gateway.
    pub fn check_name(name: &str) -> Result<(), String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits) {
            Ok(())
        } else {
            Err(format!(
                "takes 1 to {LONGEST_NAME} letters, digits, _ and -"
            ))
        }
    }

    /// The values of a gateway that is in no cluster.
    pub(super) fn no_values() -> Values {
        let keys = Self::KEYS.iter().filter(|key| key.part_of.is_none());
        keys.map(|key| {
            let value = match key.kind {
                KeyType::Secret => KeyValue::Secret(None),
                _ => plain(None::<String>),
            };
            (key.name, value)
        })
        .collect()
    }

    /// Reads the section; none if it is not there, or a key that it needs is wrong.
    pub(super) fn read(
        mut reader: Reader<'_>,
        mqtt: Option<&MqttConfig>,
        http: &HttpConfig,
    ) -> Option<Self> {
        if !Self::KEYS.iter().any(|key| reader.has(key.name)) {
            reader.finish();
            return None;
        }
        let name = reader.required_text("name");
        if let Some(Err(wrong)) = name.as_deref().map(Self::check_name) {
            reader.error("name", wrong);
        }
        let etcd = read_etcd(&mut reader);
        let (username, password) = read_login(&mut reader);
        let ca_file = reader.file("ca_file");
        let prefix = reader.text("prefix").unwrap_or_else(|| "/poly2mqtt".into());
        if !is_prefix(&prefix) {
            reader.error(
                "prefix",
                "takes levels of letters, digits, _, - and ., each after a slash: /poly2mqtt/campus",
            );
        }
        let advertise = reader.required_text("advertise").and_then(|text| {
            let read = address(&text, ADVERTISED_URL, None);
            read.map_err(|message| reader.error("advertise", message))
                .ok()
        });
        let token = read_token(&mut reader);
        let weight = reader.integer("weight").and_then(|n| u32::try_from(n).ok());
        check_other_sections(&mut reader, mqtt, http);
        let sends_password = |url: &String| url.starts_with("http://");
        if password.is_some() && etcd.iter().flatten().any(sends_password) {
            reader.warn_of(
                "etcd",
                "the password is sent without TLS: whoever is on the way can read it",
            );
        }
        reader.finish();
        Some(Self {
            name: name?,
            etcd: etcd?,
            username,
            password,
            ca_file,
            prefix,
            advertise: advertise?,
            token: token?,
            weight: weight.unwrap_or(1),
        })
    }
}

fn read_login(reader: &mut Reader<'_>) -> (Option<String>, Option<Secret>) {
    reader.belong_together(&["username"], &["password", "password_file"]);
    let username = reader.text("username");
    let password = reader.secret("password");
    (username, password)
}

/// Whoever has this token may use every room.
fn read_token(reader: &mut Reader<'_>) -> Option<Secret> {
    let token = reader.required_secret("token");
    let is_short = |token: &Secret| token.expose().trim().len() < UNGUESSABLE_TOKEN_LENGTH;
    if token.as_ref().is_some_and(is_short) {
        reader.error(
            reader.set_of(&["token", "token_file"]),
            format!("takes at least {UNGUESSABLE_TOKEN_LENGTH} characters"),
        );
    }
    token
}

/// What a gateway of a cluster needs of the sections `mqtt` and `http`.
fn check_other_sections(reader: &mut Reader<'_>, mqtt: Option<&MqttConfig>, http: &HttpConfig) {
    if mqtt.is_some_and(|mqtt| matches!(mqtt.url, BrokerUrl::Embedded(_))) {
        reader.error(
            "",
            "the gateways of a cluster share one MQTT broker, which cannot be one of theirs; give \
             mqtt.url = \"mqtts://HOST\"",
        );
    }
    if http.listen.is_none() && !reader.is_any_wrong(&["http.listen"]) {
        reader.error(
            "",
            "the other gateways reach this one by HTTP; give http.listen an address",
        );
    }
}

fn read_etcd(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    if !reader.has("etcd") {
        reader.error("etcd", "is missing");
        return None;
    }
    let mut addresses = Vec::new();
    for text in reader.list("etcd")? {
        match address(&text, ETCD_URL, Some(ETCD_PORT)) {
            Ok(address) if addresses.contains(&address) => {
                reader.error("etcd", format!("names {address} twice"));
            }
            Ok(address) => addresses.push(address),
            Err(message) => reader.error("etcd", message),
        }
    }
    if addresses.is_empty() && !reader.is_any_wrong(&["cluster.etcd"]) {
        reader.error("etcd", ETCD_URL.takes);
    }
    Some(addresses)
}

/// The address of a server, without a slash at its end.
fn address(text: &str, form: UrlForm, port: Option<u16>) -> Result<String, String> {
    let url = ServerUrl::parse(text, form)?.of_one_server()?;
    if !matches!(&*url.scheme, "http" | "https") {
        return Err(form.takes.into());
    }
    let port = url.port.or(port).map(|port| format!(":{port}"));
    let port = port.unwrap_or_default();
    Ok(format!("{}://{}{port}", url.scheme, url.host))
}

fn is_prefix(prefix: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_level = |level: &str| !level.is_empty() && level.bytes().all(fits);
    prefix
        .strip_prefix('/')
        .is_some_and(|levels| levels.split('/').all(is_level))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cluster(prefix: &str) -> ClusterConfig {
        ClusterConfig {
            name: "gw-1".into(),
            etcd: Vec::new(),
            username: None,
            password: None,
            ca_file: None,
            prefix: prefix.into(),
            advertise: String::new(),
            token: Secret::new("secret"),
            weight: 1,
        }
    }

    #[test]
    fn a_cluster_of_one_level_is_called_as_its_prefix() {
        assert_eq!(cluster("/poly2mqtt").cluster_id(), "poly2mqtt");
        assert_eq!(
            cluster("/poly2mqtt/campus").cluster_id(),
            "poly2mqtt:campus"
        );
    }

    proptest! {
        #[test]
        fn no_two_clusters_have_the_same_id(
            one in "(/[ab._-]{1,3}){1,3}",
            other in "(/[ab._-]{1,3}){1,3}",
        ) {
            prop_assert!(is_prefix(&one) && is_prefix(&other));
            let (first, second) = (cluster(&one), cluster(&other));
            prop_assert_eq!(one == other, first.cluster_id() == second.cluster_id());
            prop_assert_eq!(one == other, first.gateway_id() == second.gateway_id());
            // The name of a gateway and that of its cluster stay apart.
            prop_assert!(!first.cluster_id().contains("::"));
        }
    }
}
