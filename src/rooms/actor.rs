//! The room's one task.
//!
//! Everything a room knows changes here and nowhere else. Requests run as futures of this task, so
//! they never change anything themselves: they bring their outcome back to the loop.
//!
//! ```text
//!  Room::submit ─► Queue ─┐
//!            CameraStops ─┤  ┌────────────┐ future  ┌──────────┐ requests
//!                 Poller ─┼─►│ start_work │────────►│ executor │─────────► Device
//!           Availability ─┘  └────────────┘         └────┬─────┘
//!                 ▲             asks RequestsInFlight    │ Done
//!                 │                                      ▼
//!                 │  what is due next               ┌────────┐
//!                 └─────────────────────────────────│ finish │
//!                                                   └───┬────┘
//!                                                       │ Reading, result
//!          StateStore, Reply ◄─ RoomPublisher ◄─ RoomKnowledge
//! ```
//!
//! `check` starts and ends the checks of the room, which run beside everything else and hold up no
//! command.
//!
//! The readings of a command are applied when they are made, and so before its result: clients see the
//! states that a command touched before its result. The room is online when a reading is what a Poly
//! device says, and offline when none is any more.

mod check;
mod finish;
mod pace;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use super::availability::Availability;
use super::camera_stops::{CameraStops, SentStop};
use super::doubtful::Doubtful;
use super::executor::{CheckOrder, CommandEnvironment, Executed, execute};
use super::first_reads::FirstReads;
use super::in_flight::RequestsInFlight;
use super::knowledge::RoomKnowledge;
use super::left_stops::LeftStops;
use super::new_readings::NewReadings;
use super::poller::{Poll, Poller};
use super::publisher::RoomPublisher;
use super::queue::{Lane, Queue, Ticket};
use super::readiness::{Daily, Interruption, local_offset};
use super::reading::LARGEST_JSON_ANSWER;
use super::schedule::PollPhase;
use super::settings::RoomSettings;
use super::stop_signal::StopSignal;
use crate::catalogue::{
    ACTIVATE_PRESET, Call, Motion, PRESET_PARAMETER, Plan, SET_POSITION, SET_POSITION_OF_SOURCE,
    TimeLimit, Variant,
};
use crate::clock::{Moment, unix_seconds};
use crate::command::{Reply, Transfer};
use crate::device::{
    Device, DeviceResponse, Problem, RequestError, RequestPriority, RequestedPace,
};
use crate::sleep::sleep_until_some;
use crate::telemetry::{Telemetry, command_span};
use check::RunningCheck;

/// How long a room that is asked to stop, and has only reads or an unsent log-in under way, waits for their answers.
/// They are not needed any more; a device that is well answers meanwhile, and its connection can be used for the
/// log-out.
const LAST_READS_TIMEOUT: Duration = Duration::from_millis(250);

/// Runs a room until it is asked to stop.
pub async fn run_actor(actor: &mut Actor, stop: &StopSignal) {
    actor.connect();
    let mut cancelled = pin!(stop.asked());
    let mut work = Work::All;
    let mut deadline: Option<Instant> = None;
    let mut last_reads_end = Instant::now();
    loop {
        actor.start_work(work);
        let only_reads = work == Work::CameraStops && actor.has_only_reads();
        let end = if only_reads {
            deadline.into_iter().chain([last_reads_end]).min()
        } else {
            deadline
        };
        let is_late = end.is_some_and(|end| end <= Instant::now());
        if is_late || actor.has_finished(work) {
            break;
        }
        let wake = actor.next_wake(work).or(end);
        tokio::select! {
            biased;
            () = &mut cancelled, if work == Work::All => {
                work = if stop.hands_over() { Work::Commands } else { Work::CameraStops };
                actor.interrupt_check(Interruption::Stopping);
                if work == Work::CameraStops {
                    actor.queue.stop();
                    deadline = stop.deadline();
                    last_reads_end = Instant::now() + LAST_READS_TIMEOUT;
                }
            }
            Some(done) = actor.running.next() => actor.finish(done),
            () = actor.new_readings.made() => actor.take_new_readings(),
            () = actor.left_stops.left() => actor.stops.append(actor.left_stops.take()),
            () = actor.queue.filled(), if work != Work::CameraStops => {}
            () = sleep_until_some(wake) => {}
        }
    }
    if stop.hands_over() {
        // What comes from now on is for the next gateway, to which nobody passes it any more.
        actor.queue.stop();
        actor.device.hand_over();
    } else {
        // What still runs holds the device's requests, and the log-out needs one.
        actor.running.clear();
        // On the heap: it is needed once, and would make every room's task larger for months.
        Box::pin(actor.device.close()).await;
    }
}

