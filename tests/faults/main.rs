//! The fault run: random commands of every kind, while broker, gateway, devices and the network
//! between them fail. No result may be lost, nothing may be done twice, and nobody may be locked out.
//! The journals of the simulated devices prove what was done.
//!
//! All choices come from a seed. A run of 25 s is part of `cargo test`; a long one is
//! `POLY2MQTT_FAULTS_SECONDS=3600 POLY2MQTT_FAULTS_SEED=7 cargo test --release --test faults -- --nocapture`.
//! With `POLY2MQTT_FAULTS_TRACE=1` the gateway logs everything, and its log is searched for secrets.
//! `POLY2MQTT_FAULTS_KEEP=DIR` stores the gateway's log in that directory, at the level of
//! `POLY2MQTT_LOG`.
//!
//! # Map
//!
//! ```text
//! run       one run: rounds of faults, each followed by a quiet time and all checks
//! world     broker, devices, network paths, the gateway's process
//! trouble   the faults, and timeline, which records them
//! commands  the random commands; door, mqtt and websocket send them
//! ledger    which command was sent, and its results
//! evidence  what the devices' journals prove
//! judge     the checks: ledger against evidence
//! states    the checks of retained topics; watch, of sessions and memory; secrets, of the log
//! report    the table and the violations
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

mod commands;
mod door;
mod evidence;
mod judge;
mod ledger;
mod mqtt;
mod process;
mod proxy;
mod report;
mod run;
mod secrets;
mod states;
mod timeline;
mod trouble;
mod watch;
mod websocket;
mod world;

use std::time::Duration;

/// Not a test: this binary runs it when the other test starts it as the gateway.
#[test]
fn gateway_process() {
    process::serve_if_asked();
}

#[test]
fn nothing_is_lost_nothing_is_done_twice() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        return;
    }
    let number = |name: &str, usual| {
        std::env::var(name).map_or(usual, |value| value.parse().expect("a whole number"))
    };
    let seconds = number("POLY2MQTT_FAULTS_SECONDS", 25);
    let seed = number("POLY2MQTT_FAULTS_SEED", 1);
    println!("fault run: seed {seed}, {seconds} s");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let violations = runtime.block_on(run::run(seed, Duration::from_secs(seconds)));
    assert_eq!(violations, 0, "violations with seed {seed}");
}
