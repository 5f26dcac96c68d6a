//! One run: what a cluster costs, the fixed acts that are measured, acts at random, and the judgements after each of
//! them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use poly2mqtt_test_support::random::Random;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::acts::{Kind, Plan};
use crate::clock::{self, SECOND};
use crate::costs;
use crate::judge::commands::{self, Fault};
use crate::judge::requests::{Handover, handovers, without_right};
use crate::keys;
use crate::ledger::{Kind as CommandKind, Reached};
use crate::measures;
use crate::proxy::MEMBERS;
use crate::record::Request;
use crate::settings::Settings;
use crate::timeline::Act;
use crate::world::World;

/// Gives how much was wrong.
pub async fn run(settings: Settings) -> usize {
    let world = Arc::new(World::start(settings.clone()).await);
    let mut random = Random::new(settings.seed, "acts");
    let load = crate::load::send(world.clone(), Random::new(settings.seed, "commands"));
    let load = tokio::spawn(load);
    everything(&world, &mut random).await;
    load.abort();
    let (table, wrong) = world.report.table(&settings);
    println!("{table}");
    if wrong > 0 && settings.keep.is_none() {
        println!("POLY2MQTT_CLUSTER_KEEP=DIR keeps the logs of gateways and etcd");
    }
    wrong
}

async fn everything(world: &World, random: &mut Random) {
    let settings = &world.settings;
    let times = settings.thoroughness;
    let mut judge = Judge::default();
    let beside = (times > 0).then(|| costs::start_beside(world));
    for gateway in 0..MEMBERS {
        world.start_gateway(gateway).await;
    }
    // Thousands of rooms need their time for the first log-in.
    let first = Duration::from_secs(60)
        + Duration::from_millis(50) * u32::try_from(settings.rooms).unwrap();
    if let Err(missing) = world.healed(first).await {
        let message = format!("the cluster does not start: {missing}");
        world.violation("whole again", &message, clock::now());
        return;
    }
    measures::usual(world);
    if let Some(beside) = beside {
        costs::quiet(world, beside).await;
    }
    judge.everything(world).await;
    let kills = match times {
        0 => 1,
        1 => 2,
        _ => 20,
    };
    for kill in 0..kills {
        measures::kill(world, kill % MEMBERS, false).await;
        judge.everything(world).await;
    }
    world.report.count("kills", kills);
    costs::sessions(world).await;
    if times == 0 {
        measures::leave(world, 1).await;
        judge.everything(world).await;
        measures::disturb(world, random, Kind::Pause).await;
        judge.everything(world).await;
    }
    for time in 0..times {
        let gateway = usize::try_from(time + 1).unwrap() % MEMBERS;
        measures::leave(world, gateway).await;
        judge.everything(world).await;
        measures::leader(world, random).await;
        judge.everything(world).await;
        measures::disturb(world, random, Kind::Pause).await;
        judge.everything(world).await;
        measures::disturb(world, random, Kind::EtcdPath).await;
        judge.everything(world).await;
        measures::kill(world, gateway, true).await;
        judge.everything(world).await;
        measures::gone(world, random).await;
        judge.everything(world).await;
    }
    let end = Instant::now() + settings.length;
    while Instant::now() < end {
        let plan = Plan::any(random);
        measures::act(world, random, plan).await;
        judge.everything(world).await;
    }
    for gateway in 0..MEMBERS {
        // The last one says itself that nobody is there any more.
        judge.everything(world).await;
        world.stop_gateway(gateway).await;
    }
}

/// Two gateways that know nothing of each other have the same rooms, while etcd names one of them: the judge must
/// find that. Gives how often it found each promise broken.
pub async fn two_at_one_device() -> BTreeMap<&'static str, usize> {
    let settings = Settings {
        rooms: 4,
        keep: None,
        length: Duration::ZERO,
        poll: [400, 800, 1600],
        ..Settings::from_environment()
    };
    let world = Arc::new(World::with(settings, false).await);
    world.etcd_answers().await;
    {
        let etcd = world.etcd.lock().await;
        assert!(
            etcd.put(&format!("{}/members/gw-1", keys::PREFIX), "{}")
                .await
        );
        let table = json!({"owners": ["gw-1@2"], "shards": "00".repeat(keys::SHARDS)});
        let key = format!("{}/table", keys::PREFIX);
        assert!(etcd.put(&key, &table.to_string()).await);
    }
    world.start_gateway(0).await;
    let mut judge = Judge::default();
    if let Err(missing) = world.healed(Duration::from_secs(60)).await {
        world.violation("whole again", &missing, clock::now());
    }
    *world.rate.lock().unwrap() = 20;
    let load = tokio::spawn(crate::load::send(world.clone(), Random::new(1, "commands")));
    sleep(Duration::from_secs(3)).await;
    judge.everything(&world).await;
    let broken = world.report.broken();
    assert!(broken.is_empty(), "one gateway breaks {broken:?}");
    world.start_gateway(1).await;
    sleep(Duration::from_secs(6)).await;
    judge.everything(&world).await;
    load.abort();
    world.report.broken()
}

