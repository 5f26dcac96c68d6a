//! The connections to one device, and one exchange over each at a time.
//!
//! Owns connecting, the streams that stay open between exchanges, and whether one of them may be
//! used again. Knows no sessions and repeats nothing.
//!
//! hyper is given a stream for one exchange and gives it back, and is polled by whoever waits for
//! the answer: between exchanges a room holds no HTTP buffers (some 30 KB), and an answer wakes one
//! task and not two.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use url::{Host, Position, Url};

/// A device answers a handshake within this, or it is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// Shorter than devices keep an idle connection; polling keeps it in use.
const IDLE: Duration = Duration::from_secs(30);

/// What is sent: all of it at once, or as it comes.
pub type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// Boxed: it is handed from place to place, and TLS is a kilobyte.
type Stream = Box<TlsStream<TcpStream>>;
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// One resolver and dialler for all: it tries a name's addresses of both families.
static TCP: LazyLock<HttpConnector> = LazyLock::new(|| {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
});

/// Why an exchange has no answer.
#[derive(Debug)]
pub enum Lost {
    /// There was no connection: nothing was sent.
    NotConnected(Cause),
    /// The connection broke after that.
    Broken,
}

/// The connections to one device.
pub struct Connections {
    device: Uri,
    /// The `Host` header.
    pub host: HeaderValue,
    name: ServerName<'static>,
    tls: TlsConnector,
    idle: Mutex<Vec<(Stream, Instant)>>,
    most_idle: usize,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("device", &self.device)
            .field("idle", &self.lock().len())
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// None yet, to the device at `https://host[:port]`; so many stay open between exchanges.
    ///
    /// # Errors
    /// A URL that names no host.
    pub fn new(url: &Url, tls: ClientConfig, most_idle: usize) -> Result<Arc<Self>, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{url} names no device: {error}");
        let name = match url.host() {
            Some(Host::Domain(name)) => {
                ServerName::try_from(name.to_owned()).map_err(|error| wrong(&error))?
            }
            Some(Host::Ipv4(address)) => ServerName::from(IpAddr::from(address)),
            Some(Host::Ipv6(address)) => ServerName::from(IpAddr::from(address)),
            None => return Err(wrong(&"it has no host")),
        };
        let host = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Arc::new(Self {
            device: Uri::try_from(format!("https://{host}/")).map_err(|error| wrong(&error))?,
            host: HeaderValue::from_str(host).map_err(|error| wrong(&error))?,
            name,
            tls: TlsConnector::from(Arc::new(tls)),
            idle: Mutex::default(),
            most_idle,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Stream, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody is there at all: connects, and hangs up.
    ///
    /// # Errors
    /// Why not.
    pub async fn reach(&self) -> Result<(), Cause> {
        within(CONNECT, self.dial()).await.map(drop)
    }

    async fn dial(&self) -> Result<TcpStream, Cause> {
        let dialled = TCP.clone().call(self.device.clone()).await;
        dialled.map(TokioIo::into_inner).map_err(Cause::from)
    }

    async fn connect(&self) -> Result<Stream, Cause> {
        let connected = async {
            let stream = self.dial().await?;
            let stream = self.tls.connect(self.name.clone(), stream).await?;
            Ok(Box::new(stream))
        };
        // On the heap for as long as it lasts: it is large, and few exchanges connect.
        within(CONNECT, Box::pin(connected)).await
    }

    /// One that is open still, the last used first.
    fn kept(&self) -> Option<Stream> {
        loop {
            let (mut stream, since) = self.lock().pop()?;
            if since.elapsed() < IDLE && is_quiet(&mut stream) {
                return Some(stream);
            }
        }
    }

    fn keep(&self, stream: Stream) {
        let now = Instant::now();
        let mut idle = self.lock();
        // What was not needed for so long is closed, lest the device's end of it lingers here.
        idle.retain(|(_, since)| now.duration_since(*since) < IDLE);
        if idle.len() < self.most_idle {
            idle.push((stream, now));
        }
    }

    /// Sends a request, whose URI is the path, and waits for the head of its answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(self: &Arc<Self>, request: Request<Body>) -> Result<Response, Lost> {
        let stream = match self.kept() {
            Some(stream) => stream,
            None => self.connect().await.map_err(Lost::NotConnected)?,
        };
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Lost::Broken)?;
        let mut exchange = Box::new(Exchange {
            sender,
            connection: Some(connection),
        });
        let answered = exchange.sender.send_request(request);
        match exchange.drive(answered).await {
            Some(Ok(answer)) => {
                let (head, body) = answer.into_parts();
                Ok(Response {
                    head,
                    body,
                    exchange,
                    home: self.clone(),
                })
            }
            _ => Err(Lost::Broken),
        }
    }
}

