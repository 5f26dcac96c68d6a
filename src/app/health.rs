//! `gateway/health`, and what `/metrics` and `/readyz` look up when they are asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::doors::http;
use crate::doors::mqtt::{Door, Stats};
use crate::rooms::Gateway;
use crate::state::{StateStore, StateValue};
use crate::telemetry::{Sample, Telemetry};
use crate::topics::GATEWAY_HEALTH;

/// How often `gateway/health` is published, as docs/topics.md says.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// The second publication: by then every room that can be online is, so the counters mean
/// something.
const SECOND_HEALTH: Duration = Duration::from_secs(5);

/// Looks up how rooms and broker are doing.
pub fn sampler(gateway: &Arc<Gateway>, mqtt: Option<&Door>) -> http::Sampler {
    let gateway = gateway.clone();
    let broker = mqtt.map(Door::sampler);
    Arc::new(move || Sample {
        rooms: gateway.sample(),
        broker: broker.as_ref().map(|sample| sample()),
    })
}

/// Publishes `gateway/health` at once, after [`SECOND_HEALTH`], then every [`HEALTH_INTERVAL`].
pub async fn publish(
    telemetry: Arc<Telemetry>,
    sampler: http::Sampler,
    store: Arc<StateStore>,
    stats: Option<Arc<Stats>>,
) {
    let mut ticks = interval_at(Instant::now() + SECOND_HEALTH, HEALTH_INTERVAL);
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
        let health = telemetry.health(&sampler(), store.len(), &mqtt);
        store.set(GATEWAY_HEALTH, StateValue::text(health.to_string()));
        ticks.tick().await;
    }
}
