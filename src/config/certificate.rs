//! Which certificate of a device is trusted, and the text form of a fingerprint.

use std::fmt;
use std::path::PathBuf;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// Which certificate of a device is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// Exactly the one with this fingerprint.
    Pinned(Fingerprint),
    /// One that an authority known to the system signed.
    System,
    /// One that an authority of this PEM file signed.
    CaFile(PathBuf),
    /// Any. The password is sent to any machine at the address.
    Insecure,
    /// None is configured: the room stays offline, and its problem names the fingerprint that the
    /// device shows.
    Unset,
}

impl Certificate {
    /// Reads the key `certificate`: a fingerprint, `system` or `insecure`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "system" => Some(Self::System),
            "insecure" => Some(Self::Insecure),
            _ => Fingerprint::parse(text).map(Self::Pinned),
        }
    }
}

/// As `gateway/info` shows it.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(fingerprint) => fingerprint.fmt(f),
            Self::System => f.write_str("system"),
            Self::CaFile(path) => path.display().fmt(f),
            Self::Insecure => f.write_str("insecure"),
            Self::Unset => f.write_str("unset"),
        }
    }
}

/// The SHA-256 of a certificate in DER form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Reads `sha256:` and 64 hexadecimal digits. Colons between the digits are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?.replace(':', "");
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// As users copy it into the configuration: `sha256:9f86…`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let text = format!("sha256:{}", "0a".repeat(32));
        let fingerprint = Fingerprint::parse(&text).unwrap();
        assert_eq!(fingerprint, Fingerprint([0x0a; 32]));
        assert_eq!(fingerprint.to_string(), text);
        let colons = format!("sha256:{}0A", "0A:".repeat(31));
        assert_eq!(Fingerprint::parse(&colons), Some(fingerprint));
        let signs = format!("sha256:{}", "+a".repeat(32));
        for wrong in ["", "sha256:", "sha256:0a", &text[7..], &signs] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }
}
