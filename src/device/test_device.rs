//! A TLS server on loopback that behaves as a test wants, down to the bytes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use url::Url;

use super::{Device, DeviceFence, DeviceSettings, SharedLimits};
use crate::config::Certificate;

/// A connection to the device.
pub type Connection = TlsStream<TcpStream>;

pub struct TestDevice {
    pub url: Url,
    connections: Arc<AtomicUsize>,
}

impl TestDevice {
    /// A device that serves each connection so.
    pub async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(Connection) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send,
    {
        Self::start_with(|_| {}, serve).await
    }

    /// The same, with TLS settings changed by `change`.
    pub async fn start_with<F, S>(change: impl FnOnce(&mut ServerConfig), serve: F) -> Self
    where
        F: Fn(Connection) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send,
    {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = signing_key.serialize_der().try_into().unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        change(&mut config);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serve, count) = (acceptor.clone(), serve.clone(), count.clone());
                tokio::spawn(async move {
                    // A connection without TLS only checks that the port is open.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                    serve(stream).await;
                });
            }
        });
        Self {
            url: Url::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
            connections,
        }
    }

    /// A device that sends these bytes for each request, and may close the connection after that.
    pub async fn that_answers(response: impl Into<String>, closes: bool) -> Self {
        let response: Arc<str> = response.into().into();
        Self::start(move |mut connection| {
            let response = response.clone();
            async move {
                while request_head(&mut connection).await.is_some() {
                    send(&mut connection, &response).await;
                    if closes {
                        let _ = connection.shutdown().await;
                        return;
                    }
                }
            }
        })
        .await
    }

    /// A device that lets everyone log in and sends these bytes for each request for this path.
    pub async fn that_has(path: &'static str, response: impl Into<String>) -> Self {
        let response: Arc<str> = response.into().into();
        Self::start(move |mut connection| {
            let response = response.clone();
            async move {
                while until_a_request_for(path, &mut connection).await.is_some() {
                    send(&mut connection, &response).await;
                }
            }
        })
        .await
    }

    /// A client of it that has not connected yet.
    pub fn client(&self) -> Device {
        Device::new(settings(&self.url, SharedLimits::default())).unwrap()
    }

    /// How many TLS connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// How a device at this address is reached, with these limits.
pub fn settings(url: &Url, limits: SharedLimits) -> DeviceSettings {
    DeviceSettings {
        url: url.clone(),
        user: "admin".into(),
        password: "secret".to_owned().into(),
        certificate: Certificate::Insecure,
        keep_alive: true,
        timings: Arc::default(),
        telemetry: Arc::default(),
        limits,
        session_store: None,
        fence: DeviceFence::default(),
    }
}

/// Reads a request up to the empty line after its head; none if the connection ends before that.
pub async fn request_head(connection: &mut Connection) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Sends these bytes; the client may have gone.
pub async fn send(connection: &mut Connection, bytes: &str) {
    let _ = connection.write_all(bytes.as_bytes()).await;
    let _ = connection.flush().await;
}

/// A successful response.
pub fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Answers log-in and probes until a request for this path is there; none if the connection ends
/// before that.
pub async fn until_a_request_for(path: &str, connection: &mut Connection) -> Option<()> {
    loop {
        let head = request_head(connection).await?;
        if head.contains(&format!(" {path} ")) {
            return Some(());
        }
        let body = if head.contains(" /rest/session ") {
            r#"{"success":true,"session":{"sessionId":"s"}}"#
        } else {
            r#"{"activePersona":"Poly"}"#
        };
        send(connection, &ok(body)).await;
    }
}
