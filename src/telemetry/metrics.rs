//! The registry: names, labels and text form of every metric.
//!
//! Labels come from fixed lists or the configured rooms, so there is a bound on their number.
//! docs/monitoring.md lists every metric; a test compares.

mod broker;
mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use time::OffsetDateTime;

use super::Sample;
use super::events::{CheckOutcome, PollOutcome, StatusClass};
use super::lost_log_lines;
use crate::command::DoorKind;
use broker::BrokerMetrics;
use cluster::ClusterMetrics;

/// The upper bounds of the latency of commands, in seconds: from a read-back in the local network to
/// the longest time-out.
const LATENCY_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// The upper bounds of how late a read begins, in intervals of its state.
const LATENESS_BUCKETS: [f64; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type RoomGauges = Family<[(&'static str, String); 1], Gauge>;

/// Every metric of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commands: Counters<2>,
    /// The sum of `commands`, which is not exported: queries can add them up.
    pub all_commands: Counter,
    command_seconds: Family<Labels<1>, Histogram>,
    /// By [`PollOutcome`]. Resolved once: there are thousands of reads a second.
    polls: [Counter; PollOutcome::ALL.len()],
    pub poll_late: Histogram,
    /// By [`StatusClass`].
    device_requests: [Counter; StatusClass::ALL.len()],
    /// By [`CheckOutcome`].
    room_checks: [Counter; CheckOutcome::ALL.len()],
    clients: Family<Labels<1>, Gauge>,
    pub accept_failures: Counter,
    refused_clients: Counters<1>,
    guesses: Counters<1>,
    dropped_events: Counters<1>,
    pub broker: BrokerMetrics,
    log_lines_dropped: Counter,
    certificate_expiry: Family<Labels<1>, Gauge>,
    /// By their keys: when the gateway's own certificates end.
    certificate_ends: Mutex<BTreeMap<&'static str, OffsetDateTime>>,
    rooms: Gauge,
    room_online: RoomGauges,
    queue_waiting: RoomGauges,
    pub cluster: ClusterMetrics,
    /// Held from setting the rooms' gauges until they are written: each reader may see other rooms.
    writing: Mutex<()>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("poly2mqtt");
        let all = &mut registry;
        let command_seconds =
            Family::new_with_constructor((|| Histogram::new(LATENCY_BUCKETS)) as fn() -> Histogram);
        all.register(
            "command_seconds",
            "From receipt to result",
            command_seconds.clone(),
        );
        let poll_late = Histogram::new(LATENESS_BUCKETS);
        all.register(
            "poll_late_intervals",
            "How late a state's read began, in its intervals",
            poll_late.clone(),
        );
        Self {
            command_seconds,
            poll_late,
            all_commands: Counter::default(),
            commands: add(all, "commands", "Commands by front door and outcome"),
            polls: add_all(
                all,
                "polls",
                "Reads of states",
                PollOutcome::ALL.map(|outcome| ("outcome", outcome.label())),
            ),
            device_requests: add_all(
                all,
                "device_requests",
                "Requests to devices by status",
                StatusClass::ALL.map(|class| ("status", class.label())),
            ),
            room_checks: add_all(
                all,
                "room_checks",
                "Checks of rooms by outcome",
                CheckOutcome::ALL.map(|outcome| ("outcome", outcome.label())),
            ),
            clients: add(all, "clients", "Clients that are connected"),
            accept_failures: add(
                all,
                "accept_failures",
                "Connections that could not be accepted",
            ),
            refused_clients: add(all, "refused_clients", "Clients turned away"),
            guesses: add(
                all,
                "guesses",
                "Wrong tokens and passwords that were checked",
            ),
            dropped_events: add(all, "dropped_events", "Events a reader was too slow for"),
            broker: BrokerMetrics::new(all),
            log_lines_dropped: add(all, "log_lines_dropped", "Lines the log lost"),
            certificate_expiry: add(
                all,
                "tls_certificate_expiry_seconds",
                "Time until a certificate of the gateway's own expires",
            ),
            certificate_ends: Mutex::default(),
            rooms: add(all, "rooms", "Configured rooms"),
            room_online: add(all, "room_online", "Whether a room's device can be used"),
            queue_waiting: add(all, "queue_waiting", "Commands that wait for a device"),
            cluster: ClusterMetrics::default(),
            writing: Mutex::default(),
            registry,
        }
    }
}

/// A count as the value of a gauge.
fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// A counter for each of these labels, all of which are exported from the start.
fn add_all<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    labels: [(&'static str, &'static str); N],
) -> [Counter; N] {
    let counters: Counters<1> = add(registry, name, help);
    labels.map(|label| counters.get_or_create(&[label]).clone())
}

