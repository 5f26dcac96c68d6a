//! The acts whose recovery is measured, each alone, and what the cluster costs while nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use poly2mqtt_test_support::random::Random;
use tokio::time::sleep;

use crate::acts::{Kind, Plan};
use crate::clock::{self, SECOND};
use crate::gateway::Gateway;
use crate::judge::recovery;
use crate::keys::SHARDS;
use crate::ledger::{Door, Sent};
use crate::load;
use crate::proxy::{MEMBERS, Path};
use crate::timeline::Act;
use crate::web_clients::WebSocketClient;
use crate::world::World;

/// All must be whole again within this time.
const HEAL_LIMIT: Duration = Duration::from_secs(90);
/// Commands of each second to the rooms that an act is about.
const BUSY_RATE: u64 = 60;
/// How long a pause is looked for after etcd's leader was killed.
const PAUSE_WINDOW: u64 = 5 * SECOND;

/// Waits until all is whole; a violation if it does not become so.
pub async fn heal(world: &World) {
    if let Err(missing) = world.healed(HEAL_LIMIT).await {
        let message = format!("not whole after {} s: {missing}", HEAL_LIMIT.as_secs());
        world.violation("whole again", &message, clock::now());
    }
}

/// Sends most commands to these rooms from now on.
fn busy(world: &World, rooms: &[usize]) {
    *world.focus.lock().unwrap() = rooms.to_vec();
    *world.rate.lock().unwrap() = world.settings.rate.max(BUSY_RATE);
}

/// Sends commands as usual.
pub fn usual(world: &World) {
    world.focus.lock().unwrap().clear();
    *world.rate.lock().unwrap() = world.settings.rate;
}

pub fn count(world: &World, act: &Act) {
    world.report.act(act.kind.name());
    if act.kind.forces_changes() {
        world.report.count("acts", 1);
    }
}

/// Who owns each shard.
fn shards(world: &World) -> BTreeMap<usize, String> {
    let history = world.history.lock().unwrap();
    let owner = |shard| Some((shard, history.owner(shard)?.to_owned()));
    (0..SHARDS).filter_map(owner).collect()
}

fn shards_of(owners: &BTreeMap<usize, String>, name: &str) -> Vec<usize> {
    let owned = owners.iter().filter(|(_, owner)| *owner == name);
    owned.map(|(shard, _)| *shard).collect()
}

/// Kills a gateway, alone or with etcd's leader, waits until all is whole without it, and starts it again.
pub async fn kill(world: &World, gateway: usize, with_leader: bool) {
    let (name, rooms, owners) = (
        &world.names[gateway],
        world.rooms_of(gateway),
        shards(world),
    );
    let others: Vec<_> = world
        .names
        .iter()
        .map(String::as_str)
        .filter(|other| other != name)
        .collect();
    busy(world, &rooms);
    sleep(Duration::from_secs(1)).await;
    world.record.lock().unwrap().forget_first_reads(&rooms);
    let kind = if with_leader {
        Kind::KillWithLeader
    } else {
        Kind::Kill
    };
    let number = world.timeline.begin(kind, &[gateway], name.clone());
    let leader = match with_leader {
        true => Some(world.kill_leader().await),
        false => None,
    };
    world.gateway(gateway).await.kill();
    let killed = clock::now();
    heal(world).await;
    let act = world.timeline.end(number);
    count(world, &act);
    let owned = {
        let history = world.history.lock().unwrap();
        recovery::owned_again(&history, &shards_of(&owners, name), killed, &others)
    };
    let figure = if with_leader {
        "kill leader owned"
    } else {
        "kill owned"
    };
    // Not whole at all is the longest time.
    world
        .report
        .time(figure, owned.unwrap_or(act.ended - killed));
    if !with_leader {
        let online = {
            let record = world.record.lock().unwrap();
            let said = world.broker_client.said.lock().unwrap();
            recovery::online_again(&record, &said.rooms, &rooms, killed)
        };
        online
            .into_iter()
            .for_each(|time| world.report.time("kill online", time));
        answers(world).await;
        let sent = world.ledger.between(killed, act.ended);
        let answered = recovery::answered(&sent, &rooms, |door| door != gateway);
        answered
            .into_iter()
            .for_each(|time| world.report.time("kill answered", time));
    }
    if let Some(leader) = leader {
        world.etcd.lock().await.run(leader);
    }
    join(world, gateway).await;
    usual(world);
}

