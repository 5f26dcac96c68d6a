use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ED25519, date_time_ymd,
};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

static WORDS: ServerWords = ServerWords {
    server: "the broker",
    address_key: "the url",
    pin_key: Some("mqtt.certificate"),
    authorities_key: "mqtt.ca_file",
    port_hint: "",
    client_certificate_hint: "",
    tls_hint: "",
    alpn_hint: "see alpn",
};

type Der = CertificateDer<'static>;

fn fixture(pem: &[u8]) -> Der {
    CertificateDer::from_pem_slice(pem).unwrap()
}

fn v1() -> Der {
    fixture(include_bytes!("../../../tests/certificates/v1.pem"))
}

fn rsa1024() -> Der {
    fixture(include_bytes!("../../../tests/certificates/rsa1024.pem"))
}

fn to_pem(certificate: &Der) -> String {
    let lines = BASE64_STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

fn trusting(authorities: &[&Der]) -> Trust {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pem: String = authorities.iter().map(|der| to_pem(der)).collect();
    std::fs::write(file.path(), pem).unwrap();
    Trust::Authorities(Authorities::of_file(file.path()).unwrap())
}

/// What a server at `localhost` that shows this chain gets in 2030.
fn shown(trust: Trust, chain: &[Der]) -> Result<(), CertificateRefusal> {
    shown_to(&WORDS, trust, chain)
}

fn shown_to(
    words: &'static ServerWords,
    trust: Trust,
    chain: &[Der],
) -> Result<(), CertificateRefusal> {
    let verifier = Verifier {
        trust,
        words,
        provider: Arc::new(rustls::crypto::ring::default_provider()),
        handshakes: Arc::default(),
    };
    let year = u64::try_from(date_time_ymd(2030, 1, 1).unix_timestamp()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(year));
    let name = ServerName::try_from("localhost").unwrap();
    let verified = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now);
    match verified {
        Ok(_) => Ok(()),
        Err(_) => Err(verifier
            .handshakes
            .update(|seen| seen.refused.take())
            .expect("says why")),
    }
}

fn fingerprint(certificate: &Der) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    Fingerprint(digest.as_ref().try_into().unwrap())
}

fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "codec");
    change(&mut params);
    params
}

/// An authority of this name, or what takes itself for one.
fn authority(name: &str, is_ca: IsCa) -> (Der, Issuer<'static, KeyPair>) {
    let params = params(|params| {
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
    });
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (certificate, Issuer::new(params, key))
}

fn signed(issuer: &Issuer<'static, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> Der {
    let key = KeyPair::generate().unwrap();
    params(change)
        .signed_by(&key, issuer)
        .unwrap()
        .der()
        .clone()
}

