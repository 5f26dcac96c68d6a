//! The HTTP front door: WebSocket, commands and states, files, health and metrics, on one port.
//!
//! Owns the routes, who may use them and the shutting of connections. Knows nothing of devices;
//! commands go to the gateway, states come from the state store.

mod answer;
mod credentials;
mod guard;
mod pages;
mod rooms;
mod status;
mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::doors::conversation::Clients;
use crate::net::{Listener, Stream};
use crate::telemetry::Sample;

/// More of a request's head than this is not read.
const LARGEST_HEAD: usize = 32 << 10;
const MOST_HEADERS: usize = 64;

/// Looks up how rooms and broker stand.
pub type Sampler = Arc<dyn Fn() -> Sample + Send + Sync>;

/// What every request is answered from.
struct Shared {
    clients: Arc<Clients>,
    look: Sampler,
    /// The names under which browsers may reach the gateway, besides addresses and `localhost`.
    hosts: RwLock<Vec<String>>,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

/// The running door.
pub struct Door {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: CancellationToken,
    ending: CancellationToken,
    tasks: TaskTracker,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// Takes requests at `listener`.
    ///
    /// # Errors
    /// The socket does not say where it listens.
    pub fn start(
        listener: Listener,
        clients: Arc<Clients>,
        hosts: Vec<String>,
        look: Sampler,
    ) -> Result<Self, String> {
        let addr = listener
            .socket
            .local_addr()
            .map_err(|error| error.to_string())?;
        let greeting = clients.limits.greeting;
        let shared = Arc::new(Shared {
            clients,
            look,
            hosts: RwLock::new(hosts),
        });
        let router = routes(shared.clone());
        let (accepting, ending) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let ended = ending.clone();
        let serve = move |stream, peer| {
            let (router, ended) = (router.clone(), ended.clone());
            async move { serve(stream, peer, router, greeting, ended).await }
        };
        let task = tokio::spawn(listener.run(accepting.clone(), tasks.clone(), serve));
        Ok(Self {
            addr,
            shared,
            accepting,
            ending,
            tasks,
            task,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes over the names of another configuration.
    pub fn reload(&self, hosts: Vec<String>) {
        let known = &self.shared.hosts;
        *known.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Takes no more connections.
    pub fn close(&self) {
        self.accepting.cancel();
    }

    /// Waits until the requests there are have their answers, until `given_up`.
    pub async fn stop(self, given_up: impl Future<Output = ()>) {
        self.accepting.cancel();
        self.ending.cancel();
        // It ends by itself; a panic in it has been reported already.
        let _ = self.task.await;
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = given_up => {}
        }
    }
}

/// The door without its sockets: what a request is answered with.
pub fn router(clients: Arc<Clients>, hosts: Vec<String>, look: Sampler) -> Router {
    routes(Arc::new(Shared {
        clients,
        look,
        hosts: RwLock::new(hosts),
    }))
}

fn routes(shared: Arc<Shared>) -> Router {
    let router = Router::new()
        .route("/", get(crate::dashboard::dashboard))
        .route("/ws", any(websocket::upgrade))
        .route("/healthz", get(pages::healthy))
        .route("/readyz", get(pages::ready))
        .route("/metrics", get(pages::metrics))
        .route("/asyncapi.json", get(pages::asyncapi))
        .route("/room/{room}", any(rooms::room))
        .route("/room/{room}/{*topic}", any(rooms::topic))
        .route("/gateway/{*topic}", get(rooms::gateway));
    #[cfg(feature = "autobahn-echo")]
    let router = router.route("/autobahn-echo", any(websocket::echo));
    router
        .fallback(pages::nothing)
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

/// Serves one connection until it ends or, once told to, its request is answered.
async fn serve(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    router: Router,
    greeting: std::time::Duration,
    ended: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let router = TowerToHyperService::new(router.clone());
        async move {
            let answered: Result<_, Infallible> =
                hyper::service::Service::call(&router, request).await;
            answered
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(greeting)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // What goes wrong with a connection is its client's to see.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = ended.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
