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
        let reason = match X509::parse(self.certificate) {
            Some(x509) => Finding {
                untrusted: self,
                x509: &x509,
                words,
                algorithms,
            }
            .reason(),
            None => self.unknown_reason(),
        };
        let remedies = match (reason.remedy, words.pin(self.seen)) {
            (Some(remedy), Some(pin)) => format!("{remedy}, or {pin} to pin it"),
            (None, Some(pin)) => format!("{pin} to pin it"),
            (Some(remedy), None) => remedy,
            (None, None) => format!(
                "make one that an authority signs, and put that authority into {}",
                words.authorities_key
            ),
        };
        format!("{}'s certificate {}; {remedies}", words.server, reason.why)
    }

    fn unknown_reason(&self) -> Reason {
        let error: String = self.error.to_string().chars().take(80).collect();
        Reason::new(format!("cannot be verified ({error})"))
    }
}

/// What is wrong with a certificate.
struct Reason {
    /// It follows "…'s certificate".
    why: String,
    /// What else than a pin helps.
    remedy: Option<String>,
}

impl Reason {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            remedy: None,
        }
    }

    /// Only another certificate helps.
    fn of_another(why: impl Into<String>) -> Self {
        Self::new(why).remedy("make a new one")
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

/// A certificate that could be read, and all that its reason depends on.
struct Finding<'a> {
    untrusted: &'a Untrusted<'a>,
    x509: &'a X509<'a>,
    words: &'a ServerWords,
    algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
}

impl Finding<'_> {
    fn reason(&self) -> Reason {
        if self.x509.version < 3 {
            let version = self.x509.version;
            return Reason::of_another(format!(
                "is of X.509 version {version}, which has no place for host names"
            ));
        }
        if self.x509.is_self_signed() {
            return self.self_signed();
        }
        if let Some(reason) = self.weak_authority() {
            return reason;
        }
        let Error::InvalidCertificate(error) = self.untrusted.error else {
            return self.untrusted.unknown_reason();
        };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => self.expired(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                self.not_valid_yet()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                self.other_name()
            }
            CertificateError::UnknownIssuer if self.namesakes().next().is_none() => {
                self.unknown_issuer()
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => self.other_key(),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Reason::of_another("is not made for servers (extended key usage)")
            }
            error => self.untyped(error),
        }
    }

    /// The trusted authorities with the name of the one that signed the certificate.
    fn namesakes(&self) -> impl Iterator<Item = &TrustAnchor<'_>> {
        let roots = self.untrusted.roots.roots.iter();
        roots.filter(|root| root.subject.as_ref() == self.x509.issuer)
    }

    /// What holds the trusted authorities.
    fn authorities(&self) -> &str {
        if self.untrusted.is_store {
            "this machine's certificate store"
        } else {
            self.words.authorities_key
        }
    }

    fn self_signed(&self) -> Reason {
        let key = self.x509.key.info;
        let is_trusted = self
            .namesakes()
            .any(|root| key.ends_with(&root.subject_public_key_info));
        Reason::new(match is_trusted {
            true if self.words.pin_key.is_none() => "is that of the authority itself",
            true => "is its own authority, which only a pin can trust",
            false => "is signed by itself",
        })
    }

    /// The authority is trusted, but its key is none that can be used.
    fn weak_authority(&self) -> Option<Reason> {
        let key = self.namesakes().find_map(|root| {
            PublicKey::parse(&root.subject_public_key_info, &[])?.unusable(self.algorithms)
        })?;
        let issuer = self.x509.issuer_name();
        let why = format!("is signed by \"{issuer}\", an authority with {key}");
        Some(Reason::of_another(why))
    }

    fn expired(&self) -> Reason {
        let now = point_in_time(self.untrusted.now);
        let until = self.x509.not_after;
        let until = until.filter(|until| now.is_none_or(|now| *until < now));
        let reason = match until {
            Some(until) => Reason::new(format!("expired on {}", until.date())),
            None => Reason::new("is signed by an authority whose own certificate expired"),
        };
        reason.remedy("renew it")
    }

    fn not_valid_yet(&self) -> Reason {
        let day = |at: Option<time::OffsetDateTime>| {
            at.map_or("an unknown day".into(), |at| at.date().to_string())
        };
        let from = day(self.x509.not_before);
        let now = day(point_in_time(self.untrusted.now));
        let why = format!("is valid only from {from}, and it is {now} by this machine's clock");
        Reason::new(why).remedy("correct the clock")
    }

    fn other_name(&self) -> Reason {
        let host = self.untrusted.name.to_str();
        match (self.x509.host_names(), self.x509.common_name()) {
            (Some(names), _) => {
                let key = self.words.address_key;
                Reason::new(format!("is for {names}, not for {host}")).remedy(
                    match self.words.pin_key {
                        Some(_) => format!("use that name in {key}"),
                        None => {
                            format!("use that name in {key}, or make a certificate for {host}")
                        }
                    },
                )
            }
            (None, Some(name)) => Reason::of_another(format!(
                "has a name only in its common name ({name}), which is not enough: it needs a subject \
                 alternative name"
            )),
            (None, None) => Reason::of_another(format!("does not name {host}")),
        }
    }

    fn unknown_issuer(&self) -> Reason {
        let (issuer, authorities) = (self.x509.issuer_name(), self.authorities());
        let why = format!("is signed by \"{issuer}\", which is not in {authorities}");
        Reason::new(why).remedy(match self.words.pin_key {
            Some(_) => "add that authority".into(),
            None => format!("put that authority into {}", self.words.authorities_key),
        })
    }

    /// An authority of this name is trusted, but not this one.
    fn other_key(&self) -> Reason {
        let (issuer, authorities) = (self.x509.issuer_name(), self.authorities());
        let why = format!("is signed by another \"{issuer}\" than that in {authorities}");
        Reason::new(why).remedy("put the right one there")
    }

    /// Errors for which the library has no type.
    fn untyped(&self, error: &CertificateError) -> Reason {
        let told = error.to_string();
        if let Some(hash) = self.x509.weak_hash() {
            return Reason::of_another(format!("is signed with {hash}, which can be forged"));
        }
        if told.contains("CaUsedAsEndEntity") {
            return Reason::of_another("is that of an authority (CA:TRUE), not of a server");
        }
        if told.contains("EndEntityUsedAsCa") {
            let issuer = self.x509.issuer_name();
            let why = format!("is signed by \"{issuer}\", which is no authority (CA:FALSE)");
            return Reason::of_another(why);
        }
        self.untrusted.unknown_reason()
    }
}