#[test]
fn a_certificate_that_no_authority_vouches_for_is_explained_with_a_remedy() {
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (root, issuer) = authority("Example CA", ca);
    let (_, other) = authority("Other CA", ca);
    let (_, namesake) = authority("Example CA", ca);
    let (self_signed, _) = authority("localhost", IsCa::NoCa);
    let (own_ca, _) = authority("localhost", ca);
    // An intermediate that may not sign.
    let intermediate_key = KeyPair::generate().unwrap();
    let intermediate_params = params(|params| {
        params.distinguished_name.push(DnType::CommonName, "No CA");
        params.is_ca = IsCa::ExplicitNoCa;
    });
    let intermediate = intermediate_params.signed_by(&intermediate_key, &issuer);
    let intermediate = intermediate.unwrap().der().clone();
    let no_ca = Issuer::new(intermediate_params, intermediate_key);
    let test_ca = fixture(include_bytes!("../../../tests/certificates/ca.pem"));
    let short_ca = fixture(include_bytes!("../../../tests/certificates/short_ca.pem"));
    let by_short_ca = fixture(include_bytes!(
        "../../../tests/certificates/by_short_ca.pem"
    ));
    let sha1 = fixture(include_bytes!("../../../tests/certificates/sha1.pem"));
    let leaf = |change: fn(&mut CertificateParams)| vec![signed(&issuer, change)];
    for (chain, authority, wanted) in [
        (
            leaf(|params| params.not_after = date_time_ymd(2029, 12, 24)),
            &root,
            "expired on 2029-12-24; renew it",
        ),
        (
            leaf(|params| params.not_before = date_time_ymd(2031, 2, 3)),
            &root,
            "is valid only from 2031-02-03, and it is 2030-01-01 by this machine's clock; correct the clock",
        ),
        (
            leaf(|params| {
                let names = vec!["broker.example".to_owned(), "192.0.2.1".to_owned()];
                params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
            }),
            &root,
            "is for broker.example, 192.0.2.1, not for localhost; use that name in the url",
        ),
        (
            leaf(|params| params.subject_alt_names.clear()),
            &root,
            "has a name only in its common name (codec), which is not enough: it needs a subject \
             alternative name; make a new one",
        ),
        (
            leaf(|params| {
                params.subject_alt_names.clear();
                params.distinguished_name = rcgen::DistinguishedName::new();
            }),
            &root,
            "does not name localhost; make a new one",
        ),
        (
            leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            &root,
            "is not made for servers (extended key usage); make a new one",
        ),
        (
            leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            &root,
            "is that of an authority (CA:TRUE), not of a server; make a new one",
        ),
        (
            vec![signed(&no_ca, |_| {}), intermediate],
            &root,
            "is signed by \"No CA\", which is no authority (CA:FALSE); make a new one",
        ),
        (
            vec![signed(&other, |_| {})],
            &root,
            "is signed by \"Other CA\", which is not in mqtt.ca_file; add that authority",
        ),
        (
            vec![signed(&namesake, |_| {})],
            &root,
            "is signed by another \"Example CA\" than that in mqtt.ca_file; put the right one there",
        ),
        (vec![self_signed], &root, "is signed by itself; set"),
        (
            vec![own_ca.clone()],
            &own_ca,
            "is its own authority, which only a pin can trust; set",
        ),
        (
            vec![v1()],
            &test_ca,
            "is of X.509 version 1, which has no place for host names; make a new one",
        ),
        (
            vec![sha1],
            &test_ca,
            "is signed with SHA-1, which can be forged; make a new one",
        ),
        (
            vec![by_short_ca],
            &short_ca,
            "is signed by \"Short CA\", an authority with an RSA key of 1024 bits, which is too short",
        ),
    ] {
        let refusal = shown(trusting(&[authority]), &chain).unwrap_err();
        let message = refusal.message;
        assert!(!refusal.is_other_than_pinned);
        assert!(
            message.starts_with("the broker's certificate "),
            "{message}"
        );
        assert!(message.contains(wanted), "{wanted}\nis not in\n{message}");
        let pin = format!(
            "set mqtt.certificate = \"{}\" to pin it",
            fingerprint(&chain[0])
        );
        assert!(message.ends_with(&pin), "{message}");
        assert!(message.chars().count() <= 300, "{message}");
        // The same certificate can be pinned, whatever it says of itself.
        assert_eq!(shown(Trust::Pinned(fingerprint(&chain[0])), &chain), Ok(()));
    }
}

/// Where no certificate can be pinned, no pin is advised.
#[test]
fn without_pins_the_remedy_is_another() {
    static WORDS: ServerWords = ServerWords {
        server: "etcd",
        address_key: "cluster.etcd",
        pin_key: None,
        authorities_key: "cluster.ca_file",
        port_hint: "",
        client_certificate_hint: "",
        tls_hint: "",
        alpn_hint: "",
    };
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (root, issuer) = authority("Example CA", ca);
    let (_, other) = authority("Other CA", ca);
    let (_, namesake) = authority("Example CA", ca);
    let (self_signed, _) = authority("localhost", IsCa::NoCa);
    let (own_ca, _) = authority("localhost", ca);
    let elsewhere = signed(&issuer, |params| {
        let name = "etcd.example".try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    });
    let another = "make one that an authority signs, and put that authority into cluster.ca_file";
    for (certificate, authority, wanted) in [
        (
            signed(&other, |_| {}),
            &root,
            "is signed by \"Other CA\", which is not in cluster.ca_file; put that authority into \
             cluster.ca_file"
                .to_owned(),
        ),
        (
            signed(&namesake, |_| {}),
            &root,
            "is signed by another \"Example CA\" than that in cluster.ca_file; put the right one there".into(),
        ),
        (
            elsewhere,
            &root,
            "is for etcd.example, not for localhost; use that name in cluster.etcd, or make a certificate \
             for localhost"
                .into(),
        ),
        (
            signed(&issuer, |params| params.not_after = date_time_ymd(2029, 12, 24)),
            &root,
            "expired on 2029-12-24; renew it".into(),
        ),
        (self_signed, &root, format!("is signed by itself; {another}")),
        (own_ca.clone(), &own_ca, format!("is that of the authority itself; {another}")),
    ] {
        let refusal = shown_to(&WORDS, trusting(&[authority]), &[certificate]).unwrap_err();
        assert_eq!(refusal.message, format!("etcd's certificate {wanted}"));
    }
}

