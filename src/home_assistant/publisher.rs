//! The task that publishes the documents.
//!
//! It reads the state store when a topic there has changed that a document depends on (`changes`), receives
//! what the broker sends about documents and Home Assistant's start (`inbound`), and puts documents into a
//! store of their own, whose topics have no prefix. The announcer decides what to publish and
//! when.

mod changes;
mod inbound;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::announcer::{Announcer, Delays, DocumentAction};
use super::document_limits::{DOCUMENT_HEADER, DocumentLimits};
use super::facts::RoomFacts;
use super::hold::{Hold, LogIns};
use super::inbound::InboundMessage;
use super::kept::DocumentSource;
use super::sharing::DocumentSharing;
use super::{Namespace, cluster_document, gateway_document, member_document};
use crate::config::{RoomConfig, RoomConfigs, RoomId};
use crate::sleep::sleep_until_some;
use crate::state::{StateStore, StateValue, Subscriber};
use crate::telemetry::Telemetry;
use changes::{ChangedRooms, Stretch};

/// A burst of changes in a room is read once, this long after the first of them.
const CHANGES_DELAY: Duration = Duration::from_millis(200);

/// What connects the publisher with the rest of the gateway.
#[derive(Debug)]
pub struct PublisherLinks {
    /// The states of all rooms, to read.
    pub states: Arc<StateStore>,
    /// Where documents go: as they are kept, at topics without a prefix.
    pub documents: Arc<StateStore>,
    /// What the broker sends about documents and Home Assistant's start.
    pub inbound: mpsc::Receiver<InboundMessage>,
    /// Whether the broker is connected.
    pub connected: watch::Receiver<bool>,
    /// The largest documents that the broker takes.
    pub document_limits: watch::Receiver<DocumentLimits>,
    /// Whether documents of earlier runs may be cleared.
    pub may_clear: watch::Receiver<bool>,
    /// Told which documents are not whole.
    pub telemetry: Arc<Telemetry>,
    /// Documents wait while these are crowded.
    pub log_ins: Arc<dyn LogIns>,
    /// The other gateways, if there are any.
    pub sharing: Option<Arc<dyn DocumentSharing>>,
}

/// The running task. It ends with [`Publisher::stop`].
#[derive(Debug)]
pub struct Publisher {
    rooms: watch::Sender<RoomConfigs>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Starts the task. `status_topic` is where Home Assistant says that it has started.
    pub fn start(
        namespace: Namespace,
        status_topic: String,
        delays: Delays,
        rooms: RoomConfigs,
        links: PublisherLinks,
    ) -> Self {
        let (rooms, wanted) = watch::channel(rooms);
        let changes = Arc::<ChangedRooms>::default();
        let subscriber: Arc<dyn Subscriber> = changes.clone();
        links.states.subscribe(Arc::downgrade(&subscriber));
        let task = Task {
            namespace,
            status_topic,
            announcer: match links.sharing {
                Some(_) => Announcer::shared(delays),
                None => Announcer::new(delays),
            },
            known: BTreeMap::new(),
            own: BTreeMap::new(),
            leftovers: BTreeSet::new(),
            unmarked: BTreeSet::new(),
            links,
            wanted,
            changes,
        };
        Self {
            rooms,
            task: tokio::spawn(task.run()),
        }
    }

    /// Takes over the rooms of a new configuration.
    pub fn set_rooms(&self, rooms: RoomConfigs) {
        self.rooms.send_replace(rooms);
    }

    /// Ends the task. The documents stay at the broker: Home Assistant shows the devices as
    /// unavailable.
    pub fn stop(self) {
        self.task.abort();
    }
}

struct Task {
    namespace: Namespace,
    status_topic: String,
    announcer: Announcer,
    /// The rooms that the announcer knows, by their devices' ids.
    known: BTreeMap<String, Arc<str>>,
    /// The rooms that this gateway has, where several share them: see [`DocumentSharing::rooms`].
    own: BTreeMap<Arc<str>, bool>,
    /// The devices of an earlier run whose documents are to be cleared as soon as that is allowed.
    leftovers: BTreeSet<String>,
    /// The devices that no room has, whose documents have no mark: an old version has left them.
    unmarked: BTreeSet<String>,
    links: PublisherLinks,
    wanted: watch::Receiver<RoomConfigs>,
    changes: Arc<ChangedRooms>,
}