/// Stops a gateway in order, waits until all is whole without it, and starts it again.
pub async fn leave(world: &World, gateway: usize) {
    let (name, rooms, before) = (
        &world.names[gateway],
        world.rooms_of(gateway),
        shards(world),
    );
    busy(world, &rooms);
    sleep(Duration::from_secs(1)).await;
    let number = world.timeline.begin(Kind::Leave, &[gateway], name.clone());
    world.stop_gateway(gateway).await;
    heal(world).await;
    let act = world.timeline.end(number);
    count(world, &act);
    let left = shards_of(&before, name);
    let unneeded = recovery::moved(&before, &shards(world), |owner| owner != name);
    world.report.sample("leave moved", unneeded);
    unowned(world, "leave unowned", &left, &act);
    answers(world).await;
    let sent = world.ledger.between(act.began, act.ended);
    served(
        world,
        ["leave answered", "leave refused"],
        &sent,
        &rooms,
        |door| door != gateway,
    );
    join(world, gateway).await;
    usual(world);
}

/// Starts a gateway that does not run, and waits until all is whole.
async fn join(world: &World, gateway: usize) {
    let before = shards(world);
    let number = world
        .timeline
        .begin(Kind::Join, &[gateway], world.names[gateway].clone());
    world.start_gateway(gateway).await;
    heal(world).await;
    let act = world.timeline.end(number);
    count(world, &act);
    let moved = recovery::moved(&before, &shards(world), |_| true);
    #[allow(clippy::cast_precision_loss)]
    world.report.sample("join moved", moved * MEMBERS as f64);
    let joined = shards_of(&shards(world), &world.names[gateway]);
    unowned(world, "join unowned", &joined, &act);
    answers(world).await;
    let sent = world.ledger.between(act.began, act.ended);
    let rooms = world.rooms_of(gateway);
    served(
        world,
        ["join answered", "join refused"],
        &sent,
        &rooms,
        |door| door != gateway,
    );
}

fn unowned(world: &World, figure: &'static str, shards: &[usize], act: &Act) {
    let history = world.history.lock().unwrap();
    for shard in shards {
        let time = history.without_owner(*shard, act.began, act.ended);
        world.report.time(figure, time);
    }
}

