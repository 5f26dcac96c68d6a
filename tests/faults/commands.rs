//! Random commands of every kind. Each one knows how the device's journal shows that it was carried out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ledger::Ledger;
use poly2mqtt_test_support::random::Random;

/// How the device's journal shows that a command was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It cannot be told apart from other commands.
    None,
    /// By a request with this mark, which no other command has.
    Mark(String, MarkKind),
    /// By these keys in this order. No other command presses keys at the same time.
    Keys(String),
    /// By a change of the video's mute. No other command changes it at the same time.
    Toggle,
}

/// What a marked command does to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// It changes something, and twice is not the same as once. Carried out in order.
    Once,
    /// It changes something, and twice is the same as once. Carried out in order.
    Again,
    /// It creates something at the device to get its answer.
    Search,
    /// It only reads. It may run for a long time beside other commands.
    Beside,
    /// It is invalid and must never reach the device.
    Wrong,
}

#[derive(Debug, Clone)]
pub struct Command {
    pub id: u64,
    /// The room's id in the topic.
    pub room: String,
    /// The topic below the room.
    pub topic: String,
    pub payload: Vec<u8>,
    pub retained: bool,
    /// QoS 1 rather than QoS 0.
    pub acknowledged: bool,
    /// MQTT 5 message expiry in seconds.
    pub expiry: Option<u32>,
    /// The result goes to the client's response topic.
    pub reply: bool,
    pub proof: Proof,
}

/// The form of every command's id, so that it is found in any text.
pub fn mark(id: u64) -> String {
    format!("zz{id}zz")
}

/// The id in a text, if there is one.
pub fn marked(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("zz")?;
    let (id, _) = rest.split_once("zz")?;
    id.parse().ok()
}

/// A room, with what is needed to make valid commands for it.
pub struct Target {
    pub id: &'static str,
    /// Guarded commands are allowed.
    pub allowed: bool,
    /// Ringing calls are answered by their ids, rather than any call that rings.
    pub by_id: bool,
    pub ringing: Mutex<VecDeque<String>>,
    /// The newest command of each kind that is sent one at a time.
    alone: Mutex<BTreeMap<&'static str, (u64, Instant)>>,
}

impl Target {
    pub fn new(id: &'static str, allowed: bool, by_id: bool) -> Self {
        Self {
            id,
            allowed,
            by_id,
            ringing: Mutex::default(),
            alone: Mutex::default(),
        }
    }

    /// Reserves a kind, unless its last command may still be under way at the device.
    fn alone(&self, kind: &'static str, id: u64, ledger: &Ledger) -> bool {
        /// A device may act on a request this long after the gateway gave it up.
        const LATE: Duration = Duration::from_secs(8);
        const LOST: Duration = Duration::from_secs(30);
        let now = Instant::now();
        let mut alone = self.alone.lock().unwrap();
        if let Some((last, sent)) = alone.get(kind) {
            let over = match ledger.ended(*last) {
                Some((_, true)) => true,
                Some((at, false)) => now > at + LATE,
                None => now > *sent + LOST,
            };
            if !over {
                return false;
            }
        }
        alone.insert(kind, (id, now));
        true
    }
}

const WEIGHTS: &[(u64, &str)] = &[
    (10, "volume"),
    (3, "step"),
    (5, "mute"),
    (4, "toggle"),
    (9, "dial"),
    (3, "add"),
    (2, "blast"),
    (5, "hangup"),
    (4, "answer"),
    (5, "keys"),
    (4, "position"),
    (4, "preset"),
    (7, "move"),
    (3, "stop"),
    (5, "entry"),
    (3, "search"),
    (2, "directory"),
    (2, "time"),
    (3, "network"),
    (3, "switch"),
    (1, "renew"),
    (4, "file"),
    (2, "calendar"),
    (1, "content"),
    (6, "get"),
    (6, "wrong"),
    (2, "retained"),
    (1, "large"),
];

const GETS: &[&str] = &[
    "audio/get",
    "audio/volume/get",
    "audio/muted/get",
    "calls/get",
    "camera/presets/get",
    "camera/near/get",
    "camera/near/2/get",
    "camera/near/people/get",
    "calendar/next/get",
    "calendar/meetings/get",
    "call/state/get",
    "call/0/get",
    "call/0/terminals/get",
    "directory/favorites/get",
    "directory/local/entry/e1/get",
    "session/get",
    "system/status/get",
    "system/time/get",
    "system/time/local/get",
    "video/muted/get",
];

/// Makes the commands of one client.
pub struct Maker {
    /// A new generator for each round, so that a slow round does not change the next one's numbers.
    pub random: Random,
    next: u64,
    step: u64,
    ledger: Arc<Ledger>,
}

