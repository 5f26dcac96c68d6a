//! Whether a device's certificate is the right one.
//!
//! Devices sign their own certificates, so a room pins the fingerprint. Owns the TLS settings, and
//! remembers why the last handshake was refused: the HTTP client passes only a short text on.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::problem::{Problem, ProblemCode};
use crate::config::{Certificate, Fingerprint};

/// The results of the last handshakes with one device.
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

    /// Why the last handshake was refused, if it was. The next call gives none.
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

/// The TLS settings for a device with this cryptography, and where its handshakes will be noted.
///
/// # Errors
/// A CA file that cannot be read, or no usable root certificates.
pub fn client_config(
    certificate: &Certificate,
    provider: Arc<CryptoProvider>,
) -> Result<(ClientConfig, Arc<Handshakes>), String> {
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
    // Enough for one device: the default, for many servers, takes 15 KB a room. Rooms do not share a
    // cache: a certificate that one room trusts must not be accepted for another. A client that keeps
    // its connections open turns the cache off.
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

    /// Proves that the peer holds the certificate's key. Without it, anyone could replay the
    /// device's public certificate.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::test_device::TestDevice;
    use crate::net::dial;

    fn ring() -> Arc<CryptoProvider> {
        rustls::crypto::ring::default_provider().into()
    }

    /// A handshake with this device, and what it left behind.
    async fn shake_hands(
        device: &TestDevice,
        certificate: &Certificate,
    ) -> (bool, Arc<Handshakes>) {
        let (config, handshakes) = client_config(certificate, ring()).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = dial("127.0.0.1", device.url.port().unwrap()).await.unwrap();
        (connector.connect(name, stream).await.is_ok(), handshakes)
    }

    #[tokio::test]
    async fn the_pinned_certificate_is_accepted_and_no_other() {
        let device = TestDevice::that_answers("", false).await;
        let (accepted, handshakes) = shake_hands(&device, &Certificate::Unset).await;
        let shown = handshakes.fingerprint().unwrap();
        assert!(!accepted);
        let problem = handshakes.take_refusal().unwrap();
        assert_eq!(problem.code, ProblemCode::CertificateUnknown);
        assert!(
            problem
                .message
                .contains(&format!("set certificate = \"{shown}\""))
        );
        assert!(handshakes.take_refusal().is_none());

        let pinned = Certificate::parse(&shown).unwrap();
        let (accepted, handshakes) = shake_hands(&device, &pinned).await;
        assert!(accepted);
        assert_eq!(handshakes.fingerprint(), Some(shown.clone()));
        assert!(handshakes.take_refusal().is_none());

        let another = Fingerprint([7; 32]);
        let (accepted, handshakes) = shake_hands(&device, &Certificate::Pinned(another)).await;
        assert!(!accepted);
        let problem = handshakes.take_refusal().unwrap();
        assert_eq!(problem.code, ProblemCode::CertificateChanged);
        for fingerprint in [another.to_string(), shown] {
            assert!(
                problem.message.contains(&fingerprint),
                "{}",
                problem.message
            );
        }
    }

    #[tokio::test]
    async fn a_certificate_of_no_known_authority_is_refused_and_insecure_takes_any() {
        let device = TestDevice::that_answers("", false).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&file, other.cert.pem()).unwrap();
        let (accepted, handshakes) = shake_hands(&device, &Certificate::CaFile(file)).await;
        assert!(!accepted);
        let problem = handshakes.take_refusal().unwrap();
        assert_eq!(problem.code, ProblemCode::CertificateUnknown);
        assert!(
            problem
                .message
                .contains("not signed by a trusted authority")
        );
        assert!(shake_hands(&device, &Certificate::Insecure).await.0);
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        let wrong = directory.path().join("wrong.pem");
        let text = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        std::fs::write(&wrong, text).unwrap();
        for file in [missing, wrong] {
            let error = client_config(&Certificate::CaFile(file.clone()), ring()).unwrap_err();
            assert!(error.contains(&file.display().to_string()), "{error}");
        }
    }
}
