//! Calls, read from the list of conferences: the connections and the phase of each.
//!
//! Pure. The room makes events of the differences between two lists.

use serde_json::{Map, Value};

use super::quirks::{is_pending, text, truth, whole};

/// The phase of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPhase {
    /// There is none, or it has ended.
    Idle,
    /// It goes out and is not answered yet.
    Dialing,
    /// It comes in and is not answered yet.
    Ringing,
    /// It is connected.
    Connected,
    /// It is connected and on hold.
    Held,
}

impl CallPhase {
    /// Every word of `call/state`, and the one for an unknown state.
    pub const WORDS: &[&str] = &[
        Self::Idle.as_str(),
        Self::Dialing.as_str(),
        Self::Ringing.as_str(),
        Self::Connected.as_str(),
        Self::Held.as_str(),
        "unknown",
    ];

    /// The word in `call/state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Connected => "connected",
            Self::Held => "held",
        }
    }

    /// The phase of all connections together: the furthest one.
    pub(super) fn of(connections: &[CallConnection], list: &Value) -> Self {
        let any = |phase| {
            connections
                .iter()
                .any(|connection| connection.phase == phase)
        };
        let held = list.as_array().into_iter().flatten().any(|conference| {
            flag(conference, "isHolding")
                || conference
                    .get("holdState")
                    .and_then(Value::as_str)
                    .is_some_and(|state| !state.is_empty() && state != "NOTHELD")
                || parties(conference).any(|party| state(party) == "HELD")
        });
        if any(Self::Connected) {
            if held { Self::Held } else { Self::Connected }
        } else if any(Self::Ringing) {
            Self::Ringing
        } else if any(Self::Dialing) {
            Self::Dialing
        } else {
            Self::Idle
        }
    }
}

/// One connection of a conference.
#[derive(Debug, Clone, PartialEq)]
pub struct CallConnection {
    /// Its id.
    pub id: String,
    /// The id of its conference.
    pub conference: String,
    /// Who is at the other end.
    pub address: Option<String>,
    /// The other end called.
    pub incoming: bool,
    /// Its phase.
    pub phase: CallPhase,
}

impl CallConnection {
    /// Its members in event payloads.
    pub fn describe(&self) -> Map<String, Value> {
        let mut about = Map::new();
        about.insert("conference".into(), self.conference.clone().into());
        about.insert("connection".into(), self.id.clone().into());
        about.insert("address".into(), self.address.clone().into());
        about.insert("incoming".into(), self.incoming.into());
        about
    }
}

pub(super) fn id(value: &Value) -> Option<&str> {
    value.get("id").and_then(text)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(truth) == Some(true)
}

/// The connections of a conference, as the device lists them.
fn parties(conference: &Value) -> impl Iterator<Item = &Value> {
    let parties = conference.get("connections").and_then(Value::as_array);
    parties.into_iter().flatten()
}

/// The word for the state of a connection, in capital letters.
fn state(connection: &Value) -> String {
    let word = connection.get("state").and_then(Value::as_str);
    word.unwrap_or_default().to_ascii_uppercase()
}

/// The connections of a list of conferences, without those that have ended.
pub fn connections(list: &Value) -> Vec<CallConnection> {
    let mut found = Vec::new();
    for conference in list.as_array().into_iter().flatten() {
        let Some(conference_id) = id(conference) else {
            continue;
        };
        for entry in parties(conference) {
            let Some(id) = id(entry) else { continue };
            let incoming = flag(entry, "incoming");
            let percent = entry.get("percentConnected").and_then(whole);
            let is_through = percent == Some(100);
            let up = is_through || flag(conference, "isActive");
            let phase = match state(entry).as_str() {
                "INACTIVE" | "DISCONNECTED" | "DISCONNECTING" => continue,
                "CONNECTED" | "ACTIVE" | "HELD" => CallPhase::Connected,
                _ if is_pending(conference_id) => CallPhase::Ringing,
                _ if flag(entry, "answerable") => CallPhase::Ringing,
                "" if up => CallPhase::Connected,
                // A word of newer firmware. The conference may be active while somebody else rings.
                _ if is_through => CallPhase::Connected,
                _ if incoming => CallPhase::Ringing,
                _ => CallPhase::Dialing,
            };
            found.push(CallConnection {
                id: id.to_owned(),
                conference: conference_id.to_owned(),
                address: entry.get("address").and_then(text).map(str::to_owned),
                incoming: incoming || is_pending(conference_id),
                phase,
            });
        }
    }
    found
}

/// The number of connections that are more than ringing.
pub(super) fn count(list: &Value) -> usize {
    connections(list)
        .iter()
        .filter(|connection| connection.phase != CallPhase::Ringing)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(conference: &str, state: &str, incoming: bool) -> Value {
        json!([{
            "id": conference,
            "isHolding": false,
            "holdState": "NOTHELD",
            "connections": [{"id": "3", "state": state, "incoming": incoming, "address": "a@b"}],
        }])
    }

    fn phase(list: &Value) -> &'static str {
        CallPhase::of(&connections(list), list).as_str()
    }

    #[test]
    fn the_call_state_follows_the_connections() {
        assert_eq!(phase(&json!([])), "idle");
        assert_eq!(phase(&list("PENDING", "RINGING", true)), "ringing");
        assert_eq!(phase(&list("0", "CONNECTING", false)), "dialing");
        assert_eq!(phase(&list("0", "CONNECTED", false)), "connected");
        assert_eq!(phase(&list("0", "DISCONNECTED", false)), "idle");
        let mut held = list("0", "CONNECTED", true);
        held[0]["holdState"] = "HELD".into();
        assert_eq!(phase(&held), "held");
        assert_eq!(phase(&list("0", "HELD", false)), "held");
    }

    #[test]
    fn a_live_call_with_a_word_that_nobody_knows_does_not_ring() {
        let mut live = list("0", "MEDIA_UPDATE", true);
        live[0]["connections"][0]["percentConnected"] = 100.into();
        assert_eq!(phase(&live), "connected");
        // Somebody rings while another call of the same conference is up.
        let mut rings = list("0", "ALERTING", true);
        rings[0]["isActive"] = true.into();
        assert_eq!(phase(&rings), "ringing");
    }
}
