//! One run: troubled times, each followed by a quiet one in which everything is checked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::commands::{Maker, Target};
use crate::door::Door;
use crate::evidence::{Evidence, Rooms};
use crate::judge::{Judge, LIFE, owed};
use crate::ledger::{Ledger, Sent};
use crate::mqtt::Mqtt;
use crate::random::Random;
use crate::report::Check;
use crate::timeline::Cause;
use crate::world::World;
use crate::{states, trouble};

/// How long trouble lasts before everything is checked.
const TROUBLED: Duration = Duration::from_secs(22);
const CLIENTS: usize = 4;
/// What a gateway may hold more than at the first check: memory that the allocator keeps, and
/// connections that wait to be used again.
const MEMORY_KIB: u64 = 24 << 10;
const FILES: usize = 8;
/// A room is online again so soon after the last fault: it waits at most half a minute and a
/// quarter of it.
const ONLINE: Duration = Duration::from_secs(45);

/// Runs for so long and gives the number of violations.
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
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(seed, number, &world, targets.clone()))
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
    let text = world.report.print(&world.timeline, seed, began.elapsed());
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
    door: Box<dyn Door>,
    maker: Maker,
    random: Random,
    targets: Vec<Arc<Target>>,
}

impl Client {
    fn new(seed: u64, number: usize, world: &World, targets: Vec<Arc<Target>>) -> Self {
        let ledger: Arc<Ledger> = world.ledger.clone();
        Self {
            door: Box::new(Mqtt::connect(number, world.port, ledger.clone())),
            maker: Maker::new(seed, number, CLIENTS, ledger),
            random: Random::new(seed, &format!("client {number}")),
            targets,
        }
    }

    async fn sends(mut self, until: Instant) -> Self {
        while Instant::now() < until {
            sleep(self.random.millis(20, 400)).await;
            match self.random.between(0, 99) {
                0 => self.door.vanish(),
                1 | 2 => {
                    for command in self.maker.burst(&self.targets) {
                        self.door.send(command);
                    }
                }
                _ => {
                    if let Some(command) = self.maker.make(&self.targets) {
                        self.door.send(command);
                    }
                }
            }
        }
        self
    }
}

/// Commands and faults until then.
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
        sending.spawn(client.sends(until));
    }
    let clients = sending.join_all().await;
    faults.join_all().await;
    clients
}

/// Everything is healed, all that is owed is waited for, and then everything is checked.
async fn quiet(world: &Arc<World>, rooms: &Mutex<Rooms>, holds: &mut Holds) {
    world.heal().await;
    let healed = Instant::now();
    let due = |sent: &Sent| sent.at + LIFE > healed && owed(world, sent);
    world.ledger.until_answered(healed + LIFE, due).await;
    for (number, room) in world.rooms.iter().enumerate() {
        if !world.until(ONLINE, |world| world.says_online(number)).await {
            let message = format!("room {} does not come online again", room.target.id);
            world.report.violation(
                &world.timeline,
                Check::States,
                Some(number),
                &message,
                healed,
            );
        }
    }
    let online = Instant::now();
    let took = u64::try_from((online - healed).as_millis()).unwrap();
    world
        .report
        .most(Check::States, "longest until online, ms", took);
    // Late requests have been acted on by then, and cameras that nobody limits are stopped.
    sleep(Duration::from_secs(4)).await;
    let open = || {
        let rooms = rooms.lock().unwrap();
        let mut runs = rooms.values().flat_map(|evidence| &evidence.runs);
        runs.any(|run| run.stopped.is_none())
    };
    world.until(Duration::from_secs(9), |_| !open()).await;
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
    states::compare(world, online).await;
    world.timeline.forget(checked - Duration::from_secs(60));
    // Half of the calls go on into the next round.
    world.rooms[0].device.person_hangs_up();
    for room in &world.rooms {
        room.target.ringing.lock().unwrap().clear();
    }
}

/// Counts what the round brought, and forgets it.
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
        // An administrator ends what nobody can know of.
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

fn drain(world: &World, rooms: &mut Rooms) {
    for (number, room) in world.rooms.iter().enumerate() {
        let evidence = rooms.get_mut(&number).unwrap();
        for entry in room.device.take_journal() {
            evidence.note(&entry);
        }
    }
}

/// Drains the journals and counts the sessions, all the time.
fn watch(world: Arc<World>, rooms: Arc<Mutex<Rooms>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut told = vec![0; world.rooms.len()];
        loop {
            sleep(Duration::from_millis(50)).await;
            let mut rooms = rooms.lock().unwrap();
            drain(&world, &mut rooms);
            for (number, told) in told.iter_mut().enumerate() {
                sessions(&world, number, &rooms[&number], told);
            }
        }
    })
}

/// A session whose log-in was disturbed and that is never used is one that no gateway can know.
fn sessions(world: &World, number: usize, evidence: &Evidence, told: &mut usize) {
    let ids = world.rooms[number].device.session_ids();
    let known = ids.iter().filter(|id| {
        let Some(made) = evidence.made.get(*id) else {
            return true;
        };
        let soon = Duration::from_secs(1);
        let causes = [Cause::Room(number), Cause::Kill, Cause::Stop, Cause::Absent];
        let disturbed = made.faulty || world.timeline.any(&causes, made.came, made.answered + soon);
        evidence.used.contains(*id) || !disturbed
    });
    let known = known.count();
    world
        .report
        .most(Check::Sessions, "most at a time", known as u64);
    if known > 2 && *told < known {
        let id = world.rooms[number].target.id;
        let message = format!("room {id}: {known} sessions are held");
        world.report.violation(
            &world.timeline,
            Check::Sessions,
            None,
            &message,
            Instant::now(),
        );
    }
    *told = known;
}

/// What the gateway's process held at its first check.
#[derive(Default)]
struct Holds {
    first: Option<(u64, usize)>,
}

impl Holds {
    async fn check(&mut self, world: &World) {
        let mut gateway = world.gateway.lock().await;
        if !gateway.running() {
            let message = "the gateway has ended by itself";
            world
                .report
                .violation(&world.timeline, Check::Holds, None, message, Instant::now());
        }
        let (memory, files) = gateway.holds();
        let (first_memory, first_files) = *self.first.get_or_insert((memory, files));
        world.report.count(Check::Holds, "checks", 1);
        world
            .report
            .most(Check::Holds, "first memory, KiB", first_memory);
        world.report.most(Check::Holds, "most memory, KiB", memory);
        world
            .report
            .most(Check::Holds, "first files", first_files as u64);
        world.report.most(Check::Holds, "most files", files as u64);
        if memory > first_memory + MEMORY_KIB || files > first_files + FILES {
            let message = format!(
                "the gateway holds {memory} KiB and {files} files, at first {first_memory} KiB \
                 and {first_files}"
            );
            world.report.violation(
                &world.timeline,
                Check::Holds,
                None,
                &message,
                Instant::now(),
            );
        }
    }
}
