//! The device of a room.

use super::document::{Component, DeviceInfo, Document, Origin};
use super::entities::{CatalogueEntity, Param, Scope, catalogue_entities, read_only};
use super::facts::RoomFacts;
use super::{Namespace, id_text};
use crate::catalogue::{Enabled, Entity, EntityKind};
use crate::topics::{GATEWAY_AVAILABILITY, RoomTopics};

/// The presets that get buttons; the device has more, which few people use.
const PRESETS: std::ops::RangeInclusive<i64> = 1..=10;

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

/// The events of the room.
const EVENTS: &[(&str, Entity)] = &[
    // One entity can have only one topic filter, so it receives every event; the template drops
    // those that are not about calls.
    (
        "event/+",
        Entity::new(EntityKind::Event, "call_event", "Call event")
            .icon("mdi:phone-ring")
            .words(&["incoming_call", "call_connected", "call_ended"])
            .value(
                "{{ value if value_json is mapping and \
                 value_json.get('event_type') != 'command_failed' else '' }}",
            ),
    ),
    (
        "event/command_failed",
        Entity::new(EntityKind::Event, "command_event", "Command failed")
            .icon("mdi:alert-circle-outline")
            .words(&["command_failed"])
            .diagnostic(),
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
        for (topic, entity) in EVENTS {
            let platform = read_only(entity, scope.topic(topic));
            components.push(scope.component(entity, platform, None));
        }
        for entity in catalogue_entities() {
            if entity.state().is_none_or(|state| facts.has(state)) {
                add(&mut components, &scope, &entity, facts);
            }
        }
    }
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
        components: components.into_iter().collect(),
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

/// Adds an entity, or one for each preset or part of the system.
fn add(
    components: &mut Vec<(String, Component)>,
    scope: &Scope<'_>,
    entity: &CatalogueEntity,
    facts: &RoomFacts,
) {
    let key = entity.entity.key;
    if key.contains("{index}") {
        for index in PRESETS {
            let param = Param {
                pattern: "{index}",
                topic: index.to_string(),
                name: index.to_string(),
            };
            let (key, component) = entity.component(scope, Some(&param));
            let stored = facts.stored.contains(&index);
            components.push((key, switched_on(component, entity, facts, stored)));
        }
    } else if key.contains("{name}") {
        for part in facts.parts() {
            let param = Param {
                pattern: "{name}",
                topic: part.to_owned(),
                name: part_name(part),
            };
            components.push(entity.component(scope, Some(&param)));
        }
    } else {
        let (key, component) = entity.component(scope, None);
        components.push((key, switched_on(component, entity, facts, false)));
    }
}

fn switched_on(
    component: Component,
    entity: &CatalogueEntity,
    facts: &RoomFacts,
    stored: bool,
) -> Component {
    let enabled = match entity.entity.enabled {
        Enabled::Always => true,
        Enabled::Never => false,
        Enabled::WhenStored => stored,
        Enabled::WhenAllowed => facts.allow.contains(&entity.pattern()),
    };
    Component {
        enabled_by_default: (!enabled).then_some(false),
        ..component
    }
}

/// The name of a part of the system: the guide's word, as people write it.
fn part_name(part: &str) -> String {
    match part {
        "ipnetwork" => "IP network".into(),
        "sipserver" => "SIP server".into(),
        "remotecontrol" => "remote control".into(),
        "autoanswerp2p" => "automatic answer".into(),
        "globaldirectory" => "global directory".into(),
        other => other.replace(['.', '_'], " "),
    }
}
