//! The embedded broker, for installations that have no other.
//!
//! Accepts clients and hands them to the library's sessions and router. `authentication` says who
//! may connect, `rights` what they may publish and see. Keeps nothing on disk: the gateway
//! publishes everything again when it starts. Only parts of the library are used:
//! `docs/decisions/embedded-broker.md` says why.

mod authentication;
mod rights;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{ResourceLimits, ResourceMonitor};
use ring::rand::SecureRandom;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::{interval, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::net::{accept, bind};
use crate::topics::{DiscoveryTopics, Prefix};
use authentication::BrokerAuthentication;
use rights::{BrokerRights, GATEWAY_USER};

pub use rights::BrokerUser;

/// Space in a packet besides its payload: a topic has at most 64 KiB.
const PACKET_OVERHEAD: usize = 64 << 10;
/// The most clients at a time. Each takes a file descriptor and some kilobytes.
pub const CLIENT_LIMIT: usize = 10_000;
/// The most clients that may connect in a second: after a power cut all of them come at once.
const CLIENTS_PER_SECOND: u32 = 10_000;
/// How long the broker keeps the session of a client that is gone, and how often it looks for
/// sessions that have ended.
const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// At the stop, when nothing was sent for this long, every client has what it was sent.
const QUIET_TIME: Duration = Duration::from_millis(50);
/// At the stop, the longest wait for clients to take their last messages, and then for their tasks
/// to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of the broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// How many clients can be connected at a time, at most [`CLIENT_LIMIT`].
    pub connections: usize,
    /// The users that may connect. If the list is empty, anyone may connect.
    pub users: Vec<BrokerUser>,
    /// The prefix of every topic.
    pub prefix: Prefix,
    /// Home Assistant's topics.
    pub discovery: DiscoveryTopics,
    /// The largest payload, in bytes.
    pub max_payload: usize,
}

/// A running broker.
pub struct Broker {
    addr: SocketAddr,
    password: SecretString,
    stats: Arc<BrokerStats>,
    stop: broadcast::Sender<()>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Binds and starts.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(settings: BrokerSettings) -> Result<Self, String> {
        let socket = bind("the embedded broker", settings.listen).await?;
        let addr = socket.local_addr().unwrap_or(settings.listen);
        let password = random_password()?;
        let config = BrokerConfig::new()
            .with_max_packet_size(settings.max_payload + PACKET_OVERHEAD)
            .with_session_expiry(SESSION_EXPIRY);
        let rights = BrokerRights::new(settings.users, settings.prefix, settings.discovery);
        let authentication = BrokerAuthentication::new(&password, rights);
        let limits = ResourceLimits {
            max_connections: settings.connections,
            max_connections_per_ip: settings.connections,
            max_connection_rate: CLIENTS_PER_SECOND,
            rate_limit_window: Duration::from_secs(1),
            // 0: no limit.
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
        };
        let (stop, stopped) = broadcast::channel(1);
        let stats = Arc::new(BrokerStats::new());
        let tasks = TaskTracker::new();
        let acceptor = Acceptor {
            config: Arc::new(config),
            router: Arc::new(MessageRouter::new()),
            authentication: Arc::new(authentication),
            stats: stats.clone(),
            resources: Arc::new(ResourceMonitor::new(limits)),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(acceptor.run(socket, stopped));
        Ok(Self {
            addr,
            password,
            stats,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// User and password of the gateway itself. The password is another one at each start.
    pub fn gateway_login(&self) -> (String, SecretString) {
        (GATEWAY_USER.to_owned(), self.password.clone())
    }

    /// Waits until its clients have the last messages, ends every connection and stops.
    pub async fn stop(self) {
        let _ = timeout(STOP_TIMEOUT, self.quiet()).await;
        // An error means that there is no receiver: everything has ended already.
        let _ = self.stop.send(());
        self.tasks.close();
        let _ = timeout(STOP_TIMEOUT, self.tasks.wait()).await;
    }

    /// Waits until nothing more is sent. The library acknowledges a message before the tasks of its
    /// clients have sent it on, does not say when they have, and aborts them at a stop.
    async fn quiet(&self) {
        let sent = || self.stats.publish_sent.load(Ordering::Relaxed);
        let mut before = sent();
        loop {
            sleep(QUIET_TIME).await;
            let now = sent();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// Accepts clients; holds what their connections share.
struct Acceptor {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    authentication: Arc<BrokerAuthentication>,
    stats: Arc<BrokerStats>,
    resources: Arc<ResourceMonitor>,
    stop: broadcast::Sender<()>,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self, socket: TcpListener, mut stopped: broadcast::Receiver<()>) {
        let mut sweep = interval(SESSION_EXPIRY);
        loop {
            tokio::select! {
                _ = stopped.recv() => return,
                _ = sweep.tick() => self.router.sweep_sessions().await,
                (stream, peer) = accept(&socket) => self.serve(stream, peer).await,
            }
        }
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        if !self.resources.can_accept_connection(peer.ip()).await {
            return;
        }
        let handler = ClientHandler::new(
            BrokerTransport::tcp(stream),
            peer,
            self.config.clone(),
            self.router.clone(),
            self.authentication.clone(),
            None,
            self.stats.clone(),
            self.resources.clone(),
            self.stop.subscribe(),
        );
        self.tasks.spawn(async move {
            match handler.run().await {
                Err(error) if !error.is_normal_disconnect() => {
                    tracing::warn!(%peer, %error, "a client of the embedded broker failed");
                }
                _ => {}
            }
        });
    }
}

fn random_password() -> Result<SecretString, String> {
    let mut bytes = [0_u8; 32];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system gives no random numbers")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(text.into())
}
