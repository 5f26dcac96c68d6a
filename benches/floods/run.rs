//! One run: the gateway with its rooms, honest clients all the time, floods in the middle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use poly2mqtt_bench_support::processes::{BenchDevice, Simulator};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::attacker::{AttackReport, Attacker, Force};
use super::catalogue::{Act, FloodKind};
use super::gateway::{FloodedGateway, Ports, Size, Watch};
use super::honest::HonestClients;
use super::ledger::{Balance, Ledger, Phase};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(60);

/// What to run.
pub struct Plan {
    pub floods: Vec<&'static FloodKind>,
    pub force: Force,
    /// The honest rooms.
    pub rooms: usize,
    /// Honest commands in a second.
    pub rate: u32,
    /// Where the honest commands begin, so that two runs differ.
    pub seed: u64,
    /// How long honest clients are alone before the floods.
    pub quiet: Duration,
    pub floods_for: Duration,
    /// How long the gateway has to be what it was.
    pub after: Duration,
    /// How many files the gateway may open.
    pub files: Option<u64>,
    pub program: PathBuf,
}

impl Plan {
    /// When even a slow machine has ended it.
    pub fn deadline(&self) -> Duration {
        self.quiet + self.floods_for + self.after + Duration::from_secs(300)
    }
}

/// What was measured.
pub struct Measured {
    pub balance: Balance,
    pub reports: Vec<AttackReport>,
    pub before: Size,
    pub highest: Size,
    pub after: Size,
    /// The gateway's part of a core before the floods, and meanwhile.
    pub cpu: [f64; 2],
    /// Bytes of log in a second of the floods.
    pub log_rate: f64,
    pub newest_log: Vec<String>,
    /// The longest answer to `/healthz` before the floods and meanwhile, and how many did not come.
    pub health: [(f64, u64); 2],
    /// Whether the gateway runs at the end.
    pub runs: bool,
    pub devices: DeviceCount,
}

/// What the devices say that was carried out.
#[derive(Debug, Default)]
pub struct DeviceCount {
    /// Tones of honest commands, all rooms together.
    pub tones: usize,
    /// Tones that only attackers play.
    pub forbidden: usize,
    /// Rooms that played another number of tones than they were told to, or whose volume is not the
    /// one that was set last.
    pub wrong_rooms: Vec<String>,
}

/// Runs the plan. The processes end when this does, also when it is dropped.
pub async fn run(plan: &Plan) -> Result<Measured, String> {
    // What blocks has a thread of its own, so that the deadline and signals are heard.
    let (program, devices) = (plan.program.clone(), plan.rooms + 1);
    let simulator = spawn_blocking(move || Simulator::start_program(&program, devices));
    let simulator = simulator.await.map_err(|error| error.to_string())?;
    let ports = Ports::free();
    let mut attackers = Vec::new();
    let mut hostile = Vec::new();
    for kind in &plan.floods {
        let attacker = Attacker::start(kind, ports, plan.force);
        if let Act::Device(_) = kind.act {
            hostile.push(attacker.line()?);
        }
        attackers.push(attacker);
    }
    let gateway = FloodedGateway::start(
        &plan.program,
        ports,
        &simulator.devices,
        &hostile,
        plan.files,
    );
    gateway.settle().await?;

    let ledger = Arc::new(Ledger::new());
    let honest = HonestClients::connect(ports, ledger.clone());
    // They must have subscribed before the first command.
    sleep(Duration::from_millis(500)).await;
    let mut measured = tokio::select! {
        () = honest.send_at(plan.rate, plan.rooms, plan.seed) => return Err("no end".into()),
        measured = phases(plan, &gateway, &ledger, attackers) => measured,
    };
    honest.finish().await;
    let balance = ledger.balance();
    measured.runs = gateway.size().memory > 0;
    measured.newest_log = gateway.log.newest();
    let devices = simulator.devices.clone();
    let counted = spawn_blocking(move || (count(&devices, &balance), balance));
    (measured.devices, measured.balance) = counted.await.map_err(|error| error.to_string())?;
    Ok(measured)
}

