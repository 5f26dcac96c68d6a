//! Whether a device's certificate is the right one.
//!
//! Devices sign their own certificates, so a room pins the fingerprint. Owns the TLS settings and
//! remembers why the last handshake was refused, which no HTTP client passes on.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::problem::{Problem, ProblemCode};
use crate::config::{Certificate, Fingerprint};

/// What the last handshakes said.
#[derive(Debug, Default)]
pub struct Handshakes {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    fingerprint: Option<Fingerprint>,
    refused: Option<Problem>,
}

impl Handshakes {
    fn update(&self, update: impl FnOnce(&mut Seen)) {
        update(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why the last handshake was refused, if it was; asking forgets it.
    pub fn take_refusal(&self) -> Option<Problem> {
        let mut refused = None;
        self.update(|seen| refused = seen.refused.take());
        refused
    }

    /// The fingerprint of the certificate the device showed last.
    pub fn fingerprint(&self) -> Option<String> {
        let mut fingerprint = None;
        self.update(|seen| fingerprint = seen.fingerprint);
        fingerprint.map(|fingerprint| fingerprint.to_string())
    }
}

/// The same for every room.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// The TLS settings for a device, and what its handshakes will have said.
///
/// # Errors
/// A CA file that cannot be read, or no usable root certificates.
pub fn client_config(certificate: &Certificate) -> Result<(ClientConfig, Arc<Handshakes>), String> {
    let provider = PROVIDER.clone();
    let handshakes = Arc::<Handshakes>::default();
    let rule = match certificate {
        Certificate::Pinned(fingerprint) => Trust::Pinned(*fingerprint),
        Certificate::Unset => Trust::Nothing,
        Certificate::Insecure => Trust::Anything,
        Certificate::System => Trust::Authority(
            rustls_platform_verifier::Verifier::new(provider.clone())
                .map(Arc::new)
                .map_err(|error| format!("the system's certificates cannot be used: {error}"))?,
        ),
        Certificate::CaFile(path) => {
            let wrong = |error: &dyn std::fmt::Display| {
                format!("ca_file {} cannot be used: {error}", path.display())
            };
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| wrong(&error))?;
            Trust::Authority(verifier)
        }
    };
    let verifier = Verifier {
        trust: rule,
        provider: provider.clone(),
        handshakes: handshakes.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // The library would keep places for 32 servers, 15 KB a room. Rooms share none: what one trusts
    // must not let another in.
    config.resumption = Resumption::in_memory_sessions(1);
    Ok((config, handshakes))
}

#[derive(Debug)]
enum Trust {
    Pinned(Fingerprint),
    Authority(Arc<dyn ServerCertVerifier>),
    Anything,
    Nothing,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    handshakes: Arc<Handshakes>,
}

impl Verifier {
    fn refuse(&self, code: ProblemCode, message: String) -> Error {
        self.handshakes
            .update(|seen| seen.refused = Some(Problem::new(code, message)));
        Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        // SHA-256 is always 32 bytes long.
        let bytes = digest
            .as_ref()
            .try_into()
            .map_err(|_| Error::General("digest".into()))?;
        let seen = Fingerprint(bytes);
        self.handshakes
            .update(|handshakes| handshakes.fingerprint = Some(seen));
        match &self.trust {
            Trust::Anything => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pinned) if seen == *pinned => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Pinned(pinned) => Err(self.refuse(
                ProblemCode::CertificateChanged,
                format!(
                    "the device shows certificate {seen}, but {pinned} is pinned; if the device was \
                     replaced or reset, set certificate = \"{seen}\""
                ),
            )),
            Trust::Nothing => Err(self.refuse(
                ProblemCode::CertificateUnknown,
                format!(
                    "no certificate is configured for this room; the device shows {seen}: if that \
                     is your device, set certificate = \"{seen}\""
                ),
            )),
            Trust::Authority(authority) => authority
                .verify_server_cert(certificate, intermediates, name, ocsp, now)
                .map_err(|error| {
                    self.refuse(
                        ProblemCode::CertificateUnknown,
                        format!(
                            "the device's certificate {seen} is not signed by a trusted authority \
                             ({error}); to pin it, set certificate = \"{seen}\""
                        ),
                    )
                }),
        }
    }

    /// Without this anyone could replay the device's public certificate.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
