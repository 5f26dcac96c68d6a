//! `[http]`: where WebSocket, HTTP and the dashboard listen.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::forms;
use super::key::{Key, KeyType, KeyValue, Reload, Section, Values, plain};
use super::reader::Reader;
use super::values::{OrOff, beyond_this_machine, listen_text, path_text, read_listen};
use super::{HttpToken, IpNetwork, RoomId};

/// `[http]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// `listen`; `None` for `"off"`.
    pub listen: Option<SocketAddr>,
    /// `open`: listen beyond this machine without tokens.
    pub open: bool,
    /// `hosts`: the names under which the gateway is reached, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// `trusted_proxies`: the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNetwork>,
    /// `tls_cert_file` and `tls_key_file`.
    pub tls: Option<TlsFiles>,
    /// `[[http.token]]`.
    pub tokens: Vec<HttpToken>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those that signed it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(([127, 0, 0, 1], 8080).into()),
            open: false,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: None,
            tokens: Vec::new(),
        }
    }
}

impl Section for HttpConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "listen",
            KeyType::Text,
            Reload::NextStart,
            "Address and port to listen on, or `off`; beyond this machine it needs `[[http.token]]` \
             or `open`",
        )
        .form(forms::listen)
        .default("127.0.0.1:8080")
        .in_use()
        .in_info(),
        Key::new(
            "open",
            KeyType::Bool,
            Reload::Now,
            "Listen beyond this machine without tokens, for anyone",
        )
        .default("false")
        .in_info(),
        Key::new(
            "hosts",
            KeyType::List,
            Reload::Now,
            "Host names under which browsers reach the gateway, besides addresses and `localhost`; \
             requests for any other name are refused",
        )
        .form(forms::host_name)
        .default("[]")
        .example("[\"av.example.com\"]")
        .in_info(),
        Key::new(
            "trusted_proxies",
            KeyType::List,
            Reload::Now,
            "Addresses or networks of reverse proxies whose `X-Forwarded-For` names the client; wrong \
             tokens then count for the client's address, not the proxy's",
        )
        .form(forms::network)
        .default("[]")
        .example("[\"127.0.0.1\", \"10.0.0.0/8\"]"),
        Key::new(
            "tls_cert_file",
            KeyType::File,
            Reload::ValueNow,
            "Certificate (PEM) for `https://` and `wss://`, with those that signed it",
        )
        .together_with("tls_key_file")
        .without("no TLS")
        .example("/etc/poly2mqtt/http.pem")
        .in_info_if_set("tls"),
        Key::new(
            "tls_key_file",
            KeyType::File,
            Reload::ValueNow,
            "The key of `tls_cert_file` (PEM)",
        )
        .together_with("tls_cert_file")
        .example("/etc/poly2mqtt/http.key"),
        Key::new(
            "token",
            KeyType::Tables(HttpToken::KEYS),
            Reload::Now,
            "The tokens that give access, one table each",
        )
        .in_info_as("tokens"),
    ];

    fn values(&self) -> Values {
        let tls = self.tls.as_ref();
        Values::from([
            ("listen", plain(listen_text(self.listen))),
            ("open", plain(self.open)),
            ("hosts", plain(self.hosts.clone())),
            (
                "trusted_proxies",
                plain(network_texts(&self.trusted_proxies)),
            ),
            (
                "tls_cert_file",
                plain(tls.map(|files| path_text(&files.certificate))),
            ),
            (
                "tls_key_file",
                plain(tls.map(|files| path_text(&files.key))),
            ),
            (
                "token",
                KeyValue::Tables(self.tokens.iter().map(Section::values).collect()),
            ),
        ])
    }
}

impl HttpConfig {
    /// Reads the section; `ids` are the rooms there are. The caller finishes the reader, after the
    /// checks that need `[tcp]` too.
    pub(super) fn read(reader: &mut Reader<'_>, ids: &[RoomId]) -> Self {
        let base = Self::default();
        let listen = read_listen(reader).map_or(base.listen, OrOff::on);
        let open = reader.bool("open").unwrap_or(base.open);
        let hosts = reader.list("hosts").unwrap_or(base.hosts);
        for host in &hosts {
            if host_name(host).is_none() {
                let form = "takes names without a port, such as \"av.example.com\"";
                let message = match url::Host::parse(host) {
                    Ok(url::Host::Domain(ascii)) if ascii != *host => {
                        format!("{form}; browsers send \"{host}\" as \"{ascii}\"")
                    }
                    _ => form.to_owned(),
                };
                reader.error("hosts", message);
            }
        }
        let trusted_proxies = read_networks(reader, "trusted_proxies");
        let tls = read_tls(reader);
        let tokens: Vec<HttpToken> = reader
            .tables("token", HttpToken::KEYS)
            .into_iter()
            .filter_map(|reader| HttpToken::read(reader, ids))
            .collect();
        for (n, token) in tokens.iter().enumerate() {
            if tokens[..n].iter().any(|other| other.token == token.token) {
                reader.error("token", format!("{} has the token of another", token.name));
            }
        }
        Self {
            listen,
            open,
            hosts,
            trusted_proxies,
            tls,
            tokens,
        }
    }

    /// Whether anyone who reaches an address may come in: tokens or `open` say so.
    pub(super) fn check_listen(&self, reader: &Reader<'_>, listen: Option<SocketAddr>) {
        let is_known = !reader.is_any_wrong(&["http.token", "http.open"]);
        if beyond_this_machine(listen) && self.tokens.is_empty() && !self.open && is_known {
            reader.error(
                "listen",
                "listening beyond this machine needs [[http.token]], or http.open = true for \
                 anyone",
            );
        }
    }

    /// Takes back what takes effect at the next start.
    pub(super) fn keep_until_restart(&mut self, running: &Self) {
        self.listen = running.listen;
        if self.tls.is_some() != running.tls.is_some() {
            self.tls.clone_from(&running.tls);
        }
    }
}

/// A host name as it is compared, in small letters and without a dot at the end; `None` if it is none.
pub fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(fits);
    name.split('.')
        .all(is_label)
        .then(|| name.to_ascii_lowercase())
}

fn read_networks(reader: &mut Reader<'_>, key: &str) -> Vec<IpNetwork> {
    let texts = reader.list(key).unwrap_or_default();
    let networks: Vec<IpNetwork> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    if networks.len() < texts.len() {
        reader.error(
            key,
            "takes addresses or networks, such as \"127.0.0.1\" or \"10.0.0.0/8\"",
        );
    }
    networks
}

fn network_texts(networks: &[IpNetwork]) -> Vec<String> {
    networks.iter().map(IpNetwork::to_string).collect()
}

fn read_tls(reader: &mut Reader<'_>) -> Option<TlsFiles> {
    reader.belong_together(&["tls_cert_file"], &["tls_key_file"]);
    let [certificate, key] = ["tls_cert_file", "tls_key_file"].map(|key| reader.file(key));
    let (certificate, key) = certificate.zip(key)?;
    Some(TlsFiles { certificate, key })
}
