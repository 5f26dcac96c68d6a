//! Requests for a WebSocket that cannot be opened: each is told why, and which setting mends it.
//!
//! Owns the words only; [`websocket`](super::websocket) opens those that can be.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use super::authorization::sender_address;
use super::{HttpState, response};
use crate::cluster::link::LINK_PATH;
use crate::command::{DoorKind, ErrorCode};
use crate::doors::clients::OtherProtocol;
use crate::network::Network;
use crate::telemetry::FloodKind;

/// What a proxy must do, as nginx writes it.
const PROXY_SETTINGS: &str = "a proxy in between must pass the upgrade on (nginx: proxy_http_version \
                              1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header \
                              Connection \"upgrade\")";

/// What to do about a client that asks for a subprotocol. What it asks for is not shown: some put their token
/// there.
const SUBPROTOCOL_ADVICE: &str = "it may close the connection at once: leave its subprotocol empty; a token \
                                  goes into ?token= or a header (docs/websocket.md)";

/// The paths at which a WebSocket can be opened.
const WEBSOCKET_PATHS: &[&str] = &[
    "/ws",
    #[cfg(feature = "autobahn-echo")]
    "/autobahn-echo",
];

/// Middleware: answers requests for a WebSocket at another path than `/ws`, or for MQTT. MQTT clients
/// would wait for an answer that never comes.
pub async fn check_websocket(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let wants_websocket = is_handshake(request.headers());
    let is_mqtt_path = path == "/mqtt" || path.starts_with("/mqtt/");
    if is_mqtt_path || wants_websocket && names_mqtt(request.headers()) {
        let (parts, _) = request.into_parts();
        let network = Network::of(sender_address(&state, &parts));
        let (kind, name) = (FloodKind::OtherProtocol, OtherProtocol::MQTT.name());
        state
            .clients
            .telemetry
            .flood(DoorKind::WebSocket, kind, network, name);
        let message = format!(
            "{}; over a WebSocket, /ws takes frames of text (docs/websocket.md)",
            OtherProtocol::MQTT.message
        );
        return response::error_code(ErrorCode::NotFound, &message);
    }
    let is_link = path == LINK_PATH && state.members.is_some();
    if wants_websocket && !is_link && !WEBSOCKET_PATHS.contains(&path) {
        return response::error_code(ErrorCode::NotFound, "the WebSocket is at /ws");
    }
    let mut subprotocols = values(request.headers(), &SEC_WEBSOCKET_PROTOCOL);
    let names_any = subprotocols.any(|name| !name.is_empty());
    drop(subprotocols);
    if wants_websocket && names_any {
        let (parts, body) = request.into_parts();
        let network = Network::of(sender_address(&state, &parts));
        let (door, kind) = (DoorKind::WebSocket, FloodKind::Subprotocol);
        state
            .clients
            .telemetry
            .flood(door, kind, network, SUBPROTOCOL_ADVICE);
        return next.run(Request::from_parts(parts, body)).await;
    }
    next.run(request).await
}

/// Whether a WebSocket client sent this (RFC 6455, 4.1).
fn is_handshake(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_WEBSOCKET_KEY) && names(headers, &UPGRADE, "websocket")
}

/// Whether one of the subprotocols is MQTT: `mqtt` for 3.1.1 and 5, `mqttv3.1` before.
fn names_mqtt(headers: &HeaderMap) -> bool {
    values(headers, &SEC_WEBSOCKET_PROTOCOL).any(|value| {
        value
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"mqtt"))
    })
}

/// Whether a header has this value among others.
fn names(headers: &HeaderMap, header: &HeaderName, wanted: &str) -> bool {
    values(headers, header).any(|value| value.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn values<'a>(
    headers: &'a HeaderMap,
    header: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = headers.get_all(header).iter();
    let values = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    values.map(<[u8]>::trim_ascii)
}

/// The answer to a request at `/ws` that opens no WebSocket.
pub fn no_websocket(parts: &Parts) -> Response {
    let headers = &parts.headers;
    let code = ErrorCode::InvalidPayload;
    let (status, message) = if parts.method != Method::GET {
        let message = format!("a WebSocket is opened with GET; if that fails, {PROXY_SETTINGS}");
        (StatusCode::METHOD_NOT_ALLOWED, message)
    } else if parts.version < Version::HTTP_11 {
        let message =
            format!("a WebSocket needs HTTP/1.1, and this came as HTTP/1.0: {PROXY_SETTINGS}");
        (StatusCode::UPGRADE_REQUIRED, message)
    } else if is_handshake(headers) && !names(headers, &SEC_WEBSOCKET_VERSION, "13") {
        let message = "the gateway speaks version 13 of the WebSocket protocol";
        (StatusCode::UPGRADE_REQUIRED, message.to_owned())
    } else if headers.contains_key(SEC_WEBSOCKET_KEY) {
        let message = format!("the upgrade to a WebSocket did not arrive: {PROXY_SETTINGS}");
        (StatusCode::UPGRADE_REQUIRED, message)
    } else {
        let message = format!(
            "this is a WebSocket: a client opens it as ws:// or wss://, and {PROXY_SETTINGS}; for \
             plain HTTP, states and commands are at /room/<room>"
        );
        (StatusCode::UPGRADE_REQUIRED, message)
    };
    let mut response = response::error(status, code, &message);
    let answer = response.headers_mut();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.insert(http::header::ALLOW, HeaderValue::from_static("GET"));
    } else {
        // RFC 9110, 15.5.22.
        answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
        answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
