//! `[http]` and `[tcp]`: where controllers and people come in, and who may.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::keys::{HTTP_TOKEN, TCP};
use super::section::Section;
use super::{RoomId, Secret};

/// A token shorter than this can be guessed.
const SHORT: usize = 16;
const LISTEN: &str = "takes ADDRESS:PORT such as \"127.0.0.1:8080\", or \"off\"";

/// `[http]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// `listen`; nowhere with `"off"`.
    pub listen: Option<SocketAddr>,
    /// `open`: take anyone from anywhere.
    pub open: bool,
    /// `hosts`: the names under which the gateway is reached, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// `tls_cert_file` and `tls_key_file`.
    pub tls: Option<TlsFiles>,
    /// `[[http.token]]`.
    pub tokens: Vec<HttpToken>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            open: false,
            hosts: Vec::new(),
            tls: None,
            tokens: Vec::new(),
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those that signed it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A token that controllers and people show.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpToken {
    /// `name`.
    pub name: String,
    /// `token` or `token_file`.
    pub token: Secret,
    /// `rooms`; all where it is not set.
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
    /// Guarded commands too.
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

/// `[tcp]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TcpConfig {
    /// `listen`; nowhere by default.
    pub listen: Option<SocketAddr>,
    /// `tls`: with the certificate of `[http]`.
    pub tls: bool,
}

impl HttpConfig {
    /// What may be shown.
    pub(super) fn redacted(&self) -> Value {
        let tokens = self.tokens.iter().map(|token| {
            let rooms = token.rooms.as_ref();
            json!({
                "name": token.name,
                "rooms": rooms.map(|rooms| rooms.iter().map(RoomId::to_string).collect::<Vec<_>>()),
                "access": token.level.as_str(),
            })
        });
        json!({
            "listen": shown(self.listen),
            "open": self.open,
            "hosts": self.hosts,
            "tls": self.tls.is_some(),
            "tokens": tokens.collect::<Vec<_>>(),
        })
    }
}

impl TcpConfig {
    /// What may be shown.
    pub(super) fn redacted(&self) -> Value {
        json!({"listen": shown(self.listen), "tls": self.tls})
    }
}

fn shown(listen: Option<SocketAddr>) -> String {
    listen.map_or("off".into(), |listen| listen.to_string())
}

/// Reads `listen`; `None` where the key is not there or is wrong.
fn read_listen(section: &mut Section<'_>) -> Option<Option<SocketAddr>> {
    let text = section.text("listen")?;
    if text == "off" {
        return Some(None);
    }
    let listen = text.replace("localhost:", "127.0.0.1:").parse().ok();
    if listen.is_none() {
        section.error("listen", LISTEN);
    }
    listen.map(Some)
}

/// Reads `[http]` and `[tcp]`, which share tokens and certificate.
pub(super) fn read(
    root: &mut Section<'_>,
    ids: &[RoomId],
    warnings: &mut Vec<String>,
) -> (HttpConfig, TcpConfig) {
    let mut section = root.section("http", super::keys::HTTP);
    let mut tcp_section = root.section("tcp", TCP);
    let base = HttpConfig::default();
    let listen = read_listen(&mut section).unwrap_or(base.listen);
    let open = section.bool("open").unwrap_or(false);
    let hosts = section.list("hosts").unwrap_or_default();
    for host in &hosts {
        if host.is_empty() || host.contains(['/', ':', ' ', '*']) {
            section.error(
                "hosts",
                "takes names without a port, such as \"av.example.com\"",
            );
        }
    }
    let tls = read_tls(&mut section);
    let tokens: Vec<HttpToken> = section
        .sections("token", HTTP_TOKEN)
        .into_iter()
        .filter_map(|section| read_token(section, ids, warnings))
        .collect();
    for (n, token) in tokens.iter().enumerate() {
        if tokens[..n].iter().any(|other| other.token == token.token) {
            section.error("token", format!("{} has the token of another", token.name));
        }
    }
    let tcp = TcpConfig {
        listen: read_listen(&mut tcp_section).flatten(),
        tls: tcp_section.bool("tls").unwrap_or(false),
    };
    if tcp.tls && tls.is_none() {
        tcp_section.error("tls", "needs http.tls_cert_file and http.tls_key_file");
    }
    let beyond = |listen: &Option<SocketAddr>| listen.is_some_and(|at| !at.ip().is_loopback());
    for (section, listen) in [(&section, listen), (&tcp_section, tcp.listen)] {
        if beyond(&listen) && tokens.is_empty() && !open {
            section.error(
                "listen",
                "listening beyond this machine needs [[http.token]], or http.open = true for \
                 anyone",
            );
        }
    }
    let plain = (beyond(&listen) && tls.is_none()) || (beyond(&tcp.listen) && !tcp.tls);
    if plain && !tokens.is_empty() {
        warnings.push(
            "tokens are sent without TLS beyond this machine: whoever is on the way can read them"
                .into(),
        );
    }
    section.finish();
    tcp_section.finish();
    let http = HttpConfig {
        listen,
        open,
        hosts,
        tls,
        tokens,
    };
    (http, tcp)
}

fn read_tls(section: &mut Section<'_>) -> Option<TlsFiles> {
    let keys = ["tls_cert_file", "tls_key_file"];
    let files = keys.map(|key| {
        let path = section.path(key)?;
        if !path.is_file() {
            section.error(key, format!("{} is not a file", path.display()));
        }
        Some(path)
    });
    match files {
        [Some(certificate), Some(key)] => Some(TlsFiles { certificate, key }),
        [None, None] => None,
        _ => {
            section.error(keys[0], "tls_cert_file and tls_key_file belong together");
            None
        }
    }
}

fn read_token(
    mut section: Section<'_>,
    ids: &[RoomId],
    warnings: &mut Vec<String>,
) -> Option<HttpToken> {
    let name = section.text("name");
    if name.is_none() {
        section.error("name", "is missing");
    }
    let given = section.has("token") || section.has("token_file");
    let token = section.secret("token");
    if !given {
        section.error("token", "is missing; give token or token_file");
    }
    if let (Some(name), Some(token)) = (&name, &token) {
        match token.expose().trim() {
            text if text.is_empty() || text != token.expose() => section.error(
                "token",
                "takes a text that is not empty, without spaces at its ends",
            ),
            text if text.len() < SHORT => warnings.push(format!(
                "the token \"{name}\" is shorter than {SHORT} characters and may be guessed"
            )),
            _ => {}
        }
    }
    let rooms = section.rooms(ids);
    let level = match section.text("access").as_deref() {
        Some("read") => AccessLevel::Read,
        Some("control") | None => AccessLevel::Control,
        Some("admin") => AccessLevel::Admin,
        Some(_) => {
            section.error("access", "takes \"read\", \"control\" or \"admin\"");
            AccessLevel::Read
        }
    };
    section.finish();
    Some(HttpToken {
        name: name?,
        token: token?,
        rooms,
        level,
    })
}
