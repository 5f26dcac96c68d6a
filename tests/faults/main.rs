//! Nothing lost, nothing done twice, nobody shut out: random commands of every kind while broker,
//! gateway, devices and the paths between them fail. The simulated devices' journals are the judge.
//!
//! Seeded and repeatable. A short run is part of `cargo test`; a long one is
//! `POLY2MQTT_FAULTS_SECONDS=3600 POLY2MQTT_FAULTS_SEED=7 cargo test --release --test faults -- --nocapture`.
//! With `POLY2MQTT_FAULTS_TRACE=1` the gateway logs everything and the log is searched for secrets.
//! `POLY2MQTT_FAULTS_KEEP=DIR` keeps the gateway's log there, at the level of `POLY2MQTT_LOG`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod commands;
mod door;
mod evidence;
mod judge;
mod ledger;
mod mqtt;
mod process;
mod proxy;
mod random;
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

/// Not a test: what this binary does when the other test starts it as the gateway.
#[test]
fn gateway_process() {
    process::serve_if_asked();
}

#[test]
fn nothing_is_lost_nothing_is_done_twice() {
    if poly2mqtt_test_support::mosquitto().is_none() {
        println!("skipped: Mosquitto is not installed");
        return;
    }
    let number = |name: &str, usual| {
        std::env::var(name).map_or(usual, |value| value.parse().expect("a whole number"))
    };
    let seconds = number("POLY2MQTT_FAULTS_SECONDS", 40);
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
