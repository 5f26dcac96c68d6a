//! The HTTP front door: WebSocket, commands and states, files, health and metrics, on one port.
//!
//! Owns the routes, who may use them, and the end of its connections. Knows nothing of devices:
//! commands go to the gateway, states come from the state store. [`clients`](crate::doors::clients)
//! handles the frames of WebSockets.
//!
//! ```text
//! connection      one connection, and what its client may send; unread: refused requests whose body still comes
//! routes          which handler answers which path; path: the spelling that the routes know
//! authorization   the token of a request; authority, origin: for which host it is, and from which page
//! client_address  whose request it is, behind proxies too; charge: what it costs
//! rooms           states, commands and files, as room_request reads the path and command_body the payload
//! room_commands   what can be asked of a room; members: requests of other gateways
//! websocket       clients over a WebSocket; upgrade: why one cannot be opened
//! log             the newest lines of the log; monitoring: health and metrics
//! response        results, errors, states and files; status: of each error code; security_headers: for browsers
//! ```

mod authority;
mod authorization;
mod charge;
mod client_address;
mod command_body;
mod connection;
mod log;
mod members;
mod monitoring;
mod origin;
mod path;
mod response;
mod room_commands;
mod room_request;
mod rooms;
mod routes;
mod security_headers;
mod status;
mod unread;
mod upgrade;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use parking_lot::RwLock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connection::{LARGEST_HEAD, MOST_HEADERS};
pub use origin::is_from_own_page;
pub use security_headers::add_security_headers;

use crate::cluster::link::MemberDoor;
use crate::config::{HttpConfig, IpNetwork};
use crate::doors::clients::Clients;
use crate::doors::paid_stream::paid_stream;
use crate::doors::payers::metered;
use crate::net::{Listener, Peer};
use crate::os_error;
use crate::telemetry::Sample;
use connection::ConnectionReads;

pub use routes::paths;

/// Gives the state of rooms and broker at this moment, for `/readyz` and `/metrics`.
pub type Sampler = Arc<dyn Fn() -> Sample + Send + Sync>;

/// The parts that request handlers use.
struct HttpState {
    clients: Arc<Clients>,
    /// The entrance for the other gateways of the cluster, if there are any.
    members: Option<Arc<MemberDoor>>,
    sampler: Sampler,
    settings: RwLock<Arc<HttpSettings>>,
}

impl HttpState {
    fn new(
        clients: Arc<Clients>,
        members: Option<Arc<MemberDoor>>,
        settings: HttpSettings,
        sampler: Sampler,
    ) -> Arc<Self> {
        Arc::new(Self {
            clients,
            members,
            sampler,
            settings: RwLock::new(Arc::new(settings)),
        })
    }

    fn settings(&self) -> Arc<HttpSettings> {
        let settings = self.settings.read();
        settings.clone()
    }
}

/// What a reload may change.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// The names under which browsers may reach the gateway, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNetwork>,
}

impl HttpSettings {
    /// The settings that a configuration has.
    pub fn new(http: &HttpConfig) -> Self {
        Self {
            hosts: http.hosts.clone(),
            trusted_proxies: http.trusted_proxies.clone(),
        }
    }
}

/// The running door.
pub struct HttpDoor {
    addr: SocketAddr,
    state: Arc<HttpState>,
    stop_accepting: CancellationToken,
    close_connections: CancellationToken,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
}

impl std::fmt::Debug for HttpDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpDoor")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl HttpDoor {
    /// Takes requests at `listener`. `members` is the entrance for the other gateways of the cluster, if there
    /// are any.
    ///
    /// # Errors
    /// The socket does not say where it listens.
    pub fn start(
        listener: Listener,
        clients: Arc<Clients>,
        members: Option<Arc<MemberDoor>>,
        settings: HttpSettings,
        sampler: Sampler,
    ) -> Result<Self, String> {
        let addr = listener
            .socket
            .local_addr()
            .map_err(|error| os_error::words(&error))?;
        let head_timeout = clients.limits.greeting_timeout;
        let state = HttpState::new(clients, members, settings, sampler);
        let router = routes::routes(state.clone());
        let stop_accepting = CancellationToken::new();
        let close_connections = CancellationToken::new();
        let connections = TaskTracker::new();
        let close = close_connections.clone();
        let serving = state.clone();
        let serve = move |accepted, peer: Peer| {
            let (state, router, close) = (serving.clone(), router.clone(), close.clone());
            async move {
                let address = peer.addr.ip();
                let stranger = state.clients.stranger(address);
                let stream = tokio::select! {
                    stream = paid_stream(accepted, stranger.clone()) => stream,
                    () = close.cancelled() => None,
                };
                let Some((stream, reads)) = stream else {
                    return;
                };
                let is_proxy = client_address::is_proxy(address, &state.settings().trusted_proxies);
                let each_client = is_proxy.then_some(stranger);
                let reads = ConnectionReads {
                    payer: reads,
                    each_client,
                };
                let payer = reads.payer.clone();
                let served = connection::serve(stream, peer, router, reads, head_timeout, close);
                // What the library does with a request costs more than many a request.
                metered(served, move |cost| payer.charge(cost)).await;
            }
        };
        let accepting =
            tokio::spawn(listener.run(stop_accepting.clone(), connections.clone(), serve));
        Ok(Self {
            addr,
            state,
            stop_accepting,
            close_connections,
            connections,
            accepting,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes over the settings of another configuration.
    pub fn reload(&self, settings: HttpSettings) {
        *self.state.settings.write() = Arc::new(settings);
    }

    /// Accepts no more connections; open ones continue.
    pub fn stop_accepting(&self) {
        self.stop_accepting.cancel();
    }

    /// Accepts no more connections, and waits until `deadline` for the answers of the requests that
    /// have begun. WebSockets end with [`Clients::stop`].
    pub async fn stop(self, deadline: Instant) {
        self.stop_accepting.cancel();
        self.close_connections.cancel();
        // The task ends by itself; a panic in it has been reported already.
        let _ = self.accepting.await;
        self.connections.close();
        // What is not answered by then stays unanswered.
        let _ = timeout_at(deadline, self.connections.wait()).await;
    }
}

/// The door without its sockets: answers requests as the running door does.
pub fn router(clients: Arc<Clients>, settings: HttpSettings, sampler: Sampler) -> Router {
    routes::routes(HttpState::new(clients, None, settings, sampler))
}
