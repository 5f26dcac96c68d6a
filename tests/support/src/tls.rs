//! Servers with any certificate and key, peers that speak no TLS, and fingerprints of certificates.

use std::future::Future;
use std::sync::Arc;

use poly2mqtt::config::Fingerprint;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The fingerprint of a certificate in PEM form.
pub fn fingerprint(pem: &[u8]) -> Fingerprint {
    let certificate = CertificateDer::from_pem_slice(pem).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
    Fingerprint(digest.as_ref().try_into().unwrap())
}

/// A server that speaks no TLS. It ends when it is dropped.
pub struct PlainPeer {
    pub port: u16,
    task: JoinHandle<()>,
}

/// What a [`PlainPeer`] does with a connection.
#[derive(Clone)]
enum Behaviour {
    Answers(Vec<u8>),
    Closes,
    Resets,
}

impl PlainPeer {
    /// Waits for the client's first bytes, sends these, and closes the connection.
    pub async fn that_answers(answer: Vec<u8>) -> Self {
        Self::start(Behaviour::Answers(answer)).await
    }

    /// Closes each connection without a word.
    pub async fn that_closes_at_once() -> Self {
        Self::start(Behaviour::Closes).await
    }

    /// Closes each connection while it has not read all that came, which the system tells the client
    /// as a reset.
    pub async fn that_resets() -> Self {
        Self::start(Behaviour::Resets).await
    }

    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let behaviour = behaviour.clone();
                tokio::spawn(async move {
                    let mut read = [0; 4096];
                    match behaviour {
                        Behaviour::Answers(answer) => {
                            if stream.read(&mut read).await.is_ok_and(|length| length > 0) {
                                let _ = stream.write_all(&answer).await;
                            }
                        }
                        Behaviour::Resets => drop(stream.read(&mut read[..1]).await),
                        Behaviour::Closes => {}
                    }
                });
            }
        });
        Self { port, task }
    }
}

impl Drop for PlainPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a server wants of its clients.
#[derive(Debug, Clone)]
pub enum ClientCertificate {
    Ignored,
    /// It asks for a certificate, and does without.
    Asked,
    Required,
    /// Only this one is good; others are refused for this reason.
    Only(CertificateDer<'static>, CertificateError),
}

impl ClientCertVerifier for ClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self, Self::Required | Self::Only(..))
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self {
            Self::Only(good, refusal) if good != shown => Err(refusal.clone().into()),
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Shows any certificate with any key.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Accepts TLS with a new certificate for this machine, signed by itself.
pub fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server with TLS. It ends with the test's runtime.
pub struct TlsServer {
    pub version: &'static SupportedProtocolVersion,
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
    pub client_certificate: ClientCertificate,
    /// The only protocol that it speaks (ALPN); any if it is empty.
    pub alpn: &'static str,
}

impl TlsServer {
    /// Sends these bytes each time it has read something. Gives its port.
    pub async fn answering(self, answer: &'static [u8]) -> u16 {
        self.start(move |mut stream| async move {
            let mut read = [0; 4096];
            while stream.read(&mut read).await.is_ok_and(|length| length > 0) {
                let _ = stream.write_all(answer).await;
                let _ = stream.flush().await;
            }
        })
        .await
    }

    /// Passes everything on to a server without TLS. Gives its port.
    pub async fn before(self, port: u16) -> u16 {
        self.start(move |mut stream| async move {
            if let Ok(mut plain) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = copy_bidirectional(&mut stream, &mut plain).await;
            }
        })
        .await
    }

    async fn start<F, S>(self, serve: F) -> u16
    where
        F: Fn(TlsStream<TcpStream>) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send,
    {
        let key = any_supported_type(&self.key).unwrap();
        let shown = CertifiedKey::new(vec![self.certificate], key);
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[self.version])
            .unwrap();
        let builder = match self.client_certificate {
            ClientCertificate::Ignored => builder.with_no_client_auth(),
            wanted => builder.with_client_cert_verifier(Arc::new(wanted)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Shown(Arc::new(shown))));
        if !self.alpn.is_empty() {
            config.alpn_protocols.push(self.alpn.into());
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serve) = (acceptor.clone(), serve.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        });
        port
    }
}
