//! What is counted, for Prometheus.
//!
//! One method for each thing that happens; whoever it happens to calls it. Owns the names, the
//! labels (all from fixed lists, or the configured rooms) and the text form. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::command::{DoorKind, Outcome};

/// The upper bounds of command latencies, in seconds: from a read-back on the LAN to the time-out.
const LATENCIES: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// The upper bounds of how late a read is, in its intervals.
const LATENESS: [f64; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counts<const N: usize> = Family<Labels<N>, Counter>;
type ByRoom = Family<[(&'static str, String); 1], Gauge>;

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// The device answered something new.
    Changed,
    /// The same as before.
    Unchanged,
    /// An error, or nothing that could be read.
    Failed,
    /// Nothing in time, or a broken connection.
    Silent,
}

/// What is looked up when somebody asks, rather than counted when it happens.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The rooms by id.
    pub rooms: BTreeMap<Arc<str>, RoomSample>,
    /// The broker, where one is configured.
    pub broker: Option<BrokerSample>,
}

/// How a room stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RoomSample {
    /// Its device is logged in to.
    pub online: bool,
    /// It has tried to reach its device and said what came of it.
    pub known: bool,
    /// How many commands wait.
    pub waiting: usize,
}

/// How it stands with the broker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BrokerSample {
    /// It is there now.
    pub connected: bool,
    /// How often it came up.
    pub connects: u64,
    /// Events that it was too slow for.
    pub dropped_events: u64,
}

/// All counters of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commands: Counts<2>,
    latency: Family<Labels<1>, Histogram>,
    polls: Counts<1>,
    late: Histogram,
    requests: Counts<1>,
    clients: Family<Labels<1>, Gauge>,
    refused_clients: Counts<1>,
    dropped: Counts<1>,
    sampled: Sampled,
}

#[derive(Debug, Default)]
struct Sampled {
    broker_connected: Gauge,
    broker_connects: Counter,
    rooms: Gauge,
    online: ByRoom,
    waiting: ByRoom,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("poly2mqtt");
        let all = &mut registry;
        let latency =
            Family::new_with_constructor((|| Histogram::new(LATENCIES)) as fn() -> Histogram);
        all.register("command_seconds", "From receipt to result", latency.clone());
        let late = Histogram::new(LATENESS);
        let about = "How late a state's read began, in its intervals";
        all.register("poll_late_intervals", about, late.clone());
        Self {
            latency,
            late,
            commands: add(all, "commands", "Commands by front door and outcome"),
            polls: add(all, "polls", "Reads of states"),
            requests: add(all, "device_requests", "Requests to devices by status"),
            clients: add(all, "clients", "Clients that are connected"),
            refused_clients: add(all, "refused_clients", "Clients turned away"),
            dropped: add(all, "dropped_events", "Events a reader was too slow for"),
            sampled: Sampled {
                rooms: add(all, "rooms", "Configured rooms"),
                online: add(all, "room_online", "Whether a room's device can be used"),
                waiting: add(all, "queue_waiting", "Commands that wait for a device"),
                broker_connected: add(all, "broker_connected", "Whether the broker is there"),
                broker_connects: add(all, "broker_connects", "Connections that came up"),
            },
            registry,
        }
    }
}

fn add<M: Metric + Clone + Default>(all: &mut Registry, name: &str, about: &str) -> M {
    let metric = M::default();
    all.register(name, about, metric.clone());
    metric
}

impl Metrics {
    /// A command has its result.
    pub fn commanded(&self, door: DoorKind, outcome: &Outcome) {
        let code = match &outcome.result {
            Ok(_) => "ok",
            Err(failure) => failure.code.as_str(),
        };
        let labels = [("door", door.as_str()), ("outcome", code)];
        self.commands.get_or_create(&labels).inc();
        self.latency
            .get_or_create(&[("door", door.as_str())])
            .observe(outcome.took.as_secs_f64());
    }

    /// A state's read begins, so many of its intervals late.
    pub fn poll_began(&self, late: f64) {
        self.late.observe(late);
    }

    /// A state was read.
    pub fn polled(&self, polled: Polled) {
        let outcome = match polled {
            Polled::Changed => "changed",
            Polled::Unchanged => "unchanged",
            Polled::Failed => "failed",
            Polled::Silent => "silent",
        };
        self.polls.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A device answered a request with this status, or did not.
    pub fn requested(&self, status: Option<u16>) {
        let class = match status {
            Some(100..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(400..=499) => "4xx",
            Some(_) => "5xx",
            None => "none",
        };
        self.requests.get_or_create(&[("status", class)]).inc();
    }

    /// A client came, and will go.
    pub fn client_came(&self, door: DoorKind) {
        let labels = [("door", door.as_str())];
        self.clients.get_or_create(&labels).inc();
    }

    /// A client went.
    pub fn client_went(&self, door: DoorKind) {
        let labels = [("door", door.as_str())];
        self.clients.get_or_create(&labels).dec();
    }

    /// A client was turned away: `token`, `limit`, `origin`, `host`.
    pub fn client_refused(&self, why: &'static str) {
        self.refused_clients.get_or_create(&[("why", why)]).inc();
    }

    /// A reader was too slow for an event.
    pub fn event_dropped(&self, door: DoorKind) {
        let labels = [("door", door.as_str())];
        self.dropped.get_or_create(&labels).inc();
    }

    /// The text that Prometheus reads.
    pub fn text(&self, sample: &Sample) -> String {
        let sampled = &self.sampled;
        let broker = sample.broker.unwrap_or_default();
        sampled.broker_connected.set(broker.connected.into());
        set(&sampled.broker_connects, broker.connects);
        if sample.broker.is_some() {
            let labels = [("door", DoorKind::Mqtt.as_str())];
            set(&self.dropped.get_or_create(&labels), broker.dropped_events);
        }
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        sampled.rooms.set(whole(sample.rooms.len()));
        // Rooms come and go with the configuration.
        sampled.online.clear();
        sampled.waiting.clear();
        for (id, room) in &sample.rooms {
            let labels = [("room", id.to_string())];
            sampled
                .online
                .get_or_create(&labels)
                .set(room.online.into());
            let waiting = whole(room.waiting);
            sampled.waiting.get_or_create(&labels).set(waiting);
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn set(counter: &Counter, value: u64) {
    counter.inner().store(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_happened() {
        let metrics = Metrics::default();
        metrics.polled(Polled::Changed);
        metrics.requested(Some(204));
        metrics.requested(None);
        metrics.client_came(DoorKind::Tcp);
        let sample = Sample {
            rooms: BTreeMap::from([(
                "1".into(),
                RoomSample {
                    waiting: 3,
                    ..RoomSample::default()
                },
            )]),
            broker: Some(BrokerSample {
                connects: 2,
                ..BrokerSample::default()
            }),
        };
        let text = metrics.text(&sample);
        for line in [
            "poly2mqtt_polls_total{outcome=\"changed\"} 1",
            "poly2mqtt_device_requests_total{status=\"none\"} 1",
            "poly2mqtt_clients{door=\"tcp\"} 1",
            "poly2mqtt_queue_waiting{room=\"1\"} 3",
            "poly2mqtt_broker_connects_total 2",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        // A room that went leaves nothing behind.
        assert!(!metrics.text(&Sample::default()).contains("room=\"1\""));
    }
}
