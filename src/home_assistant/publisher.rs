//! The one task that keeps Home Assistant informed.
//!
//! The thin shell around the rest: it looks at the state store when something there changed, listens to
//! what the broker says of documents and births, and hands documents to a store of their own, whose
//! topics stand without the gateway's prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::announce::{Action, Announcer, Pace};
use super::document::Document;
use super::facts::{Facts, concerns};
use super::{Naming, gateway_document, room_document};
use crate::config::{self, RoomId};
use crate::state::{Change, Inbound, StateStore, StateValue, Subscriber};

/// Changes of a room are looked at together when they come in a burst.
const BURST: Duration = Duration::from_millis(200);

/// Where everything comes from and goes to.
#[derive(Debug)]
pub struct Handles {
    /// The state of all rooms.
    pub store: Arc<StateStore>,
    /// Where documents go.
    pub announcements: Arc<StateStore>,
    /// What the broker says of documents and births.
    pub heard: mpsc::Receiver<Inbound>,
    /// Whether the broker is there.
    pub connected: watch::Receiver<bool>,
}

type Rooms = Arc<BTreeMap<RoomId, config::RoomConfig>>;

/// The running task.
#[derive(Debug)]
pub struct Publisher {
    rooms: watch::Sender<Rooms>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Starts the task.
    pub fn start(
        naming: Naming,
        status_topic: String,
        pace: Pace,
        rooms: BTreeMap<RoomId, config::RoomConfig>,
        ends: Handles,
    ) -> Self {
        let (rooms, wanted) = watch::channel(Arc::new(rooms));
        let changes = Arc::<Changes>::default();
        let subscriber: Arc<dyn Subscriber> = changes.clone();
        ends.store.subscribe(Arc::downgrade(&subscriber));
        let task = Task {
            naming,
            status_topic,
            announcer: Announcer::new(pace),
            known: BTreeMap::new(),
            ends,
            wanted,
            changes,
        };
        Self {
            rooms,
            task: tokio::spawn(task.run()),
        }
    }

    /// These are the rooms from now on.
    pub fn set_rooms(&self, rooms: BTreeMap<RoomId, config::RoomConfig>) {
        self.rooms.send_replace(Arc::new(rooms));
    }

    /// Ends the task. The documents stay: the devices are unavailable, not gone.
    pub fn stop(self) {
        self.task.abort();
    }
}

/// The rooms in which something changed that a document can depend on.
#[derive(Debug, Default)]
struct Changes {
    rooms: Mutex<BTreeSet<String>>,
    changed: Notify,
}

impl Changes {
    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.rooms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for Changes {
    fn state_changed(&self, topic: &Arc<str>, change: Change) {
        let Some((room, state)) = topic
            .strip_prefix("room/")
            .and_then(|below| below.split_once('/'))
        else {
            return;
        };
        if concerns(state, change) {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.insert(room.to_owned());
            self.changed.notify_one();
        }
    }

    fn event(&self, _: &Arc<str>, _: &Bytes) {}
}

struct Task {
    naming: Naming,
    status_topic: String,
    announcer: Announcer,
    /// The devices of rooms that the announcer knows, and the rooms.
    known: BTreeMap<String, Arc<str>>,
    ends: Handles,
    wanted: watch::Receiver<Rooms>,
    changes: Arc<Changes>,
}

impl Task {
    async fn run(mut self) {
        // Nothing of it ever changes.
        self.announcer
            .want(&self.naming.gateway(), 0, true, Instant::now());
        self.all_rooms();
        let changes = self.changes.clone();
        let mut met = false;
        loop {
            let next = self.announcer.next();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.all_rooms(),
                    Err(_) => return,
                },
                up = comes_up(&mut self.ends.connected), if !met => match up {
                    true => {
                        met = true;
                        self.announcer.connected(Instant::now());
                    }
                    false => return,
                },
                heard = self.ends.heard.recv() => match heard {
                    Some(heard) => self.hear(&heard),
                    None => return,
                },
                () = changes.changed.notified() => {
                    sleep(BURST).await;
                    self.some_rooms();
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            for action in self.due() {
                self.act(action);
            }
        }
    }

    /// After a new configuration, and at the start.
    fn all_rooms(&mut self) {
        let rooms = self.wanted.borrow_and_update().clone();
        let known = rooms
            .keys()
            .map(|id| (self.naming.room(&id.shared()), id.shared()))
            .collect();
        for (id, _) in std::mem::replace(&mut self.known, known) {
            if !self.known.contains_key(&id)
                && let Some(action) = self.announcer.forget(&id)
            {
                self.act(action);
            }
        }
        for (id, room) in &*rooms {
            self.look(&id.shared(), room);
        }
    }

    fn some_rooms(&mut self) {
        let rooms = self.wanted.borrow().clone();
        for id in self.changes.take() {
            if let Some(room) = rooms.get(id.as_str()) {
                self.look(&id, room);
            }
        }
    }

    fn look(&mut self, id: &str, room: &config::RoomConfig) {
        let facts = Facts::read(id, room, &self.ends.store);
        let device = self.naming.room(id);
        self.announcer
            .want(&device, facts.digest(), facts.online, Instant::now());
    }

    /// What the announcer wants done. Documents are made when their time has come, not before.
    fn due(&mut self) -> Vec<Action> {
        let rooms = self.wanted.borrow().clone();
        let document = |device: &str| {
            if device == self.naming.gateway() {
                return Some(value(&gateway_document(&self.naming)));
            }
            let id = self.known.get(device)?;
            let facts = Facts::read(id, rooms.get(&**id)?, &self.ends.store);
            Some(value(&room_document(&self.naming, &facts)))
        };
        self.announcer.due(Instant::now(), document)
    }

    fn hear(&mut self, heard: &Inbound) {
        if heard.topic == self.status_topic {
            if heard.payload == "online" {
                let chance = RandomState::new().hash_one(0) % 1000;
                self.announcer.born(Instant::now(), chance as f64 / 1000.0);
            }
            return;
        }
        let Some(device) = self.naming.device(&heard.topic) else {
            return;
        };
        let document: Option<Value> = match heard.payload.is_empty() {
            true => None,
            false => Some(serde_json::from_slice(&heard.payload).unwrap_or_default()),
        };
        let ours = document
            .as_ref()
            .is_some_and(|document| self.is_ours(document));
        let action = self.announcer.heard(device, document, ours);
        if let Some(action) = action {
            self.act(action);
        }
    }

    /// Every document of this gateway's names its availability.
    fn is_ours(&self, document: &Value) -> bool {
        let own = self.naming.topic("gateway/availability");
        let topics = document["availability"].as_array().into_iter().flatten();
        topics.into_iter().any(|entry| entry["topic"] == own)
    }

    fn act(&self, action: Action) {
        let store = &self.ends.announcements;
        match action {
            Action::Publish(id, document) => {
                let document = StateValue::text(document.bytes());
                store.set(&self.naming.config_topic(&id), document);
            }
            Action::Clear(id) => {
                // The broker may have it from an earlier run, or from somebody else.
                let topic = self.naming.config_topic(&id);
                store.clear_everywhere(&topic);
            }
            Action::Repeat => store.repeat(),
        }
    }
}

/// Waits until the broker is there; false where that will never be.
async fn comes_up(connected: &mut watch::Receiver<bool>) -> bool {
    connected.wait_for(|up| *up).await.is_ok()
}

fn value(document: &Document) -> Value {
    // Only maps with text keys are in it, which cannot fail.
    serde_json::to_value(document).unwrap_or_default()
}
