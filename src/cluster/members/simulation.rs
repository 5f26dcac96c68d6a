//! A store and several gateways in simulated time, with everything that goes wrong between them.
//!
//! Each gateway has a clock of its own. An overlap of two owners fails the test at once: whenever a shard is gained, the
//! fences of everybody who had it before must be closed, and they must stay closed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::{Action, GainedShard, HeldShard, Members, Predecessor};
use crate::cluster::fence::{Fence, ShardFence};
use crate::cluster::placement::{SHARDS, Shard};
use crate::cluster::record::MemberRecord;
use crate::cluster::registry::{
    Condition, Entry, Read, RegistryError, Transaction, TransactionReply, Write,
};
use crate::cluster::view::ClusterState;
use crate::cluster::{BootInstant, FENCE};

const MS: u64 = 1_000_000;
/// How long a gateway waits for an answer.
const ANSWER_LIMIT: u64 = 1200 * MS;
/// How often gateways act.
const TICK: u64 = 10 * MS;

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A strictly serialisable store.
#[derive(Default)]
struct Store {
    revision: u64,
    entries: BTreeMap<String, Entry>,
}

impl Store {
    fn apply(&mut self, transaction: &Transaction) -> TransactionReply {
        let holds = |condition: &Condition| match condition {
            Condition::Absent(key) => !self.entries.contains_key(key),
            Condition::Modified(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.modified == *revision),
            Condition::Created(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.created == *revision),
        };
        let swapped = transaction.conditions.iter().all(holds);
        if swapped && !transaction.writes.is_empty() {
            self.revision += 1;
            for write in &transaction.writes {
                match write {
                    Write::Put(key, value) => {
                        let created = self
                            .entries
                            .get(key)
                            .map_or(self.revision, |entry| entry.created);
                        let entry = Entry {
                            key: key.clone(),
                            value: value.clone(),
                            created,
                            modified: self.revision,
                        };
                        self.entries.insert(key.clone(), entry);
                    }
                    Write::Delete(key) => {
                        self.entries.remove(key);
                    }
                }
            }
        }
        let read = |read: &Read| {
            let entries = self.entries.values();
            let read: Vec<Entry> = entries
                .filter(|entry| match read {
                    Read::Key(key) | Read::Revision(key) => entry.key == *key,
                    Read::Newer(key, revision) => entry.key == *key && entry.modified > *revision,
                    Read::Prefix(prefix) => entry.key.starts_with(prefix),
                })
                .cloned()
                .collect();
            read
        };
        TransactionReply {
            swapped,
            revision: self.revision,
            reads: transaction.reads.iter().map(read).collect(),
        }
    }
}

/// A gateway's process.
struct Process {
    members: Members,
    name: String,
    /// Its clock: what it shows at the simulation's start, and how many millionths it runs too fast.
    offset: u64,
    drift: i64,
    paused_until: u64,
    cut_until: u64,
    is_killed: bool,
    /// Another process of its name was started for it.
    is_replaced: bool,
    ended: Option<Option<String>>,
    /// Every fence that it was ever given and that is not closed for ever, and since when it is told to have it.
    fences: Vec<Vec<ShardFence>>,
    stop_time: u64,
    /// When it wants to be woken; other wakes are out of date.
    wake: u64,
}

impl Process {
    fn clock(&self, now: u64) -> BootInstant {
        let drift = i64::try_from(now).unwrap() / 1_000_000 * self.drift;
        BootInstant::from_nanos((self.offset + now).saturating_add_signed(drift))
    }

    /// How long ago its clock passed `at`.
    fn since(&self, at: BootInstant, now: u64) -> Duration {
        self.clock(now).since(at)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    /// A request reaches the store.
    Arrive(usize, u64),
    /// Its answer reaches the gateway; or the gateway waits no longer.
    Answer(usize, u64),
    GiveUpWaiting(usize, u64),
    Stopped(usize, u16, u64),
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
}

impl Simulation {
    pub fn new(seed: u64, gateways: u32) -> Self {
        let mut simulation = Self {
            now: 0,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
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
        };
        simulation.at(0, Event::Tick);
        for n in 1..=gateways {
            simulation.start(&format!("gw-{n}"), n.div_ceil(3));
        }
        simulation
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue
            .push(Reverse((at.max(self.now), self.sequence, event)));
    }

