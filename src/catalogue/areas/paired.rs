//! What is paired with the codec. Not in the guide; the reads are POSTs that change nothing.

use crate::catalogue::entity::Entity;
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::operation::{Class, Operation, ReadBody, post};
use crate::catalogue::paired::{panels, without_addresses};
use crate::catalogue::state::{Pick, Shape, State};

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    /// The codec itself, touch panels, cameras, remote controls.
    pub const DEVICES: StateTopic = StateTopic::new(
        "system/devices",
        "What is paired with the device, as a list: the device itself, touch panels, cameras, \
         remote controls, each with `deviceType` and `deviceState`.",
    );
    /// One topic below it for each touch panel.
    pub const TOUCH_PANEL: StateTopic = StateTopic::new(
        "system/touch_panel",
        "A paired touch panel: `id`, `name`, `type`, `state`, and whether it is `connected`.",
    );
}

const KNOWN_BY: &[(&str, MemberKind)] = &[
    ("deviceType", MemberKind::Text),
    ("deviceState", MemberKind::Text),
];

const STATES: &[State] = &[
    State::with(states::DEVICES, |list, _| without_addresses(list)),
    State::new(states::TOUCH_PANEL, Pick::Each(panels)).entities(&[Entity::binary_sensor(
        "touch_panel_{name}",
        "Touch panel {name}",
    )
    .class("connectivity")
    .value(
        "{{ 'None' if value_json is not mapping or value_json.get('connected') is none else \
         'true' if value_json.get('connected') else 'false' }}",
    )
    .attributes("{{ (value_json if value_json is mapping else {}) | tojson }}")
    .diagnostic()]),
];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    post("/rest/devicemanagement/devices")
        .reads_with(ReadBody::Fixed(r#"{"deviceState":"PAIRED"}"#))
        .shape(Shape::List)
        .known_by(KNOWN_BY)
        .states(STATES)
        .poll(Class::Normal),
    post("/rest/current/devicemanagement/devices")
        .reads_with(ReadBody::Fixed("null"))
        .fallback_for("/rest/devicemanagement/devices")
        .shape(Shape::List)
        .known_by(KNOWN_BY)
        .states(STATES)
        .poll(Class::Normal),
];
