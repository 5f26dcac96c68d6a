//! The device of a room.

use super::document::{Component, Device, Document, Origin};
use super::entities::{Described, Param, Scope, described, told};
use super::facts::Facts;
use super::{Naming, id_text};
use crate::catalogue::{Enabled, Entity, EntityKind};

/// The presets that people use.
const PRESETS: std::ops::RangeInclusive<i64> = 1..=10;

/// What the room says itself, not its device: these hold while the device is away.
const ABOUT_THE_DEVICE: &[(&str, Entity)] = &[
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

/// What happens in the room.
const EVENTS: &[(&str, Entity)] = &[
    // All events come by one topic filter; those that are not about calls come to nothing.
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

/// The document of a room's device: with all that the device has, as far as that is known.
pub fn room_document(naming: &Naming, facts: &Facts) -> Document {
    let scope = Scope {
        naming,
        device: naming.room(&facts.id),
        called: called(&facts.id),
        below: format!("room/{}/", facts.id),
    };
    let gateway = scope.availability("gateway/availability");
    let room = scope.availability(&format!("room/{}/availability", facts.id));
    let mut components = Vec::new();
    for (topic, entity) in ABOUT_THE_DEVICE {
        let platform = told(entity, scope.topic(topic));
        let (key, component) = scope.component(entity, platform, None);
        let component = Component {
            availability: Some(vec![gateway.clone()]),
            ..component
        };
        components.push((key, component));
    }
    if facts.seen() {
        for (topic, entity) in EVENTS {
            let platform = told(entity, scope.topic(topic));
            components.push(scope.component(entity, platform, None));
        }
        for entity in described() {
            if entity.state().is_none_or(|state| facts.has(state)) {
                add(&mut components, &scope, &entity, facts);
            }
        }
    }
    Document {
        device: Device {
            identifiers: vec![naming.room(&facts.id)],
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
            via_device: Some(naming.gateway()),
        },
        origin: Origin::own(),
        availability: vec![gateway, room],
        availability_mode: Some("all"),
        components: components.into_iter().collect(),
    }
}

/// What entities are called after in automations: the room's id, where that is more than a number.
fn called(id: &str) -> String {
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
    entity: &Described,
    facts: &Facts,
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

fn switched_on(component: Component, entity: &Described, facts: &Facts, stored: bool) -> Component {
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

/// The guide's words for the parts of the system, as people write them.
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
