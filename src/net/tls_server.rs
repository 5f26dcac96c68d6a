//! TLS towards clients: the gateway's own certificate, which a reload reads again.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pem::identity;
use crate::config::TlsFiles;

/// The certificate and key that listeners use.
#[derive(Debug)]
pub struct ServerTls {
    config: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used; the message names the file but shows none of its content.
    pub fn new(files: &TlsFiles) -> Result<Self, String> {
        let config = read(files)?;
        Ok(Self {
            config: RwLock::new(config),
        })
    }

    /// Reads the files again. New connections use the new certificate; open ones are not touched.
    ///
    /// # Errors
    /// They cannot be used; the old certificate stays in use.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), String> {
        let config = read(files)?;
        *self.config.write() = config;
        Ok(())
    }

    /// Does the handshake with a client that connected.
    ///
    /// # Errors
    /// The client does not speak TLS 1.2 or 1.3.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.read().clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let identity = identity(&files.certificate, &files.key, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
