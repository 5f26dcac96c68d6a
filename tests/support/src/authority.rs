//! An authority of a test, and the certificates that it signs, in files.

use std::fs;
use std::path::{Path, PathBuf};

use poly2mqtt::config::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::free_port;

/// An authority, with its certificate in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub file: PathBuf,
    dir: PathBuf,
}

impl Authority {
    /// In this folder.
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = dir.join(format!("{name}.pem"));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            file,
            dir: dir.to_owned(),
        }
    }

    /// A certificate for this host, in files.
    pub fn certificate(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsFiles {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let number = free_port();
        let [certificate, key_file] =
            ["pem", "key"].map(|end| self.dir.join(format!("{number}.{end}")));
        fs::write(
            &certificate,
            params.signed_by(&key, &self.issuer).unwrap().pem(),
        )
        .unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        TlsFiles {
            certificate,
            key: key_file,
        }
    }
}
