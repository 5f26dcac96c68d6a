//! Certificates and keys from PEM files. An error names the file, says what to do, and holds nothing of
//! the file's content.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::os_error;

/// What a file of certificates holds.
const CERTIFICATE: &str = "CERTIFICATE";
/// How every kind of private key ends its label: `PRIVATE KEY`, `EC PRIVATE KEY` …
const PRIVATE_KEY: &str = "PRIVATE KEY";
/// The header of a key that is encrypted in the old form of OpenSSL (RFC 1421).
const OLD_ENCRYPTION: &str = "Proc-Type: 4,ENCRYPTED";

/// Every certificate in a file, in order; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable(path, &no_certificate(&pem))),
        Err(_) => Err(unusable(path, &DAMAGED)),
    }
}

/// A certificate with those that signed it, and its private key.
///
/// # Errors
/// A file cannot be used, or the key is another certificate's.
pub fn identity(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates(certificate)?;
    let signer = provider.key_provider.load_private_key(private_key(key)?);
    let signer = signer.map_err(|_| {
        let why = "the key is of a kind that cannot be used here; RSA from 2048 bits, ECDSA with P-256 or \
                   P-384, and Ed25519 can";
        unusable(key, &why)
    })?;
    // The public key stands in its certificate byte by byte. So certificates of version 1 can be compared too.
    let belongs = |certificate: &CertificateDer<'_>, public: &[u8]| {
        let mut parts = certificate.windows(public.len());
        parts.any(|part| part == public)
    };
    if let Some(public) = signer.public_key()
        && !chain.first().is_some_and(|own| belongs(own, &public))
    {
        let why = if chain.iter().any(|other| belongs(other, &public)) {
            "the certificate of the key must stand first, before those that signed it".into()
        } else {
            format!(
                "the key in {} belongs to another certificate; both must have been made together",
                key.display()
            )
        };
        return Err(unusable(certificate, &why));
    }
    Ok(Arc::new(CertifiedKey::new(chain, signer)))
}

/// The first private key in a file.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(path)?;
    let labels = labels(&pem);
    let encrypted = labels.iter().any(|label| label.starts_with("ENCRYPTED"))
        || String::from_utf8_lossy(&pem).contains(OLD_ENCRYPTION);
    if encrypted {
        let why = format!(
            "the key is encrypted, and the gateway cannot ask for its passphrase; make a copy without one: \
             (umask 077; openssl pkey -in {0} -out {0}.plain)",
            path.display()
        );
        return Err(unusable(path, &why));
    }
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(unusable(path, &no_private_key(&pem, &labels)))
        }
        Err(_) => Err(unusable(path, &DAMAGED)),
    }
}

/// A part of a file has a beginning and no end, or characters that cannot stand in it.
const DAMAGED: &str = "it is damaged: not all of it is PEM; copy it again";

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| unusable(path, &os_error::file_words(path, &error)))
}

/// The message about a file that cannot be used.
pub fn unusable(path: &Path, why: &dyn Display) -> String {
    format!("{} cannot be used: {why}", path.display())
}

/// What the parts of a PEM file are called.
fn labels(pem: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(pem);
    let labels = text.lines().filter_map(|line| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        label.strip_suffix("-----").map(str::to_owned)
    });
    labels.collect()
}

fn no_certificate(pem: &[u8]) -> String {
    let labels = labels(pem);
    let has = |wanted: &str| labels.iter().any(|label| label.ends_with(wanted));
    let why = if has(PRIVATE_KEY) {
        "it holds a private key and no certificate; are the two files swapped?"
    } else if has("CERTIFICATE REQUEST") {
        "it holds a request for a certificate; the authority makes the certificate from it"
    } else if has("TRUSTED CERTIFICATE") {
        "it holds a certificate in OpenSSL's own form; write it again with openssl x509"
    } else if has("PKCS7") {
        "it holds PKCS#7; take the certificates out with openssl pkcs7 -print_certs"
    } else if !labels.is_empty() {
        "it holds no certificate"
    } else {
        return not_pem(pem, CERTIFICATE);
    };
    why.to_owned()
}

fn no_private_key(pem: &[u8], labels: &[String]) -> String {
    let has = |wanted: &str| labels.iter().any(|label| label.ends_with(wanted));
    let why = if has("OPENSSH PRIVATE KEY") {
        "it holds a key for SSH, not for TLS"
    } else if has(PRIVATE_KEY) {
        "the key is of a kind that cannot be used here; RSA, ECDSA and Ed25519 can"
    } else if has(CERTIFICATE) {
        "it holds a certificate and no private key; are the two files swapped?"
    } else if has("PUBLIC KEY") {
        "it holds the public key; the private one is needed"
    } else if !labels.is_empty() {
        "it holds no private key"
    } else {
        return not_pem(pem, PRIVATE_KEY);
    };
    why.to_owned()
}

