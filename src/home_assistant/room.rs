//! The device of a room.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Component, DeviceInfo, Document, Origin};
use super::entities::{CatalogueEntity, Param, Scope, catalogue_entities, read_only};
use super::facts::RoomFacts;
use super::readiness::readiness_components;
use super::triggers::triggers;
use super::{Namespace, id_text};
use crate::catalogue::{
    CALLS, DEVICES, Enabled, Entity, EntityKind, PRESET_NUMBERS, RoomEvent, StateTopic, TOUCH_PANEL,
};
use crate::topics::{GATEWAY_AVAILABILITY, RoomTopics, decode_level};

/// The entities about the connection to the device: available even if the device is offline.
const ROOM_ENTITIES: &[(&str, Entity)] = &[
    (
        "availability",
        Entity::binary_sensor("availability", "Availability")
            .class("connectivity")
            .value("{{ 'true' if value == 'online' else 'false' }}")
            .diagnostic(),
    ),
    (
        "problem",
        Entity::binary_sensor("problem", "Problem")
            .class("problem")
            .value("{{ 'false' if value_json is mapping and value_json.get('code') == 'none' else 'true' }}")
            .attributes("{{ (value_json if value_json is mapping else {}) | tojson }}")
            .diagnostic(),
    ),
];

/// The events of the room, and the state that a device must have for each.
const EVENTS: &[(&str, Entity, Option<StateTopic>)] = &[
    // One entity can have only one topic filter, so it receives every event; the template drops
    // those of other types.
    (
        "event/+",
        Entity::new(EntityKind::Event, "call_event", "Call event")
            .icon("mdi:phone-ring")
            .words(&[
                RoomEvent::IncomingCall.as_str(),
                RoomEvent::CallConnected.as_str(),
                RoomEvent::CallEnded.as_str(),
            ])
            .value(
                "{{ value if value_json is mapping and value_json.get('event_type') in \
                 ['incoming_call', 'call_connected', 'call_ended'] else '' }}",
            ),
        Some(CALLS),
    ),
    (
        "event/+",
        Entity::new(EntityKind::Event, "device_event", "Device event")
            .icon("mdi:tablet-dashboard")
            .words(&[
                RoomEvent::DeviceLost.as_str(),
                RoomEvent::DeviceBack.as_str(),
            ])
            .value(
                "{{ value if value_json is mapping and value_json.get('event_type') in \
                 ['device_lost', 'device_back'] else '' }}",
            )
            .diagnostic(),
        Some(DEVICES),
    ),
    (
        "event/command_failed",
        Entity::new(EntityKind::Event, "command_event", "Command failed")
            .icon("mdi:alert-circle-outline")
            .words(&[RoomEvent::CommandFailed.as_str()])
            .diagnostic(),
        None,
    ),
    (
        "event/readiness_failed",
        Entity::new(EntityKind::Event, "readiness_event", "Readiness failed")
            .icon("mdi:clipboard-alert-outline")
            .words(&[RoomEvent::ReadinessFailed.as_str()])
            .diagnostic(),
        None,
    ),
];

/// The document of a room's device, with an entity for everything that the device is known to have.
pub fn room_document(namespace: &Namespace, facts: &RoomFacts) -> Document {
    let scope = Scope {
        namespace,
        device: namespace.room(&facts.id),
        entity_prefix: entity_prefix(&facts.id),
        below: RoomTopics::new(&facts.id).start(),
    };
    let gateway = scope.availability(GATEWAY_AVAILABILITY);
    let room = scope.availability(&RoomTopics::new(&facts.id).availability());
    let mut components = Vec::new();
    for (topic, entity) in ROOM_ENTITIES {
        let platform = read_only(entity, scope.topic(topic));
        let (key, component) = scope.component(entity, platform, None);
        let component = Component {
            availability: Some(vec![gateway.clone()]),
            ..component
        };
        components.push((key, component));
    }
    if facts.seen() {
        components.extend(readiness_components(&scope, &gateway));
        let has = |state: &Option<StateTopic>| state.is_none_or(|state| facts.has(state));
        for (topic, entity, _) in EVENTS.iter().filter(|(_, _, state)| has(state)) {
            let platform = read_only(entity, scope.topic(topic));
            components.push(scope.component(entity, platform, None));
        }
        for entity in catalogue_entities() {
            if facts.shows(&entity) {
                add(&mut components, &scope, &entity, facts);
            }
        }
    }
    let entities = components
        .into_iter()
        .map(|(key, entity)| (key, entity.into()));
    let triggers = facts.seen().then(|| triggers(&scope, facts));
    Document {
        device: DeviceInfo {
            identifiers: vec![namespace.room(&facts.id)],
            name: match &facts.name {
                Some(name) => name.clone(),
                None => format!("Room {}", facts.id),
            },
            manufacturer: Some("Poly"),
            model: facts.model.clone(),
            serial_number: facts.serial.clone(),
            sw_version: facts.firmware.clone(),
            suggested_area: facts.name.clone(),
            configuration_url: Some(facts.url.clone()),
            via_device: Some(namespace.gateway()),
        },
        origin: Origin::gateway(),
        availability: vec![gateway, room],
        availability_mode: Some("all"),
        components: entities.chain(triggers.into_iter().flatten()).collect(),
    }
}

/// What the entities' ids begin with: the room's id, after `room_` if it begins with a digit.
pub fn entity_prefix(id: &str) -> String {
    let id = id_text(id, '_');
    if id.starts_with(|c: char| c.is_ascii_digit()) {
        format!("room_{id}")
    } else {
        id
    }
}

