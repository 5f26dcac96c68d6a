//! A server at a device's address that shows any certificate and sends any bytes.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use poly2mqtt::config;
use poly2mqtt::device::{Device, DeviceTimings, SharedLimits};
use poly2mqtt::rooms::device_settings;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

thread_local! {
    pub static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
}

/// A certificate that this machine made, with its key.
static MADE: LazyLock<(CertificateDer<'static>, CertifiedKey)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certified = CertifiedKey::new(vec![certificate.clone()], key);
    (certificate, certified)
});

/// A good certificate, of the key that a server has.
pub fn certificate() -> &'static [u8] {
    &MADE.0
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// How a server behaves.
pub struct Behaviour {
    /// The certificate that it shows.
    pub certificate: Vec<u8>,
    /// In place of an answer to the first request that is no log-in.
    pub answer: Vec<u8>,
}

/// Starts a server and gives its port. It ends with the runtime's next turn after `abort`.
pub async fn server(behaviour: Behaviour) -> (u16, tokio::task::JoinHandle<()>) {
    let chain = vec![behaviour.certificate.into()];
    let shown = Shown(Arc::new(CertifiedKey::new(chain, MADE.1.key.clone())));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut answer = Some(behaviour.answer);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            while let Some(request) = request(&mut stream).await {
                let is_login = request.starts_with("POST /rest/session");
                let bytes = match answer.take_if(|_| !is_login) {
                    Some(bytes) => bytes,
                    None => GOOD.to_vec(),
                };
                let sent = stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok();
                if !sent || bytes != GOOD {
                    let _ = stream.shutdown().await;
                    break;
                }
            }
        }
    });
    (port, task)
}

/// Good for a log-in as for any other request.
pub const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nSet-Cookie: session_id=a\r\n\
    Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"success\":true}";

/// The head of a request, once its body is read too.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    while read.len() < end + length {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&read[..end]).into_owned())
}

/// The client of a device at that port.
pub fn device(port: u16, trusted: &str) -> Device {
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://127.0.0.1:{port}\"\n\
         password = \"456\"\n{trusted}\n"
    );
    let config = config::read("file".into(), &text, []).unwrap().config;
    let room = config.rooms.values().next().unwrap();
    let timings = DeviceTimings {
        request_timeout: Duration::from_secs(5),
        slow_request_timeout: Duration::from_secs(5),
        ..DeviceTimings::default()
    };
    let limits = SharedLimits::default();
    Device::new(device_settings(room, &timings, &Arc::default(), &limits)).unwrap()
}
