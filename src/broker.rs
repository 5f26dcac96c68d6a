//! The gateway's own broker, for those who have none.
//!
//! Owns who may connect and what they may publish: commands for their rooms, never the gateway's
//! states. Keeps nothing on disk; the gateway publishes everything again at its start.
//!
//! Of the library it takes the sessions and the routing between them. The library's `MqttBroker`
//! around these would bring bridges, web tokens and configuration files with it: megabytes of
//! program that is never used.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{ResourceLimits, ResourceMonitor};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::{interval, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::doors::mqtt::message::{Publication, classify, is_own, unprefixed};
use crate::net::{accept, bind};
use crate::state::StateStore;

/// Room for topic and properties besides the payload.
const SLACK: usize = 64 << 10;
/// How many clients there can be.
const CLIENTS: usize = 10_000;
/// How many may come in a second.
const ARRIVALS: u32 = 10_000;
/// How long a session outlives its connection.
const SESSION: Duration = Duration::from_secs(3600);
/// Nothing was sent for so long: nobody is owed anything.
const QUIET: Duration = Duration::from_millis(50);
/// The gateway's own user; a colon cannot stand in a configured name.
const GATEWAY: &str = "gateway:";

/// How the broker is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Who may connect; anyone, if there is nobody here.
    pub users: Vec<User>,
    /// Stands before every topic.
    pub prefix: String,
    /// The largest payload.
    pub max_payload: usize,
}

/// A user of the broker.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: SecretString,
    /// The rooms seen; all, if there are none here.
    pub rooms: Option<Vec<Arc<str>>>,
    /// May send commands, not only read.
    pub control: bool,
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
    pub async fn start(settings: Settings, store: Arc<StateStore>) -> Result<Self, String> {
        let socket = bind("the embedded broker", settings.listen).await?;
        let addr = socket.local_addr().unwrap_or(settings.listen);
        let password = random_password()?;
        let config = BrokerConfig::new()
            .with_max_packet_size(settings.max_payload + SLACK)
            .with_session_expiry(SESSION);
        let gate = Gate {
            password: password.clone(),
            settings,
            store,
        };
        let limits = ResourceLimits {
            max_connections: CLIENTS,
            max_connections_per_ip: CLIENTS,
            max_connection_rate: ARRIVALS,
            rate_limit_window: Duration::from_secs(1),
            // None.
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
        };
        let (stop, stopped) = broadcast::channel(1);
        let stats = Arc::new(BrokerStats::new());
        let tasks = TaskTracker::new();
        let shared = Shared {
            config: Arc::new(config),
            router: Arc::new(MessageRouter::new()),
            gate: Arc::new(gate),
            stats: stats.clone(),
            resources: Arc::new(ResourceMonitor::new(limits)),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(shared.run(socket, stopped));
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

    /// User and password of the gateway itself, made anew at each start.
    pub fn gateway_login(&self) -> (String, SecretString) {
        (GATEWAY.to_owned(), self.password.clone())
    }

    /// Ends every connection and stops, when its clients have what it was told last.
    pub async fn stop(self) {
        let _ = timeout(Duration::from_secs(1), self.quiet()).await;
        // Nobody listens where everything has ended already.
        let _ = self.stop.send(());
        self.tasks.close();
        // Those who do not take their last messages go without them.
        let _ = timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }

    /// Waits until nothing more is sent to anybody. The library acknowledges a message before its
    /// clients' tasks have sent it on, does not say when they have, and breaks them off at a stop.
    async fn quiet(&self) {
        let sent = || self.stats.publish_sent.load(Ordering::Relaxed);
        let mut before = sent();
        loop {
            sleep(QUIET).await;
            let now = sent();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

/// What all connections have in common.
struct Shared {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    gate: Arc<Gate>,
    stats: Arc<BrokerStats>,
    resources: Arc<ResourceMonitor>,
    stop: broadcast::Sender<()>,
    tasks: TaskTracker,
}

impl Shared {
    async fn run(self, socket: TcpListener, mut stopped: broadcast::Receiver<()>) {
        let mut sweep = interval(SESSION);
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
            self.gate.clone(),
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

/// Who may do what.
struct Gate {
    password: SecretString,
    settings: Settings,
    store: Arc<StateStore>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Gate {
    fn admits(&self, connect: &ConnectPacket) -> AuthResult {
        let (name, password) = (connect.username.as_deref(), connect.password.as_deref());
        let known = match name {
            Some(GATEWAY) => Some(&self.password),
            None if self.settings.users.is_empty() => return AuthResult::success(),
            Some(_) if self.settings.users.is_empty() => return AuthResult::success(),
            Some(name) => self.user(name).map(|user| &user.password),
            None => None,
        };
        // Digests of equal length are compared, so that time tells nothing of the password.
        let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        let right = known.zip(password).is_some_and(|(known, given)| {
            let known = digest(known.expose_secret().as_bytes());
            known.as_ref() == digest(given).as_ref()
        });
        match name {
            Some(name) if right => AuthResult::success_with_user(name),
            _ => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
        }
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.settings.users.iter().find(|user| user.name == name)
    }

    fn sees(&self, user: &User, room: &str) -> bool {
        let known = |rooms: &Vec<Arc<str>>| rooms.iter().any(|known| **known == *room);
        user.rooms.as_ref().is_none_or(known)
    }

    /// The gateway publishes everything; others commands, and what is no topic of the gateway's.
    fn may_publish(&self, name: Option<&str>, topic: &str) -> bool {
        if name == Some(GATEWAY) {
            return true;
        }
        let own = unprefixed(&self.settings.prefix, topic).unwrap_or_default();
        let user = name.and_then(|name| self.user(name));
        if !is_own(own) {
            return user.is_none_or(|user| user.control);
        }
        match classify(&self.settings.prefix, topic) {
            Publication::Ignored => false,
            Publication::Command { .. } if self.store.get(own).is_some() => false,
            Publication::Command { room, .. } => match user {
                Some(user) => user.control && self.sees(user, &room),
                None => self.settings.users.is_empty(),
            },
        }
    }

    /// Those who see only some rooms must name them; the rest of the topics is free.
    fn may_subscribe(&self, name: Option<&str>, filter: &str) -> bool {
        let Some(user) = name.and_then(|name| self.user(name)) else {
            return true;
        };
        if user.rooms.is_none() {
            return true;
        }
        let own = unprefixed(&self.settings.prefix, filter);
        let mut levels = own.unwrap_or(filter).split('/');
        match (levels.next(), levels.next()) {
            (Some("room"), Some(room)) => self.sees(user, room),
            (Some("room" | "+" | "#" | "$share"), _) => false,
            _ => own.is_some() || !filter.starts_with(['+', '#']),
        }
    }
}

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(ready(Ok(self.admits(connect))))
    }

    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.may_publish(user, topic)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.may_subscribe(user, filter)))
    }
}