/// What a room's task still begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Everything.
    All,
    /// The commands that wait, so that none is lost while the room moves to another gateway.
    Commands,
    /// Only the stops of cameras.
    CameraStops,
}

/// The result of one of the room's futures.
enum Done {
    LoggedIn(Result<Value, Problem>),
    Polled {
        poll: Poll,
        response: Result<DeviceResponse, RequestError>,
    },
    Commanded {
        lane: Lane,
        reply: Reply,
        effect: Box<CameraEffect>,
        executed: Box<Executed>,
    },
    CameraStopped {
        sent: SentStop,
        executed: Box<Executed>,
    },
    /// A check of the room has ended.
    Checked(Box<Executed>),
}

/// What a command does to a camera.
enum CameraEffect {
    None,
    Starts(Motion),
    Stops(SentStop),
    /// Sends the camera to this preset.
    Recalls(String),
    /// Sends the camera to a position that has no name.
    Places,
}

impl CameraEffect {
    fn of(call: &Call, stops: &CameraStops) -> Self {
        let motion = match call.route.command().plan {
            Plan::Move => Motion::of(call).ok(),
            _ => None,
        };
        match (motion, Motion::ended_by(call)) {
            (Some(motion), _) => Self::Starts(motion),
            (None, Some(camera)) => Self::Stops(stops.sent(camera)),
            (None, None) => Self::without_motion(call),
        }
    }

    fn without_motion(call: &Call) -> Self {
        match call.param(PRESET_PARAMETER) {
            Some(index) if call.is(ACTIVATE_PRESET) => Self::Recalls(index.to_owned()),
            _ if call.is(SET_POSITION) || call.is(SET_POSITION_OF_SOURCE) => Self::Places,
            _ => Self::None,
        }
    }
}

/// One run of a room.
pub struct Actor {
    /// The room's id.
    room: Arc<str>,
    telemetry: Arc<Telemetry>,
    max_payload: usize,
    setting_names: Arc<[String]>,
    readiness_dial: Option<String>,
    device: Device,
    queue: Arc<Queue>,
    publisher: Arc<RoomPublisher>,
    poller: Poller,
    first_reads: FirstReads,
    knowledge: RoomKnowledge,
    stops: CameraStops,
    left_stops: Arc<LeftStops>,
    availability: Availability,
    /// The session that the room knows of. A request that finds it stale logs in anew.
    generation: Option<u64>,
    /// Who is logged in, until the room is online and has published it.
    session: Value,
    /// What was read and may mean that a state is gone, while it is uncertain whether the device is
    /// understood.
    doubtful: Doubtful,
    in_flight: RequestsInFlight,
    /// The configured pace is the gentle one.
    is_gentle: bool,
    /// What the device asks for.
    pace: RequestedPace,
    /// The check of the room that runs. It and the next are on the heap, since most rooms have none.
    check: Option<Box<RunningCheck>>,
    /// When the room is checked each day.
    daily: Option<Box<Daily>>,
    /// The clock: seconds since 1970.
    clock: fn() -> i64,
    /// The preset that the gateway has sent the camera to, unless it has moved it since.
    preset: Option<String>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    /// What the commands that run have read.
    new_readings: Arc<NewReadings>,
}

