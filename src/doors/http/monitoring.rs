//! Health and metrics, for whoever supervises the gateway.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::authorization::Authorized;
use super::{HttpState, response};

/// `GET /healthz`: the process is alive.
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether the gateway is ready for commands. The broker is connected, if one is
/// configured, and every room has tried to reach its device. A device that is off does not count: a
/// restart of the gateway would not help.
pub async fn ready(State(state): State<Arc<HttpState>>) -> Response {
    let sample = (state.sampler)();
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
    let body = json!({
        "ready": ready,
        "broker": broker,
        "rooms": rooms().count(),
        "rooms_online": rooms().filter(|room| room.online).count(),
        "rooms_starting": rooms().filter(|room| !room.known).count(),
    });
    (status, Json(body)).into_response()
}

/// `GET /metrics`, for Prometheus.
pub async fn metrics(State(state): State<Arc<HttpState>>, _: Authorized) -> Response {
    let text = state.clients.telemetry.metrics_text(&(state.sampler)());
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response::text(content_type, text)
}
