//! `mqtts://`: certificates as people make them, pins, certificates that are renewed or expire, and what answers
//! instead of a broker with TLS.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use poly2mqtt::config::Fingerprint;
use poly2mqtt::doors::mqtt::{BrokerAddress, MqttDoor, MqttSettings};
use poly2mqtt::state::StateStore;
use poly2mqtt_simulator::{Options, SimulatedDevice};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, SupportedProtocolVersion};
use tokio::time::{Instant, sleep, timeout};

use poly2mqtt_test_support::door::page_contains;
use poly2mqtt_test_support::log::thread_log;
use poly2mqtt_test_support::program::{Running, listening, program};
use poly2mqtt_test_support::tls::{ClientCertificate, PlainPeer, TlsServer, fingerprint};
use poly2mqtt_test_support::{BrokerKind, Obliging, SOON, TestBroker, free_port, plain_tcp};

const VERSION_1: &str = include_str!("../certificates/v1.pem");
const VERSION_1_KEY: &str = include_str!("../certificates/v1.key");
const AUTHORITY: &str = include_str!("../certificates/ca.pem");

/// A certificate with its key, in PEM form.
#[derive(Clone)]
struct Made {
    certificate: String,
    key: String,
}

impl Made {
    fn version_1() -> Self {
        Self {
            certificate: VERSION_1.into(),
            key: VERSION_1_KEY.into(),
        }
    }

    fn new(params: CertificateParams, issuer: Option<&Issuer<'static, KeyPair>>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer),
            None => params.self_signed(&key),
        };
        Self {
            certificate: certificate.unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.certificate.as_bytes())
    }

    fn server(&self, version: &'static SupportedProtocolVersion) -> TlsServer {
        TlsServer {
            version,
            certificate: self.der(),
            key: PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap(),
            client_certificate: ClientCertificate::Ignored,
            alpn: "",
        }
    }

    /// Writes both files.
    fn write(&self, certificate: &Path, key: &Path) {
        fs::write(certificate, &self.certificate).unwrap();
        fs::write(key, &self.key).unwrap();
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params
}

/// An authority, and its certificate in PEM form.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, "Our CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), certificate)
}

fn settings(broker: &TestBroker, port: u16) -> MqttSettings {
    let (username, password) = broker.gateway_login().unzip();
    MqttSettings {
        username,
        password,
        ..MqttSettings::new(BrokerAddress::Tls {
            host: "localhost".into(),
            port,
        })
    }
}

fn door(settings: MqttSettings) -> MqttDoor {
    let (store, gateway) = (StateStore::new(), Arc::new(Obliging));
    MqttDoor::start(settings, store, gateway, Arc::default(), None).unwrap()
}

async fn connects(door: &MqttDoor) -> bool {
    let mut connected = door.connected();
    let up = connected.wait_for(|connected| *connected);
    timeout(SOON, up).await.is_ok()
}

#[tokio::test]
async fn the_certificates_of_mosquittos_manual_are_explained_and_can_be_pinned() {
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    let (issuer, ca) = authority();
    let mut own = params(&["localhost"]);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = Made::new(own, None);
    let own_ca = own.certificate.clone();
    for (made, ca, wanted) in [
        (
            Made::version_1(),
            AUTHORITY.to_owned(),
            "the broker's certificate is of X.509 version 1",
        ),
        (
            own,
            own_ca,
            "the broker's certificate is its own authority, which only a pin can trust",
        ),
        (
            Made::new(params(&[]), Some(&issuer)),
            ca,
            "the broker's certificate has a name only in its common name (localhost)",
        ),
    ] {
        for version in [&TLS12, &TLS13] {
            let (log, _guard) = thread_log();
            fs::write(&ca_file, &ca).unwrap();
            let port = made.server(version).before(broker.port()).await;
            let by_authority = MqttSettings {
                ca_file: Some(ca_file.clone()),
                ..settings(&broker, port)
            };
            let refused = door(by_authority.clone());
            log.contains(wanted).await;
            let pin = made.fingerprint();
            log.contains(&format!("set mqtt.certificate = \"{pin}\" to pin it"))
                .await;
            refused.stop(Instant::now()).await;
            let pinned = door(MqttSettings {
                certificate: Some(pin),
                ca_file: None,
                ..by_authority
            });
            assert!(connects(&pinned).await, "{}", log.text());
            pinned.stop(Instant::now() + SOON).await;
        }
    }
}

