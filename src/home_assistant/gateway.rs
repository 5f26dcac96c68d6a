//! The device of the gateway itself.

use super::document::{Component, Device, Document, Origin};
use super::entities::{Scope, told};
use super::{Naming, id_text};
use crate::catalogue::{Enabled, Entity};

const INFO: &str = "gateway/info";
const HEALTH: &str = "gateway/health";

/// It says whether the gateway is there, so it must hold while that is not.
const AVAILABILITY: (&str, Entity) = (
    "gateway/availability",
    Entity::binary_sensor("availability", "Availability")
        .class("connectivity")
        .value("{{ 'true' if value == 'online' else 'false' }}")
        .diagnostic(),
);

const ENTITIES: &[(&str, Entity)] = &[
    (
        INFO,
        figure("version", "Version", "{{ value_json.version }}").icon("mdi:tag-outline"),
    ),
    (
        INFO,
        figure("started", "Started", "{{ value_json.started }}").class("timestamp"),
    ),
    (
        HEALTH,
        figure("rooms", "Rooms", "{{ value_json.rooms }}")
            .icon("mdi:door")
            .measures(),
    ),
    (
        HEALTH,
        figure(
            "rooms_online",
            "Rooms online",
            "{{ value_json.rooms_online }}",
        )
        .icon("mdi:door-open")
        .measures(),
    ),
    (
        HEALTH,
        counter("commands", "Commands", "{{ value_json.commands }}"),
    ),
    (
        HEALTH,
        counter(
            "connects",
            "Broker connections",
            "{{ value_json.mqtt.connects }}",
        ),
    ),
    (
        HEALTH,
        counter(
            "published",
            "Messages published",
            "{{ value_json.mqtt.published }}",
        )
        .enabled(Enabled::Never),
    ),
    (
        HEALTH,
        counter(
            "received",
            "Messages received",
            "{{ value_json.mqtt.received }}",
        )
        .enabled(Enabled::Never),
    ),
    (
        HEALTH,
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
pub fn gateway_document(naming: &Naming) -> Document {
    let scope = Scope {
        naming,
        device: naming.gateway(),
        called: id_text(&naming.base(), '_'),
        below: String::new(),
    };
    let there = vec![scope.availability(AVAILABILITY.0)];
    let availability = {
        let (topic, entity) = &AVAILABILITY;
        scope.component(entity, told(entity, scope.topic(topic)), None)
    };
    let others = ENTITIES.iter().map(|(topic, entity)| {
        let (key, component) = scope.component(entity, told(entity, scope.topic(topic)), None);
        let component = Component {
            availability: Some(there.clone()),
            enabled_by_default: (entity.enabled == Enabled::Never).then_some(false),
            ..component
        };
        (key, component)
    });
    Document {
        device: Device {
            identifiers: vec![naming.gateway()],
            name: match naming.topic_prefix.as_str() {
                "" => "poly2mqtt".into(),
                prefix => format!("poly2mqtt ({prefix})"),
            },
            sw_version: Some(env!("CARGO_PKG_VERSION").into()),
            model: Some("Gateway".into()),
            ..Device::default()
        },
        origin: Origin::own(),
        availability: Vec::new(),
        availability_mode: None,
        components: std::iter::once(availability).chain(others).collect(),
    }
}