impl Task {
    async fn run(mut self) {
        let gateway = match &self.links.sharing {
            Some(sharing) => self.namespace.member(sharing.name()),
            None => self.namespace.gateway(),
        };
        // Its document never changes, so any digest will do.
        self.announcer.update(&gateway, 0, true, Instant::now());
        self.read_all_rooms().await;
        let mut sharing = self.links.sharing.as_ref().map(|it| it.changed());
        self.take_sharing().await;
        self.take_limits();
        let changes = self.changes.clone();
        let mut was_connected = false;
        let mut hold = Hold::new(self.links.log_ins.clone());
        let mut stretch = Stretch::default();
        // The messages that have come while documents were held. They tell what the broker holds, so no document is
        // made before they are read.
        let mut unread = 0;
        loop {
            let held_until = hold.looks_at(Instant::now());
            let is_free = held_until.is_none();
            unread = if is_free {
                self.links.inbound.len().min(unread)
            } else {
                usize::MAX
            };
            if is_free && unread == 0 {
                for action in self.due() {
                    self.perform(action);
                }
            }
            let next = held_until.or_else(|| self.announcer.next_due());
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.read_all_rooms().await,
                    Err(_) => return,
                },
                up = is_up_next(&mut self.links.connected, was_connected) => match up {
                    // Each connection begins with all documents.
                    true if was_connected => self.announcer.published_again(),
                    true => {
                        was_connected = true;
                        self.announcer.connected(Instant::now());
                    }
                    false => return,
                },
                is_there = has_changed(sharing.as_mut()) => {
                    if !is_there {
                        return;
                    }
                    sleep(CHANGES_DELAY).await;
                    self.take_sharing().await;
                }
                changed = self.links.document_limits.changed() => match changed {
                    Ok(()) => self.take_limits(),
                    Err(_) => return,
                },
                may = is_true(&mut self.links.may_clear), if self.has_leftovers() => if may { self.clear_leftovers() } else { return },
                message = self.links.inbound.recv(), if is_free => match message {
                    Some(message) => {
                        unread = unread.saturating_sub(1);
                        self.receive(&message).await;
                    }
                    None => return,
                },
                () = changes.changed.notified(), if is_free => {
                    sleep(CHANGES_DELAY).await;
                    self.read_changed_rooms().await;
                }
                () = sleep_until_some(next) => {}
            }
            stretch.pause().await;
        }
    }

    fn take_limits(&mut self) {
        let limits = self.links.document_limits.borrow_and_update();
        let of_devices = limits.of_topics().filter_map(|(topic, limit)| {
            let device = self.namespace.device(topic)?;
            Some((device.to_owned(), limit))
        });
        let of_devices = of_devices.collect();
        self.announcer
            .limit(limits.largest(), of_devices, Instant::now());
    }

    /// At the start, and after a reload.
    async fn read_all_rooms(&mut self) {
        let rooms = self.wanted.borrow_and_update().clone();
        let known = rooms
            .keys()
            .map(|id| (self.namespace.room(&id.shared()), id.shared()))
            .collect();
        for (id, _) in std::mem::replace(&mut self.known, known) {
            if self.known.contains_key(&id) {
                continue;
            }
            // Another gateway may still have the room: its document goes with its states, when none has.
            if self.links.sharing.is_some() {
                self.hand_over(&id);
            } else if let Some(action) = self.announcer.forget(&id) {
                self.perform(action);
            }
        }
        self.read_rooms(rooms.keys().map(RoomId::shared)).await;
    }

    /// Takes over which documents this gateway publishes. One of a room that has gone to another gateway is not touched
    /// any more.
    async fn take_sharing(&mut self) {
        let Some(sharing) = self.links.sharing.clone() else {
            return;
        };
        let now = Instant::now();
        let gateways = self.namespace.gateway();
        match sharing.speaks() {
            true => self.announcer.update(&gateways, 0, true, now),
            false if self.announcer.is_expected(&gateways) => {}
            false => {
                self.hand_over(&gateways);
                self.announcer.expect(&gateways);
            }
        }
        let own = sharing.rooms();
        let before = std::mem::replace(&mut self.own, own);
        let mut gone = Vec::new();
        for room in before.keys().filter(|room| !self.own.contains_key(*room)) {
            gone.push(self.namespace.room(room));
        }
        for device in gone {
            self.hand_over(&device);
        }
        let new: Vec<Arc<str>> = self
            .own
            .iter()
            .filter(|(room, is_asked)| before.get(*room) != Some(*is_asked))
            .map(|(room, _)| room.clone())
            .collect();
        self.read_rooms(new).await;
    }

    fn hand_over(&mut self, device: &str) {
        self.announcer.hand_over(device);
        let topic = self.namespace.config_topic(device);
        self.links.documents.remove_quietly(&topic);
    }

    async fn read_changed_rooms(&mut self) {
        let changed = self.changes.take();
        self.read_rooms(changed).await;
    }

    /// Those of them that are configured.
    async fn read_rooms(&mut self, ids: impl IntoIterator<Item = impl AsRef<str>>) {
        let rooms = self.wanted.borrow().clone();
        let mut stretch = Stretch::default();
        for id in ids {
            if let Some(room) = rooms.get(id.as_ref()) {
                self.read_room(id.as_ref(), room);
                stretch.pause().await;
            }
        }
    }

    fn read_room(&mut self, id: &str, room: &RoomConfig) {
        let device = self.namespace.room(id);
        if self.links.sharing.is_some() {
            match self.own.get(id) {
                None => return,
                Some(false) => return self.announcer.expect(&device),
                Some(true) => {}
            }
        }
        let status = self.links.states.room(id);
        if status.is_some_and(|status| status.online && !status.complete) {
            // It would be made anew for each of the states that are about to be read.
            return self.announcer.expect(&device);
        }
        let facts = RoomFacts::read(id, room, &self.links.states);
        self.announcer
            .update(&device, facts.digest(), facts.online, Instant::now());
    }

    /// What the announcer wants done now. A document is made only when it is published.
    fn due(&mut self) -> Vec<DocumentAction> {
        let rooms = self.wanted.borrow().clone();
        let document = |device: &str| {
            let name = self.links.sharing.as_ref().map(|sharing| sharing.name());
            let of_gateway = match name {
                None if device == self.namespace.gateway() => {
                    Some(gateway_document(&self.namespace))
                }
                Some(_) if device == self.namespace.gateway() => {
                    Some(cluster_document(&self.namespace))
                }
                Some(name) if device == self.namespace.member(name) => {
                    Some(member_document(&self.namespace, name))
                }
                _ => None,
            };
            if let Some(document) = of_gateway {
                return Some(DocumentSource::Document(document.value()));
            }
            let id = self.known.get(device)?;
            let facts = RoomFacts::read(id, rooms.get(&**id)?, &self.links.states);
            let namespace = self.namespace.clone();
            Some(DocumentSource::Room(namespace, Box::new(facts)))
        };
        self.announcer.due(Instant::now(), document)
    }

    fn perform(&self, action: DocumentAction) {
        let store = &self.links.documents;
        match action {
            DocumentAction::Publish(id, document) => {
                let topic = self.namespace.config_topic(&id);
                if !store.set(&topic, StateValue::text(document.bytes())) {
                    // The same as before: another gateway has cleared it at the broker.
                    store.repeat_topic(&topic);
                }
            }
            DocumentAction::Keep(id, document) => {
                let topic = self.namespace.config_topic(&id);
                let kept = StateValue::text(document.bytes());
                store.insert_quietly(vec![(topic.into(), kept)]);
            }
            DocumentAction::Clear(id) => {
                // The broker may hold one of an earlier run, which the store does not know.
                let topic = self.namespace.config_topic(&id);
                store.clear_everywhere(&topic);
            }
            DocumentAction::ClearDeleted(id) => {
                self.links.telemetry.device_deleted(&id);
                self.perform(DocumentAction::Clear(id));
            }
            DocumentAction::Repeat => store.repeat(),
            DocumentAction::Report(left_out) => {
                let largest = left_out.devices.values().max();
                let wanted = largest.map_or(0, |size| size + DOCUMENT_HEADER);
                self.links
                    .telemetry
                    .documents_cut(wanted, &left_out.devices, &left_out.entities);
            }
        }
    }
}

/// Waits until the broker is connected; `again`: the next time. False if the door has ended.
async fn is_up_next(connected: &mut watch::Receiver<bool>, again: bool) -> bool {
    (!again || connected.changed().await.is_ok()) && is_true(connected).await
}

/// Waits for a change, for ever without other gateways; false if none can come any more.
async fn has_changed(sharing: Option<&mut watch::Receiver<()>>) -> bool {
    match sharing {
        Some(sharing) => sharing.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Waits until the MQTT door says that something is true; false if the door has ended.
async fn is_true(told: &mut watch::Receiver<bool>) -> bool {
    told.wait_for(|value| *value).await.is_ok()
}
