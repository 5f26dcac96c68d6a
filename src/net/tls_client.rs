//! TLS towards a server whose files may be renewed at any time: they are read at each connection.
//!
//! Does not dial: [`super::dial()`] does.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pem::identity as read_identity;
use super::tls_failure::handshake_failure;
use super::trust::{Authorities, ServerWords, Trust, client_config};
use crate::config::Fingerprint;
use crate::os_error;

/// What a client trusts, shows and asks for.
#[derive(Debug, Clone, Default)]
pub struct ClientTlsSettings {
    /// The server's certificate; it is trusted whatever the authorities say.
    pub pinned: Option<Fingerprint>,
    /// A file with the authorities that are trusted; without it, those of the operating system.
    pub authorities: Option<PathBuf>,
    /// Files with the client's certificate and its key, where the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The protocols that it asks for (ALPN, RFC 7301), the preferred one first; none if it leaves that out.
    pub alpn: Vec<String>,
}

/// Speaks TLS with one server.
#[derive(Debug, Clone)]
pub struct ClientTls {
    settings: Arc<ClientTlsSettings>,
    words: &'static ServerWords,
}

impl ClientTls {
    /// A client that reads the files at each connection, and once now.
    ///
    /// # Errors
    /// A file cannot be used; the message names it and holds nothing of its content.
    pub fn new(settings: ClientTlsSettings, words: &'static ServerWords) -> Result<Self, String> {
        settings.read()?;
        Ok(Self {
            settings: Arc::new(settings),
            words,
        })
    }

    /// Does the handshake with a server that was dialled at this host.
    ///
    /// # Errors
    /// Why it failed, for people.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ClientTlsError> {
        let settings = self.settings.clone();
        // Files may be on a disk that is slow.
        let read = tokio::task::spawn_blocking(move || settings.read());
        let (trust, identity) = match read.await {
            Ok(read) => read.map_err(ClientTlsError::Files)?,
            Err(error) => return Err(ClientTlsError::Files(error.to_string())),
        };
        let (mut config, handshakes) = client_config(trust, self.words, identity, provider())
            .map_err(ClientTlsError::Files)?;
        let alpn = self.settings.alpn.iter();
        config.alpn_protocols = alpn.map(|name| name.clone().into_bytes()).collect();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ClientTlsError::Failed("has no valid host name in its url".into()))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let error = match connecting.await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if let Some(refusal) = handshakes.take_refusal().await {
            return Err(ClientTlsError::Refused(refusal.message));
        }
        Err(match handshake_failure(&error, &handshakes, self.words) {
            Some(failure) => ClientTlsError::Failed(failure),
            None => ClientTlsError::Network(error),
        })
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The client's own files cannot be used (any more).
    #[error("{0}")]
    Files(String),
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Refused(String),
    /// It cannot be done with this server.
    #[error("it {0}")]
    Failed(String),
    /// The network failed.
    #[error("{}", os_error::cause_words(.0))]
    Network(io::Error),
}

impl ClientTlsSettings {
    fn read(&self) -> Result<(Trust, Option<Arc<CertifiedKey>>), String> {
        let trust = match (self.pinned, &self.authorities) {
            (Some(pinned), _) => Trust::Pinned(pinned),
            (None, Some(file)) => Trust::Authorities(Authorities::of_file(file)?),
            (None, None) => Trust::Authorities(Authorities::of_this_machine()),
        };
        let identity = self.identity.as_ref();
        let identity =
            identity.map(|(certificate, key)| read_identity(certificate, key, &provider()));
        Ok((trust, identity.transpose()?))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    static WORDS: ServerWords = ServerWords {
        server: "the server",
        address_key: "the url",
        pin_key: Some("certificate"),
        authorities_key: "ca_file",
        port_hint: "",
        client_certificate_hint: "",
        tls_hint: "",
        alpn_hint: "",
    };

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let certificate = write("one.pem", &one.cert.pem());
        let key = write("one.key", &one.signing_key.serialize_pem());
        let other_key = write("other.key", &other.signing_key.serialize_pem());
        let missing = directory.path().join("missing.pem");
        let message = |files| ClientTls::new(files, &WORDS).map(drop);
        for (authorities, identity, wanted) in [
            (Some(&missing), None, "missing.pem cannot be used: "),
            (
                Some(&key),
                None,
                "one.key cannot be used: it holds a private key and no certificate",
            ),
            (None, Some((&missing, &key)), "missing.pem cannot be used: "),
            (
                None,
                Some((&certificate, &missing)),
                "missing.pem cannot be used: ",
            ),
            (
                None,
                Some((&key, &certificate)),
                "one.key cannot be used: it holds a private key and no certificate",
            ),
            (
                None,
                Some((&certificate, &certificate)),
                "one.pem cannot be used: ",
            ),
            (
                None,
                Some((&certificate, &other_key)),
                "other.key belongs to another certificate",
            ),
        ] {
            let files = ClientTlsSettings {
                pinned: None,
                authorities: authorities.cloned(),
                identity: identity.map(|(certificate, key)| (certificate.clone(), key.clone())),
                alpn: Vec::new(),
            };
            let message = message(files).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        }
        let identity = Some((certificate.clone(), key));
        let good = ClientTlsSettings {
            pinned: None,
            authorities: Some(certificate),
            identity,
            alpn: Vec::new(),
        };
        assert_eq!(message(good), Ok(()));
        assert_eq!(message(ClientTlsSettings::default()), Ok(()));
    }
}
