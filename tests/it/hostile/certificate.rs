//! What a certificate says of itself: whatever its bytes are, names are short and in one line, and nothing that a
//! signature could be verified with is made up.

use poly2mqtt::net::x509::X509;
use rustls::crypto::ring::default_provider;

/// The input is a certificate.
pub fn run(data: &[u8]) {
    let Some(read) = X509::parse(data) else {
        return;
    };
    let names = [
        read.host_names(),
        read.common_name(),
        Some(read.issuer_name()),
    ];
    for name in names.into_iter().flatten() {
        assert!(name.chars().count() < 200, "{name}");
        assert!(!name.contains(char::is_control), "{name:?}");
    }
    let _ = (read.is_self_signed(), read.weak_hash());
    let algorithms = default_provider().signature_verification_algorithms.all;
    if let Some(unusable) = read.key.unusable(algorithms) {
        assert!(unusable.len() < 200, "{unusable}");
    }
    assert!(!read.key.verify(algorithms, b"message", b"no signature"));
}
