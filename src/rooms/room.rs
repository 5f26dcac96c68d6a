//! One room: a device, its queue of commands, its polling and its retained state.
//!
//! A room is the unit of failure: nothing it does can be felt in another. Owns no transport on
//! either side; commands come as [`Submission`]s and states go to the [`StateStore`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::actor;
use super::motion::Stops;
use super::queue::{Queue, Ticket};
use super::schedule::Intervals;
use crate::catalogue::{Call, GUARDED, payload};
use crate::command::{Authority, ErrorCode, Failure, Reply, Submission, Success, Transfer};
use crate::device::{self, Device};
use crate::state::{RoomReading, StateStore, StateValue};
use crate::telemetry::room_span;

/// What is said to commands for a room that ends.
pub const LET_GO: &str = "the gateway lets go of this room: it stops, or its configuration changed";

/// What a room needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its id in topics.
    pub id: Arc<str>,
    /// How to reach its device.
    pub device: device::DeviceSettings,
    /// How often states are read.
    pub intervals: Intervals,
    /// What is added to a preset's number; learned from the device where it is not set.
    pub preset_offset: Option<i8>,
    /// A command older than this when its turn comes is not carried out.
    pub max_command_age: Duration,
    /// The guarded commands that this room takes from senders who are no administrators.
    pub allow: BTreeSet<String>,
    /// The largest file that is read from the device.
    pub max_payload: usize,
}

/// A running room.
#[derive(Debug)]
pub struct Room {
    max_command_age: Duration,
    allow: BTreeSet<String>,
    queue: Arc<Queue>,
    results: Results,
    stop: CancellationToken,
    task: JoinHandle<Stops>,
}

/// What a room that ends leaves to the one that takes its place: cameras that may be moving still.
#[derive(Debug, Default)]
pub struct PendingStops(Stops);

impl Room {
    /// Starts the room's task, which connects by itself.
    ///
    /// # Errors
    /// TLS settings that cannot be used.
    pub fn start(
        settings: Settings,
        store: Arc<StateStore>,
        owed: PendingStops,
    ) -> Result<Self, String> {
        let device = Device::new(settings.device.clone())?;
        store.set_room(&settings.id, RoomReading::Incomplete);
        let results = Results {
            store,
            room: settings.id.clone(),
        };
        let queue = Arc::new(Queue::new(results.clone()));
        let stop = CancellationToken::new();
        let span = room_span(&settings.id);
        let room = Self {
            max_command_age: settings.max_command_age,
            allow: settings.allow.clone(),
            queue: queue.clone(),
            results: results.clone(),
            stop: stop.clone(),
            task: tokio::spawn(
                actor::run(settings, device, queue, results, stop, owed.0).instrument(span),
            ),
        };
        Ok(room)
    }

    /// Takes a command: it waits in the queue, or has its result already.
    pub fn submit(&self, submission: Submission) {
        let mut reply = submission.reply;
        let call = match &submission.transfer {
            Transfer::Upload(_) => Call::upload(&submission.command),
            _ => Call::parse(
                &submission.command,
                &submission.payload,
                &mut reply.request_id,
            ),
        };
        let call = match call {
            Ok(call) => call,
            Err(failure) => return self.results.give(reply, Err(failure)),
        };
        let topic = call.route.topic.as_str();
        if GUARDED.contains(&topic) {
            let refused = match submission.authority {
                Authority::Admin => None,
                Authority::RoomAllows if self.allow.contains(topic) => None,
                Authority::RoomAllows => Some(format!(
                    "{topic} is guarded; the room's configuration must say allow = [\"{topic}\"]"
                )),
                Authority::Ordinary => Some(format!(
                    "{topic} is guarded; it needs a token with access = \"admin\""
                )),
            };
            if let Some(message) = refused {
                return self.refuse(reply, Failure::new(ErrorCode::Forbidden, message));
            }
        }
        let by_age = submission.received + self.max_command_age;
        let expires = submission
            .expires
            .map_or(by_age, |expires| expires.min(by_age));
        self.queue.push(Ticket {
            call,
            reply,
            expires,
            transfer: submission.transfer,
        });
    }

    /// Answers a command that is not carried out.
    pub fn refuse(&self, reply: Reply, failure: Failure) {
        self.results.give(reply, Err(failure));
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes no more commands, finishes those begun by `deadline`, logs out and ends.
    pub async fn stop(self, deadline: Instant) -> PendingStops {
        self.stop.cancel();
        // What the room still does at the deadline is cut off; its replies answer by themselves.
        let mut task = self.task;
        let owed = match tokio::time::timeout_at(deadline, &mut task).await {
            Ok(owed) => owed.unwrap_or_default(),
            Err(_) => {
                task.abort();
                let _ = task.await;
                Stops::default()
            }
        };
        self.results.state("availability", Some(&"offline".into()));
        PendingStops(owed)
    }
}

/// Gives results and writes states of one room.
#[derive(Debug, Clone)]
pub(super) struct Results {
    pub(super) store: Arc<StateStore>,
    pub(super) room: Arc<str>,
}

impl Results {
    /// Answers a command; a failure is an event too.
    pub(super) fn give(&self, reply: Reply, result: Result<Success, Failure>) {
        if let Err(failure) = &result
            && failure.code != ErrorCode::Superseded
        {
            let about = json!({
                "command": reply.command(),
                "code": failure.code.as_str(),
                "message": failure.message,
            });
            self.event("command_failed", &about);
        }
        reply.answer(result);
    }

    /// Tells what happened. The type stands in the payload too, for those who see only that.
    pub(super) fn event(&self, name: &str, about: &Value) {
        let topic = format!("room/{}/event/{name}", self.room);
        let mut event = json!({"event_type": name});
        if let (Some(event), Some(about)) = (event.as_object_mut(), about.as_object()) {
            event.extend(about.clone());
        }
        self.store.event(&topic, event.to_string().into());
    }

    /// Publishes a state's value, or clears it.
    pub(super) fn state(&self, topic: &str, value: Option<&Value>) {
        let topic = format!("room/{}/{topic}", self.room);
        match value {
            Some(value) => self.store.set(&topic, StateValue::text(payload(value))),
            None => self.store.clear(&topic),
        };
    }
}
