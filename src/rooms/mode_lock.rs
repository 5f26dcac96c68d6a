//! What a device refuses because of the provider that runs it, where no other provider could take it.
//!
//! Pure. From version 5 on devices have no Poly provider: what one of theirs refuses, the next request would be
//! refused too. A device that has it can go back at any moment, so there each request is sent. Everything is
//! forgotten at the next log-in, and when another provider runs.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use crate::catalogue::{
    Method, PROVIDERS, Request, SYSTEM_MODE, StateTopic, active_persona, is_own_provider,
};
use crate::command::{ErrorCode, Failure};

/// How many refusals are remembered. Ids in paths come from clients, who must not fill the memory.
const MOST_REMEMBERED: usize = 64;

/// The method and path of a request, which is what a provider refuses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    method: Method,
    path: Vec<Cow<'static, str>>,
}

impl Target {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method,
            path: request.path.clone(),
        }
    }
}

/// The refusals of a device that has no provider of Poly's.
#[derive(Debug, Clone, Default)]
pub struct ModeLock {
    /// The provider that runs the device.
    persona: Option<String>,
    /// The device lists its providers, and Poly's is not among them.
    is_lasting: bool,
    refused: HashMap<Target, Failure>,
    /// Another provider runs since this was asked last.
    has_changed: bool,
}

impl ModeLock {
    /// After a log-in the firmware may be another.
    pub fn logged_in(&mut self) {
        *self = Self::default();
    }

    /// A state has this value now; `None`: it is gone.
    pub fn learn(&mut self, state: StateTopic, value: Option<&Value>) {
        match state {
            SYSTEM_MODE => {
                let persona = value.and_then(active_persona);
                if self.persona.is_some() && self.persona.as_deref() != persona {
                    self.has_changed = true;
                    self.refused.clear();
                }
                self.persona = persona.map(str::to_owned);
            }
            PROVIDERS => {
                let list = value.and_then(Value::as_array);
                self.is_lasting =
                    list.is_some_and(|list| !list.is_empty() && !list.iter().any(is_own_app));
            }
            _ => {}
        }
    }

    /// Whether another provider runs since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Why the device will refuse this request, if it is known to.
    pub fn refusal_of(&self, request: &Request) -> Option<Failure> {
        if self.is_lasting {
            self.refused.get(&Target::of(request)).cloned()
        } else {
            None
        }
    }

    /// A request has failed.
    pub fn note(&mut self, request: &Request, failure: &Failure) {
        if failure.code == ErrorCode::ModeLocked {
            self.insert(Target::of(request), failure.clone());
        }
    }

    fn insert(&mut self, target: Target, failure: Failure) {
        if self.refused.len() < MOST_REMEMBERED || self.refused.contains_key(&target) {
            self.refused.insert(target, failure);
        }
    }

    /// Takes over what a command has found out.
    pub fn add(&mut self, found: Self) {
        for (target, failure) in found.refused {
            self.insert(target, failure);
        }
    }
}

fn is_own_app(app: &Value) -> bool {
    let named = |member| app[member].as_str().is_some_and(is_own_provider);
    ["appName", "personaName"].into_iter().any(named)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::catalogue::Call;

    fn request(topic: &str, payload: &'static str) -> Request {
        let call = Call::parse(topic, &Bytes::from(payload), &mut None).unwrap();
        call.request(0).unwrap()
    }

    fn locked() -> Failure {
        Failure::new(ErrorCode::ModeLocked, "the device runs in Teams mode")
    }

    fn app(name: &str) -> Value {
        json!({"appName": name, "personaName": name})
    }

    #[test]
    fn only_a_device_that_cannot_go_back_is_asked_once() {
        let dial = request("call/dial", "alice@example.com");
        for (providers, wanted) in [
            (json!([app("Teams"), app("Device Mode")]), true),
            (json!([app("Teams"), app("POLY")]), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            let mut lock = ModeLock::default();
            lock.note(&dial, &locked());
            lock.learn(PROVIDERS, Some(&providers));
            assert_eq!(lock.refusal_of(&dial).is_some(), wanted, "{providers}");
        }
    }

    #[test]
    fn a_refusal_is_of_its_request_and_lasts_until_another_provider_or_log_in() {
        let mut lock = ModeLock::default();
        let mode = |persona: &str| json!({"activePersona": persona});
        lock.learn(PROVIDERS, Some(&json!([app("Teams")])));
        let (dial, mute) = (request("call/dial", "a"), request("audio/mute", ""));
        lock.note(&mute, &Failure::new(ErrorCode::Forbidden, "no"));
        lock.learn(SYSTEM_MODE, Some(&mode("Teams")));
        assert!(!lock.take_changed());
        lock.note(&dial, &locked());
        lock.learn(SYSTEM_MODE, Some(&mode("Teams")));
        assert_eq!(lock.refusal_of(&dial), Some(locked()));
        assert_eq!(lock.refusal_of(&mute), None);
        lock.learn(SYSTEM_MODE, Some(&mode("camuvc")));
        assert!(lock.take_changed() && !lock.take_changed());
        assert_eq!(lock.refusal_of(&dial), None);
        lock.note(&dial, &locked());
        lock.logged_in();
        lock.learn(PROVIDERS, Some(&json!([app("Teams")])));
        assert_eq!(lock.refusal_of(&dial), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut lock = ModeLock::default();
        for id in 0..10 * MOST_REMEMBERED {
            lock.note(
                &request(&format!("camera/near/{id}/activate"), ""),
                &locked(),
            );
        }
        assert_eq!(lock.refused.len(), MOST_REMEMBERED);
    }
}
