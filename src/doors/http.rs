//! The HTTP front door: WebSocket, commands and states, files, health and metrics, on one port.
//!
//! Owns the routes, who may use them, and the end of its connections. Knows nothing of devices:
//! commands go to the gateway, states come from the state store. [`clients`](crate::doors::clients)
//! handles the frames of WebSockets.

mod authorization;
mod connection;
mod monitoring;
mod origin;
mod response;
mod room_request;
mod rooms;
mod routes;
mod status;
mod websocket;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::doors::clients::Clients;
use crate::net::Listener;
use crate::telemetry::Sample;

pub use routes::paths;

/// Gives the state of rooms and broker at this moment, for `/readyz` and `/metrics`.
pub type Sampler = Arc<dyn Fn() -> Sample + Send + Sync>;

/// The parts that request handlers use.
struct HttpState {
    clients: Arc<Clients>,
    sampler: Sampler,
    /// The names under which browsers may reach the gateway, besides addresses and `localhost`.
    hosts: RwLock<Vec<String>>,
}

impl HttpState {
    fn new(clients: Arc<Clients>, hosts: Vec<String>, sampler: Sampler) -> Arc<Self> {
        Arc::new(Self {
            clients,
            sampler,
            hosts: RwLock::new(hosts),
        })
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
    /// Takes requests at `listener`.
    ///
    /// # Errors
    /// The socket does not say where it listens.
    pub fn start(
        listener: Listener,
        clients: Arc<Clients>,
        hosts: Vec<String>,
        sampler: Sampler,
    ) -> Result<Self, String> {
        let addr = listener
            .socket
            .local_addr()
            .map_err(|error| error.to_string())?;
        let head_timeout = clients.limits.greeting_timeout;
        let state = HttpState::new(clients, hosts, sampler);
        let router = routes::routes(state.clone());
        let stop_accepting = CancellationToken::new();
        let close_connections = CancellationToken::new();
        let connections = TaskTracker::new();
        let close = close_connections.clone();
        let serve = move |stream, peer| {
            connection::serve(stream, peer, router.clone(), head_timeout, close.clone())
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

    /// Takes over the host names of another configuration.
    pub fn reload(&self, hosts: Vec<String>) {
        let known = &self.state.hosts;
        *known.write().unwrap_or_else(PoisonError::into_inner) = hosts;
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
pub fn router(clients: Arc<Clients>, hosts: Vec<String>, sampler: Sampler) -> Router {
    routes::routes(HttpState::new(clients, hosts, sampler))
}
