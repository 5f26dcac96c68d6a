//! What answers at a device's address and cannot be talked to: other TLS, no TLS, certificates of every kind. Each
//! is told in words that a person understands, with what to do.

use std::sync::Arc;

use poly2mqtt::config;
use poly2mqtt::device::{Device, DeviceTimings, Problem, ProblemCode, SharedLimits};
use poly2mqtt::rooms::device_settings;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use poly2mqtt_test_support::tls::{ClientCertificate, PlainPeer, TlsServer, fingerprint};

const VERSION_1: &[u8] = include_bytes!("../certificates/v1.pem");
const VERSION_1_KEY: &[u8] = include_bytes!("../certificates/v1.key");
const RSA_1024: &[u8] = include_bytes!("../certificates/rsa1024.pem");

const LOGGED_IN: &[u8] = b"HTTP/1.1 200 OK\r\nSet-Cookie: session_id=a\r\n\
    Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"success\":true}";

/// Logs in to the device at this port.
async fn log_in(port: u16, trusted: &str) -> Result<(), Problem> {
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://127.0.0.1:{port}\"\n\
         password = \"456\"\n{trusted}\n"
    );
    let config = config::read("file".into(), &text, []).unwrap().config;
    let room = config.rooms.values().next().unwrap();
    let timings = DeviceTimings::default();
    let limits = SharedLimits::default();
    let settings = device_settings(room, &timings, &Arc::default(), &limits);
    Device::new(settings).unwrap().log_in().await.map(drop)
}

const INSECURE: &str = "certificate = \"insecure\"";

#[tokio::test]
async fn a_port_that_does_not_speak_usable_tls_is_told_in_words() {
    // A record of TLS that holds an alert, and the start of a ServerHello.
    let alert = |number: u8| vec![0x15, 3, 1, 0, 2, 2, number];
    let hello = |version: u8, suite: [u8; 2]| {
        let mut hello = vec![0x16, 3, version, 0, 42, 2, 0, 0, 38, 3, version];
        hello.extend([7; 32]);
        hello.push(0);
        hello.extend(suite);
        hello.push(0);
        hello
    };
    let old = "speaks only TLS 1.1 or older, which is not safe; update the device's firmware";
    let ciphers = "has no cipher in common with the gateway: it offers only old ones (CBC,";
    let no_tls = "answers, but not with TLS; a device's HTTPS port is 443";
    for (answer, wanted) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), no_tls),
        (b"<html>".to_vec(), no_tls),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), no_tls),
        (b"220 codec FTP\r\n".to_vec(), no_tls),
        (b"RFB 003.008\n".to_vec(), no_tls),
        (vec![0xff, 0xfd, 0x18, 0xff, 0xfb, 0x01], no_tls),
        (vec![0; 64], no_tls),
        (vec![], "closes the connection when TLS begins"),
        (alert(70), old),
        (hello(1, [0xc0, 0x13]), old),
        (hello(2, [0xc0, 0x13]), old),
        (alert(40), ciphers),
        (alert(71), ciphers),
        (hello(3, [0xc0, 0x13]), ciphers),
        (hello(3, [0x00, 0x2f]), ciphers),
        (alert(112), "does not know the host name in the url"),
        (alert(80), "fails at TLS by itself (InternalError)"),
        (alert(90), "ends TLS with the alert UserCanceled"),
    ] {
        let peer = PlainPeer::that_answers(answer.clone()).await;
        let problem = log_in(peer.port, INSECURE).await.unwrap_err();
        let message = &problem.message;
        assert_eq!(problem.code, ProblemCode::Offline, "{message}");
        let address = format!("127.0.0.1:{} ", peer.port);
        assert!(message.starts_with(&address), "{message}");
        assert!(message.contains(wanted), "{answer:02x?}: {message}");
        assert!(message.chars().count() <= 300, "{message}");
    }
}

