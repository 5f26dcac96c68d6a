//! The metrics of the connection to an MQTT broker, and of the limits that clients reach at the embedded one.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Counters, add};

#[derive(Debug)]
pub struct BrokerMetrics {
    connected: Gauge,
    pub connects: Counter,
    pub published: Counter,
    pub received: Counter,
    pub refused: Counter,
    pub left_out: Counter,
    pub other_gateways: Gauge,
    pub undelivered_rooms: Gauge,
    pub cut_documents: Gauge,
    limited: Counters<1>,
}

impl BrokerMetrics {
    pub fn new(all: &mut Registry) -> Self {
        Self {
            connected: add(all, "broker_connected", "Whether the broker is there"),
            connects: add(all, "broker_connects", "Connections that came up"),
            published: add(all, "broker_published", "Messages handed to the broker"),
            received: add(all, "broker_received", "Commands from the broker"),
            refused: add(all, "broker_refused", "What the broker refused"),
            left_out: add(all, "broker_left_out", "Messages not at the broker"),
            other_gateways: add(
                all,
                "other_gateways",
                "Other gateways at the same topics of the broker",
            ),
            undelivered_rooms: add(
                all,
                "undelivered_rooms",
                "Rooms of which the broker delivers nothing",
            ),
            cut_documents: add(all, "broker_cut_documents", "Documents not whole"),
            limited: add(all, "broker_limited", "Limits clients reached"),
        }
    }

    /// A client reached this limit.
    pub fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&[("limit", limit)]).inc();
    }

    /// Sets what is read when the metrics are written. `connected`: none without a broker.
    pub fn sample(&self, connected: Option<bool>) {
        self.connected.set(connected.unwrap_or_default().into());
        if connected.is_some() {
            // From the start, so that an alert sees the first.
            let _ = self.limited.get_or_create(&[("limit", "waiting")]);
        }
    }
}