/// Adds an entity, or one for each preset, part of the system or touch panel.
fn add(
    components: &mut Vec<(String, Component)>,
    scope: &Scope<'_>,
    entity: &CatalogueEntity,
    facts: &RoomFacts,
) {
    let key = entity.entity.key;
    let options = facts.options.get(key).map_or(&[][..], Vec::as_slice);
    if key.contains("{index}") {
        let on_stored_only = entity.entity.enabled == Enabled::WhileStored;
        let is_there = |index: &i64| !on_stored_only || facts.stored.contains(index);
        for index in PRESET_NUMBERS.filter(is_there) {
            let number = index.to_string();
            let name = facts.preset_names.name(index).unwrap_or(&number);
            let param = Param {
                pattern: "{index}",
                name: name.to_owned(),
                id: number.clone(),
                key: number.clone(),
                topic: number,
            };
            let (key, component) = entity.component(scope, Some(&param), options);
            components.push((key, switched_on(component, entity, facts)));
        }
    } else if key.contains("{name}") {
        let mut params: Vec<Param> = match entity.state() {
            Some(TOUCH_PANEL) => {
                let panels = panel_names(facts).into_iter();
                panels
                    .map(|(level, name)| named(level, name, level.to_owned()))
                    .collect()
            }
            _ => {
                let is_its = |part: &&str| entity.entity.parts.is_none_or(|parts| parts(part));
                let parts = facts.parts().filter(is_its);
                let param = |part| named(part, in_words(&part_name(part)), part_name(part));
                parts.map(param).collect()
            }
        };
        tell_apart(&mut params);
        for param in params {
            components.push(entity.component(scope, Some(&param), options));
        }
    } else {
        let (key, component) = entity.component(scope, None, options);
        components.push((key, switched_on(component, entity, facts)));
    }
}

/// What stands for `{name}`.
fn named(level: &str, name: String, id: String) -> Param {
    Param {
        pattern: "{name}",
        topic: level.to_owned(),
        key: level.to_owned(),
        name,
        id,
    }
}

/// Numbers those that would have equal keys: a key has neither capitals nor signs, but a device's own words may differ
/// in nothing else.
fn tell_apart(params: &mut [Param]) {
    let mut keys = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    for param in params {
        let own = id_text(&param.key, '_');
        let number = numbers.entry(own.clone()).or_insert(1);
        while !keys.insert(id_text(&param.key, '_')) {
            *number += 1;
            param.key = format!("{own}_{number}");
        }
    }
}

/// A topic level as people read it: the encoding is for topics.
fn in_words(level: &str) -> String {
    decode_level(level).unwrap_or_else(|_| level.to_owned())
}

fn switched_on(component: Component, entity: &CatalogueEntity, facts: &RoomFacts) -> Component {
    let enabled = match entity.entity.enabled {
        Enabled::Always | Enabled::WhileStored => true,
        Enabled::Never => false,
        Enabled::WhenAllowed => facts.allow.contains(&entity.pattern()),
    };
    Component {
        enabled_by_default: (!enabled).then_some(false),
        ..component
    }
}

/// The names of the touch panels, by the last level of each one's topic. Those that share a name, as those
/// nobody has named do, also have their number.
fn panel_names(facts: &RoomFacts) -> Vec<(&str, String)> {
    let panels = facts.panels.iter();
    let named = panels.map(|(level, name)| {
        let shared = facts.panels.values().filter(|other| *other == name).count() > 1;
        let text = match name.as_str() {
            "" => in_words(level),
            name if shared => format!("{name} {}", in_words(level)),
            name => name.to_owned(),
        };
        (level.as_str(), text)
    });
    named.collect()
}

/// The name of a part of the system: the guide's word, as people write it.
fn part_name(part: &str) -> String {
    match part {
        "mr.audio" => "audio".into(),
        "mr.camera" => "cameras".into(),
        "trackablecamera" => "tracking camera".into(),
        "ipnetwork" => "IP network".into(),
        "sipserver" => "SIP server".into(),
        "remotecontrol" => "remote control".into(),
        "autoanswerp2p" => "automatic answer".into(),
        "globaldirectory" => "global directory".into(),
        other => other.replace(['.', '_'], " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(levels: &[&str]) -> Vec<Param> {
        let param = |level: &&str| named(level, in_words(level), (*level).to_owned());
        let mut params: Vec<Param> = levels.iter().map(param).collect();
        tell_apart(&mut params);
        params
    }

    #[test]
    fn what_differs_in_case_or_signs_alone_has_different_keys() {
        for (levels, keys) in [
            (&["DUP", "dup"][..], &["DUP", "dup_2"][..]),
            (&["a-b", "a_b", "a_b_2"], &["a-b", "a_b_2", "a_b_2_2"]),
            (&["mr.audio", "sip"], &["mr.audio", "sip"]),
        ] {
            let params = params(levels);
            let own: Vec<_> = params.iter().map(|param| &*param.key).collect();
            assert_eq!(own, keys);
            // The topic stays what it is.
            assert!(
                params
                    .iter()
                    .map(|param| &*param.topic)
                    .eq(levels.iter().copied())
            );
        }
    }

    #[test]
    fn names_are_not_encoded() {
        for (level, name) in [("A%2FB%2BC%23", "A/B+C#"), ("8L1", "8L1"), ("a%00", "a%00")] {
            assert_eq!(params(&[level])[0].name, name);
        }
    }
}
