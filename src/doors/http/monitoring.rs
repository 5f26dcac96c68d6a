//! Health and metrics, for monitoring systems.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::authorization::Authorized;
use super::connection::KeepsPlace;
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
    let broker = match sample.broker_connected {
        None => "off",
        Some(true) => "connected",
        Some(false) => "disconnected",
    };
    let ready = sample.broker_connected != Some(false) && sample.rooms_starting() == 0;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "ready": ready,
        "broker": broker,
        "rooms": sample.rooms.len(),
        "rooms_online": sample.rooms_online(),
        "rooms_starting": sample.rooms_starting(),
    });
    (status, Json(body)).into_response()
}

/// `GET /metrics`, for Prometheus. A token with rooms gets the values of these rooms; what has no
/// room is for all together.
pub async fn metrics(
    State(state): State<Arc<HttpState>>,
    Authorized(grant): Authorized,
    _place: KeepsPlace,
) -> Response {
    let mut sample = (state.sampler)();
    sample.rooms.retain(|room, _| grant.sees(room));
    let text = state.clients.telemetry.metrics_text(&sample);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response::text(content_type, text)
}
