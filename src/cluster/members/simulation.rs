//! A store and several gateways in simulated time, with everything that goes wrong between them.
//!
//! Each gateway has a clock of its own. An overlap of two owners fails the test at once: whenever a shard is gained,
//! the fences of everybody who had it before must be closed, and they must stay closed.

mod checks;
mod faults;
mod process;
mod random;
pub mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use super::{Action, FIRST_CONFIGURATION, HeldShard, Members, Predecessor};
use crate::cluster::fence::MemberFence;
use crate::cluster::placement::{SHARDS, Shard};
use crate::cluster::record::MemberRecord;
use crate::cluster::registry::{RegistryError, Transaction, TransactionReply, Write};
use crate::cluster::room_digests::RoomDigests;
use crate::cluster::view::{ClusterState, ClusterView};
use process::Process;
use random::Random;
use store::Store;

const MS: u64 = 1_000_000;
/// How long a gateway waits for an answer.
const ANSWER_LIMIT: u64 = 1200 * MS;
/// How often gateways act.
const TICK: u64 = 10 * MS;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    /// A request reaches the store.
    Arrive(usize, u64),
    /// Its answer reaches the gateway; or the gateway waits no longer.
    Answer(usize, u64),
    GiveUpWaiting(usize, u64),
    Stopped(usize, u16, u64),
    Postponed(usize, u16, u64),
    Tick,
    Fault,
    Start(String, u32),
}

pub struct Simulation {
    now: u64,
    random: Random,
    store: Store,
    store_away_until: u64,
    processes: Vec<Process>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    requests: BTreeMap<(usize, u64), (Transaction, Option<TransactionReply>)>,
    faults_until: u64,
    /// Who acted last on a shard, and when.
    last_act: Vec<Option<(usize, u64)>>,
    /// From the end of a dead member's fence to the next owner.
    pub smallest_gap: Duration,
    /// From the last act of an owner that hands over to the first of the next one.
    pub longest_without_owner: Duration,
    pub taken_from_dead: u64,
    pub handed_over: u64,
    /// Shards with a command that takes long.
    pub busy: BTreeSet<Shard>,
    /// How often a shard did not stop for that.
    pub postponed: u64,
    /// The configurations of rooms that a gateway may have.
    configurations: Vec<RoomDigests>,
    /// How many faults of each kind there were.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Simulation {
    pub fn new(seed: u64, gateways: u32) -> Self {
        let mut simulation = Self {
            now: 0,
            random: Random::new(seed),
            store: Store::default(),
            store_away_until: 0,
            processes: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            requests: BTreeMap::new(),
            faults_until: 0,
            last_act: vec![None; usize::from(SHARDS)],
            smallest_gap: Duration::MAX,
            longest_without_owner: Duration::ZERO,
            taken_from_dead: 0,
            handed_over: 0,
            busy: BTreeSet::new(),
            postponed: 0,
            configurations: vec![RoomDigests::default()],
            faults: BTreeMap::new(),
        };
        simulation.at(0, Event::Tick);
        for n in 1..=gateways {
            simulation.start(&format!("gw-{n}"), n.div_ceil(3));
        }
        simulation
    }

    /// From now on gateways start with any of these configurations of rooms, and change to others.
    pub fn with_configurations(&mut self, configurations: Vec<RoomDigests>) {
        self.configurations = configurations;
        (0..self.processes.len()).for_each(|at| self.reload(at));
    }

    fn any_rooms(&mut self) -> RoomDigests {
        let n = self.configurations.len() as u64;
        let at = usize::try_from(self.random.below(n)).unwrap();
        self.configurations[at].clone()
    }

    /// Gives a gateway any of the configurations.
    pub fn reload(&mut self, at: usize) {
        let rooms = self.any_rooms();
        self.configure(at, rooms);
    }

    /// Gives a gateway these rooms.
    pub fn configure(&mut self, at: usize, rooms: RoomDigests) {
        self.processes[at].rooms = rooms.clone();
        let process = &mut self.processes[at];
        process.configuration += 1;
        process.members.set_rooms(process.configuration, rooms);
        self.processes[at].wake = self.now;
        self.at(self.now, Event::Wake(at));
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue
            .push(Reverse((at.max(self.now), self.sequence, event)));
    }

    pub fn start(&mut self, name: &str, weight: u32) {
        let rooms = self.any_rooms();
        let record = MemberRecord {
            nonce: format!("nonce-{}", self.processes.len()),
            advertise: format!("http://{name}"),
            weight,
            version: String::new(),
            since: 0,
            leaving: false,
            rooms: String::new(),
            named_rooms: String::new(),
            devices: String::new(),
            configuration: 0,
            settings: Default::default(),
        };
        let process = Process {
            members: Members::new("/c", name, record, rooms.clone(), MemberFence::closed()),
            name: name.to_owned(),
            rooms,
            configuration: FIRST_CONFIGURATION,
            offset: 1 + self.random.below(1 << 50),
            drift: i64::try_from(self.random.below(200)).unwrap() - 100,
            paused_until: 0,
            cut_until: 0,
            is_killed: false,
            has_successor: false,
            ended: None,
            fences: vec![Vec::new(); usize::from(SHARDS)],
            wake: self.now,
            stop_time: 1 + self.random.below(200 * MS),
        };
        self.processes.push(process);
        self.at(self.now, Event::Wake(self.processes.len() - 1));
    }

    pub fn put(&mut self, key: &str, value: &str) {
        self.store.apply(&Transaction {
            writes: vec![Write::Put(key.into(), value.into())],
            ..Transaction::default()
        });
    }

    pub fn kill(&mut self, at: usize) {
        self.processes[at].is_killed = true;
    }

