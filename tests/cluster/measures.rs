//! The acts whose recovery is measured, each alone, and those whose recovery only must come.

use std::collections::BTreeMap;
use std::time::Duration;

use poly2mqtt_test_support::random::Random;
use tokio::time::sleep;

use crate::acts::{Kind, Plan};
use crate::clock::{self, SECOND};
use crate::judge::recovery;
use crate::keys::SHARDS;
use crate::ledger::{Door, Sent};
use crate::proxy::{MEMBERS, Path};
use crate::timeline::Act;
use crate::world::World;

/// All must be whole again within this time, and the longer the more rooms there are: nearly every state of each is
/// read.
const HEAL_LIMIT: Duration = Duration::from_secs(90);
const HEAL_LIMIT_OF_ROOM: Duration = Duration::from_millis(20);
/// Commands of each second to the rooms that an act is about.
const BUSY_RATE: u64 = 60;
/// How long a pause is looked for after etcd's leader was killed.
const PAUSE_WINDOW: u64 = 5 * SECOND;

/// Waits until all is whole; a violation if it does not become so.
pub async fn heal(world: &World) {
    let rooms = u32::try_from(world.settings.rooms).unwrap();
    let limit = HEAL_LIMIT + HEAL_LIMIT_OF_ROOM * rooms;
    if let Err(missing) = world.healed(limit).await {
        let message = format!("not whole after {} s: {missing}", limit.as_secs());
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

/// Counts an act, once all is whole again.
fn count(world: &World, act: &Act) {
    world.report.act(act.kind.name());
    let changes = world
        .history
        .lock()
        .unwrap()
        .changes(act.began, clock::now());
    if act.kind.forces_changes() && changes > 0 {
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
    let leader = if with_leader {
        Some(world.kill_leader().await)
    } else {
        None
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
    let took = clock::now() - now;
    if took > 10 * SECOND {
        let slow = world.ledger.slow(now, 10 * SECOND);
        println!("    {} s for results, such as {slow:?}", took / SECOND);
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

/// An act whose recovery is not measured, alone or together with another one.
pub async fn act(world: &World, random: &mut Random, first: Plan) {
    let (rooms, owners) = (world.rooms_of(first.gateway), shards(world));
    busy(world, &rooms);
    let acts = if random.chance(30) {
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
    heal(world).await;
    acts.iter().for_each(|act| count(world, act));
    if let [act] = &acts[..] {
        owned(world, act, &owners);
    }
    usual(world);
}

/// A gateway that was killed at random and stayed away so long that others must have its shards.
const LONG_ENOUGH: u64 = 4 * SECOND;

fn owned(world: &World, act: &Act, owners: &BTreeMap<usize, String>) {
    if act.kind != Kind::Kill || act.ended - act.began < LONG_ENOUGH {
        return;
    }
    let name = &world.names[act.gateways[0]];
    let others: Vec<_> = world
        .names
        .iter()
        .map(String::as_str)
        .filter(|other| other != name)
        .collect();
    let history = world.history.lock().unwrap();
    let owned = recovery::owned_again(&history, &shards_of(owners, name), act.began, &others);
    world
        .report
        .time("kill owned", owned.unwrap_or(act.ended - act.began));
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
    let acts = plan.carry_out(world).await;
    heal(world).await;
    acts.iter().for_each(|act| count(world, act));
    usual(world);
}
