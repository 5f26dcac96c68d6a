//! A public key: whether its signatures can be verified, and the verification.

use std::ops::RangeInclusive;

use rustls::pki_types::SignatureVerificationAlgorithm;

use super::der::{BIT_STRING, Der, OBJECT_IDENTIFIER, SEQUENCE};

/// The RSA keys that the cryptography library verifies, in bits. Shorter ones can be broken.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

// Object identifiers, without tag and length.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// A public key with its algorithm.
#[derive(Debug)]
pub struct PublicKey<'a> {
    /// The whole SubjectPublicKeyInfo.
    pub info: &'a [u8],
    /// The content of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// Reads a SubjectPublicKeyInfo: its content, and the whole of it.
    pub fn parse(content: &'a [u8], info: &'a [u8]) -> Option<Self> {
        let mut fields = Der(content);
        let algorithm = fields.take(SEQUENCE)?;
        // The first byte counts the bits that the last byte does not use. A key uses all.
        let key = fields.take(BIT_STRING)?.strip_prefix(&[0])?;
        Some(Self {
            info,
            algorithm,
            key,
        })
    }

    /// Why its signatures cannot be verified by these algorithms, if they cannot: `an RSA key of
    /// 1024 bits, …`.
    pub fn unusable(&self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> Option<String> {
        let algorithm = Der(self.algorithm).take(OBJECT_IDENTIFIER)?;
        if algorithm == RSA_ENCRYPTION {
            let bits = self.rsa_bits().unwrap_or_default();
            let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
            return (!RSA_BITS.contains(&bits)).then(|| {
                if bits < *least {
                    format!("an RSA key of {bits} bits, which is too short ({least} are needed)")
                } else {
                    format!("an RSA key of {bits} bits, which is too long ({most} is the most)")
                }
            });
        }
        let is_known = algorithms
            .iter()
            .any(|known| *known.public_key_alg_id() == *self.algorithm);
        (!is_known).then(|| match algorithm {
            EC_PUBLIC_KEY => "a key on another elliptic curve than P-256 and P-384".into(),
            _ => "a key that is neither RSA, nor ECDSA (P-256, P-384), nor Ed25519".into(),
        })
    }

    /// Verifies a signature by the one of these algorithms that is for this key.
    pub fn verify(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let mut algorithms = algorithms.iter();
        algorithms
            .find(|known| *known.public_key_alg_id() == *self.algorithm)
            .is_some_and(|known| known.verify_signature(self.key, message, signature).is_ok())
    }

    fn rsa_bits(&self) -> Option<usize> {
        let modulus = Der(Der(self.key).take(SEQUENCE)?).element()?.content;
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let modulus = &modulus[zeros..];
        let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
        Some(modulus.len() * 8 - unused)
    }
}
