//! The running program: what starts after what, and what stops before what.
//!
//! Broker, rooms and front doors are started here from a configuration and stopped in the reverse
//! order. Owns the time limits of the stop. Reads no files but certificates and handles no signals.

mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use crate::broker::Broker;
use crate::config::{BrokerUrl, Config};
use crate::device::DeviceTimings;
use crate::doors::access::Access;
use crate::doors::conversation::{Clients, Limits};
use crate::doors::mqtt::{self, AVAILABILITY, Stats};
use crate::doors::{http, tcp};
use crate::home_assistant::{Handles, Pace, Publisher};
use crate::metrics::{Metrics, Sample};
use crate::net::{Listener, Tls, bind};
use crate::rooms::Gateway;
use crate::state::{StateStore, StateValue};
use settings::{broker_settings, door_settings, foreign, naming, own_broker};

/// Commands that have begun are given this long at the stop.
const FINISH: Duration = Duration::from_secs(5);
/// And then the last messages this long.
const FLUSH: Duration = Duration::from_secs(2);
const HEALTH: Duration = Duration::from_secs(60);
/// After this the rooms that can be online are, and the counters say something.
const STARTED: Duration = Duration::from_secs(5);

/// The gateway with everything around it.
#[derive(Debug)]
pub struct Service {
    broker: Option<Broker>,
    gateway: Arc<Gateway>,
    mqtt: Option<mqtt::Door>,
    clients: Arc<Clients>,
    http: Option<http::Door>,
    tcp: Option<tcp::Door>,
    tls: Option<Arc<Tls>>,
    home_assistant: Option<Publisher>,
    health: JoinHandle<()>,
    store: Arc<StateStore>,
    config: Config,
}

/// What a service runs with besides its configuration.
#[derive(Debug, Default)]
pub struct Setup {
    /// The waits between gateway and devices.
    pub timings: DeviceTimings,
    /// What a client may take.
    pub limits: Limits,
    /// A directory where the devices' sessions are kept for the next start.
    pub runtime: Option<PathBuf>,
}

impl Service {
    /// Starts everything.
    ///
    /// # Errors
    /// What cannot be started, for a person.
    pub async fn start(config: Config, timings: DeviceTimings) -> Result<Self, String> {
        let setup = Setup {
            timings,
            ..Setup::default()
        };
        Self::start_with(config, setup).await
    }

    /// The same with all that is no user's business.
    ///
    /// # Errors
    /// What cannot be started, for a person.
    pub async fn start_with(config: Config, setup: Setup) -> Result<Self, String> {
        let Setup {
            timings,
            limits,
            runtime,
        } = setup;
        // What may be in use or unreadable comes first: nothing has to be undone.
        let tls = config.http.tls.as_ref().map(Tls::new).transpose()?;
        let tls = tls.map(Arc::new);
        let http_socket = bound("http", config.http.listen).await?;
        let tcp_socket = bound("tcp", config.tcp.listen).await?;
        let store = StateStore::new();
        let metrics = Arc::<Metrics>::default();
        let mut mqtt = door_settings(&config);
        let broker = match (&config.mqtt.url, &mut mqtt) {
            (BrokerUrl::Embedded(listen), Some(mqtt)) => {
                let broker =
                    Broker::start(broker_settings(&config, *listen), store.clone()).await?;
                let (user, password) = broker.gateway_login();
                mqtt.username = Some(user);
                mqtt.password = Some(password);
                mqtt.broker = own_broker(&broker);
                Some(broker)
            }
            _ => None,
        };
        let gateway = Gateway::new(store.clone(), timings, metrics.clone(), runtime);
        if let Err(failed) = gateway.apply(&config).await {
            return Err(failed.join("\n"));
        }
        store.set(AVAILABILITY, StateValue::text("online"));
        let (foreign, heard) = foreign(&config).unzip();
        let announcements = foreign.as_ref().map(|foreign| foreign.store.clone());
        let start = |settings| mqtt::Door::start(settings, store.clone(), gateway.clone(), foreign);
        let mqtt = mqtt.map(start).transpose()?;
        let ends = match (&mqtt, announcements, heard) {
            (Some(mqtt), Some(announcements), Some(heard)) => Some(Handles {
                store: store.clone(),
                announcements,
                heard,
                connected: mqtt.connected(),
            }),
            _ => None,
        };
        let home_assistant = ends.map(|ends| {
            let status_topic = config.home_assistant.status_topic.clone();
            let rooms = config.rooms.clone();
            Publisher::start(naming(&config), status_topic, Pace::default(), rooms, ends)
        });
        let clients = Clients::new(
            store.clone(),
            gateway.clone(),
            Access::new(&config.http),
            metrics,
            limits,
        );
        let look = look(&gateway, mqtt.as_ref());
        let listener = |socket: TcpListener, tls| Listener {
            socket,
            tls,
            connections: clients.limits.connections,
            handshake: clients.limits.greeting,
        };
        let start = |socket| {
            let listener = listener(socket, tls.clone());
            http::Door::start(listener, clients.clone(), config.http.hosts.clone(), look)
        };
        let http = http_socket.map(start).transpose()?;
        let start = |socket| {
            let listener = Listener {
                // Each of its connections is a client; the rest wait to be told that they are not.
                connections: clients.limits.clients + clients.limits.connections,
                ..listener(socket, tls.clone().filter(|_| config.tcp.tls))
            };
            tcp::Door::start(listener, clients.clone())
        };
        let tcp = tcp_socket.map(start).transpose()?;
        if let Some(http) = &http {
            let tls = tls.is_some();
            tracing::info!(address = %http.addr(), tls, "HTTP and WebSocket");
        }
        if let Some(tcp) = &tcp {
            tracing::info!(address = %tcp.addr(), tls = config.tcp.tls, "plain lines");
        }
        let stats = mqtt.as_ref().map(mqtt::Door::stats);
        let health = tokio::spawn(publish_health(gateway.clone(), stats));
        Ok(Self {
            broker,
            gateway,
            mqtt,
            clients,
            http,
            tcp,
            tls,
            home_assistant,
            health,
            store,
            config,
        })
    }

