//! Stopping, within fixed time limits: health and log; Home Assistant; a cluster's rooms are handed over; then the
//! rooms end, and `gateway/availability` is `offline`; then lines, links, clients and HTTP, and MQTT at the same time;
//! then the cluster and the embedded broker.
//!
//! After the hand-over the doors take nothing new. They end after the rooms, because they deliver the last results and
//! `offline`.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::broker;
use crate::device::LONGEST_LOG_OUT;
use crate::state::StateValue;
use crate::topics::{GATEWAY_AVAILABILITY, OFFLINE};

/// How long a command that has begun may take to finish.
const COMMANDS_TIMEOUT: Duration = Duration::from_secs(5);
/// After the commands: how long broker and clients may take to receive their last messages.
const LAST_MESSAGES_TIMEOUT: Duration = Duration::from_secs(2);
/// systemd kills after 90 s, Docker after 10 s: all that a stop waits for must stay below the shorter of the two. With
/// `[cluster]` rooms are handed over before, for up to `cluster::LONGEST_LEAVE` in all.
const LONGEST_STOP: Duration = Duration::from_secs(10);

const _: () = assert!(
    COMMANDS_TIMEOUT.as_millis()
        + LONGEST_LOG_OUT.as_millis()
        + LAST_MESSAGES_TIMEOUT.as_millis()
        + broker::LONGEST_STOP.as_millis()
        < LONGEST_STOP.as_millis()
);

impl App {
    /// What ends a reload that is under way, so that a stop need not wait for it.
    pub fn stopping(&self) -> CancellationToken {
        self.rooms.stopping()
    }

    /// Stops: takes no more commands, finishes those that have begun, logs out of every device,
    /// publishes `offline`, delivers the last messages.
    pub async fn stop(self) {
        self.health.abort();
        self.gateway_log.abort();
        self.certificate_watch.abort();
        drop(self.standstill_watch);
        if let Some(home_assistant) = self.home_assistant {
            home_assistant.stop();
        }
        let deadline = Instant::now() + COMMANDS_TIMEOUT;
        let passed_on_by = match &self.cluster {
            Some(cluster) => cluster.hand_over(&self.rooms, deadline).await,
            None => deadline,
        };
        if let Some(mqtt) = &self.mqtt {
            mqtt.announce_stop();
        }
        if let Some(http) = &self.http {
            http.stop_accepting();
        }
        if let Some(tcp) = &self.tcp {
            tcp.stop_accepting();
        }
        let passed_on = async {
            if let Some(links) = &self.links {
                links.finish(passed_on_by).await;
            }
        };
        join(self.rooms.stop(deadline), passed_on).await;
        self.store
            .set(GATEWAY_AVAILABILITY, StateValue::text(OFFLINE));

        let deadline = Instant::now() + LAST_MESSAGES_TIMEOUT;
        let clients = async {
            if let Some(tcp) = self.tcp {
                tcp.stop(deadline).await;
            }
            if let Some(links) = &self.links {
                links.stop(deadline).await;
            }
            self.clients.stop(deadline).await;
            if let Some(http) = self.http {
                http.stop(deadline).await;
            }
        };
        let mqtt = async {
            if let Some(mqtt) = self.mqtt {
                mqtt.stop(deadline).await;
            }
        };
        join(clients, mqtt).await;
        // After the links: the others give up the link to a gateway that is no member, with what is still on its way.
        if let Some(cluster) = self.cluster {
            cluster.stop(deadline).await;
        }
        // Last, because the MQTT door publishes `offline` through it.
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        self.telemetry.log_floods();
    }
}
