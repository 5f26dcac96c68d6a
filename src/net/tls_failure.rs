//! Words for TLS that fails for another reason than the certificate: as the end of a sentence that begins with
//! the server, such as `it …` or `192.0.2.1:443 …`.
//!
//! Pure. The words are the same at each try.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use super::trust::{Handshakes, ServerWords};

/// Why a handshake failed; none if there was no connection for it.
pub fn handshake_failure(
    error: &(dyn Error + 'static),
    handshakes: &Handshakes,
    words: &ServerWords,
) -> Option<String> {
    let closed = || {
        if handshakes.wants_client_certificate() {
            wants_client_certificate(words)
        } else {
            format!("closes the connection when TLS begins; {}", words.port_hint)
        }
    };
    tls_failure(error, handshakes, words).or_else(|| was_closed(error).then(closed))
}

/// Why a connection that a handshake made broke, if that was TLS. A server that speaks TLS 1.3 refuses
/// the client's certificate, or that there is none, only then.
pub fn tls_failure(
    error: &(dyn Error + 'static),
    handshakes: &Handshakes,
    words: &ServerWords,
) -> Option<String> {
    let no_certificate = handshakes.wants_client_certificate();
    Some(match find_tls(error)? {
        // The first byte of an HTTP answer or of a banner is not one of TLS.
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => format!("answers, but not with TLS; {}", words.port_hint),
        rustls::Error::InvalidMessage(error) => {
            format!(
                "sends what is not valid TLS ({error:?}); {}",
                words.port_hint
            )
        }
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            format!(
                "speaks only TLS 1.1 or older, which is not safe; {} TLS 1.2",
                words.tls_hint
            )
        }
        rustls::Error::PeerMisbehaved(
            PeerMisbehaved::SelectedUnofferedCipherSuite | PeerMisbehaved::SelectedUnofferedKxGroup,
        ) => no_common_cipher(words),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => wants_client_certificate(words),
            AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::NoCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
                if no_certificate =>
            {
                wants_client_certificate(words)
            }
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                no_common_cipher(words)
            }
            AlertDescription::CertificateExpired => refuses_certificate("it has expired", words),
            AlertDescription::CertificateRevoked => refuses_certificate("it is revoked", words),
            AlertDescription::UnknownCA => {
                refuses_certificate("it does not know the authority that signed it", words)
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => refuses_certificate(&format!("{alert:?}"), words),
            AlertDescription::UnrecognisedName => {
                format!("does not know the host name in {}", words.address_key)
            }
            AlertDescription::NoApplicationProtocol => format!(
                "wants another protocol in TLS (ALPN) than the gateway asks for; {}",
                words.alpn_hint
            ),
            AlertDescription::InternalError => {
                "fails at TLS by itself (InternalError); its certificate's key may be too short"
                    .to_owned()
            }
            alert => format!("ends TLS with the alert {alert:?}"),
        },
        rustls::Error::InvalidCertificate(error) => {
            format!("shows a certificate that cannot be verified ({error})")
        }
        error => format!("cannot be talked to in TLS ({error})"),
    })
}

fn no_common_cipher(words: &ServerWords) -> String {
    format!(
        "has no cipher in common with the gateway: it offers only old ones (CBC, or key exchange by RSA or \
         DHE), or its certificate's key is too short or of a rare kind; {} ECDHE with AES-GCM or ChaCha20",
        words.tls_hint
    )
}

/// The words for a server that wants a client certificate where there is none.
pub fn wants_client_certificate(words: &ServerWords) -> String {
    format!(
        "wants a client certificate; {}",
        words.client_certificate_hint
    )
}

fn refuses_certificate(why: &str, words: &ServerWords) -> String {
    format!(
        "refuses the gateway's certificate ({why}); {}",
        words.client_certificate_hint
    )
}

/// The error of the TLS library among the causes of an error.
fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether the server closed the connection.
fn was_closed(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            )
        })
}

/// An error and all its causes. An I/O error does not count what it holds among them.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match held {
            Some(held) => Some(held),
            None => error.source(),
        }
    })
}