    pub fn leave(&mut self, at: usize) {
        let now = self.processes[at].clock(self.now);
        self.processes[at].members.leave(now);
        self.processes[at].wake = self.now;
        self.at(self.now, Event::Wake(at));
    }

    pub fn store_away(&mut self, time: Duration) {
        self.store_away_until = self.now + u64::try_from(time.as_nanos()).unwrap();
    }

    pub fn ended(&self, at: usize) -> Option<Option<String>> {
        self.processes[at].ended.clone()
    }

    pub fn view(&self, at: usize) -> ClusterView {
        let process = &self.processes[at];
        process.members.view(process.clock(self.now))
    }

    /// The names of the owners of all shards, as a gateway sees them.
    pub fn owners(&self, at: usize) -> Vec<Option<String>> {
        let view = self.view(at);
        let name = |shard| view.owner(shard).map(|owner| owner.name.clone());
        Shard::all().map(name).collect()
    }

    pub fn state(&self, at: usize) -> ClusterState {
        let process = &self.processes[at];
        process.members.state(process.clock(self.now))
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + u64::try_from(time.as_nanos()).unwrap();
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            if at > end {
                self.at(at, event);
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick => {
                self.act();
                self.at(self.now + TICK, Event::Tick);
            }
            Event::Fault => self.fault(),
            Event::Start(name, weight) => self.start(&name, weight),
            Event::Arrive(at, id) => self.arrive(at, id),
            Event::Wake(at)
            | Event::Answer(at, _)
            | Event::GiveUpWaiting(at, _)
            | Event::Stopped(at, ..)
            | Event::Postponed(at, ..) => {
                let process = &mut self.processes[at];
                if process.is_killed {
                    return;
                }
                if matches!(event, Event::Wake(_)) && process.wake != self.now {
                    return;
                }
                if process.paused_until > self.now {
                    let until = process.paused_until;
                    if matches!(event, Event::Wake(_)) {
                        process.wake = until;
                    }
                    self.at(until, event);
                    return;
                }
                self.input(at, &event);
                self.poll(at);
            }
        }
    }

    fn input(&mut self, at: usize, event: &Event) {
        let process = &mut self.processes[at];
        let now = process.clock(self.now);
        match event {
            Event::Answer(_, id) => {
                if let Some((_, Some(reply))) = self.requests.remove(&(at, *id)) {
                    process.members.answered(*id, Ok(reply), now);
                }
            }
            Event::GiveUpWaiting(_, id) if self.requests.contains_key(&(at, *id)) => {
                let error = RegistryError::InDoubt("no answer".into());
                process.members.answered(*id, Err(error), now);
            }
            Event::Stopped(_, shard, period) => process.members.stopped(HeldShard {
                shard: Shard::new(*shard).unwrap(),
                period: *period,
            }),
            Event::Postponed(_, shard, period) => {
                self.postponed += 1;
                let held = HeldShard {
                    shard: Shard::new(*shard).unwrap(),
                    period: *period,
                };
                process.members.postponed(held, now);
            }
            _ => {}
        }
    }

    fn poll(&mut self, at: usize) {
        let now = self.processes[at].clock(self.now);
        for action in self.processes[at].members.poll(now) {
            match action {
                Action::Send(id, transaction) => self.send(at, id, transaction),
                Action::Gained(gained) => {
                    for gained in gained {
                        let is_dead = matches!(gained.predecessor, Predecessor::Dead(_));
                        self.gained(at, &gained, is_dead);
                        let shard = gained.held.shard.index();
                        self.processes[at].fences[shard].push(gained.fence);
                    }
                }
                Action::Stop(stop) => {
                    for held in stop {
                        let time = self.random.below(self.processes[at].stop_time);
                        let shard = u16::try_from(held.shard.index()).unwrap();
                        let event = if self.busy.contains(&held.shard)
                            || self.faults_until > self.now && self.random.one_in(8)
                        {
                            Event::Postponed(at, shard, held.period)
                        } else {
                            Event::Stopped(at, shard, held.period)
                        };
                        self.at(self.now + time, event);
                    }
                }
                // A gateway that is slow to hear it must be held back by the fences alone.
                Action::Lost(_) | Action::Notice(_) => {}
                Action::Ended(reason) => self.processes[at].ended = Some(reason),
            }
        }
        let process = &mut self.processes[at];
        if let Some(wake) = process.members.wakes_at() {
            let time = u64::try_from(wake.since(now).as_nanos()).unwrap();
            // Its clock may run a little slower than the simulation's.
            let wake = self.now + time + time / 5000 + 1;
            if wake != process.wake {
                process.wake = wake;
                self.at(wake, Event::Wake(at));
            }
        }
    }

    fn send(&mut self, at: usize, id: u64, transaction: Transaction) {
        self.requests.insert((at, id), (transaction, None));
        self.at(self.now + ANSWER_LIMIT, Event::GiveUpWaiting(at, id));
        let delay = self.delay(at);
        if let Some(delay) = delay {
            self.at(self.now + delay, Event::Arrive(at, id));
        }
    }

    fn arrive(&mut self, at: usize, id: u64) {
        if self.store_away_until > self.now {
            // A leader that is elected meanwhile takes what waited, or it was lost with the old one.
            if self.random.one_in(2) {
                let until = self.store_away_until + self.random.below(20 * MS);
                self.at(until, Event::Arrive(at, id));
            }
            return;
        }
        let Some((transaction, reply)) = self.requests.get_mut(&(at, id)) else {
            return;
        };
        *reply = Some(self.store.apply(&transaction.clone()));
        if let Some(delay) = self.delay(at) {
            self.at(self.now + delay, Event::Answer(at, id));
        }
    }
}
