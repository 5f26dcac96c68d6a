//! Everything that a room passes to the rest of the gateway: results, states, events and its
//! status.
//!
//! Owns how they are written and where they go. Decides nothing: room, queue and actor decide what
//! to publish.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::availability::WentOffline;
use super::readiness::failure_event;
use crate::catalogue::checked::READINESS;
use crate::catalogue::{CALL_LAST, RoomEvent, SESSION, StateTopic, payload};
use crate::command::{ErrorCode, Failure, FileAnswer, Reply, Success};
use crate::device::{Problem, ProblemCode};
use crate::state::{RoomStatus, StateStore, StateValue};
use crate::telemetry::Telemetry;
use crate::topics::{AVAILABILITY, OFFLINE, ONLINE, PROBLEM, RoomTopics};

/// Gives the results of one room and writes its states.
#[derive(Debug)]
pub struct RoomPublisher {
    store: Arc<StateStore>,
    telemetry: Arc<Telemetry>,
    room: Arc<str>,
}

impl RoomPublisher {
    /// For a room of which nothing has been read.
    pub fn new(store: Arc<StateStore>, telemetry: Arc<Telemetry>, room: Arc<str>) -> Self {
        let publisher = Self {
            store,
            telemetry,
            room,
        };
        publisher.read_so_far(false);
        publisher
    }

