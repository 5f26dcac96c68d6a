//! Starting, in this order: sockets, embedded broker, rooms with the links to other gateways, MQTT, the cluster, Home
//! Assistant, HTTP, plain lines, health, log.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::clients::ClientDoors;
use super::cluster::{JoiningCluster, RunningCluster};
use super::core::Core;
use super::files::ConnectionShares;
use super::mqtt::RunningMqtt;
use super::{
    App, AppOptions, Certificates, ListenSettings, OwnCertificates, broker, broker_topics,
    gateway_log, health, home_assistant, mqtt,
};
use crate::broker::Broker;
use crate::cluster::link::ClusterLinks;
use crate::config::Config;
use crate::device::{DeviceTimings, SessionFile};
use crate::doors::access::Access;
use crate::doors::clients::{ClientLimits, ClientStates, Clients};
use crate::doors::http::Sampler;
use crate::guesses::Guesses;
use crate::home_assistant::Publisher;
use crate::net::{ListenSetting, bind};
use crate::standstill::StandstillWatch;
use crate::telemetry::Telemetry;

impl App {
    /// Starts everything.
    ///
    /// # Errors
    /// A message for the user about the part that cannot start: an address in use, a certificate
    /// that cannot be read, a room without a usable address.
    pub async fn start(config: Config, timings: DeviceTimings) -> Result<Self, String> {
        let options = AppOptions {
            timings,
            ..AppOptions::default()
        };
        Self::start_with(config, options).await
    }

    /// Like [`App::start`], with the settings that are not part of the configuration.
    ///
    /// # Errors
    /// As for [`App::start`].
    pub async fn start_with(config: Config, options: AppOptions) -> Result<Self, String> {
        let certificates = Certificates::load(&config).map_err(|failed| failed.join("\n"))?;
        Self::start_loaded(config, certificates, options).await
    }

    /// Like [`App::start_with`], with the certificates of this configuration, which are loaded already.
    ///
    /// # Errors
    /// As for [`App::start`].
    pub async fn start_loaded(
        config: Config,
        certificates: Certificates,
        options: AppOptions,
    ) -> Result<Self, String> {
        // Steps that can fail because of the machine come first, so that nothing has to be undone.
        let sockets = ClientSockets::bind(options.listen, &config)?;
        let telemetry = Arc::new(Telemetry::new(options.log));
        let runtime = options.runtime.as_ref();
        if let Some(runtime) = runtime.filter(|dir| SessionFile::check_directory(dir).is_ok()) {
            broker_topics::compare(runtime, &config, &telemetry);
        }
        let standstill_watch = StandstillWatch::start(telemetry.clone())
            .map_err(|error| format!("a thread cannot be started: {error}"))?;
        let own_certificates = OwnCertificates::new(certificates.own, telemetry.clone());
        let shares = ConnectionShares::new(&config, &options.limits, &telemetry);
        let guesses = Guesses::new(telemetry.clone());
        let listen = options.listen.broker;
        let broker = broker::start(&config, listen, shares.broker, &guesses, &telemetry).await?;

        let joining = match (&options.cluster, &config.cluster) {
            (None, Some(cluster)) => Some(JoiningCluster::start(&config, cluster, &telemetry)?),
            _ => None,
        };
        let cluster = options.cluster;
        let cluster = cluster.or_else(|| joining.as_ref().map(JoiningCluster::options));
        let core =
            Core::start(config, options.timings, options.runtime, cluster, telemetry).await?;

        let MqttParts {
            mqtt,
            cluster,
            home_assistant,
        } = start_mqtt(&core, broker.as_ref(), joining)?;
        let clients = start_clients(&core, guesses, options.limits);
        let sampler = sampler(&core, mqtt.as_ref(), cluster.as_ref());
        let doors = ClientDoors {
            core: &core,
            clients: &clients,
            tls: certificates.server.as_ref(),
            shares,
        };
        let http = doors.start_http(sockets.http, sampler.clone())?;
        let tcp = doors.start_tcp(sockets.tcp)?;
        let Core {
            config,
            store,
            rooms,
            links,
            telemetry,
        } = core;
        let (mqtt, door_thread) = mqtt.map(|it| (it.door, it.thread)).unzip();
        let health = health::publish(telemetry.clone(), sampler, store.clone(), rooms.clone());
        let health = tokio::spawn(health);
        Ok(Self {
            broker,
            rooms,
            links,
            cluster,
            mqtt,
            _door_thread: door_thread.flatten(),
            clients,
            http,
            tcp,
            tls: certificates.server,
            certificate_watch: tokio::spawn(own_certificates.clone().watch()),
            own_certificates,
            home_assistant,
            standstill_watch,
            health,
            gateway_log: tokio::spawn(gateway_log::publish(telemetry.clone(), store.clone())),
            store,
            telemetry,
            config,
        })
    }
}

/// The sockets of the doors whose clients connect to the gateway.
struct ClientSockets {
    http: Option<TcpListener>,
    tcp: Option<TcpListener>,
}

impl ClientSockets {
    fn bind(listen: ListenSettings, config: &Config) -> Result<Self, String> {
        Ok(Self {
            http: bind_configured(listen.http, config.http.listen)?,
            tcp: bind_configured(listen.tcp, config.tcp.listen)?,
        })
    }
}

/// What has to do with the broker.
struct MqttParts {
    mqtt: Option<RunningMqtt>,
    cluster: Option<RunningCluster>,
    home_assistant: Option<Publisher>,
}

/// Starts the MQTT door, follows the cluster, which tells the door about rooms, and publishes Home Assistant's
/// documents.
fn start_mqtt(
    core: &Core,
    broker: Option<&Broker>,
    joining: Option<JoiningCluster>,
) -> Result<MqttParts, String> {
    let (extra_topics, input) = home_assistant::extra_topics(&core.config).unzip();
    let settings = mqtt::settings(&core.config, broker);
    let settings = settings.map(|settings| match &joining {
        Some(joining) => joining.share(settings),
        None => settings,
    });
    let mqtt = settings.map(|settings| RunningMqtt::start(core, settings, extra_topics));
    let mqtt = mqtt.transpose()?;
    let settings = mqtt.as_ref().map(|mqtt| &mqtt.settings);
    let cluster = joining
        .map(|joining| joining.run(core, settings))
        .transpose()?;
    let publisher = mqtt.as_ref().zip(input);
    let home_assistant = publisher.map(|(mqtt, input)| home_assistant::start(core, mqtt, input));
    Ok(MqttParts {
        mqtt,
        cluster,
        home_assistant,
    })
}

/// What WebSocket, HTTP and plain lines share.
fn start_clients(core: &Core, guesses: Arc<Guesses>, limits: ClientLimits) -> Arc<Clients> {
    let elsewhere = core.links.as_ref().map(|links| links.elsewhere.clone());
    Clients::new(
        ClientStates::with(core.store.clone(), elsewhere),
        core.submit(),
        Access::new(&core.config.http, guesses),
        core.telemetry.clone(),
        limits,
    )
}

/// What health and metrics ask.
fn sampler(core: &Core, mqtt: Option<&RunningMqtt>, cluster: Option<&RunningCluster>) -> Sampler {
    let links = core.links.as_ref().map(ClusterLinks::link_status);
    let cluster = cluster.map(|cluster| cluster.sampler(links));
    health::sampler(&core.rooms, mqtt.map(|mqtt| &mqtt.door), cluster)
}

fn bind_configured(
    setting: ListenSetting,
    addr: Option<SocketAddr>,
) -> Result<Option<TcpListener>, String> {
    addr.map(|addr| bind(setting, addr)).transpose()
}
