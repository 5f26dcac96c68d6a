//! Several gateways that share rooms: every door at the gateway that has not got the room, through real sockets.
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use poly2mqtt_simulator::{Fault, FaultKind};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use poly2mqtt_test_support::cluster::{CLUSTER_TOKEN, Cluster, Owner, Path};
use poly2mqtt_test_support::door::{get, http, post, text, token};
use poly2mqtt_test_support::until;

mod doors;
mod failures;
mod large;
mod latency;
mod moves;
mod rights;
mod strangers;

/// Two gateways; room 1 is at `a`, room 2 at `b`.
async fn two() -> Cluster {
    Cluster::start(&["a", "b"], &[("1", "a"), ("2", "b")]).await
}

/// The head lines that open a WebSocket.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A result without the time it took.
fn without_time(mut result: Value) -> String {
    assert!(result["took_ms"].is_u64(), "{result}");
    result.as_object_mut().unwrap().remove("took_ms");
    result.to_string()
}
