//! The events of calls, from one reading of the conferences to the next.
//!
//! Pure: a difference between two lists of connections.

use serde_json::{Map, Value};

use crate::catalogue::{CallConnection, CallPhase, RoomEvent};

/// What happened, and its details.
pub type Event = (RoomEvent, Value);

/// What happened from one reading of the connections to the next.
fn events(before: &[CallConnection], after: &[CallConnection]) -> Vec<Event> {
    let known = |connection: &CallConnection| before.iter().find(|old| old.id == connection.id);
    let mut events = Vec::new();
    for connection in after {
        let phase = known(connection).map(|old| old.phase);
        match connection.phase {
            CallPhase::Ringing if phase != Some(CallPhase::Ringing) => {
                events.push(event(RoomEvent::IncomingCall, connection.describe()));
            }
            CallPhase::Connected if phase != Some(CallPhase::Connected) => {
                events.push(event(RoomEvent::CallConnected, connection.describe()));
            }
            _ => {}
        }
    }
    for connection in before {
        if !after.iter().any(|new| new.id == connection.id) {
            let mut details = connection.describe();
            let answered = connection.phase == CallPhase::Connected;
            details.insert("answered".into(), answered.into());
            events.push(event(RoomEvent::CallEnded, details));
        }
    }
    events
}

fn event(event: RoomEvent, details: Map<String, Value>) -> Event {
    (event, Value::Object(details))
}

/// The calls of a room.
#[derive(Debug, Default)]
pub struct Calls {
    /// The connections of the last reading; none before the first.
    connections: Option<Vec<CallConnection>>,
}

impl Calls {
    /// Takes a reading and returns its events. The first reading has none: what is up already may
    /// have begun long ago.
    pub fn update(&mut self, now: Vec<CallConnection>) -> Vec<Event> {
        let events = match &self.connections {
            Some(before) => events(before, &now),
            None => Vec::new(),
        };
        self.connections = Some(now);
        events
    }

    /// The connections that are more than ringing.
    fn active(&self) -> impl Iterator<Item = &CallConnection> {
        self.connections
            .iter()
            .flatten()
            .filter(|connection| connection.phase != CallPhase::Ringing)
    }

    /// A call is up or being dialled.
    pub fn in_call(&self) -> bool {
        self.active().next().is_some()
    }

    /// The conference of the call.
    pub fn conference(&self) -> Option<&str> {
        self.active()
            .map(|connection| connection.conference.as_str())
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: &str, phase: CallPhase) -> CallConnection {
        CallConnection {
            id: id.into(),
            conference: "0".into(),
            address: None,
            incoming: true,
            phase,
        }
    }

    fn names(events: Vec<Event>) -> Vec<&'static str> {
        let names = events.into_iter().map(|(event, _)| event.as_str());
        names.collect()
    }

    #[test]
    fn a_call_rings_connects_and_ends() {
        let mut calls = Calls::default();
        assert!(
            calls
                .update(vec![connection("1", CallPhase::Connected)])
                .is_empty()
        );
        let ringing = vec![connection("2", CallPhase::Ringing)];
        assert_eq!(
            names(calls.update(ringing.clone())),
            ["incoming_call", "call_ended"]
        );
        assert!(calls.update(ringing).is_empty());
        assert!(!calls.in_call());
        let up = vec![connection("2", CallPhase::Connected)];
        assert_eq!(names(calls.update(up)), ["call_connected"]);
        assert_eq!(calls.conference(), Some("0"));
        let ended = calls.update(Vec::new());
        assert_eq!(ended[0].1["answered"], true);
    }
}
