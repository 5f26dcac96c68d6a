//! What is known of a room that its device's document depends on.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use serde_json::Value;

use super::entities::described;
use crate::catalogue::{self, Method, StateTopic, operations};
use crate::config;
use crate::state::{Change, StateStore};
use crate::topics::AVAILABILITY;

/// What a room's document is made from.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Facts {
    /// The room's id.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The device's address.
    pub url: String,
    /// The guarded commands that it takes.
    pub allow: BTreeSet<String>,
    /// The device is there.
    pub online: bool,
    /// The device's model, where it tells it.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its firmware.
    pub firmware: Option<String>,
    /// The states that it has, of those that matter here.
    pub states: BTreeSet<String>,
    /// The presets that are stored.
    pub stored: BTreeSet<i64>,
}

/// Where the parts of the system stand, one topic each.
const PARTS: &str = "system/status/";
const INFO: &str = catalogue::SYSTEM_INFO.as_str();
const PRESETS: &str = catalogue::PRESETS.as_str();

impl Facts {
    /// What the state store and the configuration say.
    pub fn read(id: &str, room: &config::RoomConfig, store: &StateStore) -> Self {
        let below = format!("room/{id}/");
        let topics = store.topics_below(&below);
        let states = topics
            .iter()
            .filter_map(|topic| topic.strip_prefix(&below))
            .filter(|state| matters(state));
        let payload = |state: &str| store.get(&format!("{below}{state}")).map(|it| it.payload);
        let json = |state: &str| -> Value {
            let payload = payload(state).unwrap_or_default();
            serde_json::from_slice(&payload).unwrap_or_default()
        };
        let info = json(INFO);
        let text = |name: &str| {
            let text = info[name].as_str().map(str::to_owned);
            text.filter(|text| !text.is_empty())
        };
        let stored = |preset: &Value| {
            let stored = preset["stored"] == true;
            stored.then(|| preset["index"].as_i64()).flatten()
        };
        Self {
            id: id.to_owned(),
            name: room.name.clone(),
            url: room.url.to_string(),
            allow: room.allow.clone(),
            online: payload(AVAILABILITY).is_some_and(|payload| payload == "online"),
            model: text("model"),
            serial: text("serialNumber"),
            firmware: text("softwareVersion"),
            states: states.map(str::to_owned).collect(),
            stored: json(PRESETS)
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(stored)
                .collect(),
        }
    }

    /// Tells them from others, which would make another document.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The device answers what feeds this state, whether or not the state is there now: between
    /// meetings there is none, but there is a calendar.
    pub fn has(&self, state: StateTopic) -> bool {
        sources(state).any(|source| self.states.contains(source.as_str()))
    }

    /// The device has been read at all.
    pub fn seen(&self) -> bool {
        !self.states.is_empty()
    }

    /// The parts of the system, as their topics' last levels.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.states
            .iter()
            .filter_map(|state| state.strip_prefix(PARTS))
    }
}

/// This change of a topic below a room can change its document: of most states a document depends
/// on their being there, and not on what they are.
pub fn concerns(state: &str, change: Change) -> bool {
    match change {
        Change::Value => [AVAILABILITY, INFO, PRESETS].contains(&state),
        Change::Presence => state == AVAILABILITY || matters(state),
    }
}

/// All states of the operations that feed one.
fn sources(state: StateTopic) -> impl Iterator<Item = StateTopic> {
    operations()
        .filter(|operation| operation.method == Method::Get)
        .filter(move |operation| operation.feeds(state))
        .flat_map(|operation| operation.states.iter().map(|known| known.topic))
}

/// The states that entities need, and those beside them.
static NEEDED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    described()
        .filter_map(|entity| entity.state())
        .flat_map(sources)
        .map(StateTopic::as_str)
        .collect()
});

fn matters(state: &str) -> bool {
    state.starts_with(PARTS) || NEEDED.contains(state)
}
