//! Accepting connections: bounded, with TLS where it is configured, until told to stop.
//!
//! Knows nothing of what is spoken on them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::Tls;

/// After this an idle connection is tested, and then again so often.
const IDLE: Duration = Duration::from_secs(60);
const TEST: Duration = Duration::from_secs(10);
/// Where no connection can be accepted (too many open files), it is tried again after this.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A listening socket and what is done before a connection is handed on.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The certificate, where TLS is spoken.
    pub tls: Option<Arc<Tls>>,
    /// How many connections there can be at a time.
    pub connections: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
}

impl Listener {
    /// Accepts until `stop`; each connection is served by a task of `tasks`.
    pub async fn run<F, S>(self, stop: CancellationToken, tasks: TaskTracker, serve: F)
    where
        F: Fn(Box<dyn Stream>, SocketAddr) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = ()> + Send,
    {
        let places = Arc::new(Semaphore::new(self.connections));
        loop {
            // Whoever finds no place waits to be accepted.
            let next = async {
                let place = places.clone().acquire_owned().await;
                (place, accept(&self.socket).await)
            };
            let (Ok(place), (stream, peer)) = (tokio::select! {
                () = stop.cancelled() => return,
                accepted = next => accepted,
            }) else {
                return;
            };
            let (tls, handshake, serve) = (self.tls.clone(), self.handshake, serve.clone());
            tasks.spawn(async move {
                let _place = place;
                let stream: Box<dyn Stream> = match tls {
                    None => Box::new(stream),
                    Some(tls) => match timeout(handshake, tls.accept(stream)).await {
                        Ok(Ok(stream)) => Box::new(stream),
                        // Whoever speaks no TLS here sees that for themselves.
                        Ok(Err(_)) | Err(_) => return,
                    },
                };
                serve(stream, peer).await;
            });
        }
    }
}

/// The next connection, however long that takes.
pub async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                prepare(&stream);
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Small messages go at once, and a peer that vanished is noticed.
fn prepare(stream: &TcpStream) {
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(IDLE)
        .with_interval(TEST);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket option cannot be set");
    }
}

/// Binds a socket.
///
/// # Errors
/// The address cannot be used, for a person.
pub async fn bind(what: &str, at: SocketAddr) -> Result<TcpListener, String> {
    let bound: io::Result<TcpListener> = TcpListener::bind(at).await;
    bound.map_err(|error| format!("{what} cannot listen on {at}: {error}"))
}
