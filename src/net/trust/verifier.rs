//! The verification in a handshake: the certificate, and the proof that the server holds its key.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::refusal::Untrusted;
use super::{CertificateRefusal, Handshakes, ServerWords, Trust};
use crate::config::Fingerprint;
use crate::net::x509::{PublicKey, X509};

/// Verifies certificates as [`Trust`] says.
#[derive(Debug)]
pub struct Verifier {
    pub trust: Trust,
    pub words: &'static ServerWords,
    pub provider: Arc<CryptoProvider>,
    pub handshakes: Arc<Handshakes>,
}

impl Verifier {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    fn refuse(&self, is_other_than_pinned: bool, message: String) -> Error {
        let refusal = CertificateRefusal {
            is_other_than_pinned,
            message,
        };
        self.handshakes.update(|seen| seen.refused = Some(refusal));
        CertificateError::ApplicationVerificationFailure.into()
    }

    /// Asks the authorities.
    fn ask(
        &self,
        roots: Arc<RootCertStore>,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(certificate, intermediates, name, &[], now)
            .map(drop)
    }

    /// Proves that the server holds the certificate's key. Without it, anyone could replay the
    /// server's public certificate. Only the key is needed, so certificates that the library cannot
    /// read, such as version 1, can be pinned.
    fn verify_signature(
        &self,
        certificate: &CertificateDer<'_>,
        is_signature_of: impl FnOnce(PublicKey<'_>) -> bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Where any certificate is accepted, a proof would prove nothing. Without it, keys that cannot
        // be verified work too.
        let is_valid = matches!(self.trust, Trust::Anything)
            || X509::parse(certificate).is_some_and(|x509| is_signature_of(x509.key));
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(self.refuse(false, self.words.no_proof()))
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        // SHA-256 is always 32 bytes long.
        let bytes = digest
            .as_ref()
            .try_into()
            .map_err(|_| Error::General("digest".into()))?;
        let seen = Fingerprint(bytes);
        self.handshakes.update(|handshakes| {
            handshakes.fingerprint = Some(seen);
            handshakes.refused = None;
        });
        if matches!(self.trust, Trust::Anything) {
            return Ok(ServerCertVerified::assertion());
        }
        let is_pinned = matches!(&self.trust, Trust::Pinned(pinned) if *pinned == seen);
        let is_other = matches!(self.trust, Trust::Pinned(_)) && !is_pinned;
        // Before a pin is advised: with such a key it could not work.
        if let Some(unusable) = self.words.unusable(certificate, self.algorithms().all) {
            return Err(self.refuse(is_other, unusable));
        }
        let roots = match &self.trust {
            Trust::Pinned(_) if is_pinned => return Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pinned) => {
                return Err(self.refuse(true, self.words.other_than_pinned(seen, *pinned)));
            }
            Trust::Anything | Trust::Nothing => {
                return Err(self.refuse(false, self.words.nothing_configured(seen)));
            }
            Trust::Authorities(authorities) => authorities
                .roots()
                .map_err(|missing| self.refuse(false, self.words.no_store(&missing, seen)))?,
        };
        self.ask(roots.clone(), certificate, intermediates, name, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|error| {
                let message = Untrusted {
                    certificate,
                    seen,
                    roots: &roots,
                    is_store: matches!(&self.trust, Trust::Authorities(known) if known.are_of_this_machine()),
                    name,
                    now,
                    error: &error,
                }
                .message(self.words, self.algorithms().all);
                self.refuse(false, message)
            })
    }

    /// A scheme of TLS 1.2 leaves the curve of a key open, so each algorithm may be the right one.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut schemes = self.algorithms().mapping.iter();
        let algorithms = schemes
            .find(|(scheme, _)| *scheme == signed.scheme)
            .map_or(&[][..], |(_, algorithms)| algorithms);
        self.verify_signature(certificate, |key| {
            key.verify(algorithms, message, signed.signature())
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(certificate, |key| {
            let info = key.info.into();
            verify_tls13_signature_with_raw_key(message, &info, signed, self.algorithms()).is_ok()
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
