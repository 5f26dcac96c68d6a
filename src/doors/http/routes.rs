//! Which handler answers which path.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;

use super::{
    HttpState, charge, log, members, monitoring, origin, path, response, room_commands, rooms,
    security_headers, upgrade, websocket,
};
use crate::cluster::link::{FILE_PATH, LINK_PATH, PROOF_PATH};

/// A path and its handler.
type Path = (&'static str, fn() -> MethodRouter<Arc<HttpState>>);

/// Every path.
const PATHS: &[Path] = &[
    ("/", || get(crate::dashboard::dashboard)),
    ("/manifest.webmanifest", || get(crate::dashboard::manifest)),
    ("/icon/{name}", || get(crate::dashboard::icon)),
    ("/ws", || any(websocket::upgrade)),
    ("/healthz", || get(monitoring::healthy)),
    ("/readyz", || get(monitoring::ready)),
    ("/metrics", || get(monitoring::metrics)),
    ("/asyncapi.json", || get(asyncapi)),
    ("/room", || get(rooms::list)),
    ("/room/{room}", || any(rooms::room)),
    ("/room/{room}/commands", || get(room_commands::commands)),
    ("/room/{room}/{*topic}", || any(rooms::topic)),
    ("/gateway/log", || get(log::log)),
    ("/gateway/{*topic}", || get(rooms::gateway)),
    #[cfg(feature = "autobahn-echo")]
    ("/autobahn-echo", || any(websocket::echo)),
];

/// The paths for the other gateways of a cluster, where there is one.
const MEMBER_PATHS: &[Path] = &[
    (PROOF_PATH, || get(members::prove)),
    (LINK_PATH, || any(members::link)),
    (FILE_PATH, || post(members::file)),
];

/// Every path with its parameters, for the test that asks all of them with a token for one room.
pub fn paths() -> impl Iterator<Item = &'static str> {
    PATHS.iter().map(|(path, _)| *path)
}

/// Made once: it takes milliseconds, needs no token, and is the same for everyone.
static ASYNCAPI: LazyLock<Bytes> =
    LazyLock::new(|| crate::render::asyncapi::document().to_string().into());

/// All routes, behind the check of host and origin. Refusals have the security headers too.
pub fn routes(state: Arc<HttpState>) -> Router {
    let add = |router: Router<_>, (path, handler): &Path| router.route(path, handler());
    let member_paths = match &state.members {
        Some(_) => MEMBER_PATHS,
        None => &[],
    };
    let routes = PATHS
        .iter()
        .chain(member_paths)
        .fold(Router::new(), add)
        .fallback(response::not_found)
        .method_not_allowed_fallback(response::read_only)
        .layer(from_fn_with_state(state.clone(), upgrade::check_websocket))
        .layer(from_fn_with_state(state.clone(), origin::check_origin))
        .layer(from_fn_with_state(state.clone(), charge::measure))
        .layer(from_fn(security_headers::add_security_headers))
        .with_state(state);
    // A router looks for the route before its layers run, so the path is written in a router before it.
    Router::new()
        .fallback_service(routes)
        .layer(map_request(path::normalize))
}

/// Every topic and frame, for tools.
async fn asyncapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], ASYNCAPI.clone()).into_response()
}
