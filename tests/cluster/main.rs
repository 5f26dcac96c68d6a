//! The cluster run: several gateways share simulated rooms over etcd, and everything fails at random. No device may
//! ever have two gateways, no command may be lost or carried out twice, and all is whole again in time. The simulated
//! devices record who asked them when.
//!
//! All choices come from a seed. A short run is part of `cargo test` where etcd and Mosquitto are installed. Long:
//! `POLY2MQTT_CLUSTER_SECONDS=3600 POLY2MQTT_CLUSTER_SEED=7 cargo test --release --test cluster -- --nocapture`.
//! `settings` has the other variables.
//!
//! # Map
//!
//! ```text
//! run        one run: what it costs, the fixed acts, acts at random, the judgements
//! world      etcd, broker, devices, gateways and their paths; watch, clients
//! acts       what is done to them; timeline, which records it
//! measures   the acts whose recovery is measured; costs, while nothing happens
//! etcd, gateway, farm   the processes; farm has the simulated devices
//! proxy      the paths of each gateway, and how they fail
//! source_address.c      makes each gateway's connections come from an address of its own
//! keys, history, watch  who owned which shard, as etcd has it
//! record     the devices' record of requests
//! load, broker_client, web_clients, ledger   the commands and their results
//! judge      the judgements, all pure; report, the table
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

/// As in the program: with nine thousand devices the system's allocator takes a seventh of their time.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod acts;
mod broker_client;
mod clock;
mod costs;
mod etcd;
mod farm;
mod gateway;
mod history;
mod judge;
mod keys;
mod ledger;
mod load;
mod measures;
mod proxy;
mod record;
mod report;
mod run;
mod settings;
mod timeline;
mod watch;
mod web_clients;
mod world;

use std::sync::{Mutex, PoisonError};

/// Not a test: this program runs it when it starts itself as the simulated devices.
#[test]
fn device_process() {
    farm::serve_if_asked();
}

/// What starts gateways runs one after the other: it measures times.
static GATEWAYS_RUN: Mutex<()> = Mutex::new(());

fn with_runtime<T>(run: impl Future<Output = T>) -> T {
    let _alone = GATEWAYS_RUN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run)
}

/// Whether what the test needs is installed.
fn can_run() -> bool {
    poly2mqtt_test_support::etcd().is_some() && poly2mqtt_test_support::mosquitto().is_some()
}

#[test]
fn no_device_ever_has_two_gateways() {
    if !can_run() {
        return;
    }
    let settings = settings::Settings::from_environment();
    println!("{settings:?}");
    let wrong = with_runtime(run::run(settings.clone()));
    assert_eq!(wrong, 0, "violations with seed {}", settings.seed);
}

/// The judge itself is judged: it must not call something good that is not.
#[test]
fn two_gateways_at_one_device_are_found() {
    if !can_run() {
        return;
    }
    let broken = with_runtime(run::two_at_one_device());
    for promise in ["commands", "overlaps"] {
        assert!(broken.contains_key(promise), "{promise}: {broken:?}");
    }
}