async fn within<T>(
    limit: Duration,
    connected: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    match timeout(limit, connected).await {
        Ok(connected) => connected,
        Err(_) => Err("operation timed out".into()),
    }
}

/// Nothing has come since the last answer: neither an end nor bytes that nobody asked for.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let read = Pin::new(stream).poll_read(&mut just_looking(), &mut ReadBuf::new(&mut byte));
    read.is_pending()
}

/// For polls that ask how it stands and wait for nothing.
fn just_looking() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

struct Exchange {
    sender: SendRequest<Body>,
    /// None once it has ended.
    connection: Option<Connection<TokioIo<Stream>, Body>>,
}

impl Exchange {
    /// Runs the connection until what waits for it is ready; none if the connection ends first.
    async fn drive<F: Future>(&mut self, waiting: F) -> Option<F::Output> {
        let mut waiting = pin!(waiting);
        poll_fn(|cx| {
            if let Poll::Ready(output) = waiting.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let connection = self.connection.as_mut();
            if connection.is_none_or(|connection| Pin::new(connection).poll(cx).is_ready()) {
                self.connection = None;
            }
            match waiting.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.connection.is_none() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The stream, if both ends would go on with it.
    fn end(mut self) -> Option<Stream> {
        let mut connection = self.connection?;
        let cx = &mut just_looking();
        let open = Pin::new(&mut connection).poll(cx).is_pending();
        if !open || !matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))) {
            return None;
        }
        let parts = connection.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
    }
}

/// An answer whose body is still to be read. Dropped before its end, it closes the connection.
pub struct Response {
    /// Status and headers.
    pub head: http::response::Parts,
    body: Incoming,
    exchange: Box<Exchange>,
    home: Arc<Connections>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may set a cookie.
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// The next part of the body.
    ///
    /// # Errors
    /// The connection broke before the body's end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Lost> {
        loop {
            match self.exchange.drive(self.body.frame()).await {
                Some(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(None) => return Ok(None),
                Some(Some(Err(_))) | None => return Err(Lost::Broken),
            }
        }
    }

    /// All of the body was read: the connection may be used again.
    pub fn end(self) {
        if let Some(stream) = self.exchange.end() {
            self.home.keep(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::config::Certificate;
    use crate::device::tls::client_config;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";

    /// A device that gives every request the same answer, and may hang up after it.
    async fn device(answer: &'static str, hangs_up: bool) -> (Arc<Connections>, Arc<AtomicUsize>) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = signing_key.serialize_der().try_into().unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let met = Arc::new(AtomicUsize::new(0));
        let count = met.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        stream.flush().await.unwrap();
                        if hangs_up {
                            return;
                        }
                    }
                });
            }
        });
        let (tls, _) = client_config(&Certificate::Insecure).unwrap();
        let url = Url::parse(&format!("https://127.0.0.1:{port}")).unwrap();
        (Connections::new(&url, tls, 2).unwrap(), met)
    }

    async fn ask(connections: &Arc<Connections>) -> Result<Vec<u8>, Lost> {
        let mut request = Request::new(Either::Left(Full::default()));
        *request.uri_mut() = Uri::from_static("/rest/audio");
        let mut response = connections.send(request).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        response.end();
        Ok(body)
    }

    /// Waits until what the device did after its answer has arrived.
    async fn arrived(connections: &Connections) {
        let quiet = || match connections.lock().first_mut() {
            Some((stream, _)) => is_quiet(stream),
            None => false,
        };
        timeout(Duration::from_secs(10), async {
            while quiet() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_connection_serves_one_exchange_after_the_other() {
        let (connections, met) = device(ANSWER, false).await;
        for _ in 0..3 {
            assert_eq!(ask(&connections).await.unwrap(), b"true");
        }
        assert_eq!(met.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_the_device_has_closed_is_not_used() {
        let (connections, met) = device(ANSWER, true).await;
        for exchange in 1..=3 {
            assert_eq!(ask(&connections).await.unwrap(), b"true");
            arrived(&connections).await;
            assert_eq!(met.load(Ordering::SeqCst), exchange);
        }
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_no_answer_to_the_next_request() {
        let twice = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrueHTTP/1.1 200 OK\r\n\
                     Content-Length: 5\r\n\r\nfalse";
        let (connections, met) = device(twice, false).await;
        for exchange in 1..=3 {
            assert_eq!(ask(&connections).await.unwrap(), b"true");
            assert_eq!(met.load(Ordering::SeqCst), exchange);
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_no_answer() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\ntrue";
        let (connections, _) = device(cut, true).await;
        assert!(matches!(ask(&connections).await, Err(Lost::Broken)));
        let (connections, _) = device("HTTP/1.1 200", true).await;
        assert!(matches!(ask(&connections).await, Err(Lost::Broken)));
        assert!(connections.lock().is_empty());
    }
}
