//! The facts that a room's document depends on, read from the state store and the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entities::{CatalogueEntity, catalogue_entities};
use crate::catalogue::{
    self, PresetNames, STATUS_PART, SelectOption, StateTopic, TOUCH_PANEL, operations,
};
use crate::config::RoomConfig;
use crate::state::{Change, StateStore};
use crate::topics::{AVAILABILITY, RoomTopics};

/// The facts that a room's document is made from.
#[derive(Debug, Clone, PartialEq, Hash, Serialize, Deserialize)]
pub struct RoomFacts {
    /// The room's id.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The device's address.
    pub url: String,
    /// The guarded commands that the room allows.
    pub allow: BTreeSet<String>,
    /// The device can be used.
    pub online: bool,
    /// The device's model, if it tells it.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its firmware.
    pub firmware: Option<String>,
    /// The states that it has, of those that entities need.
    pub states: BTreeSet<String>,
    /// The presets that are stored.
    pub stored: BTreeSet<i64>,
    /// The names of the presets.
    pub preset_names: PresetNames,
    /// The touch panels: the last level of each one's topic, and its name.
    pub panels: BTreeMap<String, String>,
    /// The options of each select that has any, by the entity's key.
    pub options: BTreeMap<String, Vec<SelectOption>>,
}

const SYSTEM_INFO: &str = catalogue::SYSTEM_INFO.as_str();
const PRESETS: &str = catalogue::PRESETS.as_str();
const CONNECTED_SOURCES: &str = catalogue::CONNECTED_SOURCES.as_str();
const PROVIDERS: &str = catalogue::PROVIDERS.as_str();

impl RoomFacts {
    /// Reads them.
    pub fn read(id: &str, room: &RoomConfig, store: &StateStore) -> Self {
        let below = RoomTopics::new(id).start();
        let topics = store.topics_below(&below);
        let states = topics
            .iter()
            .filter_map(|topic| topic.strip_prefix(&below))
            .filter(|state| is_needed(state));
        let payload = |state: &str| {
            let value = store.get(&RoomTopics::new(id).below(state));
            value.map(|value| value.payload)
        };
        let json = |state: &str| -> Value {
            let payload = payload(state).unwrap_or_default();
            serde_json::from_slice(&payload).unwrap_or_default()
        };
        let info = json(SYSTEM_INFO);
        let text = |name: &str| {
            let text = info[name].as_str().map(str::to_owned);
            text.filter(|text| !text.is_empty())
        };
        let panel = |state: &str| {
            let level = last_level(state, TOUCH_PANEL)?;
            let name = json(state)["name"].as_str().map(str::to_owned);
            Some((level.to_owned(), name.unwrap_or_default()))
        };
        let states: BTreeSet<String> = states.map(str::to_owned).collect();
        let stored = |preset: &Value| {
            let stored = preset["stored"] == true;
            stored.then(|| preset["index"].as_i64()).flatten()
        };
        let options = catalogue_entities().filter_map(|it| {
            let options = it.entity.options?;
            let options = (options.read)(&json(options.state.as_str()));
            (!options.is_empty()).then(|| (it.entity.key.to_owned(), options))
        });
        let options = options.collect();
        Self {
            options,
            id: id.to_owned(),
            name: room.name.clone(),
            url: room.url.to_string(),
            allow: BTreeSet::clone(&room.allow),
            preset_names: room.presets.clone(),
            online: store.room(id).is_some_and(|room| room.online),
            model: text("model"),
            serial: text("serialNumber"),
            firmware: text("softwareVersion"),
            panels: states.iter().filter_map(|state| panel(state)).collect(),
            states,
            stored: json(PRESETS)
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(stored)
                .collect(),
        }
    }

    /// Differs if the facts do.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The device has this state, even if it has no value now: the same operation feeds another
    /// state that has one. Between meetings there is no current meeting, but there is a calendar.
    pub fn has(&self, state: StateTopic) -> bool {
        sources(state).any(|source| self.states.contains(source.as_str()))
    }

    /// The device has the states of an entity.
    pub fn shows(&self, entity: &CatalogueEntity) -> bool {
        let is_told = |state: StateTopic| {
            if entity.entity.when_told {
                self.states.contains(state.as_str())
            } else {
                self.has(state)
            }
        };
        let mut needed = entity.entity.needs.iter();
        let has_options =
            entity.entity.options.is_none() || self.options.contains_key(entity.entity.key);
        has_options && entity.state().is_none_or(is_told) && needed.all(|state| self.has(*state))
    }

    /// The device has been read at all.
    pub fn seen(&self) -> bool {
        !self.states.is_empty()
    }

    /// The parts of the system, as their topics' last levels.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.states
            .iter()
            .filter_map(|state| last_level(state, STATUS_PART))
    }
}

/// Whether this change of a state can change the room's document. It depends on the values of a few
/// states; of all others only on whether they exist.
pub fn can_change_document(state: &str, change: Change) -> bool {
    match change {
        Change::Value => {
            [
                AVAILABILITY,
                SYSTEM_INFO,
                PRESETS,
                CONNECTED_SOURCES,
                PROVIDERS,
            ]
            .contains(&state)
                || last_level(state, TOUCH_PANEL).is_some()
        }
        Change::Presence => state == AVAILABILITY || is_needed(state),
    }
}

/// All states of the operations that feed this one.
fn sources(state: StateTopic) -> impl Iterator<Item = StateTopic> {
    operations()
        .filter(|operation| operation.reads())
        .filter(move |operation| operation.feeds(state))
        .flat_map(|operation| operation.states.iter().map(|known| known.topic))
}

/// The states of entities, with all that the same operations feed.
static NEEDED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    catalogue_entities()
        .flat_map(|entity| {
            entity
                .state()
                .into_iter()
                .chain(entity.entity.needs.iter().copied())
        })
        .flat_map(sources)
        .map(StateTopic::as_str)
        .collect()
});

fn is_needed(state: &str) -> bool {
    let mut each = [STATUS_PART, TOUCH_PANEL].into_iter();
    each.any(|above| last_level(state, above).is_some()) || NEEDED.contains(state)
}

/// The last level of one of the topics below a state that has one for each part or panel.
fn last_level(state: &str, above: StateTopic) -> Option<&str> {
    state.strip_prefix(above.as_str())?.strip_prefix('/')
}
