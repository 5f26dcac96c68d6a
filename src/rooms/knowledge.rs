//! Turns readings into the states and events that a room publishes.
//!
//! Owns the calls that are up and how the device numbers presets. Every reading comes through
//! [`RoomKnowledge::apply`], whether a poll or a command's read-back brought it, and becomes states and
//! call events.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::boot_time::BootTime;
use super::calls::Calls;
use super::mode_lock::ModeLock;
use super::paired::PairedDevices;
use super::publisher::RoomPublisher;
use super::reading::{ReadOutcome, Reading};
use super::rest::Rest;
use super::spellings::Spellings;
use crate::catalogue::{
    BOOT_TIME, CALLS, Context, DEVICES, Operation, PRESETS, Pick, PresetNames, RoomEvent, SESSION,
    SETTING, StateTopic, When, connections, learned_preset_offset, operations, paired_devices,
    uptime,
};
use crate::clock::unix_seconds;

/// A room's knowledge of its device.
#[derive(Debug)]
pub struct RoomKnowledge {
    publisher: Arc<RoomPublisher>,
    calls: Calls,
    /// The room's `preset_offset`, if configured.
    configured_preset_offset: Option<i8>,
    /// The names of the device's own configuration that are kept as states.
    setting_names: Arc<[String]>,
    /// What the device's own list of presets shows, if it has been read.
    learned_preset_offset: Option<i8>,
    preset_names: Arc<PresetNames>,
    spellings: Spellings,
    mode_lock: ModeLock,
    rest: Rest,
    paired: PairedDevices,
    boot_time: BootTime,
    /// A call has ended since this was asked last.
    call_has_ended: bool,
}

impl RoomKnowledge {
    /// Clears the settings that an earlier task of the room has published and that are not kept any more.
    pub fn new(
        publisher: Arc<RoomPublisher>,
        configured_preset_offset: Option<i8>,
        preset_names: Arc<PresetNames>,
        setting_names: Arc<[String]>,
    ) -> Self {
        let knowledge = Self {
            boot_time: BootTime::new(publisher.stored_text(BOOT_TIME)),
            publisher,
            setting_names,
            calls: Calls::default(),
            configured_preset_offset,
            learned_preset_offset: None,
            preset_names,
            spellings: Spellings::default(),
            mode_lock: ModeLock::default(),
            rest: Rest::default(),
            paired: PairedDevices::default(),
            call_has_ended: false,
        };
        let mut settings = knowledge.publisher.published_below(SETTING);
        settings.retain(|topic| knowledge.is_wanted(SETTING, topic));
        knowledge.clear_unnamed(SETTING, &settings);
        knowledge
    }

    /// Whether the room has this topic of a state: of the device's own configuration only what its
    /// `settings` name, whatever else a device tells.
    fn is_wanted(&self, state: StateTopic, topic: &str) -> bool {
        let name = topic.strip_prefix(SETTING.as_str());
        let name = name.and_then(|below| below.strip_prefix('/'));
        let mut kept = self.setting_names.iter();
        state != SETTING || kept.any(|kept| name == Some(kept))
    }

    /// Which spellings of requests the device has.
    pub fn spellings(&mut self) -> &mut Spellings {
        &mut self.spellings
    }

    /// What the provider that runs the device refuses.
    pub fn mode_lock(&mut self) -> &mut ModeLock {
        &mut self.mode_lock
    }

    /// After a log-in the firmware may be another.
    pub fn logged_in(&mut self) {
        self.spellings.logged_in();
        self.mode_lock.logged_in();
    }

    /// Whether a call has ended since this was asked last.
    pub fn take_call_ended(&mut self) -> bool {
        std::mem::take(&mut self.call_has_ended)
    }

    /// A call is up or being dialled.
    pub fn in_call(&self) -> bool {
        self.calls.in_call()
    }

    /// Every paired device that was there at some time since the gateway started.
    pub fn known_devices(&self) -> Vec<crate::catalogue::PairedDevice> {
        self.paired.known()
    }

    /// The device is asleep, or used by another provider's app.
    pub fn is_resting(&self) -> bool {
        self.rest.is_resting()
    }

    /// The conference of the call.
    pub fn conference(&self) -> Option<&str> {
        self.calls.conference()
    }

    /// The offset of preset numbers at the device, if it is known.
    pub fn preset_offset(&self) -> Option<i8> {
        self.configured_preset_offset.or(self.learned_preset_offset)
    }

