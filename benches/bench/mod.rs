//! What the benches share: processes to measure, a client, a bare client of devices, figures.
//!
//! Gateway, simulated devices, Mosquitto and the bare relay are processes of their own. Every
//! socket has `TCP_NODELAY`. Without `--bench` (`cargo test`) each bench runs for about a second,
//! to see that it works; nothing is ever judged by its time.
#![allow(dead_code)]

pub mod bare;
pub mod client;
pub mod figures;
pub mod processes;

use std::time::Duration;

pub use poly2mqtt_test_support::Mosquitto;
pub use poly2mqtt_test_support::program;

/// Long enough for ten thousand rooms on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// Whether to measure, or only to see that the bench works.
fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// This when measuring, that otherwise.
pub fn either<T>(measured: T, tried: T) -> T {
    if measuring() { measured } else { tried }
}

/// `name=number` among the arguments.
pub fn argument(name: &str) -> Option<u64> {
    std::env::args().find_map(|argument| {
        let (key, value) = argument.split_once('=')?;
        (key == name).then(|| value.parse().unwrap())
    })
}

/// The parts of a bench to run: the words among the arguments, or all.
pub fn wanted(part: &str) -> bool {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--") && !argument.contains('='))
        .collect();
    words.is_empty() || words.iter().any(|word| word == part)
}

/// The broker of a bench; nothing where this is the bare process, which has run, or where there is
/// no broker to start.
pub async fn begin() -> Option<Mosquitto> {
    if bare::ran().await {
        return None;
    }
    if poly2mqtt_test_support::mosquitto().is_none() {
        println!("no Mosquitto here, nothing is measured");
        return None;
    }
    // Of as many at a time as there are: by itself it has twenty under way to each client.
    let unlimited = "max_queued_messages 0\nmax_inflight_messages 0";
    Some(Mosquitto::start(0, unlimited))
}
