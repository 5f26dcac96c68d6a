//! Starting, in this order: certificate and sockets, standstill watch, embedded broker, joining the cluster, rooms,
//! links to the other gateways, MQTT, following the cluster, Home Assistant, HTTP, plain lines, health, log.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::cluster::JoiningCluster;
use super::files::ConnectionShares;
use super::own_thread::DoorThread;
use super::{
    App, AppOptions, Certificates, OwnCertificates, broker, broker_topics, clients, gateway_log,
    health, home_assistant, mqtt,
};
use crate::cluster::link::ClusterLinks;
use crate::command::Submit;
use crate::config::Config;
use crate::device::{DeviceTimings, SessionFile};
use crate::doors;
use crate::doors::access::Access;
use crate::doors::clients::{ClientStates, Clients};
use crate::guesses::Guesses;
use crate::net::{ListenSetting, bind};
use crate::rooms::Rooms;
use crate::standstill::StandstillWatch;
use crate::state::{StateStore, StateValue};
use crate::telemetry::Telemetry;
use crate::topics::{GATEWAY_AVAILABILITY, ONLINE};

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
        let tls = certificates.server;
        let http_socket = bind_configured(options.listen.http, config.http.listen)?;
        let tcp_socket = bind_configured(options.listen.tcp, config.tcp.listen)?;

        let telemetry = Arc::new(Telemetry::new(options.log));
        let runtime = options.runtime.as_ref();
        if let Some(runtime) = runtime.filter(|dir| SessionFile::check_directory(dir).is_ok()) {
            broker_topics::compare(runtime, &config, &telemetry);
        }
        let standstill_watch = StandstillWatch::start(telemetry.clone())
            .map_err(|error| format!("a thread cannot be started: {error}"))?;
        let store = StateStore::new();
        let own_certificates = OwnCertificates::new(certificates.own, telemetry.clone());
        let shares = ConnectionShares::new(&config, &options.limits, &telemetry);
        let guesses = Guesses::new(telemetry.clone());
        let broker = broker::start(
            &config,
            options.listen.broker,
            shares.broker,
            &guesses,
            &telemetry,
        )
        .await?;
        let joining = match (&options.cluster, &config.cluster) {
            (None, Some(cluster)) => Some(JoiningCluster::start(&config, cluster, &telemetry)?),
            _ => None,
        };
        let joined = joining.as_ref().map(JoiningCluster::options);
        let shared = options.cluster.or(joined);
        let rooms = Rooms::new(
            store.clone(),
            options.timings,
            telemetry.clone(),
            options.runtime,
            shared.as_ref().map(|shared| shared.sharing.clone()),
        );
        if let Err(failed) = rooms.apply(&config).await {
            return Err(failed.join("\n"));
        }
        store.set(GATEWAY_AVAILABILITY, StateValue::text(ONLINE));

        let links = shared.map(|shared| {
            ClusterLinks::start(
                shared.links,
                shared.holders,
                &store,
                rooms.clone(),
                telemetry.clone(),
            )
        });
        let gateway: Arc<dyn Submit> = match &links {
            Some(links) => links.router.clone(),
            None => rooms.clone(),
        };
        let (extra_topics, input) = home_assistant::extra_topics(&config).unzip();
        let mqtt_settings = mqtt::settings(&config, broker.as_ref());
        let mqtt_settings = mqtt_settings.map(|settings| match &joining {
            Some(joining) => joining.share(settings),
            None => settings,
        });
        let shared = mqtt_settings.as_ref();
        let shared = shared.and_then(|settings| settings.shared.as_ref());
        let door_thread = shared.map(|_| DoorThread::start()).transpose()?;
        let mqtt = match mqtt_settings.clone() {
            Some(settings) => {
                let _entered = door_thread.as_ref().map(DoorThread::enter);
                Some(doors::mqtt::MqttDoor::start(
                    settings,
                    store.clone(),
                    gateway.clone(),
                    telemetry.clone(),
                    extra_topics,
                )?)
            }
            None => None,
        };
        let cluster = match joining {
            Some(joining) => {
                Some(joining.run(&config, &rooms, &store, mqtt_settings.as_ref(), &telemetry)?)
            }
            None => None,
        };
        let home_assistant = match (&mqtt, input) {
            (Some(mqtt), Some(input)) => {
                let settings = mqtt_settings.as_ref();
                let shared = settings.and_then(|settings| settings.shared.as_ref());
                let log_ins = rooms.log_ins();
                Some(home_assistant::start(
                    &config, mqtt, &store, &telemetry, shared, log_ins, input,
                ))
            }
            _ => None,
        };

        let elsewhere = links.as_ref().map(|links| links.elsewhere.clone());
        let members = links.as_ref().map(|links| links.door.clone());
        let clients = Clients::new(
            ClientStates::with(store.clone(), elsewhere),
            gateway,
            Access::new(&config.http, guesses),
            telemetry.clone(),
            options.limits,
        );
        let link_status = links.as_ref().map(ClusterLinks::link_status);
        let cluster_sampler = cluster.as_ref().map(|cluster| cluster.sampler(link_status));
        let sampler = health::sampler(&rooms, mqtt.as_ref(), cluster_sampler);
        let http = clients::start_http(
            &config,
            http_socket,
            tls.as_ref(),
            shares.http,
            &clients,
            members,
            sampler.clone(),
        )?;
        let tcp = clients::start_tcp(&config, tcp_socket, tls.as_ref(), shares.tcp, &clients)?;
        let health = tokio::spawn(health::publish(telemetry.clone(), sampler, store.clone()));
        let gateway_log = tokio::spawn(gateway_log::publish(telemetry.clone(), store.clone()));
        let certificate_watch = tokio::spawn(own_certificates.clone().watch());
        Ok(Self {
            broker,
            rooms,
            links,
            cluster,
            mqtt,
            _door_thread: door_thread,
            clients,
            http,
            tcp,
            tls,
            own_certificates,
            certificate_watch,
            home_assistant,
            standstill_watch,
            health,
            gateway_log,
            store,
            telemetry,
            config,
        })
    }
}

fn bind_configured(
    setting: ListenSetting,
    addr: Option<SocketAddr>,
) -> Result<Option<TcpListener>, String> {
    addr.map(|addr| bind(setting, addr)).transpose()
}
