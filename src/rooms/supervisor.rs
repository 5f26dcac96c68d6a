//! Runs a room's task, and starts it again should it fail by a fault of the gateway's own.
//!
//! A task that ended without a word would leave a room that says `online`, takes commands and answers none.
//! Owns what such a room says meanwhile, that its cameras are stopped, and how long it waits.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::actor::{Actor, run_actor};
use super::availability::WentOffline;
use super::camera_stops::CameraStops;
use super::executor::{CommandEnvironment, execute};
use super::left_stops::LeftStops;
use super::publisher::RoomPublisher;
use super::queue::Queue;
use super::settings::RoomSettings;
use super::stop_signal::StopSignal;
use crate::catalogue::{Call, Motion};
use crate::clock::utc_now;
use crate::command::{Failure, Transfer};
use crate::device::{Device, Problem, ProblemCode, RequestPriority};

/// The wait before the first new start; doubled by each further one.
const FIRST_RESTART_DELAY: Duration = Duration::from_secs(1);
/// A task that fails at once each time logs in at the device, and writes to the log, no more often than this.
const LONGEST_RESTART_DELAY: Duration = Duration::from_secs(300);
/// A task that has run this long begins with the first wait again.
const GOOD_RUN: Duration = Duration::from_secs(3600);

/// What a room's task is made of, each time it starts.
pub struct Supervisor {
    /// How it is configured.
    pub settings: RoomSettings,
    /// Its device, with the session.
    pub device: Device,
    /// The commands that wait.
    pub queue: Arc<Queue>,
    /// Where results and states go.
    pub publisher: Arc<RoomPublisher>,
    /// Asks it to stop.
    pub stop: StopSignal,
    /// What ended rooms of the device leave.
    pub left_stops: Arc<LeftStops>,
}

/// Runs a room until it is asked to stop. Each task begins with the camera stops that the one before left. Returns
/// those that are still to be sent.
///
/// `supervisor` is on the heap, since a future holds its arguments besides what they are moved to, as long as it runs.
pub async fn run(supervisor: Box<Supervisor>) -> CameraStops {
    let mut stops = CameraStops::default();
    let mut delay = FIRST_RESTART_DELAY;
    loop {
        let began = Instant::now();
        let mut actor = None;
        // On the heap, or the layers around it would hold it more than once.
        let running = Box::pin(async {
            let actor = actor.insert(supervisor.actor(std::mem::take(&mut stops)));
            run_actor(actor, &supervisor.stop).await;
        });
        let ended = AssertUnwindSafe(running).catch_unwind().await;
        if let Some(actor) = &mut actor {
            stops = actor.take_stops();
        }
        stops.append(supervisor.left_stops.take());
        if ended.is_ok() {
            return stops;
        }
        // What it had begun is answered when it is dropped.
        drop(actor);
        if began.elapsed() >= GOOD_RUN {
            delay = FIRST_RESTART_DELAY;
        }
        supervisor.failed();
        Box::pin(supervisor.stop_cameras(&mut stops)).await;
        if Box::pin(supervisor.wait(delay)).await {
            Box::pin(supervisor.end(&mut stops)).await;
            return stops;
        }
        delay = (delay * 2).min(LONGEST_RESTART_DELAY);
    }
}

impl Supervisor {
    fn actor(&self, stops: CameraStops) -> Box<Actor> {
        Box::new(Actor::new(
            self.settings.clone(),
            self.device.clone(),
            self.queue.clone(),
            self.publisher.clone(),
            stops,
            self.left_stops.clone(),
        ))
    }

    /// Answers what waits, and says why the room cannot be used.
    fn failed(&self) {
        let problem = problem();
        self.queue.close(failure());
        let offline = WentOffline {
            since: utc_now(),
            is_new: true,
        };
        self.publisher.offline(&problem, &offline);
        let telemetry = &self.settings.device.telemetry;
        telemetry.room_failed(&self.settings.id);
    }

