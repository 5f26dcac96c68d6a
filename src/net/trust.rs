//! Whether a server's certificate is trusted, and words for why not.
//!
//! Owns the verification of certificates, and the notes about the last handshake with a server: the TLS
//! library passes only a short text on. The words name the server and the keys of the configuration as the caller does.

mod refusal;
mod store;
mod verifier;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

use super::pem::{certificates, unusable};
use crate::config::Fingerprint;
use store::system_roots;
use verifier::Verifier;

/// Which certificates of a server are trusted.
#[derive(Debug)]
pub enum Trust {
    /// Exactly this one, whatever it says of itself.
    Pinned(Fingerprint),
    /// Those that an authority of this machine's certificate store signed.
    System,
    /// Those that one of these authorities signed.
    Authorities(Arc<RootCertStore>),
    /// Any.
    Anything,
    /// None: the refusal names the fingerprint to pin.
    Nothing,
}

impl Trust {
    /// The authorities of a PEM file.
    ///
    /// # Errors
    /// The file cannot be used; the message names it.
    pub fn authorities(file: &Path) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(file, &error))?;
        }
        if roots.is_empty() {
            return Err(unusable(file, &"it holds no certificate"));
        }
        Ok(Self::Authorities(Arc::new(roots)))
    }
}

/// How messages name a server, and what its owner can do.
#[derive(Debug)]
pub struct ServerWords {
    /// `the device`.
    pub server: &'static str,
    /// The key that pins a certificate.
    pub pin_key: &'static str,
    /// The key of the file with authorities.
    pub authorities_key: &'static str,
    /// Where the server's TLS port usually is.
    pub port_hint: &'static str,
    /// What helps against a server that wants a client certificate.
    pub client_certificate_hint: &'static str,
    /// Where TLS of the server is set.
    pub tls_hint: &'static str,
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Another certificate is pinned.
    pub is_other_than_pinned: bool,
    /// For people, with what to do.
    pub message: String,
}

/// The results of the last handshakes with one server.
#[derive(Debug, Default)]
pub struct Handshakes {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    fingerprint: Option<Fingerprint>,
    refused: Option<Refusal>,
    wants_client_certificate: bool,
}

impl Handshakes {
    fn update<T>(&self, update: impl FnOnce(&mut Seen) -> T) -> T {
        update(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the last handshake was refused, if it was. The next call gives none.
    pub fn take_refusal(&self) -> Option<Refusal> {
        self.update(|seen| seen.refused.take())
    }

    /// The fingerprint of the certificate that the server showed last.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.update(|seen| seen.fingerprint)
    }

    /// The server asked for a client certificate, got none, and has not answered since.
    pub fn wants_client_certificate(&self) -> bool {
        self.update(|seen| seen.wants_client_certificate)
    }

    /// The server answered: it does without a client certificate.
    pub fn answered(&self) {
        self.update(|seen| seen.wants_client_certificate = false);
    }
}

/// The TLS settings towards one server, and where its handshakes are noted. `identity` is shown
/// where the server asks for a client certificate.
///
/// # Errors
/// The cryptography lacks what TLS needs.
pub fn client_config(
    trust: Trust,
    words: &'static ServerWords,
    identity: Option<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
) -> Result<(ClientConfig, Arc<Handshakes>), String> {
    let handshakes = Arc::<Handshakes>::default();
    if matches!(trust, Trust::System) {
        // Reads the store now: a handshake must not wait for files. An empty store is reported then.
        let _ = system_roots();
    }
    let verifier = Verifier {
        trust,
        words,
        provider: provider.clone(),
        handshakes: handshakes.clone(),
    };
    let identity = Identity {
        identity,
        handshakes: handshakes.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // The library's word for a verifier of one's own.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(identity));
    Ok((config, handshakes))
}

/// Shows the client's certificate, and notes that one was wanted where there is none.
#[derive(Debug)]
struct Identity {
    identity: Option<Arc<CertifiedKey>>,
    handshakes: Arc<Handshakes>,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if self.identity.is_none() {
            self.handshakes
                .update(|seen| seen.wants_client_certificate = true);
        }
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}

#[cfg(test)]
mod tests;