#[test]
fn good_certificates_are_trusted() {
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (root, issuer) = authority("Example CA", ca);
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let ed25519 = params(|_| {}).signed_by(&ed25519, &issuer).unwrap();
    for good in [signed(&issuer, |_| {}), ed25519.der().clone()] {
        assert_eq!(shown(trusting(&[&root]), &[good]), Ok(()));
    }
    // An authority that does not say that it is one was still chosen by the user.
    let (root, issuer) = authority("Example CA", IsCa::ExplicitNoCa);
    assert_eq!(
        shown(trusting(&[&root]), &[signed(&issuer, |_| {})]),
        Ok(())
    );
}

#[test]
fn a_key_that_is_too_short_is_refused_before_a_pin_is_advised() {
    let rsa512 = fixture(include_bytes!("../../../tests/certificates/rsa512.pem"));
    for (certificate, bits) in [(rsa1024(), 1024), (rsa512, 512)] {
        let own = Trust::Pinned(fingerprint(&certificate));
        let other = Trust::Pinned(Fingerprint([7; 32]));
        for (trust, is_other) in [
            (Trust::Nothing, false),
            (trusting(&[&certificate]), false),
            (own, false),
            (other, true),
        ] {
            let refusal = shown(trust, std::slice::from_ref(&certificate)).unwrap_err();
            let message = &refusal.message;
            assert_eq!(refusal.is_other_than_pinned, is_other);
            assert!(
                message.contains(&format!("RSA key of {bits} bits")),
                "{message}"
            );
            assert!(message.contains("give the broker a new certificate"));
            assert!(!message.contains("sha256:"), "{message}");
        }
        assert_eq!(shown(Trust::Anything, &[certificate]), Ok(()));
    }
}

#[test]
fn what_is_no_certificate_is_not_to_be_pinned() {
    for nothing in [&b""[..], b"HTTP/1.1 200 OK", &[0x30, 0x82, 0xff, 0xff]] {
        let chain = [CertificateDer::from(nothing.to_vec())];
        let refusal = shown(Trust::Nothing, &chain).unwrap_err();
        assert!(refusal.message.contains("is not an X.509 certificate"));
        assert!(!refusal.message.contains("sha256:"));
    }
}

#[test]
fn a_certificate_that_is_not_the_pinned_one_is_told_with_both_fingerprints() {
    let pinned = Fingerprint([7; 32]);
    let refusal = shown(Trust::Pinned(pinned), &[v1()]).unwrap_err();
    assert!(refusal.is_other_than_pinned);
    assert!(refusal.message.contains(&pinned.to_string()));
    let set = format!("set mqtt.certificate = \"{}\"", fingerprint(&v1()));
    assert!(refusal.message.ends_with(&set), "{}", refusal.message);
    assert!(refusal.message.chars().count() <= 300);
}

#[tokio::test]
async fn an_authority_that_is_added_counts_after_the_refusal() {
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (root, issuer) = authority("Example CA", ca);
    let (other, _) = authority("Other CA", ca);
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |der: &Der| std::fs::write(file.path(), to_pem(der)).unwrap();
    write(&other);
    let authorities = Authorities::of_file(file.path()).unwrap();
    let chain = [signed(&issuer, |_| {})];
    let now = || shown(Trust::Authorities(authorities.clone()), &chain).is_ok();
    assert!(!now());
    // A file that is being written changes nothing.
    std::fs::write(file.path(), "").unwrap();
    authorities.clone().read_again().await;
    assert!(authorities.roots().is_ok() && !now());
    write(&root);
    authorities.clone().read_again().await;
    assert!(now());
}