    /// Waits this long, or until the room is asked to stop: then true.
    async fn wait(&self, delay: Duration) -> bool {
        tokio::select! {
            waited = timeout(delay, self.stop.asked()) => waited.is_ok(),
            never = self.answer_checks() => match never {},
        }
    }

    /// Answers the checks of the room that come: nobody else takes them out of the queue.
    async fn answer_checks(&self) -> Infallible {
        loop {
            while let Some(ticket) = self.queue.take_check() {
                self.publisher.answer(ticket.reply, Err(failure()));
            }
            self.queue.filled().await;
        }
    }

    /// Stops the cameras that may move: the next start of the task may be minutes away, or never come. What the device
    /// does not carry out now stays in `stops`.
    async fn stop_cameras(&self, stops: &mut CameraStops) {
        let stopping = async {
            while let Some(call) = stops.any()
                && self.stop_camera(call, stops).await
            {}
        };
        // The fault may be in what stops a camera, too.
        let stopping = AssertUnwindSafe(stopping).catch_unwind();
        let by = Instant::now() + self.device.timings().request_timeout;
        let by = self.stop.deadline().map_or(by, |end| end.min(by));
        let _ = timeout_at(by, stopping).await;
    }

    /// Sends a stop. False if it failed.
    async fn stop_camera(&self, call: Call, stops: &mut CameraStops) -> bool {
        let sent = stops.sent(Motion::camera(&call));
        let environment = CommandEnvironment::default();
        let device = self.device.with(RequestPriority::Urgent);
        let executed = execute(&device, call, environment, Transfer::None).await;
        if executed.result.is_ok() {
            stops.stopped(&sent, Instant::now());
        }
        executed.result.is_ok()
    }

    /// Ends the use of the device, as the task would have done.
    async fn end(&self, stops: &mut CameraStops) {
        self.queue.stop();
        self.stop_cameras(stops).await;
        if self.stop.hands_over() {
            self.device.hand_over()
        } else {
            self.device.close().await
        }
    }
}

fn problem() -> Problem {
    Problem {
        code: ProblemCode::Offline,
        message: "a fault in the gateway ended the task of this room; it starts again by itself, and the gateway's log \
                  has the details"
            .into(),
    }
}

