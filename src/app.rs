//! The running gateway: the order of its start and its stop.
//!
//! `start` builds broker, rooms and doors from a configuration, `reload` takes over a changed one,
//! `stop` ends the rooms first and the doors after them. Each subsystem has a file here that says what the
//! configuration means for it. Reads no files but certificates, and handles no signals.
//!
//! Of the subsystems are `clients` (HTTP and plain lines), `mqtt`, `home_assistant` and `cluster`; `core` is what every
//! door works with. `health` and `gateway_log` publish `gateway/health` and `gateway/log`, `own_certificates` warns
//! before one expires, `broker_topics` remembers where at the broker this gateway publishes. `files` shares out the
//! limit of open files, `own_thread` is for what must not wait for rooms.

mod broker;
mod broker_topics;
mod certificates;
mod clients;
mod cluster;
mod core;
mod files;
mod gateway_log;
mod health;
mod home_assistant;
mod mqtt;
mod own_certificates;
mod own_thread;
mod reload;
mod start;
mod stop;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::cluster::link::{ClusterLinks, LinkSettings, RoomHolders};
use crate::config::Config;
use crate::device::DeviceTimings;
use crate::doors::clients::{ClientLimits, Clients};
use crate::doors::http::HttpDoor;
use crate::doors::mqtt::{MqttDoor, MqttSettings};
use crate::doors::tcp::TcpDoor;
use crate::home_assistant::Publisher;
use crate::net::{ListenSetting, ServerTls};
use crate::rooms::{RoomSharing, Rooms};
use crate::standstill::StandstillWatch;
use crate::state::StateStore;
use crate::telemetry::{LogRing, Telemetry};

pub use certificates::Certificates;
pub use cluster::etcd_settings;
pub use home_assistant::{entity_id_clashes, namespace};
pub use mqtt::try_broker;

use own_certificates::OwnCertificates;
use own_thread::DoorThread;

/// How the command line connects to a broker that is not the gateway's own; `None` if there is none.
pub fn broker_settings(config: &Config) -> Option<MqttSettings> {
    mqtt::command_line_settings(config)
}

/// A gateway that runs, until [`App::stop`].
#[derive(Debug)]
pub struct App {
    /// The embedded broker, if the configuration asks for it.
    broker: Option<Broker>,
    rooms: Arc<Rooms>,
    /// The links to the other gateways, if there are any.
    links: Option<ClusterLinks>,
    /// Follows the cluster of the configuration.
    cluster: Option<cluster::RunningCluster>,
    mqtt: Option<MqttDoor>,
    /// Where the MQTT door of several gateways runs.
    _door_thread: Option<DoorThread>,
    /// The clients of WebSocket, HTTP and plain lines.
    clients: Arc<Clients>,
    http: Option<HttpDoor>,
    tcp: Option<TcpDoor>,
    /// The certificate that HTTP and plain lines share; replaced by a reload.
    tls: Option<Arc<ServerTls>>,
    /// The certificates that the gateway shows, and whose end it tells.
    own_certificates: Arc<OwnCertificates>,
    /// Looks at these certificates once a day.
    certificate_watch: JoinHandle<()>,
    home_assistant: Option<Publisher>,
    /// Notices when the process stood still.
    standstill_watch: StandstillWatch,
    /// Publishes `gateway/health`.
    health: JoinHandle<()>,
    /// Publishes `gateway/log`.
    gateway_log: JoinHandle<()>,
    store: Arc<StateStore>,
    telemetry: Arc<Telemetry>,
    /// The configuration in use. A reload compares the new one with it.
    config: Config,
}

/// The settings of an [`App`] that are not in its configuration. Users cannot change them.
#[derive(Debug, Default)]
pub struct AppOptions {
    /// How long the gateway waits for devices.
    pub timings: DeviceTimings,
    /// How much a client may use.
    pub limits: ClientLimits,
    /// The directory that keeps the devices' sessions for the next start.
    pub runtime: Option<PathBuf>,
    /// What users change to listen elsewhere.
    pub listen: ListenSettings,
    /// The newest lines of the log, which HTTP shows.
    pub log: Arc<LogRing>,
    /// The other gateways, if the rooms are shared with any.
    pub cluster: Option<ClusterOptions>,
}

/// What a gateway that shares its rooms with others needs.
#[derive(Debug)]
pub struct ClusterOptions {
    /// Its links to the others.
    pub links: LinkSettings,
    /// Which gateway has which room.
    pub holders: Arc<dyn RoomHolders>,
    /// Which rooms this one runs, and its fence.
    pub sharing: Arc<dyn RoomSharing>,
}

/// What users change to listen elsewhere; messages about addresses that cannot be used name it.
#[derive(Debug, Clone, Copy)]
pub struct ListenSettings {
    /// For the embedded broker.
    pub broker: ListenSetting,
    /// For HTTP and WebSocket.
    pub http: ListenSetting,
    /// For plain lines.
    pub tcp: ListenSetting,
}

/// The keys of the configuration.
impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            broker: ListenSetting::BrokerUrl,
            http: ListenSetting::Key("http.listen"),
            tcp: ListenSetting::Key("tcp.listen"),
        }
    }
}

impl App {
    /// Every retained state, those about the gateway too.
    pub fn store(&self) -> &Arc<StateStore> {
        &self.store
    }

    /// Where the embedded broker listens, if it runs.
    pub fn broker_addr(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(Broker::addr)
    }

    /// Where HTTP and WebSocket listen, if they are configured.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpDoor::addr)
    }

    /// Where plain lines listen, if they are configured.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(TcpDoor::addr)
    }

    /// The clients of WebSocket, HTTP and lines.
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// The rooms that run here.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// How long [`App::stop`] may take, if that is longer than usual: rooms of a cluster go to other gateways when
    /// their last commands have ended.
    pub fn longest_stop(&self) -> Option<Duration> {
        self.cluster.as_ref().map(|_| cluster::LONGEST_LEAVE)
    }

    /// Why the configured cluster cannot be joined. Waits until that is known, so for ever as a rule.
    pub async fn cluster_refused(&self) -> String {
        match &self.cluster {
            Some(cluster) => cluster.refused().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the broker is connected; returns at once if none is configured.
    pub async fn connected(&self) {
        if let Some(mqtt) = &self.mqtt {
            let mut connected = mqtt.connected();
            // This fails only when the door has ended, and the app holds the door.
            let _ = connected.wait_for(|connected| *connected).await;
        }
    }
}