impl Metrics {
    pub fn command(&self, door: &'static str, outcome: &'static str, took: Duration) {
        self.all_commands.inc();
        let labels = [("door", door), ("outcome", outcome)];
        self.commands.get_or_create(&labels).inc();
        self.command_seconds
            .get_or_create(&[("door", door)])
            .observe(took.as_secs_f64());
    }

    pub fn poll(&self, outcome: PollOutcome) {
        self.polls[outcome as usize].inc();
    }

    pub fn device_request(&self, class: StatusClass) {
        self.device_requests[class as usize].inc();
    }

    pub fn room_check(&self, outcome: CheckOutcome) {
        self.room_checks[outcome as usize].inc();
    }

    /// How many clients of a door are connected.
    pub fn clients(&self, door: &'static str) -> Gauge {
        self.clients.get_or_create(&[("door", door)]).clone()
    }

    pub fn client_refused(&self, why: &'static str) {
        self.refused_clients.get_or_create(&[("why", why)]).inc();
    }

    pub fn guess(&self, door: &'static str) {
        self.guesses.get_or_create(&[("door", door)]).inc();
    }

    pub fn event_dropped(&self, door: &'static str) {
        self.dropped_events.get_or_create(&[("door", door)]).inc();
    }

    pub fn certificate_in_use(&self, key: &'static str, end: Option<OffsetDateTime>) {
        let mut ends = self.certificate_ends.lock();
        match end {
            Some(end) => ends.insert(key, end),
            None => ends.remove(key),
        };
    }

    fn sample_certificates(&self) {
        let now = OffsetDateTime::now_utc();
        let ends = self.certificate_ends.lock();
        self.certificate_expiry.clear();
        for (key, end) in ends.iter() {
            let left = (*end - now).whole_seconds();
            self.certificate_expiry
                .get_or_create(&[("key", *key)])
                .set(left);
        }
    }

