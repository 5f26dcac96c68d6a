//! The words for a certificate that is not trusted: why, and what to do.
//!
//! Pure. The words are short, so that no log cuts the fingerprint off, and the same at each try, so that
//! a log that leaves repetitions out has one line.

use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use rustls::{CertificateError, Error, RootCertStore};

use super::ServerWords;
use crate::config::Fingerprint;
use crate::net::x509::{PublicKey, X509, point_in_time};

impl ServerWords {
    /// Why no pin of this certificate can work, if none can.
    pub(super) fn unusable(
        &self,
        certificate: &[u8],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Option<String> {
        let server = self.server;
        let Some(x509) = X509::parse(certificate) else {
            return Some(format!("what {server} shows is not an X.509 certificate"));
        };
        let key = x509.key.unusable(algorithms)?;
        Some(format!(
            "{server}'s certificate has {key}, so {server} cannot be recognised by it; give {server} a new \
             certificate, with RSA of 2048 bits or ECDSA"
        ))
    }

    /// The server shows another certificate than the pinned one.
    pub(super) fn other_than_pinned(&self, seen: Fingerprint, pinned: Fingerprint) -> String {
        let server = self.server;
        let told = format!("{server} shows another certificate than {pinned}, which is pinned");
        match self.pin(seen) {
            Some(pin) => format!("{told}; if it was replaced, reset or renewed, {pin}"),
            None => told,
        }
    }

    /// Nothing says which certificate is trusted.
    pub(super) fn nothing_configured(&self, seen: Fingerprint) -> String {
        let server = self.server;
        let told = format!("no certificate is configured for this room; {server} shows {seen}");
        match self.pin(seen) {
            Some(pin) => format!("{told}: if that is your device, {pin}"),
            None => told,
        }
    }

    /// There are no authorities to ask; `missing` says why.
    pub(super) fn no_store(&self, missing: &str, seen: Fingerprint) -> String {
        match self.pin(seen) {
            Some(pin) => format!("{missing}, or {pin}"),
            None => missing.to_owned(),
        }
    }

    /// How this certificate is pinned, where one can be.
    fn pin(&self, seen: Fingerprint) -> Option<String> {
        let key = self.pin_key?;
        Some(format!("set {key} = \"{seen}\""))
    }

    /// The server's signature is not that of the certificate's key.
    pub(super) fn no_proof(&self) -> String {
        let server = self.server;
        format!(
            "{server} cannot prove that the certificate it shows is its own; something between may pretend \
             to be it"
        )
    }
}

/// A certificate that no authority vouches for.
#[derive(Debug)]
pub(super) struct Untrusted<'a> {
    pub certificate: &'a CertificateDer<'a>,
    pub seen: Fingerprint,
    pub roots: &'a RootCertStore,
    /// The authorities are those of this machine's store.
    pub is_store: bool,
    pub name: &'a ServerName<'a>,
    pub now: UnixTime,
    pub error: &'a Error,
}

