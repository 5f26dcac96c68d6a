//! Hostile devices: they listen as a device does, and answer without end.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::attacker::Flood;

/// An answer that never ends.
pub struct Endless {
    first: &'static str,
    again: &'static str,
}

pub const CONTINUE: Endless = Endless {
    first: "",
    again: "HTTP/1.1 100 Continue\r\n\r\n",
};
pub const HEADERS: Endless = Endless {
    first: "HTTP/1.1 200 OK\r\n",
    again: "X-More: and more of it\r\n",
};
pub const BODY: Endless = Endless {
    first: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\n\r\n",
    again: "10\r\n[[[[[[[[[[[[[[[[\r\n",
};

/// A device that waits for the gateway.
pub struct HostileDevice {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl HostileDevice {
    /// Listens, and says at which port and with which certificate.
    pub async fn listen() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let digest: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        println!("{port} sha256:{digest}");
        Self {
            listener,
            tls: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// Answers every request without end, as often as the gateway comes.
    pub async fn answer(self, flood: &Flood, endless: &Endless) {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => if let Ok((stream, _)) = accepted {
                    flood.count("connections");
                    connections.push(self.serve(stream, flood, endless));
                },
                Some(()) = connections.next() => flood.count("ended_by_gateway"),
            }
        }
    }

    async fn serve(&self, stream: TcpStream, flood: &Flood, endless: &Endless) {
        let Ok(mut stream) = self.tls.accept(stream).await else {
            return;
        };
        let mut request = Vec::new();
        while !request.windows(4).any(|four| four == b"\r\n\r\n") {
            let Ok(1..) = stream.read_buf(&mut request).await else {
                return;
            };
        }
        let block = endless.again.repeat(16_384 / endless.again.len());
        if stream.write_all(endless.first.as_bytes()).await.is_err() {
            return;
        }
        while stream.write_all(block.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
            flood.add("kib", block.len() / 1024);
            flood.turn().await;
        }
    }
}