/// How long after its end a failing path to devices may still deliver what it held back.
const DELIVERED_LATE: u64 = 2 * SECOND;

#[derive(Default)]
struct Judge {
    /// Each device's last request.
    last: HashMap<usize, Request>,
}

impl Judge {
    async fn everything(&mut self, world: &World) {
        measures::answers(world).await;
        let until = clock::now();
        // The devices' reports and etcd's changes are on their way.
        sleep(Duration::from_millis(1500)).await;
        let acts = world.timeline.acts();
        if let Some(ended) = world.ended().await {
            world.violation("ends", &ended, until);
        }
        judge_availability(world, &acts);
        self.requests(world, until, &acts);
        judge_commands(world, until, &acts);
    }

    fn requests(&mut self, world: &World, until: u64, acts: &[Act]) {
        let taken = world.record.lock().unwrap().take(until);
        let name = |gateway: usize| world.names.get(gateway).cloned();
        // Others are of the gateway beside the cluster.
        let shared = taken
            .into_iter()
            .filter(|(device, _)| *device < world.settings.rooms);
        for (device, requests) in shared {
            world.report.count("requests", requests.len());
            let (wrong, changes) = {
                let history = world.history.lock().unwrap();
                let spans = history.spans(world.shards[device]);
                let changes = handovers(self.last.get(&device), &requests, spans, name);
                (without_right(&requests, spans, name), changes)
            };
            for request in wrong {
                if held_back(acts, request) {
                    world.report.count("late by path", 1);
                    continue;
                }
                let message = format!("room {device}: a request without right: {request:?}");
                world.report.count("overlaps", 1);
                world.violation("overlaps", &message, request.came);
            }
            changes
                .iter()
                .for_each(|change| handover(world, device, change, acts));
            if let Some(last) = requests.last() {
                self.last.insert(device, *last);
            }
        }
        // Nothing found is a figure too.
        world.report.count("overlaps", 0);
    }
}

fn handover(world: &World, device: usize, change: &Handover, acts: &[Act]) {
    let last = Request {
        gateway: Some(change.from),
        came: change.last,
        answered: change.last,
        acted: 0,
        session: false,
    };
    if held_back(acts, &last) {
        world.report.count("late by path", 1);
        return;
    }
    if change.is_too_close() {
        let message = format!("room {device}: too close: {change:?}");
        world.violation("overlaps", &message, change.first);
    }
    if change.unclean {
        world.report.count("unclean handovers", 1);
        world.report.time("gap", change.gap());
        return;
    }
    world.report.count("clean handovers", 1);
    world.report.time("clean gap", change.gap());
    world
        .report
        .count("under way", usize::from(change.under_way));
}

/// A path to the devices that held requests back may have delivered this one much later than it was sent.
fn held_back(acts: &[Act], request: &Request) -> bool {
    let failing = acts.iter().filter(|act| act.kind == Kind::DevicesPath);
    let mut failing = failing.filter(|act| {
        request
            .gateway
            .is_some_and(|gateway| act.gateways.contains(&gateway))
    });
    failing.any(|act| act.touches(request.came.saturating_sub(DELIVERED_LATE), request.came))
}

/// The common availability is `online` as long as any gateway runs.
fn judge_availability(world: &World, acts: &[Act]) {
    let said = std::mem::take(&mut world.broker_client.said.lock().unwrap().gateway);
    let offline = said.iter().filter(|(_, payload)| payload != "online");
    for (at, payload) in offline {
        let broker = acts.iter().filter(|act| act.kind.is_of_broker());
        let mut broker = broker.filter(|act| act.touches(at.saturating_sub(20 * SECOND), *at));
        if broker.next().is_none() {
            let message = format!("gateway/availability became {payload:?} while gateways run");
            world.violation("availability", &message, *at);
        }
    }
}

fn judge_commands(world: &World, until: u64, acts: &[Act]) {
    for sent in world.ledger.take(until) {
        let marked = world.record.lock().unwrap().marked.remove(&sent.id);
        let done = marked.unwrap_or_default();
        world.report.count("commands", 1);
        world.report.code(sent.code().unwrap_or("none"));
        let faults = commands::faults(&sent, &done, acts);
        world.report.count("command faults", faults.len());
        for fault in &faults {
            let message = format!(
                "a command {}: {sent:?}, at the device: {done:?}",
                fault.words()
            );
            world.violation("commands", &message, sent.at);
        }
        let silent = sent.results.is_empty() && !faults.contains(&Fault::Silence);
        let figure = match sent.reached {
            Reached::Yes => "excused",
            _ => "not arrived",
        };
        world.report.count(figure, usize::from(silent));
        let carried = done.iter().filter(|request| request.carried()).count();
        let repeated = sent.kind == CommandKind::Time && carried > 1;
        world.report.count("repeats", usize::from(repeated));
    }
}
