//! Publishes `gateway/log`: the warnings and errors of the log, as they happen and not retained.
//!
//! A task of its own takes them out of the [`LogRing`](crate::telemetry::LogRing), because a line may be written
//! while the state store is locked. Commands that failed are left out: `event/command_failed` and their results
//! tell of them. So is what is about `gateway/log` itself, or one line that cannot be published would cause the
//! next.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tracing::Level;

use crate::clock::utc_now;
use crate::state::StateStore;
use crate::telemetry::{LogEntry, LogKind, LogLimits, LogQuery, Telemetry};
use crate::topics::GATEWAY_LOG;

/// Publishes what comes, within the limits, and what came before.
pub async fn publish(telemetry: Arc<Telemetry>, store: Arc<StateStore>) {
    let mut limits = LogLimits::new(Instant::now());
    let mut after = 0;
    loop {
        let left_out = limits.next_minute(Instant::now());
        if left_out > 0 {
            publish_one(&store, &left_out_entry(left_out));
        }
        let query = LogQuery {
            after,
            level: Level::WARN,
            ..LogQuery::ALL
        };
        for entry in telemetry.log().read(&query, |_| true) {
            after = entry.id;
            if is_for_everyone(&entry) && limits.admits(entry.room.as_ref(), &entry.text) {
                publish_one(&store, &entry.json());
            }
        }
        tokio::select! {
            () = telemetry.log().warned() => {}
            () = sleep_until(limits.minute_ends()) => {}
        }
    }
}

fn is_for_everyone(entry: &LogEntry) -> bool {
    entry.kind != LogKind::Failure && !entry.text.contains(GATEWAY_LOG)
}

fn publish_one(store: &StateStore, entry: &Value) {
    store.event(GATEWAY_LOG, entry.to_string().into());
}

/// Tells how many entries of the last minute were left out.
fn left_out_entry(count: u64) -> Value {
    json!({
        "at": utc_now(),
        "level": "warn",
        "kind": "line",
        "room": null,
        "text": format!("{count} more warnings of the last minute are only in the gateway's own log"),
    })
}
