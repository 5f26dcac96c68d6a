//! The ledger of honest commands: what was sent, what came back, and how long it took.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use poly2mqtt_bench_support::figures::Durations;

/// The part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the floods.
    Undisturbed,
    Floods,
    After,
}

pub const PHASES: [Phase; 3] = [Phase::Undisturbed, Phase::Floods, Phase::After];

/// How a command reaches the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Mqtt,
    WebSocket,
    Lines,
    Http,
}

pub const DOORS: [(Door, &str); 4] = [
    (Door::Mqtt, "MQTT"),
    (Door::WebSocket, "WebSocket"),
    (Door::Lines, "lines"),
    (Door::Http, "HTTP"),
];

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Plays a tone. The device counts them, and the gateway never repeats one.
    Tone,
    Volume(u64),
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    door: Door,
    room: usize,
    order: Order,
    phase: Phase,
    at: Instant,
}

/// How many wrong things are kept as text.
const SAMPLES: usize = 10;

#[derive(Default)]
struct Entries {
    open: HashMap<u64, Sent>,
    sent: u64,
    ok: u64,
    doubled: u64,
    /// Answers other than ok, by their text.
    refused: BTreeMap<String, u64>,
    tones: HashMap<usize, usize>,
    volumes: HashMap<usize, u64>,
    took: [[Durations; 4]; 3],
    /// Lines have no ids: their answers come in order for each room.
    lines: HashMap<usize, VecDeque<u64>>,
    disconnects: BTreeMap<String, u64>,
}

/// Holds every honest command.
pub struct Ledger {
    entries: Mutex<Entries>,
    phase: AtomicUsize,
}

/// What the ledger says at the end.
pub struct Balance {
    pub sent: u64,
    pub ok: u64,
    pub lost: Vec<String>,
    pub lost_count: usize,
    pub doubled: u64,
    pub refused: BTreeMap<String, u64>,
    pub disconnects: BTreeMap<String, u64>,
    /// How many tones each room was told to play and said that it did.
    pub tones: HashMap<usize, usize>,
    /// The volume that each room was set to last.
    pub volumes: HashMap<usize, u64>,
    took: [[Durations; 4]; 3],
}

impl Balance {
    /// The times of one phase, of all doors or of one.
    pub fn took(&self, phase: Phase, door: Option<Door>) -> Durations {
        let mut durations = Durations::default();
        for (place, took) in self.took[phase as usize].iter().enumerate() {
            if door.is_none_or(|door| door as usize == place) {
                durations.extend(took.clone());
            }
        }
        durations
    }
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            entries: Mutex::default(),
            phase: AtomicUsize::new(0),
        }
    }

    pub fn begin(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::Relaxed);
    }

    /// Notes a command before it is sent.
    pub fn send(&self, id: u64, door: Door, room: usize, order: Order) {
        let sent = Sent {
            door,
            room,
            order,
            phase: PHASES[self.phase.load(Ordering::Relaxed)],
            at: Instant::now(),
        };
        let mut entries = self.entries.lock().unwrap();
        entries.sent += 1;
        entries.open.insert(id, sent);
        if let Door::Lines = door {
            entries.lines.entry(room).or_default().push_back(id);
        }
    }

    /// Notes a result: `Err` says why it was not carried out.
    pub fn answer(&self, id: u64, result: Result<(), String>) {
        self.entries.lock().unwrap().answer(id, result);
    }

    /// Notes the answer to the oldest line about this room.
    pub fn answer_line(&self, room: usize, result: Result<(), String>) {
        let mut entries = self.entries.lock().unwrap();
        match entries.lines.get_mut(&room).and_then(VecDeque::pop_front) {
            Some(id) => entries.answer(id, result),
            None => entries.doubled += 1,
        }
    }

    /// Notes that an honest client was disconnected, or saw something that must not be.
    pub fn disconnected(&self, what: String) {
        let mut entries = self.entries.lock().unwrap();
        if entries.disconnects.len() < SAMPLES || entries.disconnects.contains_key(&what) {
            *entries.disconnects.entry(what).or_default() += 1;
        }
    }

    pub fn open(&self) -> usize {
        self.entries.lock().unwrap().open.len()
    }

    /// Of how many commands sent, results, doubled, and not carried out: for a line of progress.
    pub fn progress(&self) -> String {
        let entries = self.entries.lock().unwrap();
        format!(
            "{} sent, {} open, {} doubled, {} refused, {} disconnected",
            entries.sent,
            entries.open.len(),
            entries.doubled,
            entries.refused.values().sum::<u64>(),
            entries.disconnects.values().sum::<u64>(),
        )
    }

    pub fn balance(&self) -> Balance {
        let entries = self.entries.lock().unwrap();
        let lost = entries.open.iter().take(SAMPLES).map(|(id, sent)| {
            format!(
                "{id}: {:?} to room {}, {:?}, sent in {:?}",
                sent.door, sent.room, sent.order, sent.phase
            )
        });
        Balance {
            sent: entries.sent,
            ok: entries.ok,
            lost: lost.collect(),
            lost_count: entries.open.len(),
            doubled: entries.doubled,
            refused: entries.refused.clone(),
            disconnects: entries.disconnects.clone(),
            tones: entries.tones.clone(),
            volumes: entries.volumes.clone(),
            took: entries.took.clone(),
        }
    }
}

impl Entries {
    fn answer(&mut self, id: u64, result: Result<(), String>) {
        let Some(sent) = self.open.remove(&id) else {
            self.doubled += 1;
            return;
        };
        if let Err(why) = result {
            *self.refused.entry(why).or_default() += 1;
            return;
        }
        self.ok += 1;
        self.took[sent.phase as usize][sent.door as usize].push(sent.at.elapsed());
        match sent.order {
            Order::Tone => *self.tones.entry(sent.room).or_default() += 1,
            Order::Volume(volume) => drop(self.volumes.insert(sent.room, volume)),
        }
    }
}
