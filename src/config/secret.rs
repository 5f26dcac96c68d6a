//! Passwords and tokens, which are never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password or a token. Its `Debug` output does not show it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret, still wrapped, for a part that keeps it.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Only to see whether the configuration changed. The time it takes depends on the texts, so a
/// client's token is compared elsewhere.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}
