//! The embedded broker, for installations that have no other.
//!
//! Accepts clients. Each passes the `gate`, which reads its CONNECT and checks its password; then
//! the library's sessions and router serve it through a stream that inspects every packet. Keeps
//! nothing on disk: the gateway publishes everything again when it starts. Only parts of the
//! library are used: `docs/decisions/embedded-broker.md` says why.
//!
//! ```text
//! acceptor ── gate ── stream ───────────── library ── messages of all clients
//!             │        ├── inbound   what a client may send, and the limits
//!             │        └── outbound  what the library writes, corrected
//!             ├── connect         the first packet
//!             ├── authentication  names and passwords
//!             └── places          a client id and a group belong to a user
//! ```
//!
//! `tickets` keeps the commands of one client from standing before those of others. `net::Places` bounds
//! the connections that have not logged in. `rights` says what users may publish and see, `limits` has the
//! bounds, `answers` the packets that refuse, `frames` and `message` the form of packets. `rules`,
//! `connect_rules` and `properties` know what MQTT forbids a client to send, `corrections` what the library
//! must not send, `unsupported_protocol` what is said to clients of other protocols and versions.
//!
//! Of the packets of one connection, `subscriptions` answers SUBSCRIBE, `qos2_inflight` holds what is not released,
//! `large_packet` bounds what is coming, `property_size` and `topic_size` what one message may be; `refusals` slows
//! down a client whose messages are refused, `pace` those that do not take what they subscribed to, and `keep_alive`
//! tells the library of clients that are answered without it. Of all clients, `client_owner` says whom something is
//! counted for, `client_quotas` counts connections and sessions, `filters` the filters, `retained` what is retained.
//! For the gateway, `gateway_stream` is its own connection, `gateway_mail` what goes to it past the library,
//! `gateway_retained` what it retains; `replays` sends that to who subscribes, and `replay` bounds what of it is on its
//! way.

mod acceptor;
mod answers;
mod authentication;
mod client;
mod client_owner;
mod client_quotas;
mod connect;
mod connect_rules;
mod corrections;
mod filters;
mod frames;
mod gate;
mod gateway_mail;
mod gateway_retained;
mod gateway_stream;
#[cfg(test)]
mod hostile;
mod inbound;
mod keep_alive;
mod large_packet;
mod limits;
mod message;
mod outbound;
mod pace;
mod places;
mod properties;
mod property_size;
mod qos2_inflight;
mod refusals;
mod replay;
mod replays;
mod retained;
mod rights;
mod rules;
mod stream;
mod subscriptions;
mod tickets;
mod topic_size;
mod unsupported_protocol;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::HEXLOWER;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, MemoryBackend, QueueLimits};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::{ResourceLimits, ResourceMonitor};
use secrecy::SecretString;
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::guesses::Guesses;
use crate::net::{self, ListenSetting, bind};
use crate::secret::random_bytes;
use crate::telemetry::Telemetry;
use crate::topics::{DiscoveryTopics, Prefix};
use acceptor::{Acceptor, Service};
use authentication::BrokerPasswords;
use client::ClientsShare;
use client_quotas::ClientQuotas;
use gate::Gate;
use limits::{
    MOST_WAITING, QUEUED_BYTES, QUEUED_MESSAGES, RECEIVE_MAXIMUM, SESSION_EXPIRY, TOPIC_ALIASES,
    UNACKNOWLEDGED_MESSAGES, WAITING_MESSAGES, WAITING_SHARE,
};
use places::PlaceNames;
use retained::RetainedListener;
use rights::{BrokerRights, GATEWAY_USER};

pub use rights::BrokerUser;

