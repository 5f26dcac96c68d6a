//! How the connection to the broker is set up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::rustls::client::danger::ServerCertVerifier;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore};
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use secrecy::{ExposeSecret, SecretString};

/// Packets up to this size are read, so that a payload that is too large gets its answer rather
/// than breaking the connection.
const LARGEST_PACKET: u32 = 64 << 20;

/// How many packet ids are used; well above what is unacknowledged at a time.
const IDS: u16 = 4 * super::flight::WINDOW as u16;

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerAddress {
    /// Without TLS.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// With TLS.
    Tls {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// What the door needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the broker is.
    pub broker: BrokerAddress,
    /// The user, where the broker wants one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<SecretString>,
    /// The same at every start, so that the broker keeps the session.
    pub client_id: String,
    /// The authority that signed the broker's certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The gateway's certificate.
    pub client_cert_file: Option<PathBuf>,
    /// Its key.
    pub client_key_file: Option<PathBuf>,
    /// Stands before every topic; empty for none.
    pub prefix: String,
    /// How long the broker keeps the session; zero for not at all.
    pub session_expiry: Duration,
    /// The largest payload taken or published.
    pub max_payload: usize,
    /// How often an idle connection is tested; at least 5 s.
    pub keep_alive: Duration,
}

impl Settings {
    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        let (BrokerAddress::Tcp { host, port } | BrokerAddress::Tls { host, port }) = &self.broker;
        format!("{host}:{port}")
    }
}

/// The library's options, with the will.
///
/// # Errors
/// Certificate files that cannot be used.
pub fn mqtt_options(settings: &Settings) -> Result<MqttOptions, String> {
    let (BrokerAddress::Tcp { host, port } | BrokerAddress::Tls { host, port }) = &settings.broker;
    let mut options = MqttOptions::new(&settings.client_id, host, *port);
    // The library refuses less by panicking.
    options.set_keep_alive(settings.keep_alive.max(Duration::from_secs(5)));
    options.set_max_packet_size(Some(LARGEST_PACKET));
    // The library keeps a place for each id it may use: 14 MB for all that there are.
    options.set_outgoing_inflight_upper_limit(IDS);
    options.set_connection_timeout(10);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(10);
    options.set_network_options(network);
    let expiry = u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX);
    options.set_clean_start(expiry == 0);
    options.set_session_expiry_interval(Some(expiry));
    options.set_last_will(LastWill::new(
        super::availability_topic(&settings.prefix),
        "offline",
        QoS::AtLeastOnce,
        true,
        None,
    ));
    if let Some(username) = &settings.username {
        let password = settings.password.as_ref().map(ExposeSecret::expose_secret);
        options.set_credentials(username, password.unwrap_or_default());
    }
    if matches!(settings.broker, BrokerAddress::Tls { .. }) {
        let tls = TlsConfiguration::Rustls(Arc::new(tls(settings)?));
        options.set_transport(Transport::tls_with_config(tls));
    }
    Ok(options)
}

fn tls(settings: &Settings) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &settings.ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| unusable(path, &error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| format!("the system's certificates cannot be used: {error}"))?;
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    match (&settings.client_cert_file, &settings.client_key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key_der =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| unusable(certificate, &error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{} cannot be used: {error}", path.display())
}
