//! What the tests share: brokers to test with and a client that remembers what it received.
#![allow(dead_code, missing_docs)]

pub mod browser;
pub mod client;
pub mod door;
pub mod gateway;
pub mod program;
pub mod secrets;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use poly2mqtt::hub::Hub;
use poly2mqtt::mqtt::broker::{Broker, Settings, User};
use poly2mqtt::mqtt::{self, BrokerAddress};

/// Long enough for a slow machine; nothing waits so long unless something is wrong.
pub const SOON: Duration = Duration::from_secs(20);

/// A broker of this machine without TLS.
pub fn plain_tcp(port: u16) -> BrokerAddress {
    BrokerAddress::Tcp {
        host: "127.0.0.1".into(),
        port,
    }
}

/// A door that logs in without user, password or certificate.
pub fn door_settings(broker: BrokerAddress) -> mqtt::Settings {
    mqtt::Settings {
        broker,
        username: None,
        password: None,
        client_id: "poly2mqtt".into(),
        ca_file: None,
        client_cert_file: None,
        client_key_file: None,
        prefix: String::new(),
        session_expiry: Duration::from_secs(10),
        max_payload: 1 << 20,
        keep_alive: Duration::from_secs(5),
    }
}

/// Which broker a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Embedded,
    Mosquitto,
}

/// A broker for a test.
pub enum TestBroker {
    Embedded(Broker),
    Mosquitto(Mosquitto),
}

impl TestBroker {
    pub async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => Self::Embedded(embedded(Vec::new(), Hub::new()).await),
            Kind::Mosquitto => Self::Mosquitto(Mosquitto::start(0, "")),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Embedded(broker) => broker.addr().port(),
            Self::Mosquitto(mosquitto) => mosquitto.port,
        }
    }

    /// The gateway's own user, where the broker has one.
    pub fn gateway_login(&self) -> Option<(String, secrecy::SecretString)> {
        match self {
            Self::Embedded(broker) => Some(broker.gateway_login()),
            Self::Mosquitto(_) => None,
        }
    }

    /// Ends Mosquitto and starts an empty one at the same port.
    pub fn restart(self) -> Self {
        let Self::Mosquitto(mosquitto) = self else {
            panic!("the embedded broker lives and dies with the gateway");
        };
        let port = mosquitto.port;
        drop(mosquitto);
        Self::Mosquitto(Mosquitto::start(port, ""))
    }
}

/// The embedded broker at a free port of this machine.
pub async fn embedded(users: Vec<User>, hub: Arc<Hub>) -> Broker {
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        users,
        prefix: String::new(),
        max_payload: 10 << 20,
    };
    Broker::start(settings, hub).await.unwrap()
}

/// Whether to test with Mosquitto: where it is installed, or always when told so.
pub fn mosquitto() -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join("mosquitto"))
        .find(|path| path.is_file());
    if std::env::var("POLY2MQTT_TEST_MOSQUITTO").is_ok_and(|value| value == "required") {
        assert!(found.is_some(), "Mosquitto is required but not installed");
    }
    found
}

/// A Mosquitto process, ended when dropped.
pub struct Mosquitto {
    pub port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts it with `more` lines of configuration; port 0 takes a free one.
    pub fn start(port: u16, more: &str) -> Self {
        Self::start_with(port, "allow_anonymous true", |_| more.to_owned())
    }

    pub fn start_with(port: u16, access: &str, more: impl FnOnce(&Path) -> String) -> Self {
        let program = mosquitto().expect("Mosquitto is installed");
        let dir = tempfile::tempdir().unwrap();
        let port = if port == 0 { free_port() } else { port };
        let more = more(dir.path());
        let config = dir.path().join("mosquitto.conf");
        let mut file = std::fs::File::create(&config).unwrap();
        write!(
            file,
            "listener {port} 127.0.0.1\n{access}\nset_tcp_nodelay true\npersistence false\n{more}\n"
        )
        .unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mosquitto = Self {
            port,
            child,
            _dir: dir,
        };
        let deadline = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Mosquitto does not start");
            std::thread::yield_now();
        }
        mosquitto
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nothing else takes: below those that the system gives to whoever asks for any, and
/// another one at each call.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(number % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
