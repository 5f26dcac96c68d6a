//! Making and comparing secrets.
//!
//! Tokens and passwords are compared as SHA-256 digests of equal length, and the comparison reads
//! every byte: its time tells an attacker nothing about how much of a guess was right. A
//! kept digest does not reveal the secret either.

use ring::rand::{SecureRandom, SystemRandom};

/// Nobody finds a token of this length by guessing: machines make tokens, and 16 random letters and digits hold
/// 95 bits.
pub const UNGUESSABLE_TOKEN_LENGTH: usize = 16;

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomNumbers;

/// Random bytes that nobody can guess.
///
/// # Errors
/// The system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomNumbers> {
    let mut bytes = [0; N];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(NoRandomNumbers),
    }
}

/// The digest of a secret. `==` takes the same time for all digests.
#[derive(Debug, Clone, Copy, Eq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Of a token or password as it is sent.
    pub fn of(secret: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, secret);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Of a user and a password together.
    pub fn of_login(user: &str, secret: &[u8]) -> Self {
        Self::of(&[user.as_bytes(), b"\0", secret].concat())
    }

    /// The first 64 bits: enough to recognise a secret, not to compare one.
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        let bytes = self.0.iter().zip(&other.0);
        let difference = bytes.fold(0, |all, (one, other)| all | (one ^ other));
        // Keeps the compiler from stopping at the first difference.
        std::hint::black_box(difference) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_equal_where_the_secrets_are() {
        let digest = SecretDigest::of(b"correct horse");
        assert_eq!(digest, SecretDigest::of(b"correct horse"));
        for other in [
            "",
            "correct",
            "correct horsf",
            "Correct horse",
            "correct horse ",
        ] {
            assert_ne!(digest, SecretDigest::of(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn one_different_bit_anywhere_is_seen() {
        let digest = SecretDigest::of(b"x");
        for byte in 0..32 {
            for bit in 0..8 {
                let mut other = digest;
                other.0[byte] ^= 1 << bit;
                assert_ne!(digest, other, "{byte} {bit}");
            }
        }
    }
}