/// What a file without any part is.
fn not_pem(content: &[u8], wanted: &str) -> String {
    match content {
        content if content.trim_ascii().is_empty() => "it is empty".to_owned(),
        // The first byte of DER and of PKCS#12.
        [0x30, ..] => {
            "it is DER or PKCS#12, not PEM; turn it into PEM with openssl x509, openssl pkey or \
                       openssl pkcs12"
                .to_owned()
        }
        _ => format!("it is not PEM: it has no line \"-----BEGIN {wanted}-----\""),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The parts that certificates and keys are tried with.
    struct Material {
        directory: tempfile::TempDir,
        certificate: String,
        key: String,
        other_certificate: String,
        other_key: String,
    }

    impl Material {
        fn new() -> Self {
            let made = || rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
            let (one, other) = (made(), made());
            Self {
                directory: tempfile::tempdir().unwrap(),
                certificate: one.cert.pem(),
                key: one.signing_key.serialize_pem(),
                other_certificate: other.cert.pem(),
                other_key: other.signing_key.serialize_pem(),
            }
        }

        fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        }

        /// What comes of a certificate file and a key file with this content.
        fn identity(
            &self,
            certificate: impl AsRef<[u8]>,
            key: impl AsRef<[u8]>,
        ) -> Result<Arc<CertifiedKey>, String> {
            let [certificate, key] = [
                self.file("cert.pem", certificate),
                self.file("key.pem", key),
            ];
            identity(
                &certificate,
                &key,
                &rustls::crypto::ring::default_provider(),
            )
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_read() {
        let it = Material::new();
        let both = format!("{}{}", it.certificate, it.key);
        let chain = format!("{}{}", it.certificate, it.other_certificate);
        let spaced = format!(
            "Bag Attributes\n\n{}\r\n",
            it.certificate.replace('\n', "\r\n")
        );
        for certificate in [&it.certificate, &both, &chain, &spaced] {
            for key in [&it.key, &both] {
                it.identity(certificate, key).unwrap();
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_with_what_to_do() {
        let it = Material::new();
        let labelled =
            |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
        let old_encryption = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                              DEK-Info: AES-256-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
        let reversed = format!("{}{}", it.other_certificate, it.certificate);
        let cut = it.key.replace("-----END PRIVATE KEY-----", "");
        let (certificate, key) = (it.certificate.as_bytes(), it.key.as_bytes());
        let keys: [(&[u8], &str); 12] = [
            (it.other_key.as_bytes(), "belongs to another certificate"),
            (
                &labelled("ENCRYPTED PRIVATE KEY").into_bytes(),
                "openssl pkey",
            ),
            (old_encryption.as_bytes(), "openssl pkey"),
            (certificate, "swapped"),
            (&labelled("PUBLIC KEY").into_bytes(), "public key"),
            (&labelled("OPENSSH PRIVATE KEY").into_bytes(), "SSH"),
            (&labelled("DSA PRIVATE KEY").into_bytes(), "kind"),
            (&labelled("PRIVATE KEY").into_bytes(), "kind"),
            (&labelled("EC PARAMETERS").into_bytes(), "no private key"),
            (b" \n", "empty"),
            (&[0x30, 0x82, 1], "PKCS#12"),
            (b"secret-canary", "-----BEGIN PRIVATE KEY-----"),
        ];
        for (wrong, wanted) in keys {
            let told = it.identity(certificate, wrong).unwrap_err();
            assert!(told.contains(wanted), "{wanted}: {told}");
            assert!(
                told.contains("key.pem") && !told.contains("canary"),
                "{told}"
            );
        }
        let certificates: [(&[u8], &str); 9] = [
            (
                it.other_certificate.as_bytes(),
                "belongs to another certificate",
            ),
            (reversed.as_bytes(), "must stand first"),
            (key, "swapped"),
            (&labelled("CERTIFICATE REQUEST").into_bytes(), "request"),
            (
                &labelled("TRUSTED CERTIFICATE").into_bytes(),
                "openssl x509",
            ),
            (&labelled("PKCS7").into_bytes(), "pkcs7"),
            (b"", "empty"),
            (&[0x30, 0x82, 1], "DER"),
            (b"secret-canary", "-----BEGIN CERTIFICATE-----"),
        ];
        for (wrong, wanted) in certificates {
            let told = it.identity(wrong, key).unwrap_err();
            assert!(told.contains(wanted), "{wanted}: {told}");
            assert!(told.contains("cert.pem cannot be used: "), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
        let told = it.identity(certificate, cut).unwrap_err();
        assert!(told.contains("key.pem cannot be used: "), "{told}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let it = Material::new();
        let directory = it.directory.path();
        let missing = directory.join("missing.pem");
        for (path, wanted) in [
            (&missing, "No such file"),
            (&directory.to_owned(), "directory"),
        ] {
            let told = certificates(path).unwrap_err();
            assert!(
                told.contains(wanted) && !told.contains("os error"),
                "{told}"
            );
        }
    }
}
