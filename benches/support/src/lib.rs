//! What the benches share: processes to measure, MQTT clients, a bare client of devices, and figures.
//!
//! Gateway, simulated devices, Mosquitto and the bare process are processes of their own, so that the
//! processor time and memory of each can be read. Every socket has `TCP_NODELAY`. Without `--bench`
//! (`cargo test`) each bench runs for about a second to see that it works. No bench fails because
//! something is slow.
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod bare;
pub mod client;
pub mod figures;
pub mod member;
pub mod processes;

use std::time::Duration;

pub use poly2mqtt_test_support::Mosquitto;
pub use poly2mqtt_test_support::program;

/// How long all rooms of a bench may take to come online: long enough for ten thousand on a busy
/// machine.
pub const ONLINE_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether this is `cargo bench` and not a trial run by `cargo test`.
fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The first value with `cargo bench`, the second in a trial run.
pub fn full_or_trial<T>(full: T, trial: T) -> T {
    if is_measuring() { full } else { trial }
}

/// The number of an argument `name=number`.
pub fn number_argument(name: &str) -> Option<u64> {
    text_argument(name).map(|value| value.parse().unwrap())
}

/// The text of an argument `name=text`.
pub fn text_argument(name: &str) -> Option<String> {
    std::env::args().find_map(|argument| {
        let (key, value) = argument.split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

/// Whether a part of a bench is to run: it is among the arguments, or no part is.
pub fn is_selected(part: &str) -> bool {
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--") && !argument.contains('='))
        .collect();
    parts.is_empty() || parts.iter().any(|selected| selected == part)
}

/// Starts the broker of a bench. `None` ends the bench: this was the bare process, which has run,
/// or Mosquitto is not installed.
pub async fn start_broker() -> Option<Mosquitto> {
    if bare::run_if_asked().await {
        return None;
    }
    if poly2mqtt_test_support::mosquitto().is_none() {
        println!("Mosquitto is not installed, so nothing is measured");
        return None;
    }
    // By default Mosquitto has at most twenty messages in flight to each client, which would be
    // measured instead of the gateway.
    let unlimited = "max_queued_messages 0\nmax_inflight_messages 0";
    Some(Mosquitto::start(0, unlimited))
}
