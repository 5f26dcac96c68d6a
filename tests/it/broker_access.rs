//! Connecting to a broker: TLS with its authority, the gateway's own certificate, user and password.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use poly2mqtt::doors::mqtt::{BrokerAddress, MqttDoor, MqttSettings};
use poly2mqtt::state::{StateStore, StateValue};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::time::{Instant, timeout};

use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::{Mosquitto, Obliging, SOON, free_port, mosquitto, plain_tcp};

fn door(settings: MqttSettings) -> (MqttDoor, Arc<StateStore>) {
    let store = StateStore::new();
    let door = MqttDoor::start(
        settings,
        store.clone(),
        Arc::new(Obliging),
        Arc::default(),
        None,
    )
    .unwrap();
    (door, store)
}

async fn connects(door: &MqttDoor, within: Duration) -> bool {
    let mut connected = door.connected();
    let up = connected.wait_for(|connected| *connected);
    timeout(within, up).await.is_ok()
}

/// An authority, and the certificates that it signed for the broker and the gateway.
fn certificates(dir: &Path) -> [PathBuf; 5] {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "The test's authority");
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let sign = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        [
            write(&format!("{name}.pem"), certificate.pem()),
            write(&format!("{name}.key"), key.serialize_pem()),
        ]
    };
    let [broker, broker_key] = sign("broker");
    let [gateway, gateway_key] = sign("gateway");
    [
        write("ca.pem", authority.pem()),
        broker,
        broker_key,
        gateway,
        gateway_key,
    ]
}

#[tokio::test]
async fn tls_with_the_brokers_authority_and_the_gateways_certificate() {
    if mosquitto().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [ca, broker, broker_key, gateway, gateway_key] = certificates(dir.path());
    let plain = free_port();
    let mosquitto = Mosquitto::start_with(0, "allow_anonymous true", |_| {
        format!(
            "user root\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             listener {plain} 127.0.0.1\n",
            ca.display(),
            broker.display(),
            broker_key.display()
        )
    });
    let tls = BrokerAddress::Tls {
        host: "localhost".into(),
        port: mosquitto.port,
    };
    let good = MqttSettings {
        ca_file: Some(ca.clone()),
        client_cert_file: Some(gateway.clone()),
        client_key_file: Some(gateway_key.clone()),
        session_expiry: Duration::ZERO,
        ..MqttSettings::new(tls.clone())
    };
    let (up, store) = door(good.clone());
    assert!(connects(&up, SOON).await);
    store.set("room/1/audio/volume", StateValue::text("5"));
    let client = Client::connect(plain).await;
    client.expect("room/1/audio/volume", "5").await;
    assert_eq!(client.command("room/1/audio/mute", "").await["ok"], true);
    up.stop(Instant::now() + SOON).await;
    // Without the gateway's certificate, or without the broker's authority, there is no connection.
    for bad in [
        MqttSettings {
            client_cert_file: None,
            client_key_file: None,
            ..good.clone()
        },
        MqttSettings {
            ca_file: Some(gateway),
            ..good.clone()
        },
    ] {
        let (down, _) = door(bad);
        assert!(!connects(&down, Duration::from_millis(700)).await);
        down.stop(Instant::now()).await;
    }
    // A wrong file is reported at the start.
    let unusable = MqttSettings {
        ca_file: Some(dir.path().join("nothing.pem")),
        ..good
    };
    let told = MqttDoor::start(
        unusable,
        StateStore::new(),
        Arc::new(Obliging),
        Arc::default(),
        None,
    )
    .unwrap_err();
    assert!(told.contains("nothing.pem cannot be used"), "{told}");
}

#[tokio::test]
async fn user_and_password() {
    if mosquitto().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let passwords = dir.path().join("passwords");
    fs::write(&passwords, "").unwrap();
    let made = Command::new("mosquitto_passwd")
        .args(["-b", &passwords.display().to_string(), "gateway", "right"])
        .status();
    assert!(made.unwrap().success());
    let mosquitto = Mosquitto::start_with(0, "allow_anonymous false", |_| {
        format!("user root\npassword_file {}\n", passwords.display())
    });
    let address = plain_tcp(mosquitto.port);
    let with = |password: &str| MqttSettings {
        username: Some("gateway".into()),
        password: Some(password.to_owned().into()),
        session_expiry: Duration::ZERO,
        ..MqttSettings::new(address.clone())
    };
    let (up, _) = door(with("right"));
    assert!(connects(&up, SOON).await);
    up.stop(Instant::now() + SOON).await;
    let (down, _) = door(with("wrong"));
    assert!(!connects(&down, Duration::from_millis(700)).await);
    down.stop(Instant::now()).await;
}