#[tokio::test]
async fn a_clients_certificate_is_read_at_each_connection() {
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("client.pem"), dir.path().join("client.key"));
    let server = Made::new(params(&["localhost"]), None);
    let old = Made::new(params(&[]), None);
    // Brokers take version 1.
    let renewed = Made::version_1();
    for (version, refusal, wanted) in [
        (&TLS12, CertificateError::Expired, "it has expired"),
        (&TLS13, CertificateError::Expired, "it has expired"),
        (
            &TLS12,
            CertificateError::UnknownIssuer,
            "does not know the authority",
        ),
        (
            &TLS13,
            CertificateError::UnknownIssuer,
            "does not know the authority",
        ),
    ] {
        let (log, _guard) = thread_log();
        old.write(&certificate, &key);
        let port = TlsServer {
            client_certificate: ClientCertificate::Only(renewed.der(), refusal),
            ..server.server(version)
        };
        let port = port.before(broker.port()).await;
        let door = door(MqttSettings {
            certificate: Some(server.fingerprint()),
            client_cert_file: Some(certificate.clone()),
            client_key_file: Some(key.clone()),
            ..settings(&broker, port)
        });
        log.contains("it refuses the gateway's certificate (").await;
        log.contains(wanted).await;
        log.contains("see mqtt.client_cert_file").await;
        // A program that renews them writes one file after the other.
        fs::write(&certificate, &renewed.certificate).unwrap();
        log.contains("belongs to another certificate; both").await;
        fs::write(&key, &renewed.key).unwrap();
        assert!(connects(&door).await, "{}", log.text());
        door.stop(Instant::now() + SOON).await;
    }
}

#[tokio::test]
async fn a_broker_that_wants_a_client_certificate_is_told_in_words() {
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let server = Made::new(params(&["localhost"]), None);
    for version in [&TLS12, &TLS13] {
        let (log, _guard) = thread_log();
        let wanting = TlsServer {
            client_certificate: ClientCertificate::Required,
            ..server.server(version)
        };
        let port = wanting.before(broker.port()).await;
        let door = door(MqttSettings {
            certificate: Some(server.fingerprint()),
            ..settings(&broker, port)
        });
        let wanted =
            "it wants a client certificate; see mqtt.client_cert_file and mqtt.client_key_file";
        log.contains(wanted).await;
        door.stop(Instant::now()).await;
    }
}

/// A broker on port 443 shares it with a web server, and TLS says which of them is meant.
#[tokio::test]
async fn a_broker_that_shares_its_port_is_asked_for_by_alpn() {
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let server = Made::new(params(&["localhost"]), None);
    for version in [&TLS12, &TLS13] {
        let shared = TlsServer {
            alpn: "x-amzn-mqtt-ca",
            ..server.server(version)
        };
        let port = shared.before(broker.port()).await;
        let with = |alpn: &[&str]| MqttSettings {
            certificate: Some(server.fingerprint()),
            alpn: alpn.iter().map(|name| (*name).to_owned()).collect(),
            ..settings(&broker, port)
        };
        for alpn in [&["x-amzn-mqtt-ca"][..], &["mqtt", "x-amzn-mqtt-ca"]] {
            let door = door(with(alpn));
            assert!(connects(&door).await, "{alpn:?}");
            door.stop(Instant::now() + SOON).await;
        }
        let (log, _guard) = thread_log();
        let refused = door(with(&["mqtt"]));
        let wanted =
            "it wants another protocol in TLS (ALPN) than the gateway asks for; see mqtt.alpn";
        log.contains(wanted).await;
        refused.stop(Instant::now()).await;
    }
    // Without one the web server answers, or closes.
    let page = server.server(&TLS13);
    let page = page.answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let closing = PlainPeer::that_closes_at_once().await;
    let closing = server.server(&TLS13).before(closing.port).await;
    for (port, wanted) in [
        (
            page,
            "what answers at this port is a web server (HTTP), not an MQTT broker; ",
        ),
        (closing, "it closed the connection instead of answering: "),
    ] {
        let (log, _guard) = thread_log();
        let door = door(MqttSettings {
            certificate: Some(server.fingerprint()),
            ..settings(&broker, port)
        });
        log.contains(wanted).await;
        log.contains("mqtt.alpn").await;
        door.stop(Instant::now()).await;
    }
}

#[tokio::test]
async fn an_expired_broker_certificate_is_one_line_with_its_date() {
    let (log, _guard) = thread_log();
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let dir = tempfile::tempdir().unwrap();
    let (issuer, ca) = authority();
    let ca_file = dir.path().join("ca.pem");
    fs::write(&ca_file, ca).unwrap();
    let mut expired = params(&["localhost"]);
    expired.not_after = date_time_ymd(2020, 2, 29);
    let expired = Made::new(expired, Some(&issuer));
    let port = expired.server(&TLS13).before(broker.port()).await;
    let door = door(MqttSettings {
        ca_file: Some(ca_file),
        ..settings(&broker, port)
    });
    log.contains("expired on 2020-02-29").await;
    // Tries again after 0.2, 0.4 and 0.8 s.
    sleep(Duration::from_secs(2)).await;
    let lines = log
        .text()
        .lines()
        .filter(|line| !line.contains("INFO"))
        .count();
    assert_eq!(lines, 1, "{}", log.text());
    door.stop(Instant::now()).await;
}

