//! The device triggers of a room: its events, as the editor of automations offers them for a device.
//!
//! An event entity shows what happened last; a trigger is there for those who choose a device first.

use super::document::{DeviceTrigger, Listed};
use super::entities::Scope;
use super::facts::RoomFacts;
use crate::catalogue::{CALLS, DEVICES, RoomEvent, StateTopic};

/// An event as a trigger: subtype and type, which Home Assistant shows as `"Call" connected`, and the state that a
/// device must have to have the event.
fn trigger(event: RoomEvent) -> (&'static str, &'static str, Option<StateTopic>) {
    match event {
        RoomEvent::IncomingCall => ("Call", "incoming", Some(CALLS)),
        RoomEvent::CallConnected => ("Call", "connected", Some(CALLS)),
        RoomEvent::CallEnded => ("Call", "ended", Some(CALLS)),
        RoomEvent::DeviceLost => ("Paired device", "lost", Some(DEVICES)),
        RoomEvent::DeviceBack => ("Paired device", "back", Some(DEVICES)),
        RoomEvent::ReadinessFailed => ("Readiness", "failed", None),
        RoomEvent::CommandFailed => ("Command", "failed", None),
    }
}

/// The triggers of the events that the device has, with their keys.
pub fn triggers(scope: &Scope<'_>, facts: &RoomFacts) -> impl Iterator<Item = (String, Listed)> {
    RoomEvent::ALL.into_iter().filter_map(|event| {
        let (subtype, kind, needed) = trigger(event);
        if needed.is_some_and(|state| !facts.has(state)) {
            return None;
        }
        let topic = scope.topic(&format!("event/{}", event.as_str()));
        let listed = DeviceTrigger::new(topic, subtype, kind);
        Some((format!("trigger_{}", event.as_str()), listed.into()))
    })
}