/// How long commands took, and how many were not `ok`.
fn served(
    world: &World,
    figures: [&'static str; 2],
    sent: &[Sent],
    rooms: &[usize],
    able: impl Fn(usize) -> bool + Copy,
) {
    for time in recovery::answered(sent, rooms, able) {
        world.report.time(figures[0], time);
    }
    let refused = sent.iter().filter(|sent| {
        let door = match sent.door {
            Door::Broker => true,
            Door::WebSocket(gateway) | Door::Http(gateway) => able(gateway),
        };
        // What was superseded by a later command is in order.
        let refused = sent
            .code()
            .is_some_and(|code| code != "ok" && code != "superseded");
        door && refused
    });
    world.report.count(figures[1], refused.count());
}

/// Waits until no command waits for its result, or has waited too long.
pub async fn answers(world: &World) {
    let now = clock::now();
    while world.ledger.waits(now) && clock::now() < now + 40 * SECOND {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Kills etcd's leader.
pub async fn leader(world: &World, random: &mut Random) {
    let plan = Plan {
        lasts: Duration::from_secs(4),
        ..Plan::new(Kind::EtcdLeader, random)
    };
    usual(world);
    let acts = plan.carry_out(world).await;
    sleep(Duration::from_secs(3)).await;
    for act in &acts {
        count(world, act);
        let changes = {
            let history = world.history.lock().unwrap();
            history.changes(act.began, act.ended + 3 * SECOND)
        };
        world.report.count("leader moved", changes);
        let record = world.record.lock().unwrap();
        for gateway in 0..MEMBERS {
            let pause = record.longest_pause(gateway, act.began, act.began + PAUSE_WINDOW);
            world.report.time("leader pause", pause);
        }
    }
    heal(world).await;
}

/// Kills all of etcd for a while.
pub async fn gone(world: &World, random: &mut Random) {
    let plan = Plan {
        lasts: Duration::from_secs(6),
        ..Plan::new(Kind::EtcdGone, random)
    };
    let acts = plan.carry_out(world).await;
    let back = *world.etcd_back.lock().unwrap();
    heal(world).await;
    for act in &acts {
        count(world, act);
        let again = act.began + u64::try_from(plan.lasts.as_nanos()).unwrap();
        let record = world.record.lock().unwrap();
        for gateway in 0..MEMBERS {
            let asked = record.asked(gateway, act.began, again);
            let last = asked.last().map_or(0, |last| last - act.began);
            world.report.time("gone last request", last);
            let first = record.asked(gateway, again, clock::now()).first().copied();
            let driving = first.unwrap_or(clock::now()).saturating_sub(back);
            world.report.time("back driving", driving);
        }
    }
}

/// What one gateway uses in so many seconds: processor in percent of a core, memory in MB.
async fn used(gateway: &Gateway, span: Duration) -> (f64, f64) {
    let before = gateway.processor_seconds();
    sleep(span).await;
    let processor = (gateway.processor_seconds() - before) / span.as_secs_f64() * 100.0;
    (processor, gateway.memory())
}

/// How long costs are measured.
fn span(world: &World) -> Duration {
    Duration::from_secs(if world.settings.thoroughness > 1 {
        60
    } else {
        5
    })
}

/// One gateway without `[cluster]`, with its share of the rooms: what commands take, and what it uses.
pub async fn alone(world: &World) -> (f64, f64) {
    let share = world.settings.rooms.div_ceil(MEMBERS);
    let mut gateway = Gateway::alone(&world.shared);
    gateway.configure(&world.shared, share);
    gateway.start(&world.shared);
    let client = WebSocketClient::connect(gateway.http, world.ledger.clone());
    for _ in 0..1200 {
        if world.broker_client.online() >= share && client.is_connected() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    if world.broker_client.online() < share {
        world.violation(
            "whole again",
            "the gateway alone does not get its rooms online",
            clock::now(),
        );
    }
    settle(world).await;
    // As many samples as the cluster gets, where there are few rooms.
    for room in (0..share).cycle().take(share.max(120)) {
        if !latency(world, "alone latency", &client, room).await {
            break;
        }
    }
    let used = used(&gateway, span(world)).await;
    if !gateway.stop().await {
        world.violation(
            "ends",
            "the gateway alone does not end after SIGTERM",
            clock::now(),
        );
    }
    let strangers = world.record.lock().unwrap().strangers;
    if strangers > 0 {
        world.violation(
            "overlaps",
            "connections do not come from the gateway's address",
            clock::now(),
        );
    }
    used
}

/// Waits until the first reads of all rooms are done.
async fn settle(world: &World) {
    let long = if world.settings.thoroughness > 1 {
        30
    } else {
        5
    };
    sleep(Duration::from_secs(long)).await;
}

/// What gateways use while nothing happens, against one alone; and what commands take at the owner and at another.
#[allow(clippy::cast_precision_loss)]
pub async fn quiet(world: &World, alone: (f64, f64)) {
    *world.rate.lock().unwrap() = 0;
    settle(world).await;
    let span = span(world);
    let requests: Vec<_> = (0..MEMBERS)
        .map(|gateway| world.paths.etcd_requests(gateway))
        .collect();
    let mut before = Vec::new();
    for gateway in 0..MEMBERS {
        before.push(world.gateway(gateway).await.processor_seconds());
    }
    sleep(span).await;
    let (mut processor, mut memory) = (0.0, 0.0);
    let mut most = 0;
    for gateway in 0..MEMBERS {
        let now = world.gateway(gateway).await;
        let spent = (now.processor_seconds() - before[gateway]) / span.as_secs_f64() * 100.0;
        println!(
            "{}: {spent:.2} % of a core, {:.1} MB",
            now.name,
            now.memory()
        );
        processor += spent / MEMBERS as f64;
        memory += now.memory() / MEMBERS as f64;
        let sent = world.paths.etcd_requests(gateway) - requests[gateway];
        world
            .report
            .sample("etcd requests", sent as f64 / span.as_secs_f64());
        most = most.max(world.rooms_of(gateway).len());
    }
    println!("alone: {:.2} % of a core, {:.1} MB", alone.0, alone.1);
    world.report.sample("processor", processor - alone.0);
    world.report.sample("memory", memory - alone.1);
    let mean = world.settings.rooms as f64 / MEMBERS as f64;
    world.report.sample("imbalance", most as f64 / mean);
    latencies(world).await;
    let median = |figure| world.report.median(figure);
    if let (Some(alone), Some(owner), Some(other)) = (
        median("alone latency"),
        median("owner latency"),
        median("other latency"),
    ) {
        world.report.sample("owner ratio", owner / alone);
        world.report.sample("other more", other - owner);
    }
    usual(world);
}

/// What commands take at the owner and at another gateway.
async fn latencies(world: &World) {
    let most = if world.settings.thoroughness > 1 {
        1000
    } else {
        40
    };
    for gateway in 0..MEMBERS {
        let (owner, other) = (
            &world.websockets[gateway],
            &world.websockets[(gateway + 1) % MEMBERS],
        );
        for room in world.rooms_of(gateway).into_iter().cycle().take(most) {
            let answered = latency(world, "owner latency", owner, room).await
                && latency(world, "other latency", other, room).await;
            if !answered {
                return;
            }
        }
    }
}

/// Sends a command over a WebSocket, and waits for its result; false if none comes.
async fn latency(
    world: &World,
    figure: &'static str,
    client: &WebSocketClient,
    room: usize,
) -> bool {
    let id = load::over(world, client, room);
    let sent = clock::now();
    while clock::now() < sent + 5 * SECOND {
        if let Some(took) = world.ledger.took(id) {
            world.report.time(figure, took);
            return true;
        }
        sleep(Duration::from_millis(1)).await;
    }
    world.violation(
        "answered",
        &format!("no result of command {id} after 5 s"),
        sent,
    );
    false
}

/// Counts the sessions of all devices.
pub async fn sessions(world: &World) {
    let sessions = world.farm.sessions().await;
    for (device, count) in &sessions {
        world.report.count("sessions", *count);
        if *count > 2 {
            let message = format!("the device of room {device} has {count} sessions");
            world.violation("sessions", &message, clock::now());
        }
    }
}

/// An act whose recovery is not measured, alone or together with another one.
pub async fn act(world: &World, random: &mut Random, first: Plan) {
    let rooms = world.rooms_of(first.gateway);
    busy(world, &rooms);
    let mut acts = if random.chance(30) {
        let mut second = Plan::any(random);
        if second.gateway == first.gateway {
            second.gateway = (second.gateway + 1) % MEMBERS;
        }
        let later = random.millis(0, 3000);
        let both = async {
            sleep(later).await;
            second.carry_out(world).await
        };
        let (mut acts, others) = tokio::join!(first.carry_out(world), both);
        acts.extend(others);
        acts
    } else {
        first.carry_out(world).await
    };
    world.paths.clear();
    world.farm.clear();
    for gateway in 0..MEMBERS {
        world.start_gateway(gateway).await;
    }
    acts.drain(..).for_each(|act| count(world, &act));
    heal(world).await;
    usual(world);
}

/// One gateway is stopped for a time that chance decides; or its path to etcd fails so long.
pub async fn disturb(world: &World, random: &mut Random, kind: Kind) {
    let plan = Plan {
        path: if kind == Kind::EtcdPath {
            Path::Freeze
        } else {
            Path::Clear
        },
        ..Plan::new(kind, random)
    };
    let rooms = world.rooms_of(plan.gateway);
    busy(world, &rooms);
    for act in plan.carry_out(world).await {
        count(world, &act);
    }
    heal(world).await;
    usual(world);
}
