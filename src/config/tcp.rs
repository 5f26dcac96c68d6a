//! `[tcp]`: plain lines over bare TCP. Tokens and certificate are those of `[http]`.

use std::net::SocketAddr;

use super::HttpConfig;
use super::forms;
use super::key::{Key, KeyType, Reload, Section, Values, plain};
use super::reader::Reader;
use super::values::{OrOff, listen_text, read_listen};

/// `[tcp]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TcpConfig {
    /// `listen`; `None` for `"off"`.
    pub listen: Option<SocketAddr>,
    /// `tls`: with the certificate of `[http]`.
    pub tls: bool,
}

impl Section for TcpConfig {
    const KEYS: &'static [Key] = &[
        Key::new(
            "listen",
            KeyType::Text,
            Reload::NextStart,
            "Address and port to listen on, or `off`; beyond this machine it needs `[[http.token]]` \
             or `http.open`",
        )
        .form(forms::listen)
        .default("off")
        .in_info(),
        Key::new(
            "tls",
            KeyType::Bool,
            Reload::NextStart,
            "Speak TLS, with the certificate of `[http]`",
        )
        .default("false")
        .in_info(),
    ];

    fn values(&self) -> Values {
        Values::from([
            ("listen", plain(listen_text(self.listen))),
            ("tls", plain(self.tls)),
        ])
    }
}

impl TcpConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_>, http: &HttpConfig) -> Self {
        let tcp = Self {
            listen: read_listen(reader).and_then(OrOff::on),
            tls: reader.bool("tls").unwrap_or(false),
        };
        let is_known = !reader.is_any_wrong(&["http.tls_cert_file", "http.tls_key_file"]);
        if tcp.tls && http.tls.is_none() && is_known {
            reader.error("tls", "needs http.tls_cert_file and http.tls_key_file");
        }
        tcp
    }

    /// Takes back what takes effect at the next start.
    pub(super) fn keep_until_restart(&mut self, running: &Self) {
        self.clone_from(running);
    }
}
