//! The device of the gateway itself.

use super::Namespace;
use super::document::{Component, DeviceInfo, Document, Origin};
use super::entities::{Scope, read_only};
use crate::catalogue::{Enabled, Entity};
use crate::topics::{GATEWAY_AVAILABILITY, GATEWAY_HEALTH, GATEWAY_INFO};

/// It says whether the gateway runs, so it has no availability of its own.
const AVAILABILITY: (&str, Entity) = (
    GATEWAY_AVAILABILITY,
    Entity::binary_sensor("availability", "Availability")
        .class("connectivity")
        .value("{{ 'true' if value == 'online' else 'false' }}")
        .diagnostic(),
);

const ENTITIES: &[(&str, Entity)] = &[
    (
        GATEWAY_INFO,
        figure("version", "Version", "{{ value_json.version }}").icon("mdi:tag-outline"),
    ),
    (
        GATEWAY_INFO,
        figure("started", "Started", "{{ value_json.started }}").class("timestamp"),
    ),
    (
        GATEWAY_HEALTH,
        figure("rooms", "Rooms", "{{ value_json.rooms }}")
            .icon("mdi:door")
            .measures(),
    ),
    (
        GATEWAY_HEALTH,
        figure(
            "rooms_online",
            "Rooms online",
            "{{ value_json.rooms_online }}",
        )
        .icon("mdi:door-open")
        .measures(),
    ),
    (
        GATEWAY_HEALTH,
        counter("commands", "Commands", "{{ value_json.commands }}"),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "connects",
            "Broker connections",
            "{{ value_json.mqtt.connects }}",
        ),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "published",
            "Messages published",
            "{{ value_json.mqtt.published }}",
        )
        .enabled(Enabled::Never),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "received",
            "Messages received",
            "{{ value_json.mqtt.received }}",
        )
        .enabled(Enabled::Never),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "refused",
            "Messages refused",
            "{{ value_json.mqtt.refused }}",
        )
        .enabled(Enabled::Never),
    ),
];

const fn figure(key: &'static str, name: &'static str, value: &'static str) -> Entity {
    Entity::sensor(key, name).value(value).diagnostic()
}

const fn counter(key: &'static str, name: &'static str, value: &'static str) -> Entity {
    figure(key, name, value).icon("mdi:counter").counts()
}

/// The document of the gateway's device.
pub fn gateway_document(namespace: &Namespace) -> Document {
    let scope = Scope {
        namespace,
        device: namespace.gateway(),
        entity_prefix: namespace.entity_prefix(),
        below: String::new(),
    };
    let gateway_availability = vec![scope.availability(AVAILABILITY.0)];
    let availability = {
        let (topic, entity) = &AVAILABILITY;
        scope.component(entity, read_only(entity, scope.topic(topic)), None)
    };
    let others = ENTITIES.iter().map(|(topic, entity)| {
        let (key, component) = scope.component(entity, read_only(entity, scope.topic(topic)), None);
        let component = Component {
            availability: Some(gateway_availability.clone()),
            enabled_by_default: (entity.enabled == Enabled::Never).then_some(false),
            ..component
        };
        (key, component)
    });
    Document {
        device: DeviceInfo {
            identifiers: vec![namespace.gateway()],
            name: match namespace.topic_prefix.as_str() {
                "" => "poly2mqtt".into(),
                prefix => format!("poly2mqtt ({prefix})"),
            },
            sw_version: Some(env!("CARGO_PKG_VERSION").into()),
            model: Some("Gateway".into()),
            ..DeviceInfo::default()
        },
        origin: Origin::gateway(),
        availability: Vec::new(),
        availability_mode: None,
        components: std::iter::once(availability)
            .chain(others)
            .map(|(key, entity)| (key, entity.into()))
            .collect(),
    }
}