/// The three phases, while honest clients send.
async fn phases(
    plan: &Plan,
    gateway: &FloodedGateway,
    ledger: &Ledger,
    mut attackers: Vec<Attacker>,
) -> Measured {
    let quiet = Watch::default();
    let mut cpu = [0.0; 2];
    let meter = Meter::start(gateway);
    watched(gateway, &quiet, plan.quiet, ledger).await;
    cpu[0] = meter.stop(gateway);
    let before = gateway.size();

    ledger.begin(Phase::Floods);
    attackers.iter_mut().for_each(Attacker::begin);
    let floods = Watch::default();
    let logged = gateway.log.bytes.load(Ordering::Relaxed);
    let meter = Meter::start(gateway);
    watched(gateway, &floods, plan.floods_for, ledger).await;
    cpu[1] = meter.stop(gateway);
    let logged = gateway.log.bytes.load(Ordering::Relaxed) - logged;
    let ends: Vec<_> = attackers.iter_mut().map(Attacker::end).collect();

    ledger.begin(Phase::After);
    // The honest clients go on meanwhile: attackers are waited for by another thread.
    let reports = spawn_blocking(move || {
        let attackers = attackers.into_iter().zip(ends);
        attackers
            .map(|(attacker, end)| attacker.report(end))
            .collect()
    });
    let reports = reports.await.unwrap();
    sleep(plan.after).await;
    #[allow(clippy::cast_precision_loss)]
    let log_rate = logged as f64 / plan.floods_for.as_secs_f64();
    Measured {
        balance: ledger.balance(),
        reports,
        before,
        highest: floods.highest(),
        after: gateway.size(),
        cpu,
        log_rate,
        newest_log: Vec::new(),
        health: [quiet.health(), floods.health()],
        runs: false,
        devices: DeviceCount::default(),
    }
}

/// Watches the gateway for this time and says now and then how it is.
async fn watched(gateway: &FloodedGateway, watch: &Watch, time: Duration, ledger: &Ledger) {
    let progress = async {
        loop {
            sleep(PROGRESS).await;
            let size = gateway.size();
            eprintln!(
                "{}: {}, {} files",
                ledger.progress(),
                size.mib(),
                size.files
            );
        }
    };
    tokio::select! {
        () = watch.run(gateway) => {}
        () = progress => {}
        () = sleep(time) => {}
    }
}

/// The gateway's processor time.
struct Meter {
    cpu: Duration,
    begun: Instant,
}

impl Meter {
    fn start(gateway: &FloodedGateway) -> Self {
        Self {
            cpu: gateway.process.cpu(),
            begun: Instant::now(),
        }
    }

    /// Its part of a core since the start.
    fn stop(&self, gateway: &FloodedGateway) -> f64 {
        let cpu = gateway.process.cpu().saturating_sub(self.cpu);
        cpu.as_secs_f64() / self.begun.elapsed().as_secs_f64()
    }
}

/// Asks every device what it did, and compares that with the results.
fn count(devices: &[BenchDevice], balance: &Balance) -> DeviceCount {
    let mut count = DeviceCount::default();
    for (number, device) in (1..).zip(devices) {
        let answer = device.control("GET", "state");
        let (_, json) = answer.split_once("\r\n\r\n").unwrap();
        let state: Value = serde_json::from_str(json).unwrap();
        let played = state["audio"]["played"].as_array();
        let mut keys: BTreeMap<bool, usize> = BTreeMap::new();
        for tone in played.into_iter().flatten() {
            let forbidden = tone.as_str().is_some_and(|tone| tone.ends_with('9'));
            *keys.entry(forbidden).or_default() += 1;
        }
        let tones = keys.get(&false).copied().unwrap_or(0);
        count.tones += tones;
        count.forbidden += keys.get(&true).copied().unwrap_or(0);
        let told = balance.tones.get(&number).copied().unwrap_or(0);
        if tones != told {
            count.wrong_rooms.push(format!(
                "room {number} played {tones} tones, {told} results said so"
            ));
        }
        if let Some(set) = balance.volumes.get(&number)
            && state["audio"]["volume"] != *set
        {
            count.wrong_rooms.push(format!(
                "room {number} has the volume {}, set last was {set}",
                state["audio"]["volume"]
            ));
        }
    }
    count
}
