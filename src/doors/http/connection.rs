//! One HTTP connection: what its client may send before it is refused, and when it keeps its place.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Extensions, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

use super::response;
use super::security_headers::with_security_headers;
use super::unread::UnreadRequest;
use crate::cluster::link::BegunExchange;
use crate::command::ErrorCode;
use crate::doors::payers::{Payer, ReadsPayer};
use crate::net::{HeldForAWhile, Peer, Stream};

/// The largest head of a request. Browsers send a few KB; other servers allow 8 to 64 KiB.
pub const LARGEST_HEAD: usize = 32 << 10;
/// Browsers behind a proxy send about 30 headers.
pub const MOST_HEADERS: usize = 64;

/// A body up to this size comes with its head.
const SHORT_BODY_BYTES: u64 = 4 << 10;

/// The connection that a request came over. Only tests call the router without one.
#[derive(Debug, Clone)]
pub struct RequestConnection {
    /// The other end, and its place.
    pub peer: Peer,
    /// What another gateway has proved over it.
    pub begun: BegunExchange,
}

impl RequestConnection {
    /// The connection of the request with these extensions.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

/// Who pays for what is read from a connection.
#[derive(Debug)]
pub struct ConnectionReads {
    /// Now.
    pub payer: ReadsPayer,
    /// When the next request begins, where each may be another client's: the proxy that brings them.
    pub each_client: Option<Arc<Payer>>,
}

/// Serves one connection until its client ends it or `close` is cancelled; then the request that has
/// begun is still answered. A request's head must be there within `head_timeout`. `reads` pays for what is read until
/// somebody else is known to.
pub async fn serve(
    stream: Box<dyn Stream>,
    peer: Peer,
    router: Router,
    reads: ConnectionReads,
    head_timeout: Duration,
    close: CancellationToken,
) {
    let unread = UnreadRequest::default();
    let connection = RequestConnection {
        peer,
        begun: BegunExchange::default(),
    };
    let stream = unread.connection(stream);
    let service = service_fn(move |request: Request<Incoming>| {
        let too_large = head_bytes(&request) > LARGEST_HEAD;
        let is_long = is_long(request.body());
        let mut request = request.map(|body| Body::new(unread.body(body)));
        request.extensions_mut().insert(connection.clone());
        request.extensions_mut().insert(unread.received());
        request.extensions_mut().insert(reads.payer.clone());
        let (router, unread) = (TowerToHyperService::new(router.clone()), unread.clone());
        let next = reads
            .each_client
            .clone()
            .map(|proxy| (reads.payer.clone(), proxy));
        async move {
            let mut response = if too_large {
                head_too_large()
            } else {
                hyper::service::Service::call(&router, request).await?
            };
            if is_long && unread.is_unread() {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let is_whole =
                !unread.is_unread() && response.status() != StatusCode::SWITCHING_PROTOCOLS;
            if let Some((reads, proxy)) = next.filter(|_| is_whole) {
                reads.begins(proxy);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        // More, so that a head is refused here, in words.
        .max_buf_size(2 * LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // Errors of a connection are its client's: the client sees them itself.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = close.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Whether the rest of a body that nobody reads ends its connection. A short one has come with the head
/// and is dropped by the library.
fn is_long(body: &Incoming) -> bool {
    let size = body.size_hint().upper();
    size.is_none_or(|size| size > SHORT_BODY_BYTES)
}

/// The bytes of a request's head. The library's own limit is for its buffer, which may hold more.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    // `GET / HTTP/1.1` and the empty line at the end, then `Name: value` with its line end.
    let line = request.method().as_str().len() + target + " HTTP/1.1\r\n\r\n".len() + 1;
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>()
}

fn head_too_large() -> Response {
    let message = format!("the head of a request takes {LARGEST_HEAD} bytes");
    let code = ErrorCode::TooLarge;
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    with_security_headers(response::error(status, code, &message))
}

/// While the request of a client that has shown a right token is handled, its connection does not give way to others.
#[derive(Debug)]
pub struct KeepsPlace {
    _held: Option<HeldForAWhile>,
}

impl KeepsPlace {
    /// For the request with this head. Not before its token is known to be right: a connection that had a place once
    /// gives way later than those of strangers.
    pub fn of(head: &Parts) -> Self {
        let connection = RequestConnection::of(&head.extensions);
        let _held = connection.map(|it| it.peer.place.hold_for_a_while());
        Self { _held }
    }
}
