//! One run: rounds of faults, each followed by a quiet time in which everything is checked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::commands::{Command, Maker, Target};
use crate::door::Door;
use crate::evidence::{Evidence, Rooms};
use crate::judge::{Judge, LIFE, owed};
use crate::ledger::{Ledger, Sent};
use crate::mqtt::Mqtt;
use crate::report::Check;
use crate::watch::{Holds, drain, watch};
use crate::websocket::WebSocket;
use crate::world::World;
use crate::{secrets, states, trouble};
use poly2mqtt_test_support::random::Random;

/// How long the faults of a round last.
const TROUBLED: Duration = Duration::from_secs(22);
/// The number of clients over MQTT, and over WebSocket.
const CLIENTS: (usize, usize) = (4, 2);
/// How long after the last fault a room may take to be online again. It waits at most half a minute
/// and a quarter of that between two attempts.
const ONLINE: Duration = Duration::from_secs(45);

/// Runs for this time and gives the number of violations.
pub async fn run(seed: u64, lasts: Duration) -> usize {
    let began = Instant::now();
    let world = Arc::new(World::start().await);
    let rooms: Arc<Mutex<Rooms>> = Arc::default();
    let targets: Vec<Arc<Target>> = world.rooms.iter().map(|room| room.target.clone()).collect();
    {
        let mut rooms = rooms.lock().unwrap();
        for number in 0..targets.len() {
            rooms.insert(number, Evidence::default());
        }
    }
    let watch = watch(world.clone(), rooms.clone());
    let up = |world: &World| (0..world.rooms.len()).all(|room| world.says_online(room));
    assert!(world.until(ONLINE, up).await, "the gateway does not start");
    let mut clients: Vec<Client> = (0..CLIENTS.0 + CLIENTS.1)
        .map(|number| Client::new(number, &world, targets.clone()))
        .collect();
    let mut holds = Holds::default();
    let mut round = 0;
    while began.elapsed() < lasts {
        let until = Instant::now() + TROUBLED.min(lasts.saturating_sub(began.elapsed()));
        clients = troubled(&world, seed, round, clients, until).await;
        quiet(&world, &rooms, &mut holds).await;
        round += 1;
    }
    watch.abort();
    secrets::search(&world).await;
    let text = world.report.table(&world.timeline, seed, began.elapsed());
    println!("{text}");
    if let Some(keep) = std::env::var_os("POLY2MQTT_FAULTS_KEEP") {
        let log = world.directory.path().join("gateway.log");
        let _ = std::fs::copy(log, std::path::Path::new(&keep).join("gateway.log"));
    }
    let violations = world.report.violations();
    world.gateway.lock().await.terminate().await;
    for room in &world.rooms {
        room.device.stop().await;
    }
    violations
}

struct Client {
    number: usize,
    door: Box<dyn Door>,
    maker: Maker,
    targets: Vec<Arc<Target>>,
}

impl Client {
    fn new(number: usize, world: &World, targets: Vec<Arc<Target>>) -> Self {
        let ledger: Arc<Ledger> = world.ledger.clone();
        let door: Box<dyn Door> = if number < CLIENTS.0 {
            Box::new(Mqtt::connect(number, world.port, ledger.clone()))
        } else {
            Box::new(WebSocket::connect(number, world.http, ledger.clone()))
        };
        Self {
            number,
            door,
            maker: Maker::new(number, CLIENTS.0 + CLIENTS.1, ledger),
            targets,
        }
    }

    async fn sends(mut self, commands: Random, mut random: Random, until: Instant) -> Self {
        self.maker.random = commands;
        while Instant::now() < until {
            sleep(random.millis(20, 400)).await;
            match random.between(0, 99) {
                0 => self.door.vanish(),
                1 | 2 => {
                    for command in self.maker.burst(&self.targets) {
                        self.send(command);
                    }
                }
                _ => {
                    if let Some(command) = self.maker.make(&self.targets) {
                        self.send(command);
                    }
                }
            }
        }
        self
    }

    fn send(&self, command: Command) {
        if self.door.takes(&command) {
            self.door.send(command);
        }
    }
}

