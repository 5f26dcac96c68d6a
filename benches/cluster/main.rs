//! Several gateways with very many rooms: what each part of a cluster has to carry.
//!
//! `cargo bench --bench cluster` [`placement`] [`sizes`] [`etcd`] [`broker`] [`room`] [`command`] [`idle`]
//! [`paper`] [`rooms=50000`] [`gateways=5`] [`trials=200`] [`seconds=20`] [`loaded=2000`] [`devices=200`].
//!
//! - `placement`: the gateway's own placement over many sets of room ids and members: how evenly rooms are spread, what
//!   moves when a gateway comes or goes, who takes the rooms of a dead one.
//! - `sizes`: what the keys in etcd hold, and how long it takes to make them.
//! - `etcd`: the gateway's own keepers and session stores with three members of etcd: heartbeats, a death, a start of
//!   all. No devices.
//! - `broker`: Mosquitto with the filters of all gateways, each room at its owner and its deputy; then the states of
//!   `loaded` rooms.
//! - `room`: what one room costs a gateway and the broker: processor time of a start, files, messages, bytes.
//! - `command`: how long a command takes at the owner of its room, in a cluster and without.
//! - `idle`: a gateway that has none of the configured rooms.
//! - `paper`: arithmetic for what is not run, with the figures of `docs/performance.md`.
//!
//! etcd and Mosquitto run on this machine. A part whose program is not installed is left out.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod broker;
mod command;
mod etcd;
mod idle;
mod paper;
mod placement;
mod room;
mod room_ids;
mod sizes;
mod tap;

use poly2mqtt_bench_support::{full_or_trial, is_selected, number_argument};

/// What is measured, at which size.
#[derive(Debug, Clone, Copy)]
struct Size {
    rooms: usize,
    gateways: usize,
}

#[tokio::main]
async fn main() {
    let number = |name, full, trial| {
        let number = number_argument(name).map(|number| usize::try_from(number).unwrap());
        number.unwrap_or_else(|| full_or_trial(full, trial))
    };
    let size = Size {
        rooms: number("rooms", 50_000, 2_000),
        gateways: number("gateways", 5, 3),
    };
    let seconds = number_argument("seconds").unwrap_or_else(|| full_or_trial(20, 1));
    let duration = std::time::Duration::from_secs(seconds);
    if is_selected("placement") {
        placement::measure(size, number("trials", 200, 3));
    }
    if is_selected("sizes") {
        sizes::measure(size);
    }
    if is_selected("paper") {
        paper::print(size);
    }
    let has_etcd = poly2mqtt_test_support::etcd().is_some();
    let has_mosquitto = poly2mqtt_test_support::mosquitto().is_some();
    if is_selected("etcd") && has_etcd {
        etcd::measure(size, duration, full_or_trial(3, 1)).await;
    }
    if is_selected("broker") && has_mosquitto {
        broker::measure(size, number("loaded", 2_000, 20)).await;
    }
    if is_selected("room") && has_mosquitto {
        room::measure(number("devices", 200, 2), duration).await;
    }
    if is_selected("command") && has_mosquitto && has_etcd {
        command::measure(full_or_trial(20, 1), duration).await;
    }
    if is_selected("idle") && has_mosquitto && has_etcd {
        idle::measure(size).await;
    }
}

/// A gateway's name as operators would choose it.
fn gateway_name(number: usize) -> String {
    format!("gw-{}", number + 1)
}