impl Actor {
    /// A room that has not connected yet.
    pub fn new(
        settings: RoomSettings,
        device: Device,
        queue: Arc<Queue>,
        publisher: Arc<RoomPublisher>,
        stops: CameraStops,
        left_stops: Arc<LeftStops>,
    ) -> Self {
        let telemetry = settings.device.telemetry.clone();
        Self {
            poller: Poller::new(
                settings.intervals,
                PollPhase::of_room(&settings.id),
                settings.setting_names.clone(),
                telemetry.clone(),
                device.timings().clone(),
                Instant::now(),
            ),
            knowledge: RoomKnowledge::new(
                publisher.clone(),
                settings.preset_offset,
                settings.preset_names,
                settings.setting_names.clone(),
            ),
            in_flight: RequestsInFlight::new(settings.intervals.gentle),
            is_gentle: settings.intervals.gentle,
            pace: RequestedPace::default(),
            availability: Availability::new(device.timings().clone()),
            first_reads: FirstReads::new(settings.device.limits.clone()),
            daily: settings
                .readiness
                .map(|at| Box::new(Daily::new(at, &settings.id, local_offset, unix_seconds()))),
            clock: unix_seconds,
            check: None,
            preset: None,
            room: settings.id,
            telemetry,
            max_payload: settings.max_payload,
            setting_names: settings.setting_names,
            readiness_dial: settings.readiness_dial,
            device,
            queue,
            publisher,
            stops,
            left_stops,
            generation: None,
            session: Value::Null,
            doubtful: Doubtful::default(),
            running: FuturesUnordered::new(),
            new_readings: Arc::default(),
        }
    }

