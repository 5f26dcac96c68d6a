//! Whether a server's certificate is trusted, and words for why not.
//!
//! Owns the verification of certificates, and the notes about the last handshake with a server: the TLS
//! library passes only a short text on. The words name the server and the keys of the configuration as the caller does.

mod authorities;
mod refusal;
mod verifier;

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use crate::config::Fingerprint;
use verifier::Verifier;

pub use authorities::Authorities;

/// Which certificates of a server are trusted.
#[derive(Debug)]
pub enum Trust {
    /// Exactly this one, whatever it says of itself.
    Pinned(Fingerprint),
    /// Those that one of these authorities signed.
    Authorities(Arc<Authorities>),
    /// Any.
    Anything,
    /// None: the refusal names the fingerprint to pin.
    Nothing,
}

/// How messages name a server, and what its owner can do.
#[derive(Debug)]
pub struct ServerWords {
    /// `the device`.
    pub server: &'static str,
    /// The key that holds its address, or `the url`.
    pub address_key: &'static str,
    /// The key that pins a certificate; none where only authorities are trusted.
    pub pin_key: Option<&'static str>,
    /// The key of the file with authorities.
    pub authorities_key: &'static str,
    /// Where the server's TLS port usually is.
    pub port_hint: &'static str,
    /// What helps against a server that wants a client certificate.
    pub client_certificate_hint: &'static str,
    /// Where TLS of the server is set.
    pub tls_hint: &'static str,
    /// What helps against a server that wants another protocol in TLS (ALPN).
    pub alpn_hint: &'static str,
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRefusal {
    /// Another certificate is pinned.
    pub is_other_than_pinned: bool,
    /// For people, with what to do.
    pub message: String,
}

/// The results of the last handshakes with one server.
#[derive(Debug, Default)]
pub struct Handshakes {
    seen: Mutex<Seen>,
    /// The authorities that were asked.
    authorities: Option<Arc<Authorities>>,
}

#[derive(Debug, Default)]
struct Seen {
    fingerprint: Option<Fingerprint>,
    refused: Option<CertificateRefusal>,
    wants_client_certificate: bool,
}

impl Handshakes {
    fn update<T>(&self, update: impl FnOnce(&mut Seen) -> T) -> T {
        update(&mut self.seen.lock())
    }

    /// Why the last handshake was refused, if it was. The next call gives none. Authorities are read
    /// again, so that the next try knows those that were added.
    pub async fn take_refusal(&self) -> Option<CertificateRefusal> {
        let refusal = self.update(|seen| seen.refused.take())?;
        if let Some(authorities) = &self.authorities {
            authorities.clone().read_again().await;
        }
        Some(refusal)
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
    let handshakes = Arc::new(Handshakes {
        seen: Mutex::default(),
        authorities: match &trust {
            Trust::Authorities(authorities) => Some(authorities.clone()),
            _ => None,
        },
    });
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