#[tokio::test]
async fn a_broker_without_usable_tls_is_told_in_words() {
    let plain = TestBroker::start(BrokerKind::Embedded).await;
    let page = PlainPeer::that_answers(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let banner = PlainPeer::that_answers(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()).await;
    let old = PlainPeer::that_answers(vec![0x15, 3, 1, 0, 2, 2, 70]).await;
    let closing = PlainPeer::that_closes_at_once().await;
    let hint = "mqtts:// needs the broker's TLS port, usually 8883";
    for (port, wanted) in [
        (plain.port(), "it closes the connection when TLS begins; "),
        (closing.port, "it closes the connection when TLS begins; "),
        (page.port, "it answers, but not with TLS; "),
        (banner.port, "it answers, but not with TLS; "),
    ] {
        let (log, _guard) = thread_log();
        let door = door(settings(&plain, port));
        log.contains(&format!("no connection to the broker: {wanted}{hint}"))
            .await;
        door.stop(Instant::now()).await;
    }
    let (log, _guard) = thread_log();
    let door = door(settings(&plain, old.port));
    let wanted = "it speaks only TLS 1.1 or older, which is not safe; let the broker offer TLS 1.2";
    log.contains(wanted).await;
    door.stop(Instant::now()).await;
}

/// The other way round: `mqtt://` to a port that speaks TLS, or that closes a connection that it does not
/// understand.
#[tokio::test]
async fn a_broker_that_wants_tls_is_told_in_words() {
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let server = Made::new(params(&["localhost"]), None);
    let tls = server.server(&TLS13).before(broker.port()).await;
    let closing = PlainPeer::that_closes_at_once().await;
    let resetting = PlainPeer::that_resets().await;
    for (port, wanted) in [
        (
            tls,
            "what answers at this port is TLS: the URL has to begin with mqtts://",
        ),
        (
            closing.port,
            "it closed the connection instead of answering: ",
        ),
        (
            resetting.port,
            "it closed the connection instead of answering: ",
        ),
    ] {
        let (log, _guard) = thread_log();
        let door = door(MqttSettings::new(plain_tcp(port)));
        log.contains(&format!("no connection to the broker: {wanted}"))
            .await;
        door.stop(Instant::now()).await;
    }
}

/// The start does not depend on the store, and neither do rooms that pin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_certificate_store_lacks_only_what_needs_it() {
    let device = SimulatedDevice::start(Options::default()).await.unwrap();
    let broker = TestBroker::start(BrokerKind::Embedded).await;
    let server = Made::new(params(&["localhost"]), None);
    let tls = server.server(&TLS13).before(broker.port()).await;
    let dir = tempfile::tempdir().unwrap();
    let (config, port) = (dir.path().join("poly2mqtt.toml"), free_port());
    let url = device.url();
    let text = format!(
        "[mqtt]\nurl = \"mqtts://localhost:{tls}\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [rooms.pinned]\nurl = \"{url}\"\npassword = \"456\"\ncertificate = \"{}\"\n\
         [rooms.store]\nurl = \"{url}\"\npassword = \"456\"\ncertificate = \"system\"\n",
        device.fingerprint()
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let mut command = program(&["run", "--config", config]);
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env(variable, dir.path().join("nothing"));
    }
    let log = dir.path().join("log");
    command.stderr(fs::File::create(&log).unwrap());
    let gateway = Running::start(command);
    listening(port);
    let missing = "this machine has no certificate store";
    let at = format!("http://127.0.0.1:{port}/room");
    for (page, wanted) in [
        ("pinned/availability", "online"),
        ("store/problem", "certificate_unknown"),
        ("store/problem", missing),
    ] {
        page_contains(&format!("{at}/{page}"), wanted).await;
    }
    let told = fs::read_to_string(&log).unwrap();
    let wanted = format!("no connection to the broker: {missing}");
    assert!(told.contains(&wanted), "{told}");
    assert!(told.contains("set mqtt.certificate = "), "{told}");
    let ended = tokio::task::spawn_blocking(|| gateway.terminate());
    assert_eq!(ended.await.unwrap().0.code(), Some(0));
    device.stop().await;
}