    /// What the values of states may depend on besides the device's answer.
    pub fn context(&self) -> Context {
        Context {
            now: unix_seconds(),
            preset_offset: self.configured_preset_offset,
            preset_names: Some(self.preset_names.clone()),
            started: self.boot_time.started(),
        }
    }

    /// Publishes what was read, and all that follows from it.
    pub fn apply(&mut self, reading: &Reading) {
        let Reading {
            operation, outcome, ..
        } = reading;
        match outcome {
            ReadOutcome::Value(answer) => {
                self.spellings.read_worked(operation);
                if operation.feeds(BOOT_TIME)
                    && let Some(uptime) = uptime(answer)
                {
                    self.boot_time.read(uptime, unix_seconds(), Instant::now());
                }
                self.publish(operation, answer);
                self.learn(operation, answer);
            }
            ReadOutcome::Absent if is_call_state(operation) => self.clear(operation),
            ReadOutcome::Absent => {
                for state in operation.states {
                    self.publisher
                        .state(state.topic.as_str(), Some(&"none".into()));
                }
            }
            ReadOutcome::Unsupported(_) => {
                if self.spellings.read_is_missing(operation) {
                    self.clear(operation);
                }
            }
            ReadOutcome::Failed(_) => {}
        }
    }

    fn publish(&mut self, operation: &Operation, answer: &Value) {
        let context = self.context();
        for state in operation.states {
            let mut values = state.values(answer, &context);
            values.retain(|(topic, _)| self.is_wanted(state.topic, topic));
            for (topic, value) in &values {
                // A broker keeps no message without a payload, so an empty text is no state at any door.
                let value = value.as_deref().filter(|value| value.as_str() != Some(""));
                self.rest.learn(state.topic, value);
                self.mode_lock.learn(state.topic, value);
                self.publisher.state(topic, value);
            }
            if let Pick::Each(_) = state.pick {
                let named = values.into_iter().map(|(topic, _)| topic.into_owned());
                self.clear_unnamed(state.topic, &named.collect());
            }
        }
    }

    /// Clears what is published below a state and not named any more: a device that gives new names in
    /// each answer must not make ever more topics.
    fn clear_unnamed(&self, state: StateTopic, named: &BTreeSet<String>) {
        for topic in self.publisher.published_below(state).difference(named) {
            self.publisher.state(topic, None);
        }
    }

    /// Whether the room has a state that this operation feeds.
    pub fn has_states(&self, operation: &Operation) -> bool {
        operation.states.iter().any(|state| match state.pick {
            Pick::Each(_) => !self.publisher.published_below(state.topic).is_empty(),
            _ => self.publisher.stored_text(state.topic).is_some(),
        })
    }

    /// Takes the states of this operation away.
    pub fn clear(&mut self, operation: &Operation) {
        for state in operation.states {
            self.rest.learn(state.topic, None);
            self.mode_lock.learn(state.topic, None);
            match state.pick {
                Pick::Each(_) => self.clear_unnamed(state.topic, &BTreeSet::new()),
                _ => self.publisher.state(state.topic.as_str(), None),
            }
        }
    }

    fn learn(&mut self, operation: &Operation, answer: &Value) {
        if operation.feeds(PRESETS) {
            self.learned_preset_offset =
                learned_preset_offset(answer).or(self.learned_preset_offset);
        }
        // An empty list is none: the codec itself is missing too.
        if operation.feeds(DEVICES) && answer.as_array().is_some_and(|list| !list.is_empty()) {
            for (event, details) in self.paired.update(paired_devices(answer)) {
                self.publisher.event(event, &details);
            }
        }
        if operation.feeds(SESSION) {
            self.logged_in();
        }
        if operation.feeds(CALLS) {
            for (event, details) in self.calls.update(connections(answer)) {
                self.publisher.event(event, &details);
                self.call_has_ended |= event == RoomEvent::CallEnded;
            }
            if !self.calls.in_call() {
                for operation in operations().filter(|operation| is_call_state(operation)) {
                    self.clear(operation);
                }
            }
        }
    }
}

