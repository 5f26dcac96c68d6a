//! Which handler answers which path.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use axum::{Json, Router};

use super::{HttpState, monitoring, origin, response, rooms, websocket};

/// All routes, behind the check of host and origin.
pub fn routes(state: Arc<HttpState>) -> Router {
    let router = Router::new()
        .route("/", get(crate::dashboard::dashboard))
        .route("/ws", any(websocket::upgrade))
        .route("/healthz", get(monitoring::healthy))
        .route("/readyz", get(monitoring::ready))
        .route("/metrics", get(monitoring::metrics))
        .route("/asyncapi.json", get(asyncapi))
        .route("/room/{room}", any(rooms::room))
        .route("/room/{room}/{*topic}", any(rooms::topic))
        .route("/gateway/{*topic}", get(rooms::gateway));
    #[cfg(feature = "autobahn-echo")]
    let router = router.route("/autobahn-echo", any(websocket::echo));
    router
        .fallback(response::not_found)
        .layer(from_fn_with_state(state.clone(), origin::check_origin))
        .with_state(state)
}

/// Every topic and frame, for tools.
async fn asyncapi() -> Json<serde_json::Value> {
    Json(crate::render::asyncapi::document())
}