    pub fn start(&mut self, name: &str, weight: u32) {
        let record = MemberRecord {
            nonce: format!("nonce-{}", self.processes.len()),
            advertise: format!("http://{name}"),
            weight,
            version: String::new(),
            since: 0,
            leaving: false,
            rooms: String::new(),
        };
        let process = Process {
            members: Members::new("/c", name, record, Fence::closed()),
            name: name.to_owned(),
            offset: 1 + self.random.below(1 << 50),
            drift: i64::try_from(self.random.below(200)).unwrap() - 100,
            paused_until: 0,
            cut_until: 0,
            is_killed: false,
            is_replaced: false,
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

    pub fn state(&self, at: usize) -> ClusterState {
        let process = &self.processes[at];
        process.members.state(process.clock(self.now))
    }

    pub fn run_with_faults(&mut self, time: Duration) {
        self.faults_until = self.now + u64::try_from(time.as_nanos()).unwrap();
        self.at(self.now, Event::Fault);
        self.run(time);
    }

    /// No more faults, and everybody is there.
    pub fn heal(&mut self) {
        self.faults_until = 0;
        self.store_away_until = 0;
        for process in &mut self.processes {
            process.cut_until = 0;
        }
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
            | Event::Stopped(at, ..) => {
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
            Event::Stopped(_, shard, period) => {
                let shard = Shard::new(*shard).unwrap();
                process.members.stopped(HeldShard {
                    shard,
                    period: *period,
                });
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
                        let is_dead = gained.predecessor != Predecessor::None;
                        self.gained(at, &gained, is_dead);
                        let shard = gained.held.shard.index();
                        self.processes[at].fences[shard].push(gained.fence);
                    }
                }
                Action::Stop(stop) => {
                    for held in stop {
                        let time = self.random.below(self.processes[at].stop_time);
                        let shard = u16::try_from(held.shard.index()).unwrap();
                        self.at(self.now + time, Event::Stopped(at, shard, held.period));
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

    fn gained(&mut self, at: usize, gained: &GainedShard, from_dead: bool) {
        let clock = self.processes[at].clock(self.now);
        if gained.fence.check_at(clock).is_err() {
            // What it reads after a pause may be long out of date. It cannot act.
            return;
        }
        let shard = gained.held.shard;
        for (n, other) in self.processes.iter().enumerate() {
            for fence in &other.fences[shard.index()] {
                let result = fence.check_at(other.clock(self.now));
                assert!(
                    result.is_err(),
                    "{} ms: {n} and {at} have shard {shard}",
                    self.now / MS
                );
                let gap = other.since(fence.closes_at(), self.now);
                if !fence.is_given_up() && n != at {
                    self.smallest_gap = self.smallest_gap.min(gap);
                    assert!(
                        gap < Duration::from_secs(3600)
                            || other.members.fence.closes_at().as_nanos() == 0
                    );
                }
            }
        }
        if from_dead {
            self.taken_from_dead += 1;
        } else {
            self.handed_over += 1;
        }
    }

    fn act(&mut self) {
        for at in 0..self.processes.len() {
            let process = &mut self.processes[at];
            if process.is_killed || process.paused_until > self.now {
                continue;
            }
            let now = process.clock(self.now);
            let fences = process.fences.iter_mut().zip(Shard::all());
            for (fences, shard) in fences {
                fences.retain(|fence| !fence.is_given_up());
                let Some(fence) = fences.last() else {
                    continue;
                };
                if fence.check_at(now).is_err() {
                    continue;
                }
                let last = &mut self.last_act[shard.index()];
                if let Some((other, when)) = last
                    && *other != at
                {
                    assert!(
                        *when < self.now,
                        "{} ms: {other} and {at} act on {shard}",
                        self.now / MS
                    );
                    let gap = Duration::from_nanos(self.now - *when);
                    if gap < FENCE {
                        self.longest_without_owner = self.longest_without_owner.max(gap);
                    }
                }
                *last = Some((at, self.now));
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

    /// How long a message between a gateway and the store takes; none if it is lost.
    fn delay(&mut self, at: usize) -> Option<u64> {
        let usual = MS / 2 + self.random.below(4 * MS);
        if self.processes[at].cut_until > self.now {
            // Held back by a connection that stalls, or lost.
            return match self.random.below(3) {
                0 => Some(self.random.below(6000 * MS)),
                1 => Some(self.processes[at].cut_until - self.now + usual),
                _ => None,
            };
        }
        if self.faults_until > self.now && self.random.one_in(20) {
            return (!self.random.one_in(2)).then(|| self.random.below(3000 * MS));
        }
        Some(usual)
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

    fn fault(&mut self) {
        if self.now >= self.faults_until {
            return;
        }
        let at = usize::try_from(self.random.below(self.processes.len() as u64)).unwrap();
        let time = (300 + self.random.below(6000)) * MS;
        let is_gone = self.processes[at].is_killed || self.processes[at].ended.is_some();
        match self.random.below(8) {
            _ if is_gone => {}
            0..=2 => self.processes[at].paused_until = self.now + time,
            3 | 4 => self.processes[at].cut_until = self.now + time,
            5 => self.store_away_until = self.now + time / 2,
            kind => {
                if kind == 6 {
                    self.kill(at);
                } else {
                    self.leave(at);
                }
                // It may be killed while it leaves.
                if !std::mem::replace(&mut self.processes[at].is_replaced, true) {
                    let name = self.processes[at].name.clone();
                    let weight = 1 + u32::try_from(at % 2).unwrap();
                    self.at(self.now + time, Event::Start(name, weight));
                }
            }
        }
        let next = (100 + self.random.below(4000)) * MS;
        self.at(self.now + next, Event::Fault);
    }

    fn running(&self) -> impl Iterator<Item = &Process> {
        let is_running = |process: &&Process| !process.is_killed && process.ended.is_none();
        self.processes.iter().filter(is_running)
    }

    /// Every shard may be acted on by exactly one gateway.
    pub fn assert_all_owned(&self) {
        let mut owners = vec![0; usize::from(SHARDS)];
        for process in self.running() {
            let now = process.clock(self.now);
            for (owners, fences) in owners.iter_mut().zip(&process.fences) {
                *owners += fences
                    .iter()
                    .filter(|fence| fence.check_at(now).is_ok())
                    .count();
            }
        }
        let without = owners.iter().filter(|n| **n != 1).count();
        assert_eq!(without, 0, "shards without one owner");
    }

    /// The same, and every shard is where it is wanted, and everybody knows.
    pub fn assert_settled(&self) {
        self.assert_all_owned();
        for process in self.running() {
            let now = process.clock(self.now);
            assert_eq!(
                process.members.state(now),
                ClusterState::Ok,
                "{}",
                process.name
            );
            let view = process.members.view(now);
            assert_eq!(view.members.len(), self.running().count());
            for shard in Shard::all() {
                let owner = view.owner(shard).map(|owner| &*owner.name);
                assert_eq!(owner, process.members.placement.owner(shard));
            }
        }
    }
}
