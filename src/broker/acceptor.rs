//! Accepts connections, takes them through the gate and gives them to the library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use mqtt5::broker::ResourceMonitor;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, StorageBackend};
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::packet::publish::PublishPacket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::{Instant, interval};
use tokio_util::task::TaskTracker;

use super::client::{BrokerClient, ClientQuestions};
use super::gate::{AdmittedClient, Gate};
use super::limits::SESSION_SWEEP_INTERVAL;
use super::retained::clear_expired;
use crate::command::DoorKind;
use crate::net::{Place, Places, accept};
use crate::network::Network;
use crate::telemetry::FloodKind;

/// Accepts clients; holds what their connections share.
pub struct Acceptor {
    /// The connections that have not logged in. The oldest of the busiest address gives way to a newcomer.
    pub waiting: Arc<Places>,
    pub service: Arc<Service>,
    pub tasks: TaskTracker,
}

/// What serves every client.
pub struct Service {
    pub gate: Gate,
    pub config: Arc<BrokerConfig>,
    pub router: Arc<MessageRouter>,
    pub storage: Arc<DynamicStorage>,
    pub resources: Arc<ResourceMonitor>,
    pub stop: broadcast::Sender<()>,
}

impl Acceptor {
    /// Accepts until told to stop.
    pub async fn run(self, socket: TcpListener, mut stopped: broadcast::Receiver<()>) {
        self.tasks
            .spawn(self.service.clone().run_sweeps(stopped.resubscribe()));
        let telemetry = self.service.gate.shared.telemetry.clone();
        let next = async || {
            let (stream, peer) = accept(&socket, &telemetry).await;
            (self.waiting.take(peer.ip(), |_| {}).await, stream, peer)
        };
        loop {
            tokio::select! {
                _ = stopped.recv() => return,
                (place, stream, peer) = next() => {
                    // Nobody holds a place before the log-in, so there is always one.
                    let Ok(place) = place else { continue };
                    let service = self.service.clone();
                    self.tasks.spawn(async move { service.serve(place, stream, peer).await });
                }
            }
        }
    }
}

impl Service {
    async fn serve(&self, place: Place, stream: TcpStream, peer: SocketAddr) {
        let mut stop = self.stop.subscribe();
        let admitted = tokio::select! {
            admitted = self.gate.admit(stream, peer) => admitted,
            () = place.gave_way() => {
                let telemetry = &self.gate.shared.telemetry;
                telemetry.broker_limited("waiting");
                let network = Network::of(peer.ip());
                telemetry.flood(DoorKind::Mqtt, FloodKind::GaveWay, network, "no log-in yet");
                None
            }
            _ = stop.recv() => None,
        };
        drop(place);
        if let Some(admitted) = admitted {
            self.hand_over(admitted, peer).await;
        }
    }

    async fn hand_over(&self, admitted: AdmittedClient, peer: SocketAddr) {
        let AdmittedClient {
            client,
            stream,
            replayer,
            gateway_number,
            connected,
            will,
        } = admitted;
        self.gate.quotas.returned(&client.place);
        let handler = ClientHandler::new(
            BrokerTransport::WebSocket(Box::new(stream)),
            peer,
            self.config.clone(),
            self.router.clone(),
            Arc::new(ClientQuestions::new(client.clone(), will)),
            Some(self.storage.clone()),
            self.gate.shared.stats.clone(),
            self.resources.clone(),
            self.stop.subscribe(),
        );
        // The handler ends when the client goes, and the replayer with it.
        let replaying = async {
            if let Some(replayer) = replayer {
                replayer.run(&self.router).await;
            }
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = handler.run() => ended,
            () = replaying => return,
        };
        if let Some(number) = gateway_number {
            self.gate.shared.gateway_retained.disconnected(number);
        }
        match ended {
            Err(error) if !error.is_normal_disconnect() => {
                let (kind, why) = (FloodKind::BrokerClientFailed, error.to_string());
                let network = Network::of(peer.ip());
                let telemetry = &self.gate.shared.telemetry;
                telemetry.flood(DoorKind::Mqtt, kind, network, &why);
            }
            _ => {}
        }
        drop(connected);
        self.left(&client).await;
    }

    /// A client has gone: its session is kept or has ended.
    async fn left(&self, client: &BrokerClient) {
        let place = &client.place;
        if self.router.is_connected(place).await {
            // Another connection of the same client has taken over.
            return;
        }
        if !self.has_session(place).await {
            self.forget(place).await;
            return;
        }
        let quotas = &self.gate.quotas;
        for place in quotas.kept(place, &client.owner, Instant::now()) {
            self.gate.shared.telemetry.broker_limited("sessions");
            self.end_session(&place).await;
        }
    }

    async fn has_session(&self, place: &str) -> bool {
        matches!(self.storage.get_session(place).await, Ok(Some(_)))
    }

    /// Ends the session of a client that is gone, with all that is kept for it. A will that waits is published
    /// now (MQTT 5, 3.1.2.5).
    async fn end_session(&self, place: &str) {
        let slot = self.router.lock_session(place).await;
        if self.router.is_connected(place).await {
            return;
        }
        let will = self.take_will(place).await;
        let removed = async {
            self.storage.remove_session(place).await?;
            self.storage.remove_all_inflight_messages(place).await?;
            self.router.set_client_subscriptions(&slot, None).await
        };
        if let Err(error) = removed.await {
            tracing::debug!(%error, "a session could not be removed");
        }
        self.storage.queue_handle(place).clear(None);
        self.forget(place).await;
        drop(slot);
        if let Some(will) = will {
            self.router.route_message(&will, None).await;
        }
    }

    /// Takes the will of a session from the library, if it waits for its delay.
    async fn take_will(&self, place: &str) -> Option<PublishPacket> {
        let session = self.storage.get_session(place).await.ok()??;
        let will = session.will_message?;
        // It is not there if its delay is over just now.
        if !self
            .router
            .claim_will(place, session.connection_token)
            .await
        {
            return None;
        }
        let mut message = PublishPacket::new(will.topic, will.payload, will.qos);
        message.retain = will.retain;
        will.properties
            .apply_to_publish_properties(&mut message.properties);
        Some(message)
    }

    /// Forgets what is kept beside a session, which has ended.
    async fn forget(&self, place: &str) {
        self.gate.shared.forget(place);
        // The library keeps this of each session that was resumed, until it finds an expired one.
        self.router.remove_change_only_state(place).await;
    }

    async fn run_sweeps(self: Arc<Self>, mut stopped: broadcast::Receiver<()>) {
        let mut next = interval(SESSION_SWEEP_INTERVAL);
        let sweeps = async {
            loop {
                next.tick().await;
                self.sweep().await;
            }
        };
        tokio::select! {
            _ = stopped.recv() => {}
            () = sweeps => {}
        }
    }

    /// Forgets what has expired.
    async fn sweep(&self) {
        self.router.sweep_sessions().await;
        if let Err(error) = self.storage.cleanup_expired().await {
            tracing::debug!(%error, "expired messages could not be removed");
        }
        clear_expired(&self.gate.shared, &self.router, SystemTime::now()).await;
        for place in self.gate.quotas.places() {
            if !self.has_session(&place).await {
                self.gate.quotas.returned(&place);
                self.forget(&place).await;
            }
        }
    }
}
