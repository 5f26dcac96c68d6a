//! What a certificate says of itself: version, names, dates, key.
//!
//! Also reads certificates that the TLS library refuses to look at, such as version 1, so that a refusal can
//! be explained and the key of a pinned certificate can be used. Verifies nothing.
//! Pure. RFC 5280 section 4.1.

mod der;
mod public_key;

use rustls::pki_types::UnixTime;
use time::{Date, Month, OffsetDateTime, Time};

use der::{Der, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET};

use crate::visible::without_invisible;
pub use public_key::PublicKey;

/// The longest name that a message shows, in characters.
const LONGEST_NAME: usize = 40;
/// The most names that a message shows.
const MOST_NAMES: usize = 3;

// Object identifiers, without tag and length.
const MD5_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04];
const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
const SHA1_WITH_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

// Tags that depend on their place: version, extensions, and the names of a host.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// A certificate that was read.
#[derive(Debug)]
pub struct X509<'a> {
    /// 1 to 3.
    pub version: u8,
    /// Valid from, if the date can be read.
    pub not_before: Option<OffsetDateTime>,
    /// Valid until, if the date can be read.
    pub not_after: Option<OffsetDateTime>,
    /// The public key.
    pub key: PublicKey<'a>,
    /// The name of the one who signed it: the content of the Name.
    pub issuer: &'a [u8],
    subject: &'a [u8],
    signature_algorithm: &'a [u8],
    host_names: Vec<String>,
}

impl<'a> X509<'a> {
    /// Reads a certificate in DER form; none if it is not one.
    pub fn parse(certificate: &'a [u8]) -> Option<Self> {
        let mut signed = Der(Der(certificate).take(SEQUENCE)?);
        let mut fields = Der(signed.take(SEQUENCE)?);
        let version = match fields.take_if(VERSION) {
            Some(version) => Der(version).element()?.content.last()?.checked_add(1)?,
            None => 1,
        };
        let _serial = fields.element()?;
        let signature_algorithm = Der(fields.take(SEQUENCE)?).take(OBJECT_IDENTIFIER)?;
        let issuer = fields.take(SEQUENCE)?;
        let mut validity = Der(fields.take(SEQUENCE)?);
        let not_before = date(&mut validity);
        let not_after = date(&mut validity);
        let subject = fields.take(SEQUENCE)?;
        let key = fields.element().filter(|info| info.tag == SEQUENCE)?;
        let key = PublicKey::parse(key.content, key.whole)?;
        let mut host_names = Vec::new();
        while let Some(field) = fields.element() {
            if field.tag == EXTENSIONS {
                host_names = alternative_names(field.content).unwrap_or_default();
            }
        }
        Some(Self {
            version,
            not_before,
            not_after,
            key,
            issuer,
            subject,
            signature_algorithm,
            host_names,
        })
    }

    /// Whether it names itself as the one who signed it.
    pub fn is_self_signed(&self) -> bool {
        self.issuer == self.subject
    }

    /// Whether the other one names this one's owner as the one who signed it.
    pub fn is_authority_of(&self, other: &X509<'_>) -> bool {
        self.subject == other.issuer
    }

    /// The host names and addresses of the subject alternative name: a few, with `…` if there are
    /// more; none if there is no such name.
    pub fn host_names(&self) -> Option<String> {
        let shown = self.host_names.iter().take(MOST_NAMES).cloned();
        let mut shown: Vec<String> = shown.collect();
        if shown.len() < self.host_names.len() {
            shown.push("…".into());
        }
        (!shown.is_empty()).then(|| shown.join(", "))
    }

    /// The common name of the subject.
    pub fn common_name(&self) -> Option<String> {
        attribute(self.subject, COMMON_NAME)
    }

    /// The name of the one who signed it.
    pub fn issuer_name(&self) -> String {
        let name = attribute(self.issuer, COMMON_NAME);
        let name = name.or_else(|| attribute(self.issuer, ORGANIZATION));
        name.unwrap_or_else(|| "a nameless authority".into())
    }

    /// The hash of its signature, if that is one that can be forged.
    pub fn weak_hash(&self) -> Option<&'static str> {
        match self.signature_algorithm {
            SHA1_WITH_RSA | SHA1_WITH_ECDSA => Some("SHA-1"),
            MD5_WITH_RSA => Some("MD5"),
            _ => None,
        }
    }
}

/// The point in time that the verification uses.
pub fn point_in_time(now: UnixTime) -> Option<OffsetDateTime> {
    let seconds = i64::try_from(now.as_secs()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// The next date: a UTCTime (`YYMMDDHHMMSSZ`) or a GeneralizedTime (`YYYYMMDDHHMMSSZ`).
fn date(fields: &mut Der<'_>) -> Option<OffsetDateTime> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let field = fields.element()?;
    let digits = field.content.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| {
        let add = |sum: u16, digit: &u8| match digit {
            b'0'..=b'9' => Some(sum * 10 + u16::from(digit - b'0')),
            _ => None,
        };
        digits.iter().try_fold(0, add)
    };
    let (year, rest) = match (field.tag, digits.len()) {
        // RFC 5280: from 1950 to 2049.
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            let century = if year < 50 { 2000 } else { 1900 };
            (century + year, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let mut parts = rest.chunks(2).map(number);
    let mut part = || u8::try_from(parts.next()??).ok();
    let month = Month::try_from(part()?).ok()?;
    let date = Date::from_calendar_date(year.into(), month, part()?).ok()?;
    let time = Time::from_hms(part()?, part()?, part()?).ok()?;
    Some(OffsetDateTime::new_utc(date, time))
}

/// The first attribute of this kind in a name.
fn attribute(name: &[u8], kind: &[u8]) -> Option<String> {
    let mut name = Der(name);
    while let Some(set) = name.element().filter(|set| set.tag == SET) {
        let mut attribute = Der(Der(set.content).take(SEQUENCE)?);
        if attribute.take(OBJECT_IDENTIFIER)? == kind {
            return Some(shown(attribute.element()?.content));
        }
    }
    None
}

/// The names of hosts among the extensions.
fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(Der(extensions).take(SEQUENCE)?);
    while let Some(extension) = extensions.element() {
        let mut extension = Der(extension.content);
        if extension.take(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        // A flag may stand between: whether the extension must be understood.
        let value = loop {
            let field = extension.element()?;
            if field.tag == OCTET_STRING {
                break field.content;
            }
        };
        let mut fields = Der(Der(value).take(SEQUENCE)?);
        let mut names = Vec::new();
        while let Some(name) = fields.element() {
            match (name.tag, name.content) {
                (DNS_NAME, name) => names.push(shown(name)),
                (IP_ADDRESS, ip) => names.extend(ip_address(ip)),
                _ => {}
            }
        }
        return Some(names);
    }
    None
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|ip| ip.to_string())
}

/// A name as messages show it: short, in one line.
fn shown(name: &[u8]) -> String {
    without_invisible(&String::from_utf8_lossy(name), LONGEST_NAME)
}

#[cfg(test)]
mod tests;