/// Space in a packet besides its payload: a topic has at most 64 KiB.
const PACKET_OVERHEAD: usize = 64 << 10;
/// The largest payload, in bytes. A packet of MQTT has at most 268,435,455 (MQTT 5 section 1.5.5), and what a client
/// publishes becomes larger on the way to others: the broker adds properties.
const LARGEST_PAYLOAD: usize = 268_435_455 - 2 * PACKET_OVERHEAD;
/// The most clients at a time. Each takes a file descriptor and some kilobytes.
pub const MOST_CLIENTS: usize = 10_000;
/// At the stop, when nothing was sent for this long, every client has what it was sent.
const QUIET_TIME: Duration = Duration::from_millis(50);
/// At the stop, the longest wait for clients to take their last messages, and then for their tasks
/// to end. Ten thousand clients take a message each in some 100 ms.
const STOP_TIMEOUT: Duration = Duration::from_millis(400);
/// How long a stop takes at most.
pub const LONGEST_STOP: Duration = STOP_TIMEOUT.saturating_mul(2);

/// The settings of the broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What users change to listen elsewhere, for messages.
    pub listen_setting: ListenSetting,
    /// How many clients can be connected at a time, at most [`MOST_CLIENTS`].
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
    pub async fn start(
        settings: BrokerSettings,
        guesses: Arc<Guesses>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, String> {
        let socket = bind(settings.listen_setting, settings.listen)?;
        let addr = socket.local_addr().unwrap_or(settings.listen);
        let password = random_password()?;
        // Some of the connections are for those that have not logged in.
        let waiting = MOST_WAITING
            .min(settings.connections / WAITING_SHARE)
            .max(1);
        let clients = settings.connections.saturating_sub(waiting);
        let rights = BrokerRights::new(settings.users, settings.prefix, settings.discovery);
        let passwords = BrokerPasswords::new(&password, &rights);
        let largest_packet = settings.max_payload.min(LARGEST_PAYLOAD) + PACKET_OVERHEAD;
        let shared = Arc::new(ClientsShare::new(
            rights,
            PlaceNames::new()?,
            telemetry,
            largest_packet,
        ));
        let gate = Gate {
            guesses,
            passwords,
            shared: shared.clone(),
            quotas: ClientQuotas::new(clients),
        };
        let limits = ResourceLimits {
            // The gate has the limits of connections. 0: no limit.
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
            ..ResourceLimits::default()
        };
        let queue = QueueLimits {
            max_messages: QUEUED_MESSAGES,
            max_bytes: QUEUED_BYTES,
        };
        let memory = MemoryBackend::with_queue_limits(queue);
        let storage = Arc::new(DynamicStorage::Memory(memory));
        let listener = Arc::new(RetainedListener {
            shared: shared.clone(),
            storage: storage.clone(),
        });
        let router = MessageRouter::with_storage(storage.clone()).with_event_handler(listener);
        let (stop, stopped) = broadcast::channel(1);
        let stats = shared.stats.clone();
        let tasks = TaskTracker::new();
        let service = Service {
            gate,
            config: Arc::new(library_config(largest_packet)),
            router: Arc::new(router),
            storage,
            resources: Arc::new(ResourceMonitor::new(limits)),
            stop: stop.clone(),
        };
        let acceptor = Acceptor {
            waiting: net::Places::new(waiting),
            service: Arc::new(service),
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

/// The library's settings.
fn library_config(largest_packet: usize) -> BrokerConfig {
    let mut config = BrokerConfig::new()
        .with_max_packet_size(largest_packet)
        .with_session_expiry(SESSION_EXPIRY);
    config.topic_alias_maximum = TOPIC_ALIASES;
    config.server_receive_maximum = Some(RECEIVE_MAXIMUM);
    config.max_outbound_inflight = UNACKNOWLEDGED_MESSAGES.try_into().unwrap_or(u16::MAX);
    config.client_channel_capacity = WAITING_MESSAGES;
    config
}

fn random_password() -> Result<SecretString, String> {
    let bytes: [u8; 32] = random_bytes().map_err(|error| error.to_string())?;
    Ok(HEXLOWER.encode(&bytes).into())
}
