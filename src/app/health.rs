//! `gateway/health`, and what `/metrics` and `/readyz` look up when they are asked.

use std::sync::Arc;
use std::time::Duration;

use crate::doors::http::Sampler;
use crate::doors::mqtt::MqttDoor;
use crate::rooms::Rooms;
use crate::sleep::ticks_after;
use crate::state::{StateStore, StateValue};
use crate::telemetry::{ClusterSample, Sample, Telemetry};
use crate::topics::GATEWAY_HEALTH;

/// How often `gateway/health` is published, as docs/topics.md says.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// When it is published for the second time: by then every room that can be online is, so the
/// numbers mean something.
const SECOND_HEALTH: Duration = Duration::from_secs(5);

/// Looks up the state of the cluster.
pub type ClusterSampler = Arc<dyn Fn() -> ClusterSample + Send + Sync>;

/// Looks up the state of rooms, broker and cluster.
pub fn sampler(
    rooms: &Arc<Rooms>,
    mqtt: Option<&MqttDoor>,
    cluster: Option<ClusterSampler>,
) -> Sampler {
    let rooms = rooms.clone();
    let connected = mqtt.map(MqttDoor::connected);
    Arc::new(move || Sample {
        rooms: rooms.sample(),
        broker_connected: connected.as_ref().map(|connected| *connected.borrow()),
        cluster: cluster.as_ref().map(|cluster| cluster()),
    })
}

/// Publishes `gateway/health` at once, after [`SECOND_HEALTH`], then every [`HEALTH_INTERVAL`], and `gateway/info`
/// again if the machine's clock was set.
pub async fn publish(
    telemetry: Arc<Telemetry>,
    sampler: Sampler,
    store: Arc<StateStore>,
    rooms: Arc<Rooms>,
) {
    let mut ticks = ticks_after(SECOND_HEALTH, HEALTH_INTERVAL);
    loop {
        let health = telemetry.health(&sampler(), store.len());
        telemetry.log_floods();
        if telemetry.correct_started() {
            rooms.publish_corrected_start();
        }
        store.set(GATEWAY_HEALTH, StateValue::text(health.to_string()));
        ticks.tick().await;
    }
}
