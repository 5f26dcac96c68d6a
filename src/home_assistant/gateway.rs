//! The device of the gateway itself; of several gateways, one of each and one of all together.

use super::document::{Component, DeviceInfo, Document, Origin};
use super::entities::{Scope, read_only};
use super::{Namespace, id_text};
use crate::catalogue::{Enabled, Entity};
use crate::topics::{
    GATEWAY_AVAILABILITY, GATEWAY_CLUSTER, GATEWAY_HEALTH, GATEWAY_INFO, MemberTopics,
};

/// A template of a gateway's document, with the document as `said`. The topic is empty when the gateway has been
/// forgotten, or no gateway is there any more, and an older version lacks members: that is unknown, and no error in
/// Home Assistant's log. So members are read with `get`.
macro_rules! said {
    ($value:literal) => {
        concat!(
            "{% set said = value_json if value_json is mapping else {} %}{{ ",
            $value,
            " }}"
        )
    };
}

/// It says whether the gateway runs, so it has no availability of its own.
static AVAILABILITY: (&str, Entity) = (
    GATEWAY_AVAILABILITY,
    Entity::binary_sensor("availability", "Availability")
        .class("connectivity")
        .value("{{ 'true' if value == 'online' else 'false' }}")
        .diagnostic(),
);

const ENTITIES: &[(&str, Entity)] = &[
    (
        GATEWAY_INFO,
        figure("version", "Version", said!("said.get('version')")).icon("mdi:tag-outline"),
    ),
    (
        GATEWAY_INFO,
        figure("started", "Started", said!("said.get('started')")).class("timestamp"),
    ),
    (
        GATEWAY_HEALTH,
        figure("rooms", "Rooms", said!("said.get('rooms')"))
            .icon("mdi:door")
            .measures(),
    ),
    (
        GATEWAY_HEALTH,
        figure(
            "rooms_online",
            "Rooms online",
            said!("said.get('rooms_online')"),
        )
        .icon("mdi:door-open")
        .measures(),
    ),
    (
        GATEWAY_HEALTH,
        counter("commands", "Commands", said!("said.get('commands')")),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "connects",
            "Broker connections",
            said!("said.get('mqtt', {}).get('connects')"),
        ),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "published",
            "Messages published",
            said!("said.get('mqtt', {}).get('published')"),
        )
        .enabled(Enabled::Never),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "received",
            "Messages received",
            said!("said.get('mqtt', {}).get('received')"),
        )
        .enabled(Enabled::Never),
    ),
    (
        GATEWAY_HEALTH,
        counter(
            "refused",
            "Messages refused",
            said!("said.get('mqtt', {}).get('refused')"),
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

/// What several gateways together have.
const CLUSTER_ENTITIES: &[(&str, Entity)] = &[
    (
        GATEWAY_CLUSTER,
        figure(
            "members",
            "Gateways",
            said!("said.get('members', {}) | count if 'members' in said else 'None'"),
        )
        .icon("mdi:server-network")
        .measures(),
    ),
    (
        GATEWAY_CLUSTER,
        figure(
            "unowned",
            "Rooms without a gateway",
            said!("said.get('unowned_rooms')"),
        )
        .icon("mdi:door-closed-lock")
        .measures(),
    ),
    (
        GATEWAY_CLUSTER,
        Entity::binary_sensor("problem", "Problem")
            .class("problem")
            .value(said!(
                "('true' if said.get('problem') else 'false') if said else 'None'"
            ))
            .attributes(said!("(said.get('problem') or {}) | tojson"))
            .diagnostic(),
    ),
];

/// The document of the gateway's device.
pub fn gateway_document(namespace: &Namespace) -> Document {
    let device = DeviceInfo {
        identifiers: vec![namespace.gateway()],
        name: together(namespace),
        sw_version: Some(env!("CARGO_PKG_VERSION").into()),
        model: Some("Gateway".into()),
        ..DeviceInfo::default()
    };
    document(
        namespace,
        device,
        namespace.entity_prefix(),
        ENTITIES,
        &str::to_owned,
    )
}

/// The document of several gateways together, through which all rooms are reached. Its device is that of one gateway
/// that is alone, so a room's document is the same there.
pub fn cluster_document(namespace: &Namespace) -> Document {
    let device = DeviceInfo {
        identifiers: vec![namespace.gateway()],
        name: together(namespace),
        model: Some("Gateways".into()),
        ..DeviceInfo::default()
    };
    let prefix = namespace.entity_prefix();
    document(namespace, device, prefix, CLUSTER_ENTITIES, &str::to_owned)
}

/// The document of one of several gateways.
pub fn member_document(namespace: &Namespace, name: &str) -> Document {
    let device = DeviceInfo {
        identifiers: vec![namespace.member(name)],
        name: format!("{} {name}", together(namespace)),
        sw_version: Some(env!("CARGO_PKG_VERSION").into()),
        model: Some("Gateway".into()),
        via_device: Some(namespace.gateway()),
        ..DeviceInfo::default()
    };
    let prefix = format!("{}_{}", namespace.entity_prefix(), id_text(name, '_'));
    let topic = |topic: &str| MemberTopics::new(name).of(topic).unwrap_or_default();
    document(namespace, device, prefix, ENTITIES, &topic)
}

fn together(namespace: &Namespace) -> String {
    match namespace.topic_prefix.as_str() {
        "" => "poly2mqtt".into(),
        prefix => format!("poly2mqtt ({prefix})"),
    }
}

/// A document with the availability and these entities. `topic` says where each of the gateway's topics is.
fn document(
    namespace: &Namespace,
    device: DeviceInfo,
    entity_prefix: String,
    entities: &'static [(&'static str, Entity)],
    topic: &dyn Fn(&str) -> String,
) -> Document {
    let scope = Scope {
        namespace,
        device: device.identifiers.concat(),
        entity_prefix,
        below: String::new(),
    };
    let component = |(of, entity): &'static (&'static str, Entity)| {
        scope.component(entity, read_only(entity, scope.topic(&topic(of))), None)
    };
    let available = vec![scope.availability(&topic(AVAILABILITY.0))];
    let others = entities.iter().map(|known| {
        let (key, shown) = component(known);
        let shown = Component {
            availability: Some(available.clone()),
            enabled_by_default: (known.1.enabled == Enabled::Never).then_some(false),
            ..shown
        };
        (key, shown)
    });
    Document {
        device,
        origin: Origin::gateway(),
        availability: Vec::new(),
        availability_mode: None,
        components: std::iter::once(component(&AVAILABILITY))
            .chain(others)
            .map(|(key, entity)| (key, entity.into()))
            .collect(),
    }
}
