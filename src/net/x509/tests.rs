use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;

fn fixture(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).unwrap()
}

fn unusable(certificate: &[u8]) -> Option<String> {
    let algorithms = default_provider().signature_verification_algorithms.all;
    X509::parse(certificate).unwrap().key.unusable(algorithms)
}

#[test]
fn a_certificate_of_version_1_is_read() {
    let v1 = fixture(include_bytes!("../../../tests/certificates/v1.pem"));
    let v1 = X509::parse(&v1).unwrap();
    assert_eq!(v1.version, 1);
    assert_eq!(v1.common_name().as_deref(), Some("localhost"));
    assert_eq!(v1.host_names(), None);
    assert_eq!(v1.issuer_name(), "Example CA");
    assert!(!v1.is_self_signed());
    assert_eq!(v1.weak_hash(), None);
    assert!(v1.not_before.unwrap() < v1.not_after.unwrap());
}

#[test]
fn names_and_dates_of_a_certificate_are_read() {
    let names = ["codec.example", "192.0.2.7", "2001:db8::1", "four.example"];
    let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
    let name = "x".repeat(100);
    params.distinguished_name.push(DnType::CommonName, &name);
    // A UTCTime and a GeneralizedTime: RFC 5280 changes the form in 2050.
    params.not_before = date_time_ymd(2049, 12, 31);
    params.not_after = date_time_ymd(2051, 2, 28);
    let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let read = X509::parse(made.der()).unwrap();
    assert_eq!(read.version, 3);
    assert!(read.is_self_signed());
    let shown = "codec.example, 192.0.2.7, 2001:db8::1, …";
    assert_eq!(read.host_names().as_deref(), Some(shown));
    assert_eq!(read.common_name().unwrap().len(), LONGEST_NAME);
    assert_eq!(read.not_before, Some(date_time_ymd(2049, 12, 31)));
    assert_eq!(read.not_after, Some(date_time_ymd(2051, 2, 28)));
}

#[test]
fn a_key_that_cannot_be_verified_is_named() {
    for (pem, wanted) in [
        (
            &include_bytes!("../../../tests/certificates/rsa512.pem")[..],
            "an RSA key of 512 bits, which is too short (2048 are needed)",
        ),
        (
            include_bytes!("../../../tests/certificates/rsa1024.pem"),
            "an RSA key of 1024 bits, which is too short (2048 are needed)",
        ),
        (
            include_bytes!("../../../tests/certificates/p521.pem"),
            "a key on another elliptic curve than P-256 and P-384",
        ),
    ] {
        assert_eq!(unusable(&fixture(pem)).as_deref(), Some(wanted));
    }
    let params = CertificateParams::new(vec!["codec".to_owned()]).unwrap();
    for key in [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    ] {
        assert_eq!(unusable(params.self_signed(&key).unwrap().der()), None);
    }
}

#[test]
fn a_hash_that_can_be_forged_is_named() {
    let sha1 = fixture(include_bytes!("../../../tests/certificates/sha1.pem"));
    assert_eq!(X509::parse(&sha1).unwrap().weak_hash(), Some("SHA-1"));
}

#[test]
fn what_is_cut_or_changed_anywhere_does_no_harm() {
    let made = rcgen::generate_simple_self_signed(["codec.example".to_owned()]).unwrap();
    let whole = made.cert.der();
    let look = |certificate: &[u8]| {
        if let Some(read) = X509::parse(certificate) {
            let _ = (read.host_names(), read.common_name(), read.issuer_name());
            let _ = unusable(certificate);
        }
    };
    for length in 0..whole.len() {
        assert!(X509::parse(&whole[..length]).is_none(), "{length}");
    }
    for at in 0..whole.len() {
        for change in [0x00, 0x01, 0x7f, 0x80, 0x83, 0xff] {
            let mut changed = whole.to_vec();
            changed[at] = change;
            look(&changed);
        }
    }
}
