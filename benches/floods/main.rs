//! All floods at once beside honest rooms: nothing lost, nothing doubled, nothing kept.
//!
//! `cargo bench --bench floods` [`seconds=600`] [`rooms=500`] [`rate=40`] [`seed=0`] [`quiet=60`]
//! [`after=60`] [`only=NAME,NAME`] [`gateway=PROGRAM`].
//! `cargo bench --bench floods attack=NAME` [`seconds=10`] [`rooms=1`] [`files=N`] [`gateway=PROGRAM`];
//! `attack=all` for every one after the other.
//!
//! The gateway has its embedded broker with users, HTTP with tokens, and plain lines. Honest clients
//! at all four doors send commands at a fixed rate, each with an id: first alone (`quiet`), then
//! beside the floods (`seconds`), then alone again (`after`). Every command must have exactly one
//! result. The simulated devices count what was carried out: most commands play a tone, which the
//! gateway never repeats. Prints what every flood did, latencies, memory, open files, and a verdict;
//! the exit status is 1 if anything of it was broken. `gateway=` names another build of the program,
//! for a comparison.
//!
//! Each flood is a process of its own. Together they have fixed rates and the lowest priority
//! (`nice`), because gateway, devices, honest clients and attackers share the machine, and the
//! question is what an attack costs the gateway, not what it costs the machine. Most attackers have
//! addresses of their own (127.1.x.y, eight for each flood), so that no limit for one address ends
//! the flood; those whose description in `catalogue` says so share the address of the honest clients.
//!
//! With `attack=NAME` a flood is alone with a gateway of one room, and as fast as it can be.
//!
//! Without `--bench` (`cargo test`) all floods run for a second beside three rooms, and no time,
//! memory or file is judged.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod attacker;
mod broker;
mod catalogue;
mod devices;
mod gateway;
mod honest;
mod http;
mod ledger;
mod lines;
mod packets;
mod run;
mod verdict;
mod websocket;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use poly2mqtt_bench_support::program;
use poly2mqtt_bench_support::{full_or_trial, number_argument, text_argument};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use attacker::Force;
use catalogue::{FLOODS, FloodKind};
use run::{Plan, run};

/// Alone, a flood of connections meets a gateway that may open this many files.
const FEW_FILES: u64 = 300;

fn main() -> ExitCode {
    let attacker = runtime::Builder::new_current_thread().enable_all().build();
    if attacker.unwrap().block_on(attacker::run_if_asked()) {
        return ExitCode::SUCCESS;
    }
    let runtime = runtime::Runtime::new().unwrap();
    let kept = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        // Whatever ends first: the processes of the other end with it.
        tokio::select! {
            kept = bench() => kept,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
            _ = terminate.recv() => Err("terminated".to_owned()),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match kept {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<bool, String> {
    match text_argument("attack") {
        Some(name) => attacks(&name).await,
        None => all_at_once().await,
    }
}

/// The floods with these names; all of them for `all`.
fn named(names: &str) -> Result<Vec<&'static FloodKind>, String> {
    if names == "all" {
        return Ok(FLOODS.iter().collect());
    }
    let known = || FLOODS.iter().map(|kind| kind.name);
    names
        .split(',')
        .map(|name| {
            let kind = FLOODS.iter().find(|kind| kind.name == name);
            kind.ok_or_else(|| {
                let known: Vec<_> = known().collect();
                format!("there is no flood {name}; they are {}", known.join(", "))
            })
        })
        .collect()
}

fn seconds(name: &str, default: u64) -> Duration {
    Duration::from_secs(number_argument(name).unwrap_or(default))
}

fn program() -> PathBuf {
    text_argument("gateway").map_or_else(program::path, PathBuf::from)
}

fn rooms(default: usize) -> usize {
    number_argument("rooms").map_or(default, |rooms| usize::try_from(rooms).unwrap())
}

fn rate() -> u32 {
    number_argument("rate").map_or(40, |rate| u32::try_from(rate).unwrap())
}

async fn within_deadline(plan: &Plan) -> Result<run::Measured, String> {
    let measured = timeout(plan.deadline(), run(plan)).await;
    measured.unwrap_or_else(|_| Err("the run did not end in time".into()))
}

async fn all_at_once() -> Result<bool, String> {
    let plan = Plan {
        floods: named(&text_argument("only").unwrap_or("all".into()))?,
        force: Force::Together,
        rooms: rooms(full_or_trial(500, 3)),
        rate: rate(),
        seed: number_argument("seed").unwrap_or(0),
        quiet: seconds("quiet", full_or_trial(60, 1)),
        floods_for: seconds("seconds", full_or_trial(600, 1)),
        after: seconds("after", full_or_trial(60, 1)),
        files: number_argument("files"),
        program: program(),
    };
    let measured = within_deadline(&plan).await?;
    verdict::tables(&plan, &measured);
    Ok(verdict::verdict(
        &plan,
        &measured,
        full_or_trial(true, false),
    ))
}

async fn attacks(names: &str) -> Result<bool, String> {
    verdict::attack_head("Each attack by itself");
    for kind in named(names)? {
        let few_files = kind.takes_files.then_some(FEW_FILES);
        let plan = Plan {
            floods: vec![kind],
            force: Force::Alone,
            rooms: rooms(1),
            rate: rate(),
            seed: 0,
            quiet: seconds("quiet", 5),
            floods_for: seconds("seconds", 10),
            after: seconds("after", 5),
            files: number_argument("files").or(few_files),
            program: program(),
        };
        match within_deadline(&plan).await {
            Ok(measured) => verdict::attack_row(&measured),
            Err(why) => eprintln!("{}: {why}", kind.name),
        }
    }
    Ok(true)
}
