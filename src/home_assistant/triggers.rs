//! The device triggers of a room: its events, as the editor of automations offers them for a device.
//!
//! An event entity shows what happened last; a trigger is there for those who choose a device first.

use super::document::{DeviceTrigger, Listed};
use super::entities::Scope;
use super::facts::RoomFacts;
use crate::catalogue::{CALLS, DEVICES, StateTopic};

/// An event as a trigger. Home Assistant shows the words as `"Call" connected`.
struct EventTrigger {
    /// The event's topic below the room, from which the trigger's key is made too.
    event: &'static str,
    subtype: &'static str,
    kind: &'static str,
    /// The state that a device must have to have the event.
    of: Option<StateTopic>,
}

const fn trigger(
    event: &'static str,
    subtype: &'static str,
    kind: &'static str,
    of: Option<StateTopic>,
) -> EventTrigger {
    EventTrigger {
        event,
        subtype,
        kind,
        of,
    }
}

const TRIGGERS: &[EventTrigger] = &[
    trigger("incoming_call", "Call", "incoming", Some(CALLS)),
    trigger("call_connected", "Call", "connected", Some(CALLS)),
    trigger("call_ended", "Call", "ended", Some(CALLS)),
    trigger("device_lost", "Paired device", "lost", Some(DEVICES)),
    trigger("device_back", "Paired device", "back", Some(DEVICES)),
    trigger("readiness_failed", "Readiness", "failed", None),
    trigger("command_failed", "Command", "failed", None),
];

/// The triggers of the events that the device has, with their keys.
pub fn triggers(scope: &Scope<'_>, facts: &RoomFacts) -> impl Iterator<Item = (String, Listed)> {
    let has = |trigger: &&EventTrigger| trigger.of.is_none_or(|state| facts.has(state));
    TRIGGERS.iter().filter(has).map(|trigger| {
        let topic = scope.topic(&format!("event/{}", trigger.event));
        let listed = DeviceTrigger::new(topic, trigger.subtype, trigger.kind);
        (format!("trigger_{}", trigger.event), listed.into())
    })
}