/// The operation is read only in a call, so its states are there only in a call.
fn is_call_state(operation: &Operation) -> bool {
    matches!(operation.poll, Some((_, When::InCall)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::{Evidence, State};
    use crate::state::StateStore;

    struct Fixture {
        knowledge: RoomKnowledge,
        store: Arc<StateStore>,
    }

    impl Fixture {
        fn new() -> Self {
            let store = StateStore::new();
            let publisher = Arc::new(RoomPublisher::new(
                store.clone(),
                Arc::default(),
                "1".into(),
            ));
            Self {
                knowledge: RoomKnowledge::new(publisher, None, Arc::default(), Arc::default()),
                store,
            }
        }

        /// Applies an outcome of the read that feeds a state.
        fn read(&mut self, state: &str, outcome: ReadOutcome) {
            let reads = |operation: &&Operation| {
                let feeds = |known: &State| known.topic.as_str() == state;
                operation.poll.is_some() && operation.states.iter().any(feeds)
            };
            let operation = operations().find(reads).unwrap();
            self.knowledge.apply(&Reading {
                operation,
                outcome,
                evidence: Evidence::Neutral,
            });
        }

        fn state(&self, state: &str) -> Option<String> {
            let value = self.store.get(&format!("room/1/{state}"))?;
            Some(String::from_utf8(value.payload.to_vec()).unwrap())
        }
    }

    #[test]
    fn what_is_absent_is_none_and_what_is_unsupported_is_not_there() {
        let mut room = Fixture::new();
        room.read("camera/far", ReadOutcome::Absent);
        assert_eq!(room.state("camera/far").as_deref(), Some("none"));
        room.read("camera/far", ReadOutcome::Unsupported(404));
        assert_eq!(room.state("camera/far"), None);
    }

    #[test]
    fn a_failed_read_leaves_the_state_as_it_is() {
        let mut room = Fixture::new();
        room.read("audio", ReadOutcome::Value(json!({"volume": 5})));
        let failure = super::super::refusal::unsupported(404);
        room.read("audio", ReadOutcome::Failed(failure));
        assert_eq!(room.state("audio/volume").as_deref(), Some("5"));
    }

    #[test]
    fn call_states_are_cleared_when_the_call_ends() {
        let mut room = Fixture::new();
        let conference = json!([{
            "id": "0",
            "connections": [{"id": "1", "state": "CONNECTED"}],
        }]);
        room.read("calls", ReadOutcome::Value(conference));
        assert!(room.knowledge.in_call());
        assert_eq!(room.knowledge.conference(), Some("0"));
        room.read("call/media_stats", ReadOutcome::Value(json!([])));
        assert_eq!(room.state("call/media_stats").as_deref(), Some("[]"));
        room.read("calls", ReadOutcome::Value(json!([])));
        assert!(!room.knowledge.in_call());
        assert_eq!(room.state("call/media_stats"), None);
    }

    #[test]
    fn a_part_that_the_device_names_no_longer_is_cleared() {
        let mut room = Fixture::new();
        let parts = |names: &[&str]| -> ReadOutcome {
            let part = |name: &&str| json!({"name": name, "stateList": ["up"]});
            ReadOutcome::Value(names.iter().map(part).collect())
        };
        room.read("system/status", parts(&["a", "b"]));
        let topics = |room: &Fixture| room.store.topics_below("room/1/system/status/").len();
        assert_eq!(topics(&room), 2);
        room.read("system/status", parts(&["b"]));
        assert_eq!(topics(&room), 1);
        room.read("system/status", ReadOutcome::Unsupported(404));
        assert_eq!(topics(&room), 0);
    }

    #[test]
    fn of_the_devices_configuration_a_room_has_what_its_settings_name() {
        let Fixture { store, .. } = Fixture::new();
        let room = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let publisher = Arc::new(RoomPublisher::new(
                store.clone(),
                Arc::default(),
                "1".into(),
            ));
            let knowledge = RoomKnowledge::new(publisher, None, Arc::default(), names.into());
            let store = store.clone();
            Fixture { knowledge, store }
        };
        let var = |name: &str| json!({"name": name, "value": 1, "result": "NOERROR"});
        let answer = || {
            let vars: Vec<_> = ["a.b", "c.d", "e.f"].into_iter().map(var).collect();
            ReadOutcome::Value(json!({ "vars": vars }))
        };
        let mut first = room(&["a.b", "c.d"]);
        first.read("config", answer());
        let topics = || store.topics_below("room/1/config/");
        let wanted = ["room/1/config/a.b", "room/1/config/c.d"];
        assert!(topics().iter().map(|topic| &**topic).eq(wanted));
        // Another task of the room, after a reload.
        let mut second = room(&["c.d", "e.f"]);
        let wanted = ["room/1/config/c.d"];
        assert!(topics().iter().map(|topic| &**topic).eq(wanted));
        second.read("config", answer());
        assert_eq!(topics().len(), 2);
        room(&[]);
        assert_eq!(topics().len(), 0);
    }
}
