//! What there is besides rooms: health and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::credentials::Admitted;
use super::{Shared, answer};

/// The process is alive.
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// Whether commands can be carried out: the broker is there if there is to be one, and every room
/// has tried to reach its device. That some device is off is no reason to restart a gateway.
pub async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let sample = (shared.look)();
    let broker = match sample.broker {
        None => "off",
        Some(broker) if broker.connected => "connected",
        Some(_) => "disconnected",
    };
    let rooms = || sample.rooms.values();
    let ready = broker != "disconnected" && rooms().all(|room| room.known);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let about = json!({
        "ready": ready,
        "broker": broker,
        "rooms": rooms().count(),
        "rooms_online": rooms().filter(|room| room.online).count(),
        "rooms_starting": rooms().filter(|room| !room.known).count(),
    });
    (status, Json(about)).into_response()
}

/// For Prometheus.
pub async fn metrics(State(shared): State<Arc<Shared>>, _: Admitted) -> Response {
    let text = shared.clients.telemetry.metrics_text(&(shared.look)());
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer::plain(content_type, text)
}

/// Every topic and frame, for tools.
pub async fn asyncapi() -> Json<serde_json::Value> {
    Json(crate::render::asyncapi::document())
}

/// Anything else.
pub async fn nothing() -> Response {
    let message = "there is nothing here; rooms are at /room/<room>";
    answer::error(StatusCode::NOT_FOUND, "not_found", message)
}
