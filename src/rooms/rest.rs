//! Whether a device rests: it is asleep, or people use it by an app of another provider.
//!
//! Pure. Learns from the states that the room publishes. What follows from it is the schedule's.

use serde_json::Value;

use crate::catalogue::{
    CALL_IN_MEETING, SYSTEM_MODE, SYSTEM_STATE, StateTopic, active_persona, is_own_provider, truth,
};

/// The value of `system/state` of a device that is asleep.
const ASLEEP: &str = "ASLEEP";

/// What is known of a device's rest.
#[derive(Debug, Default)]
pub struct Rest {
    is_asleep: bool,
    /// An app of the device is in a meeting.
    is_in_meeting: bool,
    /// Another provider than Poly is active.
    is_elsewhere: bool,
}

impl Rest {
    /// A state has this value now; `None`: it is gone.
    pub fn learn(&mut self, state: StateTopic, value: Option<&Value>) {
        match state {
            SYSTEM_STATE => self.is_asleep = value.is_some_and(|value| value == ASLEEP),
            CALL_IN_MEETING => self.is_in_meeting = value.and_then(truth) == Some(true),
            SYSTEM_MODE => {
                let provider = value.and_then(active_persona);
                self.is_elsewhere = provider.is_some_and(|name| !is_own_provider(name));
            }
            _ => {}
        }
    }

    /// Whether little changes that people would want to see at once.
    pub fn is_resting(&self) -> bool {
        self.is_asleep || self.is_in_meeting || self.is_elsewhere
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_device_rests_while_it_is_asleep_or_used_by_another_provider() {
        for (state, resting, awake) in [
            (
                SYSTEM_STATE,
                vec![json!("ASLEEP")],
                vec![json!("READY"), json!("IN_CALL"), Value::Null],
            ),
            (
                CALL_IN_MEETING,
                vec![json!(true)],
                vec![json!(false), Value::Null],
            ),
            (
                SYSTEM_MODE,
                vec![
                    json!({"activePersona": "Teams"}),
                    json!({"activePersona": "camuvc"}),
                ],
                vec![
                    json!({"activePersona": "Poly"}),
                    json!({"activePersona": "POLY"}),
                    json!({"activePersona": ""}),
                    json!({"activePersona": null}),
                    json!("none"),
                ],
            ),
        ] {
            for rests in resting {
                for other in awake.iter().map(Some).chain([None]) {
                    let mut rest = Rest::default();
                    assert!(!rest.is_resting());
                    rest.learn(state, Some(&rests));
                    assert!(rest.is_resting(), "{state} {rests}");
                    rest.learn(state, other);
                    assert!(!rest.is_resting(), "{state} {other:?}");
                }
            }
        }
    }
}
