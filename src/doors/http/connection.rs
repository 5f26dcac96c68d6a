//! One HTTP connection, and what its client may send before it is refused.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

use crate::net::Stream;

/// The largest head of a request. Browsers send a few KB; other servers allow 8 to 64 KiB.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Browsers behind a proxy send about 30 headers.
const MAX_HEADERS: usize = 64;

/// The address at the other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddr(pub SocketAddr);

/// Serves one connection until its client ends it or `close` is cancelled; then the request that has
/// begun is still answered. A request's head must be there within `head_timeout`.
pub async fn serve(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    router: Router,
    head_timeout: Duration,
    close: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(PeerAddr(peer));
        let router = TowerToHyperService::new(router.clone());
        async move {
            let response: Result<_, Infallible> =
                hyper::service::Service::call(&router, request).await;
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
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
