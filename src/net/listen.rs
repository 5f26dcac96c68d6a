//! Accepting connections: bounded, until told to stop. Whether TLS is spoken is said with each; the handshake is the
//! door's, which knows who pays for it.
//!
//! Connections are accepted at once, always: where all places are taken, another one gives way
//! (`places`). Knows none of the protocols above it; the name of the door is for the log.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guarded::Guarded;
use super::listen_error::ListenSetting;
use super::places::{Place, Places};
use super::tls_server::ServerTls;
use super::turn::turn;
use crate::command::DoorKind;
use crate::network::Network;
use crate::os_error;
use crate::telemetry::{ClientRefusal, FloodKind, Telemetry};

/// The system asks an idle client whether it is still there after this: a client that vanished
/// without a word must not hold its place for hours.
const TCP_KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
/// How often the system asks again, until it gives up (Linux: nine times).
const TCP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// What the system may keep of one connection in each direction; Linux would let it grow to 4 MB and more. It is enough
/// for 40 Mbit/s to a client 50 ms away.
const SOCKET_BUFFER_BYTES: usize = 256 << 10;
/// Accepting fails while the process has too many open files. It is tried again after this, so that
/// the loop does not spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Connections that the system keeps until they are accepted. Beyond it the system drops a client's first
/// packet, and the client tries again after 1, 3, 7 and 15 s. 4096 is the most that Linux permits by default.
const ACCEPT_QUEUE: u32 = 4096;

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
    pub handshake_timeout: Duration,
    /// How long a write may make no progress: a client that reads nothing is dropped then.
    pub write_timeout: Duration,
    /// The door above, for the log.
    pub door: DoorKind,
    /// Counts connections that are closed because all places are taken, or that cannot be accepted.
    pub telemetry: Arc<Telemetry>,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// The place of its connection. A door holds it for a client that may be there.
    pub place: Arc<Place>,
}

/// A connection before its handshake, if it needs one.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes of the network.
    pub socket: Guarded<TcpStream>,
    /// The certificate, where TLS is spoken.
    pub tls: Option<Arc<ServerTls>>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl Listener {
    /// Accepts until `stop`; each connection is served by a task of `tasks`, and is dropped when it
    /// must give way to another.
    pub async fn run<F, S>(self, stop: CancellationToken, tasks: TaskTracker, serve: F)
    where
        F: Fn(Accepted, Peer) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let places = Places::new(self.connections);
        loop {
            // Each connection has something to do at once, before those that wait their turn.
            turn().await;
            let (socket, addr) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = accept(&self.socket, &self.telemetry) => accepted,
            };
            let gave_way = |network| self.closed(FloodKind::GaveWay, network);
            let Ok(place) = places.take(addr.ip(), gave_way).await else {
                self.closed(FloodKind::NoPlace, Network::of(addr.ip()));
                continue;
            };
            let place = Arc::new(place);
            let socket = Guarded::new(socket, self.write_timeout, place.clone());
            let accepted = Accepted {
                socket,
                tls: self.tls.clone(),
                handshake_timeout: self.handshake_timeout,
            };
            let peer = Peer {
                addr,
                place: place.clone(),
            };
            let served = serve(accepted, peer);
            tasks.spawn(async move {
                tokio::select! {
                    () = place.gave_way() => {}
                    () = served => {}
                }
            });
        }
    }

    fn closed(&self, kind: FloodKind, network: Network) {
        self.telemetry.client_refused(ClientRefusal::Place);
        self.telemetry.flood(self.door, kind, network, "");
    }
}

/// The next connection, however long that takes.
pub async fn accept(socket: &TcpListener, telemetry: &Telemetry) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                prepare(&stream);
                return (stream, peer);
            }
            Err(error) => {
                let address = socket.local_addr().ok();
                telemetry.connection_not_accepted(address, &os_error::words(&error));
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Small messages go at once, a peer that vanished is noticed, and the system keeps little for one
/// that does not read.
fn prepare(stream: &TcpStream) {
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(TCP_KEEP_ALIVE_IDLE)
        .with_interval(TCP_KEEP_ALIVE_INTERVAL);
    let socket = socket2::SockRef::from(stream);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keep_alive))
        .and_then(|()| socket.set_send_buffer_size(SOCKET_BUFFER_BYTES))
        .and_then(|()| socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket option cannot be set");
    }
}

/// Binds a socket to the address that this setting gives.
///
/// # Errors
/// The address cannot be used; the message is for the user, and names the setting.
pub fn bind(setting: ListenSetting, at: SocketAddr) -> Result<TcpListener, String> {
    try_bind(at).map_err(|error| setting.cannot_listen(at, &error))
}

/// Binds a socket.
///
/// # Errors
/// The system's, for a caller that tries another address then.
pub fn try_bind(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Without it a restart would wait for connections of the process before. Not on Windows,
    // where it means that others may take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(ACCEPT_QUEUE)
}
