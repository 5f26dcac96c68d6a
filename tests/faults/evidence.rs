//! The evidence: what the devices' journals prove. They are read all the time.

use std::collections::{BTreeMap, HashMap, HashSet};

use poly2mqtt_simulator::{FaultKind, JournalEntry};
use serde_json::Value;
use tokio::time::Instant;

use crate::commands::{mark, marked};

/// A request with a command's mark, as the device received it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub came: Instant,
    pub at: Instant,
    /// The device's status, before a fault changed the answer.
    pub acted: Option<u16>,
    pub faulty: bool,
    /// What the device answered cannot be read.
    pub spoilt: bool,
    pub line: String,
}

impl Seen {
    pub fn carried(&self) -> bool {
        self.acted.is_some_and(|status| status < 300)
    }

    /// Whether the device acted on it or refused it for a reason other than the session.
    pub fn judged(&self) -> bool {
        self.acted.is_some_and(|status| status != 403)
    }
}

/// A start of a camera, and the stop that followed.
#[derive(Debug, Clone)]
pub struct Run {
    pub path: String,
    pub started: Instant,
    pub stopped: Option<Instant>,
}

/// A start or stop of a camera as the device received it, whatever it did with it.
#[derive(Debug, Clone)]
pub struct CameraRequest {
    pub path: String,
    pub came: Instant,
    pub answered: Instant,
    pub line: String,
}

/// A session that the device created.
#[derive(Debug, Clone)]
pub struct Made {
    pub came: Instant,
    pub answered: Instant,
    pub faulty: bool,
}

/// What one room's device did.
#[derive(Default)]
pub struct Evidence {
    pub marks: HashMap<String, Vec<Seen>>,
    /// Every key that was pressed.
    pub keys: Vec<(Instant, String)>,
    /// Every value that the video's mute was set to.
    pub toggles: Vec<(Instant, bool)>,
    pub runs: Vec<Run>,
    pub camera_requests: Vec<CameraRequest>,
    pub made: HashMap<String, Made>,
    pub used: HashSet<String>,
    pub requests: u64,
    pub logins: u64,
    pub refused: u64,
    pub locked_out: u64,
    pub twice_in: u64,
}

impl Evidence {
    pub fn note(&mut self, entry: &JournalEntry) {
        self.requests += 1;
        if entry.path == "/rest/session" && entry.method == "POST" {
            self.login(entry);
            return;
        }
        let cookie = entry.cookie.as_deref().unwrap_or_default();
        let mut pairs = cookie.split("; ");
        if let Some(id) = pairs.find_map(|pair| pair.strip_prefix("session_id="))
            && !self.used.contains(id)
        {
            self.used.insert(id.to_owned());
        }
        if entry.method == "GET" && !entry.path.ends_with("/traceroute") {
            return;
        }
        let text = String::from_utf8_lossy(&entry.body);
        let seen = Seen {
            came: entry.came,
            at: entry.answered,
            acted: entry.acted,
            faulty: entry.fault.is_some(),
            spoilt: matches!(entry.fault, Some(FaultKind::Garbage | FaultKind::Truncated)),
            line: format!(
                "{} {} {:.80} acted {:?} answered {} fault {:?}",
                entry.method, entry.path, text, entry.acted, entry.status, entry.fault
            ),
        };
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some("moveStart" | "moveStop") = body["action"].as_str() {
            self.camera_requests.push(CameraRequest {
                path: entry.path.clone(),
                came: seen.came,
                answered: seen.at,
                line: seen.line.clone(),
            });
        }
        if seen.carried() {
            self.effects(entry, &body);
        }
        if let Some(shown) = shown(entry, &text, &body) {
            self.marks.entry(shown).or_default().push(seen);
        }
    }

    fn login(&mut self, entry: &JournalEntry) {
        match (entry.acted, &entry.session) {
            (Some(200), Some(id)) => {
                self.logins += 1;
                let made = Made {
                    came: entry.came,
                    answered: entry.answered,
                    faulty: entry.fault.is_some(),
                };
                self.made.insert(id.clone(), made);
            }
            (Some(400), _) if entry.cookie.is_some() => self.twice_in += 1,
            (Some(400), _) => self.locked_out += 1,
            (Some(403), _) => self.refused += 1,
            _ => {}
        }
    }

    fn effects(&mut self, entry: &JournalEntry, body: &Value) {
        let at = entry.answered;
        match entry.path.as_str() {
            "/rest/audio" if body["action"] == "playDTMF" => {
                let key = body["dtmfChar"].as_str().unwrap_or_default();
                self.keys.push((at, key.to_owned()));
            }
            "/rest/video/local/mute" => {
                self.toggles.push((at, body["mute"] == true));
            }
            path if body["action"] == "moveStart" => self.runs.push(Run {
                path: path.to_owned(),
                started: at,
                stopped: None,
            }),
            path if body["action"] == "moveStop" => {
                for run in self.runs.iter_mut().filter(|run| run.path == path) {
                    run.stopped.get_or_insert(at);
                }
            }
            _ => {}
        }
    }
}

/// The mark in a request, if there is one.
fn shown(entry: &JournalEntry, text: &str, body: &Value) -> Option<String> {
    match entry.path.as_str() {
        "/rest/conferences/callaction" => {
            let (action, id) = (body["callActionType"].as_str()?, body["id"].as_str()?);
            Some(format!("{action} {id}"))
        }
        "/rest/cameras/near/position/SELECTED_PEOPLE" => {
            let at = &body["camPosition"];
            Some(format!("position {} {}", at["pan"], at["tilt"]))
        }
        "/rest/system/time" => Some(format!("time {}", body["time"])),
        path => {
            let id = marked(path).or_else(|| marked(text))?;
            Some(mark(id))
        }
    }
}

/// The evidence of every room, by the room's number.
pub type Rooms = BTreeMap<usize, Evidence>;