impl Untrusted<'_> {
    pub fn message(
        &self,
        words: &ServerWords,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> String {
        let (reason, remedy) = match X509::parse(self.certificate) {
            Some(x509) => self.reason(&x509, words, algorithms),
            None => self.unknown_reason(),
        };
        let remedies = match (remedy, words.pin(self.seen)) {
            (Some(remedy), Some(pin)) => format!("{remedy}, or {pin} to pin it"),
            (None, Some(pin)) => format!("{pin} to pin it"),
            (Some(remedy), None) => remedy,
            (None, None) => format!(
                "make one that an authority signs, and put that authority into {}",
                words.authorities_key
            ),
        };
        format!("{}'s certificate {reason}; {remedies}", words.server)
    }

    /// What is wrong, and what else than a pin helps.
    fn reason(
        &self,
        x509: &X509<'_>,
        words: &ServerWords,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> (String, Option<String>) {
        let a_new_one = Some("make a new one".to_owned());
        let issuer = x509.issuer_name();
        if x509.version < 3 {
            let reason = format!(
                "is of X.509 version {}, which has no place for host names",
                x509.version
            );
            return (reason, a_new_one);
        }
        let same_name = self.roots.roots.iter();
        let same_name = same_name.filter(|root| root.subject.as_ref() == x509.issuer);
        let same_name: Vec<&TrustAnchor<'_>> = same_name.collect();
        if x509.is_self_signed() {
            let is_among_them = same_name
                .iter()
                .any(|root| x509.key.info.ends_with(&root.subject_public_key_info));
            let reason = match is_among_them {
                true if words.pin_key.is_none() => "is that of the authority itself",
                true => "is its own authority, which only a pin can trust",
                false => "is signed by itself",
            };
            return (reason.into(), None);
        }
        let authorities = match self.is_store {
            true => "this machine's certificate store",
            false => words.authorities_key,
        };
        if let Some(key) = same_name.iter().find_map(|root| {
            PublicKey::parse(&root.subject_public_key_info, &[])?.unusable(algorithms)
        }) {
            return (
                format!("is signed by \"{issuer}\", an authority with {key}"),
                a_new_one,
            );
        }
        let Error::InvalidCertificate(error) = self.error else {
            return self.unknown_reason();
        };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let until = x509
                    .not_after
                    .filter(|until| point_in_time(self.now).is_none_or(|now| *until < now));
                let reason = match until {
                    Some(until) => format!("expired on {}", until.date()),
                    None => "is signed by an authority whose own certificate expired".into(),
                };
                (reason, Some("renew it".into()))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let day = |at: Option<time::OffsetDateTime>| {
                    at.map_or("an unknown day".into(), |at| at.date().to_string())
                };
                let reason = format!(
                    "is valid only from {}, and it is {} by this machine's clock",
                    day(x509.not_before),
                    day(point_in_time(self.now))
                );
                (reason, Some("correct the clock".into()))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let host = self.name.to_str();
                match (x509.host_names(), x509.common_name()) {
                    (Some(names), _) => (
                        format!("is for {names}, not for {host}"),
                        Some(match words.pin_key {
                            Some(_) => format!("use that name in {}", words.address_key),
                            None => format!(
                                "use that name in {}, or make a certificate for {host}",
                                words.address_key
                            ),
                        }),
                    ),
                    (None, Some(name)) => (
                        format!(
                            "has a name only in its common name ({name}), which is not enough: it needs a \
                             subject alternative name"
                        ),
                        a_new_one,
                    ),
                    (None, None) => (format!("does not name {host}"), a_new_one),
                }
            }
            CertificateError::UnknownIssuer => match same_name.is_empty() {
                true => (
                    format!("is signed by \"{issuer}\", which is not in {authorities}"),
                    Some(match words.pin_key {
                        Some(_) => "add that authority".into(),
                        None => format!("put that authority into {}", words.authorities_key),
                    }),
                ),
                false => self.other_key(&issuer, authorities),
            },
            CertificateError::BadSignature => self.other_key(&issuer, authorities),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
                "is not made for servers (extended key usage)".into(),
                a_new_one,
            ),
            error => {
                // The library has no type for these.
                let told = error.to_string();
                if let Some(hash) = x509.weak_hash() {
                    (
                        format!("is signed with {hash}, which can be forged"),
                        a_new_one,
                    )
                } else if told.contains("CaUsedAsEndEntity") {
                    (
                        "is that of an authority (CA:TRUE), not of a server".into(),
                        a_new_one,
                    )
                } else if told.contains("EndEntityUsedAsCa") {
                    (
                        format!("is signed by \"{issuer}\", which is no authority (CA:FALSE)"),
                        a_new_one,
                    )
                } else {
                    self.unknown_reason()
                }
            }
        }
    }

    fn other_key(&self, issuer: &str, authorities: &str) -> (String, Option<String>) {
        let reason = format!("is signed by another \"{issuer}\" than that in {authorities}");
        (reason, Some("put the right one there".into()))
    }

    fn unknown_reason(&self) -> (String, Option<String>) {
        let error: String = self.error.to_string().chars().take(80).collect();
        (format!("cannot be verified ({error})"), None)
    }
}
