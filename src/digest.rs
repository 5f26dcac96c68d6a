//! Digests as text: for names made of something, and to see whether two things are the same.

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

/// The first bytes of a SHA-256 digest, in hexadecimal: two digits each.
pub fn hex_digest(content: &[u8], most_bytes: usize) -> String {
    let digest = digest(&SHA256, content);
    let bytes = digest.as_ref();
    HEXLOWER.encode(&bytes[..most_bytes.min(bytes.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_two_digits_a_byte() {
        assert_eq!(hex_digest(b"abc", 4), "ba7816bf");
        assert_eq!(hex_digest(b"abc", 1000).len(), 64);
    }
}