/// Sends commands and causes faults until `until`.
async fn troubled(
    world: &Arc<World>,
    seed: u64,
    round: u64,
    clients: Vec<Client>,
    until: Instant,
) -> Vec<Client> {
    let random = |part: &str| Random::new(seed, &format!("{part} {round}"));
    let mut faults = JoinSet::new();
    for number in 0..world.rooms.len() {
        let random = random(&format!("room {number}"));
        faults.spawn(trouble::room(world.clone(), number, random, until));
    }
    faults.spawn(trouble::everything(world.clone(), random("gateway"), until));
    faults.spawn(trouble::people(world.clone(), random("people"), until));
    let mut sending = JoinSet::new();
    for client in clients {
        let number = client.number;
        let commands = random(&format!("commands {number}"));
        let random = random(&format!("client {number}"));
        sending.spawn(client.sends(commands, random, until));
    }
    let clients = sending.join_all().await;
    faults.join_all().await;
    clients
}

/// Ends all faults, waits for all results, and then checks everything.
async fn quiet(world: &World, rooms: &Mutex<Rooms>, holds: &mut Holds) {
    let (report, timeline) = (&world.report, &world.timeline);
    world.heal().await;
    let healed = Instant::now();
    for (number, room) in world.rooms.iter().enumerate() {
        if !world.until(ONLINE, |world| world.says_online(number)).await {
            let message = format!("room {} does not come online again", room.target.id);
            report.violation(timeline, Check::States, Some(number), &message, healed);
        }
    }
    let took = u64::try_from(healed.elapsed().as_millis()).unwrap();
    report.most(Check::States, "longest until online, ms", took);
    let due = |sent: &Sent| sent.at + LIFE > healed && owed(world, sent);
    world.ledger.until_answered(healed + LIFE, due).await;
    states::compare(world).await;
    // Cameras that move without a limit are stopped by then.
    let open = || {
        let rooms = rooms.lock().unwrap();
        let mut runs = rooms.values().flat_map(|evidence| &evidence.runs);
        runs.any(|run| run.stopped.is_none())
    };
    world.until(Duration::from_secs(10), |_| !open()).await;
    holds.check(world).await;
    let checked = Instant::now();
    {
        let mut rooms = rooms.lock().unwrap();
        let sent = world.ledger.take();
        drain(world, &mut rooms);
        Judge {
            world,
            sent: &sent,
            rooms: &rooms,
        }
        .everything();
        for (number, evidence) in rooms.iter_mut() {
            begin_anew(world, *number, evidence);
        }
    }
    timeline.forget(checked - Duration::from_secs(60));
    // Half of the calls continue into the next round.
    world.rooms[0].device.person_hangs_up();
    for room in &world.rooms {
        room.target.ringing.lock().unwrap().clear();
    }
}

/// Counts the results of the round and clears them.
fn begin_anew(world: &World, number: usize, evidence: &mut Evidence) {
    let report = &world.report;
    report.count(Check::Sessions, "requests", evidence.requests);
    report.count(Check::Sessions, "log-ins", evidence.logins);
    report.count(Check::Sessions, "refused", evidence.refused);
    if evidence.locked_out > 0 || evidence.twice_in > 0 {
        let message = format!(
            "{} log-ins met a lock-out, {} came with a live session",
            evidence.locked_out, evidence.twice_in
        );
        report.violation(
            &world.timeline,
            Check::Sessions,
            None,
            &message,
            Instant::now(),
        );
    }
    let device = &world.rooms[number].device;
    let live = device.session_ids();
    let mut orphans = 0;
    for id in live.iter().filter(|id| !evidence.used.contains(*id)) {
        // An administrator ends the sessions that no gateway can know of.
        device.end_session(id);
        orphans += 1;
    }
    report.count(Check::Sessions, "lost with a log-in's answer", orphans);
    let mut anew = Evidence::default();
    anew.toggles.extend(evidence.toggles.pop());
    anew.used = evidence
        .used
        .drain()
        .filter(|id| live.contains(id))
        .collect();
    anew.made = evidence
        .made
        .drain()
        .filter(|(id, _)| live.contains(id))
        .collect();
    *evidence = anew;
}
