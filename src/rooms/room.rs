//! One room, as the rest of the gateway holds it: takes commands, starts and stops the room's task.
//!
//! A room is the unit of failure: what fails in one room does not affect another. Owns the
//! checks that a command passes before it waits. Knows no transport on either side: commands come
//! as [`Submission`]s, states go to the [`StateStore`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tracing::Instrument;

use super::camera_stops::CameraStops;
use super::left_stops::LeftStops;
use super::publisher::RoomPublisher;
use super::queue::{Queue, Ticket};
use super::settings::RoomSettings;
use super::sharing::PreviousOwner;
use super::stop_signal::StopSignal;
use super::supervisor::{self, Supervisor};
use crate::catalogue::{Call, PresetNames};
use crate::command::{CommandAuthority, ErrorCode, Failure, Reply, Submission, Transfer};
use crate::device::{Device, LONGEST_LOG_OUT, ProblemCode};
use crate::state::{RoomStatus, StateStore};
use crate::telemetry::room_span;

/// A running room.
#[derive(Debug)]
pub struct Room {
    entrance: Arc<RoomEntrance>,
    stop: StopSignal,
    left_stops: Arc<LeftStops>,
    task: JoinHandle<CameraStops>,
}

/// Where a room takes commands. Whoever holds one does not keep the room running: the queue of a
/// room that has stopped refuses them.
#[derive(Debug)]
pub struct RoomEntrance {
    max_command_age: Duration,
    allow: Arc<BTreeSet<String>>,
    preset_names: Arc<PresetNames>,
    queue: Arc<Queue>,
    publisher: Arc<RoomPublisher>,
    /// How many commands that may take long have no result yet.
    long_commands: Arc<AtomicUsize>,
}

impl Room {
    /// Starts the room's task, which connects by itself.
    ///
    /// # Errors
    /// TLS settings that cannot be used.
    pub fn start(
        settings: RoomSettings,
        store: Arc<StateStore>,
        previous_owner: PreviousOwner,
    ) -> Result<Self, String> {
        let device = Device::new(settings.device.clone())?;
        let publisher = RoomPublisher::new(
            store,
            settings.device.telemetry.clone(),
            settings.id.clone(),
        );
        match previous_owner {
            PreviousOwner::Nobody => publisher.unavailable(),
            PreviousOwner::AnotherGateway => publisher.arrived(),
        }
        let publisher = Arc::new(publisher);
        let queue = Arc::new(Queue::new(publisher.clone()));
        let stop = StopSignal::default();
        let left_stops = Arc::<LeftStops>::default();
        let span = room_span(&settings.id);
        let entrance = RoomEntrance {
            max_command_age: settings.max_command_age,
            allow: settings.allow.clone(),
            preset_names: settings.preset_names.clone(),
            queue: queue.clone(),
            publisher: publisher.clone(),
            long_commands: Arc::default(),
        };
        let supervisor = Box::new(Supervisor {
            settings,
            device,
            queue,
            publisher,
            stop: stop.clone(),
            left_stops: left_stops.clone(),
        });
        Ok(Self {
            entrance: Arc::new(entrance),
            stop,
            left_stops,
            task: tokio::spawn(supervisor::run(supervisor).instrument(span)),
        })
    }

    /// Where it takes commands.
    pub fn entrance(&self) -> Arc<RoomEntrance> {
        self.entrance.clone()
    }

    /// Cuts its task off.
    pub fn abort_handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// Another room of its device has ended: these cameras are to be stopped.
    pub fn leave_stops(&self, stops: CameraStops) {
        self.left_stops.leave(stops);
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.entrance.queue.len()
    }

    /// Whether a command waits or is under way that may take much longer than an ordinary request.
    pub fn has_long_command(&self) -> bool {
        self.entrance.long_commands.load(Ordering::Acquire) > 0
    }

    /// Whether its device refuses the user and password.
    pub fn is_refused(&self) -> bool {
        self.entrance
            .publisher
            .has_problem(ProblemCode::Unauthorized)
    }

    /// The status of the room's device.
    pub fn status(&self) -> RoomStatus {
        self.entrance.publisher.status()
    }

    /// Takes no more commands, finishes those begun by `deadline`, logs out and ends. Returns the
    /// stops of cameras that may still be moving.
    pub async fn stop(self, deadline: Instant) -> CameraStops {
        self.stop.stop(deadline);
        let publisher = self.entrance.publisher.clone();
        // A session that is left behind counts against the device's maximum for days.
        let stops = self.ended(deadline + LONGEST_LOG_OUT).await;
        publisher.unavailable();
        stops
    }

    /// Carries out the commands that wait, by `deadline`, and ends. The session stays at the device for the gateway
    /// that has the room next, which also publishes its availability.
    pub async fn hand_over(self, deadline: Instant) {
        self.stop.hand_over();
        self.ended(deadline).await;
    }

    /// Ends at once, without a request to the device: another gateway may have the room already.
    pub async fn abandon(self) {
        self.entrance.queue.stop();
        self.stop.hand_over();
        self.ended(Instant::now()).await;
    }

    /// Waits for the task to end. What it still does at the deadline is cut off; its replies answer by
    /// themselves.
    async fn ended(self, deadline: Instant) -> CameraStops {
        let mut task = self.task;
        if let Ok(stops) = tokio::time::timeout_at(deadline, &mut task).await {
            return stops.unwrap_or_default();
        }
        task.abort();
        let _ = task.await;
        CameraStops::default()
    }
}

impl RoomEntrance {
    /// Takes a command: it waits in the queue, or is answered at once.
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
        let allowed = call.and_then(|call| {
            let call = call.with_preset_number(&self.preset_names)?;
            self.check_authority(&call, submission.authority)?;
            Ok(call)
        });
        let call = match allowed {
            Ok(call) => call,
            Err(failure) => return self.refuse(reply, failure),
        };
        let by_age = submission.received + self.max_command_age;
        let expires = submission
            .expires
            .map_or(by_age, |expires| expires.min(by_age));
        let mut ticket = Ticket {
            call,
            reply,
            expires,
            transfer: submission.transfer,
        };
        if ticket.takes_long() {
            let under_way = self.long_commands.clone();
            under_way.fetch_add(1, Ordering::AcqRel);
            ticket.reply = ticket.reply.observed(move |_| {
                under_way.fetch_sub(1, Ordering::AcqRel);
            });
        }
        self.queue.push(ticket);
    }

    fn check_authority(&self, call: &Call, authority: CommandAuthority) -> Result<(), Failure> {
        if !call.route.guarded() {
            return Ok(());
        }
        let topic = call.route.topic.as_str();
        let message = match authority {
            CommandAuthority::Admin => return Ok(()),
            CommandAuthority::RoomAllows if self.allow.contains(topic) => return Ok(()),
            CommandAuthority::RoomAllows => format!(
                "{topic} is guarded; the room's configuration must say allow = [\"{topic}\"]"
            ),
            CommandAuthority::Ordinary => {
                format!("{topic} is guarded; it needs a token with access = \"admin\"")
            }
        };
        Err(Failure::new(ErrorCode::Forbidden, message))
    }

    /// Answers a command that is not carried out.
    pub fn refuse(&self, reply: Reply, failure: Failure) {
        self.publisher.answer(reply, Err(failure));
    }

    /// Answers a command that its sender has no right to send.
    pub fn forbid(&self, reply: Reply, failure: Failure) {
        self.publisher.forbid(reply, failure);
    }
}