    /// The retained state of everything.
    pub fn store(&self) -> &Arc<StateStore> {
        &self.store
    }

    /// Where the embedded broker listens, if it runs.
    pub fn broker_addr(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(Broker::addr)
    }

    /// Where HTTP is spoken, if it is.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(http::Door::addr)
    }

    /// Where plain lines are spoken, if they are.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(tcp::Door::addr)
    }

    /// Waits until the broker is connected, where there is to be one.
    pub async fn connected(&self) {
        if let Some(mqtt) = &self.mqtt {
            let mut connected = mqtt.connected();
            // The sender lives as long as the door.
            let _ = connected.wait_for(|connected| *connected).await;
        }
    }

    /// Takes over a new configuration: rooms, polling, tokens and certificates at once, the broker
    /// and the addresses at the next start.
    ///
    /// # Errors
    /// What cannot be taken over; the rest was.
    pub async fn reload(&mut self, mut config: Config) -> Result<(), Vec<String>> {
        let mut failed = Vec::new();
        let old = &self.config;
        let moved = old.http.listen != config.http.listen
            || old.http.tls.is_some() != config.http.tls.is_some()
            || old.tcp != config.tcp;
        if config.mqtt != old.mqtt || moved {
            tracing::warn!(
                "changes of [mqtt], of addresses and of whether TLS is spoken take effect at the \
                 next start"
            );
        }
        config.mqtt = old.mqtt.clone();
        config.tcp = old.tcp.clone();
        config.http.listen = old.http.listen;
        let addresses = [self.config.http.listen, self.config.tcp.listen];
        let beyond = addresses.iter().flatten().any(|at| !at.ip().is_loopback());
        if beyond && config.http.tokens.is_empty() && !config.http.open {
            // The new addresses may do without tokens, those still in use may not.
            failed.push("http.token: without tokens only at the next start".into());
            config.http.tokens = self.config.http.tokens.clone();
        }
        match (&self.tls, &config.http.tls) {
            (Some(tls), Some(files)) => failed.extend(tls.reload(files).err()),
            _ => config.http.tls = self.config.http.tls.clone(),
        }
        self.clients.access.reload(&config.http);
        if let Some(http) = &self.http {
            http.reload(config.http.hosts.clone());
        }
        if config.home_assistant != self.config.home_assistant {
            tracing::warn!("changes below [home_assistant] take effect at the next start");
            config.home_assistant = self.config.home_assistant.clone();
        }
        self.config = config;
        // Before the rooms: entities go before their states are cleared.
        if let Some(home_assistant) = &self.home_assistant {
            home_assistant.set_rooms(self.config.rooms.clone());
        }
        failed.extend(
            self.gateway
                .apply(&self.config)
                .await
                .err()
                .unwrap_or_default(),
        );
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }

    /// Stops: no more commands, those begun are finished, `offline` is published, every device is
    /// logged out of.
    pub async fn stop(self) {
        self.health.abort();
        if let Some(home_assistant) = self.home_assistant {
            home_assistant.stop();
        }
        if let Some(http) = &self.http {
            http.close();
        }
        if let Some(tcp) = self.tcp {
            tcp.close().await;
        }
        self.gateway.stop(Instant::now() + FINISH).await;
        self.store.set(AVAILABILITY, StateValue::text("offline"));
        let deadline = Instant::now() + FLUSH;
        self.clients.stopping.cancel();
        self.clients.tasks.close();
        let clients = async {
            // Those who do not take their last messages go without them.
            let _ = timeout_at(deadline, self.clients.tasks.wait()).await;
            if let Some(http) = self.http {
                http.stop(sleep_until(deadline)).await;
            }
        };
        let broker = async {
            if let Some(mqtt) = self.mqtt {
                mqtt.stop(deadline).await;
            }
        };
        join(clients, broker).await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }
}

async fn bound(what: &str, at: Option<SocketAddr>) -> Result<Option<TcpListener>, String> {
    match at {
        Some(at) => bind(what, at).await.map(Some),
        None => Ok(None),
    }
}

fn look(gateway: &Arc<Gateway>, mqtt: Option<&mqtt::Door>) -> http::Sampler {
    let gateway = gateway.clone();
    let broker = mqtt.map(mqtt::Door::sampler);
    Arc::new(move || Sample {
        rooms: gateway.sample(),
        broker: broker.as_ref().map(|sample| sample()),
    })
}

async fn publish_health(gateway: Arc<Gateway>, stats: Option<Arc<Stats>>) {
    // Once the start is over, and from then on at its pace.
    let mut ticks = interval_at(Instant::now() + STARTED, HEALTH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mqtt = stats.as_ref().map_or(Value::Null, |stats| {
            json!({
                "connects": stats.connects.load(Ordering::Relaxed),
                "published": stats.published.load(Ordering::Relaxed),
                "received": stats.received.load(Ordering::Relaxed),
                "refused": stats.refused.load(Ordering::Relaxed),
            })
        });
        gateway.publish_health(&mqtt);
        ticks.tick().await;
    }
}
