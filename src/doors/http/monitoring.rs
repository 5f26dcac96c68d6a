//! Health and metrics, for monitoring systems.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::authorization::{Authorized, authorize_if_shown};
use super::connection::KeepsPlace;
use super::{HttpState, response};

/// `GET /healthz`: the process is alive.
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether the gateway is ready for commands. The broker is connected, if one is
/// configured, and every room has tried to reach its device. A device that is off does not count: a
/// restart of the gateway would not help. How many rooms there are is told to those who may see them:
/// without a token, where one is needed, nothing of it.
pub async fn ready(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let grant = authorize_if_shown(&state, &parts).await;
    let mut sample = (state.sampler)();
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
    let body = match grant {
        None => json!({"ready": ready, "broker": broker}),
        Some(grant) => {
            sample.rooms.retain(|room, _| grant.sees(room));
            json!({
                "ready": ready,
                "broker": broker,
                "rooms": sample.rooms.len(),
                "rooms_online": sample.rooms_online(),
                "rooms_starting": sample.rooms_starting(),
            })
        }
    };
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
