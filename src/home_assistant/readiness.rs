//! The newest report of a check of the room, and the button that makes one.
//!
//! They are there for every room: the gateway itself makes the report, whatever the device has.

use super::document::{AvailabilityTopic, Component, Platform};
use super::entities::{Scope, read_only};
use crate::catalogue::Entity;
use crate::catalogue::checked::{READINESS, READINESS_RUN};

/// Whether the newest check of the room found something wrong. Unknown before the first.
static READINESS_PROBLEM: Entity = Entity::binary_sensor("readiness", "Readiness")
    .class("problem")
    .icon("mdi:clipboard-check-outline")
    .value(
        "{{ 'None' if value_json is not mapping else \
         'false' if value_json.get('ok') else 'true' }}",
    )
    .attributes(
        "{% set report = value_json if value_json is mapping else {} %}\
         {% set checks = report.get('checks', []) %}\
         {{ {'checked_at': report.get('at'), \
         'failed': checks | rejectattr('ok') | map(attribute='name') | list, \
         'messages': checks | rejectattr('ok') | map(attribute='message') | list, \
         'checks': checks} | tojson }}",
    )
    .diagnostic();
/// Checks the room.
static READINESS_BUTTON: Entity =
    Entity::button("check_room", "Check room").icon("mdi:clipboard-play-outline");

/// Both, with their keys. They are available while the gateway is: that a device cannot be used is what the
/// report says.
pub fn readiness_components(
    scope: &Scope<'_>,
    gateway: &AvailabilityTopic,
) -> [(String, Component); 2] {
    let report = read_only(&READINESS_PROBLEM, scope.topic(READINESS.as_str()));
    let run = Platform::Button {
        command_topic: scope.topic(READINESS_RUN.as_str()),
        payload_press: READINESS_BUTTON.sends,
    };
    let entities = [(&READINESS_PROBLEM, report), (&READINESS_BUTTON, run)];
    entities.map(|(entity, platform)| {
        let (key, component) = scope.component(entity, platform, None);
        let component = Component {
            availability: Some(vec![gateway.clone()]),
            ..component
        };
        (key, component)
    })
}