    fn topics(&self) -> RoomTopics<'_> {
        RoomTopics::new(&self.room)
    }

    /// The current status of the room. A room that is replaced keeps what is known of its device.
    pub fn status(&self) -> RoomStatus {
        self.store.room(&self.room).unwrap_or_default()
    }

    fn set_status(&self, status: RoomStatus) {
        self.store.set_room(&self.room, status);
    }

    /// Answers a command. A failure is an event too, except a superseded command: nothing is wrong.
    pub fn answer(&self, reply: Reply, result: Result<Success, Failure>) {
        if let Err(failure) = &result
            && failure.code != ErrorCode::Superseded
        {
            self.command_failed(&reply, failure.code, &failure.message);
        }
        reply.answer(result);
    }

    /// Answers a command that its sender has no right to send. The answer names the sender's token and the rooms of
    /// that token, so the event does not repeat it.
    pub fn forbid(&self, reply: Reply, failure: Failure) {
        let message = "the client that sent it may not send it";
        self.command_failed(&reply, failure.code, message);
        reply.answer(Err(failure));
    }

    fn command_failed(&self, reply: &Reply, code: ErrorCode, message: &str) {
        let details = json!({
            "command": reply.command(),
            "code": code.as_str(),
            "message": message,
        });
        self.event(RoomEvent::CommandFailed, &details);
    }

    /// Publishes an event. Its name is in the payload too, for clients that see only that.
    pub fn event(&self, event: RoomEvent, details: &Value) {
        self.telemetry.room_event(&self.room, event, details);
        let mut payload = json!({"event_type": event.as_str()});
        if let (Some(payload), Some(details)) = (payload.as_object_mut(), details.as_object()) {
            payload.extend(details.clone());
        }
        let topic = self.topics().event(event.as_str());
        self.store.event(&topic, payload.to_string().into());
    }

    /// Publishes a state's value; `None` clears it.
    pub fn state(&self, topic: &str, value: Option<&Value>) {
        let is_last_call = topic == CALL_LAST.as_str();
        let topic = self.topics().below(topic);
        // What the device says first may be long ago.
        let is_first = is_last_call && self.store.get(&topic).is_none();
        match value {
            Some(value) => {
                let is_new = self.store.set(&topic, StateValue::text(payload(value)));
                if is_new && is_last_call && !is_first {
                    self.telemetry.last_call(&self.room, value);
                }
            }
            None => {
                self.store.clear(&topic);
            }
        };
    }

    /// The topics below a state's own that are published, below the room.
    pub fn published_below(&self, state: StateTopic) -> BTreeSet<String> {
        let above = self.topics().below(&format!("{state}/"));
        let room = self.topics().start();
        let topics = self.store.topics_below(&above);
        let topics = topics.iter().filter_map(|topic| topic.strip_prefix(&room));
        topics.map(str::to_owned).collect()
    }

    /// Publishes a file as a state, if it is one that stays and its bytes are at hand.
    pub fn file(&self, file: &FileAnswer) {
        if let Some(bytes) = file.bytes.as_ref().filter(|_| file.is_state) {
            let value = StateValue {
                payload: bytes.clone(),
                content_type: Some(file.content_type.clone()),
            };
            self.store.set(&self.topics().below(&file.topic), value);
        }
    }

    /// The value of a state as it was published last, if it is JSON.
    pub fn stored(&self, state: StateTopic) -> Option<Value> {
        self.stored_at(state.as_str())
    }

    /// The text of a state that has one.
    pub fn stored_text(&self, state: StateTopic) -> Option<String> {
        let value = self.store.get(&self.topics().below(state.as_str()))?;
        String::from_utf8(value.payload.to_vec()).ok()
    }

    fn stored_at(&self, below: &str) -> Option<Value> {
        let value = self.store.get(&self.topics().below(below))?;
        serde_json::from_slice(&value.payload).ok()
    }

    /// The message of the room's problem, if it has one.
    pub fn problem(&self) -> Option<String> {
        let problem = self.stored_at(PROBLEM)?;
        let is_none = problem["code"] == ProblemCode::NONE;
        (!is_none).then(|| problem["message"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether the room has this problem.
    pub fn has_problem(&self, code: ProblemCode) -> bool {
        let problem = self.stored_at(PROBLEM).unwrap_or_default();
        problem["code"] == json!(code)
    }

    /// Publishes the report of a check of the room, and an event if something is wrong.
    pub fn report(&self, report: &Value) {
        self.state(READINESS.as_str(), Some(report));
        if let Some(details) = failure_event(report) {
            self.event(RoomEvent::ReadinessFailed, &details);
        }
    }

    /// Says whether every state has been read since the log-in.
    pub fn read_so_far(&self, complete: bool) {
        self.set_status(RoomStatus {
            complete,
            ..self.status()
        });
    }

    /// The device is logged in to. `session` is what it says about the log-in.
    pub fn online(&self, session: &Value) {
        // Before the states, so that subscribers who read the status on a change find it.
        self.set_status(RoomStatus {
            online: true,
            known: true,
            complete: false,
        });
        self.state(SESSION.as_str(), Some(session));
        self.state(PROBLEM, Some(&json!({"code": ProblemCode::NONE})));
        self.state(AVAILABILITY, Some(&ONLINE.into()));
    }

    /// The device cannot be used.
    pub fn offline(&self, problem: &Problem, offline: &WentOffline) {
        self.set_status(RoomStatus {
            online: false,
            known: true,
            complete: false,
        });
        self.state(PROBLEM, Some(&problem.to_json(&offline.since)));
        self.unavailable();
    }

    /// The room comes from another gateway, and its device has not been reached from this one. Nothing is said.
    pub fn arrived(&self) {
        self.set_status(RoomStatus::default());
    }

    /// The room's task has not started yet, or has ended. Nothing is said about the device.
    pub fn unavailable(&self) {
        self.set_status(RoomStatus {
            online: false,
            ..self.status()
        });
        self.state(AVAILABILITY, Some(&OFFLINE.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Item, Outbox, Subscriber};

    fn publisher() -> (RoomPublisher, Arc<StateStore>) {
        let store = StateStore::new();
        let publisher = RoomPublisher::new(store.clone(), Arc::default(), "1".into());
        publisher.unavailable();
        (publisher, store)
    }

    fn text(store: &StateStore, topic: &str) -> String {
        let value = store.get(topic).unwrap();
        String::from_utf8(value.payload.to_vec()).unwrap()
    }

    #[test]
    fn a_room_is_known_after_its_first_attempt() {
        let (publisher, store) = publisher();
        assert_eq!(publisher.status(), RoomStatus::default());
        assert_eq!(text(&store, "room/1/availability"), "offline");
        let problem = Problem {
            code: ProblemCode::Offline,
            message: "why\0".into(),
        };
        let offline = WentOffline {
            since: "then".into(),
            is_new: true,
        };
        publisher.offline(&problem, &offline);
        let offline = RoomStatus {
            known: true,
            ..RoomStatus::default()
        };
        assert_eq!(publisher.status(), offline);
        let wanted = r#"{"code":"offline","message":"why\\0","since":"then"}"#;
        assert_eq!(text(&store, "room/1/problem"), wanted);
        publisher.online(&json!({}));
        assert!(publisher.status().online);
        assert_eq!(text(&store, "room/1/availability"), "online");
        publisher.read_so_far(true);
        assert!(publisher.status().complete);
        // The room is replaced.
        publisher.unavailable();
        let publisher = RoomPublisher::new(store.clone(), Arc::default(), "1".into());
        assert_eq!(publisher.status(), offline);
    }

    #[test]
    fn a_failure_is_an_event_unless_the_command_was_superseded() {
        let (publisher, store) = publisher();
        let outbox: Arc<Outbox<()>> = Arc::default();
        let subscriber: Arc<dyn Subscriber> = outbox.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        let fail = |code| {
            let reply = Reply::new("1".into(), "audio/mute", |_| {});
            publisher.answer(reply, Err(Failure::new(code, "why")));
        };
        fail(ErrorCode::Superseded);
        assert!(outbox.is_empty());
        fail(ErrorCode::Busy);
        let Some(Item::Event(topic, payload)) = outbox.try_next() else {
            unreachable!()
        };
        assert_eq!(&*topic, "room/1/event/command_failed");
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let wanted = json!({
            "event_type": "command_failed",
            "command": "audio/mute",
            "code": "busy",
            "message": "why",
        });
        assert_eq!(event, wanted);
    }
}