/// The failure of commands until the task starts again.
fn failure() -> Failure {
    let problem = problem();
    Failure::new(problem.code.error_code(), problem.message)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use poly2mqtt_simulator::{Options, SimulatedDevice};

    use super::*;
    use crate::catalogue::Call;
    use crate::command::{ErrorCode, Reply, Transfer};
    use crate::config::Certificate;
    use crate::rooms::queue::Ticket;
    use crate::rooms::testing::{device_settings, room_settings};
    use crate::state::StateStore;

    const SOON: Duration = Duration::from_secs(10);

    /// Intervals that the configuration does not take: the sums of the schedule overflow.
    async fn that_fails() -> (Supervisor, Arc<StateStore>, SimulatedDevice) {
        let simulated = SimulatedDevice::start(Options::default()).await.unwrap();
        let certificate = Certificate::parse(&simulated.fingerprint()).unwrap();
        let mut settings = room_settings();
        settings.device = device_settings(&simulated.url(), certificate);
        settings.intervals.fast = Duration::MAX;
        settings.intervals.normal = Duration::MAX;
        settings.intervals.slow = Duration::MAX;
        let store = StateStore::new();
        let telemetry = settings.device.telemetry.clone();
        let publisher = RoomPublisher::new(store.clone(), telemetry, settings.id.clone());
        let publisher = Arc::new(publisher);
        let supervisor = Supervisor {
            left_stops: Arc::default(),
            device: Device::new(settings.device.clone()).unwrap(),
            queue: Arc::new(Queue::new(publisher.clone())),
            publisher,
            stop: StopSignal::default(),
            settings,
        };
        (supervisor, store, simulated)
    }

    fn submit(supervisor: &Supervisor, command: &str, payload: &str) -> mpsc::Receiver<ErrorCode> {
        let (sender, answers) = mpsc::channel();
        let reply = Reply::new("1".into(), command, move |outcome| {
            sender.send(outcome.result.unwrap_err().code).unwrap();
        });
        supervisor.queue.push(Ticket {
            call: Call::parse(command, &Bytes::from(payload.to_owned()), &mut None).unwrap(),
            reply,
            expires: Instant::now() + SOON,
            transfer: Transfer::None,
        });
        answers
    }

    async fn until(what: impl Fn() -> bool) {
        let met = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, met).await.expect("it happens");
    }

    #[tokio::test]
    async fn checks_are_answered_while_no_task_takes_them() {
        let (supervisor, _, _simulated) = that_fails().await;
        supervisor.failed();
        let answers = submit(&supervisor, "readiness/run", "");
        assert!(answers.try_recv().is_err());
        let answered = until(|| answers.try_recv() == Ok(ErrorCode::Offline));
        tokio::select! {
            () = answered => {}
            never = supervisor.answer_checks() => match never {},
        }
    }

    #[tokio::test]
    async fn a_room_whose_task_fails_says_so_answers_commands_and_starts_again() {
        let (supervisor, store, simulated) = that_fails().await;
        let queue = supervisor.queue.clone();
        let (stop, publisher) = (supervisor.stop.clone(), supervisor.publisher.clone());
        let second = Supervisor {
            settings: supervisor.settings.clone(),
            device: supervisor.device.clone(),
            queue: queue.clone(),
            publisher,
            stop: stop.clone(),
            left_stops: Arc::default(),
        };
        let answers = submit(&second, "audio/volume/set", "5");
        let mut stops = CameraStops::default();
        let start = Bytes::from_static(br#"{"direction":"left","duration_ms":300}"#);
        let start = Call::parse("camera/move", &start, &mut None).unwrap();
        let motion = Motion::of(&start).unwrap();
        stops.schedule(&motion, Instant::now() + Duration::from_secs(300));
        supervisor.left_stops.leave(stops);
        let task = tokio::spawn(run(Box::new(supervisor)));
        let text = |topic: &str| {
            let value = store.get(topic)?;
            Some(String::from_utf8(value.payload.to_vec()).unwrap())
        };
        let is_told =
            || text("room/1/problem").is_some_and(|text| text.contains("a fault in the gateway"));
        until(is_told).await;
        assert_eq!(text("room/1/availability").as_deref(), Some("offline"));
        // Whether it waited or had begun.
        let code = answers.recv_timeout(SOON).unwrap();
        let codes = [ErrorCode::Offline, ErrorCode::OutcomeUnknown];
        assert!(codes.contains(&code), "{code:?}");
        let again = submit(&second, "audio/volume/set", "5");
        assert_eq!(again.recv_timeout(SOON), Ok(ErrorCode::Offline));
        // The camera does not move on until the next start, or for ever if there is none.
        let is_stopped = || {
            let mut journal = simulated.journal().into_iter();
            journal.any(|entry| {
                entry.method == "POST" && entry.body.windows(8).any(|word| word == b"moveStop")
            })
        };
        until(is_stopped).await;
        // It tries again, and the session is given back in the end.
        let reads = || {
            let journal = simulated.journal();
            journal.iter().filter(|entry| entry.method == "GET").count()
        };
        let before = reads();
        until(|| reads() > before).await;
        stop.stop(Instant::now());
        timeout(SOON, task).await.unwrap().unwrap();
        let deleted = simulated
            .journal()
            .into_iter()
            .rev()
            .find(|entry| entry.path == "/rest/session");
        assert_eq!(deleted.map(|entry| entry.method).as_deref(), Some("DELETE"));
    }
}
