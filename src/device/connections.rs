//! The connections to one device, and one exchange over each at a time.
//!
//! Owns connecting, the streams that stay open between exchanges, and whether one of them may be
//! used again. Knows no sessions and repeats nothing.
//!
//! Between exchanges a room holds a stream and no HTTP buffers, and an answer wakes nobody but who
//! waits for it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use url::{Host, Position, Url};

use super::http1::{self, Body, Head, Part};

/// A device answers a handshake within this, or it is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// Shorter than devices keep an idle connection; polling keeps it in use.
const IDLE: Duration = Duration::from_secs(30);

/// What follows a request as it comes, and how many bytes it is.
pub type Streamed = (u64, BoxStream<'static, io::Result<Bytes>>);

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

thread_local! {
    /// Where a read puts what has arrived, for all devices of a thread: an exchange that waits holds
    /// no buffer, and one that is answered no more than the answer. As large as what TLS has at most
    /// at a time.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; 16 << 10].into());
}

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
    /// What a request names as its host.
    pub host: String,
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
            host: host.to_owned(),
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

    /// Sends a request, and what follows it, and waits for the head of its answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(
        self: &Arc<Self>,
        request: &[u8],
        more: Option<Streamed>,
    ) -> Result<Response, Lost> {
        let stream = match self.kept() {
            Some(stream) => stream,
            None => self.connect().await.map_err(Lost::NotConnected)?,
        };
        let mut exchange = Exchange {
            stream,
            arrived: BytesMut::new(),
            early: false,
        };
        exchange.send(request).await;
        if let Some(more) = more {
            exchange.pass_on(more).await?;
        }
        loop {
            let head = http1::read_head(&mut exchange.arrived);
            if let Some((head, body)) = head.map_err(|_| Lost::Broken)? {
                return Ok(Response {
                    head,
                    body,
                    exchange,
                    home: self.clone(),
                });
            }
            if exchange.read().await? == 0 {
                return Err(Lost::Broken);
            }
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
    stream: Stream,
    arrived: BytesMut,
    /// Something came before all was sent, or not all could be.
    early: bool,
}

impl Exchange {
    /// Sends these bytes; fewer, if an answer comes before they are gone or they cannot be sent. A
    /// device that refuses something may say so and read no further.
    async fn send(&mut self, mut bytes: &[u8]) {
        poll_fn(|cx| self.poll_sent(cx, &mut bytes)).await;
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>, bytes: &mut &[u8]) -> Poll<()> {
        loop {
            let stream = Pin::new(&mut self.stream);
            let sent = if bytes.is_empty() {
                stream.poll_flush(cx).map_ok(|()| 0)
            } else {
                stream.poll_write(cx, bytes)
            };
            match sent {
                Poll::Ready(Ok(0)) if bytes.is_empty() => return Poll::Ready(()),
                Poll::Ready(Ok(sent @ 1..)) => *bytes = &bytes[sent..],
                Poll::Pending if self.poll_read(cx).is_pending() => return Poll::Pending,
                _ => {
                    self.early = true;
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Sends what comes as it comes, until an answer does.
    async fn pass_on(&mut self, (mut length, mut more): Streamed) -> Result<(), Lost> {
        while length > 0 && !self.early {
            let chunk = tokio::select! {
                biased;
                _ = self.read() => {
                    self.early = true;
                    break;
                }
                chunk = more.next() => chunk,
            };
            let Some(Ok(chunk)) = chunk else {
                return Err(Lost::Broken);
            };
            length = length.checked_sub(chunk.len() as u64).ok_or(Lost::Broken)?;
            self.send(&chunk).await;
        }
        Ok(())
    }

    /// Waits for more, and says how much came: nothing if the device has ended the connection.
    async fn read(&mut self) -> Result<usize, Lost> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Lost>> {
        READ.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut read);
            ready!(polled).map_err(|_| Lost::Broken)?;
            self.arrived.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }
}

/// An answer whose body is still to be read. Dropped before its end, it closes the connection.
pub struct Response {
    /// Status and headers.
    pub head: Head,
    body: Body,
    exchange: Exchange,
    home: Arc<Connections>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("head", &self.head)
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
            let part = self.body.next(&mut self.exchange.arrived);
            match part.map_err(|_| Lost::Broken)? {
                Part::Data(data) => return Ok(Some(data)),
                Part::End => return Ok(None),
                Part::Wait => {}
            }
            if self.exchange.read().await? == 0 {
                if self.body == Body::UntilClosed {
                    return Ok(None);
                }
                return Err(Lost::Broken);
            }
        }
    }

    /// All of the body was read: the connection may be used again.
    pub fn end(self) {
        let Exchange {
            stream,
            arrived,
            early,
        } = self.exchange;
        if self.head.keeps && !early && arrived.is_empty() {
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
        let request = b"GET /rest/audio HTTP/1.1\r\n\r\n";
        let mut response = connections.send(request, None).await?;
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

    #[tokio::test]
    async fn an_answer_before_the_end_of_the_request_is_taken() {
        let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\ntrue";
        let (connections, met) = device(refusal, false).await;
        let endless = futures_util::stream::pending().boxed();
        let request = b"POST /rest/x HTTP/1.1\r\n\r\n";
        let sent = connections.send(request, Some((1000, endless))).await;
        let mut response = sent.unwrap();
        assert_eq!(response.head.status, 413);
        assert_eq!(response.chunk().await.unwrap().unwrap(), "true");
        assert!(response.chunk().await.unwrap().is_none());
        response.end();
        // What is left of the request would be taken for the next one.
        assert_eq!(ask(&connections).await.unwrap(), b"true");
        assert_eq!(met.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_streams_in_is_as_long_as_was_said() {
        let (connections, _) = device(ANSWER, false).await;
        for (length, text) in [(3, "four"), (5, "")] {
            let chunks = Some(text).filter(|text| !text.is_empty());
            let chunks = chunks.map(|text| Ok(Bytes::from_static(text.as_bytes())));
            let chunks = futures_util::stream::iter(chunks).boxed();
            let mut exchange = Exchange {
                stream: connections.connect().await.unwrap(),
                arrived: BytesMut::new(),
                early: false,
            };
            assert!(
                exchange.pass_on((length, chunks)).await.is_err(),
                "{length}"
            );
        }
    }
}