impl Maker {
    pub fn new(client: usize, clients: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            random: Random::new(0, ""),
            next: client as u64 + 1,
            step: clients as u64,
            ledger,
        }
    }

    /// The next command for one of these rooms; `None` if a command of its kind is under way.
    pub fn make(&mut self, rooms: &[Arc<Target>]) -> Option<Command> {
        let room = self.random.pick(rooms).clone();
        let kind = self.random.weighted(WEIGHTS);
        self.command(&room, kind)
    }

    /// Many commands at once: a slider that is moved, or a key that is pressed repeatedly.
    pub fn burst(&mut self, rooms: &[Arc<Target>]) -> Vec<Command> {
        let room = self.random.pick(rooms).clone();
        let (kind, count) = match self.random.between(0, 9) {
            0 => ("get", 90),
            1..=3 => ("entry", 12),
            _ => ("volume", 25),
        };
        (0..count)
            .filter_map(|_| self.command(&room, kind))
            .collect()
    }

    fn command(&mut self, room: &Target, kind: &str) -> Option<Command> {
        let id = self.next;
        self.next += self.step;
        let mut command = Command {
            id,
            room: room.id.to_owned(),
            topic: String::new(),
            payload: Vec::new(),
            retained: false,
            acknowledged: self.random.chance(80),
            expiry: None,
            reply: self.random.chance(30),
            proof: Proof::None,
        };
        self.fill(&mut command, room, kind)?;
        if matches!(command.proof, Proof::Mark(_, MarkKind::Once)) && self.random.chance(10) {
            command.expiry = Some(1);
        }
        Some(command)
    }

    fn fill(&mut self, command: &mut Command, room: &Target, kind: &str) -> Option<()> {
        let mark = mark(command.id);
        let draw = self.random.draw();
        let once = || Proof::Mark(mark.clone(), MarkKind::Once);
        let address = format!("{mark}@example.com");
        let (topic, payload): (String, Value) = match kind {
            "volume" => ("audio/volume/set".into(), json!({"volume": draw % 101})),
            "step" => {
                let word = ["up", "down"][(draw % 2) as usize];
                (
                    format!("audio/volume/{word}"),
                    json!({"step": draw % 7 + 1}),
                )
            }
            "mute" => match draw % 4 {
                0 => ("audio/mute".into(), json!({})),
                1 => ("audio/unmute".into(), json!({})),
                _ => ("audio/muted/set".into(), json!({"muted": draw % 8 < 4})),
            },
            "toggle" => {
                if !room.alone("toggle", command.id, &self.ledger) {
                    return None;
                }
                command.proof = Proof::Toggle;
                ("video/muted/set".into(), json!({"mute": "toggle"}))
            }
            "dial" => {
                command.proof = once();
                ("call/dial".into(), json!({"address": address}))
            }
            "add" => {
                command.proof = once();
                (
                    "call/0/add".into(),
                    json!({"address": address, "dial_type": "sip"}),
                )
            }
            "blast" => {
                command.proof = once();
                ("call/blast".into(), json!({"addresses": [address]}))
            }
            "hangup" => {
                let topic = ["call/hangup", "call/hangup", "call/0/hangup"][(draw % 3) as usize];
                (topic.into(), json!({}))
            }
            "answer" => {
                let word = ["answer", "answer", "reject"][(draw % 3) as usize];
                if room.by_id {
                    let connection = room.ringing.lock().unwrap().pop_front()?;
                    // Every hang-up rejects a ringing call, so only an answer can be told apart.
                    if word == "answer" {
                        command.proof = Proof::Mark(format!("ANSWER {connection}"), MarkKind::Once);
                    }
                    (format!("call/connection/{connection}/{word}"), json!({}))
                } else {
                    (format!("call/{word}"), json!({}))
                }
            }
            "keys" => {
                let mut key = || char::from(*self.random.pick(b"0123456789*#"));
                let keys: String = (0..draw % 5 + 1).map(|_| key()).collect();
                if !room.alone("keys", command.id, &self.ledger) {
                    return None;
                }
                command.proof = Proof::Keys(keys.clone());
                ("audio/dtmf/play".into(), json!({"keys": keys}))
            }
            "position" => {
                let (pan, tilt) = (command.id % 50_000, command.id / 50_000);
                command.proof = Proof::Mark(format!("position {pan} {tilt}"), MarkKind::Once);
                let at = json!({"pan": pan, "tilt": tilt, "zoom": draw % 1000});
                ("camera/position/set".into(), at)
            }
            "preset" => {
                let word = ["activate", "activate", "store", "clear"][(draw % 4) as usize];
                let index = self.random.between(1, 10);
                (format!("camera/preset/{index}/{word}"), json!({}))
            }
            "move" => {
                let camera = *self.random.pick(CAMERAS);
                let direction = *self.random.pick(&["left", "right", "up", "zoom_in"]);
                let payload = if self.random.chance(80) {
                    let milliseconds = self.random.between(50, 3000);
                    json!({"direction": direction, "duration_ms": milliseconds})
                } else {
                    json!({"direction": direction})
                };
                (format!("{camera}/move"), payload)
            }
            "stop" => {
                let camera = *self.random.pick(CAMERAS);
                (format!("{camera}/stop"), json!({}))
            }
            "entry" => {
                command.proof = once();
                let entry = json!({"type": "single", "display_name": mark});
                ("directory/local/entry/add".into(), entry)
            }
            "search" => {
                command.proof = Proof::Mark(mark.clone(), MarkKind::Search);
                (
                    "directory/search".into(),
                    json!({"search": mark, "limit": 20}),
                )
            }
            "directory" => match draw % 3 {
                0 => (
                    "directory/local/entry/e1/favorite/set".into(),
                    json!({"favorite": draw.is_multiple_of(2)}),
                ),
                1 => ("directory/export".into(), json!({})),
                _ => {
                    let kind = if room.allowed {
                        MarkKind::Again
                    } else {
                        MarkKind::Wrong
                    };
                    command.proof = Proof::Mark(mark.clone(), kind);
                    let xml = format!("<directory>{mark}</directory>");
                    ("directory/import".into(), xml.into())
                }
            },
            "time" => {
                let kind = if room.allowed {
                    MarkKind::Again
                } else {
                    MarkKind::Wrong
                };
                let time = 2_000_000_000_000 + command.id;
                command.proof = Proof::Mark(format!("time {time}"), kind);
                ("system/time/set".into(), json!({"time": time}))
            }
            "network" => {
                let word = ["ping", "traceroute"][(draw % 2) as usize];
                command.proof = Proof::Mark(mark.clone(), MarkKind::Beside);
                (
                    format!("system/network/{word}"),
                    json!({"destination": mark}),
                )
            }
            "switch" => match draw % 3 {
                0 => ("system/signage/set".into(), json!({"on": "toggle"})),
                1 => ("system/device_mode/set".into(), json!({"on": draw % 4 < 2})),
                _ => (
                    "camera/near/1/tracking/set".into(),
                    json!({"tracking": draw % 4 < 2}),
                ),
            },
            "renew" => ("session/renew".into(), json!({})),
            "file" => {
                let topic = *self.random.pick(&[
                    "camera/snapshot/near/get",
                    "camera/snapshot/content/get",
                    "system/logs/get",
                    "collaboration/content/all/get",
                ]);
                (topic.into(), json!({}))
            }
            "calendar" => match draw % 3 {
                0 => ("calendar/current/dial".into(), json!({})),
                1 => ("calendar/meetings/get".into(), json!({"number": 2})),
                _ => ("calendar/meeting/AAMk%2Fnext+2==/get".into(), json!({})),
            },
            "content" => ("collaboration/content/save".into(), json!({})),
            "get" => ((*self.random.pick(GETS)).into(), json!({})),
            "wrong" => return self.wrong(command, draw),
            "retained" => {
                command.retained = true;
                command.proof = Proof::Mark(mark.clone(), MarkKind::Wrong);
                ("call/dial".into(), json!({"address": address}))
            }
            _ => {
                command.proof = Proof::Mark(mark.clone(), MarkKind::Wrong);
                let xml = format!("<x>{mark}{}</x>", "x".repeat(80 << 10));
                ("directory/import".into(), xml.into())
            }
        };
        command.topic = topic;
        command.payload = match payload {
            Value::String(text) => text.into_bytes(),
            mut fields => {
                fields["request_id"] = mark.into();
                fields.to_string().into_bytes()
            }
        };
        Some(())
    }

    /// A command that no device must ever see.
    fn wrong(&mut self, command: &mut Command, draw: u64) -> Option<()> {
        let mark = mark(command.id);
        let dial = "call/dial".to_owned();
        let (topic, payload) = match draw % 9 {
            0 => ("audio/volume/set".into(), "loud".to_owned()),
            1 => (dial, format!("{{\"address\":\"{mark}\",\"adress\":1}}")),
            2 => (dial, format!("{{\"address\":\"{mark}\"")),
            3 => (format!("make/{mark}"), String::new()),
            4 => (
                "calendar/meeting/..%2F..%2Fsystem%2Freboot/dial".into(),
                String::new(),
            ),
            5 => ("camera/preset/11/activate".into(), String::new()),
            6 => ("directory/local/entry/add".into(), format!("[\"{mark}\"]")),
            7 => (dial, format!("{{\"address\":[\"{mark}\"]}}")),
            _ => {
                command.room = mark.clone();
                (dial, mark.clone())
            }
        };
        command.topic = topic;
        command.payload = payload.into_bytes();
        if draw.is_multiple_of(7) {
            command.payload.push(0xff);
        }
        command.proof = Proof::Mark(mark, MarkKind::Wrong);
        Some(())
    }
}

pub const CAMERAS: &[&str] = &[
    "camera",
    "camera",
    "camera/preset/2",
    "camera/near/2",
    "camera/near/selected_content",
];

/// The path of a camera at the device.
pub fn camera_path(topic: &str) -> Option<(&'static str, &str)> {
    let (camera, word) = topic.rsplit_once('/')?;
    let path = match camera {
        "camera" => "/rest/cameras/near/selectedpeople",
        "camera/preset/2" => "/rest/cameras/near/presets/",
        "camera/near/2" => "/rest/cameras/near/2",
        "camera/near/selected_content" => "/rest/cameras/near/selectedcontent",
        _ => return None,
    };
    Some((path, word))
}
