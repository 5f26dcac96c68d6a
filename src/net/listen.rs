//! Accepting connections: bounded, with TLS where it is configured, until told to stop.
//!
//! Knows none of the protocols above it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Stream;
use super::tls_server::ServerTls;

/// The system asks an idle client whether it is still there after this: a client that vanished
/// without a word must not hold its place for hours.
const TCP_KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
/// And asks again this often, until it gives up (Linux: nine times).
const TCP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Accepting fails while the process has too many open files. It is tried again after this, so that
/// the loop does not spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// A listening socket, and how its connections are prepared.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The certificate, where TLS is spoken.
    pub tls: Option<Arc<ServerTls>>,
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
            // At the limit, clients wait in the system's queue until a connection ends.
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
                        // The client sees that its handshake failed; nothing is to be said.
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
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Small messages go at once, and a peer that vanished is noticed.
fn prepare(stream: &TcpStream) {
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(TCP_KEEP_ALIVE_IDLE)
        .with_interval(TCP_KEEP_ALIVE_INTERVAL);
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
/// The address cannot be used; the message is for the user.
pub async fn bind(what: &str, at: SocketAddr) -> Result<TcpListener, String> {
    let bound: io::Result<TcpListener> = TcpListener::bind(at).await;
    bound.map_err(|error| format!("{what} cannot listen on {at}: {error}"))
}