#[tokio::test]
async fn a_port_that_closes_at_once_is_told_in_words() {
    for peer in [
        PlainPeer::that_closes_at_once().await,
        PlainPeer::that_resets().await,
    ] {
        let problem = log_in(peer.port, INSECURE).await.unwrap_err();
        let wanted = "closes the connection when TLS begins";
        assert!(problem.message.contains(wanted), "{}", problem.message);
    }
}

#[tokio::test]
async fn a_port_that_says_nothing_is_told_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let problem = log_in(port, INSECURE).await.unwrap_err();
    let wanted = "accepts connections, but does not begin TLS within 5 s";
    assert!(problem.message.contains(wanted), "{}", problem.message);
    held.abort();
}

/// Shows the certificate of version 1, and lets everyone log in.
fn version_1(version: &'static SupportedProtocolVersion) -> TlsServer {
    TlsServer {
        version,
        certificate: CertificateDer::from_pem_slice(VERSION_1).unwrap(),
        key: PrivateKeyDer::from_pem_slice(VERSION_1_KEY).unwrap(),
        client_certificate: ClientCertificate::Ignored,
        alpn: "",
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn a_certificate_of_version_1_can_be_pinned() {
    let pin = format!("certificate = \"{}\"", fingerprint(VERSION_1));
    for version in VERSIONS {
        let port = version_1(version).answering(LOGGED_IN).await;
        let problem = log_in(port, "").await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::CertificateUnknown);
        let advised = format!("set {pin}");
        assert!(problem.message.ends_with(&advised), "{}", problem.message);
        for trusted in [&*pin, INSECURE] {
            let logged_in = log_in(port, trusted).await;
            assert!(logged_in.is_ok(), "{version:?} {trusted}: {logged_in:?}");
        }
    }
}

/// Anyone can show a public certificate. Only its owner has the key.
#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let other = rcgen::KeyPair::generate().unwrap();
    let pin = format!("certificate = \"{}\"", fingerprint(VERSION_1));
    for version in VERSIONS {
        let replayed = TlsServer {
            key: PrivateKeyDer::Pkcs8(other.serialize_der().into()),
            ..version_1(version)
        };
        let port = replayed.answering(LOGGED_IN).await;
        let problem = log_in(port, &pin).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::CertificateUnknown);
        let wanted = "cannot prove that the certificate it shows is its own";
        assert!(problem.message.contains(wanted), "{}", problem.message);
    }
}

/// The server has no key of that length, so the certificate is all that is true of it here.
#[tokio::test]
async fn a_key_that_is_too_short_is_told_and_insecure_takes_it() {
    let pin = format!("certificate = \"{}\"", fingerprint(RSA_1024));
    for version in VERSIONS {
        let short = TlsServer {
            certificate: CertificateDer::from_pem_slice(RSA_1024).unwrap(),
            ..version_1(version)
        };
        let port = short.answering(LOGGED_IN).await;
        for trusted in ["", &pin] {
            let problem = log_in(port, trusted).await.unwrap_err();
            let message = &problem.message;
            assert_eq!(problem.code, ProblemCode::CertificateUnknown);
            assert!(message.contains("RSA key of 1024 bits"), "{message}");
            assert!(!message.contains("sha256:"), "{message}");
        }
        assert!(log_in(port, INSECURE).await.is_ok());
    }
}

#[tokio::test]
async fn a_device_that_wants_a_client_certificate_is_told_in_words() {
    for version in VERSIONS {
        let wanting = TlsServer {
            client_certificate: ClientCertificate::Required,
            ..version_1(version)
        };
        let problem = log_in(wanting.answering(LOGGED_IN).await, INSECURE)
            .await
            .unwrap_err();
        assert_eq!(problem.code, ProblemCode::Offline);
        let wanted = "wants a client certificate; the gateway has none: turn the validation";
        assert!(problem.message.contains(wanted), "{}", problem.message);
        // One that only asks is content without.
        let asking = TlsServer {
            client_certificate: ClientCertificate::Asked,
            ..version_1(version)
        };
        assert!(
            log_in(asking.answering(LOGGED_IN).await, INSECURE)
                .await
                .is_ok()
        );
    }
}