    /// The camera stops that are still to be sent.
    pub fn take_stops(&mut self) -> CameraStops {
        std::mem::take(&mut self.stops)
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Runs a future beside the loop; [`Actor::finish`] gets what it brings.
    fn run_beside(&self, future: impl Future<Output = Done> + Send + 'static) {
        self.running.push(future.boxed());
    }

    /// Starts a log-in.
    fn connect(&mut self) {
        self.availability.connecting();
        let device = self.device.clone();
        self.run_beside(async move { Done::LoggedIn(device.log_in().await) });
    }

    /// Starts everything that may start now: camera stops first, then commands, then polls. A room
    /// that stops only stops its cameras.
    fn start_work(&mut self, work: Work) {
        let now = Instant::now();
        let retry_at = self.availability.retry_at();
        if work == Work::All && retry_at.is_some_and(|at| at <= now) {
            // Thousands of rooms wait at the same time.
            if self.availability.waits_for_fence() && self.device.is_fenced_off() {
                self.availability.still_fenced_off(Moment::now())
            } else {
                self.connect()
            }
        }
        self.queue.expire(now, self.in_flight.has_file());
        if work == Work::All {
            self.start_checks();
        }
        if !self.availability.is_logged_in() {
            if !self.queue.has_no_command() {
                self.device.raise_login_priority();
            }
            return;
        }
        self.start_camera_stop(work != Work::All, now);
        if work == Work::CameraStops {
            return;
        }
        while let Some((lane, ticket)) = self.queue.take(self.in_flight.free_lanes()) {
            self.start_command(lane, ticket);
        }
        if work == Work::All && self.in_flight.may_poll() && !self.holds_reads(now) {
            self.start_poll(now);
        }
    }

    /// Whether nothing is under way, or about to be, that the room must see through. A log-in that was sent makes a
    /// session, which would stay at the device.
    fn has_only_reads(&self) -> bool {
        let has_work =
            self.in_flight.has_commands() || self.check.is_some() || self.stops.any().is_some();
        !has_work && !self.device.is_login_sent()
    }

    /// Whether the task has nothing to do any more.
    fn has_finished(&self, work: Work) -> bool {
        match work {
            Work::All => false,
            Work::Commands => self.running.is_empty() && self.queue.has_no_command(),
            Work::CameraStops => self.running.is_empty(),
        }
    }

    fn start_camera_stop(&mut self, stopping: bool, now: Instant) {
        if !self.in_flight.may_stop_camera() {
            return;
        }
        let due = if stopping {
            self.stops.any()
        } else {
            self.stops.due(now)
        };
        let Some(call) = due else { return };
        self.in_flight.camera_stop_began();
        let sent = self.stops.sent(Motion::camera(&call));
        let environment = self.environment(&call);
        let device = self.device.with(RequestPriority::Urgent);
        self.run_beside(async move {
            let executed = execute(&device, call, environment, Transfer::None).await;
            Done::CameraStopped {
                sent,
                executed: Box::new(executed),
            }
        });
    }

    fn start_command(&mut self, lane: Lane, ticket: Ticket) {
        let (area, went_first) = (ticket.area(), ticket.is_urgent());
        self.in_flight.command_began(lane, area, went_first);
        let Ticket {
            call,
            reply,
            transfer,
            ..
        } = ticket;
        let effect = Box::new(CameraEffect::of(&call, &self.stops));
        self.command_interrupts_check(&call, &effect);
        if let CameraEffect::Starts(motion) = &*effect {
            // The camera may move even if the start is never answered.
            let longest = self.device.timings().request_timeout + motion.duration;
            self.stops.schedule(motion, Instant::now() + longest);
        }
        let environment = self.environment(&call);
        let priority = match (lane, went_first) {
            (Lane::Files, _) => RequestPriority::Background,
            (_, true) => RequestPriority::Urgent,
            (_, false) => RequestPriority::Normal,
        };
        let device = self.device.with(priority);
        let span = command_span(reply.command());
        let executing = async move {
            let executed = execute(&device, call, environment, transfer).await;
            Done::Commanded {
                lane,
                reply,
                effect,
                executed: Box::new(executed),
            }
        };
        self.run_beside(executing.instrument(span));
    }

    /// Whether reads wait for the log-ins of other rooms. A room that is not online yet reads, since that tells whether
    /// its device is understood.
    fn holds_reads(&mut self, now: Instant) -> bool {
        let are_due = self.availability.is_online() && !self.poller.is_complete();
        self.first_reads.hold(are_due, now)
    }

    fn start_poll(&mut self, now: Instant) {
        let conference = self.knowledge.conference();
        let Some((poll, request)) = self.poller.begin(conference, now) else {
            return;
        };
        self.in_flight.poll_began();
        let device = self.device.clone();
        let read = async move {
            let deadline = device.deadline(TimeLimit::Ordinary);
            let response = device.send(&request, LARGEST_JSON_ANSWER, deadline).await;
            Done::Polled { poll, response }
        };
        if self.poller.is_complete() {
            self.run_beside(read)
        } else {
            self.run_beside(self.first_reads.read(read))
        }
    }

    fn environment(&mut self, call: &Call) -> CommandEnvironment {
        let stored = match call.route.command().plan {
            Plan::Stored(state) => self.publisher.stored(state),
            _ => None,
        };
        let names_something = call.spellings().any(Variant::names_something);
        let path = call.variant().operation.path;
        CommandEnvironment {
            lacks_branch: names_something && self.poller.lacks_branch(path),
            context: self.knowledge.context(),
            preset_offset: self.knowledge.preset_offset(),
            conference: self.knowledge.conference().map(str::to_owned),
            max_payload: self.max_payload,
            stored,
            setting_names: self.setting_names.clone(),
            spellings: self.knowledge.spellings().clone(),
            check: None,
            mode_lock: self.knowledge.mode_lock().clone(),
            readings: self.new_readings.clone(),
        }
    }

    fn next_read(&self) -> Option<Instant> {
        self.first_reads.looks_at().or(self.poller.next_due())
    }

    /// When there may be something to start, if nothing ends before.
    fn next_wake(&self, work: Work) -> Option<Instant> {
        match work {
            Work::All => {}
            Work::Commands => return self.queue.next_expiry(),
            Work::CameraStops => return None,
        }
        let logged_in = self.availability.is_logged_in();
        let may_stop_camera = logged_in && self.in_flight.may_stop_camera();
        let may_poll = logged_in && self.in_flight.may_poll();
        [
            self.availability.retry_at(),
            self.queue.next_expiry(),
            self.stops.next_due().filter(|_| may_stop_camera),
            self.next_read().filter(|_| may_poll),
            self.next_daily_check(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