    /// The text in the OpenMetrics format.
    pub fn text(&self, sample: &Sample) -> String {
        let _writing = self.writing.lock();
        self.broker.sample(sample.broker_connected);
        if sample.broker_connected.is_some() {
            // Not only when it first happens: the MQTT door always reads.
            let labels = [("door", DoorKind::Mqtt.as_str())];
            let _ = self.dropped_events.get_or_create(&labels);
        }
        // From the start, so that an alert sees the first guesses.
        for door in [DoorKind::Http, DoorKind::WebSocket, DoorKind::Tcp] {
            let _ = self.guesses.get_or_create(&[("door", door.as_str())]);
        }
        let lost = lost_log_lines().saturating_sub(self.log_lines_dropped.get());
        self.log_lines_dropped.inc_by(lost);
        self.sample_certificates();
        self.rooms.set(whole(sample.rooms.len()));
        // A reload adds and removes rooms.
        self.room_online.clear();
        self.queue_waiting.clear();
        for (id, room) in &sample.rooms {
            let labels = [("room", id.to_string())];
            self.room_online
                .get_or_create(&labels)
                .set(room.online.into());
            self.queue_waiting
                .get_or_create(&labels)
                .set(whole(room.waiting));
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        if let Some(sample) = &sample.cluster {
            self.cluster.write(sample, &mut text);
        }
        let _ = encode_eof(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{
        ClusterSample, EtcdOutcome, MetricsFormat, PollOutcome, RoomSample, ShardChange, Telemetry,
    };

    #[test]
    fn the_text_names_what_happened() {
        let telemetry = Telemetry::default();
        telemetry.poll_finished(PollOutcome::Changed);
        telemetry.device_request(Some(204));
        telemetry.device_request(None);
        telemetry.client_connected(DoorKind::Tcp);
        telemetry.broker_connected(true);
        let sample = Sample {
            rooms: BTreeMap::from([(
                "1".into(),
                RoomSample {
                    waiting: 3,
                    ..RoomSample::default()
                },
            )]),
            broker_connected: Some(true),
            ..Sample::default()
        };
        let text = telemetry.metrics_text(&sample, MetricsFormat::OpenMetrics);
        for line in [
            "poly2mqtt_polls_total{outcome=\"changed\"} 1",
            "poly2mqtt_device_requests_total{status=\"none\"} 1",
            "poly2mqtt_clients{door=\"tcp\"} 1",
            "poly2mqtt_queue_waiting{room=\"1\"} 3",
            "poly2mqtt_broker_connected 1",
            "poly2mqtt_broker_connects_total 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("cluster"), "{text}");
        // A room that went leaves nothing behind.
        assert!(
            !telemetry
                .metrics_text(&Sample::default(), MetricsFormat::OpenMetrics)
                .contains("room=\"1\"")
        );
    }

    /// Counters are found by the number of an outcome, and named in the order of `ALL`.
    #[test]
    fn outcomes_are_listed_in_the_order_of_their_numbers() {
        let numbers = |numbers: &[usize]| numbers.iter().copied().eq(0..numbers.len());
        assert!(numbers(&PollOutcome::ALL.map(|it| it as usize)));
        assert!(numbers(&StatusClass::ALL.map(|it| it as usize)));
        assert!(numbers(&CheckOutcome::ALL.map(|it| it as usize)));
        assert!(numbers(&EtcdOutcome::ALL.map(|it| it as usize)));
        assert!(numbers(&ShardChange::ALL.map(|it| it as usize)));
    }

    #[test]
    fn a_gateway_with_others_has_their_metrics_too() {
        let telemetry = Telemetry::default();
        telemetry.shards_changed(ShardChange::GainedAfterDeath, 7);
        telemetry.fence_closed(None);
        telemetry.command_passed_on();
        let sample = Sample {
            cluster: Some(ClusterSample {
                contact: true,
                heartbeat_age: Some(Duration::from_millis(250)),
                members: 3,
                own_shards: 341,
                differing_shards: 2,
                differing_rooms: 5,
                device_conflicts: 1,
                forgotten: 2,
                ..ClusterSample::default()
            }),
            ..Sample::default()
        };
        for _ in 0..2 {
            let text = telemetry.metrics_text(&sample, MetricsFormat::OpenMetrics);
            for line in [
                "poly2mqtt_cluster_shard_changes_total{how=\"gained_after_death\"} 7",
                "poly2mqtt_cluster_fence_closings_total 1",
                "poly2mqtt_cluster_commands_passed_on_total 1",
                "poly2mqtt_cluster_commands_forgotten_total 2",
                "poly2mqtt_cluster_contact 1",
                "poly2mqtt_cluster_heartbeat_age_seconds 0.25",
                "poly2mqtt_cluster_members 3",
                "poly2mqtt_cluster_shards 341",
                "poly2mqtt_cluster_differing_shards 2",
                "poly2mqtt_cluster_differing_rooms 5",
                "poly2mqtt_cluster_device_conflicts 1",
            ] {
                assert!(text.contains(line), "{line}\nis not in\n{text}");
            }
            assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        }
    }

    #[test]
    fn readers_at_the_same_time_get_their_own_rooms() {
        let telemetry = Telemetry::default();
        let reads = |room: &'static str, other: &'static str| {
            let rooms = BTreeMap::from([(room.into(), RoomSample::default())]);
            let sample = Sample {
                rooms,
                ..Sample::default()
            };
            for _ in 0..300 {
                let text = telemetry.metrics_text(&sample, MetricsFormat::OpenMetrics);
                assert!(text.contains(room) && !text.contains(other), "{text}");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| reads("hall", "attic"));
            scope.spawn(|| reads("attic", "hall"));
        });
    }
}
