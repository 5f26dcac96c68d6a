//! Which certificate of a device is trusted, and the words for a device.
//!
//! Devices sign their own certificates, so a room pins the fingerprint. `net::trust` verifies.

use std::error::Error;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;

use super::problem::{Problem, ProblemCode};
use crate::config::Certificate;
use crate::net::{self, Authorities, CertificateRefusal, Handshakes, ServerWords, Trust};

static DEVICE_WORDS: ServerWords = ServerWords {
    server: "the device",
    address_key: "the url",
    pin_key: Some("certificate"),
    authorities_key: "ca_file",
    port_hint: "a device's HTTPS port is 443, if the room's url does not say otherwise",
    client_certificate_hint: "the gateway has none: turn the validation of web clients off at the device",
    tls_hint: "update the device's firmware, or let it offer",
    alpn_hint: "the gateway speaks HTTP/1.1",
};

/// The TLS settings for a device with this cryptography, and where its handshakes will be noted.
///
/// # Errors
/// A CA file that cannot be used.
pub fn client_config(
    certificate: &Certificate,
    provider: Arc<CryptoProvider>,
) -> Result<(ClientConfig, Arc<Handshakes>), String> {
    let trust = match certificate {
        Certificate::Pinned(fingerprint) => Trust::Pinned(*fingerprint),
        Certificate::Unset => Trust::Nothing,
        Certificate::Insecure => Trust::Anything,
        Certificate::System => Trust::Authorities(Authorities::of_this_machine()),
        Certificate::CaFile(path) => {
            let authorities = Authorities::of_file(path);
            Trust::Authorities(authorities.map_err(|error| format!("ca_file {error}"))?)
        }
    };
    let (mut config, handshakes) = net::client_config(trust, &DEVICE_WORDS, None, provider)?;
    // Enough for one device: the default, for many servers, takes 15 KB a room. Rooms do not share a
    // cache: a certificate that one room trusts must not be accepted for another. A client that keeps
    // its connections open turns the cache off.
    config.resumption = Resumption::in_memory_sessions(1);
    Ok((config, handshakes))
}

/// Why the handshake with the device at `address` failed, if it was TLS.
pub fn handshake_problem(
    address: &str,
    error: &(dyn Error + 'static),
    handshakes: &Handshakes,
) -> Option<Problem> {
    let failure = net::handshake_failure(error, handshakes, &DEVICE_WORDS)?;
    Some(offline(address, &failure))
}

/// Why a connection broke after its handshake, if that was TLS.
pub fn late_problem(
    address: &str,
    error: &(dyn Error + 'static),
    handshakes: &Handshakes,
) -> Option<Problem> {
    let failure = net::tls_failure(error, handshakes, &DEVICE_WORDS);
    let wanted = || {
        // The alert that says so may be lost, since the device closes the connection right after it.
        let wanted = handshakes.wants_client_certificate();
        wanted.then(|| net::wants_client_certificate(&DEVICE_WORDS))
    };
    Some(offline(address, &failure.or_else(wanted)?))
}

fn offline(address: &str, failure: &str) -> Problem {
    Problem::new(ProblemCode::Offline, format!("{address} {failure}"))
}

impl From<CertificateRefusal> for Problem {
    fn from(refusal: CertificateRefusal) -> Self {
        let code = if refusal.is_other_than_pinned {
            ProblemCode::CertificateChanged
        } else {
            ProblemCode::CertificateUnknown
        };
        Self::new(code, refusal.message)
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::config::Fingerprint;
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
        let shown = handshakes.fingerprint().unwrap().to_string();
        assert!(!accepted);
        let problem = handshakes.take_refusal().await.map(Problem::from).unwrap();
        assert_eq!(problem.code, ProblemCode::CertificateUnknown);
        assert!(
            problem
                .message
                .contains(&format!("set certificate = \"{shown}\""))
        );
        assert!(handshakes.take_refusal().await.is_none());

        let pinned = Certificate::parse(&shown).unwrap();
        let (accepted, handshakes) = shake_hands(&device, &pinned).await;
        assert!(accepted);
        assert_eq!(handshakes.fingerprint().unwrap().to_string(), shown);
        assert!(handshakes.take_refusal().await.is_none());

        let another = Fingerprint([7; 32]);
        let (accepted, handshakes) = shake_hands(&device, &Certificate::Pinned(another)).await;
        assert!(!accepted);
        let problem = handshakes.take_refusal().await.map(Problem::from).unwrap();
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
        let problem = handshakes.take_refusal().await.map(Problem::from).unwrap();
        assert_eq!(problem.code, ProblemCode::CertificateUnknown);
        assert!(problem.message.contains("is signed by itself"));
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
